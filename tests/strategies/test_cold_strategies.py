"""ProbCover, MaxHerding and facility location select, step by step, what a slow and obvious greedy choice selects."""

import math
from types import SimpleNamespace

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from alkit.errors import ConfigurationError, SelectionError
from alkit.features import kmeans
from alkit.testing import RowMeans
from alkit.values import Limit
from alkit_baselines import coverage
from alkit_baselines.facility_location import FacilityLocation
from alkit_baselines.max_herding import MaxHerding, median_distance
from alkit_baselines.prob_cover import ProbCover, pure_radius

FEATURES = RowMeans()


def view_of(rows, labelled=(), others=()):
    ids = [f"{place:03}" for place in range(len(rows))]
    taken = {*labelled, *others}
    return SimpleNamespace(
        ids=ids,
        labelled=[ids[row] for row in labelled],
        candidates=[id for row, id in enumerate(ids) if row not in taken],
        features=lambda extractor: rows,
        clusters=lambda extractor, k: kmeans(rows, ids, k, np.random.default_rng(0)),
    )


def cosine(a, b):
    lengths = math.hypot(*a) * math.hypot(*b)
    return sum(x * y for x, y in zip(a, b, strict=True)) / lengths if lengths else 0.0


def gaussian(a, b):
    return math.exp(-(math.dist(a, b) ** 2) / (2 * 1.5**2))


def ball(a, b):
    return float(math.dist(a, b) <= 1.5)


STRATEGIES = {
    "facility-location": (FacilityLocation(FEATURES), cosine, -1.0),
    "maxherding": (MaxHerding(FEATURES, width=1.5), gaussian, 0.0),
    "probcover": (ProbCover(FEATURES, delta=1.5), ball, 0.0),
}
each = pytest.mark.parametrize("name", STRATEGIES)


def covered(rows, members, alike, least):
    return sum(max([least, *(alike(row, rows[member]) for member in members)]) for row in rows)


@each
@given(
    n=st.integers(2, 14),
    d=st.integers(1, 3),
    labelled=st.integers(0, 3),
    whole=st.booleans(),
    products=st.sampled_from([1, 30, 2**22]),
    seed=st.integers(0, 9999),
)
@settings(max_examples=60, deadline=None)
def test_each_pick_gains_as_much_coverage_as_the_best_one_of_a_brute_force(name, n, d, labelled, whole, products, seed):
    strategy, alike, least = STRATEGIES[name]
    chance = np.random.default_rng(seed)
    table = chance.integers(-3, 4, size=(n, d)) if whole else chance.normal(scale=2, size=(n, d))
    table = table.astype(np.float32)
    order = chance.permutation(n).tolist()
    view = view_of(table, order[:labelled], order[labelled : labelled + 1])
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(coverage, "PRODUCTS", products)
        chosen = strategy.select(view, len(view.candidates), np.random.default_rng(0)).ids
    rows = table.tolist()
    members = order[:labelled]
    left = [view.ids.index(id) for id in view.candidates]
    for id in chosen:
        different = [row for row in left if rows[row] not in [rows[member] for member in members]]
        if not different:
            break
        before = covered(rows, members, alike, least)
        gains = {row: covered(rows, [*members, row], alike, least) - before for row in different}
        best = max(gains.values())
        pick = view.ids.index(id)
        assert pick in different
        if name == "probcover" and best == 0:
            break  # from here on the radius is halved
        assert gains[pick] == pytest.approx(best, abs=1e-5)
        if whole and name != "maxherding":  # exact ties are ordered by id
            assert pick == min(row for row in different if gains[row] > best - 1e-6)
        members, left = [*members, pick], [row for row in left if row != pick]


@given(
    st.integers(2, 25), st.integers(1, 4), st.sampled_from([0.3, 0.5, 0.95, 1.0]), st.sampled_from([1, 7, 4096]),
    st.integers(0, 999),
)  # fmt: skip
@example(2, 1, 0.95, 4096, 0)
def test_the_radius_is_the_largest_one_that_leaves_enough_balls_pure(n, k, purity, block, seed):
    from alkit_baselines import prob_cover

    chance = np.random.default_rng(seed)
    rows, labels = chance.normal(size=(n, 2)).astype(np.float32), chance.integers(k, size=n)

    def pure(radius):
        return np.mean([
            all(labels[j] == labels[i] for j in range(n) if math.dist(rows[i].tolist(), rows[j].tolist()) <= radius)
            for i in range(n)
        ])  # fmt: skip

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(prob_cover, "BLOCK", block)
        radius = pure_radius(rows, labels, np.arange(n), purity)
    assert pure(radius) >= purity
    if len(set(labels.tolist())) > 1 and pure(100) < purity:
        assert pure(radius * (1 + 1e-5)) < purity


def test_the_default_radius_and_width_follow_the_scale_of_the_features():
    rows = np.random.default_rng(0).normal(size=(60, 3)).astype(np.float32)
    for strategy in (ProbCover(FEATURES, clusters=3), MaxHerding(FEATURES)):
        small, large = (
            strategy.select(view_of(rows * scale), 10, np.random.default_rng(0)).ids
            for scale in (np.float32(1), np.float32(1024))
        )
        assert small == large
    assert median_distance(rows) == pytest.approx(
        np.median([math.dist(a, b) for i, a in enumerate(rows.tolist()) for b in rows.tolist()[:i]])
    )


def test_balls_that_cover_everything_are_halved_until_they_do_not():
    rows = np.array([[0], [1], [3], [7]], np.float32)
    chosen = ProbCover(FEATURES, delta=20.0).select(view_of(rows), 4, np.random.default_rng(0)).ids
    # The first ball covers all at 20 and 10. At 5 and at 2.5 it leaves the last image, which others cover.
    assert chosen == ("000", "002", "003", "001")


@each
def test_a_large_offset_of_the_features_does_not_matter_for_distances(name):
    strategy = STRATEGIES[name][0]
    rows = np.random.default_rng(3).integers(-4, 5, size=(30, 2)).astype(np.float32)
    plain = strategy.select(view_of(rows), 8, np.random.default_rng(0)).ids
    moved = strategy.select(view_of(rows + np.float32(1000)), 8, np.random.default_rng(0)).ids
    assert (plain == moved) == (name != "facility-location")  # a cosine depends on the origin


@each
def test_identical_images_come_last_and_labelled_ones_count(name):
    strategy = STRATEGIES[name][0]
    rows = np.repeat(np.array([[1, 9], [9, 1], [5, -5], [8, 8]], np.float32), 3, axis=0)
    view = view_of(rows, labelled=[0])
    chosen = [view.ids.index(id) for id in strategy.select(view, 11, np.random.default_rng(0)).ids]
    assert {row // 3 for row in chosen[:3]} == {1, 2, 3}
    assert sorted(chosen) == list(range(1, 12))


@each
def test_a_group_waits_when_it_has_reached_the_limit_of_the_view(name):
    rows = np.random.default_rng(1).normal(size=(12, 2)).astype(np.float32)
    view = view_of(rows)
    groups = {id: str(row // 4) for row, id in enumerate(view.ids)}
    view.limits = [Limit(groups, most=2)]
    chosen = STRATEGIES[name][0].select(view, 8, np.random.default_rng(0)).ids
    assert sorted(groups[id] for id in chosen[:6]) == ["0", "0", "1", "1", "2", "2"]


@each
def test_a_sample_stands_for_a_large_pool(name):
    strategy = STRATEGIES[name][0]
    rows = np.repeat(np.eye(4, dtype=np.float32) * 10, 50, axis=0)
    rows += np.random.default_rng(0).normal(scale=0.1, size=rows.shape).astype(np.float32)
    strategy = type(strategy)(**{**vars(strategy), "represented": 40})
    view = view_of(rows)
    chosen = strategy.select(view, 4, np.random.default_rng(0))
    assert {view.ids.index(id) // 50 for id in chosen.ids} == {0, 1, 2, 3}
    assert chosen.stands_for[0] == "pick 1 of 4, stands for 50 images"


@each
def test_too_many_images_are_an_error(name):
    with pytest.raises(SelectionError, match="cannot select 4 images: only 3 candidates are left"):
        STRATEGIES[name][0].select(view_of(np.eye(3, dtype=np.float32)), 4, np.random.default_rng(0))


@pytest.mark.parametrize(
    ("name", "wrong"),
    [
        ("facility-location", {"represented": 0}),
        ("facility-location", {"features": 3}),
        ("maxherding", {"width": 0}),
        ("maxherding", {"width": math.nan}),
        ("probcover", {"delta": -1.0}),
        ("probcover", {"purity": 0.0}),
        ("probcover", {"purity": 1.5}),
        ("probcover", {"clusters": 0}),
    ],
)
def test_a_wrong_parameter_is_an_error_that_names_it(name, wrong):
    (parameter,) = wrong
    with pytest.raises(ConfigurationError, match=f"^{parameter} must be "):
        type(STRATEGIES[name][0])(**wrong)


def test_they_select_a_start_set_in_an_experiment(world):
    for strategy, *_ in STRATEGIES.values():
        experiment = world.experiment(strategy=strategy)
        ids = experiment.ask(3)
        assert len(set(ids)) == 3
        assert all(query.stands_for.startswith("pick ") for query in experiment.queries())
