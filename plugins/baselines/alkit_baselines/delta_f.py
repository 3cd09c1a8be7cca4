"""Delta-F: stop when the F measure is predicted to change too little.

References
----------
Altschuler, Bloodgood. "Stopping Active Learning Based on Predicted Change of F Measure for Text Classification". IEEE
ICSC 2019, arXiv 1901.09118.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from alkit import RoundResult
from alkit.checks import check_integer, check_number
from alkit.stopping import Advice
from alkit_baselines.stop_set import last_figures


@dataclass(frozen=True)
class DeltaF:
    """Advise to stop when the predicted change of the F measure was small in each of the last rounds.

    The predicted change of a round is 1 - F, where F = 2a / (2a + b + c) is the F measure between the predictions of
    its model and of the previous one on the stop set: a are the positive predictions that both make, b and c those that
    only one of them makes. On masks, F is the Dice coefficient.

    Parameters
    ----------
    threshold:
        Greatest predicted change at which to stop, in (0, 1). Default: 0.05, the default of the library small-text.
    window:
        Number of last rounds whose changes must all be below the threshold, an integer >= 1. Default: 3.

    Raises
    ------
    ConfigurationError
        A parameter is out of range.

    Notes
    -----
    The predicted change bounds nothing: it is how much F would change if the previous predictions were the truth.
    A network that is trained again from random weights changes by a few percent on the same labels, so a low threshold
    may never be reached.

    Deviations: the paper has two classes. With more, F is the mean over the classes that occur, without the background
    of masks; the pixels of all images of the stop set are pooled.

    Examples
    --------
    >>> history = [RoundResult(n, (), 10 * n, stability={"overlap": 0.97}) for n in range(4)]
    >>> DeltaF().advise(history, 10).stop, DeltaF(threshold=0.02).advise(history, 10).stop
    (True, False)
    """

    threshold: float = 0.05
    window: int = 3

    def __post_init__(self) -> None:
        check_number("threshold", self.threshold, 0, 1, open_ends="()")
        check_integer("window", self.window, least=1)

    def advise(self, history: Sequence[RoundResult], next_batch: int) -> Advice:
        """Advise whether all last predicted changes are below the threshold; `next_batch` is not used."""
        settings = {"threshold": self.threshold, "window": self.window}
        found = last_figures(history, "overlap", self.window)
        if isinstance(found, str):
            return Advice(None, found, settings)
        changes = [1 - value for value in found]
        figures = {"change": changes[-1], "greatest change": max(changes), **settings}
        start = f"the greatest predicted change of F in the last {self.window} rounds is {max(changes):.4f}"
        if max(changes) < self.threshold:
            return Advice(True, f"{start}, below {self.threshold:g}", figures)
        return Advice(False, f"{start}, not below {self.threshold:g}", figures)
