"""The summary of a campaign: its labels, annotators, open queries, learning curve and stopping advice, as values.

The functions here depend only on their arguments: they read no record and print nothing.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from statistics import median
from typing import Literal

from alkit.evaluation.agreement import Agreement
from alkit.evaluation.doubts import Doubt
from alkit.record.audit import AuditSet
from alkit.record.reviews import place_of
from alkit.record.states import Recorded, Standing
from alkit.record.unread import Unread
from alkit.report.open_queries import OPEN, OpenQuery, Problem, Skipped, Unexpected, open_query, problem_of
from alkit.report.outlook import Outlook
from alkit.report.reviews import Review
from alkit.stopping import Advice
from alkit.values.queries import State
from alkit.values.rounds import RoundResult, measured_on


@dataclass(frozen=True, slots=True)
class Timing:
    """Median time for a label, in seconds, and the number of labels with a known time."""

    median: float
    n: int


@dataclass(frozen=True, slots=True)
class Annotator:
    """The answers of one annotator. Only the latest answer to each image counts.

    Parameters
    ----------
    name:
        Name of the annotator; empty if unknown.
    labels, skips:
        Numbers of labels and skips.
    withdrawn:
        Number of answers that the annotator took back and has not given again.
    rejected:
        Number of answers that were sent back and have not been given again.
    invalid:
        Number of answers that cannot be read or do not fit the image, and have not been corrected.
    seconds:
        Time for a label; None if no time is known.
    waiting:
        Number of open images that are assigned to the annotator and wait for this answer.
    """

    name: str
    labels: int
    skips: int
    withdrawn: int
    rejected: int
    invalid: int
    seconds: Timing | None
    waiting: int = 0


@dataclass(frozen=True, slots=True)
class CampaignSummary:
    """The summary of a campaign.

    Parameters
    ----------
    states:
        Number of queries in each state that occurs.
    labels:
        Number of images with a label.
    skipped:
        Ids of the images that all annotators skipped, those included whose label the last model was trained on.
    left:
        Number of images of the pool that can still be queried; None if unknown.
    annotators:
        Annotators, sorted by name.
    open:
        Open queries, in the order of rounds and ranks.
    history:
        Committed rounds.
    metric:
        Name of the main metric, the first metric of the last round that has any; None if no round has.
    measured_on:
        What the metrics were measured on; None if there are none.
    seconds:
        Time for a label over all annotators; None if no time is known.
    next_batch:
        Number of images in the next batch.
    advice:
        Advice of each stopping rule, by name.
    learnable:
        Whether there are enough labels that are not held out.
    late_problems:
        Keys of queries that are not open, each with an invalid answer that came later.
    unread:
        Answers and files that were not taken at the last reading of each place.
    unusable:
        Reason for each image of the pool that could not be used when the pool was opened the last time, by its id.
        Its query is not in `open`, and its label is not trained on.
    untrained:
        Number of images to train on in the states ``answered`` and ``stale``: those that can be used.
    least:
        Fewest labels that the learner can be trained on.
    unasked:
        Number of images with a label that nobody asked for, by source. They are not in `labels`, `states` and
        `annotators`.
    unasked_untrained:
        Number of these images whose labels the last model was not trained on.
    agreement:
        How well annotators agree; None if no image has labels of several.
    doubts:
        Labels that may be mistakes, and that no model was trained on yet.
    reviews:
        Labels that were asked again, and what was found.
    not_compared:
        Why there is neither, if a label cannot be read; None if all can.
    skips:
        Skips of these images, and of those that are open.
    in_review:
        Ids of the images whose label is being checked.
    unexpected:
        Answers that count, by others than those whom the query is assigned to.
    outlook:
        What the next labels are expected to bring, and whether to go on; None before the first round.
    audit:
        The audit set; it has no images if the campaign has none.
    """

    states: Mapping[State, int]
    labels: int
    skipped: tuple[str, ...]
    left: int | None
    annotators: tuple[Annotator, ...]
    open: tuple[OpenQuery, ...]
    history: tuple[RoundResult, ...]
    metric: str | None
    measured_on: Literal["audit set", "hold-out", "test set"] | None
    seconds: Timing | None
    next_batch: int
    advice: Mapping[str, Advice]
    learnable: bool
    late_problems: tuple[tuple[str, Problem], ...] = ()
    unread: tuple[Unread, ...] = ()
    unusable: Mapping[str, str] = field(default_factory=dict)
    untrained: Mapping[State, int] = field(default_factory=dict)
    least: int = 1
    unasked: Mapping[str, int] = field(default_factory=dict)
    unasked_untrained: int = 0
    agreement: Agreement | None = None
    doubts: tuple[Doubt, ...] = ()
    reviews: tuple[Review, ...] = ()
    not_compared: str | None = None
    skips: tuple[Skipped, ...] = ()
    in_review: tuple[str, ...] = ()
    unexpected: tuple[Unexpected, ...] = ()
    outlook: Outlook | None = None
    audit: AuditSet = AuditSet()

    @property
    def enough(self) -> bool:
        """Whether the recommendation is to stop; without an outlook, whether the stopping rules say so."""
        return self.worth is False if self.outlook is None else self.outlook.recommendation.stop is True

    @property
    def overdue(self) -> tuple[str, ...]:
        """Ids of the open images whose deadline has passed."""
        return tuple(query.id for query in self.open if query.overdue)

    @property
    def problems(self) -> tuple[tuple[str, Problem], ...]:
        """Keys of queries, each with an answer that does not count until it is given again."""
        return (*((query.key, problem) for query in self.open for problem in query.problems), *self.late_problems)

    @property
    def worth(self) -> bool | None:
        """Whether the next batch is worth its labels; None if no stopping rule can tell, or if they disagree."""
        said = {advice.stop for advice in self.advice.values()} - {None}
        return not said.pop() if len(said) == 1 else None

    @property
    def verdict(self) -> str:
        """One sentence that says whether the next batch is worth its labels."""
        stop = [name for name, advice in self.advice.items() if advice.stop is True]
        on = [name for name, advice in self.advice.items() if advice.stop is False]
        if stop and on:
            return f"The stopping rules disagree: {_list(stop)} would stop, {_list(on)} would continue."
        if stop:
            return f"Probably not: {_list(stop)} would stop here."
        if on:
            return f"Yes: {_list(on)} would continue."
        return "No stopping rule can tell yet." if self.advice else "No stopping rule is installed."

    @property
    def curve(self) -> tuple[float | None, ...]:
        """The main metric of each round; None for a round without it."""
        return tuple(None if self.metric is None else result.metrics.get(self.metric) for result in self.history)


def summary(
    standings: Sequence[Standing],
    history: Sequence[RoundResult],
    *,
    now: datetime,
    advice: Mapping[str, Advice],
    next_batch: int,
    left: int | None = None,
    tested: bool = False,
    held_out: Callable[[str], bool] = lambda id: False,
    unread: Sequence[Unread] = (),
    unusable: Mapping[str, str] | None = None,
) -> CampaignSummary:
    """Return the summary of a campaign.

    Parameters
    ----------
    standings:
        Standings of all queries, withdrawn queries included, in the order of rounds and ranks.
    history:
        Committed rounds.
    now:
        Present time, with a time zone.
    advice:
        Advice of the stopping rules by name, see :func:`alkit.stopping.stopping_advice`.
    next_batch:
        Number of images in the next batch, at least 1.
    left:
        Number of images of the pool that can still be queried, if known.
    tested:
        Whether the campaign has a test set. If not, and labels are held out, metrics are measured on these.
    held_out:
        Function that says, for the id of an image, whether its label is held out.
    unread:
        Answers and files that were not taken.
    unusable:
        Reason for each image that cannot be used, by its id.

    Examples
    --------
    >>> from datetime import UTC
    >>> found = summary([], [RoundResult(0, (), 9, {"dice": 0.7})], now=datetime.now(UTC), advice={}, next_batch=35)
    >>> found.metric, found.measured_on, found.labels
    ('dice', 'test set', 0)
    """
    metric = next((name for result in reversed(history) for name in result.metrics), None)
    answers = [answer for standing in standings for answer in standing.answers]
    awaited = Counter(name for standing in standings if standing.state in OPEN for name in _awaited(standing))
    names = sorted({answer.annotator for answer in answers} | awaited.keys())
    counted = Counter(standing.state for standing in standings)
    labelled = [standing.query.id for standing in standings if any(map(_is_label, standing.answers))]
    return CampaignSummary(
        states={state: counted[state] for state in State if counted[state]},
        labels=len(labelled),
        skipped=tuple(standing.query.id for standing in standings if _is_skipped(standing)),
        left=left,
        annotators=tuple(
            _annotator(name, [answer for answer in answers if answer.annotator == name], awaited[name])
            for name in names
        ),
        open=tuple(
            open_query(standing, now)
            for standing in standings
            if standing.state in OPEN and standing.query.id not in (unusable or {})
        ),
        history=tuple(history),
        metric=metric,
        measured_on=measured_on(history, tested=tested),
        seconds=timing(answers),
        next_batch=next_batch,
        advice=dict(advice),
        learnable=not all(map(held_out, labelled)),
        late_problems=tuple(
            (standing.query.key, problem)
            for standing in standings
            if standing.state not in OPEN
            for answer in standing.answers
            if answer.kind == "invalid" and (problem := problem_of(answer)) is not None
        ),
        unread=tuple(unread),
        unusable=dict(unusable or {}),
        skips=tuple(
            Skipped(answer.id, answer.annotator, answer.reason)
            for standing in standings
            if _is_skipped(standing) or standing.state in OPEN
            for answer in standing.answers
            if answer.kind == "skip" and answer.counts
        ),
        unexpected=tuple(
            Unexpected(standing.query.key, answer.annotator, standing.query.assigned)
            for standing in standings
            if standing.query.assigned
            for answer in standing.answers
            if answer.counts and answer.annotator not in standing.query.assigned
            if answer.query in (None, place_of(standing.query))  # not to a review of the image
        ),
        untrained=Counter(
            standing.state
            for standing in standings
            if standing.state in (State.ANSWERED, State.STALE) and standing.query.id not in (unusable or {})
        ),
    )


def timing(answers: Iterable[Recorded]) -> Timing | None:
    """Return the median time of the labels among some answers; None if no time is known."""
    known = [answer.seconds for answer in answers if _is_label(answer) and answer.seconds is not None]
    return Timing(median(known), len(known)) if known else None


def _is_label(answer: Recorded) -> bool:
    return answer.kind == "label" and answer.rejected is None


def _awaited(standing: Standing) -> set[str]:
    """Return the people whom an open query is assigned to and who have not answered it."""
    return set(standing.query.assigned) - {answer.annotator for answer in standing.answers if answer.counts}


def _annotator(name: str, answers: Sequence[Recorded], waiting: int) -> Annotator:
    kinds = Counter("rejected" if answer.rejected is not None else answer.kind for answer in answers)
    return Annotator(
        name,
        labels=kinds["label"],
        skips=kinds["skip"],
        withdrawn=kinds["withdrawal"],
        rejected=kinds["rejected"],
        invalid=kinds["invalid"],
        seconds=timing(answers),
        waiting=waiting,
    )


def _list(names: Sequence[str]) -> str:
    return " and ".join([*([", ".join(names[:-1])] if names[1:] else []), *names[-1:]])


def _is_skipped(standing: Standing) -> bool:
    kinds = {answer.kind for answer in standing.answers if answer.counts}
    return standing.state is State.SKIPPED or (standing.state is State.STALE and kinds == {"skip"})
