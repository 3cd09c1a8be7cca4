"""Moments of a model's draws, streamed: no draw outlives its own addition."""

from __future__ import annotations

from collections.abc import Collection, Iterator
from typing import cast

import torch
from torch import Tensor

from alkit.errors import ConfigurationError
from alkit.protocols import Posterior, Predictor, Sampler
from alkit.rng import Stream
from alkit.values.label_spec import Images


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
            hint="heads={2: 0.1, 4: 0.3} for alkit.UNet or alkit.networks.SmpNetwork",
        )
    return posterior.heads()
