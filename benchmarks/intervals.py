"""Which interval of a mean over few images covers it: the simulation by which alkit's was chosen.

::

    python -m benchmarks.intervals --out benchmarks/results/intervals.csv

Values in [0, 1] like those of Dice are drawn from eight distributions, some with rare failures of 0, and each interval
of 95 % is made from 12, 20 and 40 of them. ``alkit`` is :func:`alkit.statistics.interval_of`, and ``bayes`` the same
without imagined images. The others are the percentile bootstrap, BCa, Student's t and the studentized bootstrap.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
from scipy import stats

from alkit.statistics import interval_of
from benchmarks import rows
from benchmarks.terminal import integer_from, start

Values = npt.NDArray[np.float64]
RESAMPLES, TAILS = 2000, (0.025, 0.975)


def _zeros(share: float, a: float, b: float) -> Callable[[np.random.Generator, int], Values]:
    return lambda rng, n: np.where(rng.random(n) < share, 0, rng.beta(a, b, n))


DISTRIBUTIONS: dict[str, Callable[[np.random.Generator, int], Values]] = {
    "beta(12, 2)": lambda rng, n: rng.beta(12, 2, n),
    "beta(4, 1)": lambda rng, n: rng.beta(4, 1, n),
    "beta(1, 4)": lambda rng, n: rng.beta(1, 4, n),
    "beta(30, 2), 5 % of 0": _zeros(0.05, 30, 2),
    "beta(12, 2), 10 % of 0": _zeros(0.1, 12, 2),
    "beta(8, 3), 20 % of 0": _zeros(0.2, 8, 3),
    "two kinds of images": lambda rng, n: np.where(rng.random(n) < 0.4, rng.beta(2, 6, n), rng.beta(15, 3, n)),
    "40 % of 1, 12 % of 0": lambda rng, n: np.where(rng.random(n) < 0.4, 1, _zeros(0.2, 6, 2)(rng, n)),
}


@dataclass(frozen=True)
class Row:
    """Coverage and mean width of one interval."""

    distribution: str
    n: int
    method: str
    repetitions: int
    coverage: float
    width: float
    commit: str


def intervals(values: Values, rng: np.random.Generator) -> dict[str, tuple[float, float]]:
    """Return the interval of each method."""
    n, mean, error = len(values), values.mean(), values.std(ddof=1) / len(values) ** 0.5
    drawn = values[rng.integers(0, n, (RESAMPLES, n))]
    means = drawn.mean(axis=1)
    weights = rng.standard_exponential((RESAMPLES, n))
    errors = drawn.std(axis=1, ddof=1) / n**0.5
    usable = errors > 1e-9
    studentized = np.quantile((means[usable] - mean) / errors[usable], TAILS)
    half = float(stats.t.ppf(TAILS[1], n - 1)) * error
    own = interval_of(values, rng=rng)
    return {
        "alkit": (own.low or 0.0, own.high or 1.0),
        "bayes": tuple(np.quantile(weights @ values / weights.sum(axis=1), TAILS)),
        "percentile": tuple(np.quantile(means, TAILS)),
        "bca": _bca(values, means),
        "t": (mean - half, mean + half),
        "studentized": (mean - studentized[1] * error, mean - studentized[0] * error),
    }


def _bca(values: Values, means: Values) -> tuple[float, float]:
    mean, n = values.mean(), len(values)
    share = ((means < mean).mean() + (means <= mean).mean()) / 2
    bias = stats.norm.ppf(np.clip(share, 1e-4, 1 - 1e-4))
    without = (values.sum() - values) / (n - 1)
    apart = without.mean() - without
    spread = (apart**2).sum()
    skew = (apart**3).sum() / (6 * spread**1.5) if spread > 0 else 0.0
    z = bias + stats.norm.ppf(TAILS)
    low, high = np.quantile(means, stats.norm.cdf(bias + z / (1 - skew * z)))
    return float(low), float(high)


def measure(name: str, n: int, repetitions: int, seed: int) -> list[Row]:
    """Return the rows of one distribution and one number of images."""
    draw, rng = DISTRIBUTIONS[name], np.random.default_rng([seed, n])
    truth = float(draw(np.random.default_rng(7), 2_000_000).mean())
    found: dict[str, list[tuple[float, float]]] = {}
    for _ in range(repetitions):
        for method, interval in intervals(draw(rng, n), rng).items():
            found.setdefault(method, []).append(interval)
    commit = rows.commit()
    return [
        Row(
            name, n, method, repetitions,
            round(float(np.mean([low <= truth <= high for low, high in own])), 4),
            round(float(np.mean([high - low for low, high in own])), 4),
            commit,
        )
        for method, own in found.items()
    ]  # fmt: skip


def main() -> None:
    """Measure all intervals, and print the least and the mean coverage of each."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--out", type=Path, default=Path("benchmarks/results/intervals.csv"))
    parser.add_argument("--repetitions", type=integer_from(1), default=400)
    parser.add_argument("--seed", type=int, default=0)
    given = parser.parse_args()
    found = [
        row
        for n in (12, 20, 40)
        for number, name in enumerate(DISTRIBUTIONS)
        for row in measure(name, n, given.repetitions, given.seed + number)
    ]
    rows.write(given.out, [asdict(row) for row in found])
    for n in (12, 20, 40):
        for method in dict.fromkeys(row.method for row in found):
            own = [row for row in found if (row.n, row.method) == (n, method)]
            least, mean = min(row.coverage for row in own), np.mean([row.coverage for row in own])
            print(
                f"{n} images, {method}: least {least:.3f}, mean {mean:.3f}, width {np.mean([r.width for r in own]):.3f}"
            )


if __name__ == "__main__":
    start(main)
