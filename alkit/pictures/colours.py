"""The colours of classes, the same wherever one is shown: in pre-labels, in annotation tools and on overlays."""

from __future__ import annotations

from alkit.values.label_spec import LabelSpec

COLOURS = ("#f0e442", "#56b4e9", "#d55e00", "#009e73", "#cc79a7", "#e69f00", "#0072b2")
"""Of class 1 and those after it, again from the start after the last: those of Okabe and Ito, which people who see
colours differently can tell apart too."""


def colour(class_id: int, spec: LabelSpec) -> str:
    """Return the colour of a class, ``#rrggbb``: the background is black, what is ignored white.

    >>> spec = LabelSpec(("skin", "lesion"), ignore=255)
    >>> colour(0, spec), colour(1, spec), colour(255, spec)
    ('#000000', '#f0e442', '#ffffff')
    """
    if class_id == 0:
        return "#000000"
    if class_id == spec.ignore:
        return "#ffffff"
    return COLOURS[(class_id - 1) % len(COLOURS)]


def rgb(colour: str) -> tuple[int, int, int]:
    """Return red, green and blue of ``#rrggbb``, 0 to 255.

    >>> rgb("#f0e442")
    (240, 228, 66)
    """
    red, green, blue = bytes.fromhex(colour[1:])
    return red, green, blue
