"""The options of metrics."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from alkit.cli.options import class_names
from alkit.cli.ruling import kinds_of

if TYPE_CHECKING:
    from collections.abc import Sequence

    from alkit.pools.base import PoolBase


def choose_metrics(names: str | None, kinds: str | None, pool: PoolBase, per: str = "pixel") -> Sequence[Any] | None:
    """Return the metrics that options choose; None for the defaults.

    Parameters
    ----------
    names:
        Names with commas between them.
    kinds:
        Column of the groups' file; the first metric is measured over its values too.
    pool:
        All images, with their groups.
    per:
        What has a class: each ``pixel``, or each ``image``.

    Raises
    ------
    ConfigurationError
        The groups have no such column.
    """
    from alkit.evaluation.chosen import DEFAULTS, PerGroup

    chosen: list[Any] = list(DEFAULTS[per]) if names is None else list(class_names(names))
    if kinds is not None:
        return [*chosen, PerGroup(chosen[0], kinds_of(pool, kinds))]
    return None if names is None else chosen
