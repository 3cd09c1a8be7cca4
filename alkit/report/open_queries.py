"""What the summary of a campaign says of single queries: open ones, problems, skips and unexpected answers."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Literal

from alkit.record.states import Recorded, Standing
from alkit.values.queries import State

OPEN = (State.PENDING, State.ASKED, State.PARTIAL, State.REJECTED)
"""States of an open query."""


@dataclass(frozen=True, slots=True)
class Problem:
    """An answer that does not count until the annotator gives it again.

    Parameters
    ----------
    annotator:
        Name of the annotator.
    kind:
        ``rejected``, ``invalid`` or ``withdrawn``.
    reason:
        Reason in words; empty if none was given.
    """

    annotator: str
    kind: Literal["rejected", "invalid", "withdrawn"]
    reason: str


@dataclass(frozen=True, slots=True)
class Skipped:
    """A skip that counts: the image, the annotator, and the reason, which may be empty."""

    id: str
    annotator: str
    reason: str


@dataclass(frozen=True, slots=True)
class Unexpected:
    """An answer by somebody else than those whom the query is assigned to. It counts like any other."""

    key: str
    annotator: str
    assigned: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class OpenQuery:
    """A query that is still open.

    Parameters
    ----------
    id, key, round, rank, state:
        As in :class:`alkit.Query`, and the state of the query.
    since:
        Time when the query was sent, or selected if it has not been sent; as recorded, UTC.
    hours:
        Hours from then to now, at least 0.
    missing:
        Number of annotators who have not answered yet.
    answered_by:
        Names of the annotators who have answered.
    problems:
        Answers that do not count until they are given again.
    assigned:
        Names of the annotators it is assigned to; empty for anybody.
    due:
        Time after which it goes to somebody else, UTC; None if there is none.
    overdue:
        Whether that time has passed.
    """

    id: str
    key: str
    round: int
    rank: int
    state: State
    since: str
    hours: float
    missing: int
    answered_by: tuple[str, ...]
    problems: tuple[Problem, ...]
    assigned: tuple[str, ...] = ()
    due: str | None = None
    overdue: bool = False


def open_query(standing: Standing, now: datetime) -> OpenQuery:
    """Return an open query at a time."""
    query, since = standing.query, standing.sent_at or standing.asked_at
    problems = [problem for answer in standing.answers if (problem := problem_of(answer)) is not None]
    good = [answer for answer in standing.answers if problem_of(answer) is None]
    return OpenQuery(
        id=query.id,
        key=query.key,
        round=query.round,
        rank=query.rank,
        state=standing.state,
        since=since,
        hours=max(0.0, (now - datetime.fromisoformat(since)).total_seconds() / 3600),
        missing=standing.missing,
        answered_by=tuple(answer.annotator for answer in good),
        problems=tuple(problems),
        assigned=query.assigned,
        due=query.due,
        overdue=query.due is not None and datetime.fromisoformat(query.due) <= now,
    )


def problem_of(answer: Recorded) -> Problem | None:
    """Return why an answer does not count until it is given again; None if it counts."""
    if answer.rejected is not None:
        return Problem(answer.annotator, "rejected", answer.rejected)
    if answer.kind == "invalid":
        return Problem(answer.annotator, "invalid", answer.reason)
    return Problem(answer.annotator, "withdrawn", answer.reason) if answer.kind == "withdrawal" else None
