"""Large tables are clustered in passes over blocks: no cluster is empty, none is missed, by numpy and by torch."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from alkit.features import clustering, kmeans, lloyd
from alkit.features.lloyd_torch import PassesByTorch
from alkit.features.passes import PassesByNumpy
from alkit.features.search_torch import DeviceRows
from alkit.features.tables import Table


@pytest.fixture(autouse=True, scope="module")
def every_table_is_large():
    patch = pytest.MonkeyPatch()
    patch.setattr(clustering, "SMALL", 0)
    yield
    patch.undo()


def rng(seed=0):
    return np.random.default_rng(seed)


def names(n):
    return [f"image{i:05d}" for i in range(n)]


def blobs(k, each, d, seed):
    """Return `k` groups of unit width, centres about 20 sqrt(2 d) apart, and which row is in which."""
    truth = np.repeat(np.arange(k), each)
    return (20 * rng(seed).normal(size=(k, d))[truth] + rng(seed + 1).normal(size=(k * each, d))).astype("f4"), truth


def groups(labels):
    """Return the partition behind the labels, whatever their numbers."""
    labels = np.asarray(labels)
    return {frozenset(np.flatnonzero(labels == label).tolist()) for label in set(labels.tolist())}


def cost(rows, labels):
    parts = (rows[labels == label].astype(np.float64) for label in set(labels.tolist()))
    return sum(float(((part - part.mean(axis=0)) ** 2).sum()) for part in parts)


@pytest.mark.parametrize("device", [None, "cpu"])
@pytest.mark.parametrize("seed", [0, 1, 2])
def test_all_true_clusters_are_found(seed, device):
    rows, truth = blobs(100, 20, 16, seed)
    assert groups(kmeans(rows, names(2000), 100, rng(seed), device).labels) == groups(truth)


@pytest.mark.parametrize("device", [None, "cpu"])
@pytest.mark.parametrize("seed", range(3))
def test_one_far_row_among_thousands_gets_a_cluster_of_its_own(seed, device):
    rows = rng(seed).normal(size=(3000, 4)).astype(np.float32)
    rows[1234] += 1000
    found = kmeans(rows, names(3000), 2, rng(seed), device)
    assert found.labels.tolist() == [int(i == 1234) for i in range(3000)]
    assert found.distances[1234] < 1e-3


@given(
    seed=st.integers(0, 2**32 - 1),
    n=st.integers(1, 40),
    k=st.integers(1, 50),
    levels=st.integers(1, 6),
    device=st.sampled_from([None, "cpu"]),
)
@settings(max_examples=80, deadline=None)
def test_there_are_k_clusters_or_as_many_as_different_rows_and_none_is_empty(seed, n, k, levels, device):
    rows = rng(seed).integers(levels, size=(n, 2)).astype(np.float32) * rng(seed).choice([1, 1e-3, 1e6])
    different = len(set(map(tuple, rows.tolist())))
    found = kmeans(rows, names(n), k, rng(seed), device)
    assert found.k == min(k, different)
    assert found.sizes.min() >= 1
    assert list(found.sizes) == sorted(found.sizes, reverse=True)
    if k >= different:
        assert found.distances.max() <= 1e-6 * np.abs(rows).max()
        assert groups(found.labels) == groups(
            [sorted(set(map(tuple, rows.tolist()))).index(tuple(r)) for r in rows.tolist()]
        )


@given(seed=st.integers(0, 2**32 - 1), n=st.integers(1, 40), k=st.integers(1, 8), levels=st.integers(1, 6))
@settings(max_examples=40, deadline=None)
def test_permuting_the_rows_with_their_ids_changes_nothing(seed, n, k, levels):
    random = rng(seed)
    rows = random.integers(levels, size=(n, 2)).astype(np.float32)  # a coarse grid: many ties
    ids = [f"{i:x}" for i in random.permutation(1000)[:n]]
    order = random.permutation(n)
    straight = kmeans(rows, ids, k, rng(seed))
    shuffled = kmeans(rows[order], [ids[i] for i in order], k, rng(seed))
    assert dict(zip(ids, straight.labels.tolist(), strict=True)) == dict(
        zip(shuffled.ids, shuffled.labels.tolist(), strict=True)
    )


@pytest.mark.parametrize(("shift", "scale"), [(0, 2.0**100), (0, 2.0**-100), (2.0**17, 1.0)])
def test_clusters_do_not_depend_on_the_origin_or_unit_of_the_features(shift, scale):
    rows, truth = blobs(5, 30, 3, seed=7)
    rows = np.round(rows * 32) / 32  # exact in float32 after the shift
    moved = ((rows + np.float32(shift)) * np.float32(scale)).astype(np.float32)
    straight, found = kmeans(rows, names(150), 5, rng()), kmeans(moved, names(150), 5, rng())
    assert groups(found.labels) == groups(truth)
    np.testing.assert_allclose(found.distances, straight.distances * scale, rtol=2e-3)


def test_each_row_is_nearest_to_its_centre_and_the_cost_is_no_higher_than_by_the_way_for_small_tables(monkeypatch):
    rows = (rng(3).normal(size=(50, 12))[rng(4).integers(50, size=3000)] * 2 + rng(5).normal(size=(3000, 12))).astype(
        "f4"
    )
    large = kmeans(rows, names(3000), 60, rng(0))
    monkeypatch.setattr(clustering, "SMALL", 2**20)
    small = kmeans(rows, names(3000), 60, rng(0))
    assert cost(rows, large.labels) <= cost(rows, small.labels)
    means = np.stack([rows[large.labels == label].mean(axis=0, dtype=np.float64) for label in range(60)])
    away = np.linalg.norm(rows[:, None] - means, axis=2)
    assert (away.argmin(axis=1) == large.labels).mean() > 0.99
    np.testing.assert_allclose(large.distances, away[np.arange(3000), large.labels], rtol=0.02)


def test_a_row_of_zeros_among_small_ones_does_not_change_the_scale():
    table = Table(np.array([[0, 0.001], [0.001, 0], [0, 0]], np.float32))
    before = table.exponent
    table.include(table.take(slice(2, 3)))
    assert table.exponent == before
    table.include(np.array([[1.0, 0]]))
    assert table.exponent == 1


def test_a_memory_map_gives_the_same_clusters(tmp_path):
    rows, _ = blobs(10, 20, 3, seed=1)
    np.save(tmp_path / "rows.npy", rows)
    mapped = np.load(tmp_path / "rows.npy", mmap_mode="r")
    assert kmeans(mapped, names(200), 10, rng()).labels.tolist() == kmeans(rows, names(200), 10, rng()).labels.tolist()


@pytest.mark.parametrize("cells", [1, 2**20])
def test_numpy_and_torch_find_the_same_in_each_pass(monkeypatch, cells):
    monkeypatch.setattr("alkit.features.passes.CELLS", cells)
    monkeypatch.setattr("alkit.features.search_torch.CELLS", cells)
    rows = rng().normal(size=(300, 5)).astype(np.float32)
    table = Table(rows)
    centres, slow = table.shifted(rows[:20]), table.shifted(rows).astype(np.float64)
    squared = ((slow[:, None] - centres) ** 2).sum(axis=2)
    sizes = np.bincount(rng(1).integers(20, size=300), minlength=20)
    labels = rng(1).integers(20, size=300)
    for passes in (PassesByNumpy(table), PassesByTorch(table, "cpu")):
        step, other, farther = passes.second(centres)
        order = squared.argsort(axis=1)
        assert step.labels.tolist() == passes.nearest(centres).labels.tolist() == order[:, 0].tolist()
        assert other.tolist() == order[:, 1].tolist()
        np.testing.assert_allclose(step.squared, squared.min(axis=1), atol=1e-5)
        np.testing.assert_allclose(farther, np.sort(squared, axis=1)[:, 1], atol=1e-5)
        np.testing.assert_allclose(
            step.sums, [slow[order[:, 0] == label].sum(axis=0) for label in range(20)], atol=1e-5
        )
        moved = passes.hartigan(centres, labels, sizes)
        own = np.arange(300), labels
        costs = squared * (sizes / (sizes + 1))
        costs[own] = squared[own] * np.where(sizes > 1, sizes / np.maximum(sizes - 1, 1), 0)[labels]
        assert moved.labels.tolist() == costs.argmin(axis=1).tolist()
        np.testing.assert_allclose(moved.squared, squared[own], atol=1e-5)
        directions, limits = rng(2).normal(size=(20, 5)).astype("f4"), rng(3).normal(size=20).astype("f4")
        sums, counts = passes.halves(labels, directions, limits)
        sides = labels + 20 * ((slow * directions[labels]).sum(axis=1) > limits[labels])
        assert counts.tolist() == np.bincount(sides, minlength=40).tolist()
        np.testing.assert_allclose(sums, [slow[sides == side].sum(axis=0) for side in range(40)], atol=1e-4)


def test_rows_that_stay_on_the_device_are_the_same():
    table = Table(rng().normal(size=(90, 3)).astype(np.float32), rng(1).permutation(90))
    passing, staying = DeviceRows(table, "cpu"), DeviceRows(table, "cpu")
    staying._keep = True  # as on a GPU with enough memory
    for _ in range(2):
        for columns in (2**22, 2**26):
            for (part, rows), (other, same) in zip(passing.blocks(columns), staying.blocks(columns), strict=True):
                assert (part, rows.tolist()) == (other, same.tolist())
                assert rows.tolist() == table.take(part).tolist()


def test_a_centre_that_does_little_moves_to_where_two_are_needed():
    rows, truth = blobs(4, 50, 2, seed=3)
    table = Table(rows)
    first = table.shifted(np.stack([*(rows[truth == group].mean(axis=0) for group in range(3)), rows[truth == 2][0]]))
    moved = lloyd._move(PassesByNumpy(table), table, first)
    assert groups(PassesByNumpy(table).nearest(moved).labels) == groups(truth)
