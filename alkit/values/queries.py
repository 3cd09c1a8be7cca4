"""A query and its states."""

from __future__ import annotations

import re
from dataclasses import dataclass
from enum import StrEnum
from typing import Literal
from unicodedata import normalize

from alkit.arguments.checked import checked
from alkit.checks import check_integer
from alkit.errors import ConfigurationError
from alkit.values.label_spec import Size

LONGEST = 160
"""Greatest number of bytes of an image's name in a key. Names of files have at most 255 bytes on most systems."""


Purpose = Literal["train", "audit", "review"]
"""What a query is for."""


@checked
@dataclass(frozen=True, slots=True)
class Query:
    """A query: one image to be labelled.

    Parameters
    ----------
    id:
        Id of the image.
    round:
        Number of the round of the query; the start set is round 0.
    rank:
        Rank in the round; 0 is the most wanted image.
    sizes:
        Sizes (height, width) that the mask may have: the original size and the working size. Empty if each image has
        one class.
    score:
        The strategy's acquisition score, higher is more wanted; None if there is none.
    stands_for:
        Reason for the selection, in words: what the image represents; or, if the strategy does not say, the name of
        the strategy.
    wanted:
        Number of annotators who shall label the image.
    purpose:
        What its label is for: ``"train"``; ``"audit"``, to measure models, which are never trained on it; or
        ``"review"``, to check a label that is there already. Annotators are not told.
    assigned:
        Names of the annotators it is assigned to; empty: anybody may answer it.
    due:
        Time, UTC, after which somebody else is asked; None if there is none.

    Raises
    ------
    ConfigurationError
        A number is out of range.

    Examples
    --------
    >>> Query("ward 3/0017", round=2, rank=4, sizes=((64, 64),)).key
    'r02-0004-ward_3_0017'
    >>> Query("Größe 7", round=0, rank=1, sizes=((64, 64),)).keys
    ('r00-0001-Größe_7', 'r00-0001-Gr_e_7')
    """

    id: str
    round: int
    rank: int
    sizes: tuple[Size, ...]
    score: float | None = None
    stands_for: str = ""
    wanted: int = 1
    purpose: Purpose = "train"
    assigned: tuple[str, ...] = ()
    due: str | None = None

    def __post_init__(self) -> None:
        if min(self.round, self.rank, self.wanted - 1) < 0:
            for name, least in (("round", 0), ("rank", 0), ("wanted", 1)):
                check_integer(name, getattr(self, name), least=least)
        if any(side < 1 for size in self.sizes for side in size):
            raise ConfigurationError("sizes must be pairs of a height and a width >= 1", got=self.sizes)

    @property
    def key(self) -> str:
        """Unique name of the query in its record, valid as a file name: round, rank, and the id's plain characters."""
        plain = re.sub(r"[^\w.-]+", "_", normalize("NFC", self.id))[:80]
        return self._start + plain.encode()[:LONGEST].decode(errors="ignore")

    @property
    def keys(self) -> tuple[str, ...]:
        """The key, and the key of version 0.1, in which letters other than a to z were underscores, if it differs."""
        former = self._start + re.sub(r"[^A-Za-z0-9.-]+", "_", self.id)[:80]
        return tuple(dict.fromkeys((self.key, former)))

    @property
    def _start(self) -> str:
        return f"r{self.round:02}-{self.rank:04}-"


class State(StrEnum):
    """State of a query. It is derived from the record, not stored."""

    PENDING = "pending"
    """Selected, but not sent to an oracle yet."""
    ASKED = "asked"
    """Sent to an oracle; there is no answer yet, or the answer was invalid or taken back."""
    PARTIAL = "partial"
    """Some of the wanted annotators have answered."""
    ANSWERED = "answered"
    """All wanted annotators have answered; no model has used the answers yet."""
    CONSUMED = "consumed"
    """The last model was trained or evaluated on the current answers."""
    STALE = "stale"
    """The last model was trained on an answer that has been revised since."""
    SKIPPED = "skipped"
    """All wanted annotators have answered, and none gave a label."""
    REJECTED = "rejected"
    """Sent back to an annotator with a reason, and not answered again yet."""
    CANCELLED = "cancelled"
    """Withdrawn without a label."""
