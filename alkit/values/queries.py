"""A query and its states."""

from __future__ import annotations

import re
from dataclasses import dataclass
from enum import StrEnum

from alkit.values.label_spec import Size


@dataclass(frozen=True, slots=True)
class Query:
    """One image that is to be labelled.

    Parameters
    ----------
    id:
        The image's id.
    round:
        The round that asks; the start set is round 0.
    rank:
        0 is the most wanted of its round.
    sizes:
        The heights and widths a mask may have: the original size and the working size.
    score:
        The strategy's acquisition score, higher is more wanted; None where it has none.
    stands_for:
        Why this image, in words: what it represents, or where the strategy does not say, which strategy chose it.
    wanted:
        How many annotators are to label it.

    Examples
    --------
    >>> Query("ward 3/0017", round=2, rank=4, sizes=((64, 64),)).key
    'r02-0004-ward_3_0017'
    """

    id: str
    round: int
    rank: int
    sizes: tuple[Size, ...]
    score: float | None = None
    stands_for: str = ""
    wanted: int = 1

    @property
    def key(self) -> str:
        """A name that no other query of the record has, fit for a file: round, rank, and what is left of the id."""
        return f"r{self.round:02}-{self.rank:04}-{re.sub(r'[^A-Za-z0-9.-]+', '_', self.id)[:80]}"


class State(StrEnum):
    """What has become of a query. It is read off the record and stored nowhere."""

    PENDING = "pending"
    """Chosen; no oracle was handed it yet."""
    ASKED = "asked"
    """Handed to an oracle; nobody has answered, or what was answered was invalid or taken back."""
    PARTIAL = "partial"
    """Some of the annotators wanted have answered."""
    ANSWERED = "answered"
    """All have; no model was trained on it yet."""
    CONSUMED = "consumed"
    """The last model was trained on it, or measured by it, as it is."""
    STALE = "stale"
    """A model was trained on an answer that was revised since."""
    SKIPPED = "skipped"
    """All have, and nobody gave a label."""
    REJECTED = "rejected"
    """Sent back to an annotator with a reason, and not answered anew."""
    CANCELLED = "cancelled"
    """Withdrawn without a label."""
