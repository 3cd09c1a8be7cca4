"""Results as a table in the terminal."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from rich.table import Table

from alkit.types import RoundResult


def results_table(histories: Mapping[str, Sequence[RoundResult]], metric: str = "dice") -> Table:
    """Return one row per number of labels and one column per name."""
    table = Table("labels", *(f"{name} ({metric})" for name in histories))
    curves = [{result.n_labels: result.metrics.get(metric) for result in history} for history in histories.values()]
    for labels in sorted({labels for curve in curves for labels in curve}):
        cells = ["" if (value := curve.get(labels)) is None else f"{value:.3f}" for curve in curves]
        table.add_row(str(labels), *cells)
    return table
