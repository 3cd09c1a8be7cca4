"""DSAL: people label what a network's heads disagree about; the network labels what they agree about and are sure of.

References
----------
Zhao, Zeng, Xu, Chen, Guan. "DSAL: Deeply Supervised Active Learning From Strong and Weak Labelers for Biomedical
Image Segmentation". IEEE Journal of Biomedical and Health Informatics, 2021, arXiv 2101.09057.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from alkit import Selection, View
from alkit.strategies import top_k

from .ceal import binned, check_whole, pseudo_budget

BINS = 10
"""Bins of the histogram of confidence."""


@dataclass(frozen=True)
class DSAL:
    """Take the candidates whose heads agree least, and train on the model's own word where they agree most.

    The agreement A of an image, in [0, 1], is the mean Dice between the mask of the final output and those of the
    heads at half and at quarter resolution. Needs a network with such heads, trained with deep supervision:
    ``alkit.UNet(heads={2: 0.1, 4: 0.3})``.

    From round `pseudo_from` on there are weak labels: of the images the model is most confident about, those of the
    highest agreement are trained on with the model's own prediction. They are chosen anew each round and can still be
    queried later.

    Parameters
    ----------
    pseudo_from:
        The first round with weak labels. Default: 5.
    pseudo_step:
        How many there are in that round, and by how many more in each round after it: 20, 40, 60 ... in rounds 5, 6,
        7 ... by default; 0 for none at all. Fewer where there are fewer images.

    Raises
    ------
    ConfigurationError
        A negative round or number.

    Notes
    -----
    Confidence c is the mean over pixels of the highest class probability less 1/2, which with two classes is the
    distance of the lesion's probability from 1/2. The most confident are the last bin of a histogram of c with 10
    equal bins from its lowest to its highest value.

    Choices where the paper is silent:

    - the histogram is over the candidates not queried in this round, so its last bin holds one at least; where all c
      are equal, agreement alone decides;
    - a bin with fewer images than wanted is followed by the other candidates, those of the highest agreement first;
    - ties of A go by id.

    Deviation: weak labels are not refined by a dense conditional random field.

    No chance of its own: the generator is not used.

    Examples
    --------
    >>> from types import SimpleNamespace
    >>> view = SimpleNamespace(round=1, scores=lambda score: {"a": 0.1, "b": 0.6, "c": 0.3})
    >>> DSAL().select(view, 2, np.random.default_rng(0)).ids
    ('b', 'c')
    """

    starts_cold: ClassVar[bool] = False
    needs: ClassVar[tuple[str, ...]] = ("heads", "pseudo-labels")

    pseudo_from: int = 5
    pseudo_step: int = 20

    def __post_init__(self) -> None:
        check_whole("pseudo_from", self.pseudo_from, 0)
        check_whole("pseudo_step", self.pseudo_step, 0)

    def select(self, view: View, n: int, rng: np.random.Generator) -> Selection:
        """Return the `n` candidates of the lowest agreement, the lowest first, and the weak labels wanted."""
        from alkit import scores  # brings torch, which listing the strategies does not need

        disagreement = view.scores(scores.head_disagreement)
        ids = top_k(list(disagreement), list(disagreement.values()), n)
        wanted = pseudo_budget(view.round, self.pseudo_from, self.pseudo_step)
        weak = () if wanted == 0 else weak_labels(disagreement, view.scores(scores.least_confidence), ids, wanted)
        return Selection(ids, scores=tuple(disagreement[id] for id in ids), pseudo_labels=weak)


def weak_labels(
    disagreement: Mapping[str, float], doubt: Mapping[str, float], queried: Collection[str], n: int
) -> tuple[str, ...]:
    """Return `n` ids the model is trusted about, or as many as there are, the most trusted first.

    Parameters
    ----------
    disagreement:
        1 - A by id, in [0, 1].
    doubt:
        The mean least confidence by id: 1 less the highest class probability.
    queried:
        Ids that are not to be returned.
    n:
        0 or more.

    Examples
    --------
    >>> weak_labels({"a": 0.2, "b": 0.3, "c": 0.0, "d": 0.1}, {"a": 0.0, "b": 0.01, "c": 0.4, "d": 0.2}, ["d"], 3)
    ('a', 'b', 'c')
    """
    rest = [id for id in disagreement if id not in queried]
    confidence = binned({id: 0.5 - doubt[id] for id in rest}, BINS)

    def turn(id: str) -> tuple[bool, float, str]:
        return confidence[id] < BINS - 1, disagreement[id], id

    return tuple(sorted(rest, key=turn)[:n])
