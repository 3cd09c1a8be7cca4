"""alkit's conformance kit, and a comparison with a slow implementation of the paper's rule."""

import math
from types import SimpleNamespace

import alkit
import numpy as np
import pytest
from alkit.testing import RowMeans, StrategyKit

import alkit_typiclust
from alkit_typiclust import TypiClust


class TestTypiClust(StrategyKit):
    """The kit."""

    random = True  # the initial centres of K-means depend on the seed

    @pytest.fixture
    def strategy(self):
        return TypiClust(features=RowMeans(), neighbours=5)


def select_slowly(view, n, rng, neighbours, max_clusters):
    """Select as the paper describes it, one image at a time."""
    rows = dict(zip(view.ids, view.features(None).tolist(), strict=True))
    found = alkit.features.kmeans(view.features(None), view.ids, min(len(view.labelled) + n, max_clusters), rng)
    cluster = {id: int(label) for id, label in zip(found.ids, found.labels, strict=True)}

    def typicality(id):
        others = sorted(math.dist(rows[id], rows[o]) for o in view.ids if o != id and cluster[o] == cluster[id])
        nearest = others[:neighbours]
        return 1 / (sum(nearest) / len(nearest)) if any(nearest) else math.inf

    chosen = []
    while len(chosen) < n:
        left = [id for id in view.candidates if id not in chosen]
        covered = [cluster[id] for id in [*view.labelled, *chosen]]
        members = {c: [id for id in view.ids if cluster[id] == c] for c in {cluster[id] for id in left}}
        best = min(members, key=lambda c: (covered.count(c), -len(members[c]), members[c][0]))
        chosen.append(max(sorted(id for id in left if cluster[id] == best), key=typicality))
    return tuple(chosen)


@pytest.mark.parametrize(("neighbours", "max_clusters"), [(20, 500), (3, 500), (1, 4)])
@pytest.mark.parametrize(("n", "labelled"), [(1, 0), (8, 0), (8, 5), (30, 20)])
def test_the_selection_equals_that_of_a_slow_implementation_of_the_paper(n, labelled, neighbours, max_clusters):
    rng = np.random.default_rng(n + labelled)
    ids = [f"{number:02}" for number in range(60)]
    # Around a few points of a grid, so that clusters have different sizes.
    rows = (10 * rng.integers(4, size=(60, 2)) + rng.normal(size=(60, 2))).astype(np.float32)
    order = rng.permutation(ids).tolist()
    view = SimpleNamespace(
        ids=ids, labelled=order[:labelled], candidates=sorted(order[labelled + 2 :]), features=lambda extractor: rows
    )
    chosen = TypiClust(RowMeans(), neighbours, max_clusters).select(view, n, np.random.default_rng(0))
    assert chosen.ids == select_slowly(view, n, np.random.default_rng(0), neighbours, max_clusters)


def test_equally_typical_images_are_ordered_by_id():
    ids = ["a", "b", "c", "d"]
    square = np.array([[0, 0], [0, 1], [1, 0], [1, 1]], dtype=np.float32)
    view = SimpleNamespace(ids=ids, labelled=[], candidates=ids, features=lambda extractor: square)
    assert TypiClust(RowMeans()).select(view, 1, np.random.default_rng(0)).ids == ("a",)


@pytest.mark.parametrize("block", [1, 7, 10, 11])
def test_distances_do_not_depend_on_the_block_size(monkeypatch, block):
    rows = np.random.default_rng(0).normal(size=(10, 3)).astype(np.float32)
    monkeypatch.setattr(alkit_typiclust, "BLOCK", block)
    slow = [np.mean(sorted(math.dist(a, b) for b in rows.tolist() if b != a)[:4]) for a in rows.tolist()]
    np.testing.assert_allclose(alkit_typiclust.mean_distances(rows, 4), slow, rtol=1e-12)


def test_stands_for_names_the_cluster_of_each_image():
    ids = ["a", "b", "c", "d"]
    line = np.array([[0], [1], [3], [90]], dtype=np.float32)
    view = SimpleNamespace(ids=ids, labelled=["b"], candidates=["a", "c", "d"], features=lambda extractor: line)
    chosen = TypiClust(RowMeans(), max_clusters=2).select(view, 2, np.random.default_rng(0))
    assert dict(zip(chosen.ids, chosen.stands_for, strict=True)) == {
        "d": "cluster 2 of 2, 1 image, 0 labelled before: its most typical candidate",
        "a": "cluster 1 of 2, 3 images, 1 labelled before: its most typical candidate",
    }


@pytest.mark.parametrize("wrong", [{"features": 3}, {"neighbours": 0}, {"max_clusters": 0}, {"neighbours": 2.5}])
def test_a_wrong_parameter_is_an_error_that_names_it(wrong):
    (name,) = wrong
    with pytest.raises(alkit.errors.ConfigurationError, match=f"^{name} must be "):
        TypiClust(**wrong)
