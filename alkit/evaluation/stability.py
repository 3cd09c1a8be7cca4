"""How sure a model is about images without labels, and how much its predictions differ from the previous model's.

Stopping rules read these figures. They are measured on the stop set, which is drawn at random from the pool.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt

from alkit.evaluation.work import Checked
from alkit.pools.frames import parts_of
from alkit.pools.pieces import shards_of
from alkit.protocols import Learner, Pool, Predictor
from alkit.sharing.share import Counted, share
from alkit.sharing.workers import Workers
from alkit.values.label_spec import LabelSpec
from alkit.values.predictions import most_probable_labels
from alkit.values.progress import quiet

IN_PLAY = 0.1
"""Pixels of masks count for the uncertainty if the probability of a foreground class is at least this."""


@dataclass(frozen=True)
class Stability:
    """How sure a model is, and how much its predictions differ from those of the previous model.

    Parameters
    ----------
    agreement:
        Cohen's kappa of both models' predictions; None without a previous model.
    figures:
        ``uncertainty``: mean entropy of the predictions, divided by that of equally probable classes; of masks over the
        pixels that may be foreground. ``changed``: share of the images (or of the pixels that either model calls
        foreground) with another class than before. ``overlap``: F measure (Dice coefficient) between both models'
        predictions, the mean over the foreground classes (over all classes of images) that occur. Undefined ones are
        left out.
    """

    agreement: float | None
    figures: Mapping[str, float] = field(default_factory=dict)


def stability(
    predictor: Predictor,
    previous: Predictor | None,
    pool: Pool,
    ids: Sequence[str],
    spec: LabelSpec,
    learner: Learner | None = None,
    workers: Workers = None,
) -> Stability:
    """Return how sure a model is of its predictions of `ids`, and how far they agree with those of the previous model.

    If an image can have several classes, each of them is a decision of its own. Kappa is 1 if both agree everywhere,
    even if all predictions are of one class, for which it is undefined.
    """
    models = [predictor] if previous is None else [predictor, previous]
    shards, counted = shards_of(pool, list(ids)), Counted(quiet, "evaluate", len(ids))
    works = [Checked(model, learner, spec) for model in models]
    found = (share(work, shards, counted, workers=workers, stream=True) for work in works)
    table, sure = _Table(2 if spec.multiple else spec.values), _Sure()
    for shard, *results in zip(shards, *found, strict=True):
        for part in parts_of(pool, shard.ids, spec.per == "pixel"):
            probabilities = [part.of(result["whole"]) for result in results]
            sure.add(probabilities[0], spec)
            table.add(*(most_probable_labels(one).ravel().astype(np.int64) for one in probabilities))
    figures = {} if sure.n == 0 else {"uncertainty": sure.total / sure.n}
    if previous is None:
        return Stability(None, figures)
    return Stability(table.kappa(), {**figures, **table.figures(per_pixel=spec.per == "pixel")})


@dataclass
class _Sure:
    """The entropy of predictions, in units of its greatest value."""

    total: float = 0.0
    n: int = 0

    def add(self, probabilities: npt.NDArray[np.float32], spec: LabelSpec) -> None:
        """Add predictions ``(n, classes, *space)``, or ``(n, 2, classes)``."""
        for image in probabilities:  # one by one, since the copies are large
            given = image.astype(np.float64)
            entropy = -(given * np.log(np.clip(given, 1e-12, 1))).sum(axis=0) / math.log(len(given))
            if spec.per == "pixel":
                entropy = entropy[given[0] <= 1 - IN_PLAY]
            self.total, self.n = self.total + float(entropy.sum()), self.n + entropy.size


class _Table:
    """How often one model predicts each class where the other predicts each."""

    def __init__(self, classes: int) -> None:
        self.counts = np.zeros((classes, classes), np.int64)

    def add(self, own: npt.NDArray[np.int64], theirs: npt.NDArray[np.int64] | None = None) -> None:
        """Add predicted classes of both."""
        if theirs is not None:
            n = len(self.counts)
            self.counts += np.bincount(own * n + theirs, minlength=n * n).reshape(n, n)

    def kappa(self) -> float:
        """Return Cohen's kappa; 1 if both agree everywhere."""
        total, same = self.counts.sum(), np.trace(self.counts)
        if same == total:
            return 1.0
        chance = float(self.counts.sum(axis=0) @ self.counts.sum(axis=1)) / float(total) ** 2
        return (float(same / total) - chance) / (1 - chance)

    def figures(self, *, per_pixel: bool) -> dict[str, float]:
        """Return ``changed`` and ``overlap``; of pixels without those that both models call background."""
        either = self.counts.sum() - (self.counts[0, 0] if per_pixel else 0)
        found: dict[str, Any] = {}
        if either:
            found["changed"] = float((self.counts.sum() - np.trace(self.counts)) / either)
        both = np.diag(self.counts)
        sums = self.counts.sum(axis=0) + self.counts.sum(axis=1)
        counts = np.arange(len(sums)) >= (1 if per_pixel else 0)
        if (occurs := counts & (sums > 0)).any():
            found["overlap"] = float((2 * both[occurs] / sums[occurs]).mean())
        return found
