"""Scores and predictions of a pool by one model, computed batch by batch.

Each question reads the pool once. Only the moments of one batch (:mod:`alkit.scores`) and one number per image stay in
memory, so memory grows neither with the number of draws nor with the size of the pool's images.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from alkit.arguments.checked import checked
from alkit.arguments.returned import check_returned
from alkit.arguments.words import found
from alkit.errors import ConfigurationError, SelectionError
from alkit.pools.batches import map_batches
from alkit.pools.frames import Part, parts_of
from alkit.protocols import HasFeatures, LimitsBatches, Pool, Predictor, Reduction, Sampler, Score
from alkit.rng import Stream
from alkit.samplers import DETERMINISTIC
from alkit.scores.moments import moments_of_draws, posterior_of
from alkit.scores.named import moments_of
from alkit.scores.reductions import mean
from alkit.values.predictions import Predictions
from alkit.values.progress import Progress, Report, quiet


@checked
class Scoring:
    """The scores of a pool by one model. Each score is computed once and then remembered.

    Parameters
    ----------
    pool:
        The images.
    predictor:
        The model.
    stream:
        Random stream of the draws. The same stream gives the same draws.
    report:
        Called after each batch with the progress.

    Examples
    --------
    >>> import numpy as np
    >>> from alkit import ArrayPool, scores
    >>> class Uncertain:
    ...     def probabilities(self, images):
    ...         return np.full((len(images), 2, 4, 4), 0.5, np.float32)
    >>> pool = ArrayPool(np.zeros((2, 4, 4), np.uint8), ids=["a", "b"])
    >>> found = Scoring(pool, Uncertain(), Stream(0)).scores(["a"], scores.entropy)
    >>> round(found["a"], 3)
    0.693
    """

    def __init__(self, pool: Pool, predictor: Predictor, stream: Stream, report: Report = quiet) -> None:
        self._pool, self._predictor, self._stream, self._report = pool, predictor, stream, report
        self._known: dict[tuple[Score, Sampler, Reduction], dict[str, float]] = {}

    @checked
    def scores(
        self,
        ids: Sequence[str],
        score: Score,
        sampler: Sampler = DETERMINISTIC,
        reduction: Reduction = mean,
    ) -> dict[str, float]:
        """Return the score of each image by id. See :meth:`alkit.protocols.View.scores` for parameters and errors."""
        known = self._known.setdefault((score, sampler, reduction), {})
        left = [id for id in ids if id not in known]
        names, done = moments_of(score), len(ids) - len(left)

        @torch.inference_mode()
        def scores_of(some: Sequence[str]) -> list[float]:
            images = self._pool.read(some)
            size = images.shape[-2:]  # before a model of the user writes into them
            posterior = posterior_of(self._predictor, images)
            moments = moments_of_draws(posterior, names, sampler, self._stream)
            for values in moments.values():
                _check_finite(some, values, "prediction")
            found = [0.0] * len(some)
            for part in parts_of(self._pool, some):
                result = reduction(score(**{name: _content(part, own, size) for name, own in moments.items()}))
                _check_finite([some[row] for row in part.rows], result, "score")
                for row, value in zip(part.rows, result.tolist(), strict=True):
                    found[row] = value
            return found

        for some, values in map_batches(scores_of, left, self._pool, self._at_once(left)):
            known.update(zip(some, values, strict=True))
            done += len(some)
            self._report(Progress("scores", done, len(ids)))
        return {id: known[id] for id in ids}

    @checked
    def predictions(self, ids: Sequence[str]) -> Iterator[Predictions]:
        """Yield the deterministic predictions of these images, in batches.

        Raises
        ------
        SelectionError
            A prediction is not finite. The message names the image.
        """
        done = 0

        def probabilities_of(some: Sequence[str]) -> npt.NDArray[Any]:
            return self._predictor.probabilities(self._pool.read(some))

        for some, probabilities in map_batches(probabilities_of, ids, self._pool, self._at_once(ids)):
            check_returned(self._predictor, "probabilities", probabilities, npt.NDArray[Any])
            _check_finite(some, torch.from_numpy(probabilities), "prediction")
            yield Predictions(tuple(some), probabilities)
            done += len(some)
            self._report(Progress("predict", done, len(ids)))

    @checked
    def features(self, ids: Sequence[str]) -> Iterator[npt.NDArray[np.float32]]:
        """Yield what the model sees in these images before its head, in batches: one row for each image, float32.

        Raises
        ------
        ConfigurationError
            The model has no features, or gives another number of rows or columns.
        SelectionError
            A row is not finite. The message names the image.
        """
        model, done, width = self._predictor, 0, None
        if not isinstance(model, HasFeatures):
            raise lacks_features(type(model).__name__)

        def features_of(some: Sequence[str]) -> npt.NDArray[Any]:
            return model.features(self._pool.read(some))

        for some, rows in map_batches(features_of, ids, self._pool, self._at_once(ids)):
            check_returned(model, "features", rows, npt.NDArray[Any])
            if rows.ndim != 2 or len(rows) != len(some) or width not in (None, rows.shape[1]):
                raise ConfigurationError(
                    f"{type(model).__name__}.features must return an array ({len(some)}, {width or 'd'}), one row for "
                    "each image",
                    got=f"shape {rows.shape}",
                )
            _check_finite(some, torch.from_numpy(rows), "row of features")
            width, done = rows.shape[1], done + len(some)
            yield np.asarray(rows, np.float32)
            self._report(Progress("features", done, len(ids)))

    def _at_once(self, ids: Sequence[str]) -> int | None:
        """Return the size of batches that suits the model; None if it does not tell."""
        if ids and isinstance(self._predictor, LimitsBatches):
            return self._predictor.images_at_once(self._pool.read(ids[:1]))
        return None


def _content(part: Part, values: Tensor | tuple[Tensor, ...], size: Sequence[int]) -> Tensor | tuple[Tensor, ...]:
    """Return the moments of the content of some images; moments without pixels are those of the whole image.

    Parameters
    ----------
    size:
        Height and width of the images.
    """
    if part.box is None:
        return values
    if isinstance(values, tuple):
        return tuple(_content_of(part, one, size) for one in values)
    return _content_of(part, values, size)


def _content_of(part: Part, values: Tensor, size: Sequence[int]) -> Tensor:
    has_pixels = values.ndim > 2 and tuple(values.shape[-2:]) == tuple(size)
    return part.of(values) if has_pixels else values[part.rows]


def lacks_features(got: str) -> ConfigurationError:
    """Return the error of a strategy that uses the model's features, and a learner whose models have none."""
    return ConfigurationError(
        "the strategy needs a learner whose models have a method features(images), because it uses what the model sees",
        got=got,
        hint="a learner such as alkit.SegmentationLearner, or another strategy or features=",
    )


def _check_finite(ids: Sequence[str], values: Tensor | tuple[Tensor, ...], what: str) -> None:
    for tensor in values if isinstance(values, tuple) else (values,):
        if not isinstance(tensor, Tensor):
            raise ConfigurationError(f"the {what} must be a tensor", got=found(tensor))
        if tensor.shape[:1] != (len(ids),):
            raise ConfigurationError(
                f"the {what} must have one entry per image on its first axis",
                got=f"shape {tuple(tensor.shape)}",
                expected=f"{len(ids)} entries",
            )
        finite = torch.isfinite(tensor.flatten(1).sum(dim=1) if tensor.ndim > 1 else tensor)
        if not finite.all():
            raise SelectionError(
                f"the {what} of {ids[int(finite.int().argmin())]!r} is not finite",
                hint="a smaller lr= or precision='32-true' in training: the model may have diverged",
            )
