"""Files of a repaired record: intact ones are copied, and what depends on lost ones is taken out of the rows."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from alkit.errors import StoreError
from alkit.record.check import FILES
from alkit.record.files import Files
from alkit.record.places import UnreachableError
from alkit.record.replay import Content, Rows, cluster_files


def drop_lost_files(content: Content, old: Files, new: Files) -> Iterator[str]:
    """Copy intact files elsewhere, change the rows that depend on lost ones, and yield a sentence about each loss.

    An answer whose label is lost becomes invalid, and so do the earlier answers that it replaced.
    """

    def copy(name: str | None) -> bool:
        if name is None:
            return True
        try:
            found = old.read(name)
        except UnreachableError:  # it may be intact
            raise
        except StoreError:
            return False
        stem, dot, suffix = name.partition(".")
        return new.write(found, dot + suffix) == name and bool(stem)

    for row in list(content["answers"].values()):
        if not copy(row["label"]):
            row.update(label=None)
            if row["kind"] == "label":
                row.update(kind="invalid", reason=f"its label {LOST}")
                _drop_replaced(content["answers"], row)
            yield f"a label of {row['id']!r} by {row['annotator']!r}: its file {LOST}"
    for key, row in list(content["pseudo_labels"].items()):
        if not copy(row["label"]):
            del content["pseudo_labels"][key]
            yield f"the pseudo-label of {row['id']!r} of round {row['round']}: its file {LOST}"
    for row in content["queries"].values():
        if not copy(row["prelabel"]):
            row["prelabel"] = None
            yield f"the pre-label of {row['id']!r}: its file {LOST}"
    for fact, name in cluster_files(content["facts"]).items():
        if not copy(name):
            del content["facts"][fact,]
            yield f"the {fact}: their file {LOST}, so they are computed again"
    yield from _drop_lost_models(content, copy)


def named_files(content: Content) -> set[str]:
    """Return the names of the files that rows name."""
    rows = ((row, column) for table, column in FILES.items() for row in content[table].values())
    return {*(str(row[column]) for row, column in rows if row[column]), *cluster_files(content["facts"]).values()}


LOST = "is missing or damaged"


def _drop_replaced(answers: Rows, lost: dict[str, Any]) -> None:
    """Make the earlier answers of an annotator invalid, which a lost one had replaced."""
    for row in answers.values():
        same = (row["id"], row["annotator"]) == (lost["id"], lost["annotator"])
        if same and row["kind"] != "invalid" and row["revision"] < lost["revision"]:
            row.update(kind="invalid", reason=f"revision {lost['revision']} replaced it, whose label {LOST}")


def _drop_lost_models(content: Content, copy: Any) -> Iterator[str]:
    rounds = content["rounds"]
    last = max(rounds, default=None)
    for key, row in rounds.items():  # an earlier version of a round's row may name a model that was deleted later
        if key != last and row["model"] is not None and not copy(row["model"]):
            row["model"] = None
            if ("keep",) in content["facts"]:
                yield f"the model of round {key[0]}: its file {LOST}"
    if last is not None and (rounds[last]["model"] is None or not copy(rounds[last]["model"])):
        yield f"the model of round {last[0]}: its file {LOST}, so all rounds are deleted; the next fit trains again"
        rounds.clear()
        for row in content["answers"].values():
            row.update(used_from=None, used_until=None)
