"""The committed split matches its documentation and the split of a pool."""

from __future__ import annotations

import hashlib
import re

import numpy as np

from alkit.pools import ArrayPool
from benchmarks.isic2017.split import FILE, dumps, read, split


def test_the_split_has_1600_ids_in_the_pool_and_400_others_in_the_test_set():
    parts = read()
    assert {part: len(ids) for part, ids in parts.items()} == {"pool": 1600, "test": 400}
    both = parts["pool"] + parts["test"]
    assert len(set(both)) == 2000
    assert all(re.fullmatch(r"ISIC_\d{7}", id) for id in both)


def test_the_file_is_reproduced_exactly_from_its_ids():
    parts = read()
    assert dumps(split(parts["test"] + parts["pool"])) == FILE.read_text()


def test_the_split_is_the_documented_permutation():
    parts = read()
    ids = sorted(parts["pool"] + parts["test"])
    seed = int.from_bytes(hashlib.sha256(b"(0, ('split',))").digest()[:8], "big") >> 1
    first = np.random.default_rng(seed).permutation(2000)[:400]
    assert parts["test"] == sorted(ids[i] for i in first)


def test_the_split_depends_on_the_seed_and_not_on_the_order_of_ids():
    ids = [f"{i:03}" for i in range(50)]
    assert split(ids, test=10) == split(reversed(ids), test=10)
    assert split(ids, test=10) != split(ids, test=10, seed=1)


def test_a_pool_splits_itself_in_the_same_way():
    ids = [f"{i:03}" for i in range(50)]
    pool, test = ArrayPool(np.zeros((50, 4, 4), np.uint8), ids=ids).split(test=10, seed=3)
    assert {"pool": list(pool.ids), "test": list(test.ids)} == split(ids, test=10, seed=3)


def test_each_id_has_its_own_line():
    lines = FILE.read_text().splitlines()
    assert sum("ISIC_" in line for line in lines) == 2000
    assert all(line.count("ISIC_") <= 1 for line in lines)
