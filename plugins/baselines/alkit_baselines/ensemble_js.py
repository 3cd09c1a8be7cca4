"""Ensemble-JS: label the images on which independently trained models disagree.

References
----------
Lakshminarayanan, Pritzel, Blundell. "Simple and Scalable Predictive Uncertainty Estimation using Deep Ensembles".
NIPS 2017, arXiv 1612.01474.

Zhao, Lu, Zeng, Xu, Veeravalli, Guan. "Self-supervised Assisted Active Learning for Skin Lesion Segmentation".
EMBC 2022, arXiv 2205.07021, section III (the two baselines of these names).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from alkit import Selection, View, highest


@dataclass(frozen=True)
class EnsembleJS:
    """Select the candidates on which the members disagree most, by Jensen-Shannon divergence averaged over the pixels.

    The divergence is the entropy of the mean prediction minus the mean entropy of the members. It lies between 0 (all
    members agree) and log(number of members). The same expression over dropout draws is BALD.

    The strategy needs a learner with members, for example :class:`alkit.Ensemble`.

    Notes
    -----
    Equal scores are ordered by id. The paper sums over pixels; for images of one size, the mean used here gives the
    same order. The strategy does not use `rng`.

    Deviation: in the paper all members start from the same weights. Here the learner decides, and
    :class:`alkit.Ensemble` gives each member its own initial weights.

    Examples
    --------
    >>> from types import SimpleNamespace
    >>> view = SimpleNamespace(scores=lambda score, sampler: {"a": 0.1, "b": 0.6, "c": 0.3})
    >>> EnsembleJS().select(view, 2, np.random.default_rng(0)).ids
    ('b', 'c')
    """

    starts_cold: ClassVar[bool] = False
    needs: ClassVar[tuple[str, ...]] = ("members",)
    when_to_use: ClassVar[str] = (
        "Use it if you train an ensemble anyway: on ISIC 2017 at 64 x 64 pixels, the ensemble helped, and the"
        " choice of labels did not."
    )

    def scores(self, view: View) -> Mapping[str, float]:
        """Return the divergence of the members for each candidate, by id."""
        from alkit import scores  # imports torch, so not at the top of the module
        from alkit.samplers import Members

        return view.scores(scores.bald, Members())

    def select(self, view: View, n: int, rng: np.random.Generator) -> Selection:
        """Return the `n` candidates with the highest divergence, the highest first."""
        return highest(self.scores(view), n)
