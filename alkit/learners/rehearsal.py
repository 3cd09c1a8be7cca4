"""A rehearsal: can a learner train on the images, and do its models give what the strategy needs?

A learner trains one step on real images with made-up labels, before anybody labels an image for it. A network that does
not fit the size of the images, that cannot be stored, or that fails on a single image is found here and not later.
"""

from __future__ import annotations

import copy
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from alkit._logs import logger
from alkit.errors import AlkitError, ConfigurationError, without_hint
from alkit.learners.made_up import MadeUp
from alkit.learners.needs import MODEL_FEATURES, OF_POSTERIOR, check_features, lacks
from alkit.pools.checks import image_shape
from alkit.protocols import (
    ChecksSpec,
    DrawsDropout,
    DrawsMembers,
    HasHeads,
    HasPosterior,
    Learner,
    Pool,
    Predictor,
    TriesTraining,
    WrapsLearner,
)
from alkit.rng import Stream
from alkit.values.label_spec import Images, LabelSpec

if TYPE_CHECKING:
    from alkit.learners.predictor import NetworkPredictor

log = logger(__name__)

PIXELS = 2**17
"""Most pixels in the batch of a rehearsal; a batch always has two images."""

FEW = 4
"""Number of images on which a learner without a rehearsal of its own is tried."""


def rehearse(learner: Learner, needs: Sequence[str], pool: Pool, spec: LabelSpec) -> int:
    """Train one step on images of the pool, and try what the strategy needs; return the fewest images in a batch.

    The batch has the size of the learner's, but at most :data:`PIXELS` pixels, and at least two images. A batch of one
    image is tried too, unless the learner fills its batches. A learner without ``try_training`` is only tried if the
    strategy needs something of its models: it trains on :data:`FEW` images.

    Parameters
    ----------
    needs:
        Needs of the strategy: some of ``members``, ``dropout``, ``heads`` and ``model-features``.
    spec:
        The classes of the labels.

    Raises
    ------
    ConfigurationError
        The learner cannot train on the images or learn such labels, or its models cannot be stored or lack what the
        strategy needs.
    """
    single = learner.learner if isinstance(learner, WrapsLearner) else learner
    wanted = [need for need in needs if need in (*OF_POSTERIOR, MODEL_FEATURES)]
    ids = list(pool.ids)
    if isinstance(single, ChecksSpec):
        single.check_spec(spec)
    if not isinstance(single, TriesTraining):
        if wanted and (model := _small_model(learner, pool.read(ids[:FEW]), spec)) is not None:
            _check_model(model, wanted, pool.read(ids[:2]), spec)
        return 1
    _, height, width = image_shape(pool)
    images = pool.read(ids[: max(2, min(single.batch, PIXELS // (height * width)))])
    model = single.try_training(images, spec)
    if wanted and (whole := _whole_model(learner, single, model, images, spec)) is not None:
        _check_model(whole, wanted, images[:2], spec)
    if len(images) == 1 or getattr(single, "fills_batches", False):
        return 1
    try:
        single.try_training(images[:1], spec, *([True] if getattr(single, "tries_steps", False) else []))
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


def _whole_model(
    learner: Learner, single: Learner, model: Predictor, images: Images, spec: LabelSpec
) -> Predictor | None:
    """Return a model as `learner` makes it, given one of the learner `single` that it may train its members by."""
    from alkit.learners.ensemble import Ensemble, EnsemblePredictor  # imports torch

    if learner is single:
        return model
    if type(learner) is Ensemble:
        return EnsemblePredictor((model, model))
    return _small_model(learner, images[:FEW], spec)


def _check_model(model: Predictor, needs: Sequence[str], images: Images, spec: LabelSpec) -> None:
    """Try what a strategy needs of a model, which raises an error if it is missing or fails."""
    for need in needs:
        if need == MODEL_FEATURES:
            check_features(model, images)
            continue
        try:
            _try_posterior(model, need, images, spec)
        except AlkitError:
            raise
        except Exception as reason:
            raise ConfigurationError(
                f"{need}() of the posterior of a {type(model).__name__} fails ({type(reason).__name__}: {reason})",
                hint="another learner or another strategy",
            ) from reason
    if "dropout" in needs:
        from alkit.learners.predictor import NetworkPredictor  # imports torch, which asking and telling do not need

        if isinstance(model, NetworkPredictor):
            _tell_what_is_drawn(model, images)


def _try_posterior(model: Predictor, need: str, images: Images, spec: LabelSpec) -> None:
    """Take a draw by dropout, all members or all heads from the posterior of some images."""
    posterior: Any = model.posterior(images) if isinstance(model, HasPosterior) else None
    kind, least = _POSTERIORS[need]
    if not isinstance(posterior, kind):
        raise lacks(need, type(model).__name__)
    found = 0
    for drawn in posterior.dropout(1, Stream(0)) if need == "dropout" else getattr(posterior, need)():
        shape = tuple(drawn.shape)
        stack = shape if need == "heads" else shape[1:]
        form = stack[1:] == (2, len(spec.classes)) if spec.multiple else len(stack) in (2, 4)
        if not form or stack[0] != len(images):
            k = "" if need == "heads" else "k, "
            raise ConfigurationError(
                f"{need}() of the posterior of a {type(model).__name__} must give probabilities "
                f"{f'({k}n, 2, classes)' if spec.multiple else f'({k}n, classes, h, w) or ({k}n, classes)'}",
                got=f"shape {shape} for {len(images)} images",
            )
        found += 1 if need == "heads" else shape[0]
    if found < least:
        raise ConfigurationError(
            f"{need}() of the posterior of a {type(model).__name__} must give {least} or more predictions", got=found
        )


_POSTERIORS: dict[str, tuple[type[Any], int]] = {
    "dropout": (DrawsDropout, 1),
    "members": (DrawsMembers, 2),
    "heads": (HasHeads, 2),
}
"""By need of a strategy, the protocol of the posterior, and the fewest predictions that it gives."""


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


def _small_model(learner: Learner, images: Images, spec: LabelSpec) -> Predictor | None:
    """Return a model of a copy of the learner, trained on made-up labels; None if it cannot be trained on them."""
    try:
        return copy.copy(learner).fit(MadeUp(images, spec), np.random.default_rng(0))
    except Exception as reason:  # the learner may refuse so few images, or need features
        log.warning(
            "%s cannot be tried on %d images with made-up labels (%s: %s), so whether its models have all that the "
            "strategy needs is not known before there are labels; a method try_training(images, spec) of the learner "
            "can try it",
            type(learner).__name__,
            len(images),
            type(reason).__name__,
            reason,
        )
        return None
