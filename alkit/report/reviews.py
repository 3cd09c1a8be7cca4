"""Reviews of labels in a record, and what they found."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal

from alkit.arguments.checked import checked
from alkit.evaluation.agreement import compare_two
from alkit.protocols import Oracle, TakesOutcomes
from alkit.record.label_files import LabelFiles, at_one_size, fit_of
from alkit.record.reviewed import facts_of_reviews
from alkit.record.reviews import Why, answers_to_reviews, asked_again, place_of
from alkit.record.settings import Settings
from alkit.record.states import Recorded
from alkit.record.store import Store, in_one_moment

KEPT = 0.9
"""A label is kept if the second one agrees with it at least so much: by Dice, or by the share of equal decisions."""

Outcome = Literal["kept", "corrected", "rejected"]
"""What a review found: the label is right, is replaced by another one, or the image cannot be labelled."""


@checked
@dataclass(frozen=True, slots=True)
class Review:
    """A label that was asked again.

    Parameters
    ----------
    id, key:
        The image, and the key of the review.
    why:
        Why it was asked again: ``model``, ``disputed`` or ``random``.
    figure:
        The quality of the label by the model, or the agreement of its annotators; None if it was drawn at random.
    shown:
        Whether the first answer was shown.
    asked_at:
        Time at which it was asked, UTC.
    first:
        Names of those who gave the labels before.
    by:
        Who answered the review; None while it is open.
    outcome:
        What it found; None while it is open. If there were several labels, ``kept`` means that all of them were.
    agreement:
        By annotator of a first label, how well the second label agrees with it, in [0, 1]. Empty without a second one.
    reason:
        The reason that the reviewer gave, if the image cannot be labelled.
    """

    id: str
    key: str
    why: Why
    figure: float | None
    shown: bool
    asked_at: str
    first: tuple[str, ...]
    by: str | None = None
    outcome: Outcome | None = None
    agreement: Mapping[str, float] = field(default_factory=dict)
    reason: str = ""


@in_one_moment
def recorded_reviews(store: Store) -> tuple[Review, ...]:
    """Return the reviews of a record, except withdrawn ones, in the order in which they were asked.

    Labels are read only if a second label differs from the first.
    """
    snapshot = store.snapshot()
    if not (reviews := asked_again(snapshot.asked)):
        return ()
    about, given = facts_of_reviews(store), answers_to_reviews(reviews, snapshot.answers)
    by_number = {answer.number: answer for answer in snapshot.answers}
    found = []
    for entry in reviews:
        facts = about.get(place_of(entry.query), {})
        first = [by_number[number] for number in facts.get("first", ()) if number in by_number]
        answers = given[place_of(entry.query)]
        review = Review(
            entry.query.id,
            entry.query.key,
            facts.get("why", "random"),
            facts.get("figure"),
            bool(facts.get("shown")),
            entry.asked_at,
            tuple(answer.annotator for answer in first),
        )
        found.append(_with_answer(review, first, answers[-1], store) if answers else review)
    return tuple(found)


def _with_answer(review: Review, first: Sequence[Recorded], answer: Recorded, store: Store) -> Review:
    facts = {name: getattr(review, name) for name in Review.__dataclass_fields__}
    facts |= {"by": answer.annotator, "reason": answer.reason}
    if answer.kind == "skip":
        return Review(**{**facts, "outcome": "rejected"})
    agreement = {one.annotator: _compare(one, answer, store) for one in first}
    known = {name: value for name, value in agreement.items() if value is not None}
    outcome: Outcome = "kept" if all(value >= KEPT for value in known.values()) else "corrected"
    return Review(**{**facts, "outcome": outcome, "agreement": known, "reason": ""})


def _compare(one: Recorded, other: Recorded, store: Store) -> float | None:
    if one.label is None or other.label is None:
        return None
    if one.label == other.label:
        return 1.0
    settings, files = Settings(store), LabelFiles(store)
    pair = [files.read(one.label), files.read(other.label)]
    working, fit = settings.shape[1:], fit_of(settings.declared.get("pool"))
    both = at_one_size(pair, settings.spec, working, fit) if settings.spec.per == "pixel" else pair
    return compare_two(both[0], both[1], settings.spec)


def tell_annotators(store: Store, oracle: Oracle) -> None:
    """Have an oracle tell those whose labels a review did not keep what became of them; others are not told.

    A label of an image that cannot be labelled is sent back, which its annotator is told in any case.
    """
    if not isinstance(oracle, TakesOutcomes) or not (reviews := recorded_reviews(store)):
        return
    queries = {query.id: query for query in store.queries()}
    for review in reviews:
        for annotator, value in review.agreement.items():
            if review.outcome == "corrected" and value < KEPT and annotator != review.by and review.id in queries:
                oracle.reviewed(queries[review.id], annotator, _about(review, value))


def _about(review: Review, agreement: float) -> str:
    reasons = {
        "model": "a model that was not trained on it disagreed with it",
        "disputed": "the annotators of this image disagreed",
        "random": "it was drawn at random, to check labels",
    }
    by = review.by or "Somebody"
    return (
        f"Your label was looked at again, because {reasons[review.why]}. {by} has labelled the image once more, and "
        f"both labels agree by {agreement:.2f} of 1. You need not do anything.\n"
    )


def in_words(reviews: Sequence[Review]) -> list[str]:
    """Return sentences about reviews and what they found.

    >>> first = Review("a", "r01-0000-a", "model", 0.2, False, "", ("ann",), "ben", "corrected", {"ann": 0.4})
    >>> in_words([first, Review("b", "r01-0001-b", "random", None, False, "", ("ann",))])
    ['2 labels were asked again; 1 is still open. Of the others, 0 were kept, 1 was corrected and 0 were rejected.']
    """
    if not reviews:
        return []
    done = [review for review in reviews if review.outcome is not None]
    counts = {name: sum(review.outcome == name for review in done) for name in ("kept", "corrected", "rejected")}
    left = len(reviews) - len(done)
    asked = f"{_were(len(reviews), 'label', 'labels')} asked again"
    still_open = f"; {left} {'is' if left == 1 else 'are'} still open" if left else ""
    if not done:
        return [f"{asked}, and {'all are' if left > 1 else 'it is'} still open."]
    kinds = [f"{n} {'was' if n == 1 else 'were'} {name}" for name, n in counts.items()]
    found = [f"{asked}{still_open}. Of the others, {kinds[0]}, {kinds[1]} and {kinds[2]}."]
    if not left:
        found = [f"{asked}: {kinds[0]}, {kinds[1]} and {kinds[2]}."]
    if drawn := [review for review in done if review.why == "random"]:
        wrong = sum(review.outcome != "kept" for review in drawn)
        found.append(f"Of {_n(len(drawn), 'label', 'labels')} drawn at random, {wrong} {_was(wrong)} not kept.")
    return found


def _n(n: int, one: str, several: str) -> str:
    return f"{n} {one if n == 1 else several}"


def _was(n: int) -> str:
    return "was" if n == 1 else "were"


def _were(n: int, one: str, several: str) -> str:
    return f"{_n(n, one, several)} {_was(n)}"
