"""The search equals a plain search in float64, ties included, on any device and for any scale of the features."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from alkit.errors import DataError
from alkit.features import nearest
from alkit.features.search import Search
from alkit.features.tables import Table


def nearest_slowly(rows, points):
    """Compare every row with every point, in float64."""
    squared = np.empty((len(rows), len(points)))
    for number, point in enumerate(points.astype(np.float64)):
        difference = rows.astype(np.float64) - point
        squared[:, number] = np.einsum("nd,nd->n", difference, difference)
    return squared.argmin(axis=1), np.sqrt(squared.min(axis=1))


def table(kind, n, d, seed):
    """Return rows that are hard to compare in float32."""
    chance = np.random.default_rng(seed)
    rows = chance.normal(size=(n, d))
    if kind == "grid":  # many ties
        rows = chance.integers(3, size=(n, d)).astype(float)
    elif kind == "far from zero":
        rows += 1e4
    elif kind == "huge or tiny":
        rows *= 2.0 ** chance.integers(-140, 126)
    elif kind == "one huge row":
        rows[0] *= 1e30
    elif kind == "one far row":
        rows *= 1e-3
        rows[0] += 1e4
    elif kind == "one-hot":  # all at one distance
        rows = np.eye(d)[chance.integers(d, size=n)]
    return rows.astype(np.float32)


KINDS = st.sampled_from(["normal", "grid", "far from zero", "huge or tiny", "one huge row", "one far row", "one-hot"])


@given(KINDS, st.integers(1, 80), st.integers(1, 40), st.integers(1, 20), st.booleans(), st.integers(0, 9999))
@settings(max_examples=150, deadline=None)
def test_the_result_is_that_of_a_plain_search(kind, n, k, d, between, seed):
    rows = table(kind, n, d, seed)
    chance = np.random.default_rng(seed)
    points = rows[chance.integers(n, size=k)]
    if between:
        points = (points.astype(np.float64) + rows[chance.integers(n, size=k)]) / 2
    expected, distances = nearest_slowly(rows, points)
    found, away = nearest(rows, points)
    assert found.tolist() == expected.tolist()
    assert away.tolist() == distances.tolist()
    _, by_torch = nearest(rows, points, device="cpu")
    np.testing.assert_allclose(by_torch, distances, rtol=1e-12)


def test_blocks_and_parts_of_the_points_do_not_change_the_result(monkeypatch):
    rows = table("grid", 500, 6, seed=1)
    expected = nearest_slowly(rows, rows[:90])
    monkeypatch.setattr("alkit.features.search.POINTS", 7)
    monkeypatch.setattr("alkit.features.search.CELLS", 1)
    monkeypatch.setattr("alkit.features.search.PAIRS", 20)
    monkeypatch.setattr("alkit.features.tables.BLOCK", 40)
    monkeypatch.setattr("alkit.features.search_torch.CELLS", 1)
    monkeypatch.setattr("alkit.features.search_torch.PAIRS", 20)
    for device in (None, "cpu"):
        found, away = nearest(rows, rows[:90], device)
        assert found.tolist() == expected[0].tolist()
        np.testing.assert_allclose(away, expected[1], rtol=1e-12)


@pytest.mark.parametrize("device", [None, "cpu"])
def test_points_can_be_added_later_and_earlier_ones_win_ties(device):
    rows = table("grid", 60, 2, seed=2)
    whole, parts = Search(Table(rows), 12, device), Search(Table(rows), 12, device)
    whole.add(rows[:12])
    for start in range(0, 12, 5):
        parts.add(rows[start : min(12, start + 5)])
    assert parts.best.tolist() == whole.best.tolist() == nearest_slowly(rows, rows[:12])[0].tolist()


def test_a_table_in_another_order_is_read_in_that_order():
    rows = table("normal", 30, 3, seed=3)
    order = np.random.default_rng(0).permutation(30)
    found = Search(Table(rows, order), 30)
    found.add(rows)
    assert found.best.tolist() == order.tolist()


def test_points_may_be_much_larger_than_all_rows():
    rows = np.array([[1e-30], [2e-30]], np.float32)
    assert nearest(rows, np.array([[1e38], [0.0], [-1e38]]))[0].tolist() == [1, 1]


def test_a_memory_map_is_not_copied(tmp_path):
    np.save(tmp_path / "rows.npy", np.random.default_rng(0).normal(size=(200, 4)).astype(np.float32))
    rows = np.load(tmp_path / "rows.npy", mmap_mode="r")
    assert nearest(rows, rows[:5])[0].tolist() == nearest_slowly(np.asarray(rows), np.asarray(rows[:5]))[0].tolist()


def test_a_lower_precision_of_torch_is_restored_and_not_used():
    torch.set_float32_matmul_precision("medium")
    try:
        rows = table("far from zero", 300, 64, seed=4)
        assert nearest(rows, rows[:50], "cpu")[0].tolist() == nearest_slowly(rows, rows[:50])[0].tolist()
        assert torch.get_float32_matmul_precision() == "medium"
    finally:
        torch.set_float32_matmul_precision("highest")


def test_no_rows_are_no_error():
    found, away = nearest(np.empty((0, 2), np.float32), np.zeros((1, 2)))
    assert (len(found), len(away)) == (0, 0)


@pytest.mark.parametrize(("rows", "points"), [((3, 2), (2, 3)), ((3, 2), (0, 2)), ((3,), (2, 2)), ((3, 0), (2, 0))])
def test_shapes_that_do_not_fit_are_an_error(rows, points):
    with pytest.raises(DataError, match=r"features and points must be arrays .* got shapes"):
        nearest(np.zeros(rows, np.float32), np.zeros(points))


def test_a_value_that_is_not_finite_is_an_error():
    rows = np.zeros((3, 2), np.float32)
    with pytest.raises(DataError, match="points must be finite"):
        nearest(rows, np.array([[0, np.nan]]))
    rows[2, 1] = np.inf
    with pytest.raises(DataError, match="row 2 of the features must be finite: got inf"):
        nearest(rows, np.zeros((1, 2)))
