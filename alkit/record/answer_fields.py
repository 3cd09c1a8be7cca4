"""Checks of the fields of an answer that come from people and their tools."""

from __future__ import annotations

import math

import numpy as np

from alkit.arguments.words import found
from alkit.errors import LabelError, one_line
from alkit.values.answers import Answer

LONGEST_NAME, LONGEST_REASON = 200, 10_000
"""Greatest number of characters in the name of an annotator, and in a reason."""


def check_annotator(answer: Answer) -> str:
    """Return the name of an answer's annotator; raise a :class:`LabelError` if it cannot be one."""
    if not isinstance(answer.annotator, str) or one_line(answer.annotator, LONGEST_NAME) != answer.annotator:
        raise LabelError(
            f"annotator must be Unicode text in the answer for {answer.id!r}, in one line of at most {LONGEST_NAME} "
            "characters",
            got=one_line(ascii(answer.annotator), LONGEST_NAME),
        )
    return answer.annotator


def check_confirmed(answer: Answer) -> bool:
    """Return whether an answer is confirmed; raise a :class:`LabelError` if it does not say so."""
    if not isinstance(answer.confirmed, bool | np.bool_):
        raise LabelError(
            f"confirmed must be True or False in the answer for {answer.id!r}", got=found(answer.confirmed)
        )
    return bool(answer.confirmed)


def check_seconds(answer: Answer) -> float | None:
    """Return the time that an answer took; raise a :class:`LabelError` if it cannot be a time."""
    try:
        seconds = None if answer.seconds is None else float(answer.seconds)
    except (TypeError, ValueError):
        seconds = math.nan
    if seconds is not None and not 0 <= seconds < math.inf:
        raise LabelError(
            f"seconds must be a number >= 0, or None, in the answer for {answer.id!r}", got=repr(answer.seconds)
        )
    return seconds
