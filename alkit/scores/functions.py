"""Acquisition scores: how informative would a label be, by what the model says of an image?

Uncertainty has four parts that compose: a *sampler* draws predictions (:mod:`alkit.samplers`), a *score* says per pixel
how uncertain they are, a *reduction* makes one number of an image's pixels, and a strategy's *batch rule* chooses by
it. This file holds scores and reductions: pure functions on tensors of a batch of images.

A score is any function whose parameters are named after the moments of the draws that it needs (:data:`MOMENTS`):

=================  ========================  ==============================================================
``mean``           ``(n, classes, *space)``  mean class probability over the draws
``mean_entropy``   ``(n, *space)``           mean over the draws of the entropy of each, in nats
``variance``       ``(n, classes, *space)``  variance of each class probability over the draws (divided by T)
``prediction``     ``(n, classes, *space)``  class probability of the deterministic prediction, dropout off
``heads``          tuple of the same         deep supervision: final output first, then coarser ones
=================  ========================  ==============================================================

``space`` is ``(h, w)`` for masks and empty for one class per image. A score returns ``(n, *space)``, or ``(n,)`` where
pixels were already brought together. **Higher is always more informative.** All are finite for probabilities of 0 and
1. Differences may come out a rounding error below 0; nothing is clipped.

>>> certain, torn = torch.tensor([[0.0, 1.0]]), torch.tensor([[0.5, 0.5]])
>>> [round(float(entropy(p)), 3) for p in (certain, torn)]
[0.0, 0.693]

References
----------
Gal, Islam, Ghahramani. "Deep Bayesian Active Learning with Image Data". ICML 2017. Houlsby et al. "Bayesian Active
Learning for Classification and Preference Learning". 2011. Gorriz et al. "Cost-Effective Active Learning for Melanoma
Segmentation". 2017. Zhao et al. "DSAL". IEEE JBHI 2021.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable

import numpy as np
import torch
from scipy import ndimage
from torch import Tensor

from alkit.errors import ConfigurationError, UnknownNameError, nearest
from alkit.protocols import Score

MOMENTS = ("mean", "mean_entropy", "variance", "prediction", "heads")
"""What a score may ask for, by the names of its parameters."""


def entropy(mean: Tensor) -> Tensor:
    """Entropy of the mean prediction: ``h(p) = -sum_c p_c log p_c``, in nats, 0 to log(classes)."""
    terms: Tensor = torch.special.entr(mean)
    return terms.sum(dim=1)


def least_confidence(mean: Tensor) -> Tensor:
    """One minus the probability of the most probable class: ``1 - max_c p_c``, 0 to 1 - 1 / classes."""
    return 1 - mean.amax(dim=1)


def margin(mean: Tensor) -> Tensor:
    """One minus the lead of the most probable class over the second: ``1 - (p_(1) - p_(2))``, 0 to 1."""
    first, second = mean.topk(2, dim=1).values.unbind(dim=1)
    return 1 - (first - second)


def bald(mean: Tensor, mean_entropy: Tensor) -> Tensor:
    """What the draws disagree on: ``h(mean_t p_t) - mean_t h(p_t)``, in nats, 0 to log(classes).

    Over dropout draws this is BALD (Houlsby et al. 2011), the mutual information of label and weights; over the
    members of an ensemble it is their Jensen-Shannon divergence.
    """
    return entropy(mean) - mean_entropy


def variance(variance: Tensor) -> Tensor:
    """Variance over the draws, mean over the classes: of two classes, that of the lesion's probability, 0 to 1 / 4."""
    return variance.mean(dim=1)


def edt_variance(variance: Tensor, prediction: Tensor) -> Tensor:
    """Variance over the draws, weighted by how deep inside the predicted foreground a pixel lies.

    ``v * w``, where v is :func:`variance` and w the Euclidean distance to the nearest background pixel, divided by the
    image's largest; 0 outside the foreground, which is every class but 0 in the arg-max of `prediction`. An image
    without foreground gets 0 everywhere: "no detection" (Gorriz et al. 2017).

    Notes
    -----
    Choices: the transform is taken inside the mask only, and min-max scaling of it is division by its maximum, since
    the background is 0. Where an image has no background at all, its frame counts as the contour.
    """
    return _variance(variance) * _depth(prediction, _inside)


def edt_variance_both_sides(variance: Tensor, prediction: Tensor) -> Tensor:
    """Variance over the draws, weighted by the distance from the predicted contour, inside and outside of it.

    As :func:`edt_variance`, with the transform on both sides: the distance of each pixel to the nearest one of the
    other side, min-max scaled over the image. An image without foreground gets 0 everywhere.
    """
    return _variance(variance) * _depth(prediction, _both_sides)


def head_disagreement(heads: tuple[Tensor, ...]) -> Tensor:
    """One minus the agreement of the final output with the coarser heads of deep supervision, ``(n,)``, 0 to 1.

    Agreement is the mean of Dice(final, head) over the other heads, of the arg-max masks (Zhao et al., JBHI 2021).
    Choice for more than two classes: Dice is the mean over the foreground classes that either mask shows. Two masks
    without foreground agree.

    Raises
    ------
    ConfigurationError
        There is one head only.
    """
    if len(heads) < 2:
        raise ConfigurationError(
            "one output has nothing to agree with",
            got="a network without deep supervision",
            hint="heads={2: 0.1, 4: 0.3} for alkit.UNet or alkit.networks.SmpNetwork",
        )
    masks = [_one_hot_foreground(head) for head in heads]
    agreement = torch.stack([_dice(masks[0], mask) for mask in masks[1:]]).mean(dim=0)
    return 1 - agreement


def mean(maps: Tensor) -> Tensor:
    """Return the mean over an image's pixels, ``(n,)``: comparable between image sizes."""
    return maps.flatten(1).mean(dim=1, dtype=_accurate(maps)) if maps.ndim > 1 else maps


def total(maps: Tensor) -> Tensor:
    """Return the sum over an image's pixels, ``(n,)``, as the papers have it."""
    return maps.flatten(1).sum(dim=1, dtype=_accurate(maps)) if maps.ndim > 1 else maps


def moments_of(score: Score) -> tuple[str, ...]:
    """Return the names of the moments a score needs; parameters with a default are its own affair.

    Raises
    ------
    ConfigurationError
        A parameter without a default that is not named after a moment.

    Examples
    --------
    >>> moments_of(bald)
    ('mean', 'mean_entropy')
    """
    try:
        parameters = inspect.signature(score).parameters.values()
    except (TypeError, ValueError) as reason:
        raise ConfigurationError(
            f"this function is no acquisition score ({reason})", got=repr(score), expected="a function of moments"
        ) from reason
    names = tuple(entry.name for entry in parameters if entry.default is entry.empty)
    if not names or not set(names) <= set(MOMENTS):
        raise ConfigurationError(
            "this function is no acquisition score",
            got=f"parameters {', '.join(names) or 'none'}",
            expected=f"some of {', '.join(MOMENTS)}",
        )
    return names


SCORES: dict[str, Score] = {
    "entropy": entropy,
    "least-confidence": least_confidence,
    "margin": margin,
    "bald": bald,
    "variance": variance,
    "edt-variance": edt_variance,
    "edt-variance-both-sides": edt_variance_both_sides,
    "head-disagreement": head_disagreement,
}
"""The scores above by the name a command line or a file gives them."""


def score_function(score: str | Score) -> Score:
    """Return the score of this name; a function is its own, if it is a score.

    Raises
    ------
    UnknownNameError
        There is no score of that name; the nearest are listed.
    ConfigurationError
        It is neither a name nor a function of moments.

    Examples
    --------
    >>> score_function("bald") is bald
    True
    """
    if isinstance(score, str):
        if score not in SCORES:
            raise UnknownNameError(f"there is no score {score!r}", hint=nearest(score, SCORES))
        return SCORES[score]
    if not callable(score):
        raise ConfigurationError(
            "this is no score", got=repr(score), expected=f"a function, or one of {', '.join(SCORES)}"
        )
    moments_of(score)
    return score


def name_or_function(score: str | Score) -> str | Score:
    """Return the name of a score that has one, and any other as it is: what a strategy keeps of it.

    Raises
    ------
    UnknownNameError, ConfigurationError
        As :func:`score_function`.

    Examples
    --------
    >>> name_or_function(bald), name_or_function("bald")
    ('bald', 'bald')
    """
    function = score_function(score)
    return next((name for name, known in SCORES.items() if known is function), function)


def check_draws(score: str | Score, draws: int) -> None:
    """Refuse one draw where a score asks what several disagree about: it would be the same for every image.

    Raises
    ------
    ConfigurationError
        `draws` is 1 and the score asks for ``mean_entropy`` or ``variance``.

    Examples
    --------
    >>> check_draws("entropy", 1)
    >>> check_draws("bald", 1)
    Traceback (most recent call last):
    alkit.errors.ConfigurationError: bald is about what several draws disagree on: got 1 draw. Try: alkit.Dropout(20).
    """
    function = score_function(score)
    if draws == 1 and {"mean_entropy", "variance"}.intersection(moments_of(function)):
        name = score if isinstance(score, str) else getattr(score, "__name__", repr(score))
        raise ConfigurationError(
            f"{name} is about what several draws disagree on", got="1 draw", hint="alkit.Dropout(20)"
        )


_variance = variance  # the functions above have parameters of that name


def _depth(prediction: Tensor, transform: Callable[[np.ndarray], np.ndarray]) -> Tensor:
    """Return the scaled distance transform of each predicted foreground, ``(n, h, w)``; zeros where there is none."""
    if prediction.ndim != 4:
        raise ConfigurationError(
            "distances to a contour need masks", got=f"predictions {tuple(prediction.shape)}", expected="(n, c, h, w)"
        )
    foreground = (prediction.argmax(dim=1) != 0).cpu().numpy()
    weights = [transform(mask) if mask.any() else np.zeros(mask.shape) for mask in foreground]
    return torch.from_numpy(np.stack(weights)).to(prediction)


def _inside(mask: np.ndarray) -> np.ndarray:
    framed = np.pad(mask, 1) if mask.all() else mask
    distance: np.ndarray = ndimage.distance_transform_edt(framed)
    distance = distance[1:-1, 1:-1] if mask.all() else distance
    scaled: np.ndarray = distance / distance.max()
    return scaled


def _both_sides(mask: np.ndarray) -> np.ndarray:
    if mask.all():
        return _inside(mask)
    distance: np.ndarray = ndimage.distance_transform_edt(mask) + ndimage.distance_transform_edt(~mask)
    spread = distance.max() - distance.min()
    return (distance - distance.min()) / spread if spread else np.ones_like(distance)


def _one_hot_foreground(probabilities: Tensor) -> Tensor:
    """Return which pixels are of which foreground class, ``(n, classes - 1, h * w)``, bool."""
    labels = probabilities.argmax(dim=1, keepdim=True)
    foreground = torch.arange(1, probabilities.shape[1], device=labels.device).reshape(1, -1, *[1] * (labels.ndim - 2))
    return (labels == foreground).flatten(2)


def _dice(a: Tensor, b: Tensor) -> Tensor:
    """Return the Dice of each image, ``(n,)``: the mean over the classes either shows, 1 where neither shows any."""
    both, either = (a & b).sum(dim=2), a.sum(dim=2) + b.sum(dim=2)
    shown = either > 0
    dice = torch.where(shown, 2 * both / either.clamp(min=1), 0.0).sum(dim=1)
    return torch.where(shown.any(dim=1), dice / shown.sum(dim=1).clamp(min=1), 1.0)


def _accurate(maps: Tensor) -> torch.dtype:
    return torch.float32 if maps.device.type == "mps" else torch.float64  # MPS has no float64
