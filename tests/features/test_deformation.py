"""Deformations: their properties, and references that loop over pixels and windows."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from alkit.errors import ConfigurationError, ImageError
from alkit.features import Deformation, flip, paint, remap_intensity, shuffle_locally
from alkit.features import deformation as steps
from alkit.features.curves import bezier, interpolate
from alkit.features.windows import cells, overwrite, permute_within

ALL: dict[str, Callable[[Tensor, torch.Generator, float], Tensor]] = {
    "flip": flip,
    "shuffle": shuffle_locally,
    "remap": remap_intensity,
    "paint": paint,
    "together": lambda images, generator, p: Deformation(p, p, 1000, p, p)(images, generator)[0],
}
EACH = pytest.mark.parametrize("deformed", ALL.values(), ids=ALL.keys())
SEEDS = st.integers(0, 2**31)
QUICKLY = settings(max_examples=40, deadline=None)


def generator_of(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


@st.composite
def batches(draw: st.DrawFn, dtype: torch.dtype | None = None, most: int = 45) -> Tensor:
    """Images of any small shape whose pixels all differ, in either memory layout."""
    n, c, h, w = (draw(st.integers(1, top)) for top in (3, 3, most, most))
    dtype = dtype or draw(st.sampled_from([torch.float32, torch.float64]))
    numbers = torch.randperm(n * c * h * w, generator=generator_of(draw(SEEDS)))
    images = (numbers / max(1, len(numbers) - 1)).to(dtype).view(n, c, h, w)
    return images.to(memory_format=draw(st.sampled_from([torch.contiguous_format, torch.channels_last])))


@contextmanager
def recording(*names: str) -> Iterator[dict[str, tuple[tuple[Any, ...], Any]]]:
    """Record arguments and results of these functions, by name."""
    recorded: dict[str, tuple[tuple[Any, ...], Any]] = {}

    def recorded_step(name: str, step: Callable[..., Any]) -> Callable[..., Any]:
        def wrapped(*given: Any) -> Any:
            assert name not in recorded
            recorded[name] = given, step(*given)
            return recorded[name][1]

        return wrapped

    with pytest.MonkeyPatch.context() as patch:
        for name in names:
            patch.setattr(steps, name, recorded_step(name, getattr(steps, name)))
        yield recorded


def share(decisions: Tensor) -> float:
    return decisions.double().mean().item()


def near(p: float, n: int) -> Any:
    """Return an interval of four standard deviations around the expected share of n decisions of probability p."""
    return pytest.approx(p, abs=4 * (p * (1 - p) / n) ** 0.5)


def differs(before: Tensor, after: Tensor) -> Tensor:
    return (before != after).flatten(1).any(1)


# --- properties of all deformations ---


@EACH
@QUICKLY
@given(images=batches(), seed=SEEDS, p=st.floats(0, 1))
def test_the_output_has_the_shape_type_and_range_of_the_input_which_does_not_change(deformed, images, seed, p):
    before = images.clone()
    after = deformed(images, generator_of(seed), p)
    assert after.shape == images.shape
    assert after.dtype == images.dtype
    assert 0 <= after.min() <= after.max() <= 1
    assert torch.equal(images, before)
    after.fill_(0.5)
    assert torch.equal(images, before)


@EACH
@QUICKLY
@given(images=batches(), seed=SEEDS)
def test_probability_0_is_the_identity_in_a_new_tensor(deformed, images, seed):
    after = deformed(images, generator_of(seed), 0)
    assert torch.equal(after, images)
    assert after.data_ptr() != images.data_ptr()


@EACH
def test_probability_1_changes_every_sample(deformed):
    images = torch.rand(50, 1, 24, 36, generator=generator_of(1))
    if deformed is paint:
        assert differs(images, paint(images, generator_of(), 1, inward=0)).all()
    else:
        assert differs(images, deformed(images, generator_of(), 1)).all()


@EACH
def test_the_same_generator_state_gives_the_same_images_and_another_gives_others(deformed):
    images = torch.rand(8, 2, 40, 30, generator=generator_of(1))
    first, again, other = (deformed(images, generator_of(seed), 0.5) for seed in (5, 5, 6))
    assert torch.equal(first, again)
    assert not torch.equal(first, other)


@EACH
def test_only_the_given_generator_is_used(deformed):
    images, generator = torch.rand(8, 1, 40, 30, generator=generator_of(1)), generator_of(2)
    shared, own = torch.get_rng_state(), generator.get_state()
    deformed(images, generator, 0.5)
    assert torch.equal(torch.get_rng_state(), shared)
    assert not torch.equal(generator.get_state(), own)


@EACH
def test_each_image_is_decided_independently(deformed):
    alike = torch.rand(1, 1, 40, 30, generator=generator_of(1)).expand(40, 1, 40, 30)
    outcomes = differs(alike, deformed(alike, generator_of(), 0.3))
    assert outcomes.any()
    assert not outcomes.all()
    assert len(deformed(alike, generator_of(), 1).unique(dim=0)) > 1


@pytest.mark.parametrize("deformed", [flip, shuffle_locally, remap_intensity])
def test_channels_of_a_pixel_stay_together(deformed):
    gray = torch.rand(6, 1, 40, 30, generator=generator_of(1))
    after = deformed(gray.expand(-1, 3, -1, -1), generator_of(), 1)
    assert differs(gray, after[:, :1]).all()
    assert torch.equal(after, after[:, :1].expand(-1, 3, -1, -1))


@EACH
@pytest.mark.parametrize("shape", [(0, 1, 8, 8), (2, 1, 1, 1), (2, 1, 1, 50), (3, 2, 16, 16)])
def test_empty_batches_and_tiny_images_are_accepted(deformed, shape):
    assert deformed(torch.rand(shape, generator=generator_of()), generator_of(), 1).shape == shape


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_half_precision_stays_in_range(dtype):
    images = torch.rand(4, 1, 32, 32, generator=generator_of()).to(dtype)
    after, _ = Deformation(1, 1, 100, 1, 1)(images, generator_of())
    assert after.dtype == dtype
    assert 0 <= after.min() <= after.max() <= 1


# --- probabilities ---


@pytest.mark.parametrize("p", [0.1, 0.5, 0.9])
@pytest.mark.parametrize(
    "deformed",
    [
        lambda images, p: flip(images, generator_of(), p, times=1),
        lambda images, p: shuffle_locally(images, generator_of(), p, windows=100),
        lambda images, p: remap_intensity(images, generator_of(), p),
        lambda images, p: paint(images, generator_of(), p, inward=0),
    ],
    ids=["flip", "shuffle", "remap", "paint"],
)
def test_the_share_of_changed_images_is_the_given_probability(deformed, p):
    images = torch.rand(1500, 1, 24, 24, generator=generator_of(1))
    assert share(differs(images, deformed(images, p))) == near(p, 1500)


def test_the_default_rates_are_those_of_models_genesis():
    assert Deformation() == Deformation(flip=0.4, shuffle=0.5, windows=1000, remap=0.9, paint=0.9, inward=0.2)
    images = torch.rand(6, 1, 40, 40, generator=generator_of(1))
    for function, same in (
        (flip, lambda generator: flip(images, generator, 0.4, 3)),
        (shuffle_locally, lambda generator: shuffle_locally(images, generator, 0.5, 1000)),
        (remap_intensity, lambda generator: remap_intensity(images, generator, 0.9)),
        (paint, lambda generator: paint(images, generator, 0.9, 0.2)),
    ):
        assert torch.equal(function(images, generator_of(3)), same(generator_of(3)))


# --- flip ---


def reversals(image: Tensor) -> list[Tensor]:
    return [image, image.flip(1), image.flip(2), image.flip(1, 2)]


@QUICKLY
@given(images=batches(), seed=SEEDS, p=st.floats(0, 1), times=st.integers(0, 4))
def test_a_flip_is_one_of_the_axis_reversals(images, seed, p, times):
    for before, after in zip(images, flip(images, generator_of(seed), p, times), strict=True):
        assert any(torch.equal(after, reversal) for reversal in reversals(before))


def test_flips_end_at_the_first_that_does_not_happen_or_after_three():
    # P(0, 1, 2, 3 flips) = .6, .24, .096, .064; two flips of one axis cancel, as do two of three.
    n, image = 4000, torch.tensor([[[0.0, 0.1], [0.2, 0.3]]])
    after = flip(image.expand(n, 1, 2, 2), generator_of(), 0.4)
    shares = [share((after == reversal).flatten(1).all(1)) for reversal in reversals(image)]
    for got, expected in zip(shares, (0.648, 0.152, 0.152, 0.048), strict=True):
        assert got == near(expected, n)


def test_three_certain_flips_reverse_one_axis():
    image = torch.tensor([[[0.0, 0.1], [0.2, 0.3]]])
    after = flip(image.expand(200, 1, 2, 2), generator_of(), 1, times=3)
    rows, columns = ((after == reversal).flatten(1).all(1) for reversal in reversals(image)[1:3])
    assert (rows ^ columns).all()
    assert rows.any()
    assert columns.any()


# --- local shuffling ---


def shuffle_slowly(images: Tensor, corners: Tensor, sides: Tensor, order: Tensor) -> Tensor:
    """Window after window: read from the original, permute, write to the copy."""
    copy, used = images.clone(), 0
    for sample, image in enumerate(images):
        for (top, left), (h, w) in zip(corners[sample].tolist(), sides[sample].tolist(), strict=True):
            permutation = order[used : used + h * w] - used
            assert permutation.sort().values.tolist() == list(range(h * w))
            block = image[:, top : top + h, left : left + w].reshape(-1, h * w)
            copy[sample, :, top : top + h, left : left + w] = block[:, permutation].reshape(-1, h, w)
            used += h * w
    assert used == len(order)
    return copy


@QUICKLY
@given(images=batches(torch.float64), windows=st.integers(0, 60), seed=SEEDS)
def test_shuffling_equals_writing_one_window_after_another(images, windows, seed):
    with recording("draw_windows", "permute_within") as recorded:
        after = shuffle_locally(images, generator_of(seed), 1, windows)
    (_, (corners, sides)), (_, order) = recorded["draw_windows"], recorded["permute_within"]
    assert sides.shape == (len(images), windows, 2)
    assert torch.equal(after, shuffle_slowly(images, corners, sides, order))


@QUICKLY
@given(shape=st.tuples(*[st.integers(1, n) for n in (3, 9, 12, 14)]), seed=SEEDS)
def test_any_windows_and_permutations_equal_the_slow_reference(shape, seed):
    n, k, h, w = shape
    rng, images = np.random.default_rng(seed), torch.rand(n, 2, h, w, generator=generator_of(seed))
    sides = torch.from_numpy(rng.integers(1, [h, w], (n, k, 2), endpoint=True))
    corners = torch.from_numpy(rng.integers(0, torch.tensor([h, w]) - sides, endpoint=True))
    ends = sides.prod(2).flatten().cumsum(0).tolist()
    blocks = zip([0, *ends], ends, strict=False)
    order = torch.from_numpy(np.concatenate([start + rng.permutation(end - start) for start, end in blocks]))
    pixel, _ = cells(corners, sides, torch.tensor([h, w]))
    fast = overwrite(images, pixel, pixel[order])
    assert torch.equal(fast, shuffle_slowly(images, corners, sides, order))


@QUICKLY
@given(seed=SEEDS, size=st.tuples(st.integers(1, 60), st.integers(1, 60)))
def test_a_single_window_is_a_permutation_of_itself(seed, size):
    height, width = size
    image = torch.randperm(height * width, generator=generator_of(seed)).double().view(1, 1, height, width)
    image = image / image.numel()
    after = shuffle_locally(image, generator_of(seed), 1, windows=1)
    assert torch.equal(after.flatten().sort().values, image.flatten().sort().values)
    rows, columns = (after != image)[0, 0].nonzero().unbind(1)
    if len(rows):
        assert rows.max() - rows.min() < max(1, height // 10)
        assert columns.max() - columns.min() < max(1, width // 10)


@pytest.mark.parametrize(("height", "width"), [(64, 64), (100, 30), (16, 40)])
def test_no_value_moves_further_than_the_size_of_a_window(height, width):
    image = torch.arange(height * width, dtype=torch.float64).view(1, 1, height, width)
    after = shuffle_locally(image / image.numel(), generator_of(), 1)[0, 0] * image.numel()
    origin = after.round().long()
    rows, columns = torch.meshgrid(torch.arange(height), torch.arange(width), indexing="ij")
    assert (origin // width - rows).abs().max() == max(1, height // 10) - 1
    assert (origin % width - columns).abs().max() == max(1, width // 10) - 1


def test_windows_have_every_side_and_place_equally_often():
    with recording("draw_windows") as recorded:
        shuffle_locally(torch.rand(4, 1, 40, 32, generator=generator_of(1)), generator_of(), 1, windows=5000)
    _, (corners, sides) = recorded["draw_windows"]
    for axis, (length, most) in enumerate([(40, 4), (32, 3)]):
        side, corner = sides[..., axis].flatten(), corners[..., axis].flatten()
        assert side.unique().tolist() == list(range(1, most + 1))
        for value in range(1, most + 1):
            assert share(side == value) == near(1 / most, 20_000)
            places = corner[side == value]
            assert places.unique().tolist() == list(range(length - value + 1))
            assert share(places < (length - value + 1) // 2) == near(
                ((length - value + 1) // 2) / (length - value + 1), len(places)
            )


def test_every_permutation_of_a_window_is_equally_likely():
    areas = torch.tensor([3, 1, 2]).repeat(3000)
    window = torch.repeat_interleave(areas)
    order = permute_within(window, generator_of()).view(3000, 6)
    order = order - 6 * torch.arange(3000)[:, None]
    assert (order[:, 3] == 3).all()
    assert share(order[:, 4] == 4) == near(1 / 2, 3000)
    triples, counts = order[:, :3].unique(dim=0, return_counts=True)
    assert triples.tolist() == [[0, 1, 2], [0, 2, 1], [1, 0, 2], [1, 2, 0], [2, 0, 1], [2, 1, 0]]
    assert ((counts / 3000 - 1 / 6).abs() < 4 * (5 / 36 / 3000) ** 0.5).all()


# --- intensity curves ---

RAMP = torch.linspace(0, 1, 512, dtype=torch.float64).view(1, 1, 16, 32)


@QUICKLY
@given(seed=SEEDS)
def test_the_curve_joins_the_corners_and_is_monotonic(seed):
    for after in remap_intensity(RAMP.expand(8, 1, 16, 32), generator_of(seed), 1).flatten(1):
        rising = after[0] == 0
        assert after[[0, -1]].tolist() == ([0, 1] if rising else [1, 0])
        steps = after.diff() if rising else -after.diff()
        assert steps.min() >= -1e-12


def test_the_curve_falls_half_of_the_time():
    ends = torch.tensor([0.0, 1.0]).expand(2000, 1, 1, 2)
    after = remap_intensity(ends, generator_of(), 1)[:, 0, 0]
    assert share(after[:, 0] == 1) == near(0.5, 2000)
    assert torch.equal(after.sum(1), torch.ones(2000))


def test_each_image_is_mapped_by_its_own_curve_forwards_or_backwards():
    images = torch.rand(10, 2, 9, 7, generator=generator_of(1), dtype=torch.float64)
    with recording("bezier") as recorded:
        after = remap_intensity(images, generator_of(), 1)
    (controls,), (x, y) = recorded["bezier"]
    assert controls.shape == (2, 10, 2)
    backwards = 0
    for i in range(10):
        ways = [np.interp(images[i], x[i], heights) for heights in (y[i], y[i].flip(0))]
        fits = [np.allclose(after[i], way, atol=1e-9) for way in ways]
        assert sum(fits) == 1
        backwards += fits[1]
    assert 0 < backwards < 10


def exact_bezier(t: np.ndarray, first: float, second: float) -> np.ndarray:
    return 3 * (1 - t) ** 2 * t * first + 3 * (1 - t) * t**2 * second + t**3


@QUICKLY
@given(seed=SEEDS)
def test_the_interpolation_is_close_to_the_exact_curve_at_8_bit_levels(seed):
    controls = torch.rand(2, 1, 2, generator=generator_of(seed))
    levels = np.arange(256) / 255
    low, high = np.zeros(256), np.ones(256)
    for _ in range(50):  # bisection for the t at which x(t) is the level
        middle = (low + high) / 2
        below = exact_bezier(middle, *controls[0, 0].tolist()) < levels
        low, high = np.where(below, middle, low), np.where(below, high, middle)
    exact = exact_bezier(low, *controls[1, 0].tolist())
    x, y = bezier(controls)
    looked_up = interpolate(torch.from_numpy(levels).float().view(1, 1, 16, 16), x, y)
    assert np.abs(looked_up.flatten().numpy() - exact).max() < 1e-4


def test_the_steepest_and_flattest_curves_stay_finite():
    controls = torch.tensor([[[0.0, 0.0], [1.0, 1.0], [1.0, 0.0]], [[1.0, 1.0], [0.0, 0.0], [1.0, 0.0]]])
    after = interpolate(RAMP.float().expand(3, 1, 16, 32), *bezier(controls)).flatten(1)
    assert after.isfinite().all()
    assert (after.diff() >= -1e-6).all()
    assert torch.allclose(after[2], RAMP.float().flatten(), atol=1e-3)  # x and y alike: the diagonal


# --- painting ---


def slow_union(corners: Tensor, sides: Tensor, height: int, width: int) -> Tensor:
    inside = torch.zeros(height, width, dtype=torch.bool)
    for (top, left), (h, w) in zip(corners.tolist(), sides.tolist(), strict=True):
        assert 0 <= top <= top + h <= height
        assert 0 <= left <= left + w <= width
        inside[top : top + h, left : left + w] = True
    return inside


@pytest.mark.parametrize("inward", [0, 1])
@QUICKLY
@given(images=batches(torch.float64), seed=SEEDS)
def test_painting_inward_covers_the_windows_and_outward_everything_else(inward, images, seed):
    with recording("union") as recorded:
        after = paint(images, generator_of(seed), 1, inward)
    (corners, sides, height, width), _ = recorded["union"]
    for before, painted, corner, side in zip(images, after, corners, sides, strict=True):
        happens = side.any(1)
        assert len(happens) == 5
        assert happens.int().diff().max() <= 0  # none after one that did not happen
        assert inward or happens[0]
        for axis, length in enumerate((height, width)):
            least, most = (
                (max(1, length // 6), max(1, length // 3))
                if inward
                else (length - 4 * length // 7, length - 3 * length // 7)
            )
            assert ((side[happens, axis] >= least) & (side[happens, axis] <= most)).all()
        inside = slow_union(corner[happens], side[happens], height, width)
        assert torch.equal((before != painted), (inside == bool(inward)).expand_as(before))


@pytest.mark.parametrize(("inward", "shares"), [(1, (0.05, 0.774)), (0, (0, 0.815))])
def test_a_painting_has_a_further_window_with_probability_95(inward, shares):
    with recording("union") as recorded:
        paint(torch.zeros(3000, 1, 42, 21), generator_of(), 1, inward)
    (_, sides, *_), _ = recorded["union"]
    happened = sides.any(2).sum(1)
    assert share(happened == 0) == near(shares[0], 3000)
    assert share(happened == 5) == near(shares[1], 3000)


@pytest.mark.parametrize(("inward", "ranges"), [(1, (range(7, 15), range(3, 8))), (0, (range(18, 25), range(9, 13)))])
def test_painted_and_kept_windows_have_every_side_of_their_range(inward, ranges):
    with recording("union") as recorded:
        paint(torch.zeros(500, 1, 42, 21), generator_of(), 1, inward)
    (_, sides, *_), _ = recorded["union"]
    happened = sides[sides.any(2)]
    for axis in (0, 1):
        assert happened[:, axis].unique().tolist() == list(ranges[axis])


def test_a_fifth_of_the_paintings_is_inward():
    with recording("union") as recorded:
        paint(torch.zeros(3000, 1, 24, 24), generator_of(), 1)
    (_, sides, *_), _ = recorded["union"]
    assert share(sides[:, 0, 0] <= 8) == near(0.2, 3000)


def test_noise_is_even_and_differs_between_pixels_channels_and_samples():
    images = torch.full((20, 2, 70, 70), 0.5, dtype=torch.float64)
    after = paint(images, generator_of(), 1, inward=0)
    noise = after[after != 0.5]
    assert len(noise.unique()) == len(noise)
    counts = torch.histc(noise, bins=10, min=0, max=1)
    assert (counts / len(noise) - 0.1).abs().max() < 4 * (0.09 / len(noise)) ** 0.5


# --- all four ---


def test_the_deformations_run_in_the_order_of_the_paper():
    images, deformation = torch.rand(8, 1, 40, 40, generator=generator_of(1)), Deformation(windows=300)
    deformed, target = deformation(images, generator_of(4))
    generator = generator_of(4)
    flipped = flip(images, generator, 0.4)
    shuffled = shuffle_locally(flipped, generator, 0.5, 300)
    painted = paint(remap_intensity(shuffled, generator, 0.9), generator, 0.9, 0.2)
    assert torch.equal(target, flipped)
    assert torch.equal(deformed, painted)


@QUICKLY
@given(images=batches(), seed=SEEDS)
def test_input_and_target_have_the_same_flip_and_only_the_input_is_deformed(images, seed):
    deformed, target = Deformation(flip=0.8, shuffle=0, remap=0, paint=0)(images, generator_of(seed))
    assert torch.equal(deformed, target)
    _, spoilt_target = Deformation(flip=0.8)(images, generator_of(seed))
    assert torch.equal(spoilt_target, target)
    deformed.fill_(0.5)
    assert torch.equal(spoilt_target, target)


@pytest.mark.skipif(not torch.cuda.is_available(), reason="no GPU")
def test_a_gpu_gives_reproducible_images_on_its_own_device():
    images = torch.rand(16, 1, 64, 64, device="cuda")
    first, again = (Deformation()(images, torch.Generator("cuda").manual_seed(0)) for _ in range(2))
    assert first[0].device == first[1].device == images.device
    assert torch.equal(first[0], again[0])
    assert torch.equal(first[1], again[1])


# --- errors ---


@pytest.mark.parametrize("rate", [-0.01, 1.01, float("nan"), float("inf")])
def test_a_probability_outside_0_to_1_is_an_error(rate):
    images = torch.rand(1, 1, 8, 8)
    for deformed in (flip, shuffle_locally, remap_intensity, paint):
        with pytest.raises(ConfigurationError, match=r"p must be a number in \[0, 1\]: got "):
            deformed(images, generator_of(), rate)
    with pytest.raises(ConfigurationError, match=r"inward must be a number in \[0, 1\]: got "):
        paint(images, generator_of(), 0.5, rate)
    for name in ("flip", "shuffle", "remap", "paint", "inward"):
        with pytest.raises(ConfigurationError, match=rf"{name} must be a number in \[0, 1\]: got "):
            Deformation(**{name: rate})


@pytest.mark.parametrize("count", [-1, 1.5])
def test_a_wrong_number_of_windows_or_flips_is_an_error(count):
    images = torch.rand(1, 1, 8, 8)
    with pytest.raises(ConfigurationError, match="windows must be an integer from 0 to 1000000: got "):
        shuffle_locally(images, generator_of(), windows=count)
    with pytest.raises(ConfigurationError, match="windows must be an integer from 0 to 1000000: got "):
        Deformation(windows=count)
    with pytest.raises(ConfigurationError, match="times must be an integer from 0 to 1000: got "):
        flip(images, generator_of(), times=count)


@EACH
@pytest.mark.parametrize(
    ("images", "message"),
    [
        (torch.rand(1, 8, 8), "images must be a tensor"),
        (torch.zeros(1, 1, 8, 8, dtype=torch.uint8), "images must be a tensor"),
        (torch.full((1, 1, 8, 8), 1.01), "images must have values in"),
        (torch.full((1, 1, 8, 8), -0.01), "images must have values in"),
        (torch.full((1, 1, 8, 8), float("nan")), "images must have values in"),
    ],
    ids=["3 axes", "uint8", "above", "below", "nan"],
)
def test_a_wrong_shape_type_or_range_of_images_is_an_error(deformed, images, message):
    with pytest.raises(ImageError, match=message):
        deformed(images, generator_of(), 0.5)


@EACH
def test_a_generator_on_another_device_is_an_error(deformed):
    with pytest.raises(ConfigurationError, match="generator must be on the device of the images"):
        deformed(torch.rand(1, 1, 8, 8, device="meta"), generator_of(), 0.5)
