"""Rules for which images a strategy may select, which come first, and how many of a group."""

from __future__ import annotations

import fnmatch
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, fields
from functools import cache

from alkit.arguments.checked import checked_except
from alkit.arguments.words import found
from alkit.checks import check_integer
from alkit.errors import ConfigurationError

LISTS = ("only", "never", "first")
"""Rules that are lists of conditions."""

CAPS = ("max_per_group", "max_per_parent")
"""Rules that are numbers."""


@checked_except(*LISTS, *CAPS)
@dataclass(frozen=True)
class SelectionRules:
    """Rules that every selection keeps, whatever the strategy.

    A condition is the id of an image; a pattern of ids, in which ``*`` stands for any characters and ``?`` for one; or
    a column of the pool's groups and a value, such as ``"site=A"``, in which the value may be a pattern. ``group`` is a
    column of every pool. A list of conditions holds for an image if one of them does.

    Parameters
    ----------
    only:
        Conditions, one or a list. Other images are never selected. Default: all images may be.
    never:
        Conditions. These images are never selected, even if `only` names them.
    first:
        Conditions. These images are selected before all others, in the order of the strategy.
    max_per_group:
        Largest number of images of a group, such as a patient, in one round, an integer >= 1; None for no limit.
    max_per_parent:
        Largest number of images of a parent, such as a volume, in one round, an integer >= 1; None for no limit.

    Raises
    ------
    ConfigurationError
        A condition is not text, or a limit is not an integer >= 1.

    Examples
    --------
    >>> SelectionRules(never="site=B", max_per_group=2)
    SelectionRules(never=('site=B',), max_per_group=2)
    """

    only: str | Sequence[str] = ()
    never: str | Sequence[str] = ()
    first: str | Sequence[str] = ()
    max_per_group: int | None = None
    max_per_parent: int | None = None

    def __post_init__(self) -> None:
        for name in LISTS:
            object.__setattr__(self, name, _conditions(name, getattr(self, name)))
        for name in CAPS:
            if (most := getattr(self, name)) is not None:
                object.__setattr__(self, name, check_integer(name, most, least=1))

    def __repr__(self) -> str:
        given = [f"{entry.name}={value!r}" for entry in fields(self) if (value := getattr(self, entry.name))]
        return f"SelectionRules({', '.join(given)})"

    def __bool__(self) -> bool:
        return self != SelectionRules()


def matching(
    conditions: Iterable[str], ids: Sequence[str], groups: Sequence[str], metadata: Sequence[Mapping[str, str]]
) -> dict[str, frozenset[str]]:
    """Return, for each condition, the ids of the images that it holds for.

    >>> sites = [{"site": "A"}, {"site": "B"}]
    >>> found = matching(["site=A", "b*", "group=2"], ["a1", "b1"], ["1", "2"], sites)
    >>> {condition: sorted(ids) for condition, ids in found.items()}
    {'site=A': ['a1'], 'b*': ['b1'], 'group=2': ['b1']}
    """
    known = frozenset(ids)
    columns = {"group", *(name for row in metadata for name in row)}
    rows = list(zip(ids, groups, metadata, strict=True))

    def images(condition: str) -> frozenset[str]:
        if condition in known:
            return frozenset([condition])
        name, sign, value = (part.strip() for part in condition.partition("="))
        if sign and name in columns:
            wanted = _pattern(value)
            return frozenset(id for id, group, row in rows if wanted.fullmatch(_value(name, group, row)))
        wanted = _pattern(condition)
        return frozenset(id for id in ids if wanted.fullmatch(id))

    return {condition: images(condition) for condition in conditions}


def _value(name: str, group: str, row: Mapping[str, str]) -> str:
    return row.get(name, "") if name != "group" or name in row else group


@cache
def _pattern(text: str) -> re.Pattern[str]:
    """Return a pattern that takes a time linear in the text, whatever it is: a stranger may have written the record."""
    return re.compile(fnmatch.translate(text.replace("[", "[[]")))


def _conditions(name: str, given: object) -> tuple[str, ...]:
    listed = [given] if isinstance(given, str) else given
    if isinstance(listed, bytes | Mapping) or not isinstance(listed, Iterable):
        raise ConfigurationError(f"{name} must be a condition or a list of conditions", got=found(given))
    conditions = tuple(listed)
    for condition in conditions:
        if not isinstance(condition, str) or not condition.strip():
            raise ConfigurationError(
                f"{name} must be ids, patterns such as 'ward3/*', or conditions such as 'site=A'", got=repr(condition)
            )
    return tuple(dict.fromkeys(condition.strip() for condition in conditions))
