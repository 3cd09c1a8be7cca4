"""Split the 2000 ISIC 2017 training images into a pool of 1600 and a test set of 400.

The paper does not give its split. Our choice: draw a permutation of the sorted ids from the stream ``"split"`` of
seed 0; the first 400 are the test set, as in ``ImagePool.split(test=400, seed=0)``. The result is kept in
``split.json``, so that a run depends on a list that can be read, and not on a generator. To write the file again::

    python -m benchmarks.isic2017.split --data DIR

``DIR`` contains ``images/ISIC_<7 digits>.<extension>``.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Iterable
from pathlib import Path

from alkit.rng import Stream

FILE = Path(__file__).with_suffix(".json")


def split(ids: Iterable[str], *, test: int = 400, seed: int = 0) -> dict[str, list[str]]:
    """Split `ids` into ``"pool"`` and ``"test"``, each sorted. The order of `ids` does not matter.

    Parameters
    ----------
    ids:
        Different ids.
    test:
        Number of ids in the test set.
    seed:
        Seed of the :class:`~alkit.rng.Stream` whose child ``"split"`` draws the permutation.

    Examples
    --------
    >>> parts = split(["d", "c", "b", "a"], test=1)
    >>> len(parts["pool"]), len(parts["test"]), sorted(parts["pool"] + parts["test"])
    (3, 1, ['a', 'b', 'c', 'd'])
    """
    ordered = sorted(ids)
    permuted = [ordered[i] for i in Stream(seed).child("split").numpy().permutation(len(ordered))]
    return {"pool": sorted(permuted[test:]), "test": sorted(permuted[:test])}


def dumps(parts: dict[str, list[str]]) -> str:
    """Return the text of the file: JSON with one id per line."""
    return json.dumps(parts, indent=0) + "\n"


def read(file: Path = FILE) -> dict[str, list[str]]:
    """Return the committed split.

    >>> {part: len(ids) for part, ids in read().items()}
    {'pool': 1600, 'test': 400}
    """
    parts: dict[str, list[str]] = json.loads(file.read_text())
    return parts


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description="Write the split of the ISIC 2017 training set.")
    parser.add_argument("--data", type=Path, required=True, help="folder with images/")
    folder = parser.parse_args().data / "images"
    FILE.write_text(dumps(split(path.stem for path in folder.glob("ISIC_*"))))
