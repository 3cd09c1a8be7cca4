"""How many labels alkit saves: splits, runs that continue, and the tables."""

import numpy as np

from benchmarks.labels import split


def made_up_set(n=40):
    """Return ids, kinds and groups of `n` images; two images make a group."""
    return [f"{row:03}" for row in range(n)], ["a", "b"] * (n // 2), [f"g{row // 2}" for row in range(n)]


def test_no_reported_run_sees_a_tuning_image(monkeypatch):
    ids, kinds, groups = made_up_set()
    tuning = frozenset(ids[:4])
    monkeypatch.setattr(split, "tuning_ids", lambda name: tuning)
    pool, test = split.split("nuclei", ids, kinds, groups, seed=0)
    assert sorted([*pool, *test]) == list(range(4, 40))
    assert not {groups[row] for row in pool} & {groups[row] for row in test}
    assert split.tuning_rows("nuclei", ids).tolist() == [0, 1, 2, 3]
    assert not np.array_equal(test, split.split("nuclei", ids, kinds, groups, seed=1)[1])
