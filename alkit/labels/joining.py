"""Rules that join the labels of several annotators of an image into the one label that a learner sees.

Annotators who disagree evenly are no reason to train on any of their labels. Such a pixel becomes the ignore value, or
255 if the spec has none (:meth:`alkit.LabelSpec.with_ignore`), and such a class of an image becomes None. Pixels with
the ignore value are not trained on; an image without a decided pixel or class is left out of the training. If an image
can have several classes, each of them is decided by itself, as a pixel is.

References
----------
Warfield, Zou, Wells. "Simultaneous Truth and Performance Level Estimation (STAPLE)". IEEE TMI 23 (2004).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np

from alkit.arguments.checked import checked
from alkit.errors import ConfigurationError, UnknownNameError, nearest
from alkit.values.label_spec import Label, LabelSpec

Join = Callable[[Sequence[Label], LabelSpec], Label | None]
"""A function from two or more labels of an image, of equal shape and ordered by revision, and the spec to one label.

The spec of masks always has an ignore value, for pixels that stay undecided. The function returns None if the whole
image stays undecided.
"""


@checked
def one(labels: Sequence[Label], spec: LabelSpec) -> Label:
    """Return the label of the latest revision; if several have it, that of the annotator whose name sorts last."""
    _check_shapes(labels)
    return labels[-1]


@checked
def majority(labels: Sequence[Label], spec: LabelSpec) -> Label | None:
    """Return at each pixel the class that most annotators chose; a tie becomes the ignore value, 255 by default.

    If each image has one class, return the class that most annotators chose, or None for a tie. If it can have several,
    return for each class whether most annotators say that the image has it; a tie becomes the ignore value.

    >>> spec = LabelSpec(("skin", "lesion"))
    >>> majority([np.array([[0, 1]]), np.array([[1, 1]]), np.array([[0, 1]])], spec).tolist()
    [[0, 1]]
    >>> majority([np.array([[0, 1]]), np.array([[1, 1]])], spec).tolist()
    [[255, 1]]
    >>> several = LabelSpec(("cat", "dog", "fox"), per="image", multiple=True)
    >>> majority([np.array([1, 1, 0], np.uint8), np.array([1, 0, 0], np.uint8)], several).tolist()
    [1, 255, 0]
    """
    _check_shapes(labels)
    ignore = spec.with_ignore().ignore
    tie = -1 if ignore is None else ignore
    best, most = np.full(labels[0].shape, tie), np.zeros(labels[0].shape, int)
    for value in [*range(spec.values), *([] if ignore is None else [ignore])]:
        votes = np.sum([label == value for label in labels], axis=0)
        best = np.where(votes > most, value, np.where((votes == most) & (votes > 0), tie, best))
        most = np.maximum(most, votes)
    if ignore is None and best == tie:
        return None
    return best.astype(labels[0].dtype)


@checked
def staple(labels: Sequence[Label], spec: LabelSpec) -> Label:
    """Return the most probable true mask, by STAPLE: it estimates how reliable each annotator is for each class.

    Undecided pixels become the ignore value, 255 by default. The estimate ends after 10,000 steps at the latest, which
    only masks take that are almost noise.

    Deviation: STAPLE gives class 0 to all pixels about which two annotators disagree, and to all pixels if their masks
    have none in common, because the background is so frequent. Here a pixel becomes class 0 only if class 0 has as many
    votes as no other class; otherwise it is undecided.

    Raises
    ------
    ConfigurationError
        The labels are not masks.
    MissingDependencyError
        SimpleITK is not installed.
    """
    if spec.per == "image":
        got = f"{'several classes' if spec.multiple else 'one class'} per image"
        raise ConfigurationError("join='staple' needs masks", got=got, hint="join='majority'")
    _check_shapes(labels)
    if all(np.array_equal(label, labels[0]) for label in labels):
        return labels[0]  # STAPLE has nothing to estimate
    from alkit.labels._staple import UNDECIDED, estimate

    joint = spec.with_ignore()
    joined = estimate(np.stack(labels).astype(np.uint8))
    undecided = (joined == UNDECIDED) | ((joined == 0) & (majority(labels, joint) == joint.ignore))
    joined[undecided] = 0 if joint.ignore is None else joint.ignore  # it is None for no mask
    found: Label = joined.astype(np.uint8)
    return found


def _check_shapes(labels: Sequence[Label]) -> None:
    shapes = sorted({np.shape(label) for label in labels})
    if len(shapes) != 1:
        raise ConfigurationError("labels must be one or more of the same shape", got=f"shapes {shapes}")


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
