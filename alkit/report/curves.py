"""Learning curves as pictures."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np

from alkit.errors import ConfigurationError
from alkit.types import RoundResult

COLOURS = ("#0072b2", "#d55e00", "#009e73", "#cc79a7", "#e69f00", "#56b4e9", "#000000")
"""Told apart by people with any colour vision (Okabe and Ito, "Color Universal Design", 2008)."""


def learning_curves(
    runs: Mapping[str, Sequence[Sequence[RoundResult]]],
    path: str | Path,
    *,
    metric: str = "dice",
    title: str = "",
) -> None:
    """Draw a metric over the number of labels: one line per name, thin for each run, thick for their mean.

    Parameters
    ----------
    runs:
        By name the histories to draw together, such as one per seed.
    path:
        Where the picture goes; the suffix (.png, .svg, .pdf) says of which kind.

    Raises
    ------
    ConfigurationError
        No run has the metric, or the picture cannot be written.

    Examples
    --------
    >>> import tempfile
    >>> history = [RoundResult(0, ("a",), 1, {"dice": 0.5}), RoundResult(1, ("b",), 2, {"dice": 0.7})]
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     learning_curves({"random": [history]}, Path(folder) / "curve.png")
    """
    from matplotlib.figure import Figure

    figure = Figure(figsize=(7, 4.2), layout="constrained")
    axes = figure.subplots()
    drawn = False
    for number, (name, histories) in enumerate(runs.items()):
        colour = COLOURS[number % len(COLOURS)]
        curves = [[(r.n_labels, r.metrics[metric]) for r in history if metric in r.metrics] for history in histories]
        curves = [curve for curve in curves if curve]
        for curve in curves:
            drawn = True
            alone = len(curves) == 1
            axes.plot(*zip(*curve, strict=True), color=colour, lw=2 if alone else 0.7, alpha=1 if alone else 0.4,
                      marker="o" if alone else None, ms=4, label=name if alone else None)  # fmt: skip
        if len(curves) > 1:
            budgets = sorted(set.intersection(*({labels for labels, _ in curve} for curve in curves)))
            means = [np.mean([dict(curve)[labels] for curve in curves]) for labels in budgets]
            axes.plot(
                budgets,
                means,
                color=colour,
                lw=2.2,
                marker="o",
                ms=4,
                label=f"{name} (mean of {len(curves)})",
            )
    if not drawn:
        raise ConfigurationError(f"no run has the metric {metric!r}", hint="evaluate on a test set")
    axes.set(xlabel="labels", ylabel=metric.capitalize(), title=title)
    axes.grid(alpha=0.3)
    axes.spines[["top", "right"]].set_visible(False)
    axes.legend(frameon=False)
    try:
        figure.savefig(path, dpi=150)
    except (OSError, ValueError) as reason:
        raise ConfigurationError(
            f"cannot draw to {path} ({reason})", hint="an existing folder, and .png or .svg"
        ) from reason
