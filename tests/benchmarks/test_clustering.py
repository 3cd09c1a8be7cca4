"""K-means of large tables is never worse than five starts of k-means++ on the committed sets."""

from pathlib import Path

import numpy as np
import pytest

from alkit.features import kmeans
from benchmarks.cost.clustering import SETS, cluster_formerly, cost, make_set
from benchmarks.rows import read

ROWS = read(Path(__file__).parents[2] / "benchmarks/results/kmeans.csv")


def test_the_committed_costs_are_not_higher_than_before():
    assert {row["set"] for row in ROWS} == set(SETS)
    assert all(float(row["ratio"]) <= 1 for row in ROWS)


@pytest.mark.slow
@pytest.mark.parametrize("name", list(SETS))
def test_the_cost_is_not_higher_than_before_on_this_computer_too(name):
    rows, k = make_set(name)
    ids = [f"{row:06}" for row in range(len(rows))]
    for row in (row for row in ROWS if row["set"] == name):
        now = cost(rows, kmeans(rows, ids, k, np.random.default_rng(int(row["seed"]))).labels)
        assert now <= float(row["former_cost"])


def test_the_cost_is_the_sum_of_squared_distances_and_the_former_way_finds_clear_clusters():
    rows = np.array([[0], [2], [10], [14]], np.float32)
    labels = cluster_formerly(rows, 2, np.random.default_rng(0))
    assert len({*labels[:2].tolist()}) == len({*labels[2:].tolist()}) == 1
    assert cost(rows, labels) == 2 + 8


def test_few_clusters_of_many_rows_are_found_as_before():
    rows = np.random.default_rng(0).normal(size=(30_000, 2)).astype(np.float32)
    now = cost(rows, kmeans(rows, [f"{row:06}" for row in range(len(rows))], 40, np.random.default_rng(0)).labels)
    before = cost(rows, cluster_formerly(rows, 40, np.random.default_rng(0)))
    assert now == pytest.approx(before, rel=1e-5)
