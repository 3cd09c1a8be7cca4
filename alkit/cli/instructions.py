"""What the lead of a campaign tells the annotators: a text that the record keeps and that each tool shows."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from alkit._reading.limits import read_file
from alkit.errors import ConfigurationError
from alkit.record.facts import INSTRUCTIONS

if TYPE_CHECKING:
    from alkit.record.store import Store

MOST = 10_000
"""Greatest number of characters: each query.json contains the text."""


def read_instructions(path: Path | None) -> str | None:
    """Return the text of a file; None without a file.

    Raises
    ------
    ConfigurationError
        The file cannot be read, is not a text in UTF-8, or is too long.
    DataError
        The file is larger than any file that alkit reads.
    """
    if path is None:
        return None
    try:
        text = read_file(path).decode("utf-8-sig")
    except OSError as reason:
        raise ConfigurationError(f"--instructions: {path} cannot be read ({reason.strerror})") from reason
    except UnicodeDecodeError as reason:
        raise ConfigurationError(
            f"--instructions: {path} must be a text in UTF-8", got=str(reason), hint="save it as plain text in UTF-8"
        ) from reason
    text = "\n".join(text.splitlines()).strip()
    if strange := sorted({repr(letter) for letter in text if not (letter.isprintable() or letter in "\n\t")}):
        raise ConfigurationError(
            f"--instructions: {path} must be a plain text", got=f"the characters {', '.join(strange[:3])}"
        )
    if len(text) > MOST:
        raise ConfigurationError(f"--instructions: {path} must have at most {MOST} characters", got=len(text))
    return text


def save_instructions(record: Store, text: str | None) -> list[str]:
    """Record a text; an empty one removes the former, and None changes nothing. Return a line if it differs."""
    before = recorded_instructions(record)
    if text is None or text == before:
        return []
    record.revise(INSTRUCTIONS, lambda last: text or None)
    return [f"instructions: {len(text)} characters, before {len(before)}"]


def recorded_instructions(record: Store) -> str:
    """Return the text in a record, or an empty one."""
    return str(record.fact(INSTRUCTIONS) or "")
