"""Check that a learner's models offer what a strategy needs, before anyone labels an image."""

from __future__ import annotations

from typing import Any, get_type_hints

from alkit.errors import AlkitError, ConfigurationError
from alkit.protocols import BuildsNetwork, Pool, Posterior, Predictor, TrainsMembers, WrapsLearner
from alkit.rng import Stream
from alkit.values.label_spec import Images

MODEL_FEATURES = "model-features"
"""The need of a strategy that uses the features of the model, see :class:`alkit.features.OfLearner`."""


OF_POSTERIOR = ("dropout", "members", "heads")
"""The needs of a strategy that are methods of a posterior with the same name."""


def check_needs(needs: tuple[str, ...], learner: object, pool: Pool) -> None:
    """Check a learner for the needs of a strategy, as far as possible before a model is trained.

    A learner whose models have ``members`` has an attribute of this name. The models that ``fit`` declares to return
    have a method ``posterior``, and a method ``features`` for ``model-features``. If ``posterior`` declares a class,
    it has methods with the names of the other needs. A network made by the factory ``network`` is searched for dropout
    layers and heads, and tried on one image for ``model-features``. What is not declared passes: see
    :func:`alkit.learners.rehearsal.rehearse`.

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
    for need in OF_POSTERIOR:
        if need in needs and (without := _declared_without(learner, need)):
            raise lacks(need, without)
    single = learner.learner if isinstance(learner, WrapsLearner) else learner
    if MODEL_FEATURES in needs:
        from alkit.scores.work import lacks_features

        for part in (learner, single):
            model = declared_model(part)
            if model is not None and not hasattr(model, "features"):
                raise lacks_features(f"{type(part).__name__}, whose models are {model.__name__}s")
    if not {"dropout", "heads", MODEL_FEATURES}.intersection(needs) or not isinstance(single, BuildsNetwork):
        return
    from alkit.networks.dropout import dropout_layers
    from alkit.networks.factory import make_network
    from alkit.networks.smp_factories import weights_left_out

    image = pool.read(list(pool.ids)[:1])
    with weights_left_out():
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


def _declared_without(learner: object, need: str) -> str:
    """Return what a learner's models are, if they are declared and do not have a need; else an empty text."""
    if (model := declared_model(learner)) is None:
        return ""
    found = f"{type(learner).__name__}, whose models are {model.__name__}s"
    if not hasattr(model, "posterior"):
        return found
    posterior = declared_class(model.posterior, Posterior)
    return found if posterior is not None and not hasattr(posterior, need) else ""


def lacks(need: str, got: str) -> ConfigurationError:
    """Return the error of a strategy that needs draws, members or heads, and a learner whose models do not have them.

    Parameters
    ----------
    need:
        One of :data:`OF_POSTERIOR`.
    got:
        The learner, or its models.
    """
    if need == "members":
        return ConfigurationError(
            "the strategy needs a learner whose models are ensembles",
            got=got,
            hint="alkit.Ensemble(learner, members=5), models whose posterior(images) has members(), or another "
            "strategy",
        )
    if need == "heads":
        return ConfigurationError(
            "the strategy needs a learner whose models have heads of deep supervision",
            got=got,
            hint="heads={2: 0.1, 4: 0.3} for the network of alkit.SegmentationLearner, models whose posterior(images) "
            "has heads(), or another strategy",
        )
    return ConfigurationError(
        "the strategy needs a learner whose models draw by dropout",
        got=got,
        hint="a learner that trains a network with dropout, such as alkit.SegmentationLearner, models whose "
        "posterior(images) has dropout(draws, stream), or another strategy",
    )


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
    return declared_class(type(learner).fit, Predictor)


def declared_class(function: Any, protocol: type[Any]) -> type[Any] | None:
    """Return the class that a function declares to return; None if it declares none, or no more than a protocol."""
    try:
        declared = get_type_hints(function).get("return")
    except Exception:  # names that are imported for type checkers only
        return None
    plain = isinstance(declared, type) and declared.__module__ != protocol.__module__ and declared is not object
    return declared if plain and declared is not type(None) else None
