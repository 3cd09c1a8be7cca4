"""The form of the facts in a record, which a stranger may have written with right digests."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from typing import Any

from alkit.checks import is_number
from alkit.values.people import MOST_DAYS, is_name

PEOPLE, HANDED_ON = "people", "handed_on"
"""Names of the facts that hold who labels the images, and which queries went from one person to another."""

QUEUE = "queue"
"""Name of the fact that holds how many images were to be open when queries were topped up last."""

CODE = "code"
"""Name of the fact that holds digests of the user's code behind each part, by address, and versions of its packages."""

PARAMETERS = "parameters"
"""Name of the fact that holds how parameters of a living object differ from those recorded, by their names."""

PIXELS = "pixels"
"""Name of the fact that holds the type of the pool's pixels before they are scaled, by its text in NumPy, or None."""

HELD_OUT_LABELS = "held_out_labels"
"""Name of the fact that holds by image a digest of the held-out label that the last round was measured by."""

INSTRUCTIONS = "instructions"
"""Name of the fact that holds what the lead of a campaign tells the annotators."""

MEASURES = ("metrics", "meanings", "directions")
"""Names of the facts that say what models are measured by: see :mod:`alkit.evaluation.meanings`."""

MOST_THREADS = 1024
"""Greatest number of threads that a record may ask for."""


def has_form(name: str, value: Any) -> bool:
    """Return whether a fact has the form in which alkit writes it, as far as other modules rely on it.

    >>> has_form("threads", 2), has_form("threads", [2]), has_form("threads", 10**9)
    (True, False, False)
    >>> has_form("campaign", "\\ud800")
    False
    """
    return (name not in _FORMS or _FORMS[name](value)) and (name not in _SHOWN or _is_shown(value))


_SHOWN = ("campaign", INSTRUCTIONS, "classes", "groups", "audit", "reviews", "disputes", PEOPLE, HANDED_ON)
"""Names of the facts that are written to files and pages, none of which holds the path of a file."""


def _is_shown(value: Any) -> bool:
    """Whether all text in a fact can be written to a file."""
    try:
        json.dumps(value, ensure_ascii=False).encode()
    except UnicodeEncodeError:  # half of a pair, which JSON can hold
        return False
    return True


def _is_integer(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool)


def _is_configuration(value: Any) -> bool:
    pool = value.get("pool") if isinstance(value, dict) else None
    sizes = ("images", "channels", "height", "width")
    return isinstance(pool, dict) and all(_is_integer(pool.get(size)) for size in sizes) and _has_terms(value)


def _is_declared(value: Any) -> bool:
    needed = {"pool", "learner", "strategy", "initial", "terms"}
    return isinstance(value, dict) and needed <= value.keys() and _has_terms(value)


def _has_terms(value: dict[str, Any]) -> bool:
    """Whether the terms, if there are any, are a written form with a share of held-out answers."""
    if "terms" not in value:
        return True
    terms = value["terms"]
    given = terms.get("with") if isinstance(terms, dict) else None
    if not isinstance(given, dict) or terms.get("is") not in ("alkit.record:Terms", "alkit.settings:Terms"):
        return False
    share = given.get("hold_out", 0.0)
    return isinstance(share, int | float) and not isinstance(share, bool) and 0 <= share < 1


def _is_texts(value: Any) -> bool:
    return isinstance(value, dict) and all(isinstance(entry, str) for entry in value.values())


def _are_directions(value: Any) -> bool:
    return isinstance(value, dict) and all(isinstance(entry, bool) for entry in value.values())


def _is_schedule(value: Any) -> bool:
    return isinstance(value, dict) and value.keys() == {"start", "batch", "test"} and _is_integer(value["batch"])


def _are_texts(value: Any) -> bool:
    return isinstance(value, list) and all(isinstance(entry, str) for entry in value)


def _are_changes(value: Any) -> bool:
    return isinstance(value, list) and all(
        isinstance(entry, dict) and isinstance(entry.get("at"), str) and _are_texts(entry.get("changed"))
        for entry in value
    )


def _is_rehearsed(value: Any) -> bool:
    return isinstance(value, dict) and isinstance(value.get("key"), str) and _is_integer(value.get("least"))


def _are_sides(value: Any) -> bool:
    return isinstance(value, dict) and _are_texts(value.get("held_out")) and _are_texts(value.get("trained"))


def _is_audit(value: Any) -> bool:
    if value is None:
        return True
    draws = value.get("draws") if isinstance(value, dict) else None
    return (
        isinstance(draws, list)
        and _are_texts(value.get("near"))
        and isinstance(value.get("compared"), bool)
        and all(
            isinstance(draw, dict)
            and isinstance(draw.get("at"), str)
            and _is_integer(draw.get("of"))
            and _is_integer(draw.get("round"))
            and _are_texts(draw.get("ids"))
            for draw in draws
        )
    )


def _are_groups(value: Any) -> bool:
    return isinstance(value, dict) and all(
        isinstance(entry, list) and len(entry) == 2 and isinstance(entry[0], str) and _is_texts(entry[1])
        for entry in value.values()
    )


def _are_rules(value: Any) -> bool:
    """Whether each rule is a list of conditions, none of them empty, or a limit of at least one."""
    return isinstance(value, dict) and all(
        (_is_integer(rule) and rule >= 1) if name.startswith("max_") else _are_texts(rule) and all(map(str.strip, rule))
        for name, rule in value.items()
    )


def _are_options(value: Any) -> bool:
    plain = bool | int | float | str | None
    return isinstance(value, dict) and all(isinstance(entry, plain) or _are_texts(entry) for entry in value.values())


def _are_changes_of_images(value: Any) -> bool:
    return isinstance(value, list) and all(
        isinstance(entry, dict) and isinstance(entry.get("at"), str) and _is_integer(entry.get("images"))
        for entry in value
    )


def _are_removed(value: Any) -> bool:
    return isinstance(value, dict) and all(
        isinstance(entry, dict)
        and all(isinstance(entry.get(name), str) for name in ("at", "reason", "digest"))
        and _are_texts(entry.get("files"))
        and isinstance(entry.get("file", ""), str)
        and isinstance(entry.get("purged"), bool)
        for entry in value.values()
    )


def _is_test_set(value: Any) -> bool:
    if not isinstance(value, dict) or not isinstance(value.get("test"), dict):
        return False
    images, groups = value.get("images"), value.get("groups", {})
    if not isinstance(images, dict) or images.get("is") not in _POOLS or not _are_groups(groups):
        return False
    if not isinstance(given := images.get("with"), dict) or not isinstance(given.get("path"), str):
        return False
    if ("labels" in value) == ("masks" in value):
        return False
    if not (isinstance(value["labels"], str) if "labels" in value else _are_masks(value["masks"])):
        return False
    return all(_is_integer(value["test"].get(size)) for size in ("images", "channels", "height", "width"))


_POOLS = ("alkit:ImagePool", "alkit:TilePool", "alkit:VolumePool")


def _are_masks(value: Any) -> bool:
    """Whether it says where masks are and how they are read."""
    if not isinstance(value, dict) or value.keys() != {"masks", "pattern", "values", "threshold", "instances"}:
        return False
    if not isinstance(value["masks"], str) or not (isinstance(value["pattern"], str) or _are_texts(value["pattern"])):
        return False
    values = [] if value["values"] is None else value["values"]
    return isinstance(values, list) and all(
        isinstance(pair, list) and len(pair) == 2 and all(map(_is_integer, pair)) for pair in values
    )


def _are_counts(value: Any) -> bool:
    return isinstance(value, dict) and all(_is_integer(entry) and entry >= 0 for entry in value.values())


def _are_qualities(value: Any) -> bool:
    if not isinstance(value, dict) or not isinstance(value.get("key"), str) or not _is_integer(value.get("folds")):
        return False
    found = value.get("qualities")
    return isinstance(found, dict) and all(map(is_number, found.values()))


def _is_place(value: Any) -> bool:
    """Whether it is the round and the rank of a query."""
    return isinstance(value, list) and len(value) == 2 and all(_is_integer(entry) and entry >= 0 for entry in value)


def _is_number(value: Any) -> bool:
    return is_number(value) and value > 0


def _are_people(value: Any) -> bool:
    if not isinstance(value, dict) or not all(isinstance(value.get(name), dict) for name in ("shares", "wanted")):
        return False
    wanted = value["wanted"].get("audit", 1)
    return (
        all(map(_is_number, value["shares"].values()))
        and all(map(is_name, value["shares"]))
        and (value.get("days") is None or (_is_number(value["days"]) and value["days"] <= MOST_DAYS))
        and (_is_integer(wanted) and wanted >= 1)
        and _is_place(value.get("since"))
    )


def _are_handed_on(value: Any) -> bool:
    return isinstance(value, list) and all(
        isinstance(entry, dict)
        and isinstance(entry.get("at"), str)
        and _is_place(entry.get("query"))
        and _are_texts(entry.get("people"))
        for entry in value
    )


def _are_reviews(value: Any) -> bool:
    return isinstance(value, dict) and all(
        isinstance(entry, dict)
        and entry.get("why") in ("model", "disputed", "random")
        and isinstance(entry.get("shown"), bool)
        and isinstance(entry.get("first"), list)
        and all(map(_is_integer, entry["first"]))
        for entry in value.values()
    )


def _are_disputes(value: Any) -> bool:
    return (
        isinstance(value, dict)
        and value.keys() == {"decided", "below", "senior"}
        and value["decided"] in ("join", "ignore", "leave-out", "third", "senior")
        and (_is_number(value["below"]) and value["below"] <= 1)
        and (value["senior"] == "" or is_name(value["senior"]))
        and bool(value["senior"]) == (value["decided"] == "senior")
    )


_FORMS: dict[str, Callable[[Any], bool]] = {
    "audit": _is_audit,
    "changes": _are_changes,
    "groups": _are_groups,
    "options": _are_options,
    HANDED_ON: _are_handed_on,
    PEOPLE: _are_people,
    QUEUE: lambda value: _is_integer(value) and value >= 1,
    "rehearsed": _is_rehearsed,
    "rules": _are_rules,
    "sides": _are_sides,
    "elsewhere": lambda value: isinstance(value, str) and re.fullmatch("[0-9a-f]{16}", value) is not None,
    "campaign": lambda value: isinstance(value, str),
    CODE: lambda value: isinstance(value, dict) and all(map(_is_texts, value.values())),
    PARAMETERS: _is_texts,
    "configuration": _is_configuration,
    "declared": _is_declared,
    "directions": _are_directions,
    "label_qualities": _are_qualities,
    "reviews": _are_reviews,
    "disputes": _are_disputes,
    "asked_more": _are_texts,
    "images": lambda value: value is None or _is_texts(value),
    "moved": lambda value: isinstance(value, dict),
    HELD_OUT_LABELS: _is_texts,
    INSTRUCTIONS: lambda value: isinstance(value, str),
    PIXELS: lambda value: value in (None, "|u1", "<u2", "<f4"),
    "keep": lambda value: value in ("best", "all"),
    "mask_form": lambda value: isinstance(value, dict),
    "meanings": _is_texts,
    "schedule": _is_schedule,
    "removed": _are_removed,
    "grown": _are_changes_of_images,
    "test_set": _is_test_set,
    "unasked": _are_counts,
    "test": lambda value: isinstance(value, dict),
    "threads": lambda value: _is_integer(value) and 1 <= value <= MOST_THREADS,
    "unusable": _is_texts,
}
