"""The order by typicality is that of means in float64, and rows are computed only when they are asked for."""

import math
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from alkit.errors import ConfigurationError
from alkit.features import by_typicality, search_torch, typicality, typicality_torch


def order_slowly(rows, members, neighbours):
    """Sort by the mean distance to the nearest other members, then by row."""

    def mean(row):
        others = sorted(math.dist(rows[row].tolist(), rows[other].tolist()) for other in members if other != row)
        nearest = others[:neighbours]
        return round(sum(nearest) / len(nearest), 9) if nearest else 0

    return sorted(members, key=lambda row: (mean(row), row))


def check_order(found, rows, members, neighbours):
    """Check that rows are sorted by the mean distance to the nearest other members, then by row.

    The means of different distances can be equal, but for the rounding of their sums, as of 2 + 2 and 1 + 3 times the
    root of 2. Then either may come first.
    """

    def nearest(row):
        return sorted(math.dist(rows[row].tolist(), rows[other].tolist()) for other in members if other != row)

    own = {row: [round(distance, 9) for distance in nearest(row)[:neighbours]] for row in members}
    means = [round(sum(own[row]) / max(1, len(own[row])), 8) for row in found]
    assert sorted(found) == list(members)
    assert means == sorted(means)
    for one, other in pairwise(found):
        assert own[one] != own[other] or one < other


@given(
    kind=st.sampled_from(["normal", "grid", "far"]),
    n=st.integers(1, 40),
    neighbours=st.integers(1, 8),
    block=st.sampled_from([1, 7, 1024]),
    seed=st.integers(0, 9999),
)
@settings(max_examples=120, deadline=None)
@example(kind="grid", n=35, neighbours=5, block=1, seed=262)
def test_the_order_is_that_of_the_definition(kind, n, neighbours, block, seed):
    chance = np.random.default_rng(seed)
    rows = {
        "normal": lambda: chance.normal(size=(n, 5)),
        "grid": lambda: chance.integers(4, size=(n, 2)),
        "far": lambda: chance.normal(size=(n, 5)) + 1000,
    }[kind]().astype(np.float32)
    members = np.sort(chance.permutation(n)[: chance.integers(1, n + 1)])
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(typicality, "BLOCK", block)
        check_order(list(by_typicality(rows, members, neighbours)), rows, members.tolist(), neighbours)


@pytest.mark.parametrize("block", [64, 8192])
def test_the_order_is_the_same_on_a_device(monkeypatch, block):
    monkeypatch.setattr(typicality_torch, "BLOCK", block)
    monkeypatch.setattr(search_torch, "CELLS", 64 * block)
    rows = np.random.default_rng(0).normal(size=(300, 8)).astype(np.float32) + 1000
    members = np.arange(0, 300, 2)
    expected = list(by_typicality(rows, members, 5))
    assert list(by_typicality(rows, members, 5, device="cpu")) == expected
    assert list(by_typicality(rows, members[:1], 5, device="cpu")) == [0]


def test_only_what_is_asked_for_is_computed_in_float64(monkeypatch):
    rows = np.random.default_rng(0).normal(size=(600, 8)).astype(np.float32)
    asked, original = [], typicality.mean_distances
    monkeypatch.setattr(typicality, "mean_distances", lambda *args: [asked.append(len(args[2])), original(*args)][1])
    found = by_typicality(rows, np.arange(600), 20)
    assert [next(found), next(found)] == order_slowly(rows, list(range(600)), 20)[:2]
    assert sum(asked) < 30


def test_the_unit_and_the_origin_do_not_matter():
    rows = np.round(np.random.default_rng(1).normal(size=(50, 3)) * 64).astype(np.float32) / 64
    straight = list(by_typicality(rows, np.arange(50), 4))
    assert list(by_typicality(rows * np.float32(2.0**100), np.arange(50), 4)) == straight
    assert list(by_typicality(rows * np.float32(2.0**-100), np.arange(50), 4)) == straight
    assert list(by_typicality(rows + np.float32(1024), np.arange(50), 4)) == straight


def test_neighbours_must_be_positive():
    with pytest.raises(ConfigurationError, match="neighbours must be an integer >= 1: got 0"):
        by_typicality(np.zeros((2, 1), np.float32), np.arange(2), 0)
