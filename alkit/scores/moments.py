"""Moments of a model's draws, computed one draw at a time, so that the draws never lie in memory together."""

from __future__ import annotations

from collections.abc import Collection, Iterator
from functools import reduce

import torch
from torch import Tensor

from alkit.arguments.returned import check_returned
from alkit.errors import ConfigurationError
from alkit.protocols import HasHeads, HasPosterior, Posterior, Predictor, Sampler
from alkit.rng import Stream
from alkit.values.label_spec import Images
from alkit.values.predictions import probabilities_of


def posterior_of(predictor: Predictor, images: Images) -> Posterior:
    """Return the posterior of a batch of images: the predictor's own, or one that offers its prediction only."""
    if not isinstance(predictor, HasPosterior):
        return _PredictionOnly(predictor, images)
    posterior = predictor.posterior(images)
    check_returned(predictor, "posterior", posterior, Posterior)
    return posterior


class _PredictionOnly:
    """The posterior of a predictor without a method ``posterior``."""

    def __init__(self, predictor: Predictor, images: Images) -> None:
        self._predictor, self._images = predictor, images

    def prediction(self) -> Tensor:
        return torch.from_numpy(probabilities_of(self._predictor, self._images.copy(), finite=False))


def moments_of_draws(
    posterior: Posterior, names: Collection[str], sampler: Sampler, stream: Stream
) -> dict[str, Tensor | tuple[Tensor, ...]]:
    """Return moments of one batch of images by name, with the shapes that :mod:`alkit.scores` lists.

    Parameters
    ----------
    posterior:
        The model's posterior of the batch.
    names:
        Some of :data:`alkit.scores.MOMENTS`.
    sampler:
        Draws the predictions for ``mean``, ``mean_entropy`` and ``variance``.
    stream:
        Random stream of the draws.

    Raises
    ------
    ConfigurationError
        The model does not offer what the sampler or the moments need, or the sampler draws nothing.

    Notes
    -----
    Welford's recurrence computes mean and variance without cancellation.
    """
    moments: dict[str, Tensor | tuple[Tensor, ...]] = {}
    if of_draws := {"mean", "mean_entropy", "variance"}.intersection(names):
        moments.update(_accumulate(sampler.sample(posterior, stream), of_draws))
    if "prediction" in names:
        moments["prediction"] = posterior.prediction()
    if "heads" in names:
        moments["heads"] = _heads(posterior)
    return moments


def _accumulate(chunks: Iterator[Tensor], names: Collection[str]) -> dict[str, Tensor]:
    count = 0
    mean = entropy = squares = torch.zeros(())
    for chunk in chunks:
        for draw in chunk:  # (n, classes, *space)
            if count == 0:
                mean, entropy, squares = torch.zeros_like(draw), torch.zeros_like(draw[:, 0]), torch.zeros_like(draw)
            count += 1
            if "variance" in names:
                step = draw - mean
                mean += step / count
                squares.addcmul_(step, draw - mean)
            else:
                mean.lerp_(draw, 1 / count)
            if "mean_entropy" in names:
                entropy.add_(_entropy(draw))
    if count == 0:
        raise ConfigurationError("sampler must draw at least one prediction", got=0)
    moments = {"mean": mean, "mean_entropy": entropy / count, "variance": squares / count}
    return {name: moments[name] for name in names}


def _entropy(probabilities: Tensor) -> Tensor:
    """Return the entropy of each pixel, in nats: ``(n, classes, *space)`` to ``(n, *space)``.

    ``torch.special.entr`` takes twice as long on a CPU, because its logarithms are computed one by one.

    >>> _entropy(torch.tensor([[0.0, 1.0], [0.5, 0.5]]))
    tensor([-0.0000, 0.6931])
    """
    # The logarithm of 0 must be finite, as 0 times it is 0; that of a negative number stays NaN, which is an error.
    terms = probabilities.add(torch.finfo(probabilities.dtype).tiny).log_().mul_(probabilities)
    return reduce(torch.add, terms.unbind(dim=1)).neg()


def _heads(posterior: Posterior) -> tuple[Tensor, ...]:
    if not isinstance(posterior, HasHeads):
        raise ConfigurationError(
            "the score needs a network with heads of deep supervision",
            got="a model without heads",
            hint="heads={2: 0.1, 4: 0.3} for alkit.UNet or alkit.networks.SmpNetwork",
        )
    return posterior.heads()
