from dataclasses import astuple

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import ndimage

from alkit import synthetic
from alkit.errors import ConfigurationError
from alkit.synthetic import KINDS, lesions


@pytest.fixture(scope="module")
def drawn():
    return lesions(300, size=40, seed=5)


def dilate(mask, steps):
    return ndimage.binary_dilation(mask, iterations=steps)


def draw_kind(name, monkeypatch, n=40, size=48):
    """Return images of one kind, the brightness of each lesion minus that of the skin around it, and masks."""
    monkeypatch.setattr(synthetic, "KINDS", {name: synthetic.Kind(1.0, *astuple(KINDS[name])[1:])})
    monkeypatch.setattr(synthetic, "_overlay", lambda rng, size: np.zeros((size, size)))
    images, masks = lesions(n, size, seed=9)
    contrast = []
    for image, mask in zip(images[:, 0].astype(float), masks, strict=True):
        around = dilate(mask, 5) & ~dilate(mask, 2) & (image > 20)
        contrast.append(np.median(image[mask == 1]) - np.median(image[around]))
    return images, np.array(contrast), masks


def test_images_and_masks_have_the_promised_shapes_and_types(drawn):
    images, masks = drawn
    assert images.shape == (300, 1, 40, 40)
    assert masks.shape == (300, 40, 40)
    assert images.dtype == masks.dtype == np.uint8


def test_the_same_arguments_give_the_same_images_and_masks():
    for first, again in zip(lesions(5, 32, 3), lesions(5, 32, 3), strict=True):
        np.testing.assert_array_equal(first, again)


@given(st.integers(0, 2**63 - 1), st.integers(16, 40), st.integers(0, 3), st.integers(0, 2))
@settings(max_examples=20, deadline=None)
def test_the_first_of_many_are_the_same_as_few(seed, size, few, more):
    for short, long in zip(lesions(few, size, seed), lesions(few + more, size, seed), strict=True):
        np.testing.assert_array_equal(short, long[:few])


def test_no_two_images_of_any_seeds_are_equal():
    images = np.concatenate([lesions(20, 16, seed)[0] for seed in (0, 1, 2)])
    assert len({image.tobytes() for image in images}) == 60


def test_images_neither_read_nor_change_the_global_generator():
    drawn = []
    for state in (0, 1):
        np.random.seed(state)  # noqa: NPY002
        expected = np.random.RandomState(state).random(3)
        drawn.append(lesions(3, 24)[0])
        np.testing.assert_array_equal(np.random.random(3), expected)  # noqa: NPY002
    np.testing.assert_array_equal(*drawn)


@given(st.integers(0, 2**63 - 1), st.integers(16, 80))
@settings(max_examples=30, deadline=None)
def test_a_mask_is_one_region_without_holes_and_neither_empty_nor_full(seed, size):
    for mask in lesions(3, size, seed)[1]:
        assert set(np.unique(mask)) == {0, 1}
        assert ndimage.label(mask)[1] == 1
        np.testing.assert_array_equal(ndimage.binary_fill_holes(mask), mask == 1)


def test_an_outline_takes_the_largest_region_fills_its_holes_and_is_never_empty():
    inside = np.full((9, 9), -1.0)
    inside[0, 0] = inside[8, 8] = 5.0
    inside[2:7, 2:7], inside[4, 4] = 0.0, -1.0
    expected = np.zeros((9, 9), np.uint8)
    expected[2:7, 2:7] = 1
    np.testing.assert_array_equal(synthetic._outline(inside), expected)
    nowhere = np.full((9, 9), -2.0)
    nowhere[3, 4] = -0.5
    np.testing.assert_array_equal(np.argwhere(synthetic._outline(nowhere)), [[3, 4]])


def test_lesions_cover_from_under_one_to_over_fifty_percent_of_the_frame(drawn):
    areas = drawn[1].mean((1, 2))
    assert areas.min() < 0.01
    assert areas.max() > 0.5
    assert 0.08 < np.median(areas) < 0.2


def test_lesions_lie_in_many_places(drawn):
    centres = np.array([ndimage.center_of_mass(mask) for mask in drawn[1]]) / 40
    assert (centres.std(0) > 0.05).all()
    assert (abs(centres.mean(0) - 0.5) < 0.03).all()


def test_brightness_uses_its_range(drawn):
    images = drawn[0].reshape(300, -1)
    assert images.min() == 0
    assert images.max() == 255
    assert (np.ptp(images, axis=1) > 40).all()
    assert 120 < np.median(images) < 200


def test_most_lesions_differ_from_the_skin_around_them_and_most_are_darker(drawn):
    contrasts = []
    for image, mask in zip(drawn[0][:, 0].astype(float), drawn[1], strict=True):
        around = dilate(mask, 5) & ~dilate(mask, 2) & (image > 20)
        contrasts.append(image[around].mean() - image[mask == 1].mean())
    assert np.mean(np.abs(contrasts) > 10) > 0.75
    assert 0.7 < np.mean(np.array(contrasts) > 0) < 0.95


def test_the_mask_of_a_mole_is_darker_than_its_surroundings(monkeypatch):
    _, contrast, _ = draw_kind("mole", monkeypatch)
    assert (contrast < -20).mean() > 0.9


def test_each_kind_has_its_brightness_and_area(monkeypatch):
    seen = {}
    for name in KINDS:
        with monkeypatch.context() as patch:
            seen[name] = draw_kind(name, patch)
    contrast = {name: np.median(values) for name, (_, values, _) in seen.items()}
    area = {name: np.median(masks.mean((1, 2))) for name, (_, _, masks) in seen.items()}
    assert contrast["pale"] > 5
    assert contrast["blotch"] < contrast["faint"] - 20 < -20
    assert area["speck"] < 0.02 < area["mole"] < area["blotch"]
    assert area["faint"] > 0.1
    middles = []
    for image, _, mask in zip(*seen["ring"], strict=True):
        core = ndimage.binary_erosion(mask, iterations=4)
        rim = mask & ~ndimage.binary_erosion(mask, iterations=3)
        middles.append(image[0][core == 1].mean() - image[0][rim == 1].mean() if core.any() else np.nan)
    assert np.nanmedian(middles) > 10


def test_kinds_are_as_frequent_as_their_shares(monkeypatch):
    assert sum(kind.share for kind in KINDS.values()) == pytest.approx(1)
    met = []
    monkeypatch.setattr(
        synthetic,
        "_lesion",
        lambda rng, size, kind: met.append(kind) or (np.zeros((size, size)), np.zeros((size, size))),
    )
    monkeypatch.setattr(synthetic, "_overlay", lambda rng, size: np.zeros((size, size)))
    lesions(800, 16)
    for kind in KINDS.values():
        deviation = np.sqrt(kind.share * (1 - kind.share) / 800)
        assert met.count(kind) / 800 == pytest.approx(kind.share, abs=4 * deviation)


def test_a_mask_contains_no_pixel_that_the_lens_hides(monkeypatch):
    field = np.ones((32, 32))
    field[:, 16:] = 0
    monkeypatch.setattr(synthetic, "_lens", lambda rng, size: (np.ones((size, size)), field))
    images, masks = lesions(40, 32)
    assert not masks[:, :, 16:].any()
    assert masks[:, :, :16].any((1, 2)).all()
    assert images[:, 0, :, 20:].max() < 30


def test_a_stroke_covers_its_length_times_its_width_at_any_place():
    one = np.ones(1)
    for start, heading in (((-0.5, 0.1), 0.0), ((-0.31, -0.47), 0.7), ((0.02, -0.6), np.pi / 2)):
        stroke = synthetic._strokes(np.array([start]), heading * one, 0.8 * one, 0 * one, 64)
        covered = -np.log1p(-synthetic._pen(stroke, 64, 0.002)).sum()
        assert covered == pytest.approx((0.8 * 32) * (0.002 * 64), rel=0.03)
        row, column = ndimage.center_of_mass(synthetic._pen(stroke, 64, 0.002))
        middle = np.array(start) + 0.4 * np.array([np.cos(heading), np.sin(heading)])
        np.testing.assert_allclose([column, row], (middle + 1) * 32 - 0.5, atol=0.5)


def test_a_stroke_that_leaves_the_frame_does_not_reappear_on_the_other_side():
    one = np.ones(1)
    stroke = synthetic._strokes(np.array([[0.8, 0.0]]), 0 * one, 1.0 * one, 0 * one, 32)
    covered = synthetic._pen(stroke, 32, 0.01)
    assert covered[:, 28:].any()
    assert not covered[:, :28].any()


def test_clouds_are_standardised_and_wider_at_a_larger_scale():
    likeness = []
    for scale in (0.02, 0.1, 0.3):
        cloud = synthetic._clouds(np.random.default_rng(0), 64, scale)
        assert cloud.mean() == pytest.approx(0, abs=1e-9)
        assert cloud.std() == pytest.approx(1)
        likeness.append((cloud * np.roll(cloud, 4, axis=1)).mean())
    assert likeness == sorted(likeness)
    assert likeness[0] < 0.3 < 0.7 < likeness[-1]


def test_hair_rulers_ink_and_stickers_only_darken():
    for seed in range(30):
        rng = np.random.default_rng(seed)
        for layer in (synthetic._hair, synthetic._stubble, synthetic._ruler, synthetic._ink, synthetic._sticker):
            assert layer(rng, 32).min() >= 0
        assert synthetic._overlay(rng, 32).shape == (32, 32)


def test_zero_images_are_empty_arrays():
    images, masks = lesions(0, 20)
    assert images.shape == (0, 1, 20, 20)
    assert masks.shape == (0, 20, 20)


@pytest.mark.parametrize(
    ("n", "size", "said"),
    [(-1, 64, "n must be an integer >= 0: got -1"), (1, 15, "size must be an integer >= 16: got 15")],
)
def test_n_and_size_out_of_range_are_errors(n, size, said):
    with pytest.raises(ConfigurationError, match=said):
        lesions(n, size)
