"""What a round's model says of the pool: scores and predictions, streamed.

The pool passes once per question. Of each batch only the moments of its draws are held (:mod:`alkit.scores`), and what
is kept is one number per image, so memory does not grow with the pool, with the number of draws, nor with the images'
size times the pool's.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence
from typing import cast

import torch
from torch import Tensor

from alkit.draws import DETERMINISTIC
from alkit.errors import ConfigurationError, SelectionError
from alkit.protocols import Pool, Posterior, Predictor, Sampler
from alkit.representations import batches
from alkit.rng import Stream
from alkit.scores import Reduction, Score, mean, moments_of
from alkit.types import Images, Predictions, Progress, Report, quiet


class Scoring:
    """The scores of one model, each computed once.

    Parameters
    ----------
    pool:
        Where the images are.
    predictor:
        The model.
    stream:
        All draws come from it: the same stream, the same draws.

    Examples
    --------
    >>> import numpy as np
    >>> from alkit import ArrayPool, scores
    >>> class Torn:
    ...     def probabilities(self, images):
    ...         return np.full((len(images), 2, 4, 4), 0.5, np.float32)
    >>> pool = ArrayPool(np.zeros((2, 4, 4), np.uint8), ids=["a", "b"])
    >>> found = Scoring(pool, Torn(), Stream(0)).scores(["a"], scores.entropy)
    >>> round(found["a"], 3)
    0.693
    """

    def __init__(self, pool: Pool, predictor: Predictor, stream: Stream, report: Report = quiet) -> None:
        self._pool, self._predictor, self._stream, self._report = pool, predictor, stream, report
        self._known: dict[tuple[Score, Sampler, Reduction], dict[str, float]] = {}

    def scores(
        self,
        ids: Sequence[str],
        score: Score,
        sampler: Sampler = DETERMINISTIC,
        reduction: Reduction = mean,
    ) -> dict[str, float]:
        """Return the score of each of these images: see :meth:`alkit.protocols.View.scores`."""
        known = self._known.setdefault((score, sampler, reduction), {})
        left = [id for id in ids if id not in known]
        names, done = moments_of(score), len(ids) - len(left)
        for some in self._batches(left):
            with torch.inference_mode():
                moments = moments_of_draws(
                    posterior_of(self._predictor, self._pool.read(some)), names, sampler, self._stream
                )
                for values in moments.values():
                    _check_finite(some, values, "prediction")
                result = reduction(score(**moments))
                _check_finite(some, result, "score")
            known.update(zip(some, result.tolist(), strict=True))
            done += len(some)
            self._report(Progress("scores", done, len(ids)))
        return {id: known[id] for id in ids}

    def predictions(self, ids: Sequence[str]) -> Iterator[Predictions]:
        """Yield the deterministic predictions of these images, in batches.

        Raises
        ------
        SelectionError
            One is not finite; the image is named.
        """
        done = 0
        for some in self._batches(ids):
            probabilities = self._predictor.probabilities(self._pool.read(some))
            _check_finite(some, torch.from_numpy(probabilities), "prediction")
            yield Predictions(tuple(some), probabilities)
            done += len(some)
            self._report(Progress("predict", done, len(ids)))

    def _batches(self, ids: Sequence[str]) -> Iterator[Sequence[str]]:
        """Cut `ids` into batches that the model has room for."""
        at_once = getattr(self._predictor, "images_at_once", None)
        return batches(ids, self._pool, None if at_once is None or not ids else at_once(self._pool.read(ids[:1])))


def posterior_of(predictor: Predictor, images: Images) -> Posterior:
    """Return what a model says of a batch of images; of one without a posterior of its own, the prediction."""
    own = getattr(predictor, "posterior", None)
    return cast(Posterior, _Plain(predictor, images) if own is None else own(images))


class _Plain:
    """The posterior of a predictor that has none of its own: its prediction."""

    def __init__(self, predictor: Predictor, images: Images) -> None:
        self._predictor, self._images = predictor, images

    def prediction(self) -> Tensor:
        return torch.from_numpy(self._predictor.probabilities(self._images))


def moments_of_draws(
    posterior: Posterior, names: Collection[str], sampler: Sampler, stream: Stream
) -> dict[str, Tensor | tuple[Tensor, ...]]:
    """Return the moments of these names of one batch; the draws are folded as they come and never held together.

    Parameters
    ----------
    names:
        Some of :data:`alkit.scores.MOMENTS`.

    Notes
    -----
    Mean and variance are folded by Welford's recurrence, which does not cancel.
    """
    moments: dict[str, Tensor | tuple[Tensor, ...]] = {}
    if drawn := {"mean", "mean_entropy", "variance"}.intersection(names):
        moments.update(_folded(sampler.sample(posterior, stream), drawn))
    if "prediction" in names:
        moments["prediction"] = posterior.prediction()
    if "heads" in names:
        moments["heads"] = _heads(posterior)
    return moments


def _folded(chunks: Iterator[Tensor], names: Collection[str]) -> dict[str, Tensor]:
    count = 0
    mean = entropy = squares = torch.zeros(())
    for chunk in chunks:
        for draw in chunk:  # (n, classes, *space)
            if count == 0:
                mean = torch.zeros_like(draw)
                entropy = torch.zeros_like(draw[:, 0])
                squares = torch.zeros_like(draw)
            count += 1
            step = draw - mean
            mean += step / count
            if "variance" in names:
                squares.addcmul_(step, draw - mean)
            if "mean_entropy" in names:
                entropy += torch.special.entr(draw).sum(dim=1)
    if count == 0:
        raise ConfigurationError("the sampler drew nothing", expected="at least one prediction")
    folded = {"mean": mean, "mean_entropy": entropy / count, "variance": squares / count}
    return {name: folded[name] for name in names}


def _heads(posterior: Posterior) -> tuple[Tensor, ...]:
    if not callable(getattr(posterior, "heads", None)):
        raise ConfigurationError(
            "this model has no heads of deep supervision",
            expected="a SegmentationLearner whose network has heads",
            hint="heads={2: 0.1, 4: 0.3} for alkit.UNet or alkit.SmpNetwork",
        )
    return posterior.heads()


def _check_finite(ids: Sequence[str], values: Tensor | tuple[Tensor, ...], what: str) -> None:
    for tensor in values if isinstance(values, tuple) else (values,):
        if tensor.shape[:1] != (len(ids),):
            raise ConfigurationError(
                f"each image needs a {what}", got=f"shape {tuple(tensor.shape)}", expected=f"{len(ids)} images first"
            )
        finite = torch.isfinite(tensor.flatten(1).sum(dim=1) if tensor.ndim > 1 else tensor)
        if not finite.all():
            raise SelectionError(
                f"the {what} of {ids[int(finite.int().argmin())]!r} is not finite",
                hint="the model may have diverged in training: a smaller lr, or precision='32-true'",
            )
