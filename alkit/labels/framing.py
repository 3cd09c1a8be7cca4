"""Masks at the working size of an image, and predictions at its original size: see :class:`alkit.values.Frame`."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from alkit.arguments.checked import checked
from alkit.errors import LabelError
from alkit.labels.masks import resize_mask
from alkit.values.frames import Frame
from alkit.values.label_spec import LabelSpec, Mask, size_text


@checked
def to_working(mask: Mask, frame: Frame, spec: LabelSpec) -> Mask:
    """Return the mask of an image at its working size, as a learner gets it.

    The part of the mask that is seen is resized by :func:`alkit.labels.resize_mask`. Outside the content of the frame
    the mask has the ignore value, 255 if `spec` has none; then the learner needs :meth:`alkit.LabelSpec.with_ignore`.

    Parameters
    ----------
    mask:
        ``(h, w)``, uint8, with class ids and the ignore value as values: of the original size, or of the working size,
        as a model predicts it. With a frame that squashes, any size.
    frame:
        The place of the image in the working size.
    spec:
        The classes.

    Raises
    ------
    LabelError
        The mask has another shape.

    Examples
    --------
    >>> spec = LabelSpec(("skin", "lesion"))
    >>> to_working(np.ones((2, 4), np.uint8), Frame((2, 4), (4, 4), "pad"), spec)[:, 0].tolist()
    [255, 1, 1, 255]
    """
    if mask.ndim != 2:
        raise LabelError("mask must be (h, w)", got=f"shape {mask.shape}")
    content = frame.content
    if mask.shape == frame.working != frame.original:
        if frame.fills:
            return mask
        part = mask[content.slices]
    elif frame.fills and frame.fit == "squash":
        return resize_mask(mask, frame.working, spec)
    elif mask.shape != frame.original:
        raise LabelError(
            "mask must have the original or the working size of its image",
            got=size_text(mask.shape),
            expected=size_text(*dict.fromkeys((frame.original, frame.working))),
        )
    else:
        part = resize_mask(mask[frame.source.slices], content.size, spec)
    if frame.fills:
        return part
    placed: Mask = np.full(frame.working, spec.with_ignore().ignore, np.uint8)
    placed[content.slices] = part
    return placed


def enlarge(mask: Mask, frame: Frame, spec: LabelSpec) -> Mask:
    """Return the mask of an image at its working size as one of its original size, by the nearest pixels.

    What was cropped away was not seen, and is ignored.
    """
    content, source = frame.content, frame.source
    part = mask[content.slices]
    rows, columns = (np.arange(side) * own // side for side, own in zip(source.size, part.shape, strict=True))
    whole: Mask = np.full(frame.original, spec.with_ignore().ignore, np.uint8)
    whole[source.slices] = part[rows][:, columns]
    return whole


@checked
def to_original(probabilities: npt.NDArray[np.float32], frame: Frame) -> npt.NDArray[np.float32]:
    """Return the class probabilities of an image at its original size, ``(classes, *frame.original)``.

    The content of the frame is resized by :func:`alkit.labels.resizing.resize_probabilities`. The part of the original
    image that was cropped away was not seen: there the background, class 0, has probability 1.

    Parameters
    ----------
    probabilities:
        ``(classes, *frame.working)``, float32.
    frame:
        The place of the image in the working size.

    Raises
    ------
    LabelError
        The probabilities have another size.

    Examples
    --------
    >>> seen = np.array([[[0.1, 0.2]], [[0.9, 0.8]]], np.float32)
    >>> to_original(seen, Frame((1, 4), (1, 2), "crop"))[1].tolist()
    [[0.0, 0.8999999761581421, 0.800000011920929, 0.0]]
    """
    from alkit.labels.resizing import resize_probabilities  # imports torch, which asking and telling do not need

    if probabilities.shape[1:] != frame.working or not len(probabilities):
        raise LabelError(
            "probabilities must have the working size of their image",
            got=f"shape {probabilities.shape}",
            expected=f"(classes, {frame.working[0]}, {frame.working[1]})",
        )
    source = frame.source
    seen = resize_probabilities(probabilities[(slice(None), *frame.content.slices)], source.size)
    if source.size == frame.original:
        return seen
    whole = np.zeros((len(seen), *frame.original), np.float32)
    whole[0] = 1
    whole[(slice(None), *source.slices)] = seen
    return whole
