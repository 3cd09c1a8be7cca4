"""Assemble an experiment: check its parts against each other, against the images and against the record."""

from __future__ import annotations

import os
from collections.abc import Sequence
from contextlib import nullcontext
from pathlib import Path

from alkit._files import delete_with, make_temporary_folder
from alkit.checks import check_integer
from alkit.evaluation.chosen import Metrics, check_metrics
from alkit.experiment import opening, rehearsing
from alkit.experiment.audit import settle_audit, size_of_audit
from alkit.experiment.keeping import Keep, change_keep
from alkit.experiment.labelled import Labels
from alkit.experiment.listening import Listeners
from alkit.experiment.own_code import code_of_parts
from alkit.experiment.parts import Parts
from alkit.experiment.representations import Representations
from alkit.learners.named import check_learner
from alkit.learners.needs import check_needs
from alkit.pools.checks import check_pool
from alkit.protocols import Learner, Pool, Strategy
from alkit.record.alongside import work_alongside
from alkit.record.answers import Answers
from alkit.record.grouping import check_rules, settle_groups, settle_rules
from alkit.record.label_files import LabelFiles
from alkit.record.people import settle_people
from alkit.record.settings import Settings
from alkit.record.store import Store
from alkit.record.terms import Terms
from alkit.rng import Stream
from alkit.sharing.workers import Workers, check_workers
from alkit.strategies.functions import Choice, as_strategy, needs_of
from alkit.values.label_spec import LabelSpec
from alkit.values.people import People
from alkit.values.rules import SelectionRules


def assemble(
    owner: object,
    pool: Pool,
    learner: Learner,
    strategy: Strategy | Choice,
    store: str | os.PathLike[str] | Store | None,
    seed: int,
    initial: Strategy | Choice | None,
    classes: LabelSpec | Sequence[str] | None,
    terms: Terms,
    metrics: Metrics | None,
    rules: SelectionRules | None,
    audit: int | None,
    people: People | None,
    keep: Keep | None,
    change: bool,
    report: Listeners,
    wait: float,
    workers: Workers,
) -> Parts:
    """Return the parts of an experiment, after all checks, and record its settings.

    The parameters and the errors are those of :class:`alkit.Experiment`. Nothing is written if a check fails.

    Parameters
    ----------
    owner:
        The experiment; a record in a temporary folder is deleted with it.
    """
    check_pool(pool)
    metrics, workers = check_metrics(metrics), check_workers(workers)
    check_learner("learner", learner)
    strategy = as_strategy("strategy", strategy)
    given = None if initial is None else as_strategy("initial", initial)
    first = opening.choose_initial(strategy, given)
    if change or not isinstance(store, Store) or not store.has_answers():
        # Not when a record with answers is opened, for example to export its labels: this makes a network of any size.
        check_needs(needs_of(strategy), learner, pool)
    if not isinstance(store, Store):
        store = Store(_temporary_store(owner) if store is None else store, wait)
    with store.one_connection():
        if store.fact("seed") != seed:  # an older record may have been made with a negative seed
            check_integer("seed", seed, least=0)
        settings, stream, seed = Settings(store), Stream(int(seed)), int(seed)
        audit = None if audit is None else check_integer("audit", audit, least=0)
        recorded = {"learner": learner, "strategy": strategy, "initial": given, "terms": terms}
        # Before the settings are recorded, so that a learner that fails on the images changes nothing.
        tried = None
        if change or not store.has_answers():
            tried = rehearsing.try_out(store, settings, learner, strategy, pool, report, classes)
        check_rules(store, pool, rules)
        described, more = settings.described(recorded, pool, seed), work_alongside()
        # While there are answers, somebody who opens the record must not wait for a training.
        fresh = not store.read_only and (change or not store.has_answers())
        at_once = fresh and (more is not None or settings.differ(described))
        with store.together() if at_once else nullcontext():
            pool = settle_groups(store, settings.declare(described, classes, change=change))
            settle_rules(store, rules)
            settle_people(store, people)
            change_keep(store, keep)
            measured, settings.agreed.metrics = opening.settle_metrics(store, metrics)
            representations, files = Representations(pool, stream, store, report, workers), LabelFiles(store)
            answers = Answers(store, settings, files, frozenset(pool.ids) | settings.unusable.keys())
            labels = Labels(files, representations)
            rehearsing.save(store, tried)
            parts = Parts(
                pool,
                learner,
                strategy,
                first,
                terms,
                stream,
                store,
                settings,
                files,
                answers,
                representations,
                labels,
                report,
                measured,
                classes is not None,
                workers,
            )
            # Without a number, too: the images may be others than those of which the audit set was drawn.
            settle_audit(parts, size_of_audit(store) if audit is None else audit)
            if more is not None:
                more(store)
        code_of_parts(parts)  # reads the files of the user's code now, when they are most likely as they were loaded
        return parts


def _temporary_store(owner: object) -> Path:
    """Return the path of a record that is deleted with its owner."""
    folder = make_temporary_folder()
    delete_with(owner, folder)
    return folder / "experiment.db"
