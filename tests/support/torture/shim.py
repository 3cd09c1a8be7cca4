"""The preloaded library `shim.c`: it is compiled when a test starts, and controlled from Python."""

from __future__ import annotations

import ctypes
import errno
import os
import shutil
import subprocess
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from enum import IntEnum
from pathlib import Path

SOURCE = Path(__file__).with_name("shim.c")


class Action(IntEnum):
    """What happens at the counted call: the values of the first ``enum`` in `shim.c`."""

    COUNT = 0
    KILL = 1
    KILL_HALF = 2  # a write is done by half, and the process killed
    FAIL_ONCE = 3
    FAIL_ON = 4  # this call and all later ones that need space; the first write gets half of its bytes in


@dataclass(frozen=True)
class Fault:
    """Something that happens at the `number`-th call; the calls are counted from 1."""

    number: int = 0
    action: Action = Action.COUNT
    error: int = 0

    def __str__(self) -> str:
        name = errno.errorcode.get(self.error, "")
        return f"{self.action.name.lower()} {name} at call {self.number}".replace("  ", " ")


def compiler() -> str | None:
    """Return the C compiler, or None if there is none or the system cannot preload a library."""
    return shutil.which("cc") if os.uname().sysname == "Linux" else None


def build(folder: Path) -> Path:
    """Compile the library into a folder and return it."""
    library = folder / "shim.so"
    command = [compiler() or "cc", "-O1", "-shared", "-fPIC", "-o", str(library), str(SOURCE), "-ldl"]
    subprocess.run(command, check=True, capture_output=True, text=True)
    return library


def arm(folder: Path, fault: Fault, log: bool = False) -> None:
    """Begin to count the calls below `folder`, and let `fault` happen."""
    _library().torture_arm(os.fsencode(folder), fault.number, fault.action, fault.error, log)


def disarm() -> None:
    """Let all calls pass."""
    _library().torture_disarm()


@contextmanager
def paused() -> Iterator[None]:
    """Let the calls in the block pass uncounted: they are not alkit's."""
    library = _library()
    library.torture_pause()
    try:
        yield
    finally:
        library.torture_resume()  # does nothing after :func:`disarm`


def count() -> int:
    """Return the number of calls since :func:`arm`, in this process or its child."""
    return int(_library().torture_count())


def hits() -> int:
    """Return how often the fault happened."""
    return int(_library().torture_hits())


def calls() -> list[tuple[str, str]]:
    """Return the name and the file of each counted call, if they were logged."""
    buffer = ctypes.create_string_buffer(1 << 20)
    length = _library().torture_log(buffer, len(buffer))
    lines = os.fsdecode(buffer.raw[:length]).splitlines()
    return [(name, path) for name, _, path in (line.partition(" ") for line in lines)]


def kinds() -> Counter[str]:
    """Return how many calls of each name were counted."""
    return Counter(name for name, _ in calls())


def _library() -> ctypes.CDLL:
    library = ctypes.CDLL(None)
    library.torture_arm.argtypes = [ctypes.c_char_p, ctypes.c_long, ctypes.c_int, ctypes.c_int, ctypes.c_int]
    library.torture_count.restype = library.torture_hits.restype = library.torture_log.restype = ctypes.c_long
    library.torture_log.argtypes = [ctypes.c_char_p, ctypes.c_long]
    return library
