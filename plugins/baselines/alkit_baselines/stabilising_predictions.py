"""Stabilising predictions: stop when training on more labels no longer changes what the model predicts.

References
----------
Bloodgood, Vijay-Shanker. "A Method for Stopping Active Learning Based on Stabilizing Predictions and the Need for
User-Adjustable Stopping". CoNLL 2009, pages 39 to 47, arXiv 1409.5165.

Bloodgood, Grothendieck. "Analysis of Stopping Active Learning based on Stabilizing Predictions". CoNLL 2013, arXiv
1504.06329: how much two models whose kappa is known can differ in F-measure.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from statistics import fmean

from alkit import RoundResult
from alkit.errors import ConfigurationError
from alkit.stopping import Advice


@dataclass(frozen=True)
class StabilisingPredictions:
    """Stop when successive models agree on a stop set of images, labelled or not.

    The agreement of a round is Cohen's kappa between its model's predictions on a stop set and those of the model
    before, and is measured where the campaign has a stop set: images drawn by chance from the whole pool, some of which
    come to be labelled. It needs no labels.

    Parameters
    ----------
    window:
        Over how many of the last agreements the mean is taken, at least 1; the paper's is 3.
    threshold:
        Stop where that mean is at least so much, above 0 and at most 1; the paper's is 0.99. Lower stops earlier: the
        setting by which the paper lets users trade annotation for performance.

    Raises
    ------
    ConfigurationError
        A window below 1, or a threshold that kappa cannot reach.

    Notes
    -----
    With kappa K above 0, the F-measures of two successive models differ by at most 4 (1 - K) / K (Bloodgood and
    Grothendieck 2013): 0.04 at 0.99. A high agreement says that the last batches changed little, not that the model
    is good.

    Deviations: the paper's predictions are one class per text; here they may also be one per pixel, all pixels of the
    stop set together, so that the many background pixels count too. The paper stops when the rule fires for the first
    time; this advises anew after each round. A round without an agreement among the last ones leaves the question
    open.

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
        if self.window < 1:
            raise ConfigurationError("there is no such window", got=self.window, expected="1 or more agreements")
        if not 0 < self.threshold <= 1:
            raise ConfigurationError("kappa cannot be so", got=self.threshold, expected="above 0 and at most 1")

    def advise(self, history: Sequence[RoundResult], next_batch: int) -> Advice:
        """Return whether the mean of the last agreements reaches the threshold; the batch makes no difference."""
        settings = {"window": self.window, "threshold": self.threshold}
        known = [result.agreement for result in history if result.agreement is not None]
        if len(history) > 1 and not known:
            return Advice(None, "no agreement between successive models was measured: it needs a stop set", settings)
        if len(known) < self.window:
            return Advice(None, f"it needs {self.window} agreements, and there are {len(known)}", settings)
        last = history[-self.window :]
        for result in last:
            if result.agreement is None or not math.isfinite(result.agreement):
                lacks = "was not measured" if result.agreement is None else f"is {result.agreement}"
                return Advice(None, f"the agreement of round {result.round} {lacks}", settings)
        agreements = [result.agreement for result in last if result.agreement is not None]
        mean = fmean(agreements)
        figures = {"mean agreement": mean, "least agreement": min(agreements), **settings}
        over = f"the mean kappa of the last {self.window} pairs of models is {mean:.4f}"
        if mean >= self.threshold - 1e-12:  # 0.99, 0.99 and 0.99 have a mean of 0.98999...
            return Advice(True, f"{over}, at least {self.threshold:g}: the last batches hardly changed it", figures)
        return Advice(False, f"{over}, below {self.threshold:g}: its predictions still change", figures)
