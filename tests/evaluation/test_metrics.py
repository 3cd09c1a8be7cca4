import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as nps
from torchmetrics.functional.segmentation import dice_score

from alkit import LabelSpec
from alkit.errors import LabelError
from alkit.evaluation.metrics import classification_metrics, dice, segmentation_metrics


def slow_dice(predicted, truth, spec):
    """Per image and foreground class, by counting sets of pixels."""
    table = []
    for p, t in zip(predicted, truth, strict=True):
        pixels = [xy for xy in np.ndindex(t.shape) if t[xy] != spec.ignore]
        if not pixels:
            continue
        row = []
        for number in range(1, len(spec.classes)):
            a = {xy for xy in pixels if p[xy] == number}
            b = {xy for xy in pixels if t[xy] == number}
            row.append(2 * len(a & b) / (len(a) + len(b)) if a or b else np.nan)
        table.append(row)
    return np.array(table).reshape(-1, len(spec.classes) - 1)


@given(st.data(), st.integers(2, 4), st.booleans())
def test_dice_equals_counting_pixels(data, classes, ignoring):
    spec = LabelSpec(tuple("abcd"[:classes]), ignore=9 if ignoring else None)
    shape = (3, 4, 5)
    predicted = data.draw(nps.arrays(np.uint8, shape, elements=st.integers(0, classes - 1)))
    values = [*range(classes), *([9] if ignoring else [])]
    truth = data.draw(nps.arrays(np.uint8, shape, elements=st.sampled_from(values)))
    expected = slow_dice(predicted, truth, spec)
    np.testing.assert_allclose(dice(predicted, truth, spec), expected, rtol=1e-6)
    if not len(expected):
        return
    figures = segmentation_metrics([dice(predicted[:1], truth[:1], spec), dice(predicted[1:], truth[1:], spec)], spec)
    means = [np.nanmean(row) if not np.isnan(row).all() else 1.0 for row in expected]
    assert figures["dice"] == pytest.approx(np.mean(means), rel=1e-6)


def masks(*rows):
    return np.array([[row] for row in rows], np.uint8)


def test_dice_is_one_if_both_masks_are_empty_and_zero_if_only_one_is():
    spec = LabelSpec(("skin", "lesion"))
    both_empty = segmentation_metrics([dice(masks([0, 0]), masks([0, 0]), spec)], spec)
    missed = segmentation_metrics([dice(masks([0, 0]), masks([0, 1]), spec)], spec)
    invented = segmentation_metrics([dice(masks([0, 1]), masks([0, 0]), spec)], spec)
    assert both_empty == {"dice": 1, "iou": 1}
    assert missed == invented == {"dice": 0, "iou": 0}


def test_an_image_without_a_counted_pixel_does_not_count():
    spec = LabelSpec(("skin", "lesion"), ignore=255)
    truth, predicted = masks([255, 255], [1, 1]), masks([1, 0], [1, 0])
    found = segmentation_metrics([dice(predicted[:1], truth[:1], spec), dice(predicted[1:], truth[1:], spec)], spec)
    assert found["dice"] == pytest.approx(2 / 3)
    with pytest.raises(LabelError, match="at least one pixel that counts: got only the ignore value 255"):
        segmentation_metrics([dice(predicted[:1], truth[:1], spec)], spec)


def test_the_mean_is_over_images_and_not_over_pixels():
    spec = LabelSpec(("skin", "lesion"))
    scores = dice(masks([1, 1, 1, 1], [1, 0, 0, 0]), masks([1, 1, 1, 1], [0, 1, 0, 0]), spec)
    assert segmentation_metrics([scores], spec)["dice"] == 0.5


def test_iou_is_that_of_the_same_masks():
    spec = LabelSpec(("skin", "lesion"))
    figures = segmentation_metrics([dice(masks([1, 1, 0, 0]), masks([0, 1, 1, 0]), spec)], spec)
    assert figures == {"dice": 0.5, "iou": pytest.approx(1 / 3)}


def test_a_class_that_occurs_in_no_image_has_no_dice():
    spec = LabelSpec(("skin", "lesion", "hair"))
    figures = segmentation_metrics([dice(masks([0, 1]), masks([0, 1]), spec)], spec)
    assert figures == {"dice": 1, "iou": 1, "dice/lesion": 1}


def slow_figures(predicted, truth, spec):
    """Accuracy, recalls and F1 by counting images."""
    images, recalls, f1 = range(len(truth)), {}, []
    for number, name in enumerate(spec.classes):
        found = sum(predicted[i] == truth[i] == number for i in images)
        there = sum(truth[i] == number for i in images)
        said = sum(predicted[i] == number for i in images)
        if there:
            recalls[f"recall/{name}"] = found / there
        if there or said:
            f1.append(2 * found / (there + said))
    return {
        "accuracy": sum(predicted[i] == truth[i] for i in images) / len(images),
        "balanced_accuracy": sum(recalls.values()) / len(recalls),
        "f1": sum(f1) / len(f1),
        **recalls,
    }


@given(st.data(), st.integers(2, 5), st.integers(1, 12))
def test_classification_metrics_equal_counting_images(data, classes, n):
    spec = LabelSpec(tuple("abcde"[:classes]), per="image")
    predicted, truth = (
        data.draw(nps.arrays(np.int64, n, elements=st.integers(0, classes - 1))) for _ in ("predicted", "truth")
    )
    figures = classification_metrics(predicted, truth, spec)
    assert figures == pytest.approx(slow_figures(predicted.tolist(), truth.tolist(), spec))
    assert all(0 <= figure <= 1 for figure in figures.values())


def test_a_missed_rare_class_lowers_all_metrics_but_accuracy():
    spec = LabelSpec(("common", "rare", "absent"), per="image")
    figures = classification_metrics(np.zeros(100, np.int64), np.r_[np.zeros(99, np.int64), 1], spec)
    assert figures == pytest.approx(
        {"accuracy": 0.99, "balanced_accuracy": 0.5, "f1": 99 / 199, "recall/common": 1, "recall/rare": 0}
    )


def test_dice_equals_that_of_torchmetrics_for_masks_of_class_ids():
    rng = np.random.default_rng(0)
    predicted, truth = (rng.integers(0, 4, (6, 9, 9)).astype(np.uint8) for _ in "ab")
    truth[0], predicted[1], truth[1] = 0, 0, 0
    expected = dice_score(
        torch.from_numpy(predicted.astype(np.int64)),
        torch.from_numpy(truth.astype(np.int64)),
        num_classes=4,
        include_background=False,
        average="none",
        input_format="index",
        aggregation_level="samplewise",
    )
    spec = LabelSpec(("skin", "lesion", "hair", "ruler"))
    np.testing.assert_array_equal(dice(predicted, truth, spec), expected.double().numpy())
