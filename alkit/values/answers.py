"""Answers of annotators, and the receipt that says how a record took them."""

from __future__ import annotations

from dataclasses import dataclass

from alkit.arguments.checked import checked
from alkit.values.label_spec import Told
from alkit.values.shown import short_repr


@checked
@dataclass(frozen=True, slots=True)
class Skip:
    """An answer without a label: the annotator will not label this image. It is not queried again."""

    reason: str = ""


@checked
@dataclass(frozen=True, slots=True)
class Withdrawal:
    """An answer that takes back the annotator's earlier answer, which no longer counts; the query is open again."""

    reason: str = ""


@checked
@dataclass(frozen=True, slots=True)
class Invalid:
    """An answer that could not be read, with the reason. It is reported, and the query stays open."""

    reason: str


SKIP = Skip()
"""A skip without a reason."""


@dataclass(frozen=True, slots=True, eq=False)
class Answer:
    """An annotator's answer to one query.

    Parameters
    ----------
    id:
        Id of the image.
    label:
        A mask ``(h, w)``, a class id, or the names of several classes; a :class:`Skip`; a :class:`Withdrawal` of the
        annotator's earlier answer; or :class:`Invalid`.
    annotator:
        Name of the annotator; empty if there is only one, or if the name is unknown.
    revision:
        Revision number. Among the answers of one annotator to one image, the answer with the greatest revision
        counts, in whatever order they arrive. None means later than all answers so far.
    seconds:
        Time that the annotator needed, in seconds; None if unknown.
    confirmed:
        Whether the annotator confirmed the label. A label that equals the pre-label of its query is only accepted if
        it is confirmed, and so is an exported label that its annotator has corrected since.
    exported:
        Whether it comes from a file of many answers. A copy of such a file gets a new time, so its answers may be older
        than their revision.
    query:
        Key of the query that it answers; empty if that is unknown. An image that is reviewed has several queries.
    remarks:
        What the reader of a file interpreted, in words, such as the threshold of a gray mask.

    Examples
    --------
    >>> Answer("ward 3/0017", Skip("out of focus"), annotator="ann").label
    Skip(reason='out of focus')
    """

    id: str
    label: Told | Skip | Withdrawal | Invalid
    annotator: str = ""
    revision: int | None = None
    seconds: float | None = None
    confirmed: bool = False
    exported: bool = False
    query: str = ""
    remarks: tuple[str, ...] = ()

    __repr__ = short_repr


@checked
@dataclass(frozen=True, slots=True)
class Receipt:
    """How a record took some answers.

    Parameters
    ----------
    taken:
        New answers, which were recorded, in the order in which they came.
    unchanged:
        Answers equal to the annotator's current answer.
    outdated:
        Answers older than the annotator's current answer. They were recorded, but do not count.
    refused:
        Answers that were not recorded, each with the reason.
    warnings:
        Sentences about new answers that a person should look at, and about annotators whose names differ in case or
        spaces only. The answers were taken.
    """

    taken: tuple[Answer, ...] = ()
    unchanged: tuple[Answer, ...] = ()
    outdated: tuple[Answer, ...] = ()
    refused: tuple[tuple[Answer, str], ...] = ()
    warnings: tuple[str, ...] = ()

    __repr__ = short_repr
