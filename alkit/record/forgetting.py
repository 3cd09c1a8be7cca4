"""Take removed images out of the facts of a record, and out of rows that a repair restores."""

from __future__ import annotations

import json
from collections.abc import Callable, Collection, Iterable, Iterator
from contextlib import suppress
from functools import partial
from typing import Any

from alkit.record.audit import AUDIT
from alkit.record.changing import CHANGES, GROUPS, QUALITIES, SIDES
from alkit.record.disputes import ASKED_MORE
from alkit.record.facts import HANDED_ON, HELD_OUT_LABELS, has_form
from alkit.record.people import Place
from alkit.record.removing import ANSWER, QUERY, REMOVED, without
from alkit.record.replay import Content
from alkit.record.reviewed import REVIEWS
from alkit.record.settings import UNUSABLE
from alkit.values.audit import is_written_audit, without_image


def facts_without(fact: Callable[[str], Any], ids: Collection[str], places: Collection[Place]) -> dict[str, Any]:
    """Return by name the facts about single images or queries, without some of them; other facts are left out.

    Parameters
    ----------
    fact:
        Returns the fact of a name, or None.
    ids:
        Ids of the images.
    places:
        Rounds and ranks of their queries.
    """
    own_places = {f"r{round:02}-{rank:04}" for round, rank in places}  # as `alkit.record.reviews.place_of`
    forms: dict[str, Callable[[Any], Any]] = {
        GROUPS: lambda value: without(value, ids),
        HELD_OUT_LABELS: lambda value: without(value, ids),
        UNUSABLE: lambda value: without(value, ids),
        SIDES: lambda value: {name: without(own, ids) for name, own in value.items()},
        QUALITIES: lambda value: {**value, "qualities": without(value["qualities"], ids)},
        ASKED_MORE: lambda value: without(value, ids),
        AUDIT: lambda value: {
            **value,
            "near": without(value["near"], ids),
            "draws": [{**draw, "ids": without(draw["ids"], ids)} for draw in value["draws"]],
        },
        REVIEWS: lambda value: without(value, own_places),
        CHANGES: lambda value: [{**entry, "changed": _lines_without(entry["changed"], ids)} for entry in value],
        HANDED_ON: lambda value: [entry for entry in value if tuple(entry["query"]) not in places],
    }
    return {name: form(value) for name, form in forms.items() if (value := fact(name)) is not None}


def _lines_without(lines: Iterable[str], ids: Collection[str]) -> list[str]:
    """Return lines about changes that name no group of some images as an example.

    >>> _lines_without(["groups: other ones of 2 images, such as 'a': recorded p1, now p2"], ["a"])
    ['groups: other ones of 2 images']
    """
    found = list(lines)
    for id in ids:
        found = [line.partition(f", such as {id!r}: recorded ")[0] for line in found]
    return found


def metrics_without(form: Any, ids: Collection[str]) -> Any:
    """Return the written form of metrics without the kinds of some images."""
    if isinstance(form, list):
        return [metrics_without(part, ids) for part in form]
    match form:
        case {"is": "alkit.evaluation:PerGroup", "with": {"metric": metric, "groups": {"items": list(items)}}}:
            left = [pair for pair in items if not set(pair[:1]) & set(ids)]
            return {**form, "with": {**form["with"], "groups": {"items": left}}} if left else metric
        case dict():
            return {name: metrics_without(part, ids) for name, part in form.items()}
    return form


def take_out(content: Content, others: Iterable[Content] = ()) -> Iterator[str]:
    """Take removed images out of restored rows, whichever source says that they were removed; name those that were in.

    Parameters
    ----------
    content:
        The restored rows.
    others:
        Rows of other states of the record.
    """
    removed: dict[str, Any] = {}
    every = [content, *others]
    for rows in every:
        removed |= _parsed(rows, REMOVED)
    if not removed:
        return
    found = set[str]()
    asked = [row for rows in every for row in rows["queries"].values() if row["id"] in removed]
    places = {(row["round"], row["rank"]) for row in asked}
    for row in asked:
        row.update(QUERY)
    for rows in every:
        for row in rows["answers"].values():
            if row["id"] in removed and (row["kind"], row["label"]) != ("invalid", None):
                found.add(row["id"])
                row.update(ANSWER)
        for row in rows["query_terms"].values():
            if (row["round"], row["rank"]) in places:
                row.update(assigned=None, due=None)
        for row in rows["round_figures"].values():
            if row["name"] == "audit":
                row["value"] = _figures_without(row["value"], removed)
        for name, about in facts_without(partial(_fact, rows), removed.keys(), places).items():
            rows["facts"][name,]["value"] = json.dumps(about)
        for key in [key for key, row in rows["pseudo_labels"].items() if row["id"] in removed]:
            del rows["pseudo_labels"][key]
    images, configuration = _parsed(content, "images"), _parsed(content, "configuration")
    if images.keys() & removed.keys():
        left = {id: images[id] for id in images if id not in removed}
        content["facts"]["images",]["value"] = json.dumps(left)
        if isinstance(pool := configuration.get("pool"), dict):
            configuration["pool"] = {**pool, "images": len(left), "content": None}
            content["facts"]["configuration",]["value"] = json.dumps(configuration)
    content["facts"][REMOVED,] = {"name": REMOVED, "value": json.dumps(removed)}
    for id in sorted(found):
        yield f"the answers to {id!r}, which was removed: {removed[id]['reason']}"


def _figures_without(text: str, ids: Iterable[str]) -> str:
    """Return the figures on the audit set, as a row contains them, without the values of some images."""
    with suppress(ValueError, RecursionError):
        form = json.loads(text)
        if is_written_audit(form):
            for id in ids:
                form = without_image(form, id)
            return json.dumps(form)
    return text


def _parsed(rows: Content, name: str) -> dict[str, Any]:
    value = _value(rows, name)
    return value if isinstance(value, dict) else {}


def _fact(rows: Content, name: str) -> Any:
    """Return a fact of restored rows; None if it is missing or has not its form."""
    value = _value(rows, name)
    return value if has_form(name, value) else None


def _value(rows: Content, name: str) -> Any:
    with suppress(KeyError, ValueError, RecursionError):
        return json.loads(rows["facts"][name,]["value"])
    return None
