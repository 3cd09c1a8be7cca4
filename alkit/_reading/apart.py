"""A process apart, for a library that cannot share a process with another one."""

from __future__ import annotations

import atexit
import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import IO, cast

from alkit._turn import Turn


class Apart:
    """A module of alkit that answers requests in a process of its own, which starts with the first request.

    Parameters
    ----------
    module:
        Name of the module. Its process ends with this one.
    """

    def __init__(self, module: str) -> None:
        self._module = module
        self._turn = Turn()
        self._running: tuple[int, subprocess.Popen[bytes]] | None = None

    @contextmanager
    def pipes(self) -> Iterator[tuple[IO[bytes], IO[bytes]]]:
        """Return the pipes for one request and its answer; other threads wait until the end of the block.

        An exception in the block ends the process: the next request must not get the answer to this one.
        """
        with self._turn():
            if self._running is None or self._running[0] != os.getpid():
                self._running = os.getpid(), start_apart(self._module)
            _, process = self._running
            try:
                yield cast("IO[bytes]", process.stdin), cast("IO[bytes]", process.stdout)
            except BaseException:
                self._running = None
                process.kill()
                raise


def start_apart(module: str) -> subprocess.Popen[bytes]:
    """Start a module of alkit as a process with pipes to its input and output; it ends with this process."""
    # -P: without it, Python would import modules from the current folder, which may be that of a stranger.
    places = [*filter(None, [os.environ.get("PYTHONPATH")]), str(Path(__file__).parents[2])]
    worker = subprocess.Popen(
        [sys.executable, "-P", "-m", module],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        env={**os.environ, "PYTHONPATH": os.pathsep.join(places)},
    )
    atexit.register(_end, worker, os.getpid())
    return worker


def _end(worker: subprocess.Popen[bytes], parent: int) -> None:
    if os.getpid() != parent:
        return
    for pipe in (worker.stdin, worker.stdout):
        with suppress(OSError):  # the process has already ended
            cast("IO[bytes]", pipe).close()
    worker.wait()
