"""Rows of a record from several damaged sources, and what nobody can know about them."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import suppress
from itertools import pairwise

from alkit.record.removing import REMOVED
from alkit.record.replay import Content, History, Rows, apply, empty
from alkit.record.salvage import Source
from alkit.values.shown import count

UNPROVEN = "it may have been taken back in a part of the record that is lost; it counts when it is told again"
"""Reason of an answer that does not count after a repair."""


def merge(sources: Sequence[Source], history: History | None) -> Content:
    """Return the latest version of each row that any source or intact line of the journal has.

    Whatever any of them says was sent back or withdrawn stays so.

    Parameters
    ----------
    sources:
        The backups, the earliest first, and then the database.
    """
    content, done = empty(), 0

    def age(source: Source) -> tuple[int, int]:
        return len(removed_in(source.content)), source.lines or max(other.lines for other in sources)

    for source in sorted(sources, key=age):
        if history and source.lines > done:
            apply(content, history.after(done, source.lines))
            done = source.lines
        for name, rows in source.content.items():
            content[name].update((key, dict(row)) for key, row in rows.items())
    if history:
        apply(content, history.after(done))
    _keep_taken_back(content, sources, history)
    return content


def _keep_taken_back(content: Content, sources: Sequence[Source], history: History | None) -> None:
    rejected: dict[tuple[object, ...], str] = {}
    withdrawn = set[tuple[object, ...]]()
    for source in sources:
        own = source.content["answers"]
        rejected |= {key: row["rejected"] for key, row in own.items() if row["rejected"] is not None}
        withdrawn |= {key for key, row in source.content["queries"].items() if row["withdrawn"]}
    for line in history.after(0) if history else ():
        if line.change[0] == "change":
            _, name, keys, values = line.change
            if name == "answers" and values.get("rejected") is not None:
                rejected |= {tuple(key): values["rejected"] for key in keys}
            if name == "queries" and values.get("withdrawn"):
                withdrawn |= {tuple(key) for key in keys}
    for key in rejected.keys() & content["answers"].keys():
        content["answers"][key]["rejected"] = rejected[key]
    for key in withdrawn & content["queries"].keys():
        content["queries"][key]["withdrawn"] = 1


def removed_in(content: Content) -> Collection[str]:
    """Return the images that were removed, as a source says. Their number only grows, unlike that of journal lines."""
    with suppress(KeyError, ValueError, RecursionError):
        value = json.loads(content["facts"][REMOVED,]["value"])
        return value.keys() if isinstance(value, dict) else ()
    return ()


def disagree(content: Content, other: Content) -> bool:
    """Whether two sources have another query or another answer under the same key, but for images that were removed."""
    removed = {*removed_in(content), *removed_in(other)}
    return any(
        content[name][key][column] != other[name][key][column]
        for name, columns in (("queries", ("id",)), ("answers", ("id", "annotator", "revision")))
        for key in content[name].keys() & other[name].keys()
        if content[name][key]["id"] not in removed
        for column in columns
    )


def lacks(content: Content, other: Content) -> str:
    """Return in words what another state of the same record has and this one lacks; empty if there is nothing."""
    if content["facts"].get(("campaign",)) != other["facts"].get(("campaign",)):
        return ""  # it is another record
    removed = {*removed_in(content), *removed_in(other)}
    own = {_identity(row): row["rejected"] for row in content["answers"].values()}
    others = [row for row in other["answers"].values() if row["id"] not in removed]
    new = [row for row in others if _identity(row) not in own]
    back = [row for row in others if row["rejected"] is not None and own.get(_identity(row), "") is None]
    rounds = other["rounds"].keys() - content["rounds"].keys()
    numbers = (len(new), "answer", ""), (len(back), "answer", " sent back"), (len(rounds), "round", "")
    return ", ".join(f"{count(number, one)}{end}" for number, one, end in numbers if number)


AGAIN = " (an image without an open query: after `alkit ask`, or by `alkit import` or tell(unasked=True))"
"""How an answer is told again."""


OTHER = "it is of another state of the record, which went on separately; it counts when it is told again"
"""Reason of an answer that only the journal of another state has."""


REPLACED = "another state of the record, which went on separately, has a later answer; it counts when it is told again"
"""Reason of an answer that another state has taken back or replaced by a later one."""


def add_others(content: Content, others: Content, name: str) -> Iterator[str]:
    """Add the answers that only another state of the same record has, as invalid ones, and say so.

    `name` is that of the file which has this state.

    What that state sent back, took back or replaced does not count either.
    """
    if content["facts"].get(("campaign",)) != others["facts"].get(("campaign",)):
        return  # it is another record
    own, unused = content["answers"], dict.fromkeys(("used_from", "used_until"))
    taken_back = _take_back(own, others["answers"])
    known = {_identity(row) for row in own.values()}
    new = [row for _, row in sorted(others["answers"].items()) if _identity(row) not in known]
    for number, row in enumerate(new, 1 + max((number for (number,) in own), default=0)):
        reason = row["reason"] if row["kind"] == "invalid" else OTHER
        own[number,] = {**row, **unused, "number": number, "kind": "invalid", "reason": reason}
    if taken_back:
        yield (
            f"whether {taken_back} answers count that {name}, which belongs to another state of the record, says "
            "were sent back, taken back or replaced: they are kept, but do not count"
        )
    if new:
        yield (
            f"whether {len(new)} answers count that only {name} has, which belongs to another state of the "
            f"record: they are kept, but do not count until they are told again{AGAIN}"
        )


def _take_back(own: Rows, others: Rows) -> int:
    """Let answers not count that another state sent back, took back or replaced; return how many these are."""
    rejected = {_identity(row): row["rejected"] for row in others.values() if row["rejected"] is not None}
    sent_back = [row for row in own.values() if row["rejected"] is None and _identity(row) in rejected]
    for row in sent_back:
        row["rejected"] = rejected[_identity(row)]
    last, their_last = (_last_revisions(rows) for rows in (own, others))
    replaced = [
        row
        for row in own.values()
        if row["kind"] in ("label", "skip") and last[_who(row)] < their_last.get(_who(row), last[_who(row)])
    ]
    for row in replaced:
        row.update(kind="invalid", reason=REPLACED)
    return len({id(row) for row in (*sent_back, *replaced)})


def _last_revisions(rows: Rows) -> dict[tuple[object, ...], int]:
    """Return the greatest revision of the valid answers to each image by each annotator."""
    valid = [row for row in rows.values() if row["kind"] != "invalid"]
    return {_who(row): row["revision"] for row in sorted(valid, key=lambda row: int(row["revision"]))}


def _who(row: Mapping[str, object]) -> tuple[object, ...]:
    return row["id"], row["annotator"]


def _identity(row: Mapping[str, object]) -> tuple[object, ...]:
    return tuple(row[column] for column in ("id", "annotator", "revision", "label"))


def drop_unproven(content: Content) -> Iterator[str]:
    """Make every answer that may count invalid, close every query, and say so. Answers that are told again count."""
    valid = [row for row in content["answers"].values() if row["kind"] in ("label", "skip") and row["rejected"] is None]
    queries = [row for row in content["queries"].values() if not row["withdrawn"]]
    for row in valid:
        row.update(kind="invalid", reason=UNPROVEN)
    for row in queries:
        row["withdrawn"] = 1
    if valid or queries:
        yield (
            f"whether {len(valid)} answers and {len(queries)} queries were taken back: the answers are kept, but do "
            "not count until they are told again, and the queries are closed; if nothing was taken back, repair with "
            "trust=True"
        )


def find_gaps(content: Content) -> Iterator[str]:
    """Yield a sentence about rows that must have existed and are lost."""
    asked: dict[int, list[int]] = {}
    for round, rank in content["queries"]:
        asked.setdefault(round, []).append(rank)
    for round, ranks in sorted(asked.items()):
        if gone := max(ranks) + 1 - len(ranks):
            yield f"{gone} queries of round {round}"
    known = {row["id"] for row in content["queries"].values()}
    known |= {row["id"] for row in content["answers"].values() if row["kind"] == "label" and row["reason"]}  # unasked
    without = Counter(row["id"] for row in content["answers"].values() if row["id"] not in known)
    for id, n in sorted(without.items()):
        yield f"the query for {id!r}: its {n} answers do not count until it is asked again"
    numbers = [number for (number,) in content["answers"]]
    if missing := max(numbers, default=0) - len(numbers):
        yield f"{missing} answers"
    if lost := list(_missing(sorted(round for (round,) in content["rounds"]))):
        yield f"the figures of round {', '.join(lost)}"
    labels = any(row["kind"] == "label" for row in content["answers"].values())
    for name in ("configuration", "declared", "seed", *(["classes"] if labels else [])):  # they may be declared late
        if (name,) not in content["facts"] and content["queries"]:
            yield f"the setting {name!r}: pass the parts to Experiment(...) as they were"


def _missing(rounds: Sequence[int]) -> Iterator[str]:
    """Yield the rounds that are missing before each of these, as a number or a range.

    >>> list(_missing([1, 2, 6]))
    ['0', '3 to 5']
    """
    for before, round in pairwise([-1, *rounds]):
        if round > before + 1:
            yield str(before + 1) if round == before + 2 else f"{before + 1} to {round - 1}"
