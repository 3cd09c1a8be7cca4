"""The slices of a DICOM series in the order of their positions, and where the volume lies in the patient.

Slices of a tilted gantry are shifted sideways, each by as much as the one before it. Their volume has an affine with a
shear, which states the place of every voxel exactly.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from alkit.errors import ImageError
from alkit.pools.decoding import File
from alkit.pools.volumes.geometry import Geometry, make_geometry
from alkit.pools.volumes.parts import check_shape

DOUBLED, MISSING, UNEVEN, TILTED = 1e-3, 1.5, 0.05, 0.5
"""Distances of neighbouring slices: in millimetres, at which they lie at one place; in steps, at which one is missing
between them; the part of a step by which steps may differ. And the millimetres by which a slice may be shifted
sideways: by more, the gantry was tilted.
"""

SAME = 1e-3
"""Greatest difference of directions, and of distances in millimetres, that count as equal."""


@dataclass(frozen=True)
class Slice:
    """What a file says about a slice.

    Parameters
    ----------
    path, file:
        The file.
    series, number:
        UID and number of its series.
    size:
        Number of rows and of columns.
    position:
        Place of the first pixel, in millimetres to the left, the back and the head.
    directions:
        Directions of the rows and of the columns.
    spacing:
        Distance of the rows, and of the columns.
    thickness:
        Thickness of the slice.
    scale:
        Slope and intercept, which turn stored values into values.
    frame, frames:
        Number of the slice in a file of several, counted from 0, and how many the file has.
    """

    path: Path
    file: File
    series: str
    number: int | None
    size: tuple[int, int]
    position: tuple[float, float, float]
    directions: tuple[float, ...]
    spacing: tuple[float, float]
    thickness: float | None
    scale: tuple[float, float] = (1.0, 0.0)
    frame: int | None = None
    frames: int = 1

    @property
    def name(self) -> str:
        """What messages call it."""
        return self.file.name if self.frame is None else f"frame {self.frame + 1} of {self.file.name}"


def ordered(slices: Sequence[Slice], id: str) -> tuple[list[Slice], Geometry]:
    """Return the slices of a series in the order of their positions, and the geometry of the volume.

    Raises
    ------
    ImageError
        Slices differ in size, orientation or spacing, are missing, doubled, or do not lie on a line.
    """
    first = slices[0]
    for other in slices[1:]:
        for what, one, two in (
            ("size", first.size, other.size),
            ("orientation", first.directions, other.directions),
            ("spacing", first.spacing, other.spacing),
        ):
            if not np.allclose(one, two, rtol=0, atol=SAME):
                raise ImageError(
                    f"the slices of {id} differ in {what}",
                    got=f"{first.name} {one} and {other.name} {two}",
                    hint="move those of another series to another folder",
                )
    along, down = np.array(first.directions[:3]), np.array(first.directions[3:])
    normal = np.cross(along, down)
    places = np.array([each.position for each in slices])
    heights = places @ normal
    order = np.argsort(heights, kind="stable")
    found, places, heights = [slices[place] for place in order], places[order], heights[order]
    step = _step(found, places, heights, normal, id)
    matrix = np.eye(4)
    matrix[:3, 0], matrix[:3, 1], matrix[:3, 2] = along * first.spacing[1], down * first.spacing[0], step
    matrix[:3, 3] = places[0]
    shape = first.size[1], first.size[0], len(found)
    check_shape(shape, 1, id)
    # DICOM counts to the left and to the back.
    geometry = make_geometry(shape, np.diag([-1.0, -1.0, 1.0, 1.0]) @ matrix, id)
    return found, geometry


def _step(slices: Sequence[Slice], places: Any, heights: Any, normal: Any, id: str) -> Any:
    """Return the vector from each slice to the next."""
    if len(slices) == 1:
        if not slices[0].thickness or slices[0].thickness <= 0:
            raise ImageError(f"{id} has one slice, which does not state its thickness")
        return normal * slices[0].thickness
    gaps = np.diff(heights)
    usual = float(np.median(gaps))
    for one, two, gap in zip(slices, slices[1:], gaps.tolist(), strict=False):
        names = f"{one.name} and {two.name}"
        if gap < DOUBLED:
            raise ImageError(
                f"two slices of {id} lie at the same place", got=names, hint="keep one of them, or convert it to NIfTI"
            )
        if gap > MISSING * usual and usual > DOUBLED:
            raise ImageError(
                f"slices of {id} are missing",
                got=f"{gap:.4g} mm between {names}, and {usual:.4g} mm between others",
                hint="copy the series again",
            )
    if (apart := float(np.abs(gaps - usual).max())) > UNEVEN * usual:
        raise ImageError(f"the distances of the slices of {id} differ", got=f"by {apart:.3g} of {usual:.4g} mm")
    whole = places[-1] - places[0]
    shift = float(np.linalg.norm(whole - (whole @ normal) * normal))
    step = whole / (len(slices) - 1)
    aside = places - places[0] - np.outer(heights - heights[0], step) / float(step @ normal)
    if (most := float(np.linalg.norm(aside, axis=1).max())) > TILTED:
        raise ImageError(
            f"the slices of {id} are shifted against each other",
            got=f"{most:.3g} mm from the line between the first and the last",
            hint="convert it to NIfTI",
        )
    return step if shift > TILTED else normal * (whole @ normal) / (len(slices) - 1)
