"""Gather answers from an oracle: to the queries of a round, and to those of a test set."""

from __future__ import annotations

import time
from collections.abc import Collection, Iterable, Iterator, Sequence
from functools import partial

from alkit._logs import logger
from alkit.errors import LabelError, QueryError
from alkit.experiment.audit import blinded
from alkit.experiment.model import LastModel
from alkit.experiment.parts import Parts, next_round
from alkit.experiment.rehearsing import check_enough, rehearse_once
from alkit.experiment.selecting import select
from alkit.protocols import ChecksLabels, Oracle, TakesCancellations, TakesRefusals
from alkit.record.answers import spec_of
from alkit.record.polling import poll as poll_oracle
from alkit.record.removing import REMOVED
from alkit.record.revisions import UNKNOWN, check_revision
from alkit.values.answers import Answer, Invalid
from alkit.values.progress import Progress
from alkit.values.queries import Query

log = logger(__name__)


def send(parts: Parts, oracle: Oracle) -> tuple[Query, ...]:
    """Hand the open queries and reviews to an oracle, record that, and return them."""
    spec = spec_of(oracle)
    with parts.store.one_connection():
        parts.settings.declare_classes(spec)
        if not parts.store.has_answers():
            rehearse_once(parts)
        queries = (*parts.open_queries(), *parts.open_reviews())
        asked = blinded(parts, queries)
    if queries:
        oracle.ask(asked)
        parts.store.mark_sent([query.id for query in queries])
    removed = parts.store.fact(REMOVED) or {}
    if gone := [query for query in queries if query.id in removed]:  # by another process, after the queries were read
        if isinstance(oracle, TakesCancellations):
            oracle.cancelled(gone)
        log.warning("images were sent that were removed meanwhile; delete them there: %s", [q.key for q in gone])
    return tuple(query for query in queries if query.id not in removed)


def label_round(parts: Parts, model: LastModel, number: int, n: int, oracle: Oracle, poll: float) -> dict[str, float]:
    """Query the `n` images of a round and gather their answers; return the seconds that selecting took.

    Steps that were done before, in this process or another, are not repeated. The caller holds the record's lock.
    """
    seconds: dict[str, float] = {}
    while True:
        _gather(parts, oracle, poll)
        asked = sum(query.round == number for query in parts.store.queries())
        if asked == n:
            return seconds
        if asked > n:
            raise _too_many(number, asked, n)
        begun = time.perf_counter()
        select(parts, model, n - asked)
        seconds["select"] = time.perf_counter() - begun


def check_rounds(parts: Parts, start: int, batch: int) -> None:
    """Check that a record without a schedule can get one, before it is declared: afterwards it cannot change any more.

    Raises
    ------
    QueryError
        The next round has more queries than this schedule.
    ConfigurationError
        The network cannot be trained on so few labels.
    """
    if parts.settings.schedule is not None:
        return
    number = next_round(parts.store.rounds())
    asked = sum(query.round == number for query in parts.store.queries())
    if asked > (n := batch if number else start):
        raise _too_many(number, asked, n)
    if parts.store.has_answers():
        rehearse_once(parts)
        check_enough(parts, "start", start, len(parts.store.snapshot().unasked))


def _too_many(number: int, asked: int, n: int) -> QueryError:
    return QueryError(
        f"round {number} has more queries than its schedule, because ask() was called by hand",
        got=f"{asked} images",
        expected=f"{n}",
        hint="fit() ends the round",
    )


def gather_test_answers(
    parts: Parts, oracle: Oracle, queries: Sequence[Query], poll: float
) -> Iterator[tuple[int, list[Answer]]]:
    """Yield the answers to the queries of a test set as they come, each once, with their number so far.

    Of several answers for an image, the one with the latest revision is yielded. Answers to queries of the pool, which
    the oracle may give at the same time, are recorded.
    """
    waiting, again = {query.id for query in queries}, False
    if waiting:
        oracle.ask(queries)
    while waiting:
        answers, strange = poll_oracle(oracle)
        wanted = list(_latest(answer for answer in answers if answer.id in waiting).values())
        if others := [answer for answer in answers if answer.id not in waiting]:
            asked = _asked_ids(parts)
            parts.answers.receive_once([answer for answer in others if answer.id in asked])
        if strange is not None:
            raise strange
        waiting -= {answer.id for answer in wanted}
        if wanted:
            yield len(queries) - len(waiting), wanted
        elif waiting and not (again := not again and _ask_again(oracle, [one for one in queries if one.id in waiting])):
            time.sleep(poll)


def _gather(parts: Parts, oracle: Oracle, poll: float) -> None:
    """Wait until every open query has its answers."""
    send(parts, oracle)
    open_ids = {query.id for query in parts.open_queries()}
    total, hears, again = len(open_ids), isinstance(oracle, TakesRefusals), False
    while open_ids:
        # An oracle that also labels the test set may repeat those answers. One that takes refusals is told about
        # invalid answers that belong to no query, such as bad items in a file. Corrections of earlier answers count.
        receipt = parts.answers.receive_polled(oracle, partial(_is_wanted, asked=_asked_ids(parts), hears=hears))
        if not hears and (reasons := [reason for answer, reason in receipt.refused if answer.id in open_ids]):
            raise LabelError(f"oracle gave an answer that cannot be taken: {reasons[0]}")
        open_ids = {query.id for query in parts.open_queries()}
        parts.report(Progress("tell", total - len(open_ids), total))
        if open_ids and not receipt.taken:
            again = not again and _ask_again(oracle, blinded(parts, parts.open_queries()))
            if not again:
                time.sleep(poll)


def _ask_again(oracle: Oracle, queries: Sequence[Query]) -> bool:
    """Ask an oracle once more if it knows all labels beforehand: another thread may have taken the answers."""
    if knows := isinstance(oracle, ChecksLabels):
        oracle.ask(queries)
    return knows


def _is_wanted(answer: Answer, asked: Collection[str], hears: bool) -> bool:
    return answer.id in asked or (hears and isinstance(answer.label, Invalid))


def _asked_ids(parts: Parts) -> set[str]:
    """Return the images that were ever asked for: their answers count, whenever they arrive."""
    return {entry.query.id for entry in parts.store.asked()}


def _latest(answers: Iterable[Answer]) -> dict[str, Answer]:
    """Return by id the answer with the greatest revision; of equal ones, and of those without a revision, the last."""
    found: dict[str, Answer] = {}
    for answer in answers:
        other = found.get(answer.id)
        if other is None or UNKNOWN in (new := check_revision(answer), old := check_revision(other)) or new >= old:
            found[answer.id] = answer
    return found
