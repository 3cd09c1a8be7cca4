"""What alkit says about the feature extractor of an experiment, and its check before people wait."""

from __future__ import annotations

from collections.abc import Iterator

from alkit.cli.parts import Choice, Parts, naming_options


def eye_in_words(choice: Choice, parts: Parts) -> Iterator[str]:
    """Yield a line about the feature extractor, if the strategies use one."""
    from alkit.features.pretrained import Pretrained

    if used := parts.extractors():
        name, why = choice.eye()
        model = next((f" ({one.model})" for one in used if isinstance(one, Pretrained) and one.model), "")
        yield f"Features: {name}{model}{', ' * bool(why)}{why}."


def check_eye(choice: Choice, parts: Parts) -> None:
    """Load pre-trained networks once, so that weights that are missing or do not fit are an error before people wait.

    Raises
    ------
    AlkitError
        The weights are missing, or do not fit.
    """
    from alkit.features.pretrained import Pretrained

    for extractor in parts.extractors():
        if isinstance(extractor, Pretrained):
            with naming_options("features", {}):
                extractor.load()
