"""Check that a learner's models offer what a strategy needs, before anyone labels an image."""

from __future__ import annotations

from typing import Any, get_type_hints

from alkit.errors import AlkitError, ConfigurationError
from alkit.protocols import BuildsNetwork, Pool, Predictor, TrainsMembers, WrapsLearner
from alkit.rng import Stream
from alkit.values.label_spec import Images

MODEL_FEATURES = "model-features"
"""The need of a strategy that uses the features of the model, see :class:`alkit.features.OfLearner`."""


def check_needs(needs: tuple[str, ...], learner: object, pool: Pool) -> None:
    """Check a learner for the needs of a strategy, as far as possible before a model is trained.

    A learner whose models have ``members`` has an attribute of this name. ``dropout`` and ``heads`` are searched in a
    network made by its factory ``network``. A learner without a factory passes. ``model-features`` are a method of the
    models that ``fit`` declares to return, and a network made by the factory is tried on one image.

    Parameters
    ----------
    needs:
        Needs of a strategy: some of ``members``, ``dropout``, ``heads`` and ``model-features``; others are ignored.
    learner:
        The learner.
    pool:
        The images. The first one gives the number of channels.

    Raises
    ------
    ConfigurationError
        The learner's models lack something. The message suggests another learner or network.
    """
    if "members" in needs and not isinstance(learner, TrainsMembers):
        raise ConfigurationError(
            "the strategy needs an ensemble",
            got=type(learner).__name__,
            hint="alkit.Ensemble(learner, members=5) as the learner",
        )
    single = learner.learner if isinstance(learner, WrapsLearner) else learner
    if MODEL_FEATURES in needs:
        from alkit.scores.streamed import lacks_features

        for part in (learner, single):
            model = declared_model(part)
            if model is not None and not hasattr(model, "features"):
                raise lacks_features(f"{type(part).__name__}, whose models are {model.__name__}s")
    if not {"dropout", "heads", MODEL_FEATURES}.intersection(needs) or not isinstance(single, BuildsNetwork):
        return
    from alkit.networks.dropout import dropout_layers
    from alkit.networks.factory import make_network

    image = pool.read(list(pool.ids)[:1])
    network = make_network(single.network, in_channels=image.shape[1], classes=2, stream=Stream(0))
    if "dropout" in needs:
        dropout_layers(network)
    if "heads" in needs and len(getattr(network, "head_weights", ())) < 2:
        raise ConfigurationError(
            "the strategy needs a network with heads of deep supervision",
            got=type(network).__name__,
            hint="heads={2: 0.1, 4: 0.3} for alkit.UNet or alkit.networks.SmpNetwork",
        )
    if MODEL_FEATURES in needs:
        _check_head(network, image)


def _check_head(network: Any, image: Images) -> None:
    """Check that a network has features before its head. Other errors are those of the rehearsal, which explains them.

    The network is tried on an image in evaluation mode.
    """
    import torch

    from alkit.networks.before_head import features_before_head
    from alkit.networks.outputs import input_type

    try:
        features_before_head(network, torch.from_numpy(image).to(input_type(network)))
    except AlkitError:
        raise
    except Exception:  # for example an image of a size that the network does not take
        return


def check_features(model: Predictor, images: Images) -> None:
    """Check that a model gives features of some images, which raises an error if it cannot.

    Raises
    ------
    ConfigurationError
        It has no features, or they are not one row for each image.
    """
    from alkit.pools.arrays import ArrayPool
    from alkit.scores.streamed import Scoring

    pool = ArrayPool(images, channels="first")
    try:
        for _ in Scoring(pool, model, Stream(0)).features(list(pool.ids)):
            pass
    except AlkitError:
        raise
    except Exception as reason:
        raise ConfigurationError(
            f"{type(model).__name__}.features must give a row for each image ({type(reason).__name__}: {reason})",
            hint="another learner, or another strategy or features=",
        ) from reason


def declared_model(learner: Any) -> type[Any] | None:
    """Return the class of the models that ``fit`` declares; None if it declares none, or any predictor."""
    try:
        declared = get_type_hints(type(learner).fit).get("return")
    except Exception:  # names that are imported for type checkers only
        return None
    plain = isinstance(declared, type) and declared.__module__ != Predictor.__module__ and declared is not object
    return declared if plain and declared is not type(None) else None
