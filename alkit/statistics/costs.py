"""How long a label takes, by what must be drawn and by who draws it."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from statistics import median

import numpy as np
import numpy.typing as npt

from alkit.arguments.checked import checked
from alkit.checks import check_integer, check_number
from alkit.errors import ConfigurationError

FEWEST_FITTED = 20
"""With fewer labels of a known outline, the cost is the median."""

FEWEST_OF_ONE = 8
"""With fewer labels, an annotator has the level of all."""

RECENT = 30
"""Number of last labels that say who will label next."""

BETTER = 0.95
"""The fit must reduce the mean absolute residual of the median to this share, else the median is the cost."""

HUBER = 0.5
"""Residuals of the logarithm of the seconds count less beyond this: a pause of a minute, or a label by one click."""

Floats = npt.NDArray[np.float64]


@checked
@dataclass(frozen=True)
class LabelCost:
    """The seconds that a label takes: (`fixed` + `per_border` border + `per_area` area) times the level of a group.

    Parameters
    ----------
    fixed, per_border, per_area:
        Seconds per image, per side of the image that must be drawn as a border, and for a foreground as large as the
        image. The last two are 0 if the cost is the median.
    levels:
        By group of labels (an annotator, with a pre-label or without), how much longer a label takes: 1 is the
        geometric mean over all labels.
    next_level:
        Level of the next labels: the mean over the last ones.
    scatter:
        Robust standard deviation of the logarithm of the seconds around the fit.
    factor:
        Mean of the seconds around the fit, which is nearer to their median.
    n:
        Number of labels.
    usual:
        Mean area and border of the labels: those of an image about which nothing is known.
    most:
        Largest area and border of the labels: larger ones are not extrapolated.
    """

    fixed: float
    per_border: float = 0.0
    per_area: float = 0.0
    levels: Mapping[str, float] = field(default_factory=dict)
    next_level: float = 1.0
    scatter: float = 0.0
    factor: float = 1.0
    n: int = 1
    usual: tuple[float, float] = (0.0, 0.0)
    most: tuple[float, float] = (math.inf, math.inf)

    @property
    def by_outline(self) -> bool:
        """Whether the cost depends on what must be drawn."""
        return self.per_border > 0 or self.per_area > 0

    @checked
    def expected(self, outline: tuple[float, float] | None = None) -> float:
        """Return the expected seconds of the next label.

        Parameters
        ----------
        outline:
            Area and border of the mask that is expected; None if nothing is known about it.
        """
        area, border = (min(part, most) for part, most in zip(outline or self.usual, self.most, strict=True))
        drawn = self.per_border * border + self.per_area * area
        return (self.fixed + drawn) * self.next_level * self.factor

    @checked
    def interval(self, labels: int, confidence: float = 0.8) -> tuple[float, float]:
        """Return by what factors the time for some labels may differ from the sum of their expected seconds.

        Both the scatter of these labels and that of the labels of the fit count.

        Examples
        --------
        >>> low, high = LabelCost(30.0, scatter=0.5, n=25).interval(100)
        >>> round(low, 2), round(high, 2)
        (0.86, 1.16)
        """
        from scipy.stats import t

        check_integer("labels", labels, least=1)
        check_number("confidence", confidence, 0, 1, open_ends="()")
        half = float(t.ppf((1 + confidence) / 2, max(1, self.n - 1)))
        half *= self.scatter * math.sqrt(1 / labels + 1 / self.n)
        return math.exp(-half), math.exp(half)


@checked
def fit_cost(
    seconds: Sequence[float],
    groups: Sequence[str] = (),
    outlines: Sequence[tuple[float, float] | None] = (),
) -> LabelCost:
    """Fit the seconds of labels.

    The coefficients are not negative, and are fitted by a robust regression of the logarithm of the seconds (a soft
    absolute loss): times scatter by factors, and some are pauses. With few labels, or if the outlines explain hardly
    anything, the cost is the median.

    Parameters
    ----------
    seconds:
        Seconds of each label, in the order in which they were given, positive.
    groups:
        Group of each label, such as its annotator. Default: all are one group.
    outlines:
        Area and border of each mask (:class:`alkit.labels.outlines.Outline`); None if it is not known.

    Raises
    ------
    ConfigurationError
        There are no seconds, they are not positive, or the lengths differ.

    Examples
    --------
    >>> outlines = [(0.1, 0.2 * k) for k in range(30)]
    >>> cost = fit_cost([10 + 20 * border for _, border in outlines], outlines=outlines)
    >>> round(cost.fixed + 0.1 * cost.per_area, 1), round(cost.per_border, 1), round(cost.expected((0.1, 2)), 1)
    (10.0, 20.0, 50.0)
    >>> round(fit_cost([20.0, 25.0, 600.0]).expected(), 6)
    25.0
    """
    took = np.asarray(seconds, np.float64)
    if not len(took) or not (np.isfinite(took) & (took > 0)).all():
        raise ConfigurationError("seconds must be one or more positive numbers", got=list(seconds)[:5])
    names, known = list(groups) or [""] * len(took), list(outlines) or [None] * len(took)
    if not len(took) == len(names) == len(known):
        raise ConfigurationError("seconds, groups and outlines must have one length", got=(len(took), len(names)))
    large = [name for name, n in Counter(names).most_common() if n >= FEWEST_OF_ONE]
    # The labels of small groups have a level together. That of a large one would bend the coefficients.
    places = [large.index(name) if name in large else len(large) for name in names]
    member = np.eye(len(large) + 1, dtype=bool)[places][:, : max(places) + 1]
    log = np.log(took)
    shift = np.array([np.median(log[own]) - np.median(log) for own in member.T])
    constant = np.zeros(3), shift
    constant[0][0] = math.exp(float(np.median(log - member @ shift)))
    best, residuals = constant, log - np.log(constant[0][0]) - member @ shift
    rows = np.array([outline is not None for outline in known], bool)
    design = np.array([(1.0, border, area) for area, border in filter(None, known)], np.float64).reshape(-1, 3)
    if rows.sum() >= FEWEST_FITTED:
        found = _fit(log[rows], design, member[rows])
        left = log[rows] - np.log(design @ found[0]) - member[rows] @ found[1]
        if np.abs(left).clip(max=1).mean() < BETTER * np.abs(residuals[rows]).clip(max=1).mean():
            best, residuals = found, left
    factor = float(np.exp(np.clip(residuals, -3 * _scatter(residuals), 3 * _scatter(residuals))).mean())
    return _cost(best, large, names, residuals, factor if len(took) >= FEWEST_OF_ONE else 1.0, design, len(took))


@dataclass(frozen=True)
class Correction:
    """How the cost of a label follows from that of the model's prediction: by a straight line, within what was seen.

    Parameters
    ----------
    slope:
        In [0, 1]: 0 if predictions tell nothing.
    actual, predicted:
        Mean seconds by the labels, and by the predictions for the same images.
    least, most:
        Range of the seconds by the labels.
    """

    slope: float
    actual: float
    predicted: float
    least: float
    most: float

    def apply(self, seconds: float) -> float:
        """Return the seconds that are expected if those by the prediction are `seconds`."""
        return min(max(self.actual + self.slope * (seconds - self.predicted), self.least), self.most)


def fit_correction(actual: Sequence[float], predicted: Sequence[float]) -> Correction:
    """Fit the seconds by labels to those by predictions for the same images, by least squares with a slope in [0, 1].

    A model that has not learnt yet sees borders everywhere or nowhere. The slope is then near 0, and every image costs
    the mean.

    Examples
    --------
    >>> fit_correction([10.0, 20.0, 30.0], [20.0, 30.0, 40.0]).apply(35.0)
    25.0
    >>> fit_correction([10.0, 20.0, 30.0], [90.0, 90.0, 90.0]).apply(70.0)
    20.0
    """
    own, theirs = np.asarray(actual, np.float64), np.asarray(predicted, np.float64)
    apart = theirs - theirs.mean()
    spread = float(apart @ apart)
    slope = float(np.clip(apart @ (own - own.mean()) / spread, 0, 1)) if spread > 1e-12 else 0.0
    return Correction(slope, float(own.mean()), float(theirs.mean()), float(own.min()), float(own.max()))


def _fit(log: Floats, design: Floats, member: npt.NDArray[np.bool_]) -> tuple[Floats, Floats]:
    """Return coefficients and the logarithms of the levels of groups, the first of which is 0."""
    from scipy.optimize import least_squares

    free = member[:, 1:]
    typical = math.exp(float(np.median(log)))
    start = np.array([0.5 * typical, *(0.25 * typical / np.maximum(design[:, 1:].mean(axis=0), 1e-6))])

    def residuals(parameters: Floats) -> Floats:
        return log - np.log(design @ parameters[:3] * typical) - free @ parameters[3:]

    lowest = np.array([1e-6, 0, 0, *[-np.inf] * free.shape[1]])
    begin = np.concatenate([start / typical, np.zeros(free.shape[1])])
    scale = np.concatenate([np.maximum(begin[:3], 1e-6), np.ones(free.shape[1])])
    found = least_squares(residuals, begin, bounds=(lowest, np.inf), loss="soft_l1", f_scale=HUBER, x_scale=scale).x
    return found[:3] * typical, np.concatenate([np.zeros(min(1, member.shape[1])), found[3:]])


def _cost(
    fit: tuple[Floats, Floats],
    large: Sequence[str],
    names: Sequence[str],
    residuals: Floats,
    factor: float,
    design: Floats,
    n: int,
) -> LabelCost:
    coefficients, shifts = fit
    by_name = dict(zip(large, shifts.tolist(), strict=False))  # further ones are those of all small groups
    centre = float(np.mean([by_name.get(name, shifts[-1]) for name in names]))
    fixed, per_border, per_area = (coefficients * math.exp(centre)).tolist()
    levels = {name: math.exp(shift - centre) for name, shift in by_name.items()}
    drawn = design[:, [2, 1]] if len(design) else np.zeros((1, 2))
    usual, most = (tuple(part.tolist()) for part in (drawn.mean(axis=0), drawn.max(axis=0)))
    return LabelCost(
        fixed, per_border, per_area, levels, float(np.mean([levels.get(name, 1.0) for name in names[-RECENT:]])),
        _scatter(residuals) if n > 1 else 1.0, factor, n, usual, most,
    )  # fmt: skip


def _scatter(residuals: Floats) -> float:
    """Return a robust standard deviation: 1.4826 times the median of the absolute values."""
    return 1.4826 * float(median(np.abs(residuals).tolist()))
