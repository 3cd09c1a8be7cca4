"""Groups of images that belong together, such as those of one patient, and what each image is part of.

Images of one group are on one side of every division: of the split into a pool and a test set, and of the hold-out.
"""

from __future__ import annotations

import os
import re
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from alkit._logs import logger
from alkit.arguments.checked import checked
from alkit.arguments.returned import check_returned
from alkit.errors import ConfigurationError, DataError
from alkit.pools.group_files import read_table, rows_of
from alkit.protocols import HasGroups, HasMetadata, HasParents, Pool

log = logger(__name__)

GroupsLike = str | os.PathLike[str] | Mapping[str, Any]
"""Groups as a pool takes them: a CSV file, a pattern of ids with ``{group}``, or a mapping from ids."""

FEW = 5
"""Number of images that a message names."""


@dataclass(frozen=True)
class Grouping:
    """The group and the metadata of images, by id."""

    groups: Mapping[str, str]
    metadata: Mapping[str, Mapping[str, str]]


def read_groups(
    given: GroupsLike, ids: Sequence[str], parents: Sequence[str], left_out: Collection[str] = ()
) -> Grouping:
    """Return the groups of a pool's images.

    Parameters
    ----------
    given:
        Path of a CSV file with the columns ``id``, the group, and any others, which are metadata
        (:func:`alkit.pools.group_files.read_table`); or a pattern that whole ids match, with ``{group}`` in it; or a
        mapping from ids to groups. The ids may be those of images or of their parents.
    ids, parents:
        Ids of the images, and what each is part of.
    left_out:
        Ids of images that cannot be used; groups may name them.

    Raises
    ------
    DataError
        An image has no group, or the images of one parent have several; or the file cannot be used.
    ConfigurationError
        `given` is neither a path, nor a pattern, nor a mapping.
    """
    rows = read_rows(given)
    if rows is None:
        grouping = _by_pattern(str(given), ids, parents)
    else:
        source = "groups" if isinstance(given, Mapping) else os.fspath(given)
        grouping = _by_rows(rows, ids, parents, left_out, source)
    of_parent: dict[str, str] = {}
    for id, parent in zip(ids, parents, strict=True):
        if (group := grouping.groups[id]) != of_parent.setdefault(parent, group):
            raise DataError(
                f"groups must have one group for all images of {parent!r}", got=f"{of_parent[parent]!r} and {group!r}"
            )
    return grouping


def read_rows(given: GroupsLike) -> dict[str, dict[str, str]] | None:
    """Return the rows of a file or a mapping of groups; None if they are a pattern.

    A pool calls this before it reads its images, so that a wrong file is found at once.

    Raises
    ------
    DataError, ConfigurationError
        As :func:`read_groups`.
    """
    if isinstance(given, str) and "{group}" in given:
        _expression(given, "")
        return None
    if isinstance(given, Mapping):
        return rows_of(given)
    if not isinstance(given, str | os.PathLike):
        raise ConfigurationError(
            "groups must be a CSV file, a pattern with {group}, or a mapping",
            got=f"an object of type {type(given).__name__}",
            hint='"groups.csv", "{group}/*" or {id: group}',
        )
    path = os.fspath(given)
    if not isinstance(path, str) or ("*" in path and not os.path.exists(path)):
        raise ConfigurationError(
            "groups must be a CSV file, a pattern with {group}, or a mapping", got=repr(path), hint='"{group}/*"'
        )
    return read_table(path)


@checked
def groups_of(pool: Pool, ids: Sequence[str]) -> list[str]:
    """Return the group of each image, such as the patient; an image without one is its own group.

    If the pool has no method ``groups_of``, the images of one parent are a group.

    Examples
    --------
    >>> import numpy as np
    >>> from alkit import ArrayPool
    >>> groups_of(ArrayPool(np.zeros((2, 8, 9), np.uint8), ["p1_a", "p1_b"], groups="{group}_*"), ["p1_b"])
    ['p1']
    """
    if not isinstance(pool, HasGroups):
        return parents_of(pool, ids)
    return _one_for_each(pool, "groups_of", pool.groups_of(ids), ids)


@checked
def parents_of(pool: Pool, ids: Sequence[str]) -> list[str]:
    """Return what each image is part of, such as a volume; an image that is not part of anything is its own parent.

    Examples
    --------
    >>> import numpy as np
    >>> from alkit import ArrayPool
    >>> parents_of(ArrayPool(np.zeros((2, 8, 9), np.uint8)), ["0001"])
    ['0001']
    """
    if not isinstance(pool, HasParents):
        return list(ids)
    return _one_for_each(pool, "parents_of", pool.parents_of(ids), ids)


@checked
def metadata_of(pool: Pool, ids: Sequence[str]) -> list[dict[str, str]]:
    """Return the metadata of each image: texts by the name of the column, such as ``{"site": "A"}``.

    Examples
    --------
    >>> import numpy as np
    >>> from alkit import ArrayPool
    >>> pool = ArrayPool(np.zeros((1, 8, 9), np.uint8), groups={"0000": {"patient": "p1", "site": "A"}})
    >>> metadata_of(pool, ["0000"])
    [{'patient': 'p1', 'site': 'A'}]
    """
    if not isinstance(pool, HasMetadata):
        return [{} for _ in ids]
    found = pool.metadata_of(ids)
    check_returned(pool, "metadata_of", found, Sequence[Mapping[str, str]], DataError)
    _check_count(pool, "metadata_of", found, ids)
    return [dict(row) for row in found]


def check_apart(in_pool: Mapping[str, str], in_test: Mapping[str, str]) -> None:
    """Raise a :class:`DataError` if a pool and a test set share a group; each mapping is from groups to an image."""
    if both := sorted(in_test.keys() & in_pool.keys()):
        group = both[0]
        raise DataError(
            f"test shares {len(both)} {'group' if len(both) == 1 else 'groups'} with the pool",
            got=f"{group!r}, with {in_test[group]!r} in the test set and {in_pool[group]!r} in the pool",
            hint="pool.split(test=..., seed=...) of a pool with groups= keeps each on one side",
        )


def check_groups_apart(pool: Pool, test: Pool) -> None:
    """Raise a :class:`DataError` if a pool and a test set with ids of their own share a group.

    An image without a group is its own, and its id may mean another image in the other pool, so it does not count.
    """
    groups = [dict(zip(groups_of(each, each.ids), each.ids, strict=True)) for each in (pool, test)]
    check_apart(*({group: id for group, id in each.items() if group != id} for each in groups))


def _one_for_each(pool: Pool, method: str, found: Sequence[str], ids: Sequence[str]) -> list[str]:
    check_returned(pool, method, found, Sequence[str], DataError)
    _check_count(pool, method, found, ids)
    return list(found)


def _check_count(pool: Pool, method: str, found: Sequence[object], ids: Sequence[str]) -> None:
    if len(found) != len(ids):
        raise DataError(
            f"{type(pool).__name__}.{method} must return one entry for each id",
            got=f"{len(found)} entries for {len(ids)} ids",
        )


def _by_rows(
    rows: Mapping[str, Mapping[str, str]],
    ids: Sequence[str],
    parents: Sequence[str],
    left_out: Collection[str],
    source: str,
) -> Grouping:
    found = {id: row for id, parent in zip(ids, parents, strict=True) if (row := rows.get(id, rows.get(parent)))}
    missing = [id for id in ids if id not in found]
    unknown = sorted(rows.keys() - set(ids) - set(parents) - set(left_out))
    if missing:
        others = f"; {source} has {_some(unknown)}, which are not in the pool" if unknown else ""
        raise DataError(
            f"groups must have a group for each of the {len(ids)} images, and {len(missing)} have none",
            got=f"none for {_some(missing)}{others}",
            hint="a row for each image; its id is as in pool.ids, such as " + repr(ids[0]),
        )
    if unknown:
        log.warning("groups name %d images that are not in the pool: %s", len(unknown), _some(unknown))
    return Grouping(
        {id: next(iter(row.values())) for id, row in found.items()},
        {id: dict(row) for id, row in found.items() if list(row) != ["group"]},
    )


def _by_pattern(pattern: str, ids: Sequence[str], parents: Sequence[str]) -> Grouping:
    shortest, longest = _expression(pattern, "?"), _expression(pattern, "")
    groups: dict[str, str] = {}
    missing: list[str] = []
    for id, parent in zip(ids, parents, strict=True):
        name = id if longest.fullmatch(id) else parent
        long, short = longest.fullmatch(name), shortest.fullmatch(name)
        if long is None or short is None:
            missing.append(id)
            continue
        groups[id] = long["group"]
        if short.span("group") != long.span("group"):
            raise DataError(
                f"groups={pattern!r} fits {name!r} in several ways",
                got=f"the groups {short['group']!r} and {long['group']!r}",
                hint="more of the name in the pattern, or a CSV file",
            )
    if missing:
        raise DataError(
            f"groups={pattern!r} must fit each of the {len(ids)} ids, and does not fit {len(missing)}",
            got=_some(missing),
            hint="** matches any characters, * any but a slash",
        )
    if len(ids) > 1 and len(set(groups.values())) == 1:
        log.warning("groups=%r puts all %d images in one group, %r", pattern, len(ids), groups[ids[0]])
    return Grouping(groups, {})


def _expression(pattern: str, lazy: str) -> re.Pattern[str]:
    """Return a pattern as a regular expression, whose parts are as long as possible, or as short if `lazy` is ``?``."""
    if pattern.count("{group}") != 1:
        raise ConfigurationError("groups must contain {group} once if it is a pattern", got=repr(pattern))
    wild = {"**": f".*{lazy}", "*": f"[^/]*{lazy}", "{group}": f"(?P<group>[^/]+{lazy})"}
    parts = re.split(r"(\*\*|\*|\{group\})", pattern)
    return re.compile("".join(wild.get(part, re.escape(part)) for part in parts), re.DOTALL)


def _some(ids: Sequence[str]) -> str:
    text = ", ".join(map(repr, ids[:FEW]))
    return text if len(ids) <= FEW else f"{text} and {len(ids) - FEW} more"
