"""A process apart, for a library that cannot share a process with another one."""

from __future__ import annotations

import atexit
import os
import subprocess
import sys
from contextlib import suppress
from pathlib import Path
from typing import IO, cast


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
    atexit.register(_end, worker)
    return worker


def _end(worker: subprocess.Popen[bytes]) -> None:
    for pipe in (worker.stdin, worker.stdout):
        with suppress(OSError):  # the process has already ended
            cast("IO[bytes]", pipe).close()
    worker.wait()
