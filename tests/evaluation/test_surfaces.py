"""HD95 and the surface Dice equal their definitions, computed pixel by pixel."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as nps

from alkit import LabelSpec
from alkit.evaluation.surfaces import outline_figures

SPEC = LabelSpec(("skin", "lesion", "hair"), ignore=255)


def outline(mask):
    """Return the pixels of a mask with a 4-neighbour outside of it or of the image."""
    pixels = {(y, x) for y, x in np.ndindex(mask.shape) if mask[y, x]}
    near = ((0, 1), (1, 0), (0, -1), (-1, 0))
    return sorted(p for p in pixels if any((p[0] + dy, p[1] + dx) not in pixels for dy, dx in near))


def slow_figures(predicted, truth, tolerance):
    one, other = outline(predicted), outline(truth)
    if not one and not other:
        return np.nan, np.nan
    if not one or not other:
        return np.hypot(*truth.shape), 0.0
    there = [min(np.hypot(p[0] - q[0], p[1] - q[1]) for q in other) for p in one]
    back = [min(np.hypot(p[0] - q[0], p[1] - q[1]) for q in one) for p in other]
    within = sum(distance <= tolerance for distance in there + back)
    return max(np.percentile(there, 95), np.percentile(back, 95)), within / (len(there) + len(back))


@given(st.data(), st.sampled_from([0.0, 1.0, 1.5]))
def test_both_equal_their_definitions(data, tolerance):
    shape = (2, 5, 6)
    predicted = data.draw(nps.arrays(np.uint8, shape, elements=st.integers(0, 2)))
    truth = data.draw(nps.arrays(np.uint8, shape, elements=st.sampled_from([0, 1, 2, 255])))
    distances, shares = outline_figures(predicted, truth, SPEC, tolerance)
    predicted = np.where(truth == 255, 0, predicted)
    for image, column in np.ndindex(2, 2):
        expected = slow_figures(predicted[image] == column + 1, truth[image] == column + 1, tolerance)
        found = distances[image, column], shares[image, column]
        np.testing.assert_allclose(found, expected, rtol=1e-12, equal_nan=True)


@pytest.mark.filterwarnings("ignore::FutureWarning")  # MONAI 1.6 warns of a parameter that it gives itself
def test_they_equal_those_of_monai():
    monai = pytest.importorskip("monai.metrics")
    torch = pytest.importorskip("torch")
    rng = np.random.default_rng(0)
    grown = np.kron(rng.integers(0, 2, (2, 4, 4, 4)), np.ones((6, 6), int)).astype(np.uint8)
    predicted, truth = grown
    distances, shares = outline_figures(predicted, truth, LabelSpec(("skin", "lesion")), 1.0)
    both = [torch.nn.functional.one_hot(torch.from_numpy(m.astype(int)), 2).movedim(-1, 1) for m in grown]
    theirs = monai.compute_hausdorff_distance(*both, percentile=95)
    np.testing.assert_allclose(distances, theirs.numpy(), rtol=1e-5)
    np.testing.assert_allclose(shares, monai.compute_surface_dice(*both, [1.0]).numpy(), rtol=1e-5)
