"""The audit set of a record: images drawn at random from the pool, on which models are measured and never trained."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from alkit.record.changing import GROUPS
from alkit.record.store import Store

AUDIT = "audit"
"""Name of the fact that holds the draws of the audit set, and near-duplicates of its images; without it, there is none.
"""


@dataclass(frozen=True)
class AuditSet:
    """The images of an audit set.

    Parameters
    ----------
    ids:
        Their ids, in the order in which they were drawn.
    of:
        Number of images that they were drawn from.
    near:
        Ids of images that are nearly identical to one of them, as far as they were compared.
    compared:
        Whether all images of the pool were compared with them.
    round:
        Number of the next round when images were drawn for the last time.
    later:
        How many of them were added when models had been trained, so they were drawn from fewer images than the others.
    """

    ids: tuple[str, ...] = ()
    of: int = 0
    near: frozenset[str] = frozenset()
    compared: bool = False
    round: int = 0
    later: int = 0


def audit_from(fact: Any) -> AuditSet:
    """Return the audit set of a fact, which may be None.

    >>> draws = [{"at": "2026-01-01", "round": 0, "of": 9, "ids": ["b"]}]
    >>> draws.append({"at": "2026-02-01", "round": 3, "of": 8, "ids": ["a"]})
    >>> audit_from({"draws": draws, "near": ["c"], "compared": False})
    AuditSet(ids=('b', 'a'), of=9, near=frozenset({'c'}), compared=False, round=3, later=1)
    """
    if fact is None:
        return AuditSet()
    draws, near = fact["draws"], frozenset(fact["near"])
    ids = tuple(id for draw in draws for id in draw["ids"])
    of = max((draw["of"] for draw in draws), default=0)
    later = sum(len(draw["ids"]) for draw in draws[1:] if draw["round"] > 0)
    return AuditSet(ids, of, near, fact["compared"], draws[-1]["round"] if draws else 0, later)


def recorded_audit(store: Store) -> AuditSet:
    """Return the audit set of a record; an empty one if there is none."""
    return audit_from(store.fact(AUDIT))


def compare_again(store: Store) -> None:
    """Have the pool compared with the audit set once more, because it has images that were not compared."""
    if recorded_audit(store).compared:
        store.revise(AUDIT, lambda before: before and uncompared(before))


def uncompared(fact: Mapping[str, Any]) -> dict[str, Any]:
    """Return the fact of an audit set that not all images of the pool were compared with."""
    return {**fact, "compared": False}


def kept_apart(store: Store, ids: Sequence[str], groups: Mapping[str, str] | None = None) -> frozenset[str]:
    """Return those of some images that are never trained on: the audit set, and what belongs to one of its images.

    These are images of one group with an image of the audit set, and near-duplicates.

    Parameters
    ----------
    groups:
        Group of each image. Default: that in the record.
    """
    audit = recorded_audit(store)
    if not audit.ids:
        return frozenset()
    if groups is None:
        groups = {id: entry[0] for id, entry in (store.fact(GROUPS) or {}).items()}
    of_audit = {groups.get(id, id) for id in audit.ids}
    drawn = audit.near.union(audit.ids)
    return frozenset(id for id in ids if id in drawn or groups.get(id, id) in of_audit)
