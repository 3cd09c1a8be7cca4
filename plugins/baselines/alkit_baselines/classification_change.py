"""Classification change: stop when two rounds in a row changed hardly any prediction.

References
----------
Zhu, Wang, Hovy. "Multi-Criteria-Based Strategy to Stop Active Learning for Data Annotation". COLING 2008, pages 1129 to
1136.

Zhu, Wang, Hovy, Ma. "Confidence-Based Stopping Criteria for Active Learning for Data Annotation". ACM Transactions on
Speech and Language Processing 6(3), 2010.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from alkit import RoundResult
from alkit.checks import check_integer, check_number
from alkit.stopping import Advice
from alkit_baselines.stop_set import last_figures


@dataclass(frozen=True)
class ClassificationChange:
    """Advise to stop when the last rounds changed hardly any predicted class on the stop set.

    Parameters
    ----------
    threshold:
        Greatest share of changed predictions in each of the last rounds at which to stop, in [0, 1). The papers need
        0. Default: 0.05.
    window:
        Number of last rounds, an integer >= 1. Default: 2, as in the papers.

    Raises
    ------
    ConfigurationError
        A parameter is out of range.

    Notes
    -----
    Deviations: the papers compare the classes of all images without a label; here it is the stop set, drawn at random
    from the whole pool. For masks, the share is that of the pixels that either model calls foreground: background, of
    which there is most, would hide every change. Masks never stay the same to the last pixel, so some change is
    allowed.

    Examples
    --------
    >>> history = [RoundResult(n, (), 10 * n, stability={"changed": 0.03}) for n in range(3)]
    >>> ClassificationChange().advise(history, 10).stop, ClassificationChange(threshold=0.0).advise(history, 10).stop
    (True, False)
    """

    threshold: float = 0.05
    window: int = 2

    def __post_init__(self) -> None:
        check_number("threshold", self.threshold, 0, 1, open_ends=")")
        check_integer("window", self.window, least=1)

    def advise(self, history: Sequence[RoundResult], next_batch: int) -> Advice:
        """Advise whether the last rounds changed at most the threshold; `next_batch` is not used."""
        settings = {"threshold": self.threshold, "window": self.window}
        found = last_figures(history, "changed", self.window)
        if isinstance(found, str):
            return Advice(None, found, settings)
        figures = {"changed": found[-1], "most changed": max(found), **settings}
        what = "the last round" if self.window == 1 else f"each of the last {self.window} rounds"
        if max(found) <= self.threshold:
            why = f"{what} changed at most {max(found):.1%} of the predictions on the stop set"
            return Advice(True, f"{why}, and {self.threshold:.1%} are allowed", figures)
        return Advice(
            False,
            f"one of the last rounds changed {max(found):.1%} of the predictions on the stop set, more than "
            f"{self.threshold:.1%}",
            figures,
        )
