"""What a page of a campaign shows, gathered from its record without changing it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime
from functools import cached_property
from typing import Any, TypeVar

from alkit.configuration.construct import build
from alkit.configuration.forms import Written
from alkit.errors import AlkitError
from alkit.pages.budget import MOST, Budget
from alkit.protocols import Learner, Pool
from alkit.record.changing import PLACE
from alkit.record.described import described_images, has_far_more_files
from alkit.record.settings import Settings
from alkit.record.snapshot import Snapshot
from alkit.record.states import Recorded
from alkit.record.store import Store
from alkit.report.campaign import campaign_summary
from alkit.report.next_step import Step, next_step
from alkit.report.summary import CampaignSummary
from alkit.values.label_spec import LabelSpec

T = TypeVar("T")

Words = Callable[[str], str]
"""Rewrites a sentence of a record in the words of the interface in use."""


def same(sentence: str) -> str:
    """Return a sentence as it is."""
    return sentence


@dataclass(frozen=True, eq=False)
class Wishes:
    """What the reader of a page wants.

    Parameters
    ----------
    worst:
        Number of images that the last model predicts worst; 0 for none, and then the model is not loaded.
    map:
        Whether a map of the pool is drawn.
    pictures:
        Whether pictures of images are on the page.
    pool:
        Written form of the pool, if its images have moved; None for that of the record.
    learner:
        The learner of the models, if the record cannot rebuild it.
    """

    worst: int = 6
    map: bool = True
    pictures: bool = True
    pool: Written | None = None
    learner: Learner | None = None


class Memory:
    """What took long to make for a page, for the next page: of each kind the latest one, with what it depends on."""

    def __init__(self) -> None:
        self._known: dict[str, tuple[object, Any]] = {}

    def recall(self, kind: str, of: object, make: Callable[[], T]) -> T:
        """Return what was made of this kind before, or make it if it depends on something else now.

        >>> memory = Memory()
        >>> [memory.recall("map", of, lambda: made) for of, made in ((1, "a"), (1, "b"), (2, "c"))]
        ['a', 'a', 'c']
        """
        if kind not in self._known or self._known[kind][0] != of:
            self._known[kind] = of, make()
        known: T = self._known[kind][1]
        return known

    def forget(self, kind: str) -> None:
        """Let it be made again the next time."""
        self._known.pop(kind, None)


@dataclass(frozen=True, eq=False)
class Campaign:
    """A campaign at one moment.

    Parameters
    ----------
    record:
        Its record.
    name:
        Name of the record, as it is typed in commands.
    now:
        Present time, with the time zone in which times are shown.
    summary:
        What ``alkit status`` shows.
    snapshot:
        The queries and answers that belong to it.
    wishes:
        What the page shall have.
    words, left_out:
        Rewrite warnings of rounds, and reasons of images that are left out, in the words of the interface in use.
    budget:
        Bytes that are left for pictures.
    memory:
        What an earlier page of this campaign has made.
    """

    record: Store
    name: str
    now: datetime
    summary: CampaignSummary
    snapshot: Snapshot
    wishes: Wishes = field(default_factory=Wishes)
    words: Words = same
    left_out: Words = same
    budget: Budget = field(default_factory=Budget)
    memory: Memory = field(default_factory=Memory, repr=False)

    @cached_property
    def settings(self) -> Settings:
        """The settings of the record."""
        return Settings(self.record)

    @cached_property
    def spec(self) -> LabelSpec | None:
        """The classes; None before they are known."""
        return None if self.record.fact("classes") is None else self.settings.spec

    @cached_property
    def labels(self) -> dict[str, tuple[Recorded, ...]]:
        """The labels that count, by id."""
        return {id: answered.labels for id, answered in self.snapshot.known.items() if answered.labels}

    @cached_property
    def _pool(self) -> Pool | str:
        form = self.wishes.pool or self.settings.declared.get("pool")
        if form is None:
            return "no images are declared yet"
        if self.wishes.pool is None and has_far_more_files(form, self.record.fact("images") or {}):
            return "their folder has far more files than the record describes, and nobody has named it"

        def make() -> Pool | str:
            try:
                found = build(form, "pool")
            except AlkitError as reason:
                return f"the images cannot be read ({str(reason).partition('. Try:')[0].rstrip('.')})"
            return found if isinstance(found, Pool) else "the pool of the record is not a pool"

        found = self.memory.recall("pool", (form, self.record.fact("images")), make)
        if isinstance(found, str):
            self.memory.forget("pool")  # they may be back
        return found

    @property
    def pool(self) -> Pool | None:
        """The images; None if they cannot be read."""
        return None if isinstance(self._pool, str) else self._pool

    @property
    def why_no_pool(self) -> str:
        """Why the images cannot be read, as a clause; empty if they can."""
        return self._pool if isinstance(self._pool, str) else ""

    @cached_property
    def ids(self) -> tuple[str, ...]:
        """Sorted ids of the images of the campaign that can be read.

        They have the content that the record describes. The page of a record that a stranger wrote shows no images of
        a folder that the stranger has not seen.
        """
        return () if self.pool is None else described_images(self.record, self.pool)

    @property
    def step(self) -> Step:
        """The next step."""
        placed, scheduled = self.record.fact(PLACE) is not None, self.settings.schedule is not None
        return next_step(self.summary, self.name, scheduled=scheduled, placed=placed)


def gather(
    record: Store,
    name: str,
    wishes: Wishes | None = None,
    *,
    words: Words = same,
    left_out: Words = same,
    memory: Memory | None = None,
) -> Campaign:
    """Return the campaign in an open record, as it is now."""
    return Campaign(
        record,
        name,
        datetime.now().astimezone(),
        campaign_summary(record),
        record.snapshot(),
        wishes or Wishes(),
        words,
        left_out,
        budget=Budget(MOST if wishes is None or wishes.pictures else 0),
        memory=memory or Memory(),
    )
