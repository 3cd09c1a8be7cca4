"""Contact sheets: many images on one page, each with the outline of its mask and a caption."""

from __future__ import annotations

import textwrap
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from alkit.arguments.checked import checked_except
from alkit.checks import check_integer
from alkit.errors import ConfigurationError
from alkit.pictures.cells import cells_of
from alkit.pictures.colours import CLASS_COLOURS
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
    for cell, one in zip(cells, cells_of(pool, ids, masks or {}), strict=False):
        left, top, width, height = one.seen
        extent = left, left + width, top + height, top
        cell.imshow(one.shown, cmap="gray", vmin=0, vmax=1, extent=extent)
        if one.mask is not None:
            if one.mask.any() and not one.mask.all():
                from_left, from_top, across, down = one.covered
                places = (
                    start + (np.arange(n) + 0.5) * length / n
                    for start, n, length in zip(
                        (from_left, from_top), one.mask.shape[::-1], (across, down), strict=True
                    )
                )
                cell.contour(*places, one.mask, levels=[0.5], colors=CLASS_COLOURS[0], linewidths=1.2)
            cell.set(xlim=extent[:2], ylim=extent[2:])
        lines = (captions or {}).get(one.id, one.id).splitlines()
        caption = "\n".join(textwrap.fill(line, 26) for line in lines)
        cell.set_xlabel(caption, fontsize=7, parse_math=False)  # a name can contain a dollar sign
    if title:
        figure.suptitle(title, fontsize=10)
    return figure
