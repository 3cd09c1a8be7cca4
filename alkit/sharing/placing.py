"""Learners on another device of torch than their own."""

from __future__ import annotations

from dataclasses import fields, is_dataclass, replace
from typing import Any

from alkit.errors import ConfigurationError
from alkit.protocols import Learner


def place_learner(learner: Learner, device: str | None) -> Learner:
    """Return a learner whose models compute on another device; None or ``auto``: on its own.

    For a learner with another one inside, such as an ensemble, the inner one is changed.

    Raises
    ------
    ConfigurationError
        The learner has no parameter ``device``.
    """
    if device is None or device == "auto":
        return learner
    thing: Any = learner
    names = {entry.name for entry in fields(thing)} if is_dataclass(thing) else set()
    if "device" in names:
        placed: Learner = replace(thing, device=device)
        return placed
    if "learner" in names:
        around: Learner = replace(thing, learner=place_learner(thing.learner, device))
        return around
    raise ConfigurationError(
        f"device must be 'auto', because {type(learner).__name__} has no parameter device", got=repr(device)
    )
