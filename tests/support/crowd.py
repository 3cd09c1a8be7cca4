"""A crowd of annotators who answer late, out of order, in part wrong, several times over, and change their minds.

What each of them does with a query is a script, drawn from a seed and the query's key alone. What was done of it so far
is read from the record: the crowd remembers nothing, so that a killed process loses nothing.
"""

from __future__ import annotations

import random
from collections.abc import Iterator
from dataclasses import dataclass, field

import numpy as np

import alkit
from alkit import Answer, LabelSpec
from alkit.record import Recorded, Store
from alkit.record.label_files import LabelFiles
from alkit.record.states import Asked
from alkit.values import Invalid, Skip, Withdrawal

CLASSES = ("skin", "lesion")
ANNOTATORS = ("ann", "bob", "eve")


@dataclass(frozen=True, eq=False)
class Line:
    """One line of a script.

    `becomes` is what the record is to hold of it: the kind of an answer, or nothing where it can be about no query.
    It is said in round `round`; one that mends what was sent back, only after that. A sloppy one is to be sent back.
    """

    answer: Answer
    becomes: str
    round: int
    mends: int | None = None  # the revision that has to be sent back first
    sloppy: bool = False

    @property
    def name(self) -> tuple[str, str, int, bool]:
        """Tells it from all others."""
        revision = 1 if self.answer.revision is None else self.answer.revision
        return self.answer.id, self.answer.annotator, revision, self.becomes == "invalid"


@dataclass(frozen=True, eq=False)
class Script:
    """What an annotator does with a query, so far as chance decides.

    A manner returns lines; revisions count from 1 within the query. Round 0 is that of the query.
    """

    query: alkit.Query
    annotator: str
    truth: np.ndarray
    prelabel: np.ndarray | None
    chance: random.Random
    last: int  # round, after which nothing happens any more

    def mask(self) -> np.ndarray:
        """The truth, moved a little, with some pixels wrong."""
        noise = np.random.default_rng(self.chance.getrandbits(32))
        moved = np.roll(self.truth, self.chance.randint(-1, 1), axis=self.chance.randint(0, 1))
        return np.where(noise.random(moved.shape) < 0.05, 1 - moved, moved).astype(np.uint8)

    def line(self, revision, label=None, becomes="label", later=0, confirmed=False, seconds=None, **more) -> Line:
        label = self.mask() if label is None else label
        number = 1000 * (self.query.round + 1) + revision
        if more.get("mends"):
            more["mends"] += 1000 * (self.query.round + 1)
        seconds = round(self.chance.uniform(5, 90), 1) if seconds is None else seconds
        answer = Answer(self.query.id, label, self.annotator, number, seconds, confirmed)
        return Line(answer, becomes, min(self.query.round + later, self.last), **more)

    def plain(self):
        return [self.line(1)]

    def corrected(self):
        return [self.line(1), self.line(2), self.line(3)]

    def corrected_late(self):
        return [self.line(1), self.line(2, later=self.chance.randint(1, 3))]

    def too_small_first(self):
        return [self.line(1, self.truth[:5], "invalid"), self.line(2)]

    def wrong_class_first(self):
        return [self.line(1, self.truth + 6, "invalid"), self.line(2)]

    def no_mask_first(self):
        return [self.line(1, self.truth / 2, "invalid"), self.line(2)]

    def half_written_first(self):
        return [self.line(1, Invalid("the file ends early"), "invalid"), self.line(2)]

    def wrong_and_right_at_the_same_tick(self):
        return [self.line(1, self.truth[:, :7], "invalid"), self.line(1)]

    def a_broken_clock_first(self):
        return [self.line(1, None, "invalid", seconds=-3.0), self.line(1)]

    def skipped(self):
        return [self.line(1, Skip("blurred"), "skip")]

    def skipped_at_first(self):
        return [self.line(1, Skip("hard"), "skip"), self.line(2)]

    def skipped_late(self):
        return [self.line(1), self.line(2, Skip("not sure any more"), "skip", later=self.chance.randint(1, 2))]

    def taken_back(self):
        return [self.line(1), self.line(2, Withdrawal("wrong image"), "withdrawal")]

    def taken_back_and_given_anew(self):
        return [*self.taken_back(), self.line(3)]

    def taken_back_late(self):
        return [self.line(1), self.line(2, Withdrawal("second thoughts"), "withdrawal", later=1)]

    def taken_back_late_and_given_anew(self):
        return [*self.taken_back_late(), self.line(3, later=1)]

    def sloppy(self):
        return [self.line(1, sloppy=True), self.line(2, mends=1)]

    def untouched_first(self):
        return [self.line(1, self.prelabel, "invalid"), self.line(2)] if self.prelabel is not None else self.plain()

    def confirmed(self):
        if self.prelabel is None:
            return self.plain()
        return [self.line(1, self.prelabel, "invalid"), self.line(2, self.prelabel, confirmed=True)]

    def silent(self):
        return []

    def unversioned(self):
        answer = Answer(self.query.id, self.mask(), self.annotator)
        return [Line(answer, "label", self.query.round)]


MANNERS = {
    "plain": 6, "corrected": 2, "corrected_late": 3, "too_small_first": 1, "wrong_class_first": 1, "no_mask_first": 1,
    "half_written_first": 1, "wrong_and_right_at_the_same_tick": 1, "a_broken_clock_first": 1, "skipped": 1,
    "skipped_at_first": 1, "skipped_late": 1, "taken_back": 1, "taken_back_and_given_anew": 1, "taken_back_late": 1,
    "taken_back_late_and_given_anew": 1, "sloppy": 2, "untouched_first": 2, "confirmed": 2, "silent": 1,
}  # fmt: skip
"""How often each manner is met with."""


@dataclass(eq=False)
class Crowd:
    """Annotators of one campaign, as an oracle.

    Parameters
    ----------
    experiment:
        Whose record is looked into.
    truth:
        Masks by id.
    seed:
        Of the scripts.
    rounds:
        How many the campaign has.
    life:
        Tells processes apart: decides what is delivered when, how often, and in which order.
    """

    experiment: alkit.Experiment
    truth: dict[str, np.ndarray]
    seed: int
    rounds: int
    life: int = 0
    told: list[tuple[Answer, str]] = field(default_factory=list)
    spec: LabelSpec = LabelSpec(CLASSES)

    def __post_init__(self) -> None:
        self._chance = random.Random(f"{self.seed} {self.life}")
        self._prelabels: dict[str, np.ndarray] = {}
        self._scripts: dict[tuple[str, str | None, bool], list[Line]] = {}  # they depend on these alone
        self._store = Store(self.experiment.path)

    def ask(self, queries) -> None:
        """Remember nothing: which queries were sent is in the record."""

    def poll(self) -> Iterator[Answer]:
        """Yield a few of the answers that lie ready, in any order, and some that were delivered before."""
        ready, record = self.ready(), self.record()
        fresh = [line for line in ready if line.name not in record]
        stale = [line for line in ready if line.name in record]
        chosen = self._chance.sample(fresh, min(len(fresh), self._chance.randint(0, 3)))
        chosen += self._chance.sample(stale, min(len(stale), self._chance.randint(0, 3)))
        chosen += self._chance.sample(chosen, self._chance.randint(0, len(chosen)) // 3)
        if self._chance.random() < 0.2:
            chosen += self.strays()
        self._chance.shuffle(chosen)
        for line in chosen:
            yield line.answer

    def refused(self, answer: Answer, reason: str) -> None:
        self.told.append((answer, reason))

    def strays(self) -> list[Line]:
        """Answers that belong to no query."""
        return [Line(Answer(id, Skip("?"), "ann", 1), "", 0) for id in ("nobody's", "\udcff")]

    def lines(self) -> list[Line]:
        """The scripts of all queries that were sent, up to the end of the campaign, by rounds, ranks and annotators."""
        asked = self._store.asked()
        earlier: set[str] = set()
        found: list[Line] = []
        for entry in asked:
            if entry.sent_at is not None:
                known = entry.query.key, entry.prelabel, entry.query.id in earlier
                if known not in self._scripts:
                    self._scripts[known] = list(self._script(entry, known[-1]))
                found += self._scripts[known]
            earlier.add(entry.query.id)
        return found

    def _script(self, entry: Asked, again: bool) -> Iterator[Line]:
        query = entry.query
        chance = random.Random(f"{self.seed} {query.key}")
        team = chance.sample(ANNOTATORS, chance.choice([2, 2, 2, 3]))
        unversioned = chance.random() < 0.1 and not again
        if unversioned:  # of several, the last one to be told would count, and chance decides on that
            team = team[:1]
        for name in sorted(team):
            script = Script(query, name, self.truth[query.id], self._prelabel(entry), chance, self.rounds - 1)
            manner = chance.choices([*MANNERS], [*MANNERS.values()])[0]
            yield from script.unversioned() if unversioned else getattr(script, manner)()

    def _prelabel(self, entry: Asked) -> np.ndarray | None:
        if entry.prelabel is None:
            return None
        if entry.prelabel not in self._prelabels:
            self._prelabels[entry.prelabel] = LabelFiles(self._store).read(entry.prelabel)
        return self._prelabels[entry.prelabel]

    def ready(self) -> list[Line]:
        """Those lines whose time has come: their round's queries were sent, and what they mend was sent back."""
        sent = {entry.query.round for entry in self._store.asked() if entry.sent_at is not None}
        now = len(self.experiment.history)
        now -= now not in sent
        record = self.record()
        ready = []
        for line in self.lines():
            mends = record.get((line.answer.id, line.answer.annotator, line.mends, False))
            if line.round <= now and (line.mends is None or (mends is not None and mends.rejected is not None)):
                ready.append(line)
        return ready

    def record(self) -> dict[tuple[str, str, int, bool], Recorded]:
        """What the record holds, by the names of lines."""
        answers = self.experiment.answers()
        return {(one.id, one.annotator, one.revision, one.kind == "invalid"): one for one in answers}

    def to_send_back(self) -> list[tuple[str, str]]:
        """Images and annotators whose answer the reviewer finds sloppy, and has not said so."""
        record = self.record()
        own = [line.answer for line in self.ready() if line.sloppy and line.name in record]
        return [(a.id, a.annotator) for a in own if record[a.id, a.annotator, a.revision, False].rejected is None]

    def settled(self) -> bool:
        """Whether all that is to be said in this round was said and recorded, and sent back where it is sloppy."""
        record, ready = self.record(), self.ready()
        return all(
            line.name in record and (not line.sloppy or record[line.name].rejected is not None) for line in ready
        )
