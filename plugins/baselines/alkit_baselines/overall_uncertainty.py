"""Overall uncertainty: stop when the model is sure of its predictions of images without labels.

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
from alkit.checks import check_number
from alkit.stopping import Advice
from alkit_baselines.stop_set import last_figures

FALLS = 0.1
"""Least share by which the uncertainty falls in a round if it still falls."""


@dataclass(frozen=True)
class OverallUncertainty:
    """Advise to stop when the mean uncertainty of the last model on the stop set is small.

    Parameters
    ----------
    threshold:
        Greatest mean uncertainty at which to stop, in (0, 1). 1 is the entropy of equally probable classes.
        Default: 0.05, the default of the library small-text.

    Raises
    ------
    ConfigurationError
        `threshold` is out of range.

    Notes
    -----
    The advice is True if the uncertainty is at most the threshold, False if it is above and still falls by a tenth or
    more from round to round, and None otherwise. A network can be sure and wrong, most of all far from its training
    images, so this rule only supports others.

    Deviations: the papers average over all images without a label; here it is the stop set, which was drawn at random
    from the whole pool, so some of its images may have a label. For masks, the mean is over the pixels that may be
    foreground (a probability of 0.1 or more), since a model is sure of most background after a few labels. The pixels
    at borders stay uncertain, so masks with much border rarely reach the threshold, and an uncertainty above it is not
    taken as advice to go on unless it falls. The second paper lowers the threshold as long as predictions change;
    here, :class:`alkit_baselines.classification_change.ClassificationChange` gives its advice apart.

    Examples
    --------
    >>> history = [RoundResult(0, (), 10, stability={"uncertainty": 0.03})]
    >>> OverallUncertainty().advise(history, 10).stop
    True
    """

    threshold: float = 0.05

    def __post_init__(self) -> None:
        check_number("threshold", self.threshold, 0, 1, open_ends="()")

    def advise(self, history: Sequence[RoundResult], next_batch: int) -> Advice:
        """Advise whether the uncertainty of the last model is at most the threshold; `next_batch` is not used."""
        found = last_figures(history, "uncertainty", 1)
        if isinstance(found, str):
            return Advice(None, found, {"threshold": self.threshold})
        figures = {"uncertainty": found[-1], "threshold": self.threshold}
        before = last_figures(history, "uncertainty", 2)
        start = f"the mean uncertainty on the stop set is {found[-1]:.4f}"
        if found[-1] <= self.threshold:
            return Advice(True, f"{start}, at most {self.threshold:g}: the model is sure of its predictions", figures)
        if isinstance(before, str):
            return Advice(None, f"{start}, above {self.threshold:g}: whether it falls is not known yet", figures)
        if found[-1] <= (1 - FALLS) * before[0]:
            return Advice(False, f"{start}, above {self.threshold:g}, and falls: it was {before[0]:.4f}", figures)
        return Advice(None, f"{start}, above {self.threshold:g}, and does not fall: it was {before[0]:.4f}", figures)
