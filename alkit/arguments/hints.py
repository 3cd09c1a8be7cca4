"""Fixes for common wrong arguments."""

from __future__ import annotations

import os
import re
from typing import Any

import numpy as np


def hint_for(expected: str, value: Any) -> str | None:
    """Return a fix for a wrong argument; None if there is none that would hold.

    Parameters
    ----------
    expected:
        What must hold, in the words of the message.
    value:
        What was found.

    Examples
    --------
    >>> hint_for("a pool, an object with ids and a method read(ids)", "scans")
    "alkit.ImagePool('scans')"
    """
    text = os.fspath(value) if isinstance(value, str | os.PathLike) else None
    if expected.startswith("a pool,"):
        if text is not None:
            return f"alkit.ImagePool({text!r})"
        return "alkit.ArrayPool(images)" if isinstance(value, np.ndarray | list | tuple) else None
    if expected.startswith("a Generator of numpy"):
        return "numpy.random.default_rng(0)"
    if expected.startswith(("a strategy,", "a ranking,")) and text is not None:
        return f"alkit.strategy({text!r})"
    if expected.startswith("a learner,") and text is not None:
        return f"alkit.learners.learner({text!r})"
    if expected.startswith("a feature extractor,") and text is not None:
        return f"alkit.features.extractor({text!r})"
    if expected.startswith("a network factory,"):
        return "alkit.UNet"
    if expected.startswith("an oracle,") and text is not None:
        return "alkit.MaskOracle, for masks that are known"
    if isinstance(value, type) and re.match(r"an? [\w ]+,", expected):
        return f"an instance: {value.__name__}()"
    return None
