"""Contact sheets: many images on one page, each with its mask's outline and what is to be said of it."""

from __future__ import annotations

import textwrap
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from alkit.errors import ConfigurationError, LabelError
from alkit.protocols import Pool

if TYPE_CHECKING:
    from matplotlib.figure import Figure

OUTLINE = "#f5d90a"


def contact_sheet(
    pool: Pool,
    ids: Sequence[str],
    *,
    masks: Mapping[str, npt.ArrayLike] | None = None,
    captions: Mapping[str, str] | None = None,
    title: str = "",
    columns: int = 6,
) -> Figure:
    """Return a figure with the images of some ids, row by row, in the order given.

    Parameters
    ----------
    pool:
        Where the images are; they are shown as the model sees them: at the working size, the first channel, or three
        as red, green and blue.
    ids:
        At least one of the pool's.
    masks:
        By id ``(h, w)``, of any size: the outline of all that is not class 0 is drawn. Ids without one have none.
    captions:
        By id, shown below it, a line or more; by default the id itself.
    columns:
        Images side by side.

    Raises
    ------
    ConfigurationError
        No ids, or fewer than one column.
    LabelError
        A mask that is not two-dimensional.

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

    if not ids or columns < 1:
        raise ConfigurationError("there is nothing to show", got=f"{len(ids)} ids, {columns} columns")
    columns = min(columns, len(ids))
    rows = -(-len(ids) // columns)
    figure = Figure(figsize=(1.7 * columns, 2.0 * rows + (0.4 if title else 0)), layout="constrained")
    cells = np.atleast_1d(figure.subplots(rows, columns)).ravel()
    for cell in cells:
        cell.set(xticks=[], yticks=[], frame_on=False)
    for cell, id, image in zip(cells, ids, pool.read(ids), strict=False):
        shown = image[0] if len(image) < 3 else np.moveaxis(image[:3], 0, -1)
        height, width = shown.shape[:2]
        cell.imshow(shown, cmap="gray", vmin=0, vmax=1, extent=(0, width, height, 0))
        if masks is not None and id in masks:
            mask = np.asarray(masks[id]) != 0
            if mask.ndim != 2:
                raise LabelError(f"the mask of {id!r} is no picture", got=f"shape {mask.shape}", expected="(h, w)")
            if mask.any() and not mask.all():
                across, down = (
                    (np.arange(n) + 0.5) * length / n
                    for n, length in zip(mask.shape[::-1], (width, height), strict=True)
                )
                cell.contour(across, down, mask, levels=[0.5], colors=OUTLINE, linewidths=1.2)
        lines = (captions or {}).get(id, id).splitlines()
        caption = "\n".join(textwrap.fill(line, 26) for line in lines)
        cell.set_xlabel(caption, fontsize=7, parse_math=False)  # a name may hold a dollar
    if title:
        figure.suptitle(title, fontsize=10)
    return figure
