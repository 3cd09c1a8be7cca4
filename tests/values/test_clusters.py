"""Clusters: their arrays cannot be changed, and contradictions are errors."""

import numpy as np
import pytest

from alkit.errors import DataError
from alkit.values import Clusters


def test_the_arrays_of_clusters_cannot_be_changed():
    labels = np.array([0, 1])
    clusters = Clusters(["a", "b"], labels, np.array([0.5, 0.25], dtype=np.float32), 2)
    labels[0] = 1
    assert clusters.labels.tolist() == [0, 1]
    assert (clusters.labels.dtype, clusters.distances.dtype) == (np.int64, np.float64)
    for array in (clusters.labels, clusters.distances):
        with pytest.raises(ValueError, match="read-only"):
            array[0] = 1


@pytest.mark.parametrize(
    ("labels", "distances"),
    [
        ([0, 2], [0.0, 0.0]),
        ([-1, 0], [0.0, 0.0]),
        ([0, 1], [0.0, np.nan]),
        ([0, 1], [0.0, -1.0]),
        ([0, 1], [0.0]),
        ([0], [0.0, 0.0]),
    ],
)
def test_invalid_labels_or_distances_of_clusters_are_an_error(labels, distances):
    with pytest.raises(DataError):
        Clusters(("a", "b"), np.array(labels), np.array(distances), 2)


def test_sizes_count_empty_clusters_too():
    assert Clusters(("a", "b"), np.array([2, 0]), np.zeros(2), 4).sizes.tolist() == [1, 0, 1, 0]
