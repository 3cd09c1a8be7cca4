"""The images and labels of each training step."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np
import torch

from alkit.errors import LabelError
from alkit.networks.training import Example, minibatches
from alkit.protocols import Labelled
from alkit.rng import Stream


def usable(labelled: Labelled, ids: Sequence[str]) -> list[str]:
    """Return the images whose label is not ignored throughout.

    Raises
    ------
    LabelError
        There are none.
    """
    ignore = labelled.spec.ignore
    if ignore is None:
        return list(ids)
    found = [id for id in ids if not (labelled.labels([id]) == ignore).all()]
    if not found:
        raise nothing_to_learn(labelled, ids)
    return found


def nothing_to_learn(labelled: Labelled, ids: Sequence[str]) -> LabelError:
    """Return the error of a training without a pixel to learn from."""
    return LabelError(
        "the masks must have at least one pixel to learn from",
        got=f"only the ignore value {labelled.spec.ignore} in {len(ids)} masks",
        hint="label more images",
    )


def epoch_batches(labelled: Labelled, ids: Sequence[str], size: int, stream: Stream) -> Iterator[Example]:
    """Yield the images and labels of one epoch in random batches, except batches whose pixels are all ignored.

    Raises
    ------
    LabelError
        The pixels of all batches are ignored.
    """
    ignore, empty = labelled.spec.ignore, True
    for positions in minibatches(len(ids), size, stream):
        some = [ids[position] for position in positions]
        labels = labelled.labels(some)
        if ignore is not None and (labels == ignore).all():
            continue  # nothing to learn from; a step would still follow the momentum of earlier batches
        empty = False
        yield example(labelled, some, labels)
    if empty:
        raise nothing_to_learn(labelled, ids)


def step_batches(labelled: Labelled, ids: Sequence[str], size: int, steps: range, stream: Stream) -> Iterator[Example]:
    """Yield the images and labels of some steps, `size` in each, even if there are fewer labels.

    The images come in random order, and all have come once before one comes again.
    """
    n = len(ids)
    orders: dict[int, list[int]] = {}
    for step in steps:
        some = []
        for place in range(step * size, (step + 1) * size):
            number = place // n
            if number not in orders:
                orders = {key: order for key, order in orders.items() if key == number - 1}
                orders[number] = stream.child(number).numpy().permutation(n).tolist()
            some.append(ids[orders[number][place % n]])
        yield example(labelled, some, labelled.labels(some))


def example(labelled: Labelled, ids: Sequence[str], labels: np.ndarray) -> Example:
    """Return the images and labels of a batch as tensors."""
    images = torch.from_numpy(labelled.images(list(ids))).contiguous(memory_format=torch.channels_last)
    return images, torch.from_numpy(labels).long()
