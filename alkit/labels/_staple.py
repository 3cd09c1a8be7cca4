"""STAPLE by SimpleITK, in a separate process, because SimpleITK and FAISS crash if one process imports both.

``python -m alkit.labels._staple`` reads stacks of masks from its input and writes the joined masks, until the input
ends.
"""

from __future__ import annotations

import atexit
import functools
import importlib.util
import pickle
import subprocess
import sys
from contextlib import suppress
from typing import IO, cast

import numpy as np

from alkit.errors import AlkitError, MissingDependencyError
from alkit.values.label_spec import Mask

UNDECIDED = 256
"""The value that SimpleITK gives to undecided pixels. No mask contains it."""


def estimate(masks: Mask) -> np.ndarray[tuple[int, int], np.dtype[np.uint16]]:
    """Return for each pixel of a stack ``(n, h, w)`` the most probable value, or :data:`UNDECIDED`.

    Raises
    ------
    MissingDependencyError
        SimpleITK is not installed.
    AlkitError
        SimpleITK failed.
    """
    if importlib.util.find_spec("SimpleITK") is None:
        raise MissingDependencyError("join='staple' needs SimpleITK", hint='pip install "alkit[staple]"')
    worker = _worker()
    try:
        pickle.dump(masks, cast("IO[bytes]", worker.stdin))
        cast("IO[bytes]", worker.stdin).flush()
        return cast("np.ndarray[tuple[int, int], np.dtype[np.uint16]]", pickle.load(cast("IO[bytes]", worker.stdout)))
    except (OSError, EOFError, pickle.UnpicklingError) as reason:
        _worker.cache_clear()
        raise AlkitError("SimpleITK's STAPLE failed", got=reason, hint="join='majority'") from reason


@functools.cache
def _worker() -> subprocess.Popen[bytes]:
    worker = subprocess.Popen(
        [sys.executable, "-m", "alkit.labels._staple"], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    )
    atexit.register(_end, worker)
    return worker


def _end(worker: subprocess.Popen[bytes]) -> None:
    for pipe in (worker.stdin, worker.stdout):
        with suppress(OSError):  # the process has already ended
            cast("IO[bytes]", pipe).close()
    worker.wait()


def _serve(requests: IO[bytes], answers: IO[bytes]) -> None:
    import SimpleITK

    while requests.peek(1):  # type: ignore[attr-defined]
        masks = [SimpleITK.GetImageFromArray(mask) for mask in pickle.load(requests)]
        joined = SimpleITK.GetArrayFromImage(SimpleITK.MultiLabelSTAPLE(masks, UNDECIDED))
        pickle.dump(joined.astype(np.uint16), answers)
        answers.flush()


if __name__ == "__main__":
    _serve(sys.stdin.buffer, sys.stdout.buffer)
