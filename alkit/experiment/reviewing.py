"""Choose labels to look at again, and ask for them as reviews."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from alkit.checks import check_integer
from alkit.errors import ConfigurationError, QueryError
from alkit.experiment.out_of_fold import label_qualities, never_reviewed_by_model
from alkit.experiment.parts import Parts, next_round
from alkit.labels.framing import enlarge
from alkit.pools.frames import frames_of
from alkit.pools.sizes import mask_sizes
from alkit.record.reviewed import REVIEWS, facts_of_reviews
from alkit.record.reviews import Why, answers_to_reviews, asked_again, place_of
from alkit.record.snapshot import Snapshot
from alkit.record.states import Answered, Recorded
from alkit.report.annotators import recorded_agreement
from alkit.values.label_spec import Label, Size
from alkit.values.people import check_name
from alkit.values.progress import Progress
from alkit.values.queries import Query

SHARE = 5
"""One of so many reviews is drawn at random by default."""


@dataclass(frozen=True, slots=True)
class Chosen:
    """An image to ask again, why, and a figure that belongs to the reason: the quality, or the agreement."""

    id: str
    why: Why
    figure: float | None = None


def review(parts: Parts, n: int, folds: int, random: int | None, by: str, *, show_first: bool) -> tuple[str, ...]:
    """Choose `n` labels, and record reviews of them: see :meth:`alkit.Experiment.review`."""
    check_integer("n", n, least=1)
    random = n // SHARE if random is None else check_integer("random", random, least=0)
    if random > n:
        raise ConfigurationError("random must be <= n", got=f"random={random}, n={n}")
    if by:
        check_name(by)
    with parts.store.exclusive():
        parts.settings.agreed.check()
        with parts.store.moment():  # answers may arrive meanwhile
            snapshot, known = parts.store.snapshot(), parts.known()
        # A call that was killed before its reviews were sent is completed by the same call.
        unsent = tuple(entry.query.id for entry in snapshot.open_reviews if entry.sent_at is None)[:n]
        n, random = n - len(unsent), max(0, random - sum(_why(parts, id) == "random" for id in unsent))
        if not n:
            return unsent
        able = _able(parts, snapshot, known)
        if n > len(able):
            raise QueryError(
                f"cannot review {n}{' more' if unsent else ''} labels: only {len(able)} can be asked again",
                got=f"{len(known)} labelled images",
                hint="a smaller n; images with an open query or review, and labels that were reviewed, are left out",
            )
        chosen = _choose(parts, able, n, folds, min(random, n))
        _record(parts, snapshot, known, chosen, by, show_first=show_first)
    parts.report(Progress("ask", n, n))
    return (*unsent, *(entry.id for entry in chosen))


def _why(parts: Parts, id: str) -> str:
    """Return why an image is being reviewed."""
    about = facts_of_reviews(parts.store)
    entries = (entry for entry in parts.store.snapshot().open_reviews if entry.query.id == id)
    return next((str(about.get(place_of(entry.query), {}).get("why")) for entry in entries), "")


def _able(parts: Parts, snapshot: Snapshot, known: Mapping[str, Answered]) -> list[str]:
    """Return the labelled images that can be asked again, sorted: no query is open, and the label was not reviewed."""
    reviews, about = asked_again(snapshot.asked), facts_of_reviews(parts.store)
    given = answers_to_reviews(reviews, snapshot.answers)
    seen: dict[str, set[int]] = {}
    for entry in reviews:
        place = place_of(entry.query)
        numbers = {*about.get(place, {}).get("first", ()), *(answer.number for answer in given[place])}
        if given[place]:
            seen.setdefault(entry.query.id, set()).update(numbers)
    still_open = {entry.query.id for entry in (*snapshot.open, *snapshot.open_reviews)}
    return sorted(
        id
        for id, own in known.items()
        if own.labels and id not in still_open and not {answer.number for answer in own.labels} <= seen.get(id, set())
    )


def _choose(parts: Parts, able: Sequence[str], n: int, folds: int, random: int) -> list[Chosen]:
    """Return the images to ask again, in an order that tells nothing about the reasons."""
    stream = parts.stream.child("review", "ranks", sum(1 for _ in facts_of_reviews(parts.store)))
    rng = stream.numpy()
    drawn = [able[row] for row in rng.permutation(len(able))]
    chosen = {id: Chosen(id, "random") for id in drawn[:random]}
    found = recorded_agreement(parts.store)
    disputes = set(found.disputed) & set(able)
    agreement = {image.id: image.agreement for image in found.images if image.id in disputes}
    disputed = [id for id in agreement if id not in chosen]
    by_model: list[str] = []
    quality: Mapping[str, float] = {}
    if n - len(chosen) > 0:
        quality = label_qualities(parts, folds)
        never = never_reviewed_by_model(parts, able)
        by_model = [id for id in quality if id in set(able) - never and id not in chosen]
    for id in disputed[: (n - len(chosen) + 1) // 2]:
        chosen[id] = Chosen(id, "disputed", agreement[id])
    for id in [id for id in by_model if id not in chosen][: n - len(chosen)]:
        chosen[id] = Chosen(id, "model", quality[id])
    for id in [id for id in disputed if id not in chosen][: n - len(chosen)]:
        chosen[id] = Chosen(id, "disputed", agreement[id])
    for id in [id for id in drawn if id not in chosen][: n - len(chosen)]:
        chosen[id] = Chosen(id, "random")
    everything = list(chosen.values())
    return [everything[row] for row in rng.permutation(len(everything))]


def _record(
    parts: Parts,
    snapshot: Snapshot,
    known: Mapping[str, Answered],
    chosen: Sequence[Chosen],
    by: str,
    *,
    show_first: bool,
) -> None:
    ids = [entry.id for entry in chosen]
    number = next_round(snapshot.rounds)
    rank = parts.store.count_ranks(number)
    sizes = mask_sizes(parts.pool, ids)
    queries: list[Query] = []
    about: dict[str, dict[str, Any]] = {}
    shown: dict[int, str] = {}
    for position, (entry, allowed) in enumerate(zip(chosen, sizes, strict=True)):
        labels = known[entry.id].labels
        # Two labels that differ are not shown: one of them would seem to be the right one.
        first = labels[0] if show_first and len({answer.label for answer in labels}) == 1 else None
        meaning = _meaning(parts, entry, first)
        assigned = (by,) if by else ()
        query = Query(entry.id, number, rank + position, allowed, None, meaning, 1, "review", assigned)
        queries.append(query)
        about[place_of(query)] = {
            "why": entry.why,
            "figure": entry.figure,
            "shown": first is not None,
            "first": [answer.number for answer in labels],
        }
        if first is not None and first.label is not None and parts.settings.spec.per == "pixel":
            shown[query.rank] = _prelabel(parts, entry.id, first.label, allowed)
    now = {REVIEWS: lambda before: {**(before or {}), **about}}
    parts.store.add_queries(queries, parts.store.pseudo_labels(number), shown, now)


def _meaning(parts: Parts, entry: Chosen, first: Recorded | None) -> str:
    """Return what the annotators read about a review: nothing about the label, unless it is shown to them."""
    if first is None:
        return "asked again"
    reason = {
        "model": f"a model that was not trained on its label disagrees with it (quality {entry.figure or 0:.2f} of 1)",
        "disputed": f"its annotators disagree (agreement {entry.figure or 0:.2f} of 1)",
        "random": "drawn at random, to check labels",
    }[entry.why]
    if parts.settings.spec.per == "image" and first.label is not None:
        return f"asked again: {reason}; the first answer was {_names(parts, parts.files.read(first.label))}"
    return f"asked again: {reason}; the pre-label is the first answer"


def _names(parts: Parts, label: Label) -> str:
    spec = parts.settings.spec
    if not spec.multiple:
        return repr(spec.classes[int(label)])
    return ", ".join(repr(name) for name, value in zip(spec.classes, label, strict=True) if value == 1) or "none"


def _prelabel(parts: Parts, id: str, file: str, sizes: Sequence[Size]) -> str:
    """Return the file of a first label at the original size of its image."""
    mask = parts.files.read(file)
    if mask.shape == sizes[0]:
        return file
    (frame,) = frames_of(parts.pool, [id])
    return parts.files.keep(enlarge(mask, frame, parts.settings.spec))
