"""Arrays that users pass: of NumPy, of torch, or lists."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from alkit.errors import AlkitError


def array_of(value: object, name: str, error: type[AlkitError]) -> npt.NDArray[Any]:
    """Return a value as an array of NumPy.

    Parameters
    ----------
    value:
        An array, a tensor, or numbers in lists.
    name:
        What it is, for the message.
    error:
        The error to raise.

    Raises
    ------
    AlkitError
        It cannot be an array, or is a masked array with masked values, under which there can be any numbers.

    Examples
    --------
    >>> from alkit.errors import LabelError
    >>> array_of([[0, 1]], "the mask", LabelError).shape
    (1, 2)
    >>> array_of(np.ma.masked_equal([[0, 9]], 9), "the mask", LabelError)
    Traceback (most recent call last):
    alkit.errors.LabelError: the mask must not have masked values: got 1 of 2. Try: array.filled(value).
    """
    if isinstance(value, np.ma.MaskedArray) and (mask := np.ma.getmaskarray(value)).any():
        raise error(
            f"{name} must not have masked values",
            got=f"{np.count_nonzero(mask)} of {mask.size}",
            hint="array.filled(value)",
        )
    try:
        return np.asarray(value)
    except MemoryError:
        raise
    except Exception as reason:  # a tensor on a GPU, or an array of another library that is read now and cannot be
        raise error(f"{name} is not an array", got=f"{type(reason).__name__}: {reason}") from reason
