"""Learning curves as pictures."""

from __future__ import annotations

import os
from collections.abc import Container, Mapping, Sequence
from typing import TYPE_CHECKING

from alkit.arguments.checked import checked, checked_except
from alkit.errors import ConfigurationError, one_line
from alkit.pictures.colours import LINE_COLOURS
from alkit.report.results import check_runs
from alkit.statistics.curves import Runs, mean_curve
from alkit.values.rounds import RoundResult

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

MARKERS = "osD^vPX*h>"
STYLES: tuple[str | tuple[int, tuple[float, ...]], ...] = ("-", (0, (5, 2)), (0, (1, 1.5)))
"""Line styles, so that lines differ without colours, and if there are more lines than colours."""


@checked_except("runs")
def learning_curves(
    runs: Mapping[str, Sequence[Sequence[RoundResult]]],
    path: str | os.PathLike[str] | None = None,
    *,
    metric: str = "dice",
    title: str = "",
) -> Figure:
    """Draw a metric over the number of labels: for each name, a thin line per run and a thick line for their mean.

    With five runs or more, a band shows the 95 % interval of the mean. The figure is returned, and a notebook shows it.
    It does not belong to ``matplotlib.pyplot``, whose state stays as it is.

    Parameters
    ----------
    runs:
        Runs by name, for example one run per seed. A run is the sequence of its rounds.
    path:
        File to write. Its suffix, such as .png, .svg or .pdf, gives the format. Default: no file.
    metric:
        Name of the metric. Default: ``"dice"``.
    title:
        Title of the picture.

    Raises
    ------
    ConfigurationError
        No run has the metric, or the file cannot be written.

    Examples
    --------
    >>> import pathlib, tempfile
    >>> history = [RoundResult(0, ("a",), 1, {"dice": 0.5}), RoundResult(1, ("b",), 2, {"dice": 0.7})]
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     figure = learning_curves({"random": [history]}, pathlib.Path(folder) / "curve.png")
    >>> figure.axes[0].get_ylabel()
    'Dice'
    """
    from alkit.report.figures import Drawing

    check_runs("runs", runs)
    figure = Drawing(figsize=(7, 4.2), layout="constrained")
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
        known = {name for own in runs.values() for history in own for result in history for name in result.metrics}
        hint = f"metric= one of {', '.join(sorted(known))}" if known else "evaluate on a test set"
        raise ConfigurationError(f"no run has the metric {metric!r}", hint=hint)
    draw_curves(axes, {name: curves for name, curves in methods.items() if curves}, seeds=True)
    axes.set(xlabel="labels")
    axes.set_ylabel(one_line(metric.capitalize()), parse_math=False)
    axes.set_title(one_line(title), parse_math=False)
    if path is not None:
        try:
            figure.savefig(path, dpi=150)
        except (OSError, ValueError) as reason:
            raise ConfigurationError(
                f"cannot write the picture {path} ({reason})",
                hint="choose an existing folder and the suffix .png or .svg",
            ) from reason
    return figure


@checked
def draw_curves(
    axes: Axes, methods: Mapping[str, Runs], *, seeds: bool = False, bands: Container[str] | None = None
) -> None:
    """Draw the mean over seeds of each method on matplotlib axes. With five seeds or more, a band is its 95 % interval.

    Each line has its own marker. After seven lines, colours repeat with another dash and hollow markers.

    Parameters
    ----------
    axes:
        Axes to draw on.
    methods:
        For each method and each seed, the metric by number of labels. The mean is drawn at numbers of labels that all
        seeds of a method have. A method without runs reserves its colour, so that a method looks the same in two
        pictures.
    seeds:
        Whether to draw a thin line for each seed too.
    bands:
        Names of the methods with a band. Default: all. More than three bands hide each other.
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
        label = one_line(name if len(runs) == 1 else f"{name} (mean of {len(runs)})")
        label = f" {label}" if label.startswith("_") else label  # matplotlib leaves names with _ out
        axes.plot(list(mean), [point.mean for point in mean.values()], ls=style, color=colour, lw=1.8, marker=marker,
                  ms=5.5, mfc="white" if again else colour, label=label)  # fmt: skip
        low, high = ([getattr(point, end) for point in mean.values()] for end in ("low", "high"))
        if None not in low and (bands is None or name in bands):
            axes.fill_between(list(mean), low, high, color=colour, alpha=0.12, lw=0)
    axes.grid(alpha=0.3)
    axes.spines[["top", "right"]].set_visible(False)
    for text in axes.legend(frameon=False).get_texts():
        text.set_parse_math(False)  # a name can contain a dollar sign
