"""Early stopping: some labels are held out of a training, which ends when the loss on them no longer falls."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

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
        fewer than three labels none is, and the training is not stopped.
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

    If the labels are classes, no class loses its last label to the held-out images.
    """
    if len(ids) < 3:
        return list(ids), []
    wanted = max(1, int(stop.share * len(ids)))
    left: dict[int, int] | None = None
    classes = [0] * len(ids)
    if labelled.spec.per == "image":
        classes = [int(label) for label in labelled.labels(list(ids))]
        left = {one: classes.count(one) for one in set(classes)}
    held: set[int] = set()
    for row in stream.numpy().permutation(len(ids)).tolist():
        if len(held) == wanted:
            break
        if left is not None:
            if left[classes[row]] == 1:
                continue
            left[classes[row]] -= 1
        held.add(row)
    return [id for row, id in enumerate(ids) if row not in held], [id for row, id in enumerate(ids) if row in held]
