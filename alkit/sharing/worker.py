"""What a worker does: compute one shard with the arithmetic of the process that asked, and keep the result."""

from __future__ import annotations

import logging
import os
import socket
import threading
import traceback
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol, TypeVar

from alkit.errors import AlkitError, StoreError
from alkit.sharing.arithmetic import Arithmetic
from alkit.sharing.devices import device_slot
from alkit.sharing.kept import Arrays, result_file, write_result
from alkit.sharing.loaded_code import check_code, used_code
from alkit.sharing.named_folders import NamedFolders

T = TypeVar("T", contravariant=True)


class Tick(Protocol):
    """Is told how many parts of a shard, such as images, are done."""

    def __call__(self, done: int, /) -> None:
        """Take the number of parts."""


class Work(Protocol[T]):
    """Computes a shard. It must not depend on other shards, nor on who computes them."""

    def __call__(self, shard: T, tick: Tick, /) -> Arrays:
        """Return the result of a shard."""

    def packed(self, folder: Path) -> Work[T]:
        """Return the work as it travels to workers: what is large lies in files of a folder that all workers see."""


@dataclass(frozen=True)
class Outcome:
    """What became of a shard.

    Parameters
    ----------
    number:
        Number of the shard.
    error:
        Why it failed; None if its result is kept.
    where:
        The worker, for messages.
    trace:
        The calls that led to the error.
    said:
        What was logged in another process: names of loggers, levels and messages.
    """

    number: int
    error: Exception | None
    where: str
    trace: str = ""
    said: tuple[tuple[str, int, str], ...] = ()


def compute(
    folders: NamedFolders,
    work: Any,
    shard: Any,
    number: int,
    folder: Path,
    arithmetic: Arithmetic,
    devices: tuple[str, ...],
    code: Mapping[str, str],
) -> Outcome:
    """Compute a shard, and keep its result in a folder. An error is returned, not raised.

    The named folders come first: the classes of the rest may be in modules there.
    """
    where = f"process {os.getpid()} on {socket.gethostname()}"
    said: list[tuple[str, int, str]] = []
    try:
        if not arithmetic.is_own:
            check_code(code)
        if not folder.is_dir():
            raise StoreError(
                f"the worker, {where}, does not find the folder {folder}",
                hint="the environment variable ALKIT_CACHE, a folder that all workers share",
            )
        with _listening(said, arithmetic.is_own), arithmetic.applied(), device_slot(devices, folder):
            result = work(shard, _nothing)
            if not arithmetic.is_own:
                check_code(code)  # again, because the work may have loaded a module
            write_result(result_file(folder, number), result, used_code(in_worker=not arithmetic.is_own))
    except Exception as error:  # any, which is for the process that asked
        return Outcome(number, _that_travels(error), where, traceback.format_exc(), tuple(said))
    return Outcome(number, None, where, said=tuple(said))


def fail(number: int, error: Exception) -> Outcome:
    """Return the outcome of a shard that could not be sent."""
    return Outcome(number, _that_travels(error), "this process")


def _nothing(done: int) -> None:
    pass


def _that_travels(error: Exception) -> Exception:
    """Return an error that can be sent to another process."""
    if isinstance(error, AlkitError):  # as one of the classes that every process has
        own: Exception = next(kind for kind in type(error).__mro__ if kind.__module__ == AlkitError.__module__)(
            str(error)
        )
        return own
    return ShardError(f"{type(error).__name__}: {error}")


class ShardError(Exception):
    """An error of a worker that is not one of alkit."""


@contextmanager
def _listening(said: list[tuple[str, int, str]], is_own: bool) -> Iterator[None]:
    """Collect what alkit logs in another process, which nobody would read there."""
    if is_own:
        yield
        return
    mine = threading.get_ident()

    class Collector(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            if record.thread == mine:
                said.append((record.name, record.levelno, record.getMessage()))

    logger, handler = logging.getLogger("alkit"), Collector(logging.WARNING)
    logger.addHandler(handler)
    try:
        yield
    finally:
        logger.removeHandler(handler)
