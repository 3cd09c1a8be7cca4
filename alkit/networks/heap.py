"""Return memory that is free, but still held by the process, to the operating system."""

from __future__ import annotations

import ctypes
import sys


def give_back() -> None:
    """Return free memory, after a step that takes much more than the steps that follow. Only glibc can be asked to."""
    if sys.platform == "linux":
        trim = getattr(ctypes.CDLL(None), "malloc_trim", None)
        if trim is not None:
            trim(0)
