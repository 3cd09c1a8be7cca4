import numpy as np
import pytest
import torch
from torch.nn import functional as F

from benchmarks.cold_start import pixels, protocol, runs, tables
from benchmarks.cold_start.data import DataSet
from benchmarks.cold_start.maps import Maps


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


def made_up_rows(seeds):
    """Yield rows of random selection and of two arms: one gains 0.1, the other loses 0.1."""
    arms = {
        protocol.RANDOM: 0.0,
        protocol.Arm("typiclust", "pretrained"): 0.1,
        protocol.Arm("k-centre", "pretrained"): -0.1,
    }
    rng = np.random.default_rng(0)
    for data in ("isic", "nuclei"):
        for seed in seeds:
            for labels in protocol.BUDGETS:
                for arm, more in arms.items():
                    dice = 0.5 + labels / 1000 + more + rng.normal(0, 0.01)
                    given = arm.strategy, arm.features, seed, labels, dice, dice, dice
                    yield runs.Row(data, *given, "a 0.5", "a 5", "abc", "a machine")


def test_gains_are_paired_and_sorted_and_incomplete_arms_are_left_out():
    measured = list(made_up_rows(range(10)))
    found = tables.tables_of(measured)
    assert [row[0] for row in found["overall-choose"].rows] == ["typiclust", "k-centre"]
    assert found["overall-choose"].rows[0][3].startswith("+0.1")
    assert found["overall-choose"].rows[0][3].endswith("p < 0.001")
    assert "overall-confirm" not in found
    assert len(tables.tables_of(measured[:-1])["overall-choose"].rows) == 1


def test_runs_are_measured_once(tmp_path):
    rng = np.random.default_rng(0)
    n, masks = 100, rng.random((100, 8, 8)) < 0.3
    data = DataSet("made up", tuple(f"{row:03}" for row in range(n)), None, masks, ("a", "b") * 50, tuple(range(n)))
    level = (masks[:, None] + rng.normal(0, 0.3, masks[:, None].shape)).astype(np.float16)
    places = np.tile(np.arange(64), (n, 1))
    maps = Maps((level,), level.reshape(n, 64, 1).astype(np.float32), places)
    wanted = [(protocol.RANDOM, 0, 5), (protocol.Arm("centroids", "pretrained"), 0, 5)]
    for _ in range(2):
        runs.measure(data, maps, {"pretrained": rng.random((n, 3), np.float32)}, tmp_path / "rows.csv", wanted)
    first, second = runs.read_rows(tmp_path / "rows.csv")
    assert (first.run, second.run) == (("made up", *wanted[0]), ("made up", *wanted[1]))
    assert first.images > 0.8


def test_the_table_of_the_network_has_each_number_of_labels():
    measured = [row for row in made_up_rows(range(5)) if row.labels in (10, 40)]
    found = tables.network_table(measured).rows
    assert [row[:3] for row in found[:2]] == [
        ("ISIC 2017", "10", "typiclust, pretrained"),
        ("ISIC 2017", "10", "k-centre, pretrained"),
    ]
    assert ", +0.1" in found[0][3]
    assert found[0][-1] == "5"
    assert len(found) == 2 * 2 * 2
