"""Results of shards on disk: a run that was killed finds those that are finished.

The results of one question lie in one folder, ``shards/<digest of the question>/`` in the cache, each as a file of
safetensors behind its own checksum. The folder is deleted when the question is answered.
"""

from __future__ import annotations

import hashlib
import importlib.metadata
import json
import os
import platform
import secrets
import shutil
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
from alkit.errors import StoreError

Arrays = Mapping[str, npt.NDArray[Any]]
"""Result of a shard."""

VERSION = 1
"""Version of what is kept. It increases if the same question would be answered otherwise."""

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
    versions = [alkit.__version__, np.__version__, importlib.metadata.version("torch")]
    facts = [VERSION, platform.machine(), versions, key]
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


def write_result(path: Path, arrays: Arrays) -> None:
    """Write a result; after a crash, the file is whole, missing, or found to be damaged.

    Raises
    ------
    StoreError
        The file cannot be written.
    """
    content = safetensors.save({name: np.ascontiguousarray(value) for name, value in arrays.items()})
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
    try:
        content = path.read_bytes()
    except OSError:
        return None
    digest, rest = content[:32], content[32:]
    if hashlib.sha256(rest).digest() != digest:
        return None
    found: dict[str, npt.NDArray[Any]] = safetensors.load(rest)
    return found


def has_result(path: Path) -> bool:
    """Return whether a result is there and not damaged."""
    return path.exists() and read_result(path) is not None
