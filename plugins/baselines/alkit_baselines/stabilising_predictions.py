"""Stabilising predictions: stop when training on more labels no longer changes the model's predictions.

References
----------
Bloodgood, Vijay-Shanker. "A Method for Stopping Active Learning Based on Stabilizing Predictions and the Need for
User-Adjustable Stopping". CoNLL 2009, pages 39 to 47, arXiv 1409.5165.

Bloodgood, Grothendieck. "Analysis of Stopping Active Learning based on Stabilizing Predictions". CoNLL 2013, arXiv
1504.06329: a bound on the difference in F-measure of two models with a known kappa.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from statistics import fmean

from alkit import RoundResult
from alkit.checks import check_integer, check_number
from alkit.stopping import Advice


@dataclass(frozen=True)
class StabilisingPredictions:
    """Advise to stop when successive models agree on a stop set of images.

    The agreement of a round is Cohen's kappa between the predictions of its model and of the previous model on a stop
    set: images drawn at random from the whole pool. It needs no labels. It is measured if the campaign has a stop set.

    Parameters
    ----------
    window:
        Number of last agreements to average, an integer >= 1. The paper uses 3 (default).
    threshold:
        Least mean kappa at which to stop, in (0, 1]. The paper uses 0.99 (default). A lower threshold stops earlier:
        the paper's way to trade performance for fewer annotations.

    Raises
    ------
    ConfigurationError
        `window` or `threshold` is out of range.

    Notes
    -----
    With kappa K > 0, the F-measures of two successive models differ by at most 4 (1 - K) / K (Bloodgood and
    Grothendieck 2013): 0.04 at 0.99. A high agreement shows that the last batches changed little, not that the model
    is good.

    Deviations: in the paper a prediction is one class per text. Here it can also be one class per pixel; the pixels
    of all images of the stop set are pooled, so the many background pixels count too. The paper stops when the rule
    is met for the first time; this rule advises after each round. If one of the last `window` rounds has no agreement,
    the advice is None.

    Examples
    --------
    >>> history = [RoundResult(n, (), 10, agreement=kappa) for n, kappa in enumerate([None, 0.9, 0.99, 0.995, 0.991])]
    >>> advice = StabilisingPredictions().advise(history, 10)
    >>> advice.stop, round(advice.figures["mean agreement"], 3)
    (True, 0.992)
    """

    window: int = 3
    threshold: float = 0.99

    def __post_init__(self) -> None:
        check_integer("window", self.window, least=1)
        check_number("threshold", self.threshold, 0, 1, open_ends="(")

    def advise(self, history: Sequence[RoundResult], next_batch: int) -> Advice:
        """Advise whether the mean of the last agreements reaches the threshold; `next_batch` is not used."""
        settings = {"window": self.window, "threshold": self.threshold}
        known = [result.agreement for result in history if result.agreement is not None]
        if len(history) > 1 and not known:
            return Advice(
                None, "no agreement between successive models was measured: the rule needs a stop set", settings
            )
        if len(known) < self.window:
            return Advice(None, f"the rule needs {self.window} agreements, and there are {len(known)}", settings)
        last = history[-self.window :]
        for result in last:
            if result.agreement is None or not math.isfinite(result.agreement):
                problem = "was not measured" if result.agreement is None else f"is {result.agreement}"
                return Advice(None, f"the agreement of round {result.round} {problem}", settings)
        agreements = [result.agreement for result in last if result.agreement is not None]
        mean = fmean(agreements)
        figures = {"mean agreement": mean, "least agreement": min(agreements), **settings}
        start = f"the mean kappa of the last {self.window} pairs of models is {mean:.4f}"
        if mean >= self.threshold - 1e-12:  # 0.99, 0.99 and 0.99 have a mean of 0.98999...
            why = "the last batches hardly changed the predictions"
            return Advice(True, f"{start}, at least {self.threshold:g}: {why}", figures)
        return Advice(False, f"{start}, below {self.threshold:g}: the predictions still change", figures)
