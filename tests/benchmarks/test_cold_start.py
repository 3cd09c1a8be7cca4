import numpy as np
import pytest
import torch
from torch.nn import functional as F

from benchmarks.cold_start import pixels, protocol


def test_a_split_keeps_groups_together_and_the_shares_of_the_kinds():
    kinds, groups = (
        ["a", "b"] * 50 + ["c"] * 10,
        [f"g{row // 2}" for row in range(100)] + [f"h{row}" for row in range(10)],
    )
    pool, test = protocol.split(kinds, groups, seed=3)
    assert sorted([*pool, *test]) == list(range(110))
    assert not {groups[row] for row in pool} & {groups[row] for row in test}
    assert [sum(kinds[row] == kind for row in test) for kind in "abc"] == [15, 15, 3]
    assert not np.array_equal(test, protocol.split(kinds, groups, seed=4)[1])


@pytest.mark.parametrize(
    ("colour", "kind"), [((10, 10, 10), "fluorescence"), ((240, 240, 240), "brightfield"), ((200, 120, 180), "stained")]
)
def test_kinds_of_microscope_images(colour, kind):
    assert protocol.nuclei_kind(np.full((8, 8, 3), colour, np.uint8)) == kind


def test_the_prediction_is_the_linear_function_of_the_interpolated_maps():
    torch.manual_seed(0)
    levels, weights = [torch.randn(2, 3, 8, 8), torch.randn(2, 5, 4, 4)], torch.randn(9)
    full = torch.cat([F.interpolate(level, (8, 8), mode="bilinear", align_corners=False) for level in levels], 1)
    score = torch.einsum("nchw,c->nhw", full, weights[:-1]) + weights[-1]
    assert (pixels.predict(levels, weights) == (score > 0).numpy()).mean() > 0.99


def test_the_pixel_classifier_agrees_with_scikit_learn():
    from sklearn.linear_model import LogisticRegression

    rng = np.random.default_rng(0)
    values = rng.normal(size=(400, 4)).astype(np.float32)
    truth = values @ [1, -2, 0.5, 0] + rng.normal(size=400) > 0.3
    found = pixels.fit(values, truth)
    known = LogisticRegression(C=1 / (pixels.PENALTY * 400), tol=1e-8).fit(values, truth)
    assert found.numpy() == pytest.approx([*known.coef_[0], *known.intercept_], abs=0.01)


def test_dice_of_known_masks():
    truth = np.array([[[1, 1, 0, 0]], [[0, 0, 0, 0]], [[1, 0, 0, 0]]], bool)
    predicted = np.array([[[0, 1, 1, 0]], [[0, 0, 0, 0]], [[0, 0, 0, 0]]], bool)
    assert pixels.dice(predicted, truth).tolist() == [0.5, 1.0, 0.0]
