"""What a record knows about images before an answer: the sizes of masks, the queries, and the answers so far."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable

from alkit.record.columns import storable_text
from alkit.record.reviews import answered_review, asked_again, corrected_review
from alkit.record.revisions import EARLIEST, UNKNOWN, revision_at
from alkit.record.states import Asked, Recorded, latest
from alkit.record.store import Store
from alkit.values.answers import Answer
from alkit.values.label_spec import Size

FEW = 50
"""Number of images whose sizes are looked up one by one; if there are more, all sizes are read."""


class Sizes:
    """The sizes that masks of images may have: looked up one by one, or all at once if there are many."""

    def __init__(self, store: Store) -> None:
        self._store, self._found = store, dict[str, tuple[Size, ...]]()
        self._everything = False

    def of(self, id: str) -> tuple[Size, ...]:
        """Return the sizes that a mask of an image may have; empty if it was never asked."""
        if storable_text(id) != id:
            return ()  # SQLite cannot look such an id up, and no image of a record has one
        if id not in self._found and not self._everything:
            if len(self._found) < FEW:
                self._found[id] = self._store.sizes_of([id]).get(id, ())
            else:
                self._found, self._everything = self._store.sizes_of(None), True
        return self._found.get(id, ())


class Earlier:
    """The queries and answers of some images before an answer."""

    def __init__(self, asked: Iterable[Asked], known: Iterable[Recorded]) -> None:
        self.prelabels: dict[str, list[str]] = defaultdict(list)  # files by image
        self._told: dict[str, dict[str, list[Recorded]]] = defaultdict(lambda: defaultdict(list))
        self.asked: dict[str, list[Asked]] = defaultdict(list)  # queries by image
        for entry in asked:
            self.asked[entry.query.id].append(entry)
            if entry.prelabel is not None:
                self.prelabels[entry.query.id].append(entry.prelabel)
        for answer in known:
            self.add(answer)

    def add(self, answer: Recorded) -> None:
        """Add another answer."""
        self._told[answer.id][answer.annotator].append(answer)

    def of(self, id: str, annotator: str) -> list[Recorded]:
        """Return an annotator's answers to an image in the order of their recording."""
        return self._told[id][annotator]

    def all_of(self, id: str) -> list[Recorded]:
        """Return all answers to an image."""
        return [answer for answers in self._told[id].values() for answer in answers]

    def review(self, answer: Answer, draft: Recorded, again: bool) -> Asked | None:
        """Return the open review that an answer is for; None if it is for another query.

        An answer that names no query is for a review if it is new since that was asked: a file that is copied, or
        exported again, repeats earlier answers with a later time.

        Parameters
        ----------
        draft:
            The answer as it will be recorded.
        again:
            Whether it equals the annotator's current answer.
        """
        asked = self.asked.get(draft.id, ())
        if draft.kind not in ("label", "skip") or not asked_again(asked):
            return None
        review = answered_review(answer.query, draft.annotator, asked, self.all_of(draft.id))
        if review is None or answer.query or draft.revision == UNKNOWN:
            return review
        since, last = revision_at(review.asked_at), self.last(draft.id, draft.annotator)
        if draft.revision < EARLIEST:
            since = -1 if last is None else last.revision + 1
        is_copy = again and (answer.exported or draft.revision >= EARLIEST)
        return None if draft.revision < since or is_copy else review

    def corrected(self, answer: Answer, draft: Recorded, last: Recorded) -> Asked | None:
        """Return the review whose answer, the `last` of its annotator, the draft replaces; None if there is none."""
        if draft.kind not in ("label", "skip") or draft.revision <= last.revision:
            return None
        return corrected_review(answer.query, last, self.asked.get(draft.id, ()))

    def last(self, id: str, annotator: str) -> Recorded | None:
        """Return the annotator's valid answer with the greatest revision."""
        return latest(self._told[id][annotator]).get(id, {}).get(annotator)
