"""The groups of a record's images, and the rules of its selections.

The record keeps the groups themselves, so that it opens without the file that they came from (decision 0054).
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict
from typing import Any, TypeVar

from alkit.errors import ConfigurationError, ResumeError
from alkit.pools.base import PoolBase
from alkit.pools.groups import Grouping, GroupsLike, groups_of, metadata_of, parents_of, read_groups
from alkit.protocols import HasGroups, HasMetadata, Pool
from alkit.record.changing import GROUPS, RULES, SIDES, dated
from alkit.record.removing import REMOVED
from alkit.record.settings import Settings
from alkit.record.store import Store
from alkit.values.rules import CAPS, LISTS, SelectionRules, matching


def recorded_grouping(store: Store) -> Grouping | None:
    """Return the groups that a record keeps; None if its images have none."""
    fact = store.fact(GROUPS)
    return None if fact is None else grouping_from(fact)


def grouping_from(form: Mapping[str, Any]) -> Grouping:
    """Return the groups whose form :func:`groups_form` returned."""
    return Grouping({id: group for id, (group, _) in form.items()}, {id: row for id, (_, row) in form.items() if row})


SomePool = TypeVar("SomePool", bound=Pool)


def settle_groups(store: Store, pool: Pool, *, only_new: bool = False) -> Pool:
    """Record the groups of a pool, and return the pool with those of the record if it was given none.

    Groups may change as long as no group has labels on both sides of the hold-out. Of a record with queries, the date
    of the change is kept.

    Parameters
    ----------
    only_new:
        As in :func:`record_groups`, for a pool with groups.

    Raises
    ------
    ResumeError
        A group would have labels on both sides of the hold-out.
    ConfigurationError
        The record has groups, and nobody said which group a new image is of.
    """
    check_new_groups(store, pool, pool.ids)  # a record without queries takes new images of its folder
    only_new, pool = only_new or not is_grouped(pool), with_recorded_groups(store, pool)
    record_groups(store, pool, only_new=only_new)
    return pool


def check_new_groups(store: Store, pool: Pool, new: Sequence[str]) -> None:
    """Check that new images have groups if those of a record have; parts of new volumes or large images have theirs.

    Raises
    ------
    ConfigurationError
        Nobody said which group the new images are of.
    """
    recorded = recorded_grouping(store)
    if recorded is None or is_grouped(pool):
        return
    old = [id for id in pool.ids if id in recorded.groups]
    whole = with_recorded_groups(store, pool)
    by_parent = all(group == recorded.groups[id] for id, group in zip(old, parents_of(whole, old), strict=True))
    removed = store.fact(REMOVED) or {}  # perhaps since the pool was opened
    if without := [id for id in new if id not in recorded.groups and id not in removed and not by_parent]:
        raise ConfigurationError(
            "groups must name the new images, because the images of the record have groups",
            got=f"none for {without[0]!r}",
            hint="groups= with the images of all, or alkit add STORE --groups FILE",
        )


def with_more_groups(store: Store, pool: PoolBase, groups: GroupsLike) -> PoolBase:
    """Return a pool with the groups of a record, and groups for the images that it does not know.

    Raises
    ------
    DataError
        A new image has no group.
    """
    recorded = recorded_grouping(store) or Grouping({}, {})
    known = {*recorded.groups, *(Settings(store).recorded_ids or ())}
    new = [id for id in pool.ids if id not in known]
    if not new:
        return with_recorded_groups(store, pool)
    found = read_groups(groups, new, pool.parents_of(new), pool.ids)
    return pool._with_grouping(Grouping({**recorded.groups, **found.groups}, {**recorded.metadata, **found.metadata}))


def with_recorded_groups(store: Store, pool: SomePool) -> SomePool:
    """Return a pool of alkit that was given no groups with those of a record; any other unchanged."""
    if isinstance(pool, PoolBase) and not is_grouped(pool) and (recorded := recorded_grouping(store)) is not None:
        return pool._with_grouping(recorded)
    return pool


def record_groups(store: Store, pool: Pool, *, only_new: bool = False) -> list[str]:
    """Add the groups of a pool's images, or of a test set, to those of a record; see :func:`settle_groups`.

    Return a line about the images that have other groups now.

    Parameters
    ----------
    only_new:
        Whether the groups of images stay that the record knows, because those of the pool are the recorded ones.
    """
    before: dict[str, Any] | None = store.fact(GROUPS)
    if before is None and _has_no_groups(pool):
        return []
    now = groups_form(pool)
    if before is None and not any(group != id or row for id, (group, row) in now.items()):
        return []  # nothing is known of any image

    def other(before: Mapping[str, Any]) -> dict[str, Any]:
        return {id: e for id, e in now.items() if before.get(id) != e and not (only_new and id in before)}

    if not other(before or {}) or store.read_only:
        return []
    with store.exclusive():
        before = store.fact(GROUPS)  # another process may have changed them
        known, removed = before or {}, store.fact(REMOVED) or {}
        new = {id: entry for id, entry in other(known).items() if id not in removed}
        if not new:
            return []
        # Until its group is recorded, an image is its own group.
        moved = [id for id, (group, _) in new.items() if known.get(id, [id])[0] != group]
        after = {**known, **new}
        _check_sides(store, {id: group for id, (group, _) in after.items()}, moved)
        changed = [id for id in new if before is None or id in before]
        lines = [_other_groups(known, after, changed)] if changed else []
        store.revise_all({GROUPS: lambda _: after, **dated(lines if store.has_queries() else ())})
    return lines


def _other_groups(before: Mapping[str, Any], now: Mapping[str, Any], changed: Sequence[str]) -> str:
    """Return a line about images that have other groups or metadata.

    >>> _other_groups({"a": ["p1", {}]}, {"a": ["p2", {}]}, ["a"])
    "groups: other ones of 1 image, such as 'a': recorded p1, now p2"
    """
    id = next((id for id in changed if before.get(id, [id])[0] != now[id][0]), changed[0])
    count = "1 image" if len(changed) == 1 else f"{len(changed)} images"
    if before.get(id, [id])[0] == now[id][0]:
        return f"groups: other metadata of {count}, such as {id!r}"
    return f"groups: other ones of {count}, such as {id!r}: recorded {before.get(id, ['none'])[0]}, now {now[id][0]}"


def recorded_rules(store: Store) -> SelectionRules:
    """Return the rules of a record's selections; no rules if it has none."""
    fact = store.fact(RULES) or {}
    return SelectionRules(**{name: value for name, value in fact.items() if name in (*LISTS, *CAPS)})


def check_rules(store: Store, pool: Pool, rules: SelectionRules | None) -> None:
    """Check the rules that a record is to get; None changes nothing. Conditions that it has already may be empty now.

    Raises
    ------
    ConfigurationError
        A condition holds for no image of the pool, or no image may be selected.
    """
    if rules is None and isinstance(pool, PoolBase):
        return  # the groups of any other pool are checked, too, before anything is recorded
    pool = with_recorded_groups(store, pool)
    _check_rules(rules, recorded_rules(store), pool.ids, groups_of(pool, pool.ids), metadata_of(pool, pool.ids))


def change_rules(store: Store, rules: SelectionRules) -> list[str]:
    """Record other rules, checked by what the record knows of its images; return a line for each that differs.

    Raises
    ------
    ConfigurationError
        A condition holds for no image of the record, or no image may be selected.
    """
    before = recorded_rules(store)
    if (ids := Settings(store).recorded_ids) is not None:
        _check_rules(rules, before, ids, *_known_of(store, ids))
    settle_rules(store, rules)
    return changed_rules(before, rules)


def change_groups(store: Store, pool: PoolBase, groups: GroupsLike) -> list[str]:
    """Record other groups of the images of a record; return a line about the change.

    Raises
    ------
    DataError
        An image of the record has no group.
    ResumeError
        A group would have labels on both sides of the hold-out.
    """
    known = set(Settings(store).recorded_ids or pool.ids)
    part = pool.subset([id for id in pool.ids if id in known])
    part._group(groups)
    return record_groups(store, part)


def _check_rules(
    rules: SelectionRules | None,
    before: SelectionRules,
    ids: Sequence[str],
    groups: Sequence[str],
    metadata: Sequence[Mapping[str, str]],
) -> None:
    if rules is None or rules == before:
        return
    for name in LISTS:
        new = [condition for condition in getattr(rules, name) if condition not in getattr(before, name)]
        for condition, images in matching(new, ids, groups, metadata).items():
            if not images:
                columns = sorted({"group", *(column for row in metadata for column in row)})
                raise ConfigurationError(
                    f"{name} must name images of the pool",
                    got=f"{condition!r}, which matches none of {len(ids)}",
                    expected=f"an id such as {ids[0]!r}, a pattern such as '{ids[0][:1]}*', or a condition on "
                    f"{', '.join(columns)}",
                )
    if not allowed(rules, ids, groups, metadata):
        raise ConfigurationError("never must leave an image that may be selected", got=f"none of {len(ids)}")


def _known_of(store: Store, ids: Sequence[str]) -> tuple[list[str], list[Mapping[str, str]]]:
    """Return the groups and the metadata that a record keeps of some images."""
    grouping = recorded_grouping(store) or Grouping({}, {})
    return [grouping.groups.get(id, id) for id in ids], [grouping.metadata.get(id, {}) for id in ids]


def settle_rules(store: Store, rules: SelectionRules | None) -> None:
    """Record rules that were checked, and the date of the change if the record has queries; None changes nothing."""
    if rules is None or recorded_rules(store) == rules or store.read_only:
        return
    form = {name: list(value) if isinstance(value, tuple) else value for name, value in asdict(rules).items() if value}
    with store.exclusive():
        before = recorded_rules(store)  # another process may have changed them
        lines = changed_rules(before, rules) if store.has_queries() else ()
        store.revise_all({RULES: lambda _: form or None, **dated(lines)})


def allowed(
    rules: SelectionRules, ids: Sequence[str], groups: Sequence[str], metadata: Sequence[Mapping[str, str]]
) -> frozenset[str]:
    """Return the images that `only` and `never` allow."""
    named = {name: _union(matching(getattr(rules, name), ids, groups, metadata)) for name in ("only", "never")}
    return (named["only"] if rules.only else frozenset(ids)) - named["never"]


def allowed_in_record(store: Store, ids: Sequence[str]) -> frozenset[str]:
    """Return those of a record's images that its rules allow, by the groups that it keeps."""
    rules = recorded_rules(store)
    if not (rules.only or rules.never):
        return frozenset(ids)
    return allowed(rules, ids, *_known_of(store, ids))


def named_first(
    rules: SelectionRules, ids: Sequence[str], groups: Sequence[str], metadata: Sequence[Mapping[str, str]]
) -> frozenset[str]:
    """Return the images that `first` names."""
    return _union(matching(rules.first, ids, groups, metadata))


def changed_rules(before: SelectionRules, now: SelectionRules) -> list[str]:
    """Return a line for each rule that differs.

    >>> changed_rules(SelectionRules(never="site=B"), SelectionRules(max_per_group=2))
    ['never: recorded site=B, now none', 'max_per_group: recorded none, now 2']
    """
    return [
        f"{name}: recorded {in_words(getattr(before, name))}, now {in_words(getattr(now, name))}"
        for name in (*LISTS, *CAPS)
        if getattr(before, name) != getattr(now, name)
    ]


def in_words(value: Sequence[str] | int | None) -> str:
    """Return a rule as it is typed on the command line; ``none`` without it."""
    if isinstance(value, int):
        return str(value)
    return ",".join(value) if value else "none"


def rules_in_words(rules: SelectionRules) -> str:
    """Return the rules in one line.

    >>> rules_in_words(SelectionRules(never="site=B", max_per_group=2))
    'never site=B; at most 2 of a group in a round'
    """
    lists = [f"{name} {in_words(getattr(rules, name))}" for name in LISTS if getattr(rules, name)]
    caps = [(name.removeprefix("max_per_"), getattr(rules, name)) for name in CAPS]
    return "; ".join([*lists, *(f"at most {most} of a {of} in a round" for of, most in caps if most is not None)])


def recorded_groups_in_words(store: Store) -> list[str]:
    """Return a sentence about the groups that a record keeps of its images; none if it keeps none."""
    if (recorded := recorded_grouping(store)) is None:
        return []
    images = set(Settings(store).recorded_ids or recorded.groups) & recorded.groups.keys()
    columns = sorted({name for id in images for name in recorded.metadata.get(id, {})})
    known = f"; known of each: {', '.join(columns)}" if columns else ""
    return [f"{len(images)} images of {len({recorded.groups[id] for id in images})} groups{known}."]


def is_grouped(pool: Pool) -> bool:
    """Return whether a pool was given groups, or brings its own."""
    return pool._grouping is not None if isinstance(pool, PoolBase) else isinstance(pool, HasGroups | HasMetadata)


def _has_no_groups(pool: Pool) -> bool:
    """Whether it is known at once that each image of a pool is its own group, and that none has metadata."""
    return isinstance(pool, PoolBase) and not is_grouped(pool) and pool.parents_of(pool.ids) == list(pool.ids)


def groups_form(pool: Pool) -> dict[str, Any]:
    """Return the group and the metadata of each image of a pool, as a record keeps them."""
    ids = list(pool.ids)
    return {id: [group, row] for id, group, row in zip(ids, groups_of(pool, ids), metadata_of(pool, ids), strict=True)}


def _check_sides(store: Store, groups: Mapping[str, str], changed: Sequence[str]) -> None:
    """Raise a :class:`ResumeError` if a group that has changed has labels on both sides of the hold-out."""
    settings, sides = Settings(store), store.fact(SIDES)
    if sides is None:  # alkit 0.1: each id decides for itself
        ids = [id for id, known in store.snapshot().known.items() if known.labels]
        held_out = set(filter(settings.held_out(ids), ids))
    else:
        held_out, ids = set(sides["held_out"]), [*sides["held_out"], *sides["trained"]]
    members: defaultdict[str, dict[bool, str]] = defaultdict(dict)
    for id in ids:
        members[groups.get(id, id)].setdefault(id in held_out, id)
    for group in dict.fromkeys(groups[id] for id in changed):
        if len(both := members[group]) == 2:
            raise ResumeError(
                f"groups must not put images on both sides of the hold-out that {store.path} has drawn",
                got=f"the group {group!r} with {both[True]!r}, which is held out, and {both[False]!r}, which is not",
                hint="the recorded groups, or another store",
            )
    if sides is None and settings.hold_out and changed:
        raise ResumeError(
            f"groups cannot be added to {store.path}, because alkit 0.1 has drawn its hold-out image by image",
            hint="another store",
        )


def _union(found: Mapping[str, Iterable[str]]) -> frozenset[str]:
    return frozenset[str]().union(*found.values())
