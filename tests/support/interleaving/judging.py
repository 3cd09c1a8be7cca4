"""What a record has come to: its rows without times, what is left of a removed image, and whether it goes on."""

from __future__ import annotations

import hashlib
import json
import re
import shutil
import sqlite3
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import alkit
from alkit.errors import AlkitError
from alkit.labels.masks import mask_png
from alkit.record import Store
from alkit.record.check import check
from alkit.record.repairing import repair
from alkit.report.campaign import campaign_summary

from .worlds import NEW, World

NOT_COMPARED = {"digest", "asked_at", "told_at", "committed_at", "seconds", "due"}
"""Columns that hold times, or depend on them."""

TIME = re.compile(r"\d{4}-\d\d-\d\d[T ]\d\d:\d\d[0-9:+.Z]*")

UNFINISHED = re.compile(
    r"The removal of .*? was begun and is not finished: .*\n|\"unfinished_removals\": \[[^]]*\],\s*"
)
"""What a command says about a removal that goes on."""

TABLES = "queries", "query_terms", "answers", "answer_queries", "pseudo_labels", "rounds", "round_figures", "facts"

COLUMNS = {"answers": "label", "queries": "prelabel", "pseudo_labels": "label", "rounds": "model"}


def state(store: Path) -> dict[str, Any]:
    """Return the rows of a record, without alkit and but for times, and the files that they name."""
    found: dict[str, Any] = {}
    with closing(sqlite3.connect(store)) as connection:
        for table in TABLES:
            cursor = connection.execute(f"SELECT * FROM {table}")
            names = [name for name, *_ in cursor.description]
            rows = [dict(zip(names, row, strict=True)) for row in cursor]
            for row in rows:
                if table == "queries":
                    row["sent_at"] = row["sent_at"] is not None
                for name in NOT_COMPARED & row.keys():
                    del row[name]
            found[table] = (
                {row.pop("name"): plain(json.loads(row["value"])) for row in rows} if table == "facts" else rows
            )
    for row in found["queries"]:
        if row["sizes"] == "[]":  # its image was removed, so nobody is asked
            row["wanted"] = 0
    unread = found["facts"].get("unread") or {}
    unread = {place: [pair for pair in pairs if "was removed" not in pair[1]] for place, pairs in unread.items()}
    found["facts"]["unread"] = {place: pairs for place, pairs in unread.items() if pairs}
    if not found["facts"].get("asked_more"):  # the image that one more person was asked about was removed
        found["facts"].pop("asked_more", None)
    found["facts"].pop("elsewhere", None)  # a repair gives the files another folder
    if "configuration" in found["facts"]:  # the digest is left out if images are missing when another one is removed
        found["facts"]["configuration"]["pool"].pop("content")
    unusable = found["facts"].get("unusable") or {}
    # A process that had listed the folder before the images were saved there says so, until the record is opened again.
    found["facts"]["unusable"] = {id: why for id, why in unusable.items() if id not in NEW}
    return found


def plain(value: Any) -> Any:
    """Return a value without times, in one order."""
    match value:
        case dict():
            return {name: plain(own) for name, own in sorted(value.items()) if name != "seconds"}
        case list():
            own = [plain(entry) for entry in value]
            return sorted(own, key=repr) if own and isinstance(own[0], dict) and "changed" in own[0] else own
        case str():
            return TIME.sub("T", value)
    return value


def told(value: Any) -> str:
    """Return what a step returned as a text that can be compared."""
    text = json.dumps(value, default=str, sort_keys=True) if not isinstance(value, str) else value
    text = UNFINISHED.sub("", TIME.sub("T", text))
    return re.sub(r'"(seconds|hours|fit|evaluate|select)": [\d.e-]+|\d+\.\d MB|\d+ bytes|in \d+\.\d+ s', "N", text)


def label_files(world: World) -> set[str]:
    """Return the names of the labels in the folder of files."""
    folder = world.root / "files" if world.elsewhere else world.store.with_name(f"{world.store.name}.files")
    return {path.name for path in folder.rglob("*") if path.suffix in (".png", ".txt", ".json")}


def named_files(found: dict[str, Any]) -> set[str]:
    """Return the names of the label files that the rows of a record name."""
    every = {row[column] for table, column in COLUMNS.items() for row in found[table]}
    return {name for name in every if name and not name.endswith(".model")}


def left_of(world: World, id: str, before: set[str], found: dict[str, Any]) -> Iterator[str]:
    """Yield what the record has of an image that was removed. Its pixels are decoded again while its file is there.

    Metrics of earlier rounds stay, such as those of its kind.

    Parameters
    ----------
    before:
        Names of the label files of the image before the steps.
    """
    words = re.compile(rb"(?<!@)(?:patient|patient-new|kind|who|why)-" + id.encode() + rb"(?![0-9])")
    others = named_files(found)
    before = before | {_name_of(world.label(id, number)) for number in range(12)}
    for file in (world.root / "record").rglob("*"):
        content = file.read_bytes() if file.is_file() else b""
        if found_word := words.search(content):
            yield f"{found_word[0].decode()} in {file.name}"
        for name in before - others:
            if name.encode() in content:
                yield f"the name of its label in {file.name}"
    for name in label_files(world) & (before - others):
        yield f"its label {name[:8]}"


def _name_of(label: Any) -> str:
    """Return the name of the file of a label."""
    content = b"%d" % label if isinstance(label, int) else mask_png(label)
    return f"{hashlib.sha256(content).hexdigest()}.{'txt' if isinstance(label, int) else 'png'}"


def labels_of(found: dict[str, Any], id: str) -> set[str]:
    """Return the names of the label files of an image."""
    every = (row[column] for table, column in COLUMNS.items() for row in found[table] if row.get("id") == id)
    return {name for name in every if name}


def damage_of(world: World) -> Iterator[str]:
    """Yield what a check finds."""
    store = Store(world.store, read_only=True)
    result = check(world.store, files=store.contents)
    store.close()
    yield from (*result.damage, *result.damaged_backups)


def unlike_after_repair(world: World, found: dict[str, Any]) -> Iterator[str]:
    """Yield how a record differs that was repaired without its database."""
    copy = world.root / "without"
    shutil.rmtree(copy, ignore_errors=True)
    shutil.copytree(world.root / "record", copy)
    for name in ("c.db", "c.db-wal", "c.db-shm"):
        (copy / name).unlink(missing_ok=True)
    result = repair(copy / "c.db", copy / "new.db")
    again = state(copy / "new.db")
    yield from (f"repaired: {line}" for line in (*difference(found, again), *result.lost))
    shutil.rmtree(copy)


def goes_on(world: World) -> Iterator[str]:
    """Take a few steps more, and yield what does not work."""
    steps = {
        "open": lambda one: None,
        "top up": lambda one: one.top_up(1) if one.candidates or one.open_ids else None,
        "tell": lambda one: one.tell({id: world.label(id, 11) for id in one.open_ids}, annotator="zoe", revise=True),
        "fit": lambda one: one.fit(wait_for_answers=False),
        "quality": lambda one: one.label_quality(2),
    }
    for name, step in steps.items():
        try:
            with world.opened() as one:
                step(one)
        except AlkitError as reason:
            yield f"{name} afterwards: {type(reason).__name__}: {reason}"
    yield from (f"afterwards: {line}" for line in damage_of(world))


def wrong_figures(world: World) -> Iterator[str]:
    """Yield figures of a summary that differ from own computation on the rows."""
    store = Store(world.store)
    try:
        summary = campaign_summary(store)
        if "declared" not in store.names():
            return
        experiment = alkit.Experiment.open(store)
        removed = set(store.fact("removed") or {})
    finally:
        store.close()
    rows = state(world.store)
    last: dict[tuple[str, str], dict[str, Any]] = {}
    for row in rows["answers"]:
        if row["kind"] == "invalid":
            continue
        key = row["id"], row["annotator"]
        if key not in last or row["revision"] >= last[key]["revision"]:
            last[key] = row
    labelled = {id for (id, _), row in last.items() if row["kind"] == "label" and row["rejected"] is None}
    own = {"labels": len(labelled), "images": len(experiment.pool.ids)}
    said = {
        "labels": summary.labels + sum(summary.unasked.values()),
        "images": rows["facts"]["configuration"]["pool"]["images"],
    }
    if own != said and "reviews" not in rows["facts"]:
        yield f"figures: {said}, computed {own}"
    if removed & set(experiment.pool.ids):
        yield "a removed image is in the pool"
    if rows["facts"].get("images") is not None and sorted(experiment.pool.ids) != sorted(rows["facts"]["images"]):
        yield "the pool differs from the images of the record"


def difference(one: Any, other: Any, where: str = "") -> list[str]:
    """Return the places at which two states differ, with both values.

    >>> difference({"a": [1, 2]}, {"a": [1, 3]})
    ['.a: [2] | [3]']
    """
    if one == other:
        return []
    if isinstance(one, dict) and isinstance(other, dict):
        names = sorted({*one, *other}, key=str)
        return [line for name in names for line in difference(one.get(name), other.get(name), f"{where}.{name}")]
    if isinstance(one, list) and isinstance(other, list):
        left = [entry for entry in one if entry not in other]
        right = [entry for entry in other if entry not in one]
        return [f"{where}: {_short(left)} | {_short(right)}"]
    return [f"{where}: {_short(one)} | {_short(other)}"]


def _short(value: Any) -> str:
    text = str(value)
    return text if len(text) < 300 else f"{text[:300]}..."


def mark(value: Any) -> str:
    """Return a digest of a state."""
    return hashlib.sha256(json.dumps(value, sort_keys=True, default=str).encode()).hexdigest()[:16]
