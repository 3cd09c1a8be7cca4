"""Learning curves as pictures."""

from __future__ import annotations

from collections.abc import Container, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from alkit.errors import ConfigurationError
from alkit.pictures.colours import LINE_COLOURS
from alkit.statistics.curves import Runs, mean_curve
from alkit.values.rounds import RoundResult

if TYPE_CHECKING:
    from matplotlib.axes import Axes

MARKERS = "osD^vPX*h>"
STYLES: tuple[str | tuple[int, tuple[float, ...]], ...] = ("-", (0, (5, 2)), (0, (1, 1.5)))
"""With them lines are told apart without their colours, and where there are more of them than colours."""


def learning_curves(
    runs: Mapping[str, Sequence[Sequence[RoundResult]]],
    path: str | Path,
    *,
    metric: str = "dice",
    title: str = "",
) -> None:
    """Draw a metric over the number of labels: by name thin lines for the runs, a thick one for their mean.

    From five runs on a band shows the 95 % interval of the mean.

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
    methods = {
        name: {
            number: curve
            for number, history in enumerate(histories)
            if (curve := {result.n_labels: result.metrics[metric] for result in history if metric in result.metrics})
        }
        for name, histories in runs.items()
    }
    if not any(methods.values()):
        raise ConfigurationError(f"no run has the metric {metric!r}", hint="evaluate on a test set")
    draw_curves(axes, {name: curves for name, curves in methods.items() if curves}, seeds=True)
    axes.set(xlabel="labels", ylabel=metric.capitalize(), title=title)
    try:
        figure.savefig(path, dpi=150)
    except (OSError, ValueError) as reason:
        raise ConfigurationError(
            f"cannot draw to {path} ({reason})", hint="an existing folder, and .png or .svg"
        ) from reason


def draw_curves(
    axes: Axes, methods: Mapping[str, Runs], *, seeds: bool = False, bands: Container[str] | None = None
) -> None:
    """Draw on matplotlib axes the mean over seeds of each method, with a band of the 95 % interval from five seeds on.

    Each line has a marker of its own; colours come again, with another dash and hollow markers, after seven.

    Parameters
    ----------
    methods:
        By name, and by seed, a metric by number of labels. The mean is drawn where all seeds of a method were measured.
        A name without runs keeps its colour free, so that a method looks the same in two pictures.
    seeds:
        Draw a thin line for each seed too.
    bands:
        Names of the methods that have a band; all by default. More than three hide each other.
    """
    for number, (name, runs) in enumerate(methods.items()):
        again, place = divmod(number, len(LINE_COLOURS))
        colour, style, marker = LINE_COLOURS[place], STYLES[again % len(STYLES)], MARKERS[number % len(MARKERS)]
        if seeds and len(runs) > 1:
            for curve in runs.values():
                axes.plot(*zip(*sorted(curve.items()), strict=True), color=colour, lw=0.7, alpha=0.4)
        if not runs or not set.intersection(*(set(curve) for curve in runs.values())):
            continue
        mean = mean_curve(runs)
        label = name if len(runs) == 1 else f"{name} (mean of {len(runs)})"
        axes.plot(list(mean), [point.mean for point in mean.values()], ls=style, color=colour, lw=1.8, marker=marker,
                  ms=5.5, mfc="white" if again else colour, label=label)  # fmt: skip
        low, high = ([getattr(point, end) for point in mean.values()] for end in ("low", "high"))
        if None not in low and (bands is None or name in bands):
            axes.fill_between(list(mean), low, high, color=colour, alpha=0.12, lw=0)
    axes.grid(alpha=0.3)
    axes.spines[["top", "right"]].set_visible(False)
    axes.legend(frameon=False)
