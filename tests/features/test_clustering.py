"""K-means finds true clusters, does not depend on the order of the rows, and uses every row."""

import sys

import faiss
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from alkit.errors import ConfigurationError, DataError, MissingDependencyError
from alkit.features import kmeans
from alkit.features.clustering import fill_clusters
from alkit.features.tables import Table


@pytest.fixture(autouse=True)
def one_thread():
    before = faiss.omp_get_max_threads()
    faiss.omp_set_num_threads(1)
    yield
    faiss.omp_set_num_threads(before)


def rng(seed=0):
    return np.random.default_rng(seed)


def names(n):
    return [f"image{i:05d}" for i in range(n)]


def blobs(k, each, d, seed):
    """Return `k` groups of unit width, centres about 20 sqrt(2 d) apart, and which row is in which."""
    random = rng(seed)
    truth = np.repeat(np.arange(k), each)
    rows = 20 * random.normal(size=(k, d))[truth] + random.normal(size=(k * each, d))
    return rows.astype(np.float32), truth


def groups(labels):
    """Return the partition behind the labels, whatever their numbers."""
    labels = np.asarray(labels)
    return {frozenset(np.flatnonzero(labels == label).tolist()) for label in set(labels.tolist())}


def by_id(clusters):
    return {
        id: (int(label), float(distance))
        for id, label, distance in zip(clusters.ids, clusters.labels, clusters.distances, strict=True)
    }


@pytest.mark.parametrize("seed", [0, 1, 2])
def test_all_of_100_true_clusters_are_found_though_the_defaults_of_faiss_miss_some(seed):
    rows, truth = blobs(100, 20, 16, seed)
    default = faiss.Kmeans(16, 100, seed=seed, min_points_per_centroid=1)
    default.train(rows)
    assert len(groups(default.assign(rows)[1]) & groups(truth)) < 100
    assert groups(kmeans(rows, names(2000), 100, rng(seed)).labels) == groups(truth)


def test_every_row_counts_towards_the_centre():
    rows = rng().exponential(size=(3000, 4)).astype(np.float32)  # FAISS's default is to train on 256 of them
    centre = rows.astype(np.float64).mean(axis=0)
    found = kmeans(rows, names(3000), 1, rng())
    np.testing.assert_allclose(found.distances, np.linalg.norm(rows - centre, axis=1), rtol=1e-5)


@pytest.mark.parametrize("seed", range(5))
def test_one_far_row_among_thousands_gets_a_cluster_of_its_own(seed):
    rows = rng(seed).normal(size=(3000, 4)).astype(np.float32)
    rows[1234] += 1000
    found = kmeans(rows, names(3000), 2, rng(seed))
    assert found.labels.tolist() == [int(i == 1234) for i in range(3000)]
    assert found.distances[1234] < 1e-3


def test_the_cost_equals_that_of_the_best_of_all_partitions():
    rows = rng(3).normal(size=(9, 2)).astype(np.float32)

    def cost(labels):
        parts = [rows[np.equal(labels, label)] for label in set(labels)]
        return sum(float(((part - part.mean(axis=0)) ** 2).sum()) for part in parts)

    best = min(cost([(code >> i) & 1 for i in range(9)]) for code in range(2**9))
    found = kmeans(rows, names(9), 2, rng())
    assert cost(found.labels.tolist()) == pytest.approx(best, rel=1e-6)
    assert float((found.distances**2).sum()) == pytest.approx(best, rel=1e-5)


def test_distances_are_the_l2_norm_to_the_mean_of_the_own_cluster_and_no_other_mean_is_nearer():
    rows, _ = blobs(6, 50, 8, seed=4)
    found = kmeans(rows, names(300), 6, rng())
    means = np.stack([rows[found.labels == label].mean(axis=0, dtype=np.float64) for label in range(6)])
    reference = np.linalg.norm(rows[:, None] - means, axis=2)
    np.testing.assert_allclose(found.distances, reference[np.arange(300), found.labels], rtol=1e-4)
    assert (reference.argmin(axis=1) == found.labels).all()


def test_clusters_are_numbered_by_size_then_by_their_smallest_id():
    rows = np.array([[0.0], [0.1], [50.0], [50.1], [50.2], [90.0], [90.1]], dtype=np.float32)
    found = kmeans(rows, ["d", "e", "x", "y", "z", "c", "f"], 3, rng())
    assert found.labels.tolist() == [2, 2, 0, 0, 0, 1, 1]  # c d e f: the pair with "c" comes first
    assert found.sizes.tolist() == [3, 2, 2]


@given(seed=st.integers(0, 2**32 - 1), n=st.integers(1, 40), k=st.integers(1, 8), levels=st.integers(1, 6))
@settings(max_examples=60, deadline=None)
def test_permuting_the_rows_with_their_ids_changes_nothing(seed, n, k, levels):
    random = rng(seed)
    rows = random.integers(levels, size=(n, 2)).astype(np.float32)  # a coarse grid: many ties
    ids = [f"{i:x}" for i in random.permutation(1000)[:n]]
    order = random.permutation(n)
    straight = kmeans(rows, ids, k, rng(seed))
    shuffled = kmeans(rows[order], [ids[i] for i in order], k, rng(seed))
    assert shuffled.ids == tuple(ids[i] for i in order)
    assert by_id(shuffled) == by_id(straight)


@given(seed=st.integers(0, 2**32 - 1), n=st.integers(1, 40), k=st.integers(1, 50), levels=st.integers(1, 6))
@settings(max_examples=80, deadline=None)
def test_there_are_k_clusters_or_as_many_as_different_rows_and_none_is_empty(seed, n, k, levels):
    rows = rng(seed).integers(levels, size=(n, 2)).astype(np.float32) * rng(seed).choice([1, 1e-3, 1e6])
    different = len(set(map(tuple, rows.tolist())))
    found = kmeans(rows, names(n), k, rng(seed))
    assert found.k == min(k, different)
    assert found.sizes.min() >= 1
    assert found.sizes.sum() == n
    assert list(found.sizes) == sorted(found.sizes, reverse=True)
    assert np.isfinite(found.distances).all()
    if k >= different:
        assert found.distances.max() <= 1e-6 * np.abs(rows).max()
        assert groups(found.labels) == groups(
            [sorted(set(map(tuple, rows.tolist()))).index(tuple(r)) for r in rows.tolist()]
        )


def test_the_centre_of_an_empty_cluster_moves_to_the_farthest_row():
    # FAISS sometimes returns empty clusters, mostly if one row is far from many that are nearly equal.
    rows = np.array([[0.0], [0.9], [2.0], [10.0]], dtype=np.float32)
    labels, squared = fill_clusters(Table(rows), centres=rows[[0, 0, 0]])
    assert labels.tolist() == [0, 0, 2, 1]
    np.testing.assert_allclose(np.sqrt(squared), [0, 0.9, 0, 0], atol=1e-6)


def test_negative_zero_equals_zero():
    found = kmeans(np.array([[0.0], [-0.0], [0.0]], dtype=np.float32), ["a", "b", "c"], 2, rng())
    assert (found.k, found.labels.tolist(), found.distances.tolist()) == (1, [0, 0, 0], [0.0, 0.0, 0.0])


@pytest.mark.parametrize(("shift", "scale"), [(0, 2.0**100), (0, 2.0**-100), (2.0**17, 1.0)])
def test_clusters_do_not_depend_on_the_origin_or_unit_of_the_features(shift, scale):
    rows, truth = blobs(5, 30, 3, seed=7)
    rows = np.round(rows * 32) / 32  # exact in float32 after the shift
    moved = ((rows + np.float32(shift)) * np.float32(scale)).astype(np.float32)
    straight, found = kmeans(rows, names(150), 5, rng()), kmeans(moved, names(150), 5, rng())
    assert groups(found.labels) == groups(truth)
    np.testing.assert_allclose(found.distances, straight.distances * scale, rtol=2e-3)


def test_the_same_generator_state_gives_the_same_clusters_and_another_may_give_others():
    rows = rng(1).uniform(size=(500, 8)).astype(np.float32)  # no clusters in it: the start decides
    runs = [kmeans(rows, names(500), 20, rng(seed)) for seed in (0, 0, 1)]
    assert by_id(runs[0]) == by_id(runs[1])
    assert groups(runs[0].labels) != groups(runs[2].labels)


def test_kmeans_does_not_change_the_global_generator_or_the_features():
    rows = rng(1).normal(size=(50, 3)).astype(np.float32)
    kept, before = rows.copy(), np.random.get_state()[1].copy()  # noqa: NPY002
    kmeans(rows, names(50), 4, rng())
    assert (np.random.get_state()[1] == before).all()  # noqa: NPY002
    assert (rows == kept).all()


def test_faiss_prints_no_warning_about_few_rows(capfd):
    kmeans(rng(1).normal(size=(12, 3)).astype(np.float32), names(12), 4, rng())
    assert capfd.readouterr() == ("", "")


@pytest.mark.parametrize("gpus", [0, 1])
def test_a_gpu_is_used_if_the_installed_faiss_supports_it(monkeypatch, gpus):
    asked, original = [], faiss.Kmeans

    def spy(*args, gpu, **options):
        asked.append(gpu)
        return original(*args, **options)

    monkeypatch.setattr(faiss, "get_num_gpus", lambda: gpus)
    monkeypatch.setattr(faiss, "Kmeans", spy)
    kmeans(rng(1).normal(size=(12, 3)).astype(np.float32), names(12), 4, rng())
    assert set(asked) == {gpus > 0}


def test_without_faiss_the_error_names_the_extras(monkeypatch):
    monkeypatch.setitem(sys.modules, "faiss", None)
    with pytest.raises(MissingDependencyError, match=r"alkit\[cpu\].*alkit\[gpu\]"):
        kmeans(np.zeros((2, 1), dtype=np.float32), ["a", "b"], 1, rng())


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_a_row_that_is_not_finite_is_an_error_that_names_the_first(value):
    rows = np.zeros((4, 2), dtype=np.float32)
    rows[2, 1] = rows[3, 0] = value
    with pytest.raises(DataError, match=f"features of 'c' must be finite: got {value}"):
        kmeans(rows, ["a", "b", "c", "d"], 2, rng())


@pytest.mark.parametrize(
    ("shape", "ids"),
    [((3, 2), ["a", "b"]), ((2,), ["a", "b"]), ((2, 0), ["a", "b"]), ((0, 2), []), ((2, 2), ["a", "a"])],
)
def test_features_that_do_not_match_the_ids_are_an_error(shape, ids):
    with pytest.raises(DataError):
        kmeans(np.zeros(shape, dtype=np.float32), ids, 1, rng())


def test_k_must_be_at_least_one():
    with pytest.raises(ConfigurationError, match="k must be an integer >= 1: got 0"):
        kmeans(np.zeros((2, 1), dtype=np.float32), ["a", "b"], 0, rng())
