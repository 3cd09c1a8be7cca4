"""What a model computes of the images of a shard: scores, predictions and features, batch by batch."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from alkit.arguments.returned import check_returned
from alkit.arguments.words import found
from alkit.errors import ConfigurationError, SelectionError
from alkit.pools.frames import Part, parts_of
from alkit.pools.pieces import Shard, map_shard
from alkit.protocols import HasFeatures, Reduction, Sampler, Score
from alkit.rng import Stream
from alkit.scores.moments import moments_of_draws, posterior_of
from alkit.scores.named import moments_of
from alkit.sharing.share import Result
from alkit.sharing.travelling import OfModel, open_model
from alkit.sharing.worker import Tick


@dataclass(frozen=True)
class Scores(OfModel):
    """Scores of images."""

    score: Score
    sampler: Sampler
    reduction: Reduction
    stream: Stream

    def __call__(self, shard: Shard, tick: Tick) -> Result:
        """Return ``scores``, ``(n,)``."""
        model, names, pool = open_model(self.predictor), moments_of(self.score), shard.pool

        @torch.inference_mode()
        def scores_of(some: Sequence[str]) -> list[float]:
            images = pool.read(some)
            size = images.shape[-2:]  # before a model of the user writes into them
            posterior = posterior_of(model, images)
            moments = moments_of_draws(posterior, names, self.sampler, self.stream)
            for values in moments.values():
                check_finite(some, values, "prediction")
            values_of = [0.0] * len(some)
            for part in parts_of(pool, some):
                result = self.reduction(
                    self.score(**{name: _content(part, values, size) for name, values in moments.items()})
                )
                check_finite([some[row] for row in part.rows], result, "score")
                for row, value in zip(part.rows, result.tolist(), strict=True):
                    values_of[row] = value
            return values_of

        scores: list[float] = []
        for some, values in map_shard(scores_of, shard, self.sufficed):
            scores.extend(values)
            tick(len(some))
        return {"scores": np.array(scores, np.float64)}


@dataclass(frozen=True)
class Probabilities(OfModel):
    """Deterministic predictions of images."""

    def __call__(self, shard: Shard, tick: Tick) -> Result:
        """Return ``probabilities``, ``(n, classes, *space)``."""
        model, whole = open_model(self.predictor), list[npt.NDArray[Any]]()

        def probabilities_of(some: Sequence[str]) -> npt.NDArray[Any]:
            return model.probabilities(shard.pool.read(some))

        for some, probabilities in map_shard(probabilities_of, shard, self.sufficed):
            check_returned(model, "probabilities", probabilities, npt.NDArray[Any])
            check_finite(some, torch.from_numpy(probabilities), "prediction")
            whole.append(probabilities)
            tick(len(some))
        return {"probabilities": np.concatenate(whole)}


@dataclass(frozen=True)
class Features(OfModel):
    """What a model sees in images before its head."""

    def __call__(self, shard: Shard, tick: Tick) -> Result:
        """Return ``features``, ``(n, d)``, float32."""
        model, width, whole = open_model(self.predictor), None, list[npt.NDArray[np.float32]]()
        if not isinstance(model, HasFeatures):
            raise lacks_features(type(model).__name__)

        def features_of(some: Sequence[str]) -> npt.NDArray[Any]:
            return model.features(shard.pool.read(some))

        for some, rows in map_shard(features_of, shard, self.sufficed):
            check_returned(model, "features", rows, npt.NDArray[Any])
            check_rows(model, rows, some, width)
            check_finite(some, torch.from_numpy(rows), "row of features")
            width = rows.shape[1]
            whole.append(np.asarray(rows, np.float32))
            tick(len(some))
        return {"features": np.concatenate(whole)}


def check_rows(model: object, rows: npt.NDArray[Any], ids: Sequence[str], width: int | None) -> None:
    """Check that a model gave one row of features for each image, as wide as those before."""
    if rows.ndim != 2 or len(rows) != len(ids) or width not in (None, rows.shape[1]):
        raise ConfigurationError(
            f"{type(model).__name__}.features must return an array ({len(ids)}, {width or 'd'}), one row for "
            "each image",
            got=f"shape {rows.shape}",
        )


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


def check_finite(ids: Sequence[str], values: Tensor | tuple[Tensor, ...], what: str) -> None:
    """Check that what was computed of some images is a tensor with one finite entry for each."""
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
