"""The active-learning loop: the only place that knows the order of the stages.

pool -> features, scores -> selection -> oracle -> labels -> learner -> evaluation -> record

Each step reads the state from the record, so that it makes no difference whether the steps run in one process, in
several one after the other, or after a crash.
"""

from __future__ import annotations

import hashlib
import json
import operator
import os
import shutil
import tempfile
import time
import weakref
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy.typing as npt

from alkit.configuration.forms import built
from alkit.configuration.registry import trusted_packages
from alkit.errors import (
    AlkitError,
    ColdStartError,
    ConfigurationError,
    DataError,
    LabelError,
    QueryError,
    SelectionError,
    StoreError,
)
from alkit.evaluation.measure import agreement, measure
from alkit.evaluation.truth import TestLabels
from alkit.experiment.labelled import Labels
from alkit.experiment.representations import Representations
from alkit.experiment.view import PoolView
from alkit.labels.joining import Join, join_rule
from alkit.learners.needs import check_needs
from alkit.pools.batches import batches
from alkit.pools.checks import check_pool
from alkit.pools.sizes import mask_sizes
from alkit.protocols import Learner, Oracle, Pool, Predictor, Strategy, TakesRefusals
from alkit.record import taking_back
from alkit.record.answers import Answers
from alkit.record.label_files import LabelFiles
from alkit.record.settings import Settings
from alkit.record.states import Answered, Standing
from alkit.record.store import Store
from alkit.record.terms import Terms
from alkit.rng import Stream
from alkit.strategies.asking import name_on_failure, start_cold
from alkit.strategies.described import cold_strategies
from alkit.strategies.functions import Choice, as_strategy, innermost, needs_of
from alkit.strategies.named import strategy as strategy_named
from alkit.values.answers import Answer, Receipt, Skip, Withdrawal
from alkit.values.label_spec import LabelSpec, Mask
from alkit.values.predictions import Predictions
from alkit.values.progress import Progress, Report, quiet
from alkit.values.queries import Query
from alkit.values.rounds import RoundResult
from alkit.values.selection import Selection

if TYPE_CHECKING:
    from alkit.scores.streamed import Scoring


class Experiment:
    """A pool, a learner and a strategy, with a record of all that was asked, answered and learnt.

    Parameters
    ----------
    pool:
        The images that may be labelled. Of a record that is gone on with, those that have come since are left out.
    learner:
        Trains a model on the labels there are.
    strategy:
        Decides what to label next: a strategy, or a function of view, n and rng that returns ids.
    store:
        The record: its file, or an open :class:`alkit.record.Store`. A record that exists is resumed, if it was made
        with the same arguments. None keeps the record in a temporary folder, for as long as the experiment lives.
    seed:
        All chance comes from it, through named streams (:mod:`alkit.rng`).
    initial:
        The strategy of round 0. Default: `strategy` itself where it can start without a model, else ``random``. Its
        chance depends on the seed alone, so that all that start with ``random`` share their start set.
    classes:
        Names of the classes, or a :class:`LabelSpec`. Default: what the oracle says.
    annotators:
        How many annotators are to label each image.
    join:
        How several annotators' labels of an image become one: ``"one"`` (that of the latest revision), ``"majority"``,
        ``"staple"``, or a function (:mod:`alkit.labels.joining`).
    hold_out:
        Share of the labels, in [0, 1), that no model is trained on. Chance, from the seed and the id, decides which
        images these are. Rounds without a test set are measured on them.
    stop_set:
        On so many images of the pool, drawn from the seed, the models of successive rounds are compared
        (:attr:`RoundResult.agreement`); 0 for no comparison.
    report:
        Called with a :class:`Progress` after each step of anything long.
    wait:
        Seconds to wait for another process that is working on the same record.

    Raises
    ------
    ResumeError
        The record was made with other arguments; the differences are shown. Device, workers and `wait` may differ.
    StoreError
        The record cannot be read or written.
    DataError
        The pool is empty or its ids are not unique.
    ColdStartError
        `initial` needs a trained model.
    ConfigurationError
        A part is none, or the strategy needs an ensemble, dropout or heads that the learner's models would not have.

    Examples
    --------
    >>> from functools import partial
    >>> import alkit
    >>> images, masks = alkit.synthetic.lesions(12, size=16)
    >>> pool = alkit.ArrayPool(images)
    >>> learner = alkit.SegmentationLearner(partial(alkit.UNet, widths=(2, 4)), epochs=(1, 1))
    >>> experiment = alkit.Experiment(pool, learner, alkit.strategy("random"), classes=("skin", "lesion"))
    >>> ids = experiment.ask(3)
    >>> experiment.tell({id: masks[int(id)] for id in ids})
    >>> experiment.fit().n_labels
    3
    """

    def __init__(
        self,
        pool: Pool,
        learner: Learner,
        strategy: Strategy | Choice,
        store: str | os.PathLike[str] | Store | None = None,
        seed: int = 0,
        *,
        initial: Strategy | Choice | None = None,
        classes: LabelSpec | Sequence[str] | None = None,
        annotators: int = 1,
        join: str | Join = "one",
        hold_out: float = 0.0,
        stop_set: int = 0,
        report: Report = quiet,
        wait: float = 30.0,
    ) -> None:
        check_pool(pool)
        terms = Terms(annotators, join, hold_out, stop_set)
        _check_learner(learner)
        strategy = as_strategy("strategy", strategy)
        initial = None if initial is None else as_strategy("initial", initial)
        given = initial
        if initial is not None and not start_cold(initial):
            raise ColdStartError(
                f"{type(initial).__name__} cannot choose the start set: it needs a trained model",
                hint=f"initial= one that needs none, such as {_cold_strategies()}",
            )
        if initial is None:
            initial = strategy if start_cold(strategy) else _random()
        check_needs(needs_of(strategy), learner, pool)
        self.learner, self.strategy, self.initial = learner, strategy, initial
        self.seed, self.report = int(seed), report
        self._stream = Stream(self.seed)
        self._store = _record(_temporary_for(self) if store is None else store, wait)
        self._settings = Settings(self._store)
        parts = {"learner": learner, "strategy": strategy, "initial": given, "terms": terms}
        self.pool = pool = self._settings.declare(parts, pool, self.seed, classes)
        self._representations = Representations(pool, self._stream, self._store, report)
        self._terms = terms
        self._files = LabelFiles(self._store)
        self._labels = Labels(self._files, self._representations)
        self._answers = Answers(self._store, self._settings, self._files, frozenset(pool.ids))
        self._test_labels = TestLabels(self._collect)
        self._model: tuple[str, Predictor] | None = None  # the file it was read from or written to
        self._scores: tuple[tuple[str, int], Scoring] | None = None  # by the file of the model, and the round

    @classmethod
    def open(
        cls,
        store: str | os.PathLike[str] | Store,
        *,
        pool: Pool | None = None,
        learner: Learner | None = None,
        strategy: Strategy | Choice | None = None,
        initial: Strategy | Choice | None = None,
        join: Join | None = None,
        report: Report = quiet,
        wait: float = 30.0,
    ) -> Experiment:
        """Go on with a record, building from it again whatever is not passed.

        Raises
        ------
        StoreError
            There is no such record.
        ConfigurationError
            Something was declared by a value that cannot be written down, such as an array or a lambda, and has to be
            passed; the message names it.
        """
        if not isinstance(store, Store) and not Path(store).is_file():
            raise StoreError(f"there is no record at {store}", hint="Experiment(..., store=...) makes one")
        record = _record(store, wait)
        settings, place = Settings(record), record.path
        declared = settings.declared
        if not declared:
            raise StoreError(f"nothing was declared yet in {place}", hint="make it with Experiment(..., store=...)")
        given: dict[str, Any] = {
            "pool": pool,
            "learner": learner,
            "strategy": strategy,
            "initial": initial,
        }
        failures: list[str] = []
        terms = Terms()
        try:
            terms = settings.terms if join is None else settings.terms_joined_by(join)
        except ConfigurationError as reason:
            failures.append(f"join ({reason})")
        for name in given:
            if given[name] is None and declared[name] is not None:
                try:
                    given[name] = built(declared[name], trusted_packages())
                except ConfigurationError as reason:
                    failures.append(f"{name} ({reason})")
        if failures:
            raise ConfigurationError(
                f"{place} does not say enough to build: {'; '.join(failures)}",
                hint="pass " + ", ".join(f"{text.partition(' ')[0]}=" for text in failures),
            )
        return cls(**given, **vars(terms), store=record, seed=settings.seed, report=report, wait=wait)

    # Asking and telling.

    @property
    def spec(self) -> LabelSpec:
        """What the labels look like; a :class:`ConfigurationError` while nobody has said."""
        return self._settings.spec

    @property
    def campaign(self) -> str:
        """A word drawn by chance when the record was begun: by it oracles tell its queries from another record's."""
        return self._settings.campaign

    @property
    def candidates(self) -> tuple[str, ...]:
        """Ids that can still be asked for, sorted: neither labelled, nor skipped, nor asked."""
        snapshot = self._store.snapshot()
        taken = {query.id for query in snapshot.queries} | set(snapshot.known)
        return tuple(id for id in self._representations.ids if id not in taken)

    @property
    def learnable(self) -> bool:
        """Whether there is a label that a model may be trained on: one that is not held out."""
        return any(known.labels and not self._held_out(id) for id, known in self._known().items())

    @property
    def open_ids(self) -> tuple[str, ...]:
        """Ids that were asked for and have not all their answers yet, the most wanted first."""
        return tuple(query.id for query in self._open())

    def ask(self, n: int | None = None) -> tuple[str, ...]:
        """Choose `n` images to label and return their ids, the most wanted first.

        The query is on disk before this returns. While it is open, asking again returns what is still open.

        Parameters
        ----------
        n:
            How many; None to see what is open.

        Raises
        ------
        QueryError
            A query of another size is open.
        ConfigurationError
            `n` is not positive, or more than the candidates left.
        """
        with self._store.exclusive():
            open_queries = self._open()
            if not open_queries:
                return () if n is None else self._select(n)
            size = self._store.size_of_last_ask()
            if n is not None and n != size:
                raise QueryError(
                    f"a query for {size} images is open, with {len(open_queries)} to answer",
                    got=f"ask({n})",
                    hint="answer them or withdraw them; asked for no number, they are handed over again",
                )
            return tuple(query.id for query in open_queries)

    def queries(self) -> tuple[Query, ...]:
        """Return the open queries, with rank, score and what each image stands for."""
        return tuple(self._open())

    def send(self, oracle: Oracle) -> tuple[Query, ...]:
        """Hand the open queries to an oracle and return them; handing them over again asks nobody twice."""
        self._settings.adopt(oracle.spec)
        queries = self.queries()
        if queries:
            oracle.ask(queries)
            self._store.mark_sent([query.id for query in queries])
        return queries

    def collect(self, oracle: Oracle) -> Receipt:
        """Record what an oracle answers now, without waiting for more; it is told what was not taken, and why."""
        return self._answers.collect(oracle)

    def receive(self, answers: Iterable[Answer]) -> Receipt:
        """Record answers as people give them: late, out of order, several times over, in part wrong.

        Whatever can be taken is; what cannot is recorded as invalid with the reason, so long as it is about an image
        that was asked for, and reported. Another process may be training in the meantime. An answer that differs from
        an earlier one of the same annotator replaces it if its revision is greater; all are kept.

        Examples
        --------
        >>> import alkit, numpy as np
        >>> pool = alkit.ArrayPool(np.zeros((3, 8, 8), np.uint8))
        >>> learner = alkit.SegmentationLearner(alkit.UNet, epochs=(1, 1))
        >>> experiment = alkit.Experiment(pool, learner, alkit.strategy("random"), classes=("skin", "lesion"))
        >>> first, second = experiment.ask(2)
        >>> mask = np.zeros((8, 8), np.uint8)
        >>> receipt = experiment.receive([alkit.Answer(first, mask, "ann"), alkit.Answer(second, mask[:4], "ann")])
        >>> len(receipt.taken), len(receipt.refused), experiment.open_ids == (second,)
        (1, 1, True)
        """
        return self._answers.receive(answers)

    def tell(
        self,
        labels: Mapping[str, npt.ArrayLike | Skip | Withdrawal],
        *,
        annotator: str = "",
        revise: bool = False,
        confirmed: bool = False,
    ) -> None:
        """Record one annotator's answers, in any order and in part: all of this call, or none where one is wrong.

        Parameters
        ----------
        labels:
            By id a mask ``(h, w)`` of class ids, at the image's original size or the working size; one class id where
            each image has one; :data:`alkit.SKIP`; or :class:`alkit.values.Withdrawal`. The same answer a second time
            changes nothing.
        annotator:
            Who.
        revise:
            Whether a different answer replaces an earlier one of this annotator. Earlier ones stay in the record.
        confirmed:
            Whether labels that equal their pre-label are meant.

        Raises
        ------
        DataError
            An id outside the pool.
        QueryError
            An id that was never asked, or nothing to take back. Answers to a withdrawn query are taken.
        LabelError
            A mask of another size or type, with values outside the classes, or an untouched pre-label.
        ConflictError
            A different answer, without ``revise=True``.
        """
        told = [Answer(id, label, annotator, confirmed=confirmed) for id, label in labels.items()]
        self._answers.tell(told, revise=revise)

    def reject(self, id: str, reason: str, annotator: str | None = None) -> None:
        """Send an image's answers back: they count no longer, and the query is open until there are new ones.

        Parameters
        ----------
        annotator:
            Whose answer; None for all.

        Raises
        ------
        QueryError
            There is no such answer.
        """
        taking_back.reject(self._store, id, reason, annotator)

    def prelabels(self) -> dict[str, Mask]:
        """Return by id what the last model predicts of the open queries, at each image's original size.

        They are recorded before they are returned: an answer that is the same to the last pixel is taken only where
        it is said to be confirmed. Those recorded once stay as they are. Empty while there is no model.

        Raises
        ------
        ConfigurationError
            Labels that are no masks.
        """
        if self._settings.spec.per == "image":
            raise ConfigurationError("pre-labels are masks, and these labels are classes of images")
        with self._store.exclusive():
            files = {entry.query.id: entry.prelabel for entry in self._store.snapshot().open}
            without = [id for id, file in files.items() if file is None]
            if without and self._store.last_model() is not None:
                news = self._predicted(without)
                self._store.set_prelabels(news)
                files.update(news)
        return {id: self._files.read(file) for id, file in files.items() if file is not None}

    def _predicted(self, ids: Sequence[str]) -> dict[str, str]:
        """Return by id the files of the last model's masks at the images' original sizes."""
        from alkit.labels.resizing import masks_at_original_size  # torch: not for those who only ask and tell

        files: dict[str, str] = {}
        predictor = self._predictor()
        for batch in batches(list(ids), self.pool):
            with self._settings.threads():
                predictions = Predictions(tuple(batch), predictor.probabilities(self.pool.read(batch)))
            sizes = [sizes[0] for sizes in mask_sizes(self.pool, batch)]
            masks = masks_at_original_size(predictions, sizes)
            files.update((id, self._files.keep(mask)) for id, mask in zip(batch, masks, strict=True))
        return files

    def standings(self) -> tuple[Standing, ...]:
        """Return where each query stands, by rounds and ranks: its state, its answers, and what is missing."""
        return self._store.snapshot().standings

    def withdraw(self) -> tuple[str, ...]:
        """Close the open query; its images that lack an answer, returned, may be chosen again if they have none."""
        return tuple(query.id for query in taking_back.withdraw(self._store))

    # Learning.

    @property
    def history(self) -> tuple[RoundResult, ...]:
        """The committed rounds."""
        return tuple(self._store.rounds())

    def fit(self) -> RoundResult:
        """Train on all labels so far and commit the round. Without new labels, the last round is returned.

        Raises
        ------
        QueryError
            A query is open, or there is no label yet.
        """
        with self._store.exclusive():
            if open_ids := self.open_ids:
                raise QueryError(
                    f"{len(open_ids)} images of the open query lack an answer",
                    hint="answer them, or withdraw them",
                )
            done, last = self._store.rounds(), self._store.last_model()
            if last is not None and last[1] == _stamp(self._known()):
                return done[-1]
            return self._commit(_next(done), None, None, 0, {})

    def evaluate(self, test: Pool, oracle: Oracle, *, poll: float = 1.0) -> Mapping[str, float]:
        """Measure the last round's model on `test` and record the figures with the round.

        A record whose :meth:`rounds` are measured on another test set, or on labels held out, keeps those figures;
        these are only returned.

        Raises
        ------
        QueryError
            There is no model yet.
        DataError
            `test` shares images with the pool.
        """
        with self._store.exclusive():
            rounds = self._store.rounds()
            if not rounds:
                raise QueryError("there is no model to evaluate yet", hint="tell() some labels and fit()")
            self._check_test(test)
            begun = time.perf_counter()
            metrics = self._measure(self._predictor(), test, oracle, poll)
            if self._settings.measures_on(test) and not rounds[-1].n_held_out:
                seconds = {**rounds[-1].seconds, "evaluate": time.perf_counter() - begun}
                self._store.measure_round(rounds[-1].round, metrics, seconds)
            return metrics

    def predict(self, pool: Pool) -> Iterator[Predictions]:
        """Yield the last model's predictions for the images of any pool, in batches that fit in memory.

        Raises
        ------
        QueryError
            There is no model yet.
        """
        predictor = self._predictor()
        for ids in batches(list(pool.ids), pool):
            with self._settings.threads():
                probabilities = predictor.probabilities(pool.read(ids))
            yield Predictions(tuple(ids), probabilities)

    # The loop.

    def rounds(
        self,
        oracle: Oracle,
        *,
        test: Pool | None = None,
        start: int,
        batch: int,
        rounds: int,
        poll: float = 1.0,
    ) -> Iterator[RoundResult]:
        """Run round 0 with `start` labels and `rounds` more with `batch` each, yielding every round's result.

        Rounds that are committed already are yielded from the record; an unfinished one is taken up where it was.

        Parameters
        ----------
        oracle:
            Who labels; also asked for the masks of `test`.
        test:
            Images to evaluate each round on; they may not be in the pool.
        start, batch:
            Labels of round 0 and of each later round.
        rounds:
            Rounds after round 0; the only one of these that may differ when a record is gone on with.
        poll:
            Seconds between looks at an oracle that has not answered yet.

        Raises
        ------
        ConfigurationError
            `start` or `batch` is not positive, or the pool has fewer images than start + rounds * batch.
        ResumeError
            The record was made with another schedule, test set or oracle.
        """
        needed = start + rounds * batch
        if start < 1 or batch < 1 or rounds < 0 or needed > len(self._representations.ids):
            raise ConfigurationError(
                "these rounds cannot be run",
                got=f"start={start}, batch={batch}, rounds={rounds}: {needed} labels",
                expected=f"start and batch at least 1, and at most the pool's {len(self._representations.ids)} images",
                hint="a smaller start, batch or number of rounds",
            )
        if test is not None:
            self._check_test(test)
        with self._store.exclusive():
            self._settings.adopt(oracle.spec)
            self._settings.declare_schedule(start, batch, test)
        return self._rounds(oracle, test, start, batch, rounds, poll)

    def run(
        self,
        oracle: Oracle,
        *,
        test: Pool | None = None,
        start: int,
        batch: int,
        rounds: int,
        poll: float = 1.0,
    ) -> tuple[RoundResult, ...]:
        """Run :meth:`rounds` to the end and return all results."""
        return tuple(self.rounds(oracle, test=test, start=start, batch=batch, rounds=rounds, poll=poll))

    def _rounds(
        self, oracle: Oracle, test: Pool | None, start: int, batch: int, rounds: int, poll: float
    ) -> Iterator[RoundResult]:
        for number in range(rounds + 1):
            with self._store.exclusive():
                committed = {result.round: result for result in self._store.rounds()}
                if number in committed:
                    result = committed[number]
                elif number < max(committed, default=-1):
                    continue  # a repair has lost it
                else:
                    seconds = self._label(number, start if number == 0 else batch, oracle, poll)
                    result = self._commit(number, test, oracle, poll, seconds)
            self.report(Progress("round", number + 1, rounds + 1, result.metrics))
            yield result

    # Steps. Each expects the record's lock to be held.

    def _select(self, n: int) -> tuple[str, ...]:
        try:
            n = operator.index(n)
        except TypeError:
            raise ConfigurationError("this is no number of images", got=repr(n), expected="a whole number") from None
        candidates = self.candidates
        if not 1 <= n <= len(candidates):
            raise ConfigurationError(
                "this many images cannot be chosen",
                got=n,
                expected=f"1 to {len(candidates)}, the images that are left",
            )
        number = _next(self._store.rounds())
        rank = self._store.ranks_used(number)
        labelled = tuple(id for id, known in self._known().items() if known.labels)
        view = PoolView(candidates, labelled, number, self._representations, self._scoring)
        strategy = self.initial if number == 0 else self.strategy
        # A second query of one round, after a withdrawal, draws from a stream of its own.
        stream = self._stream.child("round", number, "select", *([rank] if rank else []))
        with self._settings.threads():
            with name_on_failure(strategy):
                selection = strategy.select(view, n, stream.numpy())
            _check_selection(selection, n, candidates, strategy)
            pseudo_labels = self._pseudo_labels(selection.pseudo_labels)
        sizes = mask_sizes(self.pool, selection.ids)
        chosen_by = f"chosen by {getattr(innermost(strategy), '__name__', type(strategy).__name__)}"
        why = [chosen_by] * n if selection.stands_for is None else [text or chosen_by for text in selection.stands_for]
        self._store.add_queries(
            [
                Query(
                    id,
                    number,
                    rank + position,
                    sizes[position],
                    None if selection.scores is None else selection.scores[position],
                    why[position],
                    self._terms.annotators,
                )
                for position, id in enumerate(selection.ids)
            ],
            pseudo_labels,
        )
        self.report(Progress("ask", n, n))
        return selection.ids

    def _pseudo_labels(self, ids: Sequence[str]) -> dict[str, str]:
        """Return by id the files of what the last round's model predicts of these images."""
        files: dict[str, str] = {}
        for batch in self._scoring().predictions(ids) if ids else ():
            files.update((id, self._files.keep(label)) for id, label in zip(batch.ids, batch.labels, strict=True))
        return files

    def _label(self, number: int, n: int, oracle: Oracle, poll: float) -> dict[str, float]:
        """Have `n` images of a round asked and answered, whatever of it is done already; return the seconds it took."""
        seconds: dict[str, float] = {}
        while True:
            self._gather(oracle, poll)
            asked = sum(query.round == number for query in self._store.queries())
            if asked == n:
                return seconds
            if asked > n:
                raise QueryError(
                    f"round {number} was begun by hand",
                    got=f"{asked} images",
                    expected=f"{n} by the schedule",
                    hint="fit() ends it",
                )
            begun = time.perf_counter()
            self._select(n - asked)
            seconds["select"] = time.perf_counter() - begun

    def _gather(self, oracle: Oracle, poll: float) -> None:
        """Wait until every open query has its answers."""
        open_ids = {query.id for query in self.send(oracle)}
        total = len(open_ids)
        while open_ids:
            # An oracle of the test set, too, may say again what it said of that.
            news = [answer for answer in oracle.poll() if answer.id in open_ids]
            receipt = self._answers.received(news, oracle)
            if receipt.refused and not isinstance(oracle, TakesRefusals):
                raise LabelError(f"the oracle gave an answer that cannot be taken: {receipt.refused[0][1]}")
            open_ids = set(self.open_ids)
            self.report(Progress("tell", total - len(open_ids), total))
            if open_ids and not receipt.taken:
                time.sleep(poll)

    def _collect(self, oracle: Oracle, queries: Sequence[Query], poll: float) -> Iterator[tuple[int, list[Answer]]]:
        """Yield the answers to queries of a test set as they come, each once, with how many there are by then.

        An oracle may at the same time answer queries of the pool that are open: those answers are recorded.
        """
        waiting = {query.id for query in queries}
        if waiting:
            oracle.ask(queries)
        while waiting:
            news = list(oracle.poll())
            wanted = [answer for answer in {answer.id: answer for answer in news}.values() if answer.id in waiting]
            if others := [answer for answer in news if answer.id not in waiting]:
                open_ids = set(self.open_ids)
                self.receive([answer for answer in others if answer.id in open_ids])
            waiting -= {answer.id for answer in wanted}
            if wanted:
                yield len(queries) - len(waiting), wanted
            elif waiting:
                time.sleep(poll)

    def _commit(
        self, number: int, test: Pool | None, oracle: Oracle | None, poll: float, seconds: Mapping[str, float]
    ) -> RoundResult:
        known, pseudo = self._known(), self._store.pseudo_labels(number)
        everything = self._labels.of(known, pseudo, self._settings.spec, join_rule(self._terms.join))
        held = tuple(id for id in everything.ids if self._held_out(id) and id not in everything.pseudo_ids)
        labelled = everything.without(held)
        if not set(labelled.ids) - set(labelled.pseudo_ids):
            raise QueryError(
                "every label is held out, and none is left to learn from",
                got=f"{len(held)} labels, hold_out={self._terms.hold_out:g}",
                hint="more labels, or a smaller hold_out",
            )
        if test is not None and oracle is not None:
            # Before the training, which would be lost if a label were missing.
            self._test_labels.of(test, oracle, self._settings.spec, poll)
        begun = time.perf_counter()
        previous = None if number == 0 else self._predictor()
        rng = self._stream.child("round", number, "fit").numpy()
        with self._settings.threads():
            predictor = self.learner.fit(labelled, rng, previous, self.report)
        seconds = {**seconds, "fit": time.perf_counter() - begun}
        metrics: Mapping[str, float] = {}
        if test is not None and oracle is not None:
            begun = time.perf_counter()
            metrics = self._measure(predictor, test, oracle, poll)
            seconds["evaluate"] = time.perf_counter() - begun
        elif held:
            begun = time.perf_counter()
            with self._settings.threads():
                truth = everything.labels(held)
                metrics = measure(predictor, self.pool, held, truth, self._settings.spec, self.report)
            seconds["evaluate"] = time.perf_counter() - begun
        ids = tuple(query.id for query in self._store.queries() if query.round == number)
        n_pseudo = len(labelled.pseudo_ids)
        agreed = None if previous is None else self._agreement(predictor, previous)
        n_labels = len(labelled.ids) - n_pseudo
        result = RoundResult(number, ids, n_labels, metrics, seconds, n_pseudo, len(held), agreed)
        consumed = {answer.number for own in known.values() for answer in own.labels}
        self._store.commit_round(result, predictor.dumps(), _stamp(known), consumed)
        self._model = None if (last := self._store.last_model()) is None else (last[0], predictor)
        return result

    def _measure(self, predictor: Predictor, test: Pool, oracle: Oracle, poll: float) -> dict[str, float]:
        self._settings.adopt(oracle.spec)
        spec = self._settings.spec
        truth = self._test_labels.of(test, oracle, spec, poll)
        with self._settings.threads():
            return measure(predictor, test, list(test.ids), truth, spec, self.report)

    def _held_out(self, id: str) -> bool:
        return self._terms.holds_out(id, self._stream)

    def _agreement(self, predictor: Predictor, previous: Predictor) -> float | None:
        if not (n := min(self._terms.stop_set, len(self._representations.ids))):
            return None
        ids = self._representations.ids
        drawn = self._stream.child("stop-set").numpy().choice(len(ids), n, replace=False)
        with self._settings.threads():
            return agreement(predictor, previous, self.pool, [ids[row] for row in sorted(drawn)], self._settings.spec)

    # State, read from the record.

    def _known(self) -> Mapping[str, Answered]:
        """Return what is known of each image that has an answer that counts, in the order they were asked for."""
        return self._store.snapshot().known

    def _open(self) -> list[Query]:
        return [entry.query for entry in self._store.snapshot().open]

    def _predictor(self) -> Predictor:
        while (last := self._store.last_model()) is not None:
            if self._model is not None and self._model[0] == last[0]:
                return self._model[1]
            try:
                self._model = (last[0], self.learner.loads(self._store.content(last[0])))
            except StoreError:
                if self._store.last_model() == last:  # and not a model that another process has just replaced
                    raise
        raise QueryError("there is no model yet", hint="tell() some labels and fit()")

    def _scoring(self) -> Scoring:
        """Return the scores of the last round's model; they are kept until there is another."""
        if (last := self._store.last_model()) is None:
            if self._known():
                raise ColdStartError("there are labels, and no model of them yet", hint="fit() first")
            raise ColdStartError(
                "there is no model yet: predictions and scores begin with round 1",
                hint=f"initial= a strategy that needs none, such as {_cold_strategies()}",
            )
        key = last[0], _next(self._store.rounds())
        if self._scores is None or self._scores[0] != key:
            from alkit.scores.streamed import Scoring  # torch: not for those who only ask and tell

            draws = self._stream.child("round", key[1], "draws")
            self._scores = key, Scoring(self.pool, self._predictor(), draws, self.report)
        return self._scores[1]

    def _check_test(self, test: Pool) -> None:
        check_pool(test)
        if shared := set(test.ids) & set(self._representations.ids):
            raise DataError(
                f"{len(shared)} images are both in the pool and in the test set",
                got=sorted(shared)[:3],
                hint="pool.split(test=..., seed=...) makes two that share none",
            )


def _check_learner(part: object) -> None:
    if isinstance(part, type) or not isinstance(part, Learner):
        raise ConfigurationError(
            "learner must be an object with the methods fit() and loads()",
            got=f"the class {part.__name__}" if isinstance(part, type) else type(part).__name__,
            hint=f"{part.__name__}()" if isinstance(part, type) else None,
        )


def _check_selection(selection: Selection, n: int, candidates: Sequence[str], strategy: Strategy) -> None:
    name = type(strategy).__name__
    if not isinstance(selection, Selection):
        raise SelectionError(f"{name} returned no selection", got=type(selection).__name__, expected="alkit.Selection")
    if len(selection.ids) != n:
        raise SelectionError(f"{name} chose another number of images", got=len(selection.ids), expected=n)
    if strangers := {*selection.ids, *selection.pseudo_labels} - set(candidates):
        raise SelectionError(f"{name} chose images it was not offered", got=sorted(strangers)[:3])


def _random() -> Strategy:
    """Return alkit's own random strategy, whatever others are called so."""
    try:
        return strategy_named("alkit:random")
    except AlkitError as reason:
        raise ConfigurationError(
            f"the strategy needs a trained model, and the start set has no other ({reason})",
            hint=f"initial= a strategy that needs none, such as {_cold_strategies()}",
        ) from reason


def _cold_strategies() -> str:
    return " or ".join([*cold_strategies(), "a function of view, n and rng"])


def _next(rounds: Sequence[RoundResult]) -> int:
    """Return the number of the round after these."""
    return rounds[-1].round + 1 if rounds else 0


def _stamp(known: Mapping[str, Answered]) -> str:
    """Tell sets of labels apart; skips do not count."""
    files = {id: [answer.label for answer in own.labels] for id, own in known.items() if own.labels}
    return hashlib.sha256(json.dumps(files, sort_keys=True).encode()).hexdigest()


def _record(store: str | os.PathLike[str] | Store, wait: float) -> Store:
    return store if isinstance(store, Store) else Store(store, wait)


def _temporary_for(owner: object) -> Path:
    folder = tempfile.mkdtemp(prefix="alkit-")
    weakref.finalize(owner, shutil.rmtree, folder, ignore_errors=True)
    return Path(folder) / "experiment.db"
