"""The options of the rules of selection, and how the rules and groups of a record are shown."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

from alkit.cli import options

if TYPE_CHECKING:
    from alkit.pools.base import PoolBase
    from alkit.record.store import Store
    from alkit.values.rules import SelectionRules


@dataclass(frozen=True)
class Rules:
    """Options of the rules of selection."""

    only: options.Only = None
    never: options.Never = None
    first: options.First = None
    max_per_group: options.MaxPerGroup = None
    max_per_parent: options.MaxPerParent = None

    def after(self, before: SelectionRules | None) -> SelectionRules | None:
        """Return the rules that the options make of those before; None if no option is given.

        An option that is left out keeps its rule; an empty text, or a limit of 0, removes it.

        >>> from alkit import SelectionRules
        >>> before = SelectionRules(never="site=B", max_per_group=2)
        >>> Rules(only=["a*,b*"], never=[""], max_per_group=0).after(before)
        SelectionRules(only=('a*', 'b*'))
        """
        from alkit.values.rules import SelectionRules

        lists = {"only": self.only, "never": self.never, "first": self.first}
        given: dict[str, object] = {
            name: [condition for text in texts for condition in options.class_names(text) if condition]
            for name, texts in lists.items()
            if texts
        }
        caps = {"max_per_group": self.max_per_group, "max_per_parent": self.max_per_parent}
        given |= {name: most or None for name, most in caps.items() if most is not None}
        if not given:
            return None
        kept = vars(SelectionRules()) if before is None else vars(before)
        return SelectionRules(**{**kept, **given})


def kinds_of(pool: PoolBase, column: str) -> dict[str, str]:
    """Return the value of a column of the groups' file for each image of a pool.

    Raises
    ------
    ConfigurationError
        The pool has no groups, or its groups no such column, or an image has no value in it.
    """
    return kinds_in(dict(zip(pool.ids, pool.metadata_of(pool.ids), strict=True)), column)


def kinds_in(metadata: Mapping[str, Mapping[str, str]], column: str) -> dict[str, str]:
    """Return the value of a column for each image, as :func:`kinds_of` does, given the metadata of the images by id."""
    from alkit.errors import ConfigurationError

    columns = list(dict.fromkeys(name for row in metadata.values() for name in row))
    if column not in columns:
        raise ConfigurationError(
            "--kinds must be a column of the CSV file of --groups",
            got=repr(column),
            expected=f"one of {', '.join(columns)}" if columns else None,
            hint=None if columns else "--groups FILE with the columns id, the group and the kind",
        )
    if empty := [id for id, row in metadata.items() if not row.get(column)]:
        raise ConfigurationError(f"--kinds {column} must have a value for each image", got=f"none for {empty[0]!r}")
    return {id: row[column] for id, row in metadata.items()}


def rules_and_groups(record: Store) -> list[str]:
    """Return sentences about the groups of a record and its rules; none if it has neither."""
    from alkit.record.grouping import recorded_groups_in_words, recorded_rules, rules_in_words

    lines = recorded_groups_in_words(record)
    if rules := recorded_rules(record):
        lines.append(f"Rules of selection: {rules_in_words(rules)}.")
    return lines
