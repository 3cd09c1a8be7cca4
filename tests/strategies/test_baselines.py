"""The baselines that need no model: they select exactly n candidates, the same for a seed and any order of the pool."""

import ast
import importlib
import math
import sys
from collections import Counter
from dataclasses import dataclass, replace
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import alkit
from alkit.errors import ConfigurationError
from alkit.features import Reconstruction, kmeans
from alkit.strategies import cluster_order, stands_for
from alkit.values import Clusters
from alkit_baselines.random import Random
from alkit_baselines.ssl_cluster import SSLCluster


class Given:
    """An extractor for views that hold features."""

    def fit(self, pool, rng, report=None):
        raise AssertionError("only an experiment fits extractors")


GIVEN = Given()


@dataclass(frozen=True)
class FakeView:
    """A view with given features."""

    rows: dict[str, np.ndarray]
    labelled: tuple[str, ...] = ()
    round: int = 0

    @property
    def ids(self):
        return tuple(self.rows)

    @property
    def candidates(self):
        return tuple(sorted(self.rows.keys() - set(self.labelled)))

    def features(self, extractor):
        assert extractor is GIVEN
        return np.stack([self.rows[id] for id in self.ids])

    def clusters(self, extractor, k) -> Clusters:
        return kmeans(self.features(extractor), self.ids, k, np.random.default_rng(0))

    def after(self, ids):
        return replace(self, labelled=(*self.labelled, *ids), round=self.round + 1)


def pool(n, seed=0, d=3):
    random = np.random.default_rng(seed)
    centres = 10 * random.normal(size=(4, d))
    rows = centres[random.integers(4, size=n)] + random.normal(size=(n, d))
    return FakeView({f"image{i:03d}": row.astype(np.float32) for i, row in enumerate(rows)})


def permuted(view, seed):
    ids = list(view.ids)
    return replace(view, rows={ids[i]: view.rows[ids[i]] for i in np.random.default_rng(seed).permutation(len(ids))})


def rng(seed=0):
    return np.random.default_rng(seed)


STRATEGIES = [Random(), SSLCluster(features=GIVEN, clusters=4)]
each_strategy = pytest.mark.parametrize("strategy", STRATEGIES, ids=lambda strategy: type(strategy).__name__)


@each_strategy
@given(n=st.integers(1, 40), seed=st.integers(0, 1000), data=st.data())
@settings(max_examples=25, deadline=None)
def test_exactly_n_different_candidates_are_chosen(strategy, n, seed, data):
    view = pool(n, seed)
    view = view.after(data.draw(st.lists(st.sampled_from(view.ids), unique=True)))
    wanted = data.draw(st.integers(0, len(view.candidates)))
    chosen = strategy.select(view, wanted, rng(seed)).ids
    assert len(chosen) == len(set(chosen)) == wanted
    assert set(chosen) <= set(view.candidates)


@each_strategy
def test_none_and_all_can_be_asked_for(strategy):
    view = pool(30).after(["image003"])
    assert strategy.select(view, 0, rng()).ids == ()
    assert sorted(strategy.select(view, 29, rng()).ids) == list(view.candidates)


@each_strategy
def test_the_same_seed_selects_the_same_whatever_the_order_of_the_pool(strategy):
    view = pool(60).after(["image003", "image040"])
    first = strategy.select(view, 20, rng(5))
    assert all(strategy.select(permuted(view, seed), 20, rng(5)) == first for seed in range(4))


@each_strategy
@pytest.mark.parametrize("n", [1, 7, 20])
def test_a_smaller_request_gets_the_beginning_of_a_larger_one(strategy, n):
    view = pool(60)
    assert strategy.select(view, n, rng(2)).ids == strategy.select(view, 40, rng(2)).ids[:n]


@each_strategy
def test_they_start_cold_and_do_not_use_the_global_generator(strategy):
    before = np.random.get_state()[1].copy()  # noqa: NPY002
    strategy.select(pool(20), 5, rng())
    assert (np.random.get_state()[1] == before).all()  # noqa: NPY002
    assert type(strategy).starts_cold is True


def test_random_draws_another_set_for_another_seed():
    assert Random().select(pool(60), 10, rng(0)).ids != Random().select(pool(60), 10, rng(1)).ids


def test_random_draws_every_candidate_equally_often_at_every_rank():
    view, random = pool(6).after(["image002"]), rng(0)
    draws = [Random().select(view, 2, random).ids for _ in range(5000)]
    for rank in range(2):
        counts = Counter(draw[rank] for draw in draws)
        # 1000 of each expected; the standard deviation is 28.
        assert set(counts) == set(view.candidates)
        assert all(abs(count - 1000) < 140 for count in counts.values())


def test_ssl_cluster_follows_the_cluster_order_and_describes_the_cluster_of_each_image():
    view = pool(60)
    found = view.clusters(GIVEN, 4)
    selection = SSLCluster(features=GIVEN, clusters=4).select(view, 15, rng())
    assert selection.ids == cluster_order(found)[:15]
    assert selection.stands_for == tuple(stands_for(found)[id] for id in selection.ids)
    assert all(" of 4, " in words for words in selection.stands_for)


def test_ssl_cluster_takes_the_nearest_images_of_each_cluster_within_its_quota():
    view = pool(60)
    found = view.clusters(GIVEN, 4)
    chosen = set(SSLCluster(features=GIVEN, clusters=4).select(view, 17, rng()).ids)
    quotas = [math.ceil(Fraction(17 * int(size), 60)) for size in found.sizes]
    for label, share in enumerate(quotas):
        members = sorted(
            (distance, id)
            for id, own, distance in zip(found.ids, found.labels, found.distances, strict=True)
            if own == label
        )
        taken = [id in chosen for _, id in members]
        assert share - 3 <= sum(taken) <= share
        assert taken == sorted(taken, reverse=True)


def test_ssl_cluster_selects_the_same_images_over_rounds_as_in_one_large_start_set():
    strategy, view, picks = SSLCluster(features=GIVEN, clusters=4), pool(60), ()
    for n in (12, 5, 5, 8):
        chosen = strategy.select(view, n, rng(n)).ids
        view, picks = view.after(chosen), picks + chosen
    assert picks == strategy.select(pool(60), 30, rng()).ids


def test_ssl_cluster_skips_images_that_other_strategies_selected():
    strategy, view = SSLCluster(features=GIVEN, clusters=4), pool(60)
    order = strategy.select(view, 60, rng()).ids
    others = (*order[:3], *order[5:9], order[30])
    expected = [id for id in order if id not in others][:10]
    assert strategy.select(view.after(others), 10, rng()).ids == tuple(expected)


def test_ssl_cluster_works_with_fewer_images_than_clusters_and_with_equal_images():
    strategy = SSLCluster(features=GIVEN, clusters=10)
    assert sorted(strategy.select(pool(3), 3, rng()).ids) == ["image000", "image001", "image002"]
    equal = FakeView({id: np.ones(2, dtype=np.float32) for id in ("b", "c", "a")})
    assert strategy.select(equal, 2, rng()).ids == ("a", "b")


def test_ssl_cluster_does_not_use_the_generator():
    generator = rng(0)
    SSLCluster(features=GIVEN, clusters=4).select(pool(20), 5, generator)
    assert generator.random() == rng(0).random()


@pytest.mark.parametrize("clusters", [0, -3])
def test_ssl_cluster_refuses_less_than_one_cluster(clusters):
    with pytest.raises(ConfigurationError, match=f"^clusters must be an integer >= 1: got {clusters}$"):
        SSLCluster(features=GIVEN, clusters=clusters)


def test_ssl_cluster_has_the_settings_of_the_paper_by_default():
    from alkit.features import Reconstruction

    strategy = SSLCluster()
    assert strategy.features == Reconstruction()
    assert Reconstruction().pooling == 2
    assert strategy.clusters == 10


@pytest.mark.parametrize(
    "arguments",
    [
        {"clusters": "abc"},
        {"clusters": None},
        {"clusters": 2.5},
        {"clusters": True},
        {"clusters": 0},
        {"features": 3},
        {"features": Reconstruction},
    ],
)
def test_ssl_cluster_refuses_parameters_of_another_type(arguments):
    (name,) = arguments
    with pytest.raises(ConfigurationError, match=f"^{name} must be "):
        SSLCluster(**arguments)


def test_the_baselines_import_only_public_names():
    folder = Path(sys.modules[SSLCluster.__module__].__file__).parent
    for path in folder.glob("*.py"):
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.ImportFrom) and (node.module or "").partition(".")[0] == "alkit":
                public = importlib.import_module(node.module)
                assert node.module.removeprefix("alkit.") in {"alkit", *alkit.__all__}, f"{path.name}: {node.module}"
                assert {alias.name for alias in node.names} <= set(getattr(public, "__all__", vars(public)))
            if isinstance(node, ast.Import):
                assert not any(alias.name.startswith("alkit.") for alias in node.names)
