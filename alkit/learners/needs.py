"""Whether a learner's models can give what a strategy needs, asked before anybody labels anything."""

from __future__ import annotations

from alkit.errors import ConfigurationError
from alkit.protocols import BuildsNetwork, Pool, TrainsMembers, WrapsLearner


def check_needs(needs: tuple[str, ...], learner: object, pool: Pool) -> None:
    """Check what can be known of a learner's models before the first is trained.

    ``members`` are there where the learner says how many, by an attribute of that name; ``dropout`` and ``heads`` are
    looked for in a network that its factory ``network`` makes. A learner with neither is trusted until it is asked.

    Parameters
    ----------
    needs:
        Of a strategy.

    Raises
    ------
    ConfigurationError
        Something is missing; the message says what to give instead.
    """
    if "members" in needs and not isinstance(learner, TrainsMembers):
        raise ConfigurationError(
            "the strategy needs an ensemble",
            got=type(learner).__name__,
            hint="Ensemble(learner, members=5) as the learner",
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
