"""Whether to go on labelling, in one sentence that names its evidence."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from alkit.statistics.forecasts import USUAL, Forecast
from alkit.stopping import Advice

WORTH = 0.01
"""Least gain of a metric that makes twice as many labels worth their cost."""

ABOUT_PREDICTIONS = frozenset({
    "stabilising-predictions",
    "overall-uncertainty",
    "classification-change",
    "delta-f",
})  # fmt: skip
"""Rules that look at predictions only. What was measured on labels outweighs them."""


@dataclass(frozen=True, slots=True)
class Recommendation:
    """A recommendation.

    Parameters
    ----------
    stop:
        True to stop, False to go on, None if the evidence is against itself.
    text:
        The recommendation and its evidence.
    """

    stop: bool | None
    text: str


def recommend(
    advice: Mapping[str, Advice], forecast: Forecast | None, metric: str | None, *, left: int | None = None
) -> Recommendation:
    """Return the recommendation.

    What counts is the gain by twice as many labels, since a small batch always adds little. It speaks for going on if
    it is expected to be 0.01 or more, and for stopping if even the upper bound of its interval is below that, after 6
    rounds or more. The forecast and rules about a measured metric outweigh rules that look at predictions only.

    Parameters
    ----------
    advice:
        Advice of the stopping rules by name.
    forecast:
        Forecast for twice as many labels, or for all that are left if these are fewer, if there is one.
    metric:
        Name of its metric.
    left:
        Number of images that can still be queried, if known.

    Examples
    --------
    >>> recommend({"delta-f": Advice(True, "..."), "expected-gain": Advice(False, "...")}, None, None).text
    'Go on: expected-gain would continue, although delta-f would stop.'
    >>> recommend({"delta-f": Advice(True, "...")}, None, None).text
    'You may stop: delta-f would stop. It looks at predictions only: nothing was measured on labels.'
    """
    if left == 0:
        return Recommendation(True, "You may stop: all images of the pool have been queried.")
    said: dict[bool, list[str]] = {True: [], False: []}
    measured: dict[bool, bool] = {True: False, False: False}
    if forecast is not None and (stop := _says(forecast)) is not None:
        said[stop].append(_gain(forecast, metric or "the metric"))
        measured[stop] = True
    for stop, verb in ((True, "stop"), (False, "continue")):
        names = [name for name, own in advice.items() if own.stop is stop]
        measured[stop] = measured[stop] or any(name not in ABOUT_PREDICTIONS for name in names)
        said[stop] += [f"{_listed(names)} would {verb}"] if names else []
    for stop, start in ((True, "You may stop"), (False, "Go on")):
        if said[stop] and (not said[not stop] or (measured[stop] and not measured[not stop])):
            but = f", although {'; '.join(said[not stop])}" if said[not stop] else ""
            only = "" if measured[stop] or not stop else f" {_predictions_only(advice)}"
            return Recommendation(stop, f"{start}: {'; '.join(said[stop])}{but}.{only}")
    if said[True]:
        return Recommendation(None, f"Not clear: {'; '.join(said[False])}, but {'; '.join(said[True])}.")
    return Recommendation(False, "Go on: nothing tells yet that the labels are enough.")


def _says(forecast: Forecast) -> bool | None:
    if forecast.gain >= WORTH:
        return False
    return True if forecast.gain_high < WORTH and forecast.rounds >= USUAL else None


def _gain(forecast: Forecast, metric: str) -> str:
    low, high = max(0.0, forecast.gain_low), max(0.0, forecast.gain_high)
    expected = f"{forecast.labels:.0f} labels in all are expected to add {max(0.0, forecast.gain):.3f} {metric}"
    return f"{expected} ({forecast.confidence:.0%} interval {low:.3f} to {high:.3f})"


def _predictions_only(advice: Mapping[str, Advice]) -> str:
    one = sum(own.stop is True for own in advice.values()) == 1
    return f"{'It looks' if one else 'They look'} at predictions only: nothing was measured on labels."


def _listed(names: Sequence[str]) -> str:
    return names[0] if len(names) == 1 else f"{', '.join(names[:-1])} and {names[-1]}"
