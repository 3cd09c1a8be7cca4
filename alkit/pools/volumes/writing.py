"""Write volumes as NIfTI files in the place of other volumes, plane by plane."""

from __future__ import annotations

import gzip
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from alkit._files import atomic_file
from alkit.pools.volumes.geometry import Geometry, Plane
from alkit.pools.volumes.nifti import NiftiFile, read_header
from alkit.pools.volumes.parts import Part, reading_library

QFORM = ("qform_code", "quatern_b", "quatern_c", "quatern_d", "qoffset_x", "qoffset_y", "qoffset_z")
SFORM = ("sform_code", "srow_x", "srow_y", "srow_z")
"""Fields of a header that state the place of a volume, besides the size of its voxels."""

LONGEST = 32767
"""Greatest number of voxels along an axis in a NIfTI-1 file."""

LEVEL = 4
"""Level of compression: labels are mostly zeros."""


def write_volume(path: Path, like: Part, dtype: str, planes: Iterator[npt.NDArray[Any]]) -> None:
    """Write a NIfTI file, ``.nii.gz`` or ``.nii``, with the shape and the place of a part of a volume.

    Both qform and sform state the place. If `like` is a NIfTI file, its fields are copied, so that every program
    places the two files in the same way.

    Parameters
    ----------
    path:
        The file.
    like:
        The part.
    dtype:
        Type of the values.
    planes:
        All planes across the third axis of the array, ``(i, j)``.

    Raises
    ------
    StoreError
        The file cannot be written.
    """
    header = _header(like, np.dtype(dtype))
    with atomic_file(path) as raw:
        if path.name.endswith(".gz"):
            with gzip.GzipFile("", "wb", LEVEL, raw, mtime=0) as file:
                _write(file, header, dtype, planes)
        else:
            _write(raw, header, dtype, planes)


def label_planes(
    geometry: Geometry, plane: Plane, cuts: Mapping[int, npt.NDArray[Any]]
) -> Iterator[npt.NDArray[np.uint8]]:
    """Yield all planes across the third axis of a volume in which some slices are labelled, and all others are 0.

    Parameters
    ----------
    geometry:
        Of the volume.
    plane:
        How slices are cut.
    cuts:
        By position along the axis of the array, labels as the array stores them, see :meth:`Plane.turn_back`.
    """
    first, second, third = geometry.shape
    for number in range(third):
        values = np.zeros((first, second), np.uint8)
        if plane.axis == 2:
            values = np.asarray(cuts.get(number, values), np.uint8)
        else:
            for place, cut in cuts.items():
                values[(slice(None), place) if plane.axis == 1 else place] = cut[:, number]
        yield values


def _write(file: Any, header: Any, dtype: str, planes: Iterator[npt.NDArray[Any]]) -> None:
    file.write(header.binaryblock + bytes(4))  # four zeros: no extension follows
    for plane in planes:
        file.write(plane.T.astype(dtype, order="C").tobytes())


def _header(like: Part, dtype: np.dtype[Any]) -> Any:
    nibabel = reading_library("nibabel", "volumes", "NIfTI files")
    known = read_header(like.path) if isinstance(like, NiftiFile) else None
    if known is not None:
        header = type(known)()
    else:
        header = (nibabel.Nifti1Header if max(like.geometry.shape) <= LONGEST else nibabel.Nifti2Header)()
    header.set_data_shape(like.geometry.shape)
    header.set_data_dtype(dtype)
    header.set_slope_inter(1, 0)
    if known is not None:
        for name in (*QFORM, *SFORM, "xyzt_units"):
            header[name] = known[name]
        header["pixdim"][:4] = known["pixdim"][:4]
    else:
        header.set_xyzt_units("mm")
    affine = like.geometry.matrix if known is None else known.get_best_affine()  # in the unit of the file
    if like.geometry.is_oriented:
        code = int(header["sform_code"]) or int(header["qform_code"]) or 1
        if not header["sform_code"] > 0:
            header.set_sform(affine, code)
        if not header["qform_code"] > 0:
            header.set_qform(affine, code)
            if not np.allclose(header.get_qform(), affine, atol=1e-3):  # sheared, which a qform cannot state
                header.set_qform(None, 0)
    header["magic"] = b"n+1" if len(header.binaryblock) == 348 else b"n+2\0\r\n\x1a\n"
    header["vox_offset"] = len(header.binaryblock) + 4
    return header
