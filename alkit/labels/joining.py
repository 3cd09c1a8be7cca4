"""Rules by which several annotators' labels of one image become the one that is learnt from.

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
"""From two or more labels of one image, alike in shape, to one: those of older revisions first."""


def one(labels: Sequence[Label], spec: LabelSpec) -> Label:
    """Return the label of the latest revision; of equal ones that of the annotator whose name is last."""
    return labels[-1]


def majority(labels: Sequence[Label], spec: LabelSpec) -> Label:
    """Return at each pixel the class that most annotators gave it.

    Equal votes go to the ignore value, where the spec has one, else to the lowest class id among them.

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
    """Return the most probable true mask where each annotator errs in a way of their own, by SimpleITK.

    Pixels that cannot be decided go to the ignore value, where the spec has one, else to class 0.

    Raises
    ------
    ConfigurationError
        Labels that are no masks.
    MissingDependencyError
        SimpleITK is absent.
    """
    if spec.per == "image":
        raise ConfigurationError("STAPLE joins masks, and these are classes of images", hint="join='majority'")
    if all(np.array_equal(label, labels[0]) for label in labels):
        return labels[0]  # the algorithm has nothing to estimate there
    from alkit.labels._staple import UNDECIDED
    from alkit.labels._staple import staple as estimated

    joined = estimated(np.stack(labels).astype(np.uint8))
    found: Label = np.where(joined == UNDECIDED, 0 if spec.ignore is None else spec.ignore, joined).astype(np.uint8)
    return found


JOINS: dict[str, Join] = {"one": one, "majority": majority, "staple": staple}
"""By name."""


def named(join: str | Join) -> Join:
    """Return the rule of this name; a function is its own.

    Raises
    ------
    UnknownNameError
        There is no rule of that name.
    ConfigurationError
        It is neither a name nor a function.
    """
    if isinstance(join, str):
        if join not in JOINS:
            raise UnknownNameError(f"there is no rule {join!r} to join labels by", hint=nearest(join, JOINS))
        return JOINS[join]
    if isinstance(join, type) or not callable(join):
        raise ConfigurationError("this joins no labels", got=repr(join), expected=f"a function, or {', '.join(JOINS)}")
    return join
