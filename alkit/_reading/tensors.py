"""Files of tensors in the safetensors format with facts about them, as models are stored. A stranger may write them."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from alkit.errors import ConfigurationError

MOST_CLASSES = 10_000
"""Greatest number of channels or classes of a stored model, so that a damaged number fills no memory."""


def read_facts(dumped: bytes, entry: str) -> Any:
    """Return the facts in the header of a file of tensors: an entry of its metadata, which is JSON.

    Raises
    ------
    ConfigurationError
        `dumped` is no such file, or has no such entry.
    """
    length = int.from_bytes(dumped[:8], "little")  # the file starts with the length of its header, a JSON object
    try:
        return json.loads(json.loads(dumped[8 : 8 + length])["__metadata__"][entry])
    except (LookupError, TypeError, ValueError, RecursionError) as reason:
        raise unreadable(dumped, f"no entry {entry!r} in its header", reason) from reason


def read_tensors(load: Any, dumped: bytes) -> Mapping[str, Any]:
    """Return the tensors of a file by their names, read by a `load` of safetensors.

    Raises
    ------
    ConfigurationError
        `dumped` is no such file.
    """
    try:
        found: Mapping[str, Any] = load(dumped)
    except MemoryError:
        raise
    except Exception as reason:  # safetensors raises errors of several types
        raise unreadable(dumped, "tensors that cannot be read", reason) from reason
    return found


def unreadable(dumped: bytes, what: str, reason: BaseException | None = None) -> ConfigurationError:
    """Return the error for bytes that no ``dumps`` of this learner returned."""
    because = "" if reason is None else f" ({type(reason).__name__}: {str(reason)[:200]})"
    return ConfigurationError(
        "the stored model, dumped, cannot be read",
        got=f"{len(dumped)} bytes with {what}{because}",
        expected="what dumps() of a model of this learner returned",
        hint="the learner that trained the model; if somebody else made the record, do not trust it",
    )
