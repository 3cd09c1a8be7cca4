"""Results of shards on disk: a run that was killed finds those that are finished.

The results of one question lie in one folder, ``shards/<digest of the question>/`` in the cache. Each is a file: a
checksum of the rest, the length of a JSON text, this text, and arrays as safetensors. The text has a digest of each
file of the user's code that the process which computed the result had loaded, or null if it cannot tell. The folder is
deleted when the question is answered.
"""

from __future__ import annotations

import hashlib
import json
import os
import secrets
import shutil
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from filelock import FileLock, Timeout
from safetensors import numpy as safetensors

import alkit
from alkit._files import cache_folder, make_folder, temporary_file, temporary_folder
from alkit.configuration.code import digest_of_file
from alkit.errors import StoreError

Arrays = Mapping[str, npt.NDArray[Any]]
"""Result of a shard."""

VERSION = 2
"""Version of what is kept. It increases if the same question would be answered otherwise."""

LENGTH = 8
"""Number of bytes that have the length of the text."""

OLD = 14 * 86400.0
"""Seconds after which the results of a question that nobody asked again are deleted."""


@contextmanager
def kept_results(key: object) -> Iterator[Path]:
    """Yield the folder of the results of a question. It is deleted unless an error is raised, which leaves it.

    Parameters
    ----------
    key:
        All that the results depend on, as values of JSON. None: the results are for this call alone.

    Raises
    ------
    StoreError
        The folder cannot be created.
    """
    root = make_folder(cache_folder() / "shards")
    _delete_old(root)
    with ExitStack() as stack:
        folder, alone = root / f"once-{secrets.token_hex(8)}", True
        # If another process asks the same, it keeps its results, and we ours.
        if key is not None and _hold(stack, root / _digest(key)):
            folder, alone = root / _digest(key), False
        else:
            _hold(stack, folder)
        make_folder(folder)
        try:
            yield folder
        except BaseException:
            if alone:
                shutil.rmtree(folder, ignore_errors=True)
            raise
        shutil.rmtree(folder, ignore_errors=True)


def _hold(stack: ExitStack, folder: Path) -> bool:
    """Hold the lock of a folder of results until the end of the stack; return whether no other process holds it."""
    lock = FileLock(f"{folder}.lock")
    with suppress(Timeout, OSError):
        stack.enter_context(lock.acquire(blocking=False))
        stack.callback(Path(lock.lock_file).unlink, missing_ok=True)
        return True
    return False


def forget_kept(others: Sequence[Path] = ()) -> list[Path]:
    """Delete what killed runs have left, images and models on their way to workers included.

    Parameters
    ----------
    others:
        Folders of other work, which have folders with locks of the same names, too.

    Returns
    -------
    list[Path]
        The folders that stay, because a process is using them.
    """
    with temporary_folder():
        pass  # which deletes those of killed processes
    stay, roots = list[Path](), [cache_folder() / "shards", *others]
    for folder in [folder for root in roots if root.is_dir() for folder in sorted(root.iterdir())]:
        if not folder.is_dir():
            continue
        with ExitStack() as stack:
            if _hold(stack, folder):
                shutil.rmtree(folder, ignore_errors=True)
        if folder.exists():
            stay.append(folder)
    return stay


def can_keep() -> bool:
    """Return whether results can be kept. One process does without; workers need the folder."""
    try:
        root = make_folder(cache_folder() / "shards")
    except StoreError:
        return False
    return os.access(root, os.W_OK | os.X_OK)


def _digest(key: object) -> str:
    facts = [VERSION, alkit.__version__, sys.version, key]
    return hashlib.sha256(json.dumps(facts, sort_keys=True).encode()).hexdigest()[:32]


def _delete_old(root: Path) -> None:
    with suppress(OSError):
        for path in root.iterdir():
            with suppress(OSError):
                if time.time() - path.stat().st_mtime > OLD:
                    shutil.rmtree(path) if path.is_dir() else path.unlink()


def result_file(folder: Path, number: int) -> Path:
    """Return the file of the result of a shard."""
    return folder / f"{number}.shard"


def write_result(path: Path, arrays: Arrays, code: Mapping[str, str] | None = None) -> None:
    """Write a result; after a crash, the file is whole, missing, or found to be damaged.

    Parameters
    ----------
    code:
        What the result depends on besides the question: a digest of each file of the user's code. None: it cannot be
        told, so the result is for this run alone.

    Raises
    ------
    StoreError
        The file cannot be written.
    """
    text = json.dumps(code).encode()
    content = len(text).to_bytes(LENGTH, "little") + text
    content += safetensors.save({name: np.ascontiguousarray(value) for name, value in arrays.items()})
    try:
        with temporary_file(path.parent) as temporary:
            with temporary.open("xb") as file:
                file.write(hashlib.sha256(content).digest())
                file.write(content)
            temporary.replace(path)
    except OSError as reason:
        raise StoreError(
            f"cannot write {path} ({reason.strerror})", hint="check the free space and the permissions of the cache"
        ) from reason


def read_result(path: Path) -> dict[str, npt.NDArray[Any]] | None:
    """Return a result; None if there is none, or if it is damaged."""
    if (parts := _parts(path)) is None:
        return None
    found: dict[str, npt.NDArray[Any]] = safetensors.load(parts[1])
    return found


def code_of_result(path: Path) -> dict[str, str] | None:
    """Return a digest of each file of the user's code that a result depends on; None if that cannot be told."""
    parts = _parts(path)
    code: dict[str, str] | None = None if parts is None else json.loads(parts[0])
    return code


def forget_results_of_other_code(folder: Path) -> None:
    """Delete those of the results in a folder whose code has changed since, or cannot be told."""
    known: dict[str, str | None] = {}
    for path in folder.glob("*.shard"):
        code = code_of_result(path)
        for file in code or ():
            known.setdefault(file, digest_of_file(Path(file)))
        if code is None or any(known[file] != digest for file, digest in code.items()):
            path.unlink(missing_ok=True)


def _parts(path: Path) -> tuple[bytes, bytes] | None:
    """Return the text and the arrays in the file of a result; None if there is none, or if it is damaged."""
    try:
        content = path.read_bytes()
    except OSError:
        return None
    rest = content[32:]
    if hashlib.sha256(rest).digest() != content[:32]:
        return None
    end = LENGTH + int.from_bytes(rest[:LENGTH], "little")
    return rest[LENGTH:end], rest[end:]


def has_result(path: Path) -> bool:
    """Return whether a result is there and not damaged."""
    return path.exists() and read_result(path) is not None
