"""Keep the images that developers tune on apart from the images of the reported runs, and split the latter.

``split.json`` has the ids of the tuning images by data set: 10 % of the groups of each kind. It was committed before
the first run of this benchmark. Recipes of learners may be tuned on these images only: train on some of them, and
measure on others. No reported run sees one of them. To write the file again::

    python -m benchmarks.labels.split --data DIR

``DIR`` has the folders ``isic2017``, ``dsb2018-nuclei`` and ``msd-hippocampus``.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import numpy.typing as npt

from benchmarks.cold_start.data import READERS, DataSet, read
from benchmarks.cold_start.protocol import draw_share

FILE = Path(__file__).with_suffix(".json")
TUNING_SHARE = 0.1
TEST_SHARES = {"isic": 1 / 6, "nuclei": 0.25, "hippocampus": 0.25}
"""Share of the reported images that a seed draws as its test set, by data set."""

Rows = npt.NDArray[np.int64]


def tuning_ids(name: str, file: Path = FILE) -> frozenset[str]:
    """Return the ids of the tuning images of a data set.

    >>> [len(tuning_ids(name)) for name in ("isic", "nuclei", "hippocampus")]
    [199, 67, 78]
    """
    return frozenset(json.loads(file.read_text())[name])


def draw_tuning(data: DataSet) -> list[str]:
    """Draw the tuning images of a data set: a share of the groups of each kind."""
    drawn = draw_share(data.kinds, data.groups, TUNING_SHARE, np.random.default_rng([18, 0]))
    return [id for id, own in zip(data.ids, drawn, strict=True) if own]


def tuning_rows(name: str, ids: Sequence[str]) -> Rows:
    """Return the rows of the tuning images among `ids`."""
    own = tuning_ids(name)
    return np.flatnonzero([id in own for id in ids])


def split(name: str, ids: Sequence[str], kinds: Sequence[str], groups: Sequence[str], seed: int) -> tuple[Rows, Rows]:
    """Return the rows of the pool and of the test images of a seed, without tuning images.

    A seed draws a share of the groups of each kind as test images. The others are the pool.
    """
    reported = np.setdiff1d(np.arange(len(ids)), tuning_rows(name, ids))
    drawn = draw_share(
        [kinds[row] for row in reported],
        [groups[row] for row in reported],
        TEST_SHARES[name],
        np.random.default_rng([18, 1, seed]),
    )
    return reported[~drawn], reported[drawn]


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description="Write the ids of the tuning images.")
    parser.add_argument("--data", type=Path, required=True, help="folder of the data sets")
    folder = parser.parse_args().data
    drawn = {name: draw_tuning(read(name, folder, size=8)) for name in READERS}
    FILE.write_text(json.dumps(drawn, indent=0) + "\n")
