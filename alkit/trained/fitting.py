"""Predictions of a model for images that are in memory, in batches that fit beside them."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from alkit.pools.batches import map_fitting
from alkit.protocols import Predictor
from alkit.values.label_spec import Images, LabelSpec
from alkit.values.predictions import probabilities_of


def fitting_probabilities(predictor: Predictor, images: Images, classes: LabelSpec | int) -> npt.NDArray[np.float32]:
    """Return the checked predictions of a model for images ``(n, c, h, w)``.

    If the memory does not suffice for all of them at once, they are predicted in smaller batches.

    Raises
    ------
    ConfigurationError
        The memory does not suffice for one image.
    """
    found = map_fitting(
        lambda rows: probabilities_of(predictor, images[rows[0] : rows[-1] + 1], classes),
        range(len(images)),
        len(images),
        size_of=lambda: images.shape[-2:],
    )
    return np.concatenate([some for _, some in found])
