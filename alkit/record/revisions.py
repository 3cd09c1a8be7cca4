"""Revisions of answers: counters, or times that may be wrong."""

from __future__ import annotations

import math
import operator
from collections.abc import Callable, Sequence
from datetime import datetime
from itertools import count

from alkit.errors import ConflictError, LabelError
from alkit.record.states import Recorded
from alkit.values.answers import Answer

UNKNOWN = -1
"""Revision of an answer that does not have one yet. It gets one when it is recorded."""

EARLIEST = 10**17
"""A revision from this number on is a time in nanoseconds since 1970; a smaller one is a counter."""

GREATEST = 2**62
"""The greatest revision that is accepted. A time in nanoseconds stays below it until 2116."""


def check_revision(answer: Answer) -> int:
    """Return the revision of an answer, :data:`UNKNOWN` for None; raise a :class:`LabelError` if it cannot be one."""
    if answer.revision is None:
        return UNKNOWN
    try:
        revision = operator.index(answer.revision)  # also of a NumPy integer
    except TypeError:
        revision = UNKNOWN
    if not 0 <= revision <= GREATEST:
        raise LabelError(
            f"revision must be an integer from 0 to 2**62, or None, in the answer for {answer.id!r}",
            got=repr(answer.revision),
        )
    return revision


def find_revision(
    draft: Recorded,
    own: Sequence[Recorded],
    last: Recorded | None,
    equal: Callable[[Recorded, Recorded], bool],
    now: int,
) -> int | None:
    """Return the revision to record an answer with, or None if it is recorded already.

    Parameters
    ----------
    own:
        The annotator's valid answers to the image.
    last:
        The one of them with the greatest revision.
    equal:
        Whether a recorded answer is equal to the draft.
    now:
        The time now, in nanoseconds since 1970.

    Raises
    ------
    ConflictError
        A counter has another answer already.
    """
    revision = draft.revision
    there = [entry for entry in own if entry.revision == revision]
    known = any(equal(entry, draft) for entry in (there if revision < EARLIEST else own))
    if there and known:
        return None
    if there and revision < EARLIEST:
        raise ConflictError(
            f"revision {revision} of {draft.annotator!r} for {draft.id!r} is recorded with another answer",
            hint="a greater revision for the changed answer",
        )
    if there:  # two different files with the same time: the one that arrives later counts
        taken = {entry.revision for entry in own}
        return next(number for number in count(revision) if number not in taken)
    if revision > now:
        # The same file is read again and again until its time has come, so an answer in it is new only once.
        return None if known else now if last is None else max(now, last.revision + 1)
    if last is not None and EARLIEST <= revision < last.revision:
        told = _time_told(last, now)
        if last.revision > min(told, now) and (revision > told or told > now):
            return last.revision + 1  # the last one has a time after it was recorded, so a clock ran ahead
    return revision


def _time_told(answer: Recorded, now: int) -> int:
    """Return the end of the second in which an answer was recorded, in nanoseconds since 1970."""
    return (math.floor(datetime.fromisoformat(answer.told_at).timestamp()) + 1) * 10**9 if answer.told_at else now


def revision_at(time: str) -> int:
    """Return the revision of an answer given at a time of the record.

    >>> revision_at("2026-01-02T03:04:05+00:00")
    1767323045000000000
    """
    return math.floor(datetime.fromisoformat(time).timestamp()) * 10**9
