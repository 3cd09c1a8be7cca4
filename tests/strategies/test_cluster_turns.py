"""Strategies that pick from clusters: the cluster with the fewest labels comes first, and identical images last."""

from types import SimpleNamespace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from alkit.errors import ConfigurationError, SelectionError
from alkit.features import kmeans
from alkit.strategies import Picks, pick_by_cluster
from alkit.testing import RowMeans, StrategyKit
from alkit.values import Clusters, Limit
from alkit_baselines.centroids import Centroids
from alkit_baselines.typiclust import TypiClust


class Given:
    """An extractor for views that hold features."""

    def fit(self, pool, rng, report=None):
        raise AssertionError("only an experiment fits extractors")


def view_of(rows, labelled=(), others=(), **more):
    rows = np.asarray(rows, np.float32).reshape(len(rows), -1)
    ids = tuple(f"{number:03}" for number in range(len(rows)))
    taken = {ids[row] for row in [*labelled, *others]}
    return SimpleNamespace(
        ids=ids,
        candidates=tuple(id for id in ids if id not in taken),
        labelled=tuple(ids[row] for row in labelled),
        features=lambda extractor: rows,
        clusters=lambda extractor, k: kmeans(rows, ids, k, np.random.default_rng(0)),
        **more,
    )


def pick_slowly(rows, view, n, clusters, distances):
    """Pick by the definition: among what is free, the cluster with the fewest labels, then the nearest."""
    picks = Picks(view, rows, n)
    taken = [clusters[view.ids.index(id)] for id in view.labelled]
    while picks.missing:
        row = min(
            np.flatnonzero(picks.free).tolist(),
            key=lambda row: (taken.count(clusters[row]), clusters[row], distances[row], row),
        )
        picks.pick(row)
        taken.append(clusters[row])
    return picks.ids


@given(st.integers(1, 14), st.integers(0, 5), st.integers(1, 5), st.integers(1, 6), st.integers(0, 9999))
@settings(max_examples=80, deadline=None)
def test_picks_by_cluster_are_those_of_the_definition(n, labelled, k, different, seed):
    chance = np.random.default_rng(seed)
    rows = chance.integers(different, size=(n, 1)).astype(np.float32)
    labels, distances = chance.integers(k, size=n), chance.integers(3, size=n).astype(float)
    order = chance.permutation(n).tolist()
    view = view_of(rows, order[:labelled], order[labelled : labelled + 2])
    view.limits = [Limit({id: str(chance.integers(3)) for id in view.ids}, 1)]
    wanted = int(chance.integers(len(view.candidates) + 1))
    found = pick_by_cluster(
        Picks(view, rows, wanted),
        Clusters(view.ids, labels, distances, k),
        lambda some: some[np.argsort(distances[some], kind="stable")],
    )
    assert found.ids == pick_slowly(rows, view, wanted, labels.tolist(), distances.tolist())


def test_clusters_of_other_images_are_refused():
    view = view_of([0, 1, 2])
    with pytest.raises(SelectionError, match="clusters must have the ids of the view"):
        pick_by_cluster(
            Picks(view, view.features(None), 1), Clusters(("a",), np.zeros(1), np.zeros(1), 1), lambda some: some
        )


def blobs(sizes, seed=0):
    """Return rows in groups of the given sizes, far from each other, and the group of each."""
    chance = np.random.default_rng(seed)
    groups = np.repeat(np.arange(len(sizes)), sizes)
    centres = 100 * np.stack([np.arange(len(sizes)), np.arange(len(sizes)) ** 2], axis=1)
    return (centres[groups] + chance.normal(size=(len(groups), 2))).astype(np.float32), groups


def select(view, n, **parameters):
    return Centroids(features=Given(), **parameters).select(view, n, np.random.default_rng(0))


def test_each_of_n_groups_gives_the_image_nearest_to_its_mean_and_the_largest_group_comes_first():
    rows, groups = blobs([5, 12, 8])
    chosen = select(view_of(rows), 3)
    expected = []
    for group in (1, 2, 0):
        members = np.flatnonzero(groups == group)
        away = np.linalg.norm(rows[members] - rows[members].mean(axis=0), axis=1)
        expected.append(f"{members[away.argmin()]:03}")
    assert chosen.ids == tuple(expected)
    assert chosen.stands_for == (
        "pick 1 of 3, stands for 12 images",
        "pick 2 of 3, stands for 8 images",
        "pick 3 of 3, stands for 5 images",
    )


def test_groups_with_a_labelled_image_are_covered():
    rows, groups = blobs([5, 12, 8, 6])
    chosen = select(view_of(rows, labelled=[5, 17]), 2)  # one of the group of 12, one of the group of 8
    assert [int(groups[int(id)]) for id in chosen.ids] == [3, 0]


def test_images_that_are_not_candidates_shape_the_clusters_but_are_not_selected():
    rows, groups = blobs([5, 12])
    nearest = int(select(view_of(rows), 2).ids[0])
    second = select(view_of(rows, others=[nearest]), 2).ids[0]
    assert int(second) != nearest
    assert groups[int(second)] == 1


def test_more_images_than_clusters_come_in_turns():
    rows, groups = blobs([3, 12])
    chosen = select(view_of(rows), 6, max_clusters=2).ids
    assert [int(groups[int(id)]) for id in chosen] == [1, 0, 1, 0, 1, 0]


@given(st.integers(1, 12), st.integers(0, 4), st.integers(1, 4), st.integers(0, 999))
@settings(max_examples=40, deadline=None)
def test_identical_images_are_selected_only_if_no_different_one_is_left(n, labelled, different, seed):
    rows = np.random.default_rng(seed).integers(different, size=(n, 1)).astype(np.float32)
    view = view_of(rows, labelled=range(min(labelled, n)))
    known = {float(rows[int(id), 0]) for id in view.labelled}
    candidates = {float(rows[int(id), 0]) for id in view.candidates}
    for wanted in range(len(view.candidates) + 1):
        chosen = select(view, wanted).ids
        assert len(set(chosen)) == wanted
        new = {float(rows[int(id), 0]) for id in chosen} - known
        assert len(new) == min(wanted, len(candidates - known))


def test_the_selection_does_not_depend_on_the_generator():
    rows, _ = blobs([5, 12, 8])
    view = view_of(rows)
    strategy = Centroids(features=Given())
    assert strategy.select(view, 4, np.random.default_rng(0)) == strategy.select(view, 4, np.random.default_rng(1))


def test_bad_parameters_and_too_many_images_are_errors():
    with pytest.raises(ConfigurationError, match="max_clusters must be an integer >= 1: got 0"):
        Centroids(features=Given(), max_clusters=0)
    with pytest.raises(SelectionError, match="cannot select 3 images: only 2 candidates are left"):
        select(view_of([0, 1, 2], labelled=[0]), 3)


class TestCentroids(StrategyKit):
    """The kit."""

    @pytest.fixture
    def strategy(self):
        return Centroids(features=RowMeans())


def typical_slowly(rows, view, n, neighbours, max_clusters):
    """Select as the paper describes it, one image at a time; images are all different."""
    found = view.clusters(None, min(len(view.labelled) + n, max_clusters))
    cluster = {id: int(label) for id, label in zip(found.ids, found.labels, strict=True)}
    place = {id: row for row, id in enumerate(view.ids)}

    def typicality(id):
        others = [other for other in view.ids if other != id and cluster[other] == cluster[id]]
        away = sorted(float(np.linalg.norm(rows[place[id]] - rows[place[other]])) for other in others)[:neighbours]
        return 1 / (sum(away) / len(away)) if away else np.inf

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
def test_typiclust_selects_as_the_paper_describes(n, labelled, neighbours, max_clusters):
    chance = np.random.default_rng(n + labelled)
    # Around a few points of a grid, so that clusters have different sizes.
    rows = (10 * chance.integers(4, size=(60, 2)) + chance.normal(size=(60, 2))).astype(np.float32)
    order = chance.permutation(60).tolist()
    view = view_of(rows, order[:labelled], order[labelled : labelled + 2])
    chosen = TypiClust(Given(), neighbours, max_clusters).select(view, n, chance)
    assert chosen.ids == typical_slowly(rows, view, n, neighbours, max_clusters)


def test_typiclust_selects_different_images_although_identical_ones_are_the_most_typical():
    rows = np.array([[0], [0], [0], [1], [50], [50], [52]], np.float32)
    chosen = TypiClust(Given()).select(view_of(rows, labelled=[4]), 4, np.random.default_rng(0))
    assert {float(rows[int(id), 0]) for id in chosen.ids[:3]} == {0, 1, 52}


class TestTypiClust(StrategyKit):
    """The kit."""

    @pytest.fixture
    def strategy(self):
        return TypiClust(features=RowMeans(), neighbours=5)
