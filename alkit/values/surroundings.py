"""What lies around an image that is a part of a larger one."""

from __future__ import annotations

from typing import NamedTuple

from alkit.values.frames import Box
from alkit.values.label_spec import Images


class Surroundings(NamedTuple):
    """An image among its neighbours, and its place in an overview of what it is part of.

    Parameters
    ----------
    near:
        The image and what lies around it, ``(c, h, w)``, float32 in [0, 1].
    place:
        The place of the image in `near`.
    overview:
        A small picture of the whole, ``(c, h, w)``, float32 in [0, 1].
    place_in_overview:
        The place of the image in `overview`.
    """

    near: Images
    place: Box
    overview: Images
    place_in_overview: Box
