"""Checks of numeric parameters, for alkit's own parts and for authors of plugins."""

from __future__ import annotations

import math

import numpy as np

from alkit.arguments.checked import checked
from alkit.errors import ConfigurationError


@checked
def check_integer(name: str, value: object, least: int, most: int | None = None) -> int:
    """Return `value` as an int, after a check that it is an integer from `least` to `most`.

    Parameters
    ----------
    name:
        The parameter's name, for the message.
    value:
        An ``int`` or an integer of numpy. A bool is refused.
    least, most:
        The range, both ends included; no upper end if `most` is None.

    Raises
    ------
    ConfigurationError
        `value` is not an integer, or out of range.

    Examples
    --------
    >>> check_integer("draws", 20, least=1)
    20
    >>> check_integer("draws", 0, least=1)
    Traceback (most recent call last):
    alkit.errors.ConfigurationError: draws must be an integer >= 1: got 0
    """
    whole = isinstance(value, int | np.integer) and not isinstance(value, bool)
    if not whole or value < least or (most is not None and value > most):  # type: ignore[operator]
        range = f">= {least}" if most is None else f"from {least} to {most}"
        raise ConfigurationError(f"{name} must be an integer {range}", got=repr(value))
    return int(value)  # type: ignore[call-overload, no-any-return]


@checked
def check_number(
    name: str, value: object, least: float = -math.inf, most: float = math.inf, *, open_ends: str = ""
) -> float:
    """Return `value` as a float, after a check that it is a finite number in a range.

    Parameters
    ----------
    name:
        The parameter's name, for the message.
    value:
        A real number of Python or numpy. A bool is refused.
    least, most:
        The range.
    open_ends:
        The ends that do not belong to the range: any of the characters ``"("`` (the lower) and ``")"`` (the upper).

    Raises
    ------
    ConfigurationError
        `value` is not a finite number, or out of range.

    Examples
    --------
    >>> check_number("hold_out", 0.2, 0, 1, open_ends=")")
    0.2
    >>> check_number("hold_out", 1, 0, 1, open_ends=")")
    Traceback (most recent call last):
    alkit.errors.ConfigurationError: hold_out must be a number in [0, 1): got 1
    """
    real = isinstance(value, int | float | np.integer | np.floating) and not isinstance(value, bool)
    try:
        number = float(value) if real else math.nan  # type: ignore[arg-type]
    except OverflowError:  # an integer beyond all floats
        number = math.inf
    above = number > least if "(" in open_ends else number >= least
    below = number < most if ")" in open_ends else number <= most
    if not (math.isfinite(number) and above and below):
        raise ConfigurationError(f"{name} must be {_range(least, most, open_ends)}", got=repr(value))
    return number


def is_number(value: object) -> bool:
    """Return whether a value from JSON is a finite number; an integer beyond all floats is none.

    >>> is_number(2), is_number(True), is_number(10**400), is_number(float("nan"))
    (True, False, False, False)
    """
    try:
        return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)
    except OverflowError:
        return False


def _range(least: float, most: float, open_ends: str) -> str:
    """Name a range of numbers in words."""
    if math.isfinite(least) and math.isfinite(most):
        left, right = "(" if "(" in open_ends else "[", ")" if ")" in open_ends else "]"
        return f"a number in {left}{least:g}, {most:g}{right}"
    if math.isfinite(least):
        return f"a finite number {'>' if '(' in open_ends else '>='} {least:g}"
    if math.isfinite(most):
        return f"a finite number {'<' if ')' in open_ends else '<='} {most:g}"
    return "a finite number"
