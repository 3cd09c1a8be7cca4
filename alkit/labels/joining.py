"""Rules that join the labels of several annotators of an image into the one label that a learner sees.

References
----------
Warfield, Zou, Wells. "Simultaneous Truth and Performance Level Estimation (STAPLE)". IEEE TMI 23 (2004).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np

from alkit.errors import ConfigurationError, UnknownNameError, nearest
from alkit.values.label_spec import Label, LabelSpec

Join = Callable[[Sequence[Label], LabelSpec], Label]
"""A function from two or more labels of an image, of equal shape and ordered by revision, and the spec to one label."""


def one(labels: Sequence[Label], spec: LabelSpec) -> Label:
    """Return the label of the latest revision; if several have it, that of the annotator whose name sorts last."""
    return labels[-1]


def majority(labels: Sequence[Label], spec: LabelSpec) -> Label:
    """Return at each pixel the class that most annotators chose.

    A tie becomes the ignore value. If the spec has none, the lowest of the tied class ids wins.

    >>> spec = LabelSpec(("skin", "lesion"))
    >>> majority([np.array([[0, 1]]), np.array([[1, 1]]), np.array([[0, 1]])], spec).tolist()
    [[0, 1]]
    """
    values = [*range(len(spec.classes)), *([] if spec.ignore is None else [spec.ignore])]
    best = np.full(labels[0].shape, values[0], labels[0].dtype)
    most = np.zeros(best.shape, int)
    for value in values:
        votes = np.sum([label == value for label in labels], axis=0)
        if spec.ignore is not None:
            best = np.where((votes == most) & (votes > 0), spec.ignore, best)
        best = np.where(votes > most, value, best)
        most = np.maximum(most, votes)
    return best.astype(labels[0].dtype)


def staple(labels: Sequence[Label], spec: LabelSpec) -> Label:
    """Return the most probable true mask, by STAPLE: it estimates how reliable each annotator is for each class.

    Undecided pixels become the ignore value, or class 0 if the spec has none.

    Raises
    ------
    ConfigurationError
        The labels are not masks.
    MissingDependencyError
        SimpleITK is not installed.
    """
    if spec.per == "image":
        raise ConfigurationError("join='staple' needs masks", got="one class per image", hint="join='majority'")
    if all(np.array_equal(label, labels[0]) for label in labels):
        return labels[0]  # STAPLE has nothing to estimate
    from alkit.labels._staple import UNDECIDED, estimate

    joined = estimate(np.stack(labels).astype(np.uint8))
    found: Label = np.where(joined == UNDECIDED, 0 if spec.ignore is None else spec.ignore, joined).astype(np.uint8)
    return found


JOINS: dict[str, Join] = {"one": one, "majority": majority, "staple": staple}
"""The rules by name."""


def join_rule(join: str | Join) -> Join:
    """Return the rule of this name, or `join` itself if it is a function.

    Raises
    ------
    UnknownNameError
        No rule has this name.
    ConfigurationError
        `join` is neither a name nor a function.
    """
    if isinstance(join, str):
        if join not in JOINS:
            raise UnknownNameError("join must be the name of a rule", got=repr(join), hint=nearest(join, JOINS))
        return JOINS[join]
    if isinstance(join, type) or not callable(join):
        raise ConfigurationError(
            "join must be a function or a name", got=repr(join), hint=" or ".join(map(repr, JOINS))
        )
    return join
