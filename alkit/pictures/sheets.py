"""Contact sheets: many images on one page, each with the outline of its mask and a caption."""

from __future__ import annotations

import textwrap
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from alkit.arguments.checked import checked_except
from alkit.checks import check_integer
from alkit.errors import ConfigurationError, LabelError
from alkit.pictures.colours import CLASS_COLOURS
from alkit.pools.frames import frames_of
from alkit.protocols import Pool

if TYPE_CHECKING:
    from matplotlib.figure import Figure


@checked_except("columns")
def contact_sheet(
    pool: Pool,
    ids: Sequence[str],
    *,
    masks: Mapping[str, npt.ArrayLike] | None = None,
    captions: Mapping[str, str] | None = None,
    title: str = "",
    columns: int = 6,
) -> Figure:
    """Return a figure with images of a pool, row by row, in the order of `ids`.

    Parameters
    ----------
    pool:
        The pool. Images are shown with the resolution that the model sees and the proportions of the original, without
        padding: the first channel in gray, or three channels as red, green and blue.
    ids:
        Ids of the images to show, at least one.
    masks:
        Masks ``(h, w)`` of any size, by id. One outline surrounds all classes except 0.
    captions:
        Texts below the images, by id, of one or more lines. Default: the id.
    title:
        Title of the page.
    columns:
        Number of images in a row.

    Raises
    ------
    ConfigurationError
        `ids` is empty, or `columns` is less than 1.
    LabelError
        A mask does not have two dimensions.

    Examples
    --------
    >>> import alkit
    >>> images, masks = alkit.synthetic.lesions(4, size=16)
    >>> pool = alkit.ArrayPool(images)
    >>> sheet = contact_sheet(pool, pool.ids[:3], masks=dict(zip(pool.ids, masks)), columns=2)
    >>> len(sheet.axes)
    4
    """
    from matplotlib.figure import Figure

    if not ids:
        raise ConfigurationError("ids must contain at least one id", got="none")
    columns = min(check_integer("columns", columns, least=1), len(ids))
    rows = -(-len(ids) // columns)
    figure = Figure(figsize=(1.7 * columns, 2.0 * rows + (0.4 if title else 0)), layout="constrained")
    cells = np.atleast_1d(figure.subplots(rows, columns)).ravel()
    for cell in cells:
        cell.set(xticks=[], yticks=[], frame_on=False)
    for cell, id, image, frame in zip(cells, ids, pool.read(ids), frames_of(pool, ids), strict=False):
        seen, source = image[(slice(None), *frame.content.slices)], frame.source
        shown = seen[0] if len(seen) < 3 else np.moveaxis(seen[:3], 0, -1)
        right, bottom = source.left + source.width, source.top + source.height
        cell.imshow(shown, cmap="gray", vmin=0, vmax=1, extent=(source.left, right, bottom, source.top))
        if masks is not None and id in masks:
            mask = np.asarray(masks[id]) != 0
            if mask.ndim != 2:
                raise LabelError(f"the mask of image {id!r} must be (h, w)", got=f"shape {mask.shape}")
            height, width = frame.original
            top = left = 0
            if mask.shape == frame.working != frame.original:  # then it covers what is seen
                mask, (top, left, height, width) = mask[frame.content.slices], source
            if mask.any() and not mask.all():
                across, down = (
                    start + (np.arange(n) + 0.5) * length / n
                    for start, n, length in zip((left, top), mask.shape[::-1], (width, height), strict=True)
                )
                cell.contour(across, down, mask, levels=[0.5], colors=CLASS_COLOURS[0], linewidths=1.2)
            cell.set(xlim=(source.left, right), ylim=(bottom, source.top))
        lines = (captions or {}).get(id, id).splitlines()
        caption = "\n".join(textwrap.fill(line, 26) for line in lines)
        cell.set_xlabel(caption, fontsize=7, parse_math=False)  # a name can contain a dollar sign
    if title:
        figure.suptitle(title, fontsize=10)
    return figure
