"""STAPLE by SimpleITK, in a separate process, because SimpleITK and FAISS crash if one process imports both.

``python -P -m alkit.labels._staple`` reads stacks of masks from its input and writes the joined masks, until the input
ends.
"""

from __future__ import annotations

import importlib.util
import io
import sys
from typing import IO, Any, cast

import numpy as np
import numpy.typing as npt

from alkit._reading.apart import Apart
from alkit.errors import AlkitError, MissingDependencyError
from alkit.values.label_spec import Mask

UNDECIDED = 256
"""The value that SimpleITK gives to undecided pixels. No mask contains it."""

MOST_STEPS = 10_000
"""Most steps of the estimate, which changes by less than 1e-5 long before, unless the masks are almost noise."""

LEAST_CHANGE = 1e-5
"""The estimate ends when no probability changes by more."""

_worker = Apart("alkit.labels._staple")


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
    # SimpleITK's time grows with the square of the greatest value, which is often 255. A gap between values stays one.
    values = np.unique(masks)
    places = np.cumsum(np.minimum(np.diff(values.astype(int), prepend=-1), 2)) - 1
    try:
        with _worker.pipes() as (requests, answers):
            _send(places[np.searchsorted(values, masks)].astype(np.uint16), requests)
            joined = _receive(answers)
    except (OSError, EOFError, ValueError) as reason:
        raise AlkitError("SimpleITK's STAPLE failed", got=reason, hint="join='majority'") from reason
    meanings = np.full(UNDECIDED + 1, UNDECIDED, np.uint16)
    meanings[places] = values
    return cast("np.ndarray[tuple[int, int], np.dtype[np.uint16]]", meanings[joined])


def _send(array: npt.NDArray[Any], pipe: IO[bytes]) -> None:
    buffer = io.BytesIO()
    np.save(buffer, array, allow_pickle=False)
    pipe.write(len(buffer.getvalue()).to_bytes(8, "little") + buffer.getvalue())
    pipe.flush()


def _receive(pipe: IO[bytes]) -> npt.NDArray[Any]:
    head = pipe.read(8)
    if len(head) < 8:
        raise EOFError("the other process has ended")
    array: npt.NDArray[Any] = np.load(io.BytesIO(pipe.read(int.from_bytes(head, "little"))), allow_pickle=False)
    return array


def _serve(requests: IO[bytes], answers: IO[bytes]) -> None:
    import SimpleITK

    while requests.peek(1):  # type: ignore[attr-defined]
        # 16 bits: with 8, UNDECIDED would become 0, and a mask with the value 254 or 255 would never be joined.
        masks = [SimpleITK.GetImageFromArray(mask.astype(np.uint16)) for mask in _receive(requests)]
        joined = SimpleITK.GetArrayFromImage(SimpleITK.MultiLabelSTAPLE(masks, UNDECIDED, LEAST_CHANGE, MOST_STEPS))
        _send(joined.astype(np.uint16), answers)


if __name__ == "__main__":
    _serve(sys.stdin.buffer, sys.stdout.buffer)
