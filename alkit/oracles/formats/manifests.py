"""The manifest beside volumes of labels: which voxels belong to which query.

It lies in the exchange, so annotators can write into it, and it is checked like everything else there.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from alkit._reading.inside import read_inside
from alkit._reading.limits import check_pixels
from alkit.errors import AlkitError, DataError, one_line
from alkit.pools.volumes.geometry import Geometry, Plane, make_geometry
from alkit.pools.volumes.nifti import UNITS

VERSION = 1
"""Version of the content of the manifest."""


@dataclass(frozen=True, slots=True)
class Sent:
    """A volume of labels that was sent.

    Parameters
    ----------
    name:
        Name of its file, without the suffix.
    volume:
        Id of the volume.
    geometry:
        Its shape and place.
    slices:
        By position along the axis of the array: the query, and how the slice is cut.
    """

    name: str
    volume: str
    geometry: Geometry
    slices: Mapping[int, tuple[str, Plane]]


def read_manifest(path: Path, folder: Path, *, lenient: bool = False) -> list[Sent]:
    """Return the volumes in a manifest, which annotators can write into; none if it is damaged and `lenient`."""
    try:
        facts: Any = json.loads(read_inside(path, folder))
        if facts["version"] != VERSION:
            raise ValueError(f"version {facts['version']}")
        return [_sent(entry) for entry in facts["volumes"]]
    except (AlkitError, OSError, KeyError, TypeError, ValueError, OverflowError, RecursionError) as reason:
        if lenient:
            return []
        raise DataError(f"{path} is damaged", got=reason) from reason


def _sent(entry: Mapping[str, Any]) -> Sent:
    first, second, third = map(int, entry["shape"])
    if min(first, second, third) < 1:
        raise ValueError("a shape without voxels")
    name, volume = str(entry["file"]), one_line(str(entry["volume"]))
    geometry = make_geometry(
        (first, second, third), np.array(entry["affine"], float), name, is_oriented=bool(entry["is_oriented"])
    )
    unit = entry.get("unit", 1.0)  # the affine is in millimetres; manifests of earlier versions state no unit
    if unit is not None and unit not in UNITS.values():
        raise ValueError("an unknown unit")
    geometry = replace(geometry, unit=unit)
    (rows, columns), is_transposed, axis = entry["flips"], entry["is_transposed"], int(entry["axis"])
    if not all(isinstance(value, bool) for value in (rows, columns, is_transposed)):
        raise TypeError("values that are not true or false")
    plane = Plane("", axis, False, is_transposed, (rows, columns))
    check_pixels(plane.size(geometry), "a slice")
    slices = {int(one["number"]): (str(one["query"]), plane) for one in entry["slices"]}
    if not slices or not 0 <= min(slices) <= max(slices) < geometry.shape[axis]:
        raise ValueError("no slices, or other ones")
    return Sent(name, volume, geometry, slices)
