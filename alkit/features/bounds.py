"""Lower bounds of squared distances by products in float32.

Let x and c be a row and a point after the shift and scaling of :class:`alkit.features.tables.Table`, u = 2^-24 the unit
of rounding of float32, and d the number of columns. The shift moves x by at most u |x|, and c by u |c|. A sum of d + 2
products differs from the exact one by at most (d + 2) u times the sum of their absolute values, in any order of
summation, and that sum is at most 2 |x| |c| + |c|^2 (Cauchy-Schwarz). With K = 1.1 (d + 10) u, the exact squared
distance is therefore at least |x|^2 (1 - K) plus the computed ``|c|^2 (1 - K) - 2 K |x| |c| - 2 x.c``. The norms are
two more columns, so that a single product gives the bound.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from alkit.features.tables import Float32, Float64, Table

SLACK = 2.0**-100
"""Largest loss by numbers that are too small for float32."""


def factors(table: Table, points: npt.NDArray[np.floating]) -> tuple[Float32, float]:
    """Return the factors of the rows in the bounds, ``(d + 2, k)``, and K."""
    shifted = table.shifted(points.astype(np.float64))
    slack = 1.1 * (table.width + 10) * 2.0**-24
    squared = np.einsum("kd,kd->k", shifted, shifted, dtype=np.float64)
    columns = np.empty((table.width + 2, len(points)), np.float32)
    np.multiply(shifted.T, -2, out=columns[:-2])
    columns[-2] = -2 * slack * np.sqrt(squared)
    columns[-1] = squared * (1 - slack)
    return columns, slack


def extend(shifted: Float32) -> tuple[Float32, Float64]:
    """Return the rows with their norms and a 1, ``(n, d + 2)``, and their squared norms."""
    squared = np.einsum("nd,nd->n", shifted, shifted, dtype=np.float64)
    extended = np.empty((len(shifted), shifted.shape[1] + 2), np.float32)
    extended[:, :-2] = shifted
    extended[:, -2] = np.sqrt(squared)
    extended[:, -1] = 1
    return extended, squared
