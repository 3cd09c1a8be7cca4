"""Colours of classes, and of lines in figures: those of Okabe and Ito, distinct for people with any colour vision.

A class has the same colour wherever it is shown: in pre-labels, in annotation tools and on overlays.

References
----------
Okabe, Ito. "Color Universal Design". 2008. https://jfly.uni-koeln.de/color/
"""

from __future__ import annotations

from alkit.values.label_spec import LabelSpec

BLACK, WHITE = "#000000", "#ffffff"
ORANGE, SKY, GREEN, YELLOW = "#e69f00", "#56b4e9", "#009e73", "#f0e442"
BLUE, VERMILLION, PURPLE = "#0072b2", "#d55e00", "#cc79a7"

CLASS_COLOURS = (YELLOW, SKY, VERMILLION, GREEN, PURPLE, ORANGE, BLUE)
"""Colours of class 1 and above, for images: the brightest first. Class 8 has the colour of class 1, and so on."""

LINE_COLOURS = (BLUE, VERMILLION, GREEN, PURPLE, ORANGE, SKY, BLACK)
"""Colours of lines, for figures on white: black replaces yellow."""


def colour(class_id: int, spec: LabelSpec) -> str:
    """Return the colour of a class, ``#rrggbb``: black for the background, white for the ignore value.

    There are seven other colours. Class 8 has the colour of class 1 again, class 9 that of class 2, and so on.

    >>> spec = LabelSpec(("skin", "lesion"), ignore=255)
    >>> colour(0, spec), colour(1, spec), colour(255, spec)
    ('#000000', '#f0e442', '#ffffff')
    """
    if class_id == 0:
        return BLACK
    if class_id == spec.ignore:
        return WHITE
    return CLASS_COLOURS[(class_id - 1) % len(CLASS_COLOURS)]


def rgb(colour: str) -> tuple[int, int, int]:
    """Return red, green and blue of ``#rrggbb``, 0 to 255.

    >>> rgb("#f0e442")
    (240, 228, 66)
    """
    red, green, blue = bytes.fromhex(colour[1:])
    return red, green, blue
