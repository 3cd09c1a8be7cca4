"""Active testing: exact probabilities and unbiased estimates, and how often their intervals cover."""

from itertools import permutations

import numpy as np
import pytest

import alkit
from alkit.errors import ConfigurationError
from alkit.statistics import draw_by_score, interval_of, lure, lure_weights, sequence_probabilities

SCORES = {"a": 0.1, "b": 0.7, "c": 0.4, "d": 0.2, "e": 0.05}
LOSSES = {"a": 0.3, "b": 0.9, "c": 0.2, "d": 0.0, "e": 0.6}


@pytest.mark.parametrize("n", [1, 2, 3, 5])
def test_the_estimate_is_unbiased_over_all_sequences(n):
    total = expected = 0.0
    for drawn in permutations(SCORES, n):
        q = sequence_probabilities(SCORES, drawn, power=1.5)
        chance = float(np.prod(q))
        total += chance
        expected += chance * float(np.mean(lure_weights(q, len(SCORES)) * [LOSSES[id] for id in drawn]))
    assert total == pytest.approx(1)
    assert expected == pytest.approx(np.mean(list(LOSSES.values())))


def test_probabilities_are_those_of_stochastic_batches():
    class Known:
        starts_cold = True

        def scores(self, view):
            return {id: SCORES[id] for id in view.candidates}

        def select(self, view, n, rng):
            return alkit.values.Selection(view.candidates[:n])

    class View:
        candidates = tuple(SCORES)

    strategy, rng, counts = alkit.strategies.Stochastic(Known(), power=1.5), np.random.default_rng(0), {}
    for _ in range(4000):
        ids = strategy.select.__wrapped__(strategy, View(), 2, rng).ids
        counts[ids] = counts.get(ids, 0) + 1
    expected = {ids: 4000 * np.prod(sequence_probabilities(SCORES, ids, power=1.5)) for ids in permutations(SCORES, 2)}
    assert sum((counts.get(ids, 0) - e) ** 2 / e for ids, e in expected.items()) < 44  # 19 degrees, 0.1 % tail


def test_draws_have_the_probabilities_that_they_say():
    rng, counts = np.random.default_rng(0), dict.fromkeys(SCORES, 0)
    for _ in range(3000):
        counts[draw_by_score(SCORES, 1, rng, uniform=0.3).ids[0]] += 1
    total = sum(SCORES.values())
    for id, score in SCORES.items():
        assert counts[id] / 3000 == pytest.approx(0.7 * score / total + 0.06, abs=0.04)
    drawn = draw_by_score(SCORES, 5, rng)
    assert sorted(drawn.ids) == sorted(SCORES)
    assert drawn.probabilities[-1] == pytest.approx(1)


def test_the_estimate_of_all_images_is_their_mean():
    drawn = draw_by_score(SCORES, 5, np.random.default_rng(0))
    found = lure([LOSSES[id] for id in drawn.ids], drawn.probabilities, 5)
    assert found.value == pytest.approx(np.mean(list(LOSSES.values())))


def simulate(repetitions, n=40, images=400, trust=0.6):
    """Return coverage and mean width of active testing, and the mean width of a uniform sample."""
    hits, widths, uniform = [], [], []
    for seed in range(repetitions):
        rng = np.random.default_rng(seed)
        loss = 1 - np.where(rng.random(images) < 0.1, 0, rng.beta(12, 2, images))
        score = trust * loss + (1 - trust) * rng.random(images) * loss.mean() * 2
        drawn = draw_by_score({f"{row:03}": value for row, value in enumerate(score)}, n, rng)
        found = lure([loss[int(id)] for id in drawn.ids], drawn.probabilities, images)
        hits.append(found.low <= loss.mean() <= found.high)
        widths.append(found.high - found.low)
        some = interval_of(loss[rng.choice(images, n, replace=False)])
        uniform.append(some.high - some.low)
    return np.mean(hits), np.mean(widths), np.mean(uniform)


def test_intervals_cover_and_are_narrower_than_those_of_a_uniform_sample():
    covered, width, uniform = simulate(40)
    assert covered >= 0.85
    assert width < 0.7 * uniform


@pytest.mark.slow
@pytest.mark.parametrize("trust", [0.3, 0.6, 0.9])
def test_intervals_cover_in_many_simulations(trust):
    covered, width, uniform = simulate(400, trust=trust)
    assert covered >= 0.92
    assert width < uniform


@pytest.mark.parametrize(
    ("given", "words"),
    [
        (([0.1], [0.5, 0.5], 4), "losses must have one number for each probability"),
        (([0.1], [0.0], 4), r"probabilities must be in \(0, 1\]"),
        (([0.1, 0.2], [0.5, 0.5], 1), "population must be an integer >= 2"),
        ((["x"], [0.5], 4), "losses must be a list of finite numbers"),
    ],
)
def test_wrong_arguments_are_errors(given, words):
    with pytest.raises(ConfigurationError, match=words):
        lure(*given)


def test_a_great_power_draws_the_highest_scores_and_an_absurd_one_is_refused():
    assert sequence_probabilities({"a": 1e30, "b": 3e30, "c": 0.0}, ["b", "a", "c"], power=1e6) == (1.0, 1.0, 1.0)
    for given, words in (
        (({"a": 1.0}, 1e300), "power must be a number in"),
        (({"a": np.inf}, 1.0), "the score of 'a' must be"),
    ):
        with pytest.raises(ConfigurationError, match=words):
            sequence_probabilities(given[0], ["a"], power=given[1])


def test_an_image_that_cannot_be_drawn_has_no_probability():
    assert sequence_probabilities({"a": 1.0, "b": 0.0, "c": 0.0}, ["a", "b"]) == (1.0, 0.5)
    with pytest.raises(ConfigurationError, match="drawn must have each candidate"):
        sequence_probabilities({"a": 1.0}, ["a", "a"])
