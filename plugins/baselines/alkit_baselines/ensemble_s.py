"""Ensemble-S: label what the mean of several models, trained apart, is unsure of.

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

from alkit import Selection, View
from alkit.strategies import top_k


@dataclass(frozen=True)
class EnsembleS:
    """Take the candidates where the mean of the members has the highest entropy, averaged over the pixels.

    Needs a learner with members, such as :class:`alkit.Ensemble`.

    Notes
    -----
    Equal scores go by id. The comparison sums over pixels; at one image size the mean, taken here, gives the same
    order. No chance of its own: the generator is not used.

    Deviation: in the comparison the members start from the same weights. Here their initial weights are the
    learner's affair; :class:`alkit.Ensemble` gives each its own.

    Examples
    --------
    >>> from types import SimpleNamespace
    >>> view = SimpleNamespace(scores=lambda score, sampler: {"a": 0.1, "b": 0.6, "c": 0.3})
    >>> EnsembleS().select(view, 2, np.random.default_rng(0)).scores
    (0.6, 0.3)
    """

    starts_cold: ClassVar[bool] = False
    needs: ClassVar[tuple[str, ...]] = ("members",)

    def scores(self, view: View) -> Mapping[str, float]:
        """Return the entropy of the members' mean for each candidate."""
        from alkit import scores  # bring torch, which listing the strategies does not need
        from alkit.samplers import Members

        return view.scores(scores.entropy, Members())

    def select(self, view: View, n: int, rng: np.random.Generator) -> Selection:
        """Return the `n` candidates with the highest entropy of the mean, the highest first."""
        scored = self.scores(view)
        ids = top_k(list(scored), list(scored.values()), n)
        return Selection(ids, scores=tuple(scored[id] for id in ids))
