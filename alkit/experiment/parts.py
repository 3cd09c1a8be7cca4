"""What the steps of an experiment share: its parts, its record, and the state that is read from the record."""

from __future__ import annotations

import secrets
from collections.abc import Mapping, Sequence, Set
from dataclasses import dataclass, field
from functools import partial

from alkit.evaluation.chosen import Metrics
from alkit.experiment.labelled import Labels
from alkit.experiment.listening import Listeners
from alkit.experiment.representations import Representations
from alkit.pools.groups import Grouping, groups_of, metadata_of
from alkit.protocols import Learner, Pool, Strategy
from alkit.record.answers import Answers
from alkit.record.audit import AUDIT, kept_apart, recorded_audit
from alkit.record.grouping import allowed, recorded_grouping, recorded_rules
from alkit.record.label_files import LabelFiles
from alkit.record.removing import REMOVED
from alkit.record.settings import Settings
from alkit.record.states import Answered
from alkit.record.store import Store
from alkit.record.terms import Terms
from alkit.rng import Stream
from alkit.sharing.workers import Workers
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
    workers:
        Who computes features, scores, predictions and the members of ensembles; None for the workers of joblib.
    compared:
        Warnings about the test sets that were compared with the pool, by their ids.
    token:
        A random name of this experiment in this process, for what is kept of code that cannot be told.
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
    workers: Workers = None
    compared: dict[str, list[str]] = field(default_factory=dict)
    token: str = field(default_factory=partial(secrets.token_hex, 8))

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

    def open_reviews(self) -> list[Query]:
        """Return the reviews that wait for an annotator and whose images can be used, by rank."""
        asked = (entry.query for entry in self.store.snapshot().open_reviews)
        return [query for query in asked if query.id in self.representations.known_ids]

    def untouched_queries(self) -> list[Query]:
        """Return those of the open queries that no annotator has answered."""
        known = self.store.snapshot().known
        return [query for query in self.open_queries() if query.id not in known]

    def candidates(self) -> tuple[str, ...]:
        """Return the ids a strategy can choose, sorted: not labelled, skipped, queried or kept apart, and allowed."""
        snapshot = self.store.snapshot()
        taken = {query.id for query in snapshot.queries} | set(snapshot.known) | self.apart() | self._removed()
        may = self.allowed()
        return tuple(id for id in self.ids if id not in taken and id in may)

    def apart(self, ids: Sequence[str] | None = None) -> Set[str]:
        """Return those of some images, default all, that are never trained on because of the audit set."""
        ids = self.ids if ids is None else ids
        if self.store.fact(AUDIT) is None:
            return frozenset()
        own = [*ids, *recorded_audit(self.store).ids]
        return kept_apart(self.store, ids, dict(zip(own, self.groups_of(own), strict=True))) - self._removed()

    def _removed(self) -> Set[str]:
        """Return the images that were removed: another process may have done it since the pool was opened."""
        return (self.store.fact(REMOVED) or {}).keys()

    def allowed(self) -> Set[str]:
        """Return the images that the rules allow, whether they were queried or not."""
        rules = recorded_rules(self.store)
        if not (rules.only or rules.never):
            return self.representations.known_ids
        return allowed(rules, self.ids, self.groups_of(self.ids), self.metadata_of(self.ids))

    def groups_of(self, ids: Sequence[str]) -> list[str]:
        """Return the group of each image: that of the record, else that of the pool; images may be missing."""
        recorded = recorded_grouping(self.store) or Grouping({}, {})
        left = [id for id in ids if id not in recorded.groups and id in self.representations.known_ids]
        own = dict(zip(left, groups_of(self.pool, left), strict=True))
        return [recorded.groups.get(id) or own.get(id, id) for id in ids]

    def metadata_of(self, ids: Sequence[str]) -> list[Mapping[str, str]]:
        """Return the metadata of each image of the pool: those of the record, else those of the pool."""
        recorded = recorded_grouping(self.store) or Grouping({}, {})
        return [recorded.metadata.get(id, own) for id, own in zip(ids, metadata_of(self.pool, ids), strict=True)]

    def has_groups(self) -> bool:
        """Whether any group has another name than its image, so that it may have several images."""
        return any(group != id for id, group in zip(self.ids, self.groups_of(self.ids), strict=True))


def next_round(rounds: Sequence[RoundResult]) -> int:
    """Return the number of the round that follows these."""
    return rounds[-1].round + 1 if rounds else 0
