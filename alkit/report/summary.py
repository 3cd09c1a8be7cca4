"""What is to be said of a campaign: who has labelled what, what is open, how it goes, and what to do next.

Pure functions of what the record says, and of the time: nothing is read here, and nothing is printed.
"""

from __future__ import annotations

import shlex
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from statistics import median
from typing import Literal

from alkit.record.states import Recorded, Standing
from alkit.stopping import Advice
from alkit.values.queries import State
from alkit.values.rounds import RoundResult, measured_on

OPEN = (State.PENDING, State.ASKED, State.PARTIAL, State.REJECTED)
"""The states of a query that waits for somebody."""


@dataclass(frozen=True, slots=True)
class Timing:
    """How long labels took, in seconds: their median, and of how many labels it is known."""

    median: float
    n: int


@dataclass(frozen=True, slots=True)
class Annotator:
    """What one annotator has answered; of several answers to one image the latest.

    Parameters
    ----------
    name:
        Empty where nobody said.
    labels, skips:
        That count.
    withdrawn:
        Taken back and not given anew.
    rejected:
        Sent back to the annotator and not given anew.
    invalid:
        Not readable or not fitting the image, and not mended since.
    seconds:
        Of the labels that count; None where no time is known.
    """

    name: str
    labels: int
    skips: int
    withdrawn: int
    rejected: int
    invalid: int
    seconds: Timing | None


@dataclass(frozen=True, slots=True)
class Problem:
    """Why an answer is no answer yet.

    Parameters
    ----------
    annotator:
        Whose it is.
    kind:
        ``rejected``, ``invalid`` or ``withdrawn``.
    reason:
        In words; empty where nobody said.
    """

    annotator: str
    kind: Literal["rejected", "invalid", "withdrawn"]
    reason: str


@dataclass(frozen=True, slots=True)
class OpenQuery:
    """A query that waits for somebody.

    Parameters
    ----------
    id, key, round, rank, state:
        Which it is, and where it stands.
    since:
        When it was handed over, or chosen where it was not yet; as recorded, UTC.
    hours:
        From then to now, at least 0.
    missing:
        How many annotators have yet to answer.
    answered_by:
        Names of those who have.
    problems:
        Answers that do not count until they are given anew.
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


@dataclass(frozen=True, slots=True)
class CampaignSummary:
    """What is to be said of a campaign.

    Parameters
    ----------
    states:
        How many queries are in each state; those with none are left out.
    labels:
        Images with a label that counts.
    skipped:
        Ids of images that everybody skipped.
    left:
        Images of the pool that can still be asked for; None where it is not known.
    annotators:
        By name.
    open:
        By round and rank.
    history:
        The committed rounds.
    metric:
        The chief metric: the first of the last round that has any; None before that.
    measured_on:
        What the metrics were measured on; None where there are none.
    seconds:
        Of all labels whose time is known; None where none is.
    next_batch:
        How many images would be asked for next.
    advice:
        What each stopping rule says, by name.
    learnable:
        Whether there is a label that is not held out.
    """

    states: Mapping[State, int]
    labels: int
    skipped: tuple[str, ...]
    left: int | None
    annotators: tuple[Annotator, ...]
    open: tuple[OpenQuery, ...]
    history: tuple[RoundResult, ...]
    metric: str | None
    measured_on: Literal["hold-out", "test set"] | None
    seconds: Timing | None
    next_batch: int
    advice: Mapping[str, Advice]
    learnable: bool

    @property
    def worth(self) -> bool | None:
        """Whether going on is worth it; None where no rule can say, or where they disagree."""
        said = {advice.stop for advice in self.advice.values()} - {None}
        return not said.pop() if len(said) == 1 else None

    @property
    def verdict(self) -> str:
        """Whether going on is worth it, in a sentence."""
        stop = [name for name, advice in self.advice.items() if advice.stop is True]
        on = [name for name, advice in self.advice.items() if advice.stop is False]
        if stop and on:
            return f"The rules disagree: {_list(stop)} would stop, {_list(on)} would go on."
        if stop:
            return f"Probably not: {_list(stop)} would stop here."
        if on:
            return f"Yes: {_list(on)} would go on."
        return "No stopping rule can say yet." if self.advice else "No stopping rule is installed."

    @property
    def curve(self) -> tuple[float | None, ...]:
        """The chief metric of each round; None where a round has none."""
        return tuple(None if self.metric is None else result.metrics.get(self.metric) for result in self.history)


@dataclass(frozen=True, slots=True)
class Step:
    """What to do next: a command to type, with words in capitals to be filled in, and why."""

    command: str
    why: str


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
) -> CampaignSummary:
    """Return what is to be said of a campaign.

    Parameters
    ----------
    standings:
        Of all queries, those withdrawn included, in the order of rounds and ranks.
    history:
        The committed rounds.
    now:
        With a time zone.
    advice:
        What the stopping rules say, by name: see :func:`alkit.stopping.stopping_advice`.
    next_batch:
        How many images would be asked for next, at least 1.
    left:
        Images that can still be asked for, if known.
    tested:
        Whether the rounds are measured on a test set. Otherwise the metrics of a history with labels held out are
        those of the hold-out.
    held_out:
        Whether an image's label is held out; its id is given.

    Examples
    --------
    >>> from datetime import UTC
    >>> found = summary([], [RoundResult(0, (), 9, {"dice": 0.7})], now=datetime.now(UTC), advice={}, next_batch=35)
    >>> found.metric, found.measured_on, found.labels
    ('dice', 'test set', 0)
    """
    metric = next((name for result in reversed(history) for name in result.metrics), None)
    answers = [answer for standing in standings for answer in standing.answers]
    names = sorted({answer.annotator for answer in answers})
    counted = Counter(standing.state for standing in standings)
    labelled = [standing.query.id for standing in standings if any(map(_is_label, standing.answers))]
    return CampaignSummary(
        states={state: counted[state] for state in State if counted[state]},
        labels=len(labelled),
        skipped=tuple(standing.query.id for standing in standings if standing.state is State.SKIPPED),
        left=left,
        annotators=tuple(
            _annotator(name, [answer for answer in answers if answer.annotator == name]) for name in names
        ),
        open=tuple(_open(standing, now) for standing in standings if standing.state in OPEN),
        history=tuple(history),
        metric=metric,
        measured_on=measured_on(history, tested=tested),
        seconds=timing(answers),
        next_batch=next_batch,
        advice=dict(advice),
        learnable=not all(map(held_out, labelled)),
    )


def timing(answers: Iterable[Recorded]) -> Timing | None:
    """Return how long the labels among some answers took; None where of none it is known."""
    known = [answer.seconds for answer in answers if _is_label(answer) and answer.seconds is not None]
    return Timing(median(known), len(known)) if known else None


def _is_label(answer: Recorded) -> bool:
    return answer.kind == "label" and answer.rejected is None


def _annotator(name: str, answers: Sequence[Recorded]) -> Annotator:
    kinds = Counter("rejected" if answer.rejected is not None else answer.kind for answer in answers)
    return Annotator(
        name,
        labels=kinds["label"],
        skips=kinds["skip"],
        withdrawn=kinds["withdrawal"],
        rejected=kinds["rejected"],
        invalid=kinds["invalid"],
        seconds=timing(answers),
    )


def _open(standing: Standing, now: datetime) -> OpenQuery:
    query, since = standing.query, standing.sent_at or standing.asked_at
    problems = [problem for answer in standing.answers if (problem := _problem(answer)) is not None]
    good = [answer for answer in standing.answers if _problem(answer) is None]
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
    )


def _problem(answer: Recorded) -> Problem | None:
    if answer.rejected is not None:
        return Problem(answer.annotator, "rejected", answer.rejected)
    if answer.kind == "invalid":
        return Problem(answer.annotator, "invalid", answer.reason)
    return Problem(answer.annotator, "withdrawn", answer.reason) if answer.kind == "withdrawal" else None


def next_step(summary: CampaignSummary, store: str, *, scheduled: bool = False, placed: bool = False) -> Step:
    """Return the command to type next.

    Parameters
    ----------
    summary:
        Of the campaign.
    store:
        The record's file.
    scheduled:
        Whether it is a simulation, whose rounds ``alkit run`` does by itself.
    placed:
        Whether the record knows where its queries go: then it need not be typed.

    Examples
    --------
    >>> from datetime import UTC
    >>> begun = summary([], [], now=datetime.now(UTC), advice={}, next_batch=35)
    >>> next_step(begun, "runs/my skin.db").command
    "alkit ask 'runs/my skin.db' -n 35 --out FOLDER"
    """
    path = shlex.quote(store)
    if scheduled:
        return _next_of_a_run(summary, path)
    there, back = ("", "") if placed else (" --out FOLDER", " --from FOLDER")
    waiting, fresh = len(summary.open), sum(query.state is State.PENDING for query in summary.open)
    if fresh:
        return Step(f"alkit ask {path}{there}", f"{_images(fresh)} {_are(fresh)} chosen and not handed out yet")
    if waiting:
        return Step(
            f"alkit tell {path}{back}",
            f"{_images(waiting)} {_wait(waiting)} for an answer; alkit withdraw {path} gives up on them",
        )
    stale, answered = summary.states.get(State.STALE, 0), summary.states.get(State.ANSWERED, 0)
    if (stale or answered) and summary.learnable:
        whys = [f"{_images(answered)} {_are(answered)} labelled and not learnt from yet"] if answered else []
        whys += [f"the labels of {_images(stale)} were revised since the last training"] if stale else []
        return Step(f"alkit fit {path}", ", and ".join(whys))
    predict = f"alkit predict {path} --images FOLDER --out FOLDER"
    if summary.history and summary.left == 0:
        return Step(predict, "all images of the pool have been asked for")
    if summary.history and summary.worth is False:
        return Step(predict, "more labels are hardly worth it")
    why = "everything is learnt from" if summary.history else "nothing has been asked for yet"
    if summary.labels and not summary.learnable:
        why = "all labels so far are held out to measure on, and none is left to learn from"
    elif not summary.history and summary.states:
        why = "nothing that was asked for is labelled"
    if summary.left == 0:
        return Step("alkit start NEW.db --images FOLDER --classes NAMES", f"no image is left to ask for, and {why}")
    batch = summary.next_batch if summary.left is None else min(summary.next_batch, summary.left)
    return Step(f"alkit ask {path} -n {batch}{there}", why)


def _next_of_a_run(summary: CampaignSummary, path: str) -> Step:
    if summary.open or summary.states.get(State.ANSWERED) or not summary.history:
        return Step(f"alkit run ... --store {path}", "the run was cut off: the same command goes on with it")
    if summary.left == 0:
        return Step(f"alkit predict {path} --images FOLDER --out FOLDER", "all images of the pool have been asked for")
    if summary.worth is False:
        return Step(f"alkit predict {path} --images FOLDER --out FOLDER", "more labels are hardly worth it")
    more = f"alkit run ... --store {path} --rounds {len(summary.history)}"
    return Step(more, "the run is over; the same command with more rounds goes on")


def _images(n: int) -> str:
    return "1 image" if n == 1 else f"{n} images"


def _are(n: int) -> str:
    return "is" if n == 1 else "are"


def _wait(n: int) -> str:
    return "waits" if n == 1 else "wait"


def _list(names: Sequence[str]) -> str:
    return " and ".join(names)


def age(hours: float) -> str:
    """Say how long ago something was.

    >>> age(0.2), age(1.2), age(47.4), age(50)
    ('12 min', '1 h', '47 h', '2 days')
    """
    if hours < 1:
        return f"{hours * 60:.0f} min"
    return f"{hours:.0f} h" if hours < 47.5 else f"{hours / 24:.0f} days"


def sparkline(values: Sequence[float | None]) -> str:
    """Draw a curve in one line of text, from its least to its greatest value; a space where there is none.

    >>> sparkline([0.1, None, 0.2, 0.4, 0.45])
    '▁ ▃▇█'
    >>> sparkline([0.5, 0.5])
    '▄▄'
    """
    known = [value for value in values if value is not None]
    if not known:
        return ""
    least, span = min(known), max(known) - min(known)
    bars = "▁▂▃▄▅▆▇█"
    return "".join(
        " " if value is None else bars[3] if not span else bars[round((value - least) / span * 7)] for value in values
    )
