"""BADGE, ClaSP PE and foreground-random follow their definitions, computed slowly."""

import itertools
import math
from collections import Counter
from types import SimpleNamespace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import alkit
from alkit import Predictions
from alkit.errors import ConfigurationError, SelectionError
from alkit.testing import Brightness, RowMeans
from alkit.values import Limit
from alkit_baselines.badge import BADGE, Distances, draw, prediction_errors
from alkit_baselines.clasp_pe import ClaSPPE, class_scores
from alkit_baselines.foreground_random import ForegroundRandom


def view_of(probabilities, features=None, labelled=(), round=1, at_once=3):
    ids = [f"{place:03}" for place in range(len(probabilities))]
    candidates = [id for row, id in enumerate(ids) if row not in labelled]

    def predictions():
        for start in range(0, len(candidates), at_once):
            some = candidates[start : start + at_once]
            yield Predictions(tuple(some), probabilities[[ids.index(id) for id in some]])

    return SimpleNamespace(
        ids=ids,
        candidates=candidates,
        labelled=[ids[row] for row in labelled],
        round=round,
        features=lambda extractor: features,
        predictions=predictions,
    )


def drawn(shape, seed, spread=2.0):
    """Return probabilities of a soft-max, ``(n, classes, ...)``."""
    logits = np.random.default_rng(seed).normal(scale=spread, size=shape)
    powers = np.exp(logits)
    return (powers / powers.sum(axis=1, keepdims=True)).astype(np.float32)


def gradients(probabilities, features):
    """Return the gradient of each image as the docstring defines it, number by number."""
    found = []
    for p, row in zip(probabilities.astype(float), features.astype(float), strict=True):
        classes = len(p)
        if p.ndim == 1:
            errors = [p[c] - (c == p.argmax()) for c in range(classes)]
        else:
            pixels = [p[:, y, x] for y in range(p.shape[1]) for x in range(p.shape[2])]
            errors = [
                sum(pixel[c] - (c == label) for pixel in pixels if pixel.argmax() == label) / len(pixels)
                for label in range(classes)
                for c in range(classes)
            ]
        found.append([error * value for error in errors for value in row])
    return np.array(found)


class Fixed:
    """A generator whose random numbers are given."""

    def __init__(self, *numbers):
        self._numbers = iter(numbers)

    def random(self):
        return next(self._numbers)


@pytest.mark.parametrize("shape", [(5, 3), (5, 2, 3, 2)])
def test_badge_draws_with_the_probabilities_of_kmeans_plus_plus(shape):
    probabilities = drawn(shape, seed=1)
    features = np.random.default_rng(2).normal(size=(5, 4)).astype(np.float32)
    vectors = gradients(probabilities, features)
    view = view_of(probabilities, features, labelled=[2])
    places = [0, 1, 3, 4]
    grid = 40
    seen = Counter()
    for one, two in itertools.product((np.arange(grid) + 0.5) / grid, repeat=2):
        chosen = BADGE().select(view, 2, Fixed(one, two)).ids
        seen[tuple(map(int, chosen))] += 1 / grid**2
    squares = {row: sum(vectors[row] ** 2) for row in places}
    for first in places:
        apart = {row: sum((vectors[row] - vectors[first]) ** 2) for row in places}
        for second in places:
            chance = squares[first] / sum(squares.values()) * apart[second] / sum(apart.values())
            assert seen[first, second] == pytest.approx(chance, abs=0.03)
            assert (seen[first, second] > 0) == (first != second)


@given(st.integers(1, 9), st.integers(2, 3), st.integers(1, 4), st.booleans(), st.integers(1, 5), st.integers(0, 999))
def test_distances_of_gradients_equal_those_of_the_gradients_themselves(n, classes, d, pixels, at_once, seed):
    probabilities = drawn((n, classes, 2, 2) if pixels else (n, classes), seed)
    features = np.random.default_rng(seed).normal(size=(n, d)).astype(np.float32)
    vectors = gradients(probabilities, features)
    view = view_of(probabilities, at_once=at_once)
    found = Distances(prediction_errors(view.ids, view.predictions()), features)
    np.testing.assert_allclose(found.squared, (vectors**2).sum(axis=1), rtol=1e-4, atol=1e-6)
    for turn in range(min(n, 3)):
        found.add(turn)
        expected = ((vectors[:, None] - vectors[None, : turn + 1]) ** 2).sum(axis=2).min(axis=1)
        np.testing.assert_allclose(found.squared, expected, rtol=1e-3, atol=1e-5)


def test_a_draw_never_takes_a_row_that_is_not_free():
    weights, free = np.array([0.0, 1.0, 0.0, 3.0, 0.0]), np.array([True, True, False, True, True])
    numbers = [0.0, 0.2, 0.25, 0.999999, np.nextafter(1, 0)]
    assert [draw(weights, free, Fixed(u)) for u in numbers] == [1, 1, 3, 3, 3]
    assert {draw(np.zeros(5), free, Fixed(u)) for u in np.linspace(0, 0.999, 50)} == {0, 1, 3, 4}


def slow_entropy(p):
    return -sum(x * math.log(x) for x in p if x > 0)


@given(st.integers(1, 4), st.integers(2, 4), st.booleans(), st.integers(0, 999))
def test_scores_of_classes_equal_a_plain_loop(n, classes, pixels, seed):
    probabilities = drawn((n, classes, 2, 3) if pixels else (n, classes), seed)
    probabilities[0] = 0
    probabilities[0, 0] = 1  # 0 log 0 is 0
    for p, scores in zip(probabilities.astype(float), class_scores(probabilities), strict=True):
        points = p.reshape(classes, -1).T.tolist()
        for label in range(classes):
            assert scores[label] == pytest.approx(np.mean([slow_entropy(x) * x[label] for x in points]), abs=1e-6)
        assert scores[-1] == pytest.approx(np.mean([slow_entropy(x) for x in points]), abs=1e-6)


@given(st.integers(2, 12), st.integers(2, 4), st.sampled_from([0.0, 0.5, 0.66, 1.0]), st.integers(0, 999))
@settings(deadline=None)
def test_without_noise_each_class_takes_its_best_image_in_turn(n, classes, share, seed):
    probabilities = drawn((n, classes, 2, 2), seed)
    scores = class_scores(probabilities)
    strategy = ClaSPPE(share=share, beta=1e9)
    chosen = strategy.select(view_of(probabilities), n, np.random.default_rng(seed))
    left = set(range(n))
    by_class = [words for words in chosen.stands_for if "for class" in words]
    assert len(by_class) == round(share * n)
    assert all("among all" in words for words in chosen.stands_for[len(by_class) :])
    for id, words in zip(chosen.ids, chosen.stands_for, strict=True):
        column = int(words.split("for class ")[1].split(",")[0]) if "for class" in words else -1
        assert column != 0  # the background
        assert int(id) == max(left, key=lambda row: scores[row, column])
        left.remove(int(id))
    counts = Counter(words.split("for class ")[1].split(",")[0] for words in by_class)
    assert max(counts.values(), default=0) - min(counts.values(), default=0) <= 1


def test_the_noise_decays_from_round_to_round():
    probabilities = drawn((40, 2, 4, 4), seed=0)
    best = np.argsort(-class_scores(probabilities)[:, 1])[:10]

    def hits(round):
        view = view_of(probabilities, round=round)
        chosen = [ClaSPPE(share=1).select(view, 10, np.random.default_rng(seed)).ids for seed in range(20)]
        return np.mean([len({int(id) for id in ids} & set(best.tolist())) for ids in chosen])

    first, later, last = hits(1), hits(5), hits(30)
    assert first < later < last == 10
    view = view_of(probabilities, round=30)
    one, other = (ClaSPPE(growth=1).select(view, 10, np.random.default_rng(seed)).ids for seed in (0, 1))
    assert one != other


def test_the_draw_follows_the_scores_to_the_power_of_beta():
    probabilities = np.array([[0.9, 0.1], [0.7, 0.3], [0.5, 0.5]], np.float32)
    strategy, view = ClaSPPE(share=0, beta=2.0), view_of(probabilities)
    rng = np.random.default_rng(0)
    seen = Counter(strategy.select(view, 1, rng).ids[0] for _ in range(3000))
    powers = class_scores(probabilities)[:, -1] ** 2
    for row, chance in enumerate(powers / powers.sum()):
        assert seen[f"{row:03}"] / 3000 == pytest.approx(chance, abs=0.03)


def masks_of(areas, side=4):
    """Return predictions with these numbers of foreground pixels, all different."""
    p = np.zeros((len(areas), 2, side, side), np.float32)
    for row, area in enumerate(areas):
        p[row, 1].flat[:area] = 0.75
        p[row, 1, -1, -1] += row / 1000  # no two are identical
    p[:, 0] = 1 - p[:, 1]
    return p


def test_images_with_predicted_foreground_are_drawn_first_and_equally_often():
    view = view_of(masks_of([0, 3, 0, 5, 1, 0, 2]), labelled=[1])
    rng = np.random.default_rng(0)
    seen = Counter()
    for _ in range(600):
        chosen = ForegroundRandom().select(view, 2, rng)
        assert [words.partition(", ")[2] for words in chosen.stands_for] == [
            "stands for 2 of 3 images with predicted foreground",
            "stands for 1 of 3 images with predicted foreground",
        ]
        seen.update(chosen.ids)
    assert seen.keys() == {"003", "004", "006"}
    assert all(count == pytest.approx(400, abs=60) for count in seen.values())


def test_the_least_area_and_the_share_are_kept():
    view = view_of(masks_of([0, 3, 0, 5, 1, 0, 2]))
    chosen = ForegroundRandom(least=2 / 16).select(view, 7, np.random.default_rng(0))
    assert set(chosen.ids[:2]) == {"001", "003"}
    assert chosen.stands_for[2] == "pick 3 of 7, stands for 1 of 5 images without predicted foreground"
    seen = {ForegroundRandom(share=0.5).select(view, 4, np.random.default_rng(seed)).ids for seed in range(40)}
    assert all({"001", "003", "004", "006"} >= set(ids[:2]) for ids in seen)
    assert any({"000", "002", "005"} & set(ids[2:]) for ids in seen)


@pytest.mark.parametrize("strategy", [BADGE(), ClaSPPE(), ForegroundRandom()], ids=lambda s: type(s).__name__)
def test_identical_images_come_last(strategy):
    probabilities = np.repeat(drawn((3, 2, 2, 2), seed=5), 4, axis=0)
    features = np.repeat(np.eye(3, dtype=np.float32), 4, axis=0)
    for seed in range(10):
        chosen = strategy.select(view_of(probabilities, features), 6, np.random.default_rng(seed)).ids
        kinds = [int(id) // 4 for id in chosen]
        assert sorted(kinds[:3]) == sorted(kinds[3:]) == [0, 1, 2]


@pytest.mark.parametrize("strategy", [ClaSPPE(), ForegroundRandom()], ids=lambda s: type(s).__name__)
def test_images_identical_to_labelled_ones_come_last_whatever_is_predicted(strategy):
    probabilities = np.repeat(drawn((1, 2, 2, 2), seed=5), 6, axis=0)  # one prediction, six images of three contents
    view = view_of(probabilities, labelled=[0])
    view.digests = lambda: {id: f"content {int(id) // 2} of the images" for id in view.ids}
    for seed in range(10):
        chosen = strategy.select(view, 5, np.random.default_rng(seed))
        kinds = [int(id) // 2 for id in chosen.ids]
        assert sorted(kinds[:2]) == [1, 2]  # 0 has a label
    if isinstance(strategy, ClaSPPE):
        counts = [int(words.split("stands for ")[1].split()[0]) for words in chosen.stands_for]
        assert counts == [1] * 5  # every copy is a pick itself
        (words,) = strategy.select(view, 1, np.random.default_rng(0)).stands_for
        assert words.startswith("pick 1 of 1, stands for 2 images, ")


@given(st.lists(st.integers(0, 3), min_size=1, max_size=12), st.integers(1, 12), st.integers(0, 99))
@settings(deadline=None)
def test_every_image_with_predicted_foreground_is_stood_for_by_one_pick(areas, n, seed):
    n = min(n, len(areas))
    chosen = ForegroundRandom().select(view_of(masks_of(areas)), n, np.random.default_rng(seed))
    for kind in ("with predicted", "without predicted"):
        parts = [words.split("stands for ")[1].split(" of ") for words in chosen.stands_for if kind in words]
        shares = [int(own) for own, _ in parts]
        whole = sum((area > 0) == (kind == "with predicted") for area in areas)
        assert all(int(rest.split()[0]) == whole for _, rest in parts)
        assert not shares or (sum(shares) == whole and max(shares) - min(shares) <= 1)


@pytest.mark.parametrize("strategy", [BADGE(), ClaSPPE(), ForegroundRandom()], ids=lambda s: type(s).__name__)
def test_a_group_waits_when_it_has_reached_the_limit_of_the_view(strategy):
    view = view_of(drawn((12, 2, 2, 2), seed=3), np.random.default_rng(1).normal(size=(12, 2)).astype(np.float32))
    groups = {id: str(row // 4) for row, id in enumerate(view.ids)}
    view.limits = [Limit(groups, most=2)]
    chosen = strategy.select(view, 8, np.random.default_rng(0)).ids
    assert sorted(groups[id] for id in chosen[:6]) == ["0", "0", "1", "1", "2", "2"]


@pytest.mark.parametrize("strategy", [BADGE(), ClaSPPE(), ForegroundRandom()], ids=lambda s: type(s).__name__)
def test_too_many_images_are_an_error(strategy):
    view = view_of(drawn((3, 2), seed=0), np.eye(3, dtype=np.float32), labelled=[0])
    with pytest.raises(SelectionError, match="cannot select 3 images: only 2 candidates are left"):
        strategy.select(view, 3, np.random.default_rng(0))


@pytest.mark.parametrize(
    ("made", "wrong"),
    [
        (ClaSPPE, {"share": 1.5}),
        (ClaSPPE, {"beta": 0}),
        (ClaSPPE, {"growth": 0.5}),
        (ForegroundRandom, {"share": 0.0}),
        (ForegroundRandom, {"least": 1.0}),
    ],
)
def test_a_wrong_parameter_is_an_error_that_names_it(made, wrong):
    (parameter,) = wrong
    with pytest.raises(ConfigurationError, match=f"^{parameter} must be "):
        made(**wrong)


def test_they_follow_a_random_start_in_an_experiment(world):
    for strategy in (BADGE(), ClaSPPE(), ForegroundRandom()):
        experiment = world.experiment(strategy=strategy, learner=Brightness())
        experiment.run(world.oracle, test=world.test, start=4, batch=3, rounds=1)
        experiment.ask(2)
        assert all(query.stands_for.startswith("pick ") for query in experiment.queries())


def test_the_view_of_an_experiment_gives_the_digests_of_its_pool(world):
    seen = []

    def choose(view, n, rng):
        seen.append(dict(view.digests()))
        return list(view.candidates)[:n]

    for strategy in (choose, alkit.strategies.DuplicatesLast(choose, RowMeans())):
        world.experiment(strategy=strategy, learner=Brightness()).ask(2)
    assert seen == [world.pool.digests()] * 2
