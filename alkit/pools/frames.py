"""How the images of a pool lie inside its working size."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple, TypeVar, cast

from alkit.arguments.checked import checked
from alkit.pools.checks import image_shape
from alkit.pools.sizes import mask_sizes
from alkit.protocols import HasFrames, Pool
from alkit.values.frames import Box, Frame
from alkit.values.label_spec import LabelSpec
from alkit.values.predictions import Predictions

T = TypeVar("T", bound=Any)

SOME = 1000
"""Number of images that are asked whether a pool has padding."""


class Part(NamedTuple):
    """Images of a batch whose content is at the same place: their positions in the batch, and the place.

    The place is None if the content of all images of the batch fills the working size.
    """

    rows: list[int]
    box: Box | None

    def of(self, values: T) -> T:
        """Return the content of these images from an array or tensor of the whole batch, ``(n, ..., h, w)``."""
        return values if self.box is None else cast(T, values[self.rows][(..., *self.box.slices)])


@checked
def frames_of(pool: Pool, ids: Sequence[str]) -> list[Frame]:
    """Return, for each of `ids`, the place of its image in the working size.

    If the pool has a method ``frames(ids)``, its result is returned. The images of any other pool are taken as squashed
    from the first of :func:`mask_sizes` to the size of the images.

    Examples
    --------
    >>> import numpy as np
    >>> from alkit import ArrayPool
    >>> frames_of(ArrayPool(np.zeros((2, 8, 9), np.uint8)), ["0001"])
    [Frame(original=(8, 9), working=(8, 9), fit='squash', box=None, part=None)]
    """
    if isinstance(pool, HasFrames):
        return list(pool.frames(ids))
    if not ids:
        return []
    _, height, width = image_shape(pool)
    return [Frame((own[0][0], own[0][1]), (height, width)) for own in mask_sizes(pool, ids)]


def parts_of(pool: Pool, ids: Sequence[str], pixels: bool = True) -> list[Part]:
    """Divide a batch of images by the place of their content, so that padding and surroundings need not count.

    Without `pixels`, a label or prediction is of the whole image, and the batch is not divided.

    Examples
    --------
    >>> import numpy as np
    >>> from alkit import ArrayPool
    >>> parts_of(ArrayPool(np.zeros((2, 8, 9), np.uint8)), ["0000", "0001"])
    [Part(rows=[0, 1], box=None)]
    """
    everything = [Part(list(range(len(ids))), None)]
    if not pixels or not isinstance(pool, HasFrames):
        return everything
    frames = list(pool.frames(ids))
    if all(frame.fills for frame in frames):
        return everything
    rows: dict[Box, list[int]] = {}
    for row, frame in enumerate(frames):
        rows.setdefault(frame.content, []).append(row)
    return [Part(own, box) for box, own in rows.items()]


def content_of(pool: Pool, predictions: Predictions) -> Iterator[Predictions]:
    """Yield predictions of masks without padding and surroundings, one after the other for each place of the content.

    Predictions of classes are those of whole images, and stay as they are.

    Examples
    --------
    >>> import numpy as np
    >>> from alkit import ArrayPool
    >>> found = Predictions(("0000",), np.zeros((1, 2, 8, 9), np.float32))
    >>> [part.probabilities.shape for part in content_of(ArrayPool(np.zeros((1, 8, 9), np.uint8)), found)]
    [(1, 2, 8, 9)]
    """
    for part in parts_of(pool, predictions.ids, predictions.probabilities.ndim == 4):
        if part.box is None:
            yield predictions
        else:
            yield Predictions(tuple(predictions.ids[row] for row in part.rows), part.of(predictions.probabilities))


def training_spec(pool: Pool, spec: LabelSpec) -> LabelSpec:
    """Return the classes as a learner gets them: with an ignore value, if images have padding or surroundings.

    The first images of the pool are asked.

    Examples
    --------
    >>> import numpy as np
    >>> from alkit import ArrayPool
    >>> spec = LabelSpec(("skin", "lesion"))
    >>> training_spec(ArrayPool(np.zeros((2, 8, 9), np.uint8)), spec).ignore is None
    True
    """
    some = list(pool.ids)[:SOME]
    padded = spec.per == "pixel" and isinstance(pool, HasFrames) and not all(frame.fills for frame in pool.frames(some))
    return spec.with_ignore() if padded else spec
