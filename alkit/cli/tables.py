"""Results as a table in the terminal."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from rich.table import Table

from alkit.types import RoundResult


def results_table(histories: Mapping[str, Sequence[RoundResult]], metric: str = "dice") -> Table:
    """Return one row per number of labels and one column per name; pseudo-labels, if any, are counted beside."""
    table = Table("labels", *(f"{name} ({metric})" for name in histories))
    curves = [{result.n_labels: result for result in history} for history in histories.values()]
    for labels in sorted({labels for curve in curves for labels in curve}):
        table.add_row(str(labels), *(_cell(curve.get(labels), metric) for curve in curves))
    return table


def _cell(result: RoundResult | None, metric: str) -> str:
    if result is None:
        return ""
    value = f"{result.metrics[metric]:.3f}" if metric in result.metrics else ""
    return f"{value} (and {result.n_pseudo} pseudo-labels)" if result.n_pseudo else value
