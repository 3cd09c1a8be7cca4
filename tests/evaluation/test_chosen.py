"""Metrics can be chosen by name, as a part, as an object of torchmetrics, or as a function."""

import warnings

import numpy as np
import pytest
import torch
from sklearn.metrics import roc_auc_score
from torchmetrics import MetricCollection
from torchmetrics.classification import (
    BinaryAveragePrecision,
    MulticlassAccuracy,
    MulticlassAUROC,
    MulticlassCalibrationError,
)
from torchmetrics.segmentation import DiceScore

import alkit
from alkit.errors import ConfigurationError, DataError, LabelError
from alkit.evaluation import PerGroup, SurfaceDice, lower_is_better
from alkit.evaluation.chosen import check_metrics
from alkit.evaluation.measure import measure
from alkit.evaluation.metrics import dice, segmentation_metrics
from alkit.evaluation.surfaces import outline_figures
from alkit.values import quiet

CLASSES = ("skin", "lesion", "hair")
SPEC = alkit.LabelSpec(CLASSES, ignore=255)
WHOLE = alkit.LabelSpec(CLASSES, per="image")
N = 12
POOL = alkit.ArrayPool(np.random.default_rng(0).random((N, 1, 6, 6), np.float32))
MASKS = np.random.default_rng(1).integers(0, 3, (N, 6, 6)).astype(np.uint8)
MASKS[3] = 255  # this image does not count
MASKS[:, :2, 0] = 255
IDS = list(POOL.ids)
COUNTED = [row for row in range(N) if row != 3]


class Guess:
    """Predicts random probabilities that depend on the image alone."""

    def __init__(self, spec, seed=0):
        self.spec, self.seed = spec, seed

    def probabilities(self, images):
        shape = (len(self.spec.classes), *(images.shape[2:] if self.spec.per == "pixel" else ()))
        keys = [int(1e6 * image[0, 0, 0]) for image in images]
        raw = np.stack([np.random.default_rng([self.seed, key]).random(shape) ** 2 for key in keys])
        return (raw / raw.sum(axis=1, keepdims=True)).astype(np.float32)


PROBABILITIES = Guess(SPEC).probabilities(POOL.read(IDS))
PREDICTED = PROBABILITIES.argmax(axis=1).astype(np.uint8)


def of_masks(*metrics, **named):
    chosen = check_metrics(named or metrics)
    return measure(Guess(SPEC), POOL, IDS, MASKS, SPEC, quiet, metrics=chosen)


def of_classes(*metrics, truth=None, spec=WHOLE):
    truth = np.arange(N) % 3 if truth is None else truth
    return measure(Guess(spec), POOL, IDS, truth, spec, quiet, metrics=check_metrics(metrics))


def test_named_metrics_keep_their_order_and_give_figures_of_each_class():
    found = of_masks("hd95", "dice", "surface_dice")
    assert list(found)[:3] == ["hd95", "dice", "surface_dice"]
    assert set(list(found)[3:]) == {f"{name}/{own}" for name in ("hd95", "dice", "surface_dice") for own in CLASSES[1:]}
    distances, _ = outline_figures(PREDICTED[COUNTED], MASKS[COUNTED], SPEC, 1.0)
    assert found["hd95/hair"] == pytest.approx(np.nanmean(distances[:, 1]))
    assert found["dice"] == segmentation_metrics([dice(PREDICTED, MASKS, SPEC)], SPEC)["dice"]


def test_the_defaults_are_those_without_a_choice():
    assert of_masks("dice", "iou") == measure(Guess(SPEC), POOL, IDS, MASKS, SPEC, quiet)
    default = measure(Guess(WHOLE), POOL, IDS, np.arange(N) % 3, WHOLE, quiet)
    assert of_classes("accuracy", "balanced_accuracy", "f1", "recall") == default
    assert list(default) == ["accuracy", "balanced_accuracy", "f1", *(f"recall/{name}" for name in CLASSES)]


def test_empty_masks_have_defined_distances():
    spec = alkit.LabelSpec(("skin", "lesion"))
    empty, full = np.zeros((1, 6, 6), np.uint8), np.ones((1, 6, 6), np.uint8)

    class Fixed:
        def __init__(self, mask):
            self.mask = mask

        def probabilities(self, images):
            return np.stack([1 - self.mask, self.mask], axis=1).astype(np.float32)

    def figures(predicted, truth):
        chosen = ("hd95", "surface_dice", "dice")
        return measure(Fixed(predicted), POOL, IDS[:1], truth, spec, quiet, metrics=chosen)

    assert figures(empty, empty) == {"hd95": 0, "surface_dice": 1, "dice": 1}
    assert figures(full, full) == {"hd95": 0, "surface_dice": 1, "dice": 1}
    wrong = {"hd95": pytest.approx(np.hypot(6, 6)), "surface_dice": 0, "dice": 0}
    assert figures(full, empty) == wrong
    assert figures(empty, full) == wrong


def test_a_tolerance_of_the_surface_dice_is_a_part():
    (_, shares) = outline_figures(PREDICTED[COUNTED], MASKS[COUNTED], SPEC, 2.0)
    found = of_masks(SurfaceDice(tolerance=2))
    assert found["surface_dice/lesion"] == pytest.approx(np.nanmean(shares[:, 0]))


def test_a_mapping_renames_figures():
    found = of_masks(overlap="dice", strict=SurfaceDice(0), smooth=SurfaceDice(2))
    assert list(found)[:3] == ["overlap", "strict", "smooth"]
    assert found["overlap/hair"] == of_masks("dice")["dice/hair"]
    assert found["strict"] < found["smooth"]
    chosen = {"a": "f1", "b": MetricCollection({"a": MulticlassAUROC(3)})}
    with pytest.raises(ConfigurationError, match="two metrics give the figure 'a'"):
        measure(Guess(WHOLE), POOL, IDS, np.arange(N) % 3, WHOLE, quiet, metrics=chosen)


def test_the_calibration_error_is_that_of_torchmetrics():
    counted = MASKS != 255
    theirs = MulticlassCalibrationError(3, n_bins=15, norm="l1")
    flat = torch.from_numpy(PROBABILITIES).movedim(1, -1)[torch.from_numpy(counted)]
    expected = theirs(flat, torch.from_numpy(MASKS[counted].astype(int)))
    assert of_masks("ece")["ece"] == pytest.approx(float(expected), abs=1e-6)
    guessed = Guess(WHOLE).probabilities(POOL.read(IDS))
    theirs.reset()
    expected = theirs(torch.from_numpy(guessed), torch.arange(N) % 3)
    assert of_classes("ece")["ece"] == pytest.approx(float(expected), abs=1e-6)


def test_auroc_is_the_mean_of_one_class_against_the_others():
    guessed, truth = Guess(WHOLE).probabilities(POOL.read(IDS)), np.arange(N) % 3
    found = of_classes("auroc")
    each = [roc_auc_score(truth == label, guessed[:, label]) for label in range(3)]
    assert found["auroc"] == pytest.approx(np.mean(each))
    assert found["auroc/lesion"] == pytest.approx(each[1])
    assert of_classes("auroc", truth=np.zeros(N, int)) == {}  # one class has no contrast


def test_objects_of_torchmetrics_see_what_counts_and_stay_as_they_are():
    counted = MASKS != 255
    accuracy = MulticlassAccuracy(3, average="micro")
    before = accuracy.metric_state
    found = of_masks(accuracy, DiceScore(3, input_format="index", include_background=False))
    assert found["MulticlassAccuracy"] == pytest.approx((PREDICTED == MASKS)[counted].mean())
    assert accuracy.metric_state == before
    one_hot = of_masks(other=DiceScore(3, include_background=False))
    assert one_hot["other"] == pytest.approx(found["DiceScore"])
    each = of_masks(share=MulticlassAccuracy(3, average="none"))
    assert set(each) == {"share", *(f"share/{name}" for name in CLASSES)}
    together = MetricCollection({"a": MulticlassAUROC(3), "b": MulticlassAccuracy(3)})
    assert of_classes(together).keys() == {"a", "b"}


@pytest.mark.parametrize("form", ["index", "one-hot"])
@pytest.mark.parametrize("average", ["macro", "none"])
def test_ignored_pixels_are_no_background_of_metrics_of_segmentation(form, average):
    found = of_masks(dice=DiceScore(3, average=average, input_format=form, aggregation_level="global"))
    truth, guess = MASKS[MASKS != 255], PREDICTED[MASKS != 255]
    same = [((guess == k) & (truth == k)).sum() for k in range(3)]
    both = [(guess == k).sum() + (truth == k).sum() for k in range(3)]
    each = [2 * one / two for one, two in zip(same, both, strict=True)]
    assert found["dice"] == pytest.approx(np.mean(each))
    if average == "none":
        assert [found[f"dice/{name}"] for name in CLASSES] == pytest.approx(each)


def test_binary_metrics_get_the_probability_of_the_second_class():
    spec = alkit.LabelSpec(("cat", "dog"), per="image")
    truth = np.arange(N) % 2
    expected = BinaryAveragePrecision()(
        torch.from_numpy(Guess(spec).probabilities(POOL.read(IDS))[:, 1]), torch.from_numpy(truth)
    )
    found = of_classes(BinaryAveragePrecision(), truth=truth, spec=spec)
    assert found["BinaryAveragePrecision"] == pytest.approx(float(expected))


def test_a_function_is_averaged_over_images_that_count():
    def errors(predicted, truth):
        return np.nan if truth[5, 5] == 0 else int((predicted != truth)[truth != 255].sum())

    rows = [row for row in COUNTED if MASKS[row, 5, 5] != 0]
    expected = np.mean([(PREDICTED[row] != MASKS[row])[MASKS[row] != 255].sum() for row in rows])
    assert of_masks(errors) == {"errors": expected}
    assert of_masks(mistakes=errors) == {"mistakes": expected}
    assert of_classes(lambda predicted, truth: len(predicted)) == {"<lambda>": N}


def test_groups_have_a_mean_a_worst_one_and_figures_of_their_own():
    groups = {id: "rare" if row % 4 == 0 else "common" for row, id in enumerate(IDS)}
    found = of_masks("dice", PerGroup("dice", groups), PerGroup("hd95", groups))
    parts = {}
    for group in ("rare", "common"):
        rows = [row for row in COUNTED if groups[IDS[row]] == group]
        parts[group] = segmentation_metrics([dice(PREDICTED[rows], MASKS[rows], SPEC)], SPEC)["dice"]
        assert found[f"dice@{group}"] == pytest.approx(parts[group])
    assert found["dice_over_groups"] == pytest.approx(np.mean(list(parts.values())))
    assert found["dice_worst_group"] == min(parts.values())
    assert found["hd95_worst_group"] == max(found["hd95@rare"], found["hd95@common"])
    assert next(iter(found)) == "dice"
    with pytest.raises(DataError, match=f"groups must have a group for each image that is measured, and '{IDS[0]}'"):
        of_masks(PerGroup("dice", {"stranger": "rare"}))


def test_the_worst_group_of_a_metric_of_torchmetrics_follows_its_direction():
    groups = {id: str(row % 2) for row, id in enumerate(IDS)}
    found = of_masks(PerGroup(MulticlassCalibrationError(3), groups))
    each = [found[f"MulticlassCalibrationError@{group}"] for group in "01"]
    assert found["MulticlassCalibrationError_worst_group"] == max(each)


def test_members_have_the_first_metric():
    ensemble = Guess(SPEC)
    ensemble.members = (Guess(SPEC, 1), Guess(SPEC, 2))
    found = measure(ensemble, POOL, IDS, MASKS, SPEC, quiet, metrics=("hd95", "dice"))
    alone = [measure(member, POOL, IDS, MASKS, SPEC, quiet, metrics=("hd95",))["hd95"] for member in ensemble.members]
    assert found["member_hd95"] == pytest.approx(np.mean(alone))
    assert "member_dice" not in found


@pytest.mark.parametrize("metrics", [None, ("hd95",), ("ece",), (lambda predicted, truth: 1.0,)], ids=range(4))
def test_a_test_set_in_which_nothing_counts_is_an_error(metrics):
    nothing = np.full_like(MASKS, 255)
    with pytest.raises(LabelError, match="at least one pixel that counts"):
        measure(Guess(SPEC), POOL, IDS, nothing, SPEC, quiet, metrics=metrics)


@pytest.mark.parametrize(
    ("metrics", "words"),
    [
        ("dice", r"metrics must be a list of metrics.*: got 'dice'. Try: metrics=\['dice'\]"),
        ([], "metrics must contain at least one metric"),
        (["dice", "dise"], r"metrics\[1\] must be one of dice, iou, hd95,.*: got 'dise'"),
        (["dice", "iou", "dice"], r"different names, and 'dice' occurs twice. Try: a mapping"),
        ([SurfaceDice(1), SurfaceDice(2)], "'surface_dice' occurs twice"),
        ({"mine": 3}, r"metrics\['mine'\] must be a name, a function.*: got 3"),
        ([MulticlassAccuracy], r"metrics\[0\] must be a name"),
    ],
    ids=range(7),
)
def test_what_is_not_a_metric_is_named(metrics, words):
    with pytest.raises(ConfigurationError, match=words):
        check_metrics(metrics)


def test_a_metric_that_does_not_fit_or_fails_is_named():
    with pytest.raises(ConfigurationError, match="'hd95' does not exist for labels that are one class per image"):
        of_classes("hd95")
    with pytest.raises(ConfigurationError, match="'auroc' does not exist for labels that are masks"):
        of_masks("auroc")
    with pytest.raises(ConfigurationError, match=f"the metric broken failed for image '{IDS[0]}' \\(ZeroDivisionError"):
        of_masks(broken=lambda predicted, truth: 1 / 0)
    with pytest.raises(ConfigurationError, match="the metric far must be finite, or NaN"):
        of_masks(far=lambda predicted, truth: np.inf)
    with pytest.raises(ConfigurationError, match="the metric MulticlassAccuracy failed in update"):
        of_masks(MulticlassAccuracy(7))
    with pytest.raises(ConfigurationError, match="tolerance must be"):
        SurfaceDice(-1)
    with pytest.raises(ConfigurationError, match="metric must not have groups itself"):
        PerGroup(PerGroup("dice", {"a": "b"}), {"a": "b"})


def test_no_metric_warns():
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        of_masks("dice", "iou", "hd95", "surface_dice", "ece")
        of_classes("accuracy", "balanced_accuracy", "f1", "recall", "auroc", "ece")


def test_metrics_that_fall_are_known():
    assert [name for name in of_masks("dice", "iou", "hd95", "surface_dice", "ece") if lower_is_better(name)] == [
        "hd95",
        "ece",
        "hd95/lesion",
        "hd95/hair",
    ]
