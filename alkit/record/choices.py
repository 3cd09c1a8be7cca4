"""Choices that a record keeps when its settings are replaced before the first answer, unless they are made again."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from alkit.configuration.forms import Written
from alkit.record.audit import AUDIT
from alkit.record.changing import DISPUTES, GROUPS, RULES
from alkit.record.facts import INSTRUCTIONS, MEASURES, PEOPLE
from alkit.record.kept_models import KEEP
from alkit.record.removing import REMOVED
from alkit.record.store import Store

TEST_SET = "test_set"
"""Name of the fact that holds the folders of a campaign's test set, and the description of its images."""

KEPT = (DISPUTES, GROUPS, RULES, AUDIT, PEOPLE, KEEP, INSTRUCTIONS, TEST_SET, REMOVED)
"""Names of the facts that are kept."""


def kept_choices(store: Store, classes: Written) -> frozenset[str]:
    """Return the names of the facts that are kept; metrics only if they fit the new classes.

    Their values are not read here, because another process may change them before the settings are replaced.

    Parameters
    ----------
    classes:
        The written form of the new classes; None if they are not known yet.
    """
    fit = classes is not None and _kind(classes) == _kind(store.fact("classes"))
    return frozenset([*KEPT, *(MEASURES if fit else ())])


def has_other_images(store: Store, recorded: Mapping[str, Any], now: Mapping[str, Any]) -> bool:
    """Return whether the images of a campaign have changed since it was started, and nothing else.

    Parameters
    ----------
    recorded, now:
        The settings in the record, and those of the parts.
    """
    shapes = [{**form["pool"], "images": 0, "content": None} for form in (recorded, now)]
    same = {**recorded, "pool": None} == {**now, "pool": None} and shapes[0] == shapes[1]
    return same and recorded != now and store.fact("schedule") is None


def _kind(classes: Written) -> tuple[object, object]:
    """Return what has classes, by their written form: pixels or images, and whether these can have several."""
    given = classes.get("with") if isinstance(classes, dict) else None
    return (given.get("per"), given.get("multiple", False)) if isinstance(given, dict) else (None, False)
