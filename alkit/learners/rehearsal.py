"""A rehearsal: can a learner train on the images, and do its models give what the strategy needs?

A learner trains one step on real images with made-up labels, before anybody labels an image for it. A network that does
not fit the size of the images, that cannot be stored, or that fails on a single image is found here and not later.
"""

from __future__ import annotations

import copy
import logging
from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from alkit.errors import AlkitError, ConfigurationError, without_hint
from alkit.learners.made_up import MadeUp
from alkit.learners.needs import MODEL_FEATURES, check_features, declared_model
from alkit.pools.checks import image_shape
from alkit.protocols import DrawsDropout, HasPosterior, Learner, Pool, Predictor, TriesTraining, WrapsLearner
from alkit.rng import Stream
from alkit.values.label_spec import Images, LabelSpec

if TYPE_CHECKING:
    from alkit.learners.network import NetworkPredictor

log = logging.getLogger(__name__)

PIXELS = 2**20
"""Most pixels in the batch of a rehearsal; a batch always has two images."""

FEW = 4
"""Number of images on which a learner without a rehearsal of its own is tried."""


def rehearse(learner: Learner, needs: Sequence[str], pool: Pool, spec: LabelSpec) -> int:
    """Train one step on images of the pool, and try what the strategy needs; return the fewest images in a batch.

    The batch has the size of the learner's, but at most :data:`PIXELS` pixels, and at least two images. A batch of one
    image is tried too. A learner without ``try_training`` is only tried if the strategy draws by dropout or uses the
    features of the model.

    Parameters
    ----------
    needs:
        Needs of the strategy: some of ``members``, ``dropout``, ``heads`` and ``model-features``.
    spec:
        The classes of the labels.

    Raises
    ------
    ConfigurationError
        The learner cannot train on the images, or its models cannot be stored or lack what the strategy needs.
    """
    single = learner.learner if isinstance(learner, WrapsLearner) else learner
    ids = list(pool.ids)
    if not isinstance(single, TriesTraining):
        if "dropout" in needs:
            _check_draws(single, pool.read(ids[:FEW]), spec)
        if MODEL_FEATURES in needs and (model := _small_model(single, pool.read(ids[:FEW]), spec)) is not None:
            check_features(model, pool.read(ids[:2]))
        return 1
    _, height, width = image_shape(pool)
    images = pool.read(ids[: max(2, min(single.batch, PIXELS // (height * width)))])
    model = single.try_training(images, spec)
    if "dropout" in needs:
        _draw(model, images[:2])
    if MODEL_FEATURES in needs:
        check_features(model, images[:2])
    if len(images) == 1:
        return 1
    try:
        single.try_training(images[:1], spec)
    except ConfigurationError as reason:
        if single.batch < 3:  # an odd number of labels leaves a batch of one image
            raise ConfigurationError(
                f"batch must be >= 3 for this network, because batches of one image cannot be avoided "
                f"({without_hint(reason)})",
                got=single.batch,
                hint="batch=3",
            ) from reason
        return 2
    return 1


def _draw(model: Predictor, images: Images) -> None:
    """Draw once by dropout, which raises an error if it is impossible."""
    posterior = model.posterior(images) if isinstance(model, HasPosterior) else None
    if not isinstance(posterior, DrawsDropout):
        raise _lacks_dropout(type(model).__name__)
    for _ in posterior.dropout(1, Stream(0)):
        pass
    from alkit.learners.network import NetworkPredictor  # imports torch, which asking and telling do not need

    if isinstance(model, NetworkPredictor):
        _tell_what_is_drawn(model, images)


def _tell_what_is_drawn(model: NetworkPredictor, images: Images) -> None:
    """Warn about random parts of a network that draws leave off, and about layers that are drawn by another rule."""
    from alkit.networks.dropout import active_layers, has_own_forward

    name, layers = type(model.network).__name__, active_layers(model.network)
    if left_out := model.undrawn(images):
        log.warning(
            "draws from %s use its dropout layers %s; other random parts stay off: %s",
            name,
            ", ".join(map(repr, layers)),
            ", ".join(left_out),
        )
    if own := [layer for layer in layers if has_own_forward(layers[layer])]:
        log.warning(
            "the dropout layers %s of %s have a forward of their own; draws use the masks of torch's dropout with the "
            "same probability in its place",
            ", ".join(map(repr, own)),
            name,
        )


def _check_draws(learner: Learner, images: Images, spec: LabelSpec) -> None:
    """Check that the models of a learner draw by dropout: by their class, or else by a small model."""
    declared = declared_model(learner)
    if declared is not None:
        if not hasattr(declared, "posterior"):
            raise _lacks_dropout(f"{type(learner).__name__}, whose models are {declared.__name__}s")
        return
    if (model := _small_model(learner, images, spec)) is None:
        return
    try:
        _draw(model, images[:2])
    except AlkitError:
        raise
    except Exception as reason:
        raise ConfigurationError(
            f"the models of {type(learner).__name__} cannot draw by dropout ({type(reason).__name__}: {reason})",
            hint="another strategy",
        ) from reason


def _small_model(learner: Learner, images: Images, spec: LabelSpec) -> Predictor | None:
    """Return a model of a copy of the learner, trained on made-up labels; None if it cannot be trained on them."""
    try:
        return copy.copy(learner).fit(MadeUp(images, spec), np.random.default_rng(0))
    except Exception:  # the learner may refuse so few images, or need features
        return None


def _lacks_dropout(got: str) -> ConfigurationError:
    return ConfigurationError(
        "the strategy needs a learner whose models draw by dropout",
        got=got,
        hint="a learner that trains a network with dropout, such as alkit.SegmentationLearner, or another strategy",
    )
