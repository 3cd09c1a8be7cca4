"""Acquisition scores: how informative would the label of an image be, judged by the model's predictions?

Uncertainty sampling has four parts: a *sampler* draws predictions (:mod:`alkit.samplers`), a *score* measures the
uncertainty of each pixel, a *reduction* turns the pixels of an image into one number, and a strategy selects images by
these numbers. This module contains the scores, pure functions on the tensors of a batch of images. The reductions
``mean`` and ``total`` are functions of the same kind.

A score is any function whose parameters have the names of moments of the draws (:data:`alkit.scores.MOMENTS`):

=================  ========================  ==============================================================
``mean``           ``(n, classes, *space)``  mean class probability over the draws
``mean_entropy``   ``(n, *space)``           mean over the draws of the entropy of each, in nats
``variance``       ``(n, classes, *space)``  variance of each class probability over the T draws (divisor T)
``prediction``     ``(n, classes, *space)``  class probability of the deterministic prediction, dropout off
``heads``          tuple of the same shape   heads of deep supervision: final output first, then coarser ones
=================  ========================  ==============================================================

``space`` is ``(h, w)`` for masks, and empty for one class per image. If an image can have several classes, each of them
is a question of its own with two answers, absent and present: ``classes`` is then 2, and ``space`` is ``(number of
classes,)``, so each score is computed for each class and reduced over the classes as over pixels. The mean over binary
entropies is the uncertainty of independent classes divided by their number (binary relevance; see Wu, Sheng, Zhang, Li,
Dadakova. "Multi-Label Active Learning Algorithms for Image Classification". ACM Computing Surveys 53, 2020).

A score returns ``(n, *space)``, or ``(n,)`` if it gives one number per image. **A higher score is always more
informative.** All scores are finite for probabilities of 0 and 1. Rounding may make a score that is a difference
slightly negative; nothing is clipped.

>>> certain, uncertain = torch.tensor([[0.0, 1.0]]), torch.tensor([[0.5, 0.5]])
>>> [round(float(entropy(p)), 3) for p in (certain, uncertain)]
[0.0, 0.693]

References
----------
Gal, Islam, Ghahramani. "Deep Bayesian Active Learning with Image Data". ICML 2017. Houlsby et al. "Bayesian Active
Learning for Classification and Preference Learning". 2011. Gorriz et al. "Cost-Effective Active Learning for Melanoma
Segmentation". 2017. Zhao et al. "DSAL". IEEE JBHI 2021.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import torch
from scipy import ndimage
from torch import Tensor

from alkit.arguments.checked import checked
from alkit.errors import ConfigurationError


@checked
def entropy(mean: Tensor) -> Tensor:
    """Return the entropy of the mean prediction, ``h(p) = -sum_c p_c log p_c``, in nats: 0 to log(classes).

    Parameters
    ----------
    mean:
        Mean class probability over the draws, ``(n, classes, *space)``.

    Returns
    -------
    Tensor
        ``(n, *space)``.

    Examples
    --------
    >>> entropy(torch.tensor([[0.0, 1.0], [0.5, 0.5]]))
    tensor([0.0000, 0.6931])
    """
    _check_classes("mean", mean)
    terms: Tensor = torch.special.entr(mean)
    return terms.sum(dim=1)


@checked
def least_confidence(mean: Tensor) -> Tensor:
    """Return one minus the probability of the most probable class, ``1 - max_c p_c``: 0 to 1 - 1 / classes.

    Parameters
    ----------
    mean:
        Mean class probability over the draws, ``(n, classes, *space)``.

    Returns
    -------
    Tensor
        ``(n, *space)``.

    Examples
    --------
    >>> least_confidence(torch.tensor([[0.25, 0.75], [0.5, 0.5]]))
    tensor([0.2500, 0.5000])
    """
    _check_classes("mean", mean)
    return 1 - mean.amax(dim=1)


@checked
def margin(mean: Tensor) -> Tensor:
    """Return one minus the margin between the two most probable classes, ``1 - (p_(1) - p_(2))``: 0 to 1.

    Parameters
    ----------
    mean:
        Mean class probability over the draws, ``(n, classes, *space)``.

    Returns
    -------
    Tensor
        ``(n, *space)``.

    Examples
    --------
    >>> margin(torch.tensor([[0.25, 0.75], [0.5, 0.5]]))
    tensor([0.5000, 1.0000])
    """
    _check_classes("mean", mean, 2)
    first, second = mean.topk(2, dim=1).values.unbind(dim=1)
    return 1 - (first - second)


@checked
def bald(mean: Tensor, mean_entropy: Tensor) -> Tensor:
    """Return the disagreement of the draws, ``h(mean_t p_t) - mean_t h(p_t)``, in nats: 0 to log(classes).

    For dropout draws this is BALD (Houlsby et al. 2011), the mutual information of label and weights. For the members
    of an ensemble it is their Jensen-Shannon divergence.

    Parameters
    ----------
    mean:
        Mean class probability over the draws, ``(n, classes, *space)``.
    mean_entropy:
        Mean over the draws of the entropy of each draw, in nats, ``(n, *space)``.

    Returns
    -------
    Tensor
        ``(n, *space)``.

    Examples
    --------
    Two draws that are certain of different classes have the mean (0.5, 0.5) and the mean entropy 0:

    >>> bald(torch.tensor([[0.5, 0.5]]), torch.tensor([0.0]))
    tensor([0.6931])
    """
    _check_classes("mean", mean)
    if mean_entropy.shape != mean[:, 0].shape:
        raise ConfigurationError(
            "mean_entropy must have the shape of mean without the classes", got=f"shape {tuple(mean_entropy.shape)}"
        )
    return entropy(mean) - mean_entropy


@checked
def variance(variance: Tensor) -> Tensor:
    """Return the mean over the classes of the variance over the draws: 0 to 1 / 4.

    For two classes it is the variance of the probability of either class.

    Parameters
    ----------
    variance:
        Variance of each class probability over the draws (divisor T), ``(n, classes, *space)``.

    Returns
    -------
    Tensor
        ``(n, *space)``.

    Examples
    --------
    >>> variance(torch.tensor([[0.25, 0.25], [0.0, 0.0]]))
    tensor([0.2500, 0.0000])
    """
    _check_classes("variance", variance)
    return variance.mean(dim=1)


@checked
def edt_variance(variance: Tensor, prediction: Tensor) -> Tensor:
    """Return the variance over the draws, weighted by the depth of each pixel inside the predicted foreground.

    The score is ``v * w``: v is :func:`variance`, and w is the Euclidean distance to the nearest background pixel,
    divided by the largest such distance in the image. The foreground are the pixels whose most probable class by
    `prediction` is not class 0. The score is 0 on the background, so an image without foreground has 0 everywhere:
    "no detection" (Gorriz et al. 2017).

    Parameters
    ----------
    variance:
        Variance of each class probability over the draws (divisor T), ``(n, classes, h, w)``.
    prediction:
        Class probabilities of the deterministic prediction, ``(n, classes, h, w)``.

    Returns
    -------
    Tensor
        ``(n, h, w)``, 0 to 1 / 4.

    Raises
    ------
    ConfigurationError
        The predictions are not ``(n, classes, h, w)``.

    Notes
    -----
    The paper leaves two choices open. The distance transform is computed inside the mask only, so min-max scaling means
    division by the maximum. If an image has no background, the pixels just outside its frame count as background.

    Examples
    --------
    >>> lesion = torch.zeros(1, 2, 5, 5)
    >>> lesion[:, 0], lesion[:, 1, 1:4, 1:4] = 0.5, 1.0
    >>> edt_variance(torch.full((1, 2, 5, 5), 0.2), lesion)[0, 2]
    tensor([0.0000, 0.1000, 0.2000, 0.1000, 0.0000])
    """
    _check_classes("variance", variance)
    _check_alike("prediction", prediction, variance)
    return _variance(variance) * _depth(prediction, _inside)


@checked
def edt_variance_both_sides(variance: Tensor, prediction: Tensor) -> Tensor:
    """Return the variance over the draws, weighted by the distance to the predicted contour, inside and outside.

    Like :func:`edt_variance`, but w is the distance of each pixel to the nearest pixel on the other side of the
    contour, scaled to [0, 1] in each image. An image without foreground has 0 everywhere.

    Parameters
    ----------
    variance:
        Variance of each class probability over the draws (divisor T), ``(n, classes, h, w)``.
    prediction:
        Class probabilities of the deterministic prediction, ``(n, classes, h, w)``.

    Returns
    -------
    Tensor
        ``(n, h, w)``, 0 to 1 / 4.

    Raises
    ------
    ConfigurationError
        The predictions are not ``(n, classes, h, w)``.

    Examples
    --------
    >>> lesion = torch.zeros(1, 2, 1, 6)
    >>> lesion[:, 0], lesion[..., 1, :, 3:] = 0.5, 1.0
    >>> edt_variance_both_sides(torch.full((1, 2, 1, 6), 0.2), lesion)[0, 0]
    tensor([0.2000, 0.1000, 0.0000, 0.0000, 0.1000, 0.2000])
    """
    _check_classes("variance", variance)
    _check_alike("prediction", prediction, variance)
    return _variance(variance) * _depth(prediction, _both_sides)


@checked
def head_disagreement(heads: tuple[Tensor, ...]) -> Tensor:
    """Return one minus the agreement of the final output with the other heads of deep supervision, ``(n,)``: 0 to 1.

    The agreement is the mean of Dice(final, head) over the other heads, computed on the masks of the most probable
    classes (Zhao et al., JBHI 2021). Two masks without foreground agree.

    Parameters
    ----------
    heads:
        Class probabilities of each head, the final output first, ``(n, classes, *space)`` each.

    Returns
    -------
    Tensor
        ``(n,)``.

    Raises
    ------
    ConfigurationError
        The network has only one head.

    Notes
    -----
    For more than two classes, Dice is the mean over the foreground classes that occur in either mask.

    Examples
    --------
    >>> lesion, skin = torch.tensor([[[0.0, 0.0], [1.0, 1.0]]]), torch.tensor([[[1.0, 1.0], [0.0, 0.0]]])
    >>> head_disagreement((lesion, lesion)), head_disagreement((lesion, skin))
    (tensor([0.]), tensor([1.]))
    """
    if len(heads) < 2:
        raise ConfigurationError(
            "head_disagreement needs a network with two or more heads",
            got=f"{len(heads)}",
            hint="heads={2: 0.1, 4: 0.3} for alkit.UNet or alkit.networks.SmpNetwork",
        )
    for head in heads:
        _check_classes("each of heads", head)
        _check_alike("each of heads", head, heads[0])
    masks = [_one_hot_foreground(head) for head in heads]
    agreement = torch.stack([_dice(masks[0], mask) for mask in masks[1:]]).mean(dim=0)
    return 1 - agreement


_variance = variance  # for the functions above that have a parameter of this name


def _check_classes(name: str, values: Tensor, classes: int = 1) -> None:
    """Check that a tensor has an axis of images and one of classes, and is of a float type."""
    if not values.is_floating_point():
        raise ConfigurationError(f"{name} must be of a float type", got=values.dtype)
    if values.ndim < 2 or values.shape[1] < classes:
        least = "" if classes == 1 else f" of {classes} or more classes"
        raise ConfigurationError(f"{name} must be (n, classes, *space){least}", got=f"shape {tuple(values.shape)}")


def _check_alike(name: str, values: Tensor, others: Tensor) -> None:
    if values.shape != others.shape:
        raise ConfigurationError(
            f"{name} must have the shape {tuple(others.shape)}", got=f"shape {tuple(values.shape)}"
        )


def _depth(prediction: Tensor, transform: Callable[[np.ndarray], np.ndarray]) -> Tensor:
    """Return the scaled distance transform of each predicted foreground, ``(n, h, w)``; zeros if an image has none."""
    if prediction.ndim != 4:
        raise ConfigurationError(
            "scores that use the distance to a contour need masks",
            got=f"predictions of shape {tuple(prediction.shape)}",
            expected="(n, classes, h, w)",
        )
    foreground = (prediction.argmax(dim=1) != 0).cpu().numpy()
    weights = [transform(mask) if mask.any() else np.zeros(mask.shape) for mask in foreground]
    return torch.from_numpy(np.stack(weights)).to(prediction)


def _inside(mask: np.ndarray) -> np.ndarray:
    """Return each pixel's distance to the background, divided by the largest, ``(h, w)``."""
    framed = np.pad(mask, 1) if mask.all() else mask
    distance: np.ndarray = ndimage.distance_transform_edt(framed)
    distance = distance[1:-1, 1:-1] if mask.all() else distance
    scaled: np.ndarray = distance / distance.max()
    return scaled


def _both_sides(mask: np.ndarray) -> np.ndarray:
    """Return each pixel's distance to the other side of the contour, min-max scaled, ``(h, w)``."""
    if mask.all():
        return _inside(mask)
    distance: np.ndarray = ndimage.distance_transform_edt(mask) + ndimage.distance_transform_edt(~mask)
    spread = distance.max() - distance.min()
    return (distance - distance.min()) / spread if spread else np.ones_like(distance)


def _one_hot_foreground(probabilities: Tensor) -> Tensor:
    """Return the masks of the foreground classes, ``(n, classes - 1, h * w)``, bool."""
    labels = probabilities.argmax(dim=1, keepdim=True)
    foreground = torch.arange(1, probabilities.shape[1], device=labels.device).reshape(1, -1, *[1] * (labels.ndim - 2))
    return (labels == foreground).flatten(2)


def _dice(a: Tensor, b: Tensor) -> Tensor:
    """Return the Dice of each image, ``(n,)``: the mean over the classes that occur in either; 1 if none occurs."""
    both, either = (a & b).sum(dim=2), a.sum(dim=2) + b.sum(dim=2)
    shown = either > 0
    dice = torch.where(shown, 2 * both / either.clamp(min=1), 0.0).sum(dim=1)
    return torch.where(shown.any(dim=1), dice / shown.sum(dim=1).clamp(min=1), 1.0)
