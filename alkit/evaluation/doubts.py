"""Labels that may be mistakes: empty, full and inverted masks, and masks far from those of everybody else."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

import numpy as np

from alkit.arguments.checked import checked
from alkit.evaluation.agreement import dice_of_two
from alkit.values.disputes import DISPUTED
from alkit.values.label_spec import LabelSpec, Mask, distinct

FAR = 0.5
"""Masks with a lower Dice coefficient are far from each other."""


@checked
@dataclass(frozen=True, slots=True)
class Doubt:
    """A label that may be a mistake.

    Parameters
    ----------
    id, annotator:
        The image, and who labelled it.
    reason:
        What is unusual about the label, in words.
    """

    id: str
    annotator: str
    reason: str


def reasons_for_doubt(mask: Mask, others: Mapping[str, Mask], spec: LabelSpec) -> Iterator[str]:
    """Yield what is unusual about a mask, in words.

    It is empty (no foreground), full (all of it one foreground class), inverted (far from all others, but not if two
    classes are exchanged), or far from all others.

    Parameters
    ----------
    mask:
        Class ids and the ignore value of `spec`, ``(h, w)``.
    others:
        Masks of other annotators and of the model for the same image, of the same shape, by words such as ``"bob"``.
    spec:
        The classes.

    Examples
    --------
    >>> spec = LabelSpec(("skin", "lesion"))
    >>> mask = np.array([[0, 0, 0, 1]], np.uint8)
    >>> list(reasons_for_doubt(0 * mask, {"bob": mask}, spec))
    ["the mask is empty: all of it is 'skin'", 'the mask is far from that of bob (Dice 0.00)']
    >>> list(reasons_for_doubt(1 - mask, {"bob": mask}, spec))
    ["the mask looks inverted: with 'lesion' in place of 'skin' it is close to that of bob (Dice 1.00)"]
    """
    spec = spec.with_ignore()
    found = [int(value) for value in distinct(mask) if value != spec.ignore]
    if len(found) == 1:
        what = "empty" if found[0] == 0 else "full"
        yield f"the mask is {what}: all of it is {spec.classes[found[0]]!r}"
    known = {who: value for who, other in others.items() if (value := dice_of_two(mask, other, spec)) is not None}
    if not known or max(known.values()) >= FAR:
        return
    who, value = max(known.items(), key=lambda entry: entry[1])
    if len(found) > 1 and len(spec.classes) == 2:
        exchanged = np.where(mask == spec.ignore, mask, 1 - mask)
        near = {name: dice for name in known if (dice := dice_of_two(exchanged, others[name], spec) or 0.0) >= DISPUTED}
        if near:
            who, value = max(near.items(), key=lambda entry: entry[1])
            one, other = spec.classes[1], spec.classes[0]
            yield (
                f"the mask looks inverted: with {one!r} in place of {other!r} it is close to that of {who} "
                f"(Dice {value:.2f})"
            )
            return
    yield f"the mask is far from that of {who} (Dice {value:.2f})"
