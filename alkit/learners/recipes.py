"""Recipes: learners with settings that belong together."""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from typing import Any, Literal, overload

from alkit.arguments.checked import checked
from alkit.learners.augment import Augment
from alkit.learners.classification import ClassificationLearner
from alkit.learners.segmentation import SegmentationLearner
from alkit.networks.classifier import Classifier
from alkit.networks.factory import NetworkFactory
from alkit.networks.smp import SmpNetwork
from alkit.networks.unet import UNet

ENCODER, WEIGHTS = "tu-tf_efficientnet_lite0", "efficientnet-lite0"
"""Encoder of the recommended network, by its name in segmentation-models-pytorch, and its weights."""

SHARED: Mapping[str, Any] = {
    "steps": (300, 300),
    "lr": 1e-3,
    "optimizer": "adamw",
    "weight_decay": 1e-2,
    "schedule": "one-cycle",
    "average": 0.99,
    "carry_on": False,
}
MASKS: Mapping[str, Any] = {**SHARED, "batch": 8, "augment": Augment()}
CLASSES: Mapping[str, Any] = {
    **SHARED,
    "batch": 16,
    "augment": Augment(flips=False, quarter_turns=False, affine=0.1, intensity=0.2),
}
"""Parameters of the recommended learners of masks and of classes."""

PAPER: Mapping[str, Any] = {"epochs": (10, 2), "batch": 10, "lr": 1e-4}


def strong_network() -> NetworkFactory:
    """Return the factory of the recommended network for masks."""
    return partial(SmpNetwork, ENCODER, weights=WEIGHTS)


def strong_classifier() -> NetworkFactory:
    """Return the factory of the recommended network for classes of images."""
    return partial(Classifier, ENCODER, weights=WEIGHTS)


def with_length(recipe: Mapping[str, Any], parts: Mapping[str, Any]) -> dict[str, Any]:
    """Return the parameters of a recipe with others in their place: `epochs` replace `steps`, and `steps` `epochs`."""
    own = dict(recipe)
    for name, other in (("epochs", "steps"), ("steps", "epochs")):
        if parts.get(name) is not None and other not in parts:
            own.pop(other, None)
    return {**own, **parts}


@overload
def strong(
    network: NetworkFactory | None = None, *, per: Literal["pixel"] = "pixel", **parts: Any
) -> SegmentationLearner: ...


@overload
def strong(network: NetworkFactory | None = None, *, per: Literal["image"], **parts: Any) -> ClassificationLearner: ...


@checked
def strong(
    network: NetworkFactory | None = None, *, per: Literal["pixel", "image"] = "pixel", **parts: Any
) -> SegmentationLearner | ClassificationLearner:
    """Return the recommended learner. It learns much from few labels, and costs more time than :func:`paper`.

    The encoder of its network is pre-trained on ImageNet and comes with the extra ``alkit[pretrained]``. It takes the
    same number of steps for few labels as for many, with AdamW, a learning rate that rises and falls, and the average
    of the weights. Each round starts from the pre-trained weights, so that a model does not depend on earlier rounds.

    Parameters
    ----------
    network:
        Factory of networks; None for a U-Net, or a classifier, with a pre-trained EfficientNet-Lite0 as encoder.
    per:
        ``pixel`` for masks, ``image`` for one class per image, or several.
    parts:
        Parameters of :class:`alkit.SegmentationLearner` or :class:`alkit.ClassificationLearner`, in place of those of
        the recipe.

    Raises
    ------
    ConfigurationError
        A parameter is unknown or out of range.

    Notes
    -----
    Masks: images are mirrored and turned by quarter turns. If the direction of an image matters, give
    ``augment=alkit.learners.Augment(flips=False, quarter_turns=False)``. Classes: images are only moved and brightened
    a little, because a mirrored image may belong to another class.

    Examples
    --------
    >>> from alkit import UNet
    >>> learner = strong(UNet, steps=100)
    >>> learner.steps, learner.optimizer, learner.schedule
    ((100, 100), 'adamw', 'one-cycle')
    """
    if per == "image":
        return ClassificationLearner(strong_classifier() if network is None else network, **with_length(CLASSES, parts))
    return SegmentationLearner(strong_network() if network is None else network, **with_length(MASKS, parts))


@checked
def paper(network: NetworkFactory | None = None, **parts: Any) -> SegmentationLearner:
    """Return the learner of "Self-supervised Assisted Active Learning for Skin Lesion Segmentation" (EMBC 2022).

    It has no augmentation and trains a U-Net for 10 epochs in the first round and 2 in each later one, with Adam and a
    learning rate of 1e-4. It is for the reproduction of that paper: with few labels it takes few steps and learns
    little.

    Parameters
    ----------
    network:
        Factory of networks; None for :class:`alkit.UNet`.
    parts:
        Parameters of :class:`alkit.SegmentationLearner`, in place of those of the paper.

    Raises
    ------
    ConfigurationError
        A parameter is unknown or out of range.

    Examples
    --------
    >>> paper().epochs, paper(lr=1e-3).lr
    ((10, 2), 0.001)
    """
    return SegmentationLearner(UNet if network is None else network, **with_length(PAPER, parts))
