"""The parts of an experiment, from what was typed."""

from __future__ import annotations

import ast
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, cast

if TYPE_CHECKING:
    from alkit.protocols import FeatureExtractor, Learner, Strategy


def parts(
    *,
    strategy: str,
    parameters: Sequence[str],
    initial: str | None,
    widths: str,
    epochs: str,
    lr: float,
    pretext_epochs: int,
    members: int,
    warm_start: bool,
    device: str,
) -> tuple[Learner, Strategy, Strategy | None]:
    """Return a learner, the strategy and that of the first round; see :mod:`alkit.cli.options` for each argument.

    The learner has the members or the heads that the strategy needs.
    """
    from functools import partial

    import alkit
    from alkit.networks.heads import DEEP_SUPERVISION
    from alkit.strategies.functions import needs_of

    network = partial(alkit.UNet, widths=_numbers("widths", widths))
    pretext = alkit.Reconstruction(network, epochs=pretext_epochs, device=device)
    first = None if initial is None else _strategy(initial, pretext, {})
    chosen = _strategy(strategy, pretext, _parameters(parameters))
    needs = needs_of(chosen)
    single = alkit.SegmentationLearner(
        partial(network, heads=DEEP_SUPERVISION) if "heads" in needs else network,
        epochs=cast("tuple[int, int]", _numbers("epochs", epochs)),
        lr=lr,
        warm_start=pretext if warm_start else None,
        device=device,
    )
    return alkit.Ensemble(single, members) if "members" in needs else single, chosen, first


def _strategy(name: str, pretext: FeatureExtractor, parameters: dict[str, Any]) -> Strategy:
    """Make a strategy; one that needs features and brings none gets those of the learner's own network."""
    from alkit.configuration.registry import found, loaded
    from alkit.errors import ConfigurationError
    from alkit.strategies.named import strategy
    from alkit.strategies.toml import read_strategy, takes_features

    if name.endswith(".toml"):
        if parameters:
            raise ConfigurationError("the parameters of a strategy in a file are in the file", got="--param")
        return read_strategy(name, pretext)
    if "features" not in parameters and takes_features(name, loaded(found(name))):
        parameters = {"features": pretext, **parameters}
    return strategy(name, **parameters)


def _parameters(pairs: Sequence[str]) -> dict[str, Any]:
    """Read ``key=value`` pairs; a value is a Python literal, or else a string."""
    from alkit.errors import ConfigurationError

    parameters: dict[str, Any] = {}
    for pair in pairs:
        key, equals, text = pair.partition("=")
        if not equals:
            raise ConfigurationError(
                "a parameter is not of the form key=value", got=pair, expected="--param clusters=5"
            )
        if key in parameters:
            raise ConfigurationError(f"--param gives {key} twice", got=pair, hint="leave one of them out")
        try:
            parameters[key] = ast.literal_eval(text)
        except (ValueError, TypeError, SyntaxError, MemoryError, RecursionError):
            parameters[key] = text
    return parameters


def _numbers(name: str, text: str) -> tuple[int, ...]:
    from alkit.errors import ConfigurationError

    try:
        return tuple(int(part) for part in text.split(","))
    except ValueError as reason:
        raise ConfigurationError(f"--{name}", got=text, expected="whole numbers with commas between them") from reason
