"""The options of an experiment's parts that a record keeps, so that ``alkit change`` can change some of them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, replace
from typing import TYPE_CHECKING, Any

from alkit.cli.pairs import WIDTHS
from alkit.cli.parts import LEARNER_OF, Choice, Parts
from alkit.cli.recipes import PAPER, STRONG, has_encoder

if TYPE_CHECKING:
    from alkit.record.store import Store

FILES = ("features.weights", "features.path", "features.ids")
"""Options of --param that may name a file."""

TYPED = "options"
"""Name of the record's fact that holds the options of :class:`Choice` that it was created with."""


def with_former_defaults(choice: Choice, typed: Mapping[str, Any] | None) -> Choice:
    """Return the options with the defaults of the time when a record was created.

    A record from before the recipes has the learner that is now the recipe ``paper``. A record that was created without
    a pre-trained encoder keeps its U-Net if one is installed later.

    Parameters
    ----------
    typed:
        The record's fact :data:`TYPED`; None in a record from before this fact.
    """
    if choice.learner not in (None, *LEARNER_OF.values()):
        return choice
    if choice.learner != "classification" and choice.recipe is None and "recipe" not in (typed or {}):
        choice = replace(choice, recipe=PAPER)
    if typed is not None and typed.get("encoder") is False and not choice.plain:
        choice = replace(choice, widths=WIDTHS)
    return choice


def save_choice(record: Store, choice: Choice, parts: Parts) -> None:
    """Store the options in the record, so that ``alkit change`` can change some of them; files by their content."""
    from alkit.configuration.named_files import is_content_name

    kept = [pair for pair in choice.param or () if _names_no_file(pair)]
    for extractor in parts.extractors()[:1]:
        for key in FILES:
            value = getattr(extractor, key.rpartition(".")[2], None)
            if isinstance(value, str) and is_content_name(value):
                kept.append(f"{key}={value}")
    named: dict[str, Any] = {"features": choice.eye().name, "param": kept or None}
    if choice.learner == "segmentation":
        named["recipe"] = choice.recipe or STRONG
    if choice.learner in LEARNER_OF.values():
        named["encoder"] = has_encoder()
    record.revise(TYPED, lambda before: {**asdict(choice), **named})


def _names_no_file(pair: str) -> bool:
    """Return whether an option of --param names no file, by its path or by its content."""
    from alkit.networks.pretrained import HUB, LITE0, RANDOM

    key, _, value = pair.partition("=")
    return key not in FILES or value in (HUB, LITE0, RANDOM) or value.startswith(("(", "["))


def typed_by_stranger(pairs: list[str] | None) -> list[str]:
    """Return the options of --param in a record without those that name a folder or allow a download.

    Raises
    ------
    ConfigurationError
        An option names a file by its path.
    """
    from alkit.configuration.named_files import is_content_name
    from alkit.errors import ConfigurationError

    kept = []
    for pair in pairs or ():
        key, _, value = pair.partition("=")
        if not _names_no_file(pair) and not is_content_name(value):
            raise ConfigurationError(
                f"--param {key} in the record must be sha256: and the digest of a file, because a record cannot name a "
                "path",
                got=repr(value),
                hint=f"--param {key}=FILE, which names the file on this machine",
            )
        if key.rpartition(".")[2] not in ("cache", "download"):
            kept.append(pair)
    return kept
