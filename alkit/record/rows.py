"""Rows of a record as values."""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import replace
from functools import lru_cache
from typing import Any

from alkit.arguments.checked import make_unchecked
from alkit.record.columns import stored_json
from alkit.record.database import Row
from alkit.record.snapshot import Snapshot
from alkit.record.states import Asked, Recorded
from alkit.values.audit import AuditFigures, interval_from_written, written_interval
from alkit.values.label_spec import Size
from alkit.values.queries import Query
from alkit.values.rounds import RoundResult


def make_snapshot(
    asked: Mapping[Row, Asked],
    told: Mapping[Row, Recorded],
    done: Sequence[Row],
    unasked: Mapping[str, int],
    figures: Mapping[int, Mapping[str, Any]],
) -> Snapshot:
    """Return the snapshot of the rows of queries, answers and rounds.

    Parameters
    ----------
    unasked:
        By round the number of labels that nobody asked for; rounds without any may be missing.
    figures:
        By round and name the further figures.
    """
    queries = tuple(asked.values())
    ids: dict[int, list[str]] = defaultdict(list)
    for entry in queries:
        if not entry.withdrawn and not entry.is_review:
            ids[entry.query.round].append(entry.query.id)
    return Snapshot(
        queries,
        tuple(told.values()),
        tuple(result_from(row, tuple(ids[row[0]]), unasked, figures) for row in done),
        model_from(done[-1:]),
        frozenset(row[0] for row in told if row[10] is not None),
        frozenset(row[0] for row in told if row[10] is not None and row[11] is None),
    )


def asked_from(row: Row) -> Asked:
    """Return the query of a row."""
    round, rank, _, id, sizes, score, stands_for, wanted, asked_at, sent_at, prelabel, withdrawn, _ = row
    terms = "train", (), None
    # Rows are checked.
    query = make_unchecked(Query, id, round, rank, sizes_from(sizes), score, stands_for, wanted, *terms)
    return Asked(query, asked_at, sent_at, bool(withdrawn), prelabel)


def with_terms(asked: Mapping[Row, Asked], terms: Sequence[Row]) -> dict[Row, Asked]:
    """Return queries, some of which have unusual terms.

    Parameters
    ----------
    asked:
        By row the queries with the usual terms.
    terms:
        Rows of the terms of queries.
    """
    unusual = {row[:2]: row[2:5] for row in terms}
    return {row: _with_terms(entry, unusual.get(row[:2])) for row, entry in asked.items()} if unusual else {**asked}


def _with_terms(entry: Asked, terms: Row | None) -> Asked:
    if terms is None:
        return entry
    purpose, assigned, due = terms
    query = replace(entry.query, purpose=purpose, assigned=tuple(json.loads(assigned or "[]")), due=due)
    return replace(entry, query=query)


def terms_of(query: Query) -> dict[str, Any] | None:
    """Return the row of a query's terms; None if they are the usual ones."""
    if query.purpose == "train" and not query.assigned and query.due is None:
        return None
    assigned = stored_json("assigned", query.assigned) if query.assigned else None
    key = {"round": query.round, "rank": query.rank}
    return {**key, "purpose": query.purpose, "assigned": assigned, "due": query.due}


@lru_cache(maxsize=1000)
def sizes_from(text: str) -> tuple[Size, ...]:
    """Return the sizes that a row contains as JSON."""
    return tuple((height, width) for height, width in json.loads(text))


def recorded_from(row: Row) -> Recorded:
    """Return the answer of a row."""
    number, id, annotator, revision, kind, label, reason, seconds, rejected, told_at, *_ = row
    return make_unchecked(Recorded, id, annotator, revision, kind, label, reason, seconds, rejected, told_at, number)


def with_queries(told: Mapping[Row, Recorded], queries: Sequence[Row]) -> dict[Row, Recorded]:
    """Return answers, some of which are known to be given to certain queries.

    Parameters
    ----------
    told:
        By row the answers.
    queries:
        Rows of answers' queries.
    """
    known = {row[0]: row[1] for row in queries}
    return {row: replace(answer, query=known[row[0]]) if row[0] in known else answer for row, answer in told.items()}


def figures_of(result: RoundResult) -> dict[str, Mapping[str, Any]]:
    """Return the further figures of a round by name, without those that it does not have."""
    found: dict[str, Mapping[str, Any]] = {"stability": result.stability}
    found["intervals"] = {name: written_interval(own) for name, own in result.intervals.items()}
    found["tested"] = {"images": result.n_tested} if result.n_tested else {}
    found["audit"] = {} if result.audit is None else result.audit.written()
    return {name: value for name, value in found.items() if value}


def by_round(figures: Sequence[Row]) -> dict[int, dict[str, Any]]:
    """Return the further figures in some rows by round and name."""
    found: dict[int, dict[str, Any]] = defaultdict(dict)
    for round, name, value, *_ in figures:
        found[round][name] = json.loads(value)
    return found


def result_from(
    row: Row, ids: tuple[str, ...], unasked: Mapping[str, int], figures: Mapping[int, Mapping[str, Any]]
) -> RoundResult:
    """Return the round of a row; `unasked` and `figures` as in :func:`make_snapshot`."""
    number, _, n_labels, n_pseudo, n_held_out, agreement, _, metrics, seconds, _, warnings, _ = row
    return RoundResult(
        number,
        ids,
        n_labels,
        json.loads(metrics),
        json.loads(seconds),
        n_pseudo,
        n_held_out,
        agreement,
        tuple(json.loads(warnings or "[]")),
        unasked.get(str(number), 0),
        **_figures_from(figures.get(number, {})),
    )


def _figures_from(stored: Mapping[str, Any]) -> dict[str, Any]:
    """Return the further figures of a round as its fields."""
    found = dict(stored)
    if "intervals" in stored:
        found["intervals"] = {name: interval_from_written(own) for name, own in stored["intervals"].items()}
    if "tested" in stored:
        found["n_tested"] = found.pop("tested")["images"]
    if "audit" in stored:
        found["audit"] = AuditFigures.from_written(stored["audit"])
    return found


def model_from(last: Sequence[Row]) -> tuple[str, str] | None:
    """Return the model's file and the stamp of its labels from the last row of the rounds; None without a row."""
    return (last[0][6], last[0][1]) if last else None
