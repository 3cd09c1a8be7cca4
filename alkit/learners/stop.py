"""Early stopping: some labels are held out of a training, which ends when the loss on them no longer falls."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from alkit.arguments.checked import checked
from alkit.checks import check_integer, check_number
from alkit.protocols import Labelled
from alkit.rng import Stream


@checked
@dataclass(frozen=True)
class Stop:
    """Ends a training early, and keeps the weights with the smallest loss on labels that it does not train on.

    Parameters
    ----------
    share:
        Share of the labels that is held out, in (0, 1/3]. It is rounded down, but at least one label is held out. With
        fewer than three labels none is, and the training is not stopped. Pseudo-labels are not held out. Images of one
        group, such as slices of one volume, may lie on both sides.
    patience:
        Number of measurements in a row without a smaller loss after which the training ends, at least 1.
    every:
        Training steps between two measurements, at least 1. A learner with ``epochs`` measures after each epoch.

    Raises
    ------
    ConfigurationError
        A parameter is out of range.

    Examples
    --------
    >>> Stop(patience=4)
    Stop(share=0.2, patience=4, every=25)
    """

    share: float = 0.2
    patience: int = 3
    every: int = 25

    def __post_init__(self) -> None:
        check_number("share", self.share, 0, 1 / 3, open_ends="(")
        check_integer("patience", self.patience, least=1)
        check_integer("every", self.every, least=1)


def hold_out(stop: Stop, labelled: Labelled, ids: Sequence[str], stream: Stream) -> tuple[list[str], list[str]]:
    """Divide labelled images at random into those to train on and those that are held out.

    If the labels are classes, no class loses its last label to the held-out images; if an image can have several, no
    class loses the last image that has it. Pseudo-labels are not held out: the model made them, so it agrees with them.
    """
    pseudo = set(labelled.pseudo_ids)
    given = sum(id not in pseudo for id in ids)
    if given < 3:
        return list(ids), []
    wanted = max(1, int(stop.share * given))
    own: list[set[int]] = [set() for _ in ids]  # the classes that must keep a label each
    if labelled.spec.per == "image":
        labels = labelled.labels(list(ids))
        own = (
            [set(np.flatnonzero(label == 1)) for label in labels]
            if labelled.spec.multiple
            else [{int(one)} for one in labels]
        )
    left = Counter(one for classes in own for one in classes)
    held: set[int] = set()
    for row in stream.numpy().permutation(len(ids)).tolist():
        if len(held) == wanted:
            break
        if ids[row] in pseudo or any(left[one] == 1 for one in own[row]):
            continue
        left.subtract(own[row])
        held.add(row)
    return [id for row, id in enumerate(ids) if row not in held], [id for row, id in enumerate(ids) if row in held]
