"""DSAL: annotators label the images on which a network's heads disagree; the network labels those where they agree.

References
----------
Zhao, Zeng, Xu, Chen, Guan. "DSAL: Deeply Supervised Active Learning From Strong and Weak Labelers for Biomedical
Image Segmentation". IEEE Journal of Biomedical and Health Informatics, 2021, arXiv 2101.09057.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass, replace
from typing import ClassVar

import numpy as np

from alkit import Selection, View, highest
from alkit.checks import check_integer

from .ceal import assign_bins, pseudo_budget

BINS = 10
"""Number of bins of the histogram of confidence."""


@dataclass(frozen=True)
class DSAL:
    """Select the candidates whose heads agree least, and request pseudo-labels for those whose heads agree most.

    The agreement A of an image, in [0, 1], is the mean Dice between the mask of the final output and the masks of the
    heads at half and at quarter resolution. The strategy needs a network with such heads, trained with deep
    supervision, for example ``alkit.UNet`` with ``heads={2: 0.1, 4: 0.3}``.

    From round `pseudo_from` on, the selection requests pseudo-labels (the paper's weak labels): among the images about
    which the model is most confident, those with the highest agreement are trained on with the model's own
    prediction. They are selected again in each round, and can still be queried later.

    Parameters
    ----------
    pseudo_from:
        First round with pseudo-labels, an integer >= 0. Default: 5.
    pseudo_step:
        Number of pseudo-labels in that round, and the number by which they grow in each later round: by default 20,
        40, 60 ... in rounds 5, 6, 7 ... 0 means none. Fewer if there are fewer images.

    Raises
    ------
    ConfigurationError
        `pseudo_from` or `pseudo_step` is not an integer >= 0.

    Notes
    -----
    The confidence c of an image is the mean over its pixels of the highest class probability minus 1/2; with two
    classes, that is the distance of the foreground probability from 1/2. The most confident images are those in the
    last bin of a histogram of c with 10 equal bins from the lowest to the highest value.

    Choices, because the paper does not specify these points:

    - the histogram holds the candidates that are not queried in this round, so its last bin holds at least one; if all
      c are equal, agreement alone decides;
    - if the last bin holds too few images, the other candidates follow, those with the highest agreement first;
    - ties of A are broken by id.

    Deviation: pseudo-labels are not refined by a dense conditional random field.

    The strategy does not use `rng`.

    Examples
    --------
    >>> from types import SimpleNamespace
    >>> view = SimpleNamespace(round=1, scores=lambda score: {"a": 0.1, "b": 0.6, "c": 0.3})
    >>> DSAL().select(view, 2, np.random.default_rng(0)).ids
    ('b', 'c')
    """

    starts_cold: ClassVar[bool] = False
    needs: ClassVar[tuple[str, ...]] = ("heads", "pseudo-labels")
    when_to_use: ClassVar[str] = (
        "Use it to repeat its paper, or to try pseudo-labels: on ISIC 2017 at 64 x 64 pixels, it did not beat"
        " random from 300 labels on."
    )

    pseudo_from: int = 5
    pseudo_step: int = 20

    def __post_init__(self) -> None:
        check_integer("pseudo_from", self.pseudo_from, least=0)
        check_integer("pseudo_step", self.pseudo_step, least=0)

    def select(self, view: View, n: int, rng: np.random.Generator) -> Selection:
        """Return the `n` candidates with the lowest agreement, the lowest first, and the requests for pseudo-labels."""
        from alkit import scores  # imports torch, so not at the top of the module

        disagreement = view.scores(scores.head_disagreement)
        selection = highest(disagreement, n)
        wanted = pseudo_budget(view.round, self.pseudo_from, self.pseudo_step)
        if wanted == 0:
            return selection
        weak = weak_labels(disagreement, view.scores(scores.least_confidence), selection.ids, wanted)
        return replace(selection, pseudo_labels=weak)


def weak_labels(
    disagreement: Mapping[str, float], doubt: Mapping[str, float], queried: Collection[str], n: int
) -> tuple[str, ...]:
    """Return the `n` ids whose predictions are most reliable, or all if there are fewer, the most reliable first.

    Parameters
    ----------
    disagreement:
        1 - A by id, in [0, 1].
    doubt:
        Least confidence by id: 1 minus the highest class probability, averaged over the pixels.
    queried:
        Ids to leave out.
    n:
        Integer >= 0.

    Examples
    --------
    >>> weak_labels({"a": 0.2, "b": 0.3, "c": 0.0, "d": 0.1}, {"a": 0.0, "b": 0.01, "c": 0.4, "d": 0.2}, ["d"], 3)
    ('a', 'b', 'c')
    """
    rest = [id for id in disagreement if id not in queried]
    confidence = assign_bins({id: 0.5 - doubt[id] for id in rest}, BINS)

    def turn(id: str) -> tuple[bool, float, str]:
        return confidence[id] < BINS - 1, disagreement[id], id

    return tuple(sorted(rest, key=turn)[:n])
