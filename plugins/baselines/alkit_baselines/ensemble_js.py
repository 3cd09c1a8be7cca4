"""Ensemble-JS: label what several models, trained apart, disagree about.

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
class EnsembleJS:
    """Take the candidates where the members disagree most: their Jensen-Shannon divergence, averaged over the pixels.

    The divergence is the entropy of the mean less the mean of the members' entropies; between 0, where all members
    say the same, and log(members). The same expression over dropout passes is BALD.

    Needs a learner with members, such as :class:`alkit.Ensemble`.

    Notes
    -----
    As for ``ensemble-s``: equal scores go by id, the mean over pixels gives the order of the sum, and members have
    initial weights of their own.

    Examples
    --------
    >>> from types import SimpleNamespace
    >>> view = SimpleNamespace(scores=lambda score, sampler: {"a": 0.1, "b": 0.6, "c": 0.3})
    >>> EnsembleJS().select(view, 2, np.random.default_rng(0)).ids
    ('b', 'c')
    """

    starts_cold: ClassVar[bool] = False
    needs: ClassVar[tuple[str, ...]] = ("members",)

    def scores(self, view: View) -> Mapping[str, float]:
        """Return the divergence of the members for each candidate."""
        from alkit import scores  # bring torch, which listing the strategies does not need
        from alkit.samplers import Members

        return view.scores(scores.bald, Members())

    def select(self, view: View, n: int, rng: np.random.Generator) -> Selection:
        """Return the `n` candidates with the highest divergence, the highest first."""
        scored = self.scores(view)
        ids = top_k(list(scored), list(scored.values()), n)
        return Selection(ids, scores=tuple(scored[id] for id in ids))
