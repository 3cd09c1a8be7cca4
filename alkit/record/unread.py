"""What was not taken at the last reading of each place: answers that cannot be recorded, and files that are not read.

The record keeps it so that ``alkit status`` can list it until it is resolved. An invalid answer to a query is an answer
in the record, and not listed here.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from alkit.record.store import Store

UNREAD = "unread"
"""Name of the record's fact."""

MOST = 100
"""Greatest number of entries that are kept of a place; the others are counted."""


@dataclass(frozen=True, slots=True)
class Unread:
    """An answer or a file that was not taken.

    Parameters
    ----------
    place:
        Where it was found: a file, a folder, or a project of a service.
    what:
        Path of the file, or id of the image.
    reason:
        Reason in words.
    """

    place: str
    what: str
    reason: str


def list_unread(store: Store) -> tuple[Unread, ...]:
    """Return what was not taken at the last reading of each place."""
    found: Mapping[str, list[list[str]]] = store.fact(UNREAD) or {}
    return tuple(Unread(place, what, why) for place, reasons in found.items() for what, why in reasons)


def save_unread(store: Store, place: str, reasons: Sequence[tuple[str, str]]) -> None:
    """Record what was not taken at this reading of a place, in place of an earlier reading.

    Places that were files and no longer exist are forgotten.

    Parameters
    ----------
    place:
        Name of the place; an absolute path if it is a file or a folder.
    reasons:
        Pairs of a path, or the id of an image, and a reason.
    """
    kept = [list(pair) for pair in reasons[:MOST]]
    if more := len(reasons) - len(kept):
        kept.append([f"and {more} more", "see alkit tell"])

    def change(before: Mapping[str, list[list[str]]] | None) -> dict[str, list[list[str]]] | None:
        places = {name: own for name, own in (before or {}).items() if name != place and not _is_gone(name)}
        return {**places, **({place: kept} if kept else {})} or None

    store.revise(UNREAD, change)


def _is_gone(place: str) -> bool:
    return Path(place).is_absolute() and not Path(place).exists()
