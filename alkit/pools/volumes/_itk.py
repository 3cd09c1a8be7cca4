"""SimpleITK in a separate process, because SimpleITK and FAISS crash if one process imports both.

``python -P -m alkit.pools.volumes._itk`` reads requests from its input, a line of JSON each, and answers each with one:
the facts in the header of a file, or the voxels, which it writes to a ``.npy`` file.
"""

from __future__ import annotations

import importlib.util
import json
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import IO, Any

from alkit._reading.apart import Apart
from alkit.errors import MissingDependencyError

_worker = Apart("alkit.pools.volumes._itk")


class ItkError(Exception):
    """What SimpleITK says about a file that it cannot read."""


def read_header(path: Path, reader: str) -> Mapping[str, Any]:
    """Return what the header of a file says: size, channels, pixel, bytes, direction, spacing, origin.

    Parameters
    ----------
    reader:
        Name of the reader of ITK.

    Raises
    ------
    ItkError
        The file cannot be read.
    MissingDependencyError
        SimpleITK is not installed.
    """
    return _ask({"path": str(path), "reader": reader})


def write_voxels(path: Path, reader: str, out: Path) -> None:
    """Write the voxels of a file as an array to a ``.npy`` file; errors are those of :func:`read_header`."""
    _ask({"path": str(path), "reader": reader, "out": str(out)})


def _ask(request: Mapping[str, str]) -> Mapping[str, Any]:
    if importlib.util.find_spec("SimpleITK") is None:
        raise MissingDependencyError("NRRD and MetaImage files need SimpleITK", hint='pip install "alkit[itk]"')
    try:
        with _worker.pipes() as (requests, answers):
            requests.write(json.dumps(request).encode() + b"\n")
            requests.flush()
            if not (line := answers.readline()):
                raise OSError("SimpleITK ended while it read the file")
            found: dict[str, Any] = json.loads(line)
    except (OSError, ValueError) as reason:
        raise ItkError(str(reason)) from reason
    if "error" in found:
        raise ItkError(found["error"])
    return found


def _serve(requests: IO[bytes], answers: IO[bytes]) -> None:
    import numpy as np
    import SimpleITK

    SimpleITK.ProcessObject.SetGlobalWarningDisplay(False)

    def answer(path: str, reader: str, out: str | None = None) -> dict[str, Any]:
        if out is not None:
            image = SimpleITK.ReadImage(path, imageIO=reader)
            np.save(out, SimpleITK.GetArrayViewFromImage(image), allow_pickle=False)
            return {}
        file = SimpleITK.ImageFileReader()
        file.SetImageIO(reader)
        file.SetFileName(path)
        file.ReadImageInformation()
        pixel, channels = file.GetPixelID(), int(file.GetNumberOfComponents())
        voxel = SimpleITK.Image((1, 1, 1), pixel, channels) if len(file.GetSize()) == 3 else None
        return {
            "size": file.GetSize(),
            "channels": channels,
            "pixel": SimpleITK.GetPixelIDValueAsString(pixel),
            "bytes": 0 if voxel is None else SimpleITK.GetArrayViewFromImage(voxel).nbytes,
            "direction": file.GetDirection(),
            "spacing": file.GetSpacing(),
            "origin": file.GetOrigin(),
        }

    for line in requests:
        try:
            found = answer(**json.loads(line))
        except (RuntimeError, OSError, MemoryError, ValueError, TypeError) as reason:
            found = {"error": str(reason) or type(reason).__name__}
        answers.write(json.dumps(found).encode() + b"\n")
        answers.flush()


if __name__ == "__main__":
    _serve(sys.stdin.buffer, sys.stdout.buffer)
