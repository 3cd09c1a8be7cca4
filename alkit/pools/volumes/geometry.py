"""How the array of a volume lies in a patient, and how its slices are cut and turned.

Coordinates are those of NIfTI: millimetres to the right, to the front (anterior) and to the head (superior).
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any, Literal, get_args

import numpy as np
import numpy.typing as npt

from alkit.errors import ConfigurationError, ImageError
from alkit.values.label_spec import Size

Axis = Literal["axial", "coronal", "sagittal"]
"""The direction across slices: towards the head, the front or the right.

Slices are numbered in this direction, from 0, and shown as radiologists see them: axial slices with the front at the
top and the patient's right at the left, coronal slices with the head at the top and the right at the left, sagittal
slices with the head at the top and the front at the left.
"""

WORLD = {"axial": (2, 1, 0), "coronal": (1, 2, 0), "sagittal": (0, 2, 1)}
"""By axis: the coordinates across slices, along the rows' order from top to bottom, and along the columns'."""

TOLERANCE, PART = 1e-3, 0.1
"""Greatest difference, in millimetres at the corner of a volume, between two affines that count as equal; and the same
as a part of the smallest side of a voxel, which is less in microscopy."""

SKEW = 1.0
"""Greatest difference, in degrees, of the angle between rows and columns of a slice from a right angle."""

Array = npt.NDArray[Any]


@dataclass(frozen=True)
class Geometry:
    """The shape of a volume ``(i, j, k)``, and the affine that maps indices to millimetres.

    Parameters
    ----------
    shape:
        Number of voxels along each axis of the array.
    affine:
        Rows of the 4 x 4 matrix.
    is_oriented:
        Whether the file states how the volume lies in the patient. If it does not, the affine is a guess.
    unit:
        Millimetres of the unit in which the file states lengths; None if it states no unit, so that millimetres are a
        guess. The affine is in millimetres in any case.
    """

    shape: tuple[int, int, int]
    affine: tuple[tuple[float, ...], ...]
    is_oriented: bool = True
    unit: float | None = 1.0

    @property
    def matrix(self) -> npt.NDArray[np.float64]:
        """The affine as an array."""
        return np.array(self.affine)

    @property
    def spacing(self) -> tuple[float, float, float]:
        """Distance of neighbouring voxels along each axis of the array, in millimetres."""
        first, second, third = np.linalg.norm(self.matrix[:3, :3], axis=0).tolist()
        return first, second, third

    def difference(self, other: Geometry) -> str | None:
        """Return in words how another geometry differs from this one; None if it is the same.

        If this one does not state how it lies in the patient, shape and spacing count. If the other one states no unit
        of length, that of this one counts.
        """
        if self.shape != other.shape:
            return f"{_by(other.shape)} voxels, not {_by(self.shape)}"
        if other.unit is None and self.unit is not None:
            other = replace(other, affine=in_millimetres(other.matrix, self.unit), unit=self.unit)
        if not self.is_oriented:
            same = np.allclose(self.spacing, other.spacing, rtol=1e-4)
            return None if same else f"voxels of {_by(other.spacing)} mm, not {_by(self.spacing)}"
        if not other.is_oriented:
            return "no statement of how it lies in the patient (qform_code and sform_code are 0)"
        corners = np.array([[i, j, k, 1] for i in (0, 1) for j in (0, 1) for k in (0, 1)]) * (*self.shape, 1)
        apart = float(np.abs(corners @ (self.matrix - other.matrix).T).max())
        if apart <= min(TOLERANCE, PART * min(self.spacing)):
            return None
        return f"another place: its affine moves a corner of the volume by {apart:.3g} mm"


def in_millimetres(matrix: Array, unit: float | None) -> tuple[tuple[float, ...], ...]:
    """Return the rows of an affine that states lengths in a unit of so many millimetres; None: in millimetres."""
    factors = np.array([[unit or 1.0]] * 3 + [[1.0]])
    return tuple(map(tuple, (matrix * factors).tolist()))


def make_geometry(
    shape: tuple[int, ...], affine: Array, name: str, *, is_oriented: bool = True, unit: float | None = 1.0
) -> Geometry:
    """Return a geometry of a file, whose affine states lengths in `unit`; see :class:`Geometry`.

    Raises
    ------
    ImageError
        The affine is not finite, or flattens the volume.
    """
    matrix = np.asarray(affine, np.float64)
    first, second, third = map(int, shape)
    lengths = np.linalg.norm(matrix[:3, :3], axis=0) if np.isfinite(matrix).all() else np.zeros(3)
    flat = not lengths.all() or abs(np.linalg.det(matrix[:3, :3] / lengths)) < 1e-6
    if flat or not np.isfinite(lengths).all():
        raise ImageError(
            f"{name} has an affine that does not span a volume", got=str(matrix[:3].tolist()), hint="correct its header"
        )
    return Geometry((first, second, third), in_millimetres(matrix, unit), is_oriented, unit)


@dataclass(frozen=True)
class Plane:
    """How slices of one volume are cut and turned.

    Parameters
    ----------
    name:
        Name of the axis in ids of slices, such as ``axial``.
    axis:
        Axis of the array across slices.
    is_reversed:
        Whether the slices are numbered against the order of the array.
    is_transposed:
        Whether the first of the other two axes runs along the rows of the image, so that it numbers the columns.
    flips:
        Whether the rows, and the columns, are in the reverse order of the array.
    """

    name: str
    axis: int
    is_reversed: bool
    is_transposed: bool
    flips: tuple[bool, bool]

    def count(self, geometry: Geometry) -> int:
        """Return the number of slices."""
        return geometry.shape[self.axis]

    def number(self, index: int, geometry: Geometry) -> int:
        """Return the position of a slice along the axis of the array."""
        return self.count(geometry) - 1 - index if self.is_reversed else index

    def size(self, geometry: Geometry) -> Size:
        """Return the height and width of a slice in voxels."""
        rows, columns = self._axes()
        return geometry.shape[rows], geometry.shape[columns]

    def spacing(self, geometry: Geometry) -> tuple[float, float]:
        """Return the distance of neighbouring rows, and of neighbouring columns, in millimetres."""
        rows, columns = self._axes()
        return geometry.spacing[rows], geometry.spacing[columns]

    def turn(self, cut: Array) -> Array:
        """Return a slice ``(..., first, second)``, cut out of the array, as an image ``(..., h, w)``. No copy is made.

        >>> Plane("axis2", 2, False, True, (True, False)).turn(np.array([[1, 2], [3, 4]])).tolist()
        [[2, 4], [1, 3]]
        """
        return self._flip(np.swapaxes(cut, -1, -2) if self.is_transposed else cut)

    def turn_back(self, image: Array) -> Array:
        """Return an image ``(..., h, w)`` as a slice ``(..., first, second)`` of the array: the inverse of `turn`."""
        cut = self._flip(image)
        return np.swapaxes(cut, -1, -2) if self.is_transposed else cut

    def _flip(self, image: Array) -> Array:
        rows, columns = (slice(None, None, -1 if flip else 1) for flip in self.flips)
        return image[..., rows, columns]

    def _axes(self) -> tuple[int, int]:
        first, second = (axis for axis in range(3) if axis != self.axis)
        return (second, first) if self.is_transposed else (first, second)


def plane_of(geometry: Geometry, axis: Axis | int, name: str) -> Plane:
    """Return how the slices of a volume are cut and turned.

    Oblique volumes are cut along the axis of the array that is nearest to `axis`. If `axis` is a number, slices are not
    turned: the first of the other axes numbers the columns, the second the rows.

    Raises
    ------
    ImageError
        The file does not state how the volume lies in the patient, and `axis` is not a number; or the volume is
        sheared, and the rows and columns of its slices do not meet at a right angle.
    """
    if not isinstance(axis, str):
        return Plane(f"axis{axis}", axis, False, True, (False, False))
    if not geometry.is_oriented:
        raise ImageError(
            f"{name} does not state how it lies in the patient (qform_code and sform_code are 0)",
            expected=f"an orientation, to cut it into {axis} slices",
            hint="axis=2, which cuts along the third axis of the array",
        )
    from nibabel.orientations import io_orientation

    found = [(int(place), int(sign)) for place, sign in io_orientation(geometry.matrix)]  # by axis of the array
    by_place = {place: (number, sign > 0) for number, (place, sign) in enumerate(found)}
    across, rows, columns = (by_place[place] for place in WORLD[axis])
    _check_square(geometry, (rows[0], columns[0]), axis, name)
    # The images start at the head or front and at the right, so ascending coordinates run against them; in sagittal
    # slices the columns start at the front.
    return Plane(axis, across[0], not across[1], rows[0] > columns[0], (rows[1], columns[1]))


def _check_square(geometry: Geometry, axes: tuple[int, int], axis: str, name: str) -> None:
    one, two = (geometry.matrix[:3, number] / geometry.spacing[number] for number in axes)
    angle = float(np.degrees(np.arccos(np.clip(abs(one @ two), 0, 1))))
    if angle < 90 - SKEW:
        raise ImageError(
            f"{name} is sheared, as by a tilted gantry, so its {axis} slices would be distorted",
            got=f"an angle of {angle:.1f} degrees between rows and columns",
            hint="slices along another axis, such as those of the scanner, or resample it",
        )


def check_axis(axis: Axis | int) -> None:
    """Check that `axis` is the name of an axis, 0, 1 or 2.

    Raises
    ------
    ConfigurationError
        It is not.
    """
    names = get_args(Axis)
    number = isinstance(axis, int) and not isinstance(axis, bool) and 0 <= axis <= 2
    if not number and not (isinstance(axis, str) and axis in names):
        raise ConfigurationError(f"axis must be {', '.join(map(repr, names))}, 0, 1 or 2", got=repr(axis))


def slice_name(plane: Plane, index: int) -> str:
    """Return the name of a slice within its volume.

    >>> slice_name(Plane("axial", 2, False, True, (True, True)), 7)
    'axial-0007'
    """
    return f"{plane.name}-{index:04}"


def slice_index(name: str) -> int:
    """Return the index of a slice from its name."""
    return int(name.rpartition("-")[2])


def _by(numbers: tuple[float, ...]) -> str:
    return " x ".join(f"{number:g}" for number in numbers)
