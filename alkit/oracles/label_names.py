"""The labels that annotation tools offer: the names of the classes, and one for ignored pixels."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from alkit.errors import ConfigurationError
from alkit.values.label_spec import LabelSpec, Mask

IGNORED = "ignored"
"""The label of pixels that are neither trained on nor measured."""

SKIPPING = frozenset({"skip", "skipped", "unusable"})
"""Tags and labels that skip an image, in small or capital letters, unless a class has the same name."""

Plane = npt.NDArray[np.bool_]
"""The pixels of a label, ``(h, w)``."""


def label_values(spec: LabelSpec) -> dict[str, int]:
    """Return the value in a mask of each label.

    Raises
    ------
    ConfigurationError
        The classes are not of pixels, or one has the name of ignored pixels.

    Examples
    --------
    >>> label_values(LabelSpec(("skin", "lesion"), ignore=255))
    {'skin': 0, 'lesion': 1, 'ignored': 255}
    """
    if spec.per != "pixel":
        raise ConfigurationError(
            "classes must be of pixels",
            got=f"per={spec.per!r}",
            expected="per='pixel'",
            hint="a FolderOracle, which takes classes of images, too",
        )
    known = {name: value for value, name in enumerate(spec.classes)}
    if spec.ignore is None:
        return known
    if IGNORED in known:
        raise ConfigurationError(f"a class must not have the name {IGNORED!r} of ignored pixels", hint="rename it")
    return {**known, IGNORED: spec.ignore}


def says_skip(name: str) -> bool:
    """Return whether a tag or label skips its image.

    >>> says_skip("Unusable"), says_skip("blurred")
    (True, False)
    """
    return name.strip().casefold() in SKIPPING


def label_planes(mask: Mask, spec: LabelSpec) -> list[tuple[str, Plane]]:
    """Return the name and the pixels of each label in a mask, except the background.

    >>> planes = label_planes(np.array([[0, 1]], np.uint8), LabelSpec(("skin", "lesion")))
    >>> [(name, plane.tolist()) for name, plane in planes]
    [('lesion', [[False, True]])]
    """
    planes = ((name, mask == value) for name, value in label_values(spec).items() if value)
    return [(name, plane) for name, plane in planes if plane.any()]
