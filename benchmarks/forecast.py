"""How often the forecast of a learning curve covers the rounds that follow.

::

    python -m benchmarks.forecast --out benchmarks/results/forecast.csv

Each committed learning curve is cut after its first 3, 4, ... rounds, and the forecast of
:func:`alkit.statistics.forecast` from these is compared with the 3 rounds that follow. The priors of the forecast were
set on the curves with even seeds (``--tuning``), and the rows are those of the curves with odd seeds. ``naive`` is the
error of the forecast that nothing changes.
"""

from __future__ import annotations

import argparse
from collections import defaultdict
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np

from alkit.statistics import forecast, why_no_forecast
from benchmarks import rows
from benchmarks.terminal import start

RESULTS = Path(__file__).parent / "results"
AHEAD = (1, 2, 3)

Curve = list[tuple[float, float]]
Key = tuple[str, ...]
Found = tuple[int, int, float, float, float, float, float]
SOURCES = {
    "labels": ("labels/rows.csv", ("data", "learner", "arm", "seed"), "images"),
    "isic2017": ("isic2017-small/rows.csv", ("method", "weights", "variant", "seed"), "dice"),
    "embeddings": ("embeddings/rows.csv", ("method", "seed"), "accuracy"),
    **{
        f"cold_start, {data}": (f"cold_start/{data}.csv", ("strategy", "features", "seed"), "images")
        for data in ("isic", "nuclei", "hippocampus")
    },
}
"""By name: the file of the rows, the columns that tell the curves apart (the seed is the last), and the metric."""


def curves(source: str) -> dict[Key, Curve]:
    """Return the curves of a source that have at least 4 points."""
    file, keys, metric = SOURCES[source]
    found = defaultdict[Key, Curve](list)
    for row in rows.read(RESULTS / file):
        if row.get("length", "0") == "0":  # the others are a single training on all images
            found[tuple(row[key] for key in keys)].append((float(row["labels"]), float(row[metric])))
    return {key: sorted(curve) for key, curve in found.items() if len(curve) >= 4}


def forecasts(curve: Curve) -> Iterator[Found]:
    """Yield for each cut: its rounds, the rounds ahead, the last and the true value, and the forecast."""
    labels, values = zip(*curve, strict=True)
    for known in range(3, len(curve)):
        for ahead in AHEAD:
            if (place := known - 1 + ahead) < len(curve) and why_no_forecast(labels[:known], values[:known]) is None:
                found = forecast(labels[:known], values[:known], labels[place])
                yield known, ahead, values[known - 1], values[place], found.value, found.low, found.high


def summarise(name: str, group: str, found: Sequence[Found]) -> dict[str, object]:
    """Return a row: how many forecasts there are, how often they cover, how wide and how wrong they are."""
    _, _, last, true, value, low, high = np.array(found).T
    return {
        "curves": name,
        "group": group,
        "forecasts": len(found),
        "coverage": f"{((low <= true) & (true <= high)).mean():.3f}",
        "below": f"{(true < low).mean():.3f}",
        "above": f"{(true > high).mean():.3f}",
        "width": f"{np.median(high - low):.4f}",
        "error": f"{np.abs(value - true).mean():.4f}",
        "naive": f"{np.abs(last - true).mean():.4f}",
    }


def main() -> None:
    """Write the rows, or print those of the curves that the priors were set on."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, help="CSV file of the rows; default: print them")
    parser.add_argument("--tuning", action="store_true", help="the curves that the priors were set on")
    given = parser.parse_args()
    commit, groups = rows.commit(), defaultdict[tuple[str, str], list[Found]](list)
    for source in SOURCES:
        for key, curve in curves(source).items():
            tuning = int(key[-1]) % 2 == 0
            if tuning != given.tuning:
                continue
            for row in forecasts(curve):
                groups[source, "all"].append(row)
                groups[source, f"after {row[0]} rounds" if row[0] < 6 else "after 6 rounds and more"].append(row)
                groups[source, f"{row[1]} ahead"].append(row)
                if source == "labels":
                    groups[source, f"{key[0]}, {key[1]}"].append(row)
    table = [{**summarise(*name, found), "commit": commit} for name, found in sorted(groups.items())]
    if given.out is not None:
        rows.write(given.out, table)
    for row in table:
        print(*row.values(), sep="\t")


if __name__ == "__main__":
    start(main)
