"""Which of several copies of a record may write and delete its files elsewhere.

A copy has the id of the folder, so it would delete what only the other one needs. The folder therefore says whose it
is: it has the digest of a key that lies beside the record's file, and the path of this file. A record on a server is
known by the names of its database and its campaign. Whoever has another key or name may read, but neither write nor
delete.
"""

from __future__ import annotations

import hashlib
import json
import re
import secrets
import time
from contextlib import suppress
from pathlib import Path
from typing import Any

from alkit._files import write_atomically
from alkit._reading.inside import read_inside
from alkit.errors import StoreError, one_line
from alkit.record.places import Place, not_permitted

OWNER = "owner.json"
"""Name of the content in the folder of a record's files that says whose it is."""

ENDING = ".owner"
"""Ending of the file with the key, beside that of the record."""

_KEY = re.compile(rb"[0-9a-f]{64}")

TRIES, PAUSE = 10, 0.02
"""Number of attempts to read a key that another process is writing, and the seconds between two of them."""


def check_owner(home: Place, record: Path | str) -> None:
    """Check that the folder of a record's files is not that of a copy. One that says nothing becomes its own.

    Parameters
    ----------
    home:
        The folder.
    record:
        The record's file, or its name on a server.

    Raises
    ------
    StoreError
        The folder belongs to another copy, or the key is missing or cannot be read.
    """
    known, key = _known(home), _key(record) if isinstance(record, Path) else None
    if known is not None:
        same_place = known.get("record") == str(record)
        if known.get("key") != (None if key is None else _digest(key)) or not (same_place or key):
            raise _belongs_to(known, home, record, key)
        if same_place:
            return
        if key and isinstance(record, Path) and _is_another(known.get("record"), record, key):
            raise _belongs_to(known, home, record, key)
    claim(home, record)  # also if it was moved


def _is_another(path: Any, record: Path, key: bytes) -> bool:
    """Whether a path is that of another record with the same key, so that somebody has copied both."""
    with suppress(OSError, ValueError, TypeError, StoreError):
        other = Path(path)
        return other.is_absolute() and _key(other) == key and other.exists() and not other.samefile(record)
    return False


def claim(home: Place, record: Path | str) -> None:
    """Let a folder say that it is that of a record."""
    says = {"record": str(record)} | ({} if isinstance(record, str) else {"key": _digest(_key(record) or _new(record))})
    home.put(OWNER, json.dumps(says).encode())


def _known(home: Place) -> dict[str, Any] | None:
    """Return what the folder says; None if it says nothing."""
    try:
        content = home.get(OWNER, cached=False)
    except FileNotFoundError:
        return None
    except OSError as reason:
        raise StoreError(f"cannot read {home.shown(OWNER)} ({reason.strerror or reason})") from reason
    with suppress(ValueError, RecursionError):
        if isinstance(found := json.loads(content), dict):
            return found
    return {}


def _belongs_to(known: dict[str, Any], home: Place, record: Path | str, key: bytes | None) -> StoreError:
    other, beside = known.get("record"), f"{record.name}{ENDING}" if isinstance(record, Path) else None
    if isinstance(other, str) and other != str(record):
        got = f"files of {one_line(repr(other), 200)}"
    else:
        got = f"no key in {beside}" if beside and key is None else "files with another key"
    return StoreError(
        f"{record} can only be read: its files at {home.shown()} belong to another copy of this record",
        got=got,
        hint="alkit repair --out, which makes a record with files of its own; or, if this one was "
        + (f"moved or restored, put its {beside} beside it; or" if beside else "renamed,")
        + f" delete {home.shown(OWNER)} after making sure that nobody works with another copy",
    )


def _digest(key: bytes) -> str:
    return hashlib.sha256(key).hexdigest()


def _key(record: Path) -> bytes | None:
    """Return the key beside a record; None if there is none. An error if this user may not read it."""
    path = record.with_name(record.name + ENDING)
    for _ in range(TRIES):
        try:
            content = read_inside(path, path.parent, len(_digest(b"")))
        except PermissionError as reason:
            raise not_permitted(path, reason) from reason
        except OSError:
            return None
        if _KEY.fullmatch(content):
            return content
        time.sleep(PAUSE)
    return None


def _new(record: Path) -> bytes:
    """Make the key of a record, and return it, or that which another process has just made."""
    path, key = record.with_name(record.name + ENDING), secrets.token_hex(32).encode()
    try:
        with path.open("xb") as file:
            file.write(key)
    except FileExistsError:
        if (known := _key(record)) is not None:
            return known
    except OSError as reason:
        raise StoreError(
            f"cannot write {path} ({reason.strerror})", hint="check the permissions of its folder"
        ) from reason
    write_atomically(path, key)  # synchronised
    return key
