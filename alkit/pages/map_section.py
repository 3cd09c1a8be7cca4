"""The map of the pool as a drawing, and the kinds of images on it."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence

import numpy as np
import numpy.typing as npt
from markupsafe import Markup, escape

from alkit.pages.campaign import Campaign
from alkit.pages.map import Map, make_map
from alkit.pages.thumbnails import thumbnails
from alkit.pages.words import counted, listed, number, share, short
from alkit.pictures.colours import BLUE, ORANGE, PURPLE, VERMILLION
from alkit.report.blocks import AnyBlock, Gallery, Shot, Vector
from alkit.report.page import Table, Text
from alkit.values.queries import State

Places = npt.NDArray[np.int64]
"""Places in the drawing, ``(n, 2)``."""

WIDTH, HEIGHT, MARGIN = 1000, 640, 24

FREE, LABELLED, OPEN, SKIPPED, REFUSED = (
    "not asked for",
    "labelled",
    "chosen, waits for an answer",
    "skipped",
    "refused",
)

LOOK = {
    FREE: ("#b3bcc7", "dot"),
    LABELLED: (BLUE, "dot"),
    OPEN: (ORANGE, "ring"),
    SKIPPED: (PURPLE, "square"),
    REFUSED: (VERMILLION, "square"),
}
"""Colour and shape of the images in each state, in the order in which they are drawn."""

MOST_NAMED = 400
"""Greatest number of images of a state whose names a mouse shows."""

RARE_COLOUR, KIND_COLOUR = "#8a4b00", "#1d2430"

THUMBNAIL = 112
"""Pixels of the longer side of the picture of a kind."""


def pool_map(campaign: Campaign) -> list[AnyBlock]:
    """Return the blocks of the map; none if it is not wanted."""
    if not campaign.wishes.map:
        return []
    of = campaign.ids, campaign.settings.declared.get("strategy"), len(campaign.snapshot.rounds)
    found = campaign.memory.recall("map", of, lambda: make_map(campaign))
    if isinstance(found, str):
        return [Text(f"There is no map of the pool: {short(found)}.")]
    states = states_of(campaign, found.ids)
    return [Text(_takeaway(found, states)), _drawing(found, states), *_kinds(campaign, found, states)]


def states_of(campaign: Campaign, ids: Sequence[str]) -> dict[str, str]:
    """Return by id the state of each image on the map."""
    told = dict.fromkeys(campaign.labels, LABELLED)
    for standing in campaign.snapshot.standings:
        id = standing.query.id
        if standing.state is State.REJECTED or any(answer.kind == "invalid" for answer in standing.answers):
            told[id] = REFUSED if standing.missing else told.get(id, LABELLED)
        elif standing.state is State.SKIPPED:
            told[id] = SKIPPED
        elif standing.missing:
            told[id] = OPEN
    return {id: told.get(id, FREE) for id in ids}


def _takeaway(found: Map, states: Mapping[str, str]) -> str:
    labelled = Counter(
        kind for id, kind in zip(found.ids, found.kinds.labels.tolist(), strict=True) if states[id] == LABELLED
    )
    none = [kind + 1 for kind in range(found.kinds.k) if not labelled[kind]]
    without = "Each kind has labels."
    if none:
        which = f"kind {none[0]} has" if len(none) == 1 else f"kinds {listed(list(map(str, none)), 12)} have"
        without = f"{which[0].upper()}{which[1:]} no label yet."
    rare = ""
    if found.rare:
        names = listed([str(kind + 1) for kind in found.rare], 12)
        rare = f" Kind {names} is rare." if len(found.rare) == 1 else f" Kinds {names} are rare."
    return f"The pool falls into {found.kinds.k} kinds of images that look alike. {without}{rare}"


def _drawing(found: Map, states: Mapping[str, str]) -> Vector:
    places = (found.places * [WIDTH - 2 * MARGIN, HEIGHT - 2 * MARGIN] + MARGIN).round().astype(int)
    parts = []
    for state, (colour, shape) in LOOK.items():
        rows = [row for row, id in enumerate(found.ids) if states[id] == state]
        if rows:
            named = state != FREE and len(rows) <= MOST_NAMED
            size = _size(len(found.ids)) - (state == FREE)
            parts.append(_marks(found.ids, places, rows, colour, shape, size, named=named))
    parts += list(_numbers(found, places))
    counts = Counter(states.values())
    legend = [(f"{state}: {number(counts[state])}", *LOOK[state]) for state in LOOK if counts[state]]
    legend += [("number of a kind", KIND_COLOUR, "dot"), *([("rare kind", RARE_COLOUR, "dot")] if found.rare else [])]
    alt = f"Map of {counted(len(found.ids), 'image')}: " + ", ".join(f"{state} {n}" for state, n in counts.items())
    caption = (
        f"Each dot is an image. Images that look alike by {found.by} lie close to each other ({found.method}; the axes "
        "have no meaning)."
    )
    return Vector(Markup("").join(parts), WIDTH, HEIGHT, alt, caption, legend)


def _size(images: int) -> float:
    """Return the diameter of a dot: the more images, the smaller.

    >>> _size(100), _size(1000), _size(10_000)
    (12.0, 9.0, 5.0)
    """
    return min(12.0, max(4.0, round(24 * math.sqrt(math.sqrt(300 / max(images, 1)))) / 2))


def _marks(
    ids: Sequence[str], places: Places, rows: Sequence[int], colour: str, shape: str, size: float, *, named: bool
) -> Markup:
    if not named:  # one path for all, which is small and drawn at once
        path = "".join(f"M{places[row, 0]} {places[row, 1]}h0" for row in rows)
        return Markup('<path d="{}" stroke="{}" stroke-width="{}" stroke-linecap="{}" fill="none"/>').format(
            path, colour, size, "square" if shape == "square" else "round"
        )
    look = Markup('fill="none" stroke="{}" stroke-width="3"').format(colour)
    if shape != "ring":
        look = Markup('fill="{}" stroke="#ffffff" stroke-width="1"').format(colour)
    return Markup("").join(_mark(ids[row], (x, y), shape, size + 1, look) for row in rows for x, y in [places[row]])


def _mark(id: str, place: tuple[int, int], shape: str, size: float, look: Markup) -> Markup:
    (x, y), title, half = place, escape(short(id, 80)), size / 2
    if shape == "square":
        return Markup('<rect x="{}" y="{}" width="{}" height="{}" {}><title>{}</title></rect>').format(
            x - half, y - half, size, size, look, title
        )
    radius = half + (1 if shape == "ring" else 0)
    return Markup('<circle cx="{}" cy="{}" r="{}" {}><title>{}</title></circle>').format(x, y, radius, look, title)


def _numbers(found: Map, places: Places) -> Iterator[Markup]:
    for kind in range(found.kinds.k):
        x, y = np.median(places[found.kinds.labels == kind], axis=0).round().astype(int).tolist()
        colour = RARE_COLOUR if kind in found.rare else KIND_COLOUR
        yield Markup(
            '<g><circle cx="{0}" cy="{1}" r="15" fill="{2}" stroke="#ffffff" stroke-width="2"/>'
            '<text x="{0}" y="{3}" text-anchor="middle" font-size="18" font-weight="600" fill="#ffffff">{4}</text></g>'
        ).format(x, y, colour, y + 6, kind + 1)


def _kinds(campaign: Campaign, found: Map, states: Mapping[str, str]) -> Iterator[AnyBlock]:
    labels, rare = found.kinds.labels, set(found.rare)
    counts: dict[int, Counter[str]] = {kind: Counter() for kind in range(found.kinds.k)}
    for id, kind in zip(found.ids, labels.tolist(), strict=True):
        counts[kind][states[id]] += 1
    middle = [
        found.ids[min(np.flatnonzero(labels == kind).tolist(), key=found.kinds.distances.__getitem__)]
        for kind in range(found.kinds.k)
    ]
    assert campaign.pool is not None
    shots = []
    for kind, picture in enumerate(thumbnails(campaign.pool, middle, THUMBNAIL)):
        if (source := campaign.budget.picture(picture)) is not None:
            own = counts[kind]
            lines = [counted(own.total(), "image"), f"{counted(own[LABELLED], 'label')}{', rare' * (kind in rare)}"]
            height, width = picture.shape[:2]
            alt = f"The image in the middle of kind {kind + 1}"
            shots.append(Shot(source, width, height, alt, f"Kind {kind + 1}", lines))
    if shots:
        yield Gallery(shots, "The image in the middle of each kind.")
    shown = [state for state in (LABELLED, OPEN, SKIPPED, REFUSED, FREE) if any(own[state] for own in counts.values())]
    rows = [
        [
            f"{kind + 1}{' (rare)' * (kind in rare)}",
            number(own.total()),
            share(own.total(), len(found.ids)),
            *(number(own[state]) for state in shown),
            share(own[LABELLED], own.total()),
        ]
        for kind, own in counts.items()
    ]
    titles = ["kind", "images", "of the pool", *(state.partition(",")[0] for state in shown), "labelled"]
    yield Table(titles, rows, "Kinds of images, the largest first.")
