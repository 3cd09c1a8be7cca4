"""Select the images of a query and record them."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from alkit.checks import check_integer
from alkit.errors import QueryError
from alkit.evaluation.fitness import about_model, without_fix
from alkit.experiment.audit import audit_queries, find_near_duplicates, left_to_ask, mix
from alkit.experiment.model import LastModel
from alkit.experiment.parts import Parts, next_round
from alkit.experiment.rehearsing import check_enough, rehearse_once
from alkit.experiment.ruling import check_number, limits_of, most_by_rules, pick
from alkit.experiment.view import PoolView
from alkit.pools.sizes import mask_sizes
from alkit.record.assigning import assign
from alkit.record.facts import QUEUE
from alkit.strategies.asking import name_on_failure
from alkit.strategies.functions import check_selection, innermost
from alkit.values.progress import Progress
from alkit.values.queries import Query
from alkit.values.selection import Selection

log = logging.getLogger(__name__)

BY_CHANCE = "drawn at random for the audit set"
"""Reason for a query of the audit set, which annotators do not see."""


def ask(parts: Parts, model: LastModel, n: int | None) -> tuple[str, ...]:
    """Return the ids that are still open, or select `n` images: see :meth:`alkit.Experiment.ask`."""
    store = parts.store
    with store.exclusive():
        parts.settings.agreed.check()
        open_queries = parts.open_queries()
        if not open_queries:
            return () if n is None else select(parts, model, n)
        size = store.size_of_last_ask()
        if n is not None and n != size:
            raise QueryError(
                f"n must be {size}, or be left out, while a query for {size} images is open",
                got=f"{n}; {len(open_queries)} of them lack an answer",
                hint="tell() their answers, or withdraw() them; ask() without a number returns them again",
            )
        return tuple(query.id for query in open_queries)


def top_up(parts: Parts, model: LastModel, n: int) -> tuple[str, ...]:
    """Select images until `n` wait for a first answer, and return all ids that are open: see :meth:`Experiment.top_up`.

    One transaction records the new queries. So a call that was killed has recorded all of them or none, and the same
    call again selects the same images or none.
    """
    with parts.store.exclusive():
        parts.settings.agreed.check()
        n = check_integer("n", n, least=1)
        parts.store.revise(QUEUE, lambda before: n)
        missing = n - len(parts.untouched_queries())
        if parts.open_queries():
            most = most_by_rules(parts, parts.candidates(), next_round(parts.store.rounds()))
            missing = min(missing, most + len(left_to_ask(parts)))
        if missing > 0:
            select(parts, model, missing)
        return tuple(query.id for query in parts.open_queries())


def select(parts: Parts, model: LastModel, n: int) -> tuple[str, ...]:
    """Have the strategy select `n` candidates, and record them as queries; return their ids by rank.

    Images that are open count as labelled for the strategy: their labels come without another selection. Some of the
    `n` are images of the audit set, if there is one, in places drawn at random: :mod:`alkit.experiment.audit`.

    The caller holds the record's lock.

    Raises
    ------
    ConfigurationError
        `n` is not an integer >= 1, the rules leave fewer candidates, or the network cannot be trained on so few.
    SelectionError
        The strategy failed, or its selection breaks its promise.
    """
    find_near_duplicates(parts)
    candidates, number = parts.candidates(), next_round(parts.store.rounds())
    audit = audit_queries(parts, n, len(candidates))
    n = check_number(parts, candidates, n, number, len(audit))
    told = [id for id, known in parts.known().items() if known.labels]
    partly = set(told)
    told += [query.id for query in parts.open_queries() if query.id not in partly]
    apart = parts.apart(told)
    labelled = tuple(id for id in told if id not in apart)
    if number == 0:
        rehearse_once(parts)
        check_enough(parts, "n", n, len(labelled))
        if audit and candidates:  # some images must be left to train on
            audit = audit[: max(n - len(candidates), n - max(1, parts.settings.fewest_labels - len(labelled)))]
    rank = parts.store.count_ranks(number)
    strategy = parts.initial if number == 0 else parts.strategy
    name = getattr(innermost(strategy), "__name__", type(strategy).__name__)
    # After a withdrawal, the second query of a round draws from a stream of its own.
    stream = parts.stream.child("round", number, "select", *([rank] if rank else []))
    limits = limits_of(parts)

    def call(left: Sequence[str], picked: Sequence[str], k: int, rng: np.random.Generator) -> Selection:
        view = PoolView(tuple(left), (*labelled, *picked), number, parts.representations, model, limits)
        with name_on_failure(strategy):
            selection = strategy.select(view, k, rng)
        return check_selection(type(strategy).__name__, selection, view, k)

    with parts.settings.threads():
        model.asked = False
        picked = pick(parts, candidates, n - len(audit), number, stream, call)
        if model.asked:
            _warn_of_unfit(parts, name)
        pseudo_labels = _predict_pseudo_labels(parts, model, picked.pseudo())
    why = {id: (s, meaning or f"chosen by {name}") for id, s, meaning in zip(*picked.columns, strict=True)}
    ids = mix(picked.ids, audit, stream.child("audit").numpy()) if audit else picked.ids
    queries = [
        Query(id, number, rank + place, sizes, *why.get(id, (None, BY_CHANCE)), parts.terms.annotators)
        for place, (id, sizes) in enumerate(zip(ids, mask_sizes(parts.pool, ids), strict=True))
    ]
    drawn = set(audit)
    queries = [replace(query, purpose="audit") if query.id in drawn else query for query in queries]
    parts.store.add_queries(assign(parts.store, queries), pseudo_labels)
    parts.report(Progress("ask", n, n))
    return tuple(ids)


def _warn_of_unfit(parts: Parts, strategy: str) -> None:
    """Repeat the warnings about the model that a strategy has just chosen images by."""
    last = parts.store.rounds()[-1]
    for warning in about_model(last.warnings):
        log.warning(
            "%s chose images by the model of round %d, which is not fit to choose by. %s",
            strategy,
            last.round,
            without_fix(warning),  # the record has the fix
        )


def _predict_pseudo_labels(parts: Parts, model: LastModel, ids: Sequence[str]) -> dict[str, str]:
    """Keep the last model's predictions of these images; return their files by id."""
    files: dict[str, str] = {}
    for batch in model.scoring().predictions(ids) if ids else ():
        files.update((id, parts.files.keep(label)) for id, label in zip(batch.ids, batch.labels, strict=True))
    return files
