"""Change the settings of a record: freely before the first answer, and on purpose before the first round.

The answers are kept. Labels are files at the size that annotators gave them, so another working size only means that
they are resized to it when they are read.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Collection, Mapping, Sequence
from datetime import UTC, datetime
from functools import partial
from typing import Any

from alkit._logs import logger
from alkit.configuration.forms import Written
from alkit.configuration.versions import differences
from alkit.errors import ResumeError
from alkit.pools.sizes import mask_sizes
from alkit.protocols import Pool
from alkit.record.store import Store
from alkit.record.terms import Terms
from alkit.values.label_spec import Size

log = logger(__name__)

MOVED = "moved"
"""Name of the fact that contains the written form of a pool whose folder has changed."""

PLACE = "place"
"""Name of the fact that holds the place to which queries were sent last."""

SIDES = "sides"
"""Name of the fact that lists the images whose labels are held out, and those whose labels are trained on.

Records of alkit 0.1 lack it: in them, the seed and the id of each image decide.
"""

GROUPS = "groups"
"""Name of the fact that holds the group and the metadata of each image, by its id; without it, there are none."""

RULES = "rules"
"""Name of the fact that holds the rules of selections; without it, there are none."""

DISPUTES = "disputes"
"""Name of the fact that says what becomes of disputed images; without it, the rule that joins labels decides."""

QUALITIES = "label_qualities"
"""Name of the fact that holds the quality of each label, and of which labels, models and folds it is."""

CHANGES = "changes"
"""Name of the fact that lists the changes of the settings, with their dates."""

REHEARSED = "rehearsed"
"""Name of the fact that holds what was rehearsed, and the fewest images in a batch."""

OLD = (MOVED, REHEARSED)
"""Names of facts that follow from others."""

CLUSTERS = "clusters of "
"""Beginning of the names of facts that hold clusters."""

CHANGEABLE = ("learner", "strategy", "initial", "pool")
"""Settings that may change after the first answer."""

PLACES = ("tile", "level", "mpp")
"""Parameters of a pool of tiles that say which part of an image has an id."""

FEW = 3
"""Number of images that a message names."""


def replacements(facts: Mapping[str, Any]) -> dict[str, Callable[[Any], Any]]:
    """Return changes that give facts their new values, by name, whatever they were before."""

    def replaced(now: Any, before: Any) -> Any:
        return now

    return {name: partial(replaced, now) for name, now in facts.items()}


def dated(lines: Sequence[str]) -> dict[str, Callable[[Any], Any]]:
    """Return how the list of changes becomes one with these lines and the date, by its name; nothing without lines."""
    if not lines:
        return {}
    entry = {"at": datetime.now(UTC).isoformat(timespec="seconds"), "changed": list(lines)}
    return {CHANGES: lambda before: [*(before or ()), entry]}


def restart(
    store: Store,
    recorded: Mapping[str, Any],
    facts: Mapping[str, Any],
    pool: Pool,
    terms: object,
    kept: Collection[str],
) -> None:
    """Record other settings in a record without answers.

    The queries of a schedule are deleted, so that the record is as good as new. Other queries that were sent may be
    with people already, so they stay open. Those that were not sent are withdrawn if the selection may be another now,
    and so are those of images that are not in the pool any more.

    Parameters
    ----------
    recorded:
        The configuration in the record.
    facts:
        The new settings.
    pool, terms:
        The new images and terms.
    kept:
        Names of the facts that stay if the queries are deleted.
    """
    if store.fact(PLACE) is None and store.fact("schedule") is not None:
        store.replace(facts, kept.__contains__, unanswered=True, without_queries=True)
        return
    ids = {query.id for query in store.queries()}
    _check_images(store, facts, {entry.query.id for entry in store.asked()})  # also withdrawn: late answers count
    other = any(recorded[name] != facts["configuration"][name] for name in ("strategy", "initial", "seed", "pool"))
    unsent = {entry.query.id for entry in store.snapshot().open if entry.sent_at is None}
    gone = (ids - set(pool.ids)) | (unsent if other else set())
    there = sorted(ids & set(pool.ids))
    former, now = (form.get("terms") for form in (recorded, facts["configuration"]))
    wanted = terms.annotators if isinstance(terms, Terms) and former != now else None
    new = {name: value for name, value in facts.items() if name != "campaign"}
    store.replace(
        new,
        lambda name: name not in OLD and not name.startswith(CLUSTERS),
        unanswered=True,
        withdrawn=sorted(gone),
        sizes=dict(zip(there, mask_sizes(pool, there), strict=True)),
        wanted=wanted,
    )
    if gone:
        log.warning("%d queries of the former settings are withdrawn; answers to them are still taken", len(gone))
    if ids - gone:
        log.warning("%d queries of the former settings stay open, because they were sent already", len(ids - gone))


def change_early(store: Store, facts: Mapping[str, Any]) -> None:
    """Record other settings in a record without queries, and keep its classes, metrics, threads and word."""
    new = {name: value for name, value in facts.items() if name not in ("campaign", "threads")}
    old = (*OLD, "schedule")
    store.replace(new, lambda name: name not in old and not name.startswith(CLUSTERS), unanswered=True)


def apply_change(store: Store, recorded: Mapping[str, Any], facts: Mapping[str, Any], pool: Pool) -> None:
    """Record other settings in a record with answers but without rounds, and the date of the change.

    Parameters
    ----------
    recorded:
        The configuration in the record.
    facts:
        The new settings, with those under ``configuration``.
    pool:
        The images, perhaps at another size.

    Raises
    ------
    ResumeError
        A round is committed; a setting differs that cannot change; or the images are others.
    """
    new = facts["configuration"]
    lines = changed_settings(recorded, new)
    if not lines:
        return
    if store.rounds():
        raise ResumeError(
            f"{store.path} has a committed round, so its settings cannot change any more: {'; '.join(lines)}",
            hint="the recorded settings, or another store",
        )
    fixed = {name: value for name, value in recorded.items() if name not in CHANGEABLE}
    if others := differences(fixed, {name: value for name, value in new.items() if name not in CHANGEABLE}):
        raise ResumeError(
            f"{store.path} has answers, so only its learner, strategies and size can change: {'; '.join(others)}",
            hint="the recorded settings, or another store",
        )
    _check_images(store, facts, store.snapshot().known.keys() | {entry.query.id for entry in store.asked()})
    sizes = _sizes(store, pool)
    resized = recorded["pool"] != new["pool"]

    def kept(name: str) -> bool:
        # Clusters belong to the images at their old size; the schedule describes the test set at its old size.
        return name not in OLD and not (resized and (name == "schedule" or name.startswith(CLUSTERS)))

    new_facts = {name: value for name, value in facts.items() if name != "threads"}
    history = {name: change(store.fact(name)) for name, change in dated(lines).items()}
    store.replace({**new_facts, **history}, kept, sizes=sizes)


def changed_settings(old: Written, new: Written) -> list[str]:
    """Return a line for each setting that differs, and "other images" if nothing else explains another content.

    >>> old, new = {"pool": {"height": 8, "content": "a"}}, {"pool": {"height": 4, "content": "b"}}
    >>> changed_settings(old, new)
    ['pool.height: recorded 8, now 4']
    >>> changed_settings(old, {"pool": {**old["pool"], "content": "b"}})
    ['pool: other images']
    """
    lines = differences(old, new)
    contents = [line.partition(".content: ")[0] for line in lines if re.match(r"(pool|test)\.content: ", line)]
    others = [line for line in lines if not re.match(r"(pool|test)\.(content|images): ", line)]
    if any(line.startswith(("seed: ", "pool.", "test.")) for line in others):
        return others  # another seed draws other images for the test set
    return [*others, *(f"{name}: other images" for name in contents)]


def _check_images(store: Store, facts: Mapping[str, Any], ids: Collection[str]) -> None:
    """Check that images that people have are those of the new settings, and not others with the same ids.

    Their content can be compared if both are read alike. Otherwise they must be in the same folder, and tiles must have
    the same places.

    Parameters
    ----------
    facts:
        The new settings.
    ids:
        Ids of images with answers, or that people may have.

    Raises
    ------
    ResumeError
        Images are others, or nobody knows it.
    """
    former, now = store.fact(MOVED) or store.fact("declared")["pool"], facts["declared"]["pool"]
    (where, read), (place, reading) = _reading(former), _reading(now)
    before, there = store.fact("images") or {}, facts["images"] or {}
    both = [id for id in sorted(ids) if id in before and id in there]
    if read == reading:
        others = [id for id in both if before[id] != there[id]]
    else:
        others = both if where != place or any(read.get(name) != reading.get(name) for name in PLACES) else []
    if others:
        raise ResumeError(
            f"images that people have or have labelled in {store.path} must stay the same images",
            got=f"{len(others)} of another content, or that cannot be compared, such as {others[0]!r}",
            hint="another store; or, if the images were only moved, first the former settings with the new folder",
        )


def _reading(form: Written) -> tuple[object, Mapping[str, Any]]:
    """Return the folder of a pool, by its written form, and how its images are read."""
    match form:
        case {"is": "alkit.pools:Subset", "with": {"pool": dict() as pool}}:
            return _reading(pool)
        case {"with": dict() as given}:
            kind = form.get("is", form.get("opaque"))
            return given.get("path"), {"": kind, **{name: given[name] for name in given if name not in ("path", "ids")}}
    return None, {}


def _sizes(store: Store, pool: Pool) -> dict[str, tuple[Size, ...]]:
    """Return the sizes that masks of the images that were asked may have now.

    Raises
    ------
    ResumeError
        An image is missing, or its original size is another.
    """
    before = {id: sizes for id, sizes in store.sizes_of().items() if sizes}  # images that were removed have none
    if missing := sorted(before.keys() - set(pool.ids)):
        raise ResumeError(
            f"the images do not include {len(missing)} of those that were asked in {store.path}",
            got=f"no {', '.join(map(repr, missing[:FEW]))}",
            hint="the folder that contains them",
        )
    ids = sorted(before)
    now = dict(zip(ids, mask_sizes(pool, ids), strict=True))
    # With one size, a pool does not tell that of its image files.
    other = [id for id in ids if len(now[id]) > 1 < len(before[id]) and now[id][0] != before[id][0]]
    if other:
        (height, width), (old_height, old_width) = now[other[0]][0], before[other[0]][0]
        raise ResumeError(
            f"the images are not those that {store.path} was created with",
            got=f"{other[0]!r} of {width} x {height} pixels, recorded {old_width} x {old_height}",
            hint="the same images",
        )
    return now
