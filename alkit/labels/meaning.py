"""What the values in mask files of others mean: class ids, other numbers, gray levels, or numbers of instances."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from alkit.checks import check_integer, check_number
from alkit.errors import ConfigurationError, LabelError
from alkit.labels.masks import class_ids
from alkit.values.label_spec import LabelSpec, distinct


@dataclass(frozen=True, slots=True)
class Meaning:
    """What values in masks mean: at most one of the parameters is given.

    Parameters
    ----------
    values:
        Class id of each value, see :func:`alkit.labels.masks.class_ids`.
    threshold:
        Values from this number on mean class 1, and lower ones class 0.
    instances:
        Whether each value other than 0 is the number of an instance of class 1.
    """

    values: Mapping[int, int] | None = None
    threshold: float | None = None
    instances: bool = False

    def class_ids(self, mask: npt.NDArray[Any], spec: LabelSpec, id: str) -> npt.NDArray[Any]:
        """Return a mask, ``(h, w)``, with class ids in place of its values.

        Raises
        ------
        LabelError
            The mask contains a value without a meaning, or its only values are 0 and 1, below a threshold.
        """
        whole = np.issubdtype(mask.dtype, np.integer)
        if self.threshold is not None and (whole or np.issubdtype(mask.dtype, np.floating)):
            if not whole and not np.isfinite(mask).all():
                raise LabelError(f"the mask of image {id!r} has values that are not finite, such as NaN")
            if self.threshold > 1 and mask.size and mask.max() == 1 and set(np.unique(mask).tolist()) <= {0, 1}:
                raise LabelError(
                    f"the mask of image {id!r} has only the values 0 and 1, which are below the threshold",
                    got=f"{self.threshold:g}",
                    hint="leave the threshold out, because these are class ids",
                )
            return np.asarray(mask >= self.threshold, np.uint8)
        if self.instances and whole:
            if mask.size and (low := mask.min()) < 0:
                raise LabelError(f"the mask of image {id!r} must not have negative numbers of instances", got=low)
            return np.asarray(mask != 0, np.uint8)
        return class_ids(mask, spec, id, self.values)

    @property
    def is_gray(self) -> bool:
        """Whether values are gray levels, so that pictures with loss can be masks, too."""
        return self.threshold is not None


def make_meaning(
    spec: LabelSpec,
    values: Mapping[int, int] | Sequence[int] | None = None,
    threshold: float | None = None,
    instances: bool = False,
    *,
    of_each_class: bool = False,
) -> Meaning:
    """Return what values mean, after a check.

    Parameters
    ----------
    spec:
        The classes.
    values:
        Class id of each value; or the value of each class, in their order.
    threshold, instances:
        See :class:`Meaning`.
    of_each_class:
        Whether each class has files of its own.

    Raises
    ------
    ConfigurationError
        Two meanings are given, or one that does not fit the classes.
    """
    named = {"values": values is not None, "threshold": threshold is not None, "instances": instances}
    given = [name for name, there in named.items() if there]
    if len(given) > 1:
        raise ConfigurationError(f"{given[1]} must not be used with {given[0]}", hint=f"leave {given[1]}= out")
    if values is not None:
        if of_each_class:
            raise ConfigurationError(
                "values must be None if the pattern contains {class}, because each file holds one class",
                hint="threshold=128, or instances=True",
            )
        return Meaning(_read_values(spec, values))
    if given:
        (name,) = given
        if spec.ignore is not None:
            raise ConfigurationError(
                f"{name} must not be used with an ignore value, because it gives each value a class",
                got=spec.ignore,
                hint="ignore=None",
            )
        if len(spec.classes) > 2 and not of_each_class:
            raise ConfigurationError(
                f"{name} must be used with two classes, or with {{class}} in the pattern and a file of each class",
                got=", ".join(spec.classes),
                hint=f"values={tuple(range(len(spec.classes)))}",
            )
    if threshold is not None:
        threshold = check_number("threshold", threshold, least=0, open_ends="(")
    return Meaning(None, threshold, instances)


def _read_values(spec: LabelSpec, values: Mapping[int, int] | Sequence[int]) -> dict[int, int]:
    if not isinstance(values, Mapping):
        if len(values) != len(spec.classes):
            raise ConfigurationError(
                "values must be one for each class, or a mapping from value to class id",
                got=f"{len(values)} values",
                expected=f"{len(spec.classes)}, for {', '.join(spec.classes)}",
            )
        if len(set(values)) != len(values):
            raise ConfigurationError("values must be different for each class", got=list(values))
        values = {value: number for number, value in enumerate(values)}
        if spec.ignore is not None and spec.ignore not in values:
            values[spec.ignore] = spec.ignore
    allowed = {*range(len(spec.classes)), spec.ignore}
    if wrong := [number for number in values.values() if number not in allowed]:
        raise ConfigurationError("values must map to class ids", got=wrong, expected=str(spec))
    return {check_integer("values", value, least=-(2**63)): number for value, number in values.items()}


def joined(
    masks: Sequence[tuple[str, npt.NDArray[Any]]], spec: LabelSpec, id: str, *, in_order: bool = False
) -> npt.NDArray[Any]:
    """Return the union of the masks of one image.

    Parameters
    ----------
    masks:
        Name of the file, and class ids, ``(h, w)``, of each.
    in_order:
        Whether a later mask covers an earlier one. Otherwise two masks must not give a pixel different classes besides
        the background.

    Raises
    ------
    LabelError
        The masks differ in size, are not label maps, or contradict each other.

    Examples
    --------
    >>> parts = [("1.png", np.array([[0, 1, 0]])), ("2.png", np.array([[0, 0, 1]]))]
    >>> joined(parts, LabelSpec(("background", "nucleus")), "a").tolist()
    [[0, 1, 1]]
    """
    (first, whole), *others = masks
    if not others:
        return whole
    whole = whole.copy()
    for name, mask in others:
        if mask.shape != whole.shape or mask.ndim != 2:
            raise LabelError(
                f"the masks of image {id!r} must have one size",
                got=f"shape {whole.shape} in {first}, {mask.shape} in {name}",
            )
        own = mask != 0
        if in_order:
            if spec.ignore is not None:
                own &= (mask != spec.ignore) | (whole == 0)
        elif (both := own & (whole != 0) & (whole != mask)).any():
            there = distinct(whole[both]).tolist()[0], distinct(mask[both]).tolist()[0]
            raise LabelError(
                f"the masks of image {id!r} contradict each other in {int(both.sum())} pixels",
                got=f"{there[0]} in an earlier file and {there[1]} in {name}",
                hint="a file of each class with {class} in the pattern, in which a later class covers an earlier one",
            )
        whole[own] = mask[own]
    return whole
