"""A matplotlib figure that a notebook shows."""

from __future__ import annotations

import io

from matplotlib.figure import Figure


class Drawing(Figure):
    """A figure that a notebook shows as the value of a cell, although it does not belong to ``matplotlib.pyplot``."""

    def _repr_png_(self) -> bytes:
        file = io.BytesIO()
        self.savefig(file, format="png", dpi=110)
        return file.getvalue()
