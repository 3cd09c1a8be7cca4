"""The images and labels of each training step."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

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
    if labelled.spec.multiple:
        return LabelError(
            "the labels must have at least one class to learn from",
            got=f"only the ignore value {labelled.spec.ignore} in {len(ids)} labels",
            hint="label more images",
        )
    return LabelError(
        "the masks must have at least one pixel to learn from",
        got=f"only the ignore value {labelled.spec.ignore} in {len(ids)} masks",
        hint="label more images",
    )


class Source:
    """The images and labels of a training, read batch by batch.

    Parameters
    ----------
    labelled:
        The images and labels.
    """

    resident = False
    """Whether the batches are on the device."""

    def __init__(self, labelled: Labelled) -> None:
        self.labelled = labelled

    def example(self, ids: Sequence[str]) -> Example | None:
        """Return images and labels of a batch as tensors; None if all its labels are ignored."""
        labels, ignore = self.labelled.labels(list(ids)), self.labelled.spec.ignore
        if ignore is not None and (labels == ignore).all():
            return None
        images = torch.from_numpy(self.labelled.images(list(ids))).contiguous(memory_format=torch.channels_last)
        return images, torch.from_numpy(labels).long()


def epoch_batches(source: Source, ids: Sequence[str], size: int, stream: Stream) -> Iterator[Example]:
    """Yield the images and labels of one epoch in random batches, except batches whose pixels are all ignored.

    Raises
    ------
    LabelError
        The pixels of all batches are ignored.
    """
    empty = True
    for positions in minibatches(len(ids), size, stream):
        batch = source.example([ids[position] for position in positions])
        if batch is None:
            continue  # nothing to learn from; a step would still follow the momentum of earlier batches
        empty = False
        yield batch
    if empty:
        raise nothing_to_learn(source.labelled, ids)


def step_batches(source: Source, ids: Sequence[str], size: int, steps: range, stream: Stream) -> Iterator[Example]:
    """Yield the images and labels of some steps, `size` in each, even if there are fewer labels.

    The images come in random order, and all have come once before one comes again. None of their labels may be ignored
    throughout.
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
        if (batch := source.example(some)) is not None:
            yield batch
