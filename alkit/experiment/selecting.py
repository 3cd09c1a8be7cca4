"""Select the images of a query and record them."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from alkit._logs import logger
from alkit.checks import check_integer, check_number
from alkit.errors import ConfigurationError, QueryError
from alkit.evaluation.fitness import about_model, without_fix
from alkit.experiment.audit import audit_queries, find_near_duplicates, left_to_ask, mix
from alkit.experiment.budget import expected, number_for
from alkit.experiment.model import LastModel
from alkit.experiment.own_code import note_edits
from alkit.experiment.parts import Parts, next_round
from alkit.experiment.rehearsing import check_enough, rehearse_once
from alkit.experiment.ruling import check_number as check_number_of_images
from alkit.experiment.ruling import limits_of, most_by_rules, pick
from alkit.experiment.view import PoolView
from alkit.pools.sizes import mask_sizes
from alkit.record.assigning import assign
from alkit.record.facts import QUEUE
from alkit.record.held import on_one_connection
from alkit.strategies.asking import name_on_failure
from alkit.strategies.functions import check_selection, innermost
from alkit.values.progress import Progress
from alkit.values.queries import Query
from alkit.values.selection import Selection

log = logger(__name__)

BY_CHANCE = "drawn at random for the audit set"
"""Reason for a query of the audit set, which annotators do not see."""


@on_one_connection
def ask(parts: Parts, model: LastModel, n: int | None) -> tuple[str, ...]:
    """Return the ids that are still open, or select `n` images: see :meth:`alkit.Experiment.ask`."""
    store = parts.store
    with store.step("ask()"):
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


@on_one_connection
def top_up(parts: Parts, model: LastModel, n: int | None, hours: float | None = None) -> tuple[str, ...]:
    """Select images until `n` wait for a first answer, and return all ids that are open: see :meth:`Experiment.top_up`.

    One transaction records the new queries. So a call that was killed has recorded all of them or none, and the same
    call again selects the same images or none.
    """
    if (n is None) == (hours is None):
        raise ConfigurationError("top_up needs either n or hours", got=f"n={n}, hours={hours}")
    with parts.store.step("top_up()"):
        parts.settings.agreed.check()
        waiting = len(parts.untouched_queries())
        if n is None:
            n = waiting + _number_for(parts, model, 3600 * check_number("hours", hours, 0, open_ends="("))
        wanted = check_integer("n", n, least=0 if hours else 1)
        missing = wanted - waiting
        if parts.open_queries():
            missing = min(missing, _most(parts))
        size = {QUEUE: lambda before: wanted or before}  # a call that failed records nothing
        if missing > 0:
            select(parts, model, missing, size)
        else:
            parts.store.revise_all(size)
        return tuple(query.id for query in parts.open_queries())


def _most(parts: Parts) -> int:
    """Return how many images can be selected in the next round."""
    most = most_by_rules(parts, parts.candidates(), next_round(parts.store.rounds()))
    return most + len(left_to_ask(parts))


def _number_for(parts: Parts, model: LastModel, seconds: float) -> int:
    """Return how many images to select for a budget of time, at least one if none is open."""
    missing = number_for(parts, model, seconds, _most(parts), lambda n: choose(parts, model, n).queries)
    if missing or parts.open_queries():
        return missing
    took = expected(model, choose(parts, model, 1).queries, lambda query: query.wanted)
    raise ConfigurationError(
        f"hours must be at least {took / 3600:.2g}, since the first label is expected to take {took:.0f} s",
        got=f"{seconds / 3600:g}",
    )


@on_one_connection
def select(
    parts: Parts, model: LastModel, n: int, facts_now: Mapping[str, Callable[[Any], Any]] | None = None
) -> tuple[str, ...]:
    """Have the strategy select `n` candidates, and record them as queries; return their ids by rank.

    Facts are replaced in the same transaction, as :meth:`Store.revise` does it.

    Images that are open count as labelled for the strategy: their labels come without another selection. Some of the
    `n` are images of the audit set, if there is one, in places drawn at random: :mod:`alkit.experiment.audit`.

    The caller holds the record's lock. Errors are those of :func:`choose`.
    """
    parts.settings.agreed.check()
    note_edits(parts)
    chosen = choose(parts, model, n)
    if chosen.by_model:
        _warn_of_unfit(parts, chosen.strategy)
    with parts.settings.threads():
        pseudo_labels = _predict_pseudo_labels(parts, model, chosen.pseudo)
    parts.settings.agreed.check()  # a strategy of the user may have removed an image
    parts.store.add_queries(assign(parts.store, chosen.queries), pseudo_labels, facts_now=facts_now)
    parts.report(Progress("ask", n, n))
    return tuple(query.id for query in chosen.queries)


@dataclass(frozen=True)
class Chosen:
    """A selection that is not recorded yet.

    Parameters
    ----------
    queries:
        The queries by rank.
    pseudo:
        Images that get a pseudo-label.
    strategy:
        Name of the strategy.
    by_model:
        Whether the strategy used the last model.
    """

    queries: list[Query]
    pseudo: list[str]
    strategy: str
    by_model: bool


def choose(parts: Parts, model: LastModel, n: int) -> Chosen:
    """Have the strategy select `n` candidates without recording them; the same call selects the same images.

    Raises
    ------
    ConfigurationError
        `n` is not an integer >= 1, the rules leave fewer candidates, or the network cannot be trained on so few.
    SelectionError
        The strategy failed, or its selection breaks its promise.
    """
    find_near_duplicates(parts)
    with parts.store.moment():  # answers may arrive meanwhile
        candidates, number = parts.candidates(), next_round(parts.store.rounds())
        audit = audit_queries(parts, n, len(candidates))
        told = [id for id, known in parts.known().items() if known.labels]
        partly = set(told)
        told += [query.id for query in parts.open_queries() if query.id not in partly]
        apart = parts.apart(told)
        labelled = tuple(id for id in told if id not in apart)
    n = check_number_of_images(parts, candidates, n, number, len(audit))
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
    why = {id: (s, meaning or f"chosen by {name}") for id, s, meaning in zip(*picked.columns, strict=True)}
    ids = mix(picked.ids, audit, stream.child("audit").numpy()) if audit else picked.ids
    queries = [
        Query(id, number, rank + place, sizes, *why.get(id, (None, BY_CHANCE)), parts.terms.annotators)
        for place, (id, sizes) in enumerate(zip(ids, mask_sizes(parts.pool, ids), strict=True))
    ]
    drawn = set(audit)
    queries = [replace(query, purpose="audit") if query.id in drawn else query for query in queries]
    return Chosen(queries, picked.pseudo(), name, model.asked)


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
