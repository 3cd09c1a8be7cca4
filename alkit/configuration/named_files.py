"""Files that a person named on this machine, found by their content.

A record names a file of weights by its SHA-256 and never by its path, because a record may come from a stranger. Where
the file lies on this machine is remembered outside the record, when a person names it.
"""

from __future__ import annotations

import errno
import hashlib
import json
import os
import re
from pathlib import Path

from alkit._files import state_folder, without_tilde, write_atomically
from alkit._logs import logger
from alkit.errors import ConfigurationError, StoreError

log = logger(__name__)

PREFIX = "sha256:"
"""Beginning of a name by content."""

_here: dict[str, Path] = {}
"""Files that this process named, in case the folder of states cannot be written."""


def is_content_name(text: str) -> bool:
    """Return whether a text names a file by its content.

    >>> is_content_name("sha256:" + 64 * "0"), is_content_name("weights.safetensors")
    (True, False)
    """
    return re.fullmatch(rf"{PREFIX}[0-9a-f]{{64}}", text) is not None


def name_by_content(parameter: str, path: str | os.PathLike[str]) -> str:
    """Return the name of a file by its content, and remember where the file lies.

    Parameters
    ----------
    parameter:
        The parameter that names the file, for messages.
    path:
        The file.

    Raises
    ------
    ConfigurationError
        The file cannot be read.
    """
    file = without_tilde(path)
    name = _content_name(parameter, file)
    _here[name] = place = file.resolve()
    note = _note(name)
    try:
        if not note.exists() or json.loads(note.read_bytes()) != str(place):
            write_atomically(note, json.dumps(str(place)).encode())
    except (OSError, ValueError, StoreError) as reason:
        log.warning("%s must be named again in the next process, because it cannot be remembered: %s", path, reason)
    return name


def find_by_content(what: str, name: str, call: str) -> Path:
    """Return the file with this content that was named on this machine.

    Parameters
    ----------
    what:
        What the file holds, for messages.
    name:
        Its name by content.
    call:
        The call that names a file, for the hint.

    Raises
    ------
    ConfigurationError
        No such file was named, or it is gone, or its content changed.
    """
    place = _here.get(name) or _noted(name)
    hint = f"{call} with the file that has this digest, once on this machine"
    if place is None:
        raise ConfigurationError(f"{what}: no file with the content {name} was named on this machine", hint=hint)
    if not place.is_file():
        raise ConfigurationError(
            f"{what}: the file with the content {name} was {place}, which is not there any more", hint=hint
        )
    check_content(what, place, name)
    return place


def check_content(parameter: str, file: Path, name: str) -> None:
    """Raise a :class:`ConfigurationError` if a file cannot be read, or has another content than `name` says."""
    if _content_name(parameter, file) != name:
        raise ConfigurationError(
            f"{file} does not have the content of {parameter} {name} any more", hint="download or copy the file again"
        )


def _content_name(parameter: str, file: Path) -> str:
    try:
        if not file.is_file():  # a pipe or a device has no end
            raise FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT))
        with file.open("rb") as content:
            return PREFIX + hashlib.file_digest(content, "sha256").hexdigest()
    except OSError as reason:
        raise ConfigurationError(
            f"{parameter} cannot be read from {file} ({reason.strerror})", hint="check the path"
        ) from reason


def _note(name: str) -> Path:
    return state_folder() / "files" / f"{name.removeprefix(PREFIX)}.json"


def _noted(name: str) -> Path | None:
    try:
        found = json.loads(_note(name).read_bytes())
    except (OSError, ValueError, RecursionError):
        return None
    return Path(found) if isinstance(found, str) else None
