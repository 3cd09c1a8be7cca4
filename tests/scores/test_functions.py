"""Each score equals a slow and simple reference in float64, for random input and edge cases."""

import itertools
import math
from functools import partial

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.spatial.distance import jensenshannon

import alkit
from alkit import scores
from alkit.rng import Stream
from alkit.samplers import DETERMINISTIC
from alkit.scores.moments import moments_of_draws

PIXELWISE = [scores.entropy, scores.least_confidence, scores.margin, scores.bald, scores.variance]


@st.composite
def draws(draw, space=None, classes=None):
    """Draws (T, n, classes, *space) of float32: smooth, nearly certain, or exactly 0 and 1."""
    shape = [draw(st.integers(1, 6)), draw(st.integers(1, 4)), classes or draw(st.integers(2, 5))]
    shape += draw(st.sampled_from([[], [3, 4]])) if space is None else space
    chance = np.random.default_rng(draw(st.integers(0, 2**32)))
    kind = draw(st.sampled_from(["smooth", "sharp", "one-hot", "same"]))
    logits = chance.standard_normal(shape) * {"smooth": 1, "sharp": 30, "one-hot": 1, "same": 2}[kind]
    if kind == "same":
        logits[:] = logits[0]
    if kind == "one-hot":
        return (logits == logits.max(axis=2, keepdims=True)).astype(np.float32)
    powers = np.exp(logits - logits.max(axis=2, keepdims=True))
    return (powers / powers.sum(axis=2, keepdims=True)).astype(np.float32)


class GivenPosterior:
    """A posterior whose draws are given, some at a time."""

    def __init__(self, chunks, prediction=None):
        self.chunks, self.told = chunks, prediction

    def members(self):
        yield from (torch.from_numpy(chunk) for chunk in self.chunks)

    def prediction(self):
        return torch.from_numpy(self.told)


def score_of(score, array, prediction=None, chunks=None):
    posterior = GivenPosterior([array] if chunks is None else chunks, prediction)
    moments = moments_of_draws(posterior, scores.moments_of(score), alkit.samplers.Members(), Stream(0))
    return score(**moments).double().numpy()


def h(p):
    return -sum(x * math.log(x) for x in p if x > 0)


def pixel(score, p):
    """Reference of one pixel, from its draws (T, classes), in Python's floats."""
    p = [[float(x) for x in row] for row in p]
    mean = [sum(column) / len(p) for column in zip(*p, strict=True)]
    first, second, *_ = sorted(mean, reverse=True)
    spread = [sum((row[c] - mean[c]) ** 2 for row in p) / len(p) for c in range(len(mean))]
    return {
        scores.entropy: h(mean),
        scores.least_confidence: 1 - first,
        scores.margin: 1 - first + second,
        scores.bald: h(mean) - sum(map(h, p)) / len(p),
        scores.variance: sum(spread) / len(mean),
    }[score]


@pytest.mark.parametrize("score", PIXELWISE)
@given(array=draws())
@settings(max_examples=40)
def test_a_score_equals_its_reference_at_every_pixel(score, array):
    found = score_of(score, array)
    _, n, classes, *space = array.shape
    assert found.shape == (n, *space)
    for place in itertools.product(range(n), *map(range, space)):
        expected = pixel(score, array[(slice(None), place[0], slice(None), *place[1:])])
        assert found[place] == pytest.approx(expected, abs=2e-6)
    top = {scores.least_confidence: 1 - 1 / classes, scores.margin: 1, scores.variance: 0.25}
    assert found.min() >= -1e-6
    assert found.max() <= top.get(score, math.log(classes)) + 1e-6


@given(array=draws(space=[2, 2]))
@settings(max_examples=30)
def test_bald_of_members_is_their_jensen_shannon_divergence(array):
    """For two members it is the square of scipy's Jensen-Shannon distance."""
    pair = np.concatenate([array, array])[: max(2, len(array))][:2]
    found = score_of(scores.bald, pair)
    p, q = pair.astype(np.float64)
    np.testing.assert_allclose(found, np.nan_to_num(jensenshannon(p, q, axis=1)) ** 2, atol=2e-6)


@pytest.mark.parametrize("score", PIXELWISE)
@given(array=draws(), data=st.data())
@settings(max_examples=25)
def test_scores_do_not_depend_on_the_order_of_classes_or_draws_nor_on_other_images(score, array, data):
    found = score_of(score, array)
    t, n, classes = array.shape[:3]
    shuffled = array[data.draw(st.permutations(range(t)))][:, :, data.draw(st.permutations(range(classes)))]
    np.testing.assert_allclose(score_of(score, shuffled), found, atol=2e-6)
    order = data.draw(st.permutations(range(n)))
    np.testing.assert_allclose(score_of(score, array[:, order]), found[order], atol=1e-7)
    np.testing.assert_allclose(score_of(score, array[:, order[:1]]), found[order[:1]], atol=1e-7)


@pytest.mark.parametrize("classes", [2, 3, 7])
def test_scores_of_certain_and_of_uniform_predictions_are_exact(classes):
    certain = np.zeros((3, 1, classes, 2, 2), np.float32)
    certain[:, :, 1] = 1
    for score in PIXELWISE:
        np.testing.assert_array_equal(score_of(score, certain), 0)
    uniform = np.full_like(certain, 1 / classes)
    expected = {
        scores.entropy: math.log(classes),
        scores.least_confidence: 1 - 1 / classes,
        scores.margin: 1,
        scores.bald: 0,
        scores.variance: 0,
    }
    for score, value in expected.items():
        np.testing.assert_allclose(score_of(score, uniform), value, atol=1e-6)
    opposed = np.zeros((2, 1, classes, 1, 1), np.float32)  # each draw is certain, of another class
    opposed[0, :, 0] = opposed[1, :, 1] = 1
    np.testing.assert_allclose(score_of(scores.bald, opposed), math.log(2), atol=1e-6)
    np.testing.assert_allclose(score_of(scores.variance, opposed), 2 * 0.25 / classes, atol=1e-7)


def test_the_variance_of_two_classes_is_that_of_the_lesion():
    lesion = np.random.default_rng(0).random((5, 2, 3, 3)).astype(np.float32)
    both = np.stack([1 - lesion, lesion], axis=2)
    np.testing.assert_allclose(score_of(scores.variance, both), lesion.astype(np.float64).var(axis=0), atol=1e-7)


@given(array=draws(), size=st.integers(1, 6))
@settings(max_examples=40)
def test_moments_do_not_depend_on_how_many_draws_come_at_once(array, size):
    chunks = [array[begin : begin + size] for begin in range(0, len(array), size)]
    for score in PIXELWISE:
        np.testing.assert_allclose(score_of(score, array, chunks=chunks), score_of(score, array), atol=1e-6)


def test_a_small_variance_near_one_is_not_lost():
    """The difference of the mean square and the squared mean would be only rounding error here."""
    chance = np.random.default_rng(0)
    lesion = (0.9995 + 1e-4 * chance.random((20, 1, 8, 8))).astype(np.float32)
    array = np.stack([1 - lesion, lesion], axis=2)
    expected = lesion.astype(np.float64).var(axis=0)
    assert 0 < expected.max() < 2e-9
    np.testing.assert_allclose(score_of(scores.variance, array), expected, rtol=0.02)


# Scores that depend on where a pixel lies.


def probabilities(masks, classes=2):
    """Probabilities whose arg-max are these masks."""
    masks = np.asarray(masks)
    one_hot = np.stack([masks == c for c in range(classes)], axis=1)
    return (0.4 * one_hot + 0.6 / classes).astype(np.float32)


def depths(mask, both_sides):
    """Reference: each pixel's distance to the nearest pixel of the other side, by looking at all of them."""
    pixels = list(itertools.product(*map(range, mask.shape)))
    inside, outside = [p for p in pixels if mask[p]], [p for p in pixels if not mask[p]]
    if not inside:
        return np.zeros(mask.shape)
    if not outside:  # then the pixels just outside the frame are the background
        rows, columns = mask.shape
        outside = [(r, c) for r in range(-1, rows + 1) for c in range(-1, columns + 1) if (r, c) not in set(pixels)]
        both_sides = False
    found = np.zeros(mask.shape)
    for p in pixels if both_sides else inside:
        found[p] = min(math.dist(p, q) for q in (outside if mask[p] else inside))
    low = found.min() if both_sides else 0
    return (found - low) / (found.max() - low) if found.max() > low else np.ones(mask.shape)


MASKS = st.lists(st.lists(st.integers(0, 1), min_size=6, max_size=6), min_size=5, max_size=5).map(
    lambda rows: np.array(rows, np.uint8)
)


@pytest.mark.parametrize(
    ("score", "both_sides"), [(scores.edt_variance, False), (scores.edt_variance_both_sides, True)]
)
@given(masks=st.lists(MASKS | st.just(np.zeros((5, 6), int)) | st.just(np.ones((5, 6), int)), min_size=1, max_size=3))
@settings(max_examples=40)
def test_edt_variance_weights_by_the_distance_to_the_contour(score, both_sides, masks):
    array = np.random.default_rng(len(masks)).dirichlet([1, 1], (4, len(masks), 5, 6)).astype(np.float32)
    array = np.moveaxis(array, -1, 2)
    found = score_of(score, array, probabilities(masks))
    spread = array[:, :, 1].astype(np.float64).var(axis=0)
    expected = [s * depths(mask, both_sides) for s, mask in zip(spread, masks, strict=True)]
    np.testing.assert_allclose(found, expected, atol=1e-6)


def test_edt_variance_counts_every_foreground_class_and_is_zero_for_an_empty_prediction():
    array = np.moveaxis(np.random.default_rng(0).dirichlet([1, 1, 1], (3, 2, 4, 4)).astype(np.float32), -1, 2)
    masks = np.zeros((2, 4, 4), int)
    masks[0, 1:3, 1:3] = [[1, 2], [2, 1]]
    found = score_of(scores.edt_variance, array, probabilities(masks, classes=3))
    assert (found[0] > 0).sum() == 4
    assert not found[1].any()
    with pytest.raises(alkit.errors.ConfigurationError, match="need masks: got predictions of shape"):
        score_of(scores.edt_variance, array[..., 0, 0], probabilities(masks[:, 0, 0], classes=3))


def agreement(one, other, classes):
    """Reference: Dice of sets of pixels, mean over the foreground classes in either mask."""
    values = []
    for c in range(1, classes):
        a = {tuple(p) for p in np.argwhere(one == c)}
        b = {tuple(p) for p in np.argwhere(other == c)}
        if a or b:
            values.append(2 * len(a & b) / (len(a) + len(b)))
    return sum(values) / len(values) if values else 1.0


@given(
    st.integers(2, 4).flatmap(
        lambda classes: st.tuples(
            st.just(classes),
            st.lists(
                st.lists(st.lists(st.integers(0, classes - 1), min_size=4, max_size=4), min_size=2, max_size=2),
                min_size=2,
                max_size=4,
            ),
        )
    )
)
@settings(max_examples=60)
def test_head_disagreement_is_one_minus_the_mean_dice_with_the_final_output(case):
    classes, rows = case
    final, *others = heads = [np.array([row, np.zeros((2, 4), int)]) for row in rows]  # an empty image beside it
    found = scores.head_disagreement(tuple(torch.from_numpy(probabilities(head, classes)) for head in heads))
    expected = 1 - sum(agreement(final[0], other[0], classes) for other in others) / len(others)
    assert found.tolist() == pytest.approx([expected, 0], abs=1e-6)


def test_head_disagreement_of_a_single_head_is_an_error():
    with pytest.raises(alkit.errors.ConfigurationError, match="heads="):
        scores.head_disagreement((torch.ones(1, 2, 2, 2),))


# Reductions, and scores that users define.


def test_reductions_give_one_number_per_image_and_keep_a_single_number():
    maps = torch.arange(24, dtype=torch.float32).reshape(2, 3, 4)
    assert scores.mean(maps).tolist() == [5.5, 17.5]
    assert scores.total(maps).tolist() == [66.0, 210.0]
    for reduction in (scores.mean, scores.total):
        assert reduction(torch.tensor([1.0, 2.0])).tolist() == [1.0, 2.0]


def test_a_total_over_many_pixels_does_not_drift():
    maps = torch.full((1, 2000, 2000), 0.1)
    assert float(scores.total(maps)) == pytest.approx(4e6 * float(np.float32(0.1)), rel=1e-9)


def test_a_score_names_its_moments_and_may_have_parameters_with_defaults():
    def power(mean, exponent=2):
        return mean.pow(exponent).sum(dim=1)

    assert scores.moments_of(power) == ("mean",)
    assert scores.moments_of(partial(power, exponent=3)) == ("mean",)
    assert scores.moments_of(scores.edt_variance) == ("variance", "prediction")
    for wrong in (lambda average: average, lambda: 0):
        with pytest.raises(alkit.errors.ConfigurationError, match="mean, mean_entropy"):
            scores.moments_of(wrong)


def test_the_deterministic_sampler_draws_the_prediction_once():
    array = probabilities(np.eye(4, dtype=int)[None])
    moments = moments_of_draws(GivenPosterior([], array), ("mean", "variance"), DETERMINISTIC, Stream(0))
    np.testing.assert_array_equal(moments["mean"].numpy(), array)
    assert not moments["variance"].any()
