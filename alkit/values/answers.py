"""What annotators answer, and what becomes of their answers."""

from __future__ import annotations

from dataclasses import dataclass

import numpy.typing as npt


@dataclass(frozen=True, slots=True)
class Skip:
    """An answer that is no label: this image will not be labelled. It counts as asked and is not asked again."""

    reason: str = ""


@dataclass(frozen=True, slots=True)
class Withdrawal:
    """An answer taken back by the annotator who gave it: it counts no longer, and the query is open again."""

    reason: str = ""


@dataclass(frozen=True, slots=True)
class Invalid:
    """An answer that could not be read, and why. It is reported; the query stays open."""

    reason: str


SKIP = Skip()
"""The skip without a reason."""


@dataclass(frozen=True, slots=True, eq=False)
class Answer:
    """What an annotator says to one query.

    Parameters
    ----------
    id:
        The image's id.
    label:
        A mask ``(h, w)`` or class id; a :class:`Skip`; a :class:`Withdrawal` of what was answered before; or
        :class:`Invalid`, with the reason.
    annotator:
        Who; empty where there is only one, or where it is not known.
    revision:
        Orders the answers of one annotator to one image, whenever they arrive: the greatest counts. None: later than
        all that have arrived.
    seconds:
        How long it took, where that is known.
    confirmed:
        Whether somebody said that this is the label. Only then a label is taken that equals the pre-label its query
        came with.
    """

    id: str
    label: npt.ArrayLike | Skip | Withdrawal | Invalid
    annotator: str = ""
    revision: int | None = None
    seconds: float | None = None
    confirmed: bool = False


@dataclass(frozen=True, slots=True)
class Receipt:
    """What became of some answers.

    Parameters
    ----------
    taken:
        New and recorded, in the order they came.
    unchanged:
        What the annotator's answer that counts says already.
    outdated:
        Others, older than the annotator's answer that counts: recorded, and of no effect.
    refused:
        Not taken, each with the reason.
    """

    taken: tuple[Answer, ...] = ()
    unchanged: tuple[Answer, ...] = ()
    outdated: tuple[Answer, ...] = ()
    refused: tuple[tuple[Answer, str], ...] = ()
