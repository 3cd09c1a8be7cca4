"""Labels of several classes per image as text, as tables and annotation tools write them.

``cat|dog`` has both classes, and ``none`` has none of them. ``cat|?dog`` has one class, and about the other one nothing
is known.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from alkit.errors import LabelError, nearest
from alkit.values.label_spec import NONE, SEPARATOR, UNKNOWN, Label, LabelSpec

BETWEEN = (SEPARATOR, ";", ",")
"""Marks that separate classes in texts of other programs."""


def set_text(label: Label, spec: LabelSpec) -> str:
    """Return a label as text.

    >>> spec = LabelSpec(("cat", "dog", "fox"), per="image", multiple=True, ignore=255)
    >>> [set_text(np.array(label), spec) for label in ([1, 0, 1], [0, 0, 0], [1, 255, 0])]
    ['cat|fox', 'none', 'cat|?dog']
    """
    marks = {1: "", spec.ignore: UNKNOWN}
    found = [marks[value] + name for name, value in zip(spec.classes, label.tolist(), strict=True) if value in marks]
    return SEPARATOR.join(found) or NONE


def split_set(text: str, classes: Sequence[str]) -> list[str]:
    """Return the names in a text. Those that are not among the classes are separated at ``|`` only.

    >>> split_set("cat; dog", ("cat", "dog")), split_set("left, lower", ("left, lower", "dog")), split_set("none", ())
    (['cat', 'dog'], ['left, lower'], [])
    """
    if text in classes:
        return [text]
    if text.strip().casefold() == NONE:
        return []
    parts = {mark: [part.strip() for part in text.split(mark) if part.strip()] for mark in BETWEEN}
    known = {*classes, *(UNKNOWN + name for name in classes)}
    return next((names for names in parts.values() if known.issuperset(names)), parts[SEPARATOR])


def label_of(names: Sequence[str], spec: LabelSpec, where: str) -> Label:
    """Return the label of an image with these classes, and those after ``?`` unknown.

    Parameters
    ----------
    where:
        Where the names come from, for the message.

    Raises
    ------
    LabelError
        A name is not a class, or a class is unknown although there is no ignore value, or both present and unknown.

    Examples
    --------
    >>> label_of(["dog"], LabelSpec(("cat", "dog"), per="image", multiple=True), "line 2").tolist()
    [0, 1]
    """
    label, said = np.zeros(len(spec.classes), np.uint8), dict[str, int]()
    for name in names:
        unknown = name not in spec.classes and name.startswith(UNKNOWN)
        plain = name.removeprefix(UNKNOWN).strip() if unknown else name
        if plain not in spec.classes:
            raise LabelError(
                f"the label in {where} must be classes with {SEPARATOR} between them, or {NONE}",
                got=repr(name),
                expected=", ".join(map(repr, spec.classes)),
                hint=nearest(plain, spec.classes),
            )
        value = spec.ignore if unknown else 1
        if value is None:
            raise unknown_class(where, plain)
        if said.setdefault(plain, value) != value:
            raise LabelError(f"the label in {where} says both {plain!r} and {UNKNOWN + plain!r}", hint="one of them")
        label[spec.classes.index(plain)] = value
    label.flags.writeable = False
    return label


def unknown_class(where: str, name: str) -> LabelError:
    """Return the error about a class of which nothing is known, if all must be known."""
    return LabelError(
        f"{where} does not say whether the image has the class {name!r}",
        expected="1 or 0 for each class",
        hint="ignore=255, so that such a class is neither trained on nor measured",
    )
