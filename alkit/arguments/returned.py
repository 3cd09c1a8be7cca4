"""Checks of what a part from elsewhere returns: an oracle's answers, a learner's model, a model's predictions."""

from __future__ import annotations

from typing import Any

from alkit.arguments.kinds import kind_of
from alkit.errors import AlkitError, ConfigurationError


def check_returned(
    part: object, method: str, value: object, declared: Any, error: type[AlkitError] = ConfigurationError
) -> None:
    """Check what a method of a part returned, against the type that its protocol declares.

    Raises
    ------
    AlkitError
        The value is of another kind. The message names the part's class and the method. Its class is `error`.

    Examples
    --------
    >>> class Tool:
    ...     pass
    >>> check_returned(Tool(), "dumps", ["weights"], bytes)
    Traceback (most recent call last):
    alkit.errors.ConfigurationError: Tool.dumps must return bytes: got ['weights']
    """
    kind = kind_of(declared)
    fault = None if kind is None else kind.fault("", value)
    if fault is not None:
        item = f" with {fault.expected} at {fault.place}" if fault.place else ""
        words = kind.words if kind is not None else ""
        raise error(f"{type(part).__name__}.{method} must return {words}{item}", got=fault.got)
