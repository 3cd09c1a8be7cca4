"""A mask of one image in a NIfTI file, as tools save it that open a PNG as a volume of one slice.

ITK, on which ITK-SNAP and 3D Slicer rest, reads columns to the left and rows to the back of a patient. So both axes of
the affine are negative in NIfTI, and the first axis of the array runs along the rows of the image. In a file with
another affine, nobody can tell whether the mask is turned or flipped: it is refused.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from alkit.errors import LabelError
from alkit.labels.masks import class_ids
from alkit.pools.volumes.nifti import NiftiFile
from alkit.values.label_spec import LabelSpec

FLAT = "it was read as ITK-SNAP and 3D Slicer save masks of pictures: the first axis runs along the rows"
"""What is interpreted."""


def flat_mask(part: NiftiFile, spec: LabelSpec, id: str) -> npt.NDArray[Any]:
    """Return the mask, ``(h, w)``, in a NIfTI file of one slice.

    Raises
    ------
    LabelError
        The affine is another one, or a value is not an integer from 0 to 255.
    """
    matrix = part.geometry.matrix[:3, :3]
    is_itk = part.geometry.is_oriented and bool((np.diag(matrix)[:2] < 0).all())
    if not is_itk or np.abs(matrix - np.diag(np.diag(matrix))).max() > 1e-6:
        raise LabelError(
            f"the mask of {id!r} in {part.path.name} can be turned or flipped",
            got=f"the affine {np.round(matrix[:2, :2], 3).tolist()}",
            expected="negative numbers on its diagonal, as ITK-SNAP writes for a picture",
            hint="save it as PNG",
        )
    (values,) = part.planes(0, [0])
    plane = values.T.astype(np.uint8) if values.min() >= 0 and values.max() <= 255 else None
    if plane is None or not np.array_equal(plane, values.T):
        raise LabelError(f"{part.path.name} must hold class ids, integers from 0 to 255")
    return np.ascontiguousarray(class_ids(plane, spec, id))
