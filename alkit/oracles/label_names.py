"""The labels that annotation tools offer: the names of the classes, and one for ignored pixels."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from alkit.errors import ConfigurationError
from alkit.values.label_spec import LabelSpec, Mask

IGNORED = "ignored"
"""The label of pixels that are neither trained on nor measured."""

SKIPPING = frozenset({"skip", "skipped", "unusable"})
"""Tags and labels that skip an image, in small or capital letters, unless a class has the same name."""

REASONS, TRUE = frozenset({"reason", "comment"}), frozenset({"true", "yes", "1", "x"})
"""Names of attributes and columns that state why an image is skipped; and values that set an attribute."""

SKIPPED = "skipped"
"""The tag of an image that was skipped by a button of the tool."""

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


@dataclass(frozen=True, slots=True)
class Marked:
    """What skips an image: the word that does, and the reason in words; empty if there is none."""

    word: str
    reason: str = ""

    @property
    def tag(self) -> str:
        """The tag that says so."""
        return f"{self.word}: {self.reason}" if self.reason else self.word

    def __str__(self) -> str:
        return f"marked {self.word!r}{f': {self.reason}' if self.reason else ''}"


def skip_of(name: str, reason: str = "") -> Marked | None:
    """Return what a tag or label says if it skips its image, else None. The reason can follow a colon.

    >>> str(skip_of("Unusable")), str(skip_of("skip: out of focus")), skip_of("blurred")
    ("marked 'Unusable'", "marked 'skip': out of focus", None)
    """
    word, _, why = name.partition(":")
    return Marked(word.strip(), why.strip() or reason) if word.strip().casefold() in SKIPPING else None


def skip_in(attributes: object) -> Marked | None:
    """Return what attributes or flags say if they skip an image, else None.

    An attribute does so if its name is such a word and its value is true, or if its value is such a word. An attribute
    ``reason`` or ``comment`` states why.

    >>> str(skip_in({"unusable": "true", "reason": "blurred"})), str(skip_in({"quality": "unusable"}))
    ("marked 'unusable': blurred", "marked 'unusable'")
    >>> skip_in({"unusable": False}) is None
    True
    """
    if not isinstance(attributes, Mapping):
        return None
    plain = {str(name): value for name, value in attributes.items()}
    why = next(
        (str(value).strip() for name, value in plain.items() if name.strip().casefold() in REASONS and value), ""
    )
    for name, value in plain.items():
        if name.strip().casefold() in REASONS:
            continue
        if (marked := skip_of(name, why)) is not None and str(value).strip().casefold() in TRUE:
            return marked
        if isinstance(value, str) and (marked := skip_of(value, why)) is not None:
            return marked
    return None


def says_skip(name: str) -> bool:
    """Return whether a tag or label skips its image.

    >>> says_skip("Unusable"), says_skip("blurred")
    (True, False)
    """
    return skip_of(name) is not None


def label_planes(mask: Mask, spec: LabelSpec) -> list[tuple[str, Plane]]:
    """Return the name and the pixels of each label in a mask, except the background.

    >>> planes = label_planes(np.array([[0, 1]], np.uint8), LabelSpec(("skin", "lesion")))
    >>> [(name, plane.tolist()) for name, plane in planes]
    [('lesion', [[False, True]])]
    """
    planes = ((name, mask == value) for name, value in label_values(spec).items() if value)
    return [(name, plane) for name, plane in planes if plane.any()]
