"""What the steps of an experiment share: its parts, its record, and the state that is read from the record."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from alkit.evaluation.chosen import Metrics
from alkit.experiment.labelled import Labels
from alkit.experiment.listening import Listeners
from alkit.experiment.representations import Representations
from alkit.protocols import Learner, Pool, Strategy
from alkit.record.answers import Answers
from alkit.record.label_files import LabelFiles
from alkit.record.settings import Settings
from alkit.record.states import Answered
from alkit.record.store import Store
from alkit.record.terms import Terms
from alkit.rng import Stream
from alkit.values.queries import Query
from alkit.values.rounds import RoundResult


@dataclass(frozen=True, eq=False)
class Parts:
    """The parts of one experiment. Each step reads the state again, because another process may have changed it.

    Parameters
    ----------
    pool, learner, strategy, initial, report:
        As :class:`alkit.Experiment` takes them.
    terms:
        The terms on which answers are gathered and used.
    stream:
        The root of all randomness.
    store, settings, files, answers:
        The record: its tables, its settings, its label files, and the part that takes answers.
    representations:
        Features and clusters of the pool.
    labels:
        The labels at the working size.
    metrics:
        The metrics of the models; None for the defaults.
    has_own_classes:
        Whether the experiment was created with classes. Without, they are those of the oracle.
    """

    pool: Pool
    learner: Learner
    strategy: Strategy
    initial: Strategy
    terms: Terms
    stream: Stream
    store: Store
    settings: Settings
    files: LabelFiles
    answers: Answers
    representations: Representations
    labels: Labels
    report: Listeners
    metrics: Metrics | None
    has_own_classes: bool

    @property
    def ids(self) -> Sequence[str]:
        """All ids of the pool, sorted."""
        return self.representations.ids

    def answered(self) -> Mapping[str, Answered]:
        """Return by id the answers that count, in the order in which the images were queried."""
        return self.store.snapshot().known

    def known(self) -> Mapping[str, Answered]:
        """Return by id the answers that count and whose images can be used."""
        return {id: known for id, known in self.answered().items() if id in self.representations.known_ids}

    def open_queries(self) -> list[Query]:
        """Return the queries that wait for an annotator and whose images can be used, by rank."""
        asked = (entry.query for entry in self.store.snapshot().open)
        return [query for query in asked if query.id in self.representations.known_ids]

    def candidates(self) -> tuple[str, ...]:
        """Return the ids that can still be queried, sorted: neither labelled, nor skipped, nor queried."""
        snapshot = self.store.snapshot()
        taken = {query.id for query in snapshot.queries} | set(snapshot.known)
        return tuple(id for id in self.ids if id not in taken)


def next_round(rounds: Sequence[RoundResult]) -> int:
    """Return the number of the round that follows these."""
    return rounds[-1].round + 1 if rounds else 0
