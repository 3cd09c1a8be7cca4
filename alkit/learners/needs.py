"""Check that a learner's models offer what a strategy needs, before anyone labels an image."""

from __future__ import annotations

from alkit.errors import ConfigurationError
from alkit.protocols import BuildsNetwork, Pool, TrainsMembers, WrapsLearner


def check_needs(needs: tuple[str, ...], learner: object, pool: Pool) -> None:
    """Check a learner for the needs of a strategy, as far as possible before a model is trained.

    A learner whose models have ``members`` has an attribute of this name. ``dropout`` and ``heads`` are searched in a
    network made by its factory ``network``. A learner without a factory passes.

    Parameters
    ----------
    needs:
        Needs of a strategy: some of ``members``, ``dropout`` and ``heads``; others are ignored.
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
    if not {"dropout", "heads"}.intersection(needs) or not isinstance(single, BuildsNetwork):
        return
    from alkit.networks.dropout import dropout_layers
    from alkit.networks.factory import make_network
    from alkit.rng import Stream

    channels = pool.read(list(pool.ids)[:1]).shape[1]
    network = make_network(single.network, in_channels=channels, classes=2, stream=Stream(0))
    if "dropout" in needs:
        dropout_layers(network)
    if "heads" in needs and len(getattr(network, "head_weights", ())) < 2:
        raise ConfigurationError(
            "the strategy needs a network with heads of deep supervision",
            got=type(network).__name__,
            hint="heads={2: 0.1, 4: 0.3} for alkit.UNet or alkit.networks.SmpNetwork",
        )
