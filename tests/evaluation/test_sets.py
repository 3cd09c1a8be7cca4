"""Metrics of several classes per image, against scikit-learn and torchmetrics."""

import numpy as np
import pytest
import torch
from sklearn import metrics as sk
from torchmetrics.functional.classification import binary_calibration_error, multilabel_auroc, multilabel_exact_match

import alkit
from alkit.evaluation.accumulators import Batch
from alkit.evaluation.chosen import Measurement, PerGroup

CLASSES = ("cat", "dog", "fox")
SPEC = alkit.LabelSpec(CLASSES, per="image", multiple=True)
UNSURE = alkit.LabelSpec(CLASSES, ignore=255, per="image", multiple=True)
NAMES = ("f1", "micro_f1", "exact_match", "balanced_accuracy", "recall", "auroc", "average_precision", "ece")


@pytest.fixture
def found():
    chance = np.random.default_rng(0)
    truth = (chance.random((40, 3)) < 0.4).astype(np.uint8)
    present = (0.4 * truth + 0.6 * chance.random((40, 3))).astype(np.float32)
    return truth, present


def measured(truth, present, metrics=NAMES, spec=SPEC):
    measurement = Measurement(metrics, spec)
    ids = [f"{row:02}" for row in range(len(truth))]
    whole = Batch(ids, (present > 0.5).astype(np.uint8), np.stack([1 - present, present], axis=1), truth)
    for rows in (slice(0, 7), slice(7, None)):
        measurement.add(whole.take(list(range(len(truth)))[rows]))
    return measurement.figures()


def test_figures_are_those_of_scikit_learn_and_torchmetrics(found):
    truth, present = found
    predicted, figures = present > 0.5, measured(*found)
    tensors = torch.from_numpy(present), torch.from_numpy(truth).long()
    columns = [[tensor[:, k].contiguous() for tensor in tensors] for k in range(3)]
    recall, specificity = (sk.recall_score(truth == v, predicted == v, average=None) for v in (1, 0))
    expected = {
        "f1": sk.f1_score(truth, predicted, average="macro"),
        "micro_f1": sk.f1_score(truth, predicted, average="micro"),
        "exact_match": float(multilabel_exact_match(*tensors, num_labels=3)),
        "balanced_accuracy": np.mean((recall + specificity) / 2),
        "recall": recall.mean(),
        "auroc": float(multilabel_auroc(*tensors, num_labels=3)),
        "average_precision": sk.average_precision_score(truth, present, average="macro"),
        "ece": np.mean([float(binary_calibration_error(*column, n_bins=15)) for column in columns]),
        **{f"f1/{name}": one for name, one in zip(CLASSES, sk.f1_score(truth, predicted, average=None), strict=True)},
    }
    assert {name: figures[name] for name in expected} == pytest.approx(expected, abs=1e-6)


def test_unknown_classes_do_not_count(found):
    truth, present = found
    unsure = truth.copy()
    unsure[::3, 1] = 255
    figures, known = measured(unsure, present, spec=UNSURE), unsure[:, 1] != 255
    assert figures["f1/dog"] == pytest.approx(sk.f1_score(truth[known, 1], present[known, 1] > 0.5))
    assert figures["auroc/dog"] == pytest.approx(sk.roc_auc_score(truth[known, 1], present[known, 1]))
    right = (unsure == (present > 0.5)) | (unsure == 255)
    assert figures["exact_match"] == pytest.approx(right.all(axis=1).mean())
    wild = present.copy()
    wild[unsure == 255] = 0.9
    assert measured(unsure, wild, spec=UNSURE) == figures


def test_a_class_without_a_contrast_has_no_figure_that_needs_one():
    truth, present = np.zeros((4, 3), np.uint8), np.full((4, 3), 0.1, np.float32)
    figures = measured(truth, present)
    assert (figures["exact_match"], figures["micro_f1"]) == (1, 1)
    assert not {"f1", "auroc", "average_precision", "balanced_accuracy", "recall"} & set(figures)


def test_figures_are_also_those_of_groups_and_of_metrics_of_torchmetrics(found):
    from torchmetrics.classification import BinaryAccuracy, MultilabelF1Score

    truth, present = found
    groups = {f"{row:02}": "rare" if row < 10 else "common" for row in range(40)}
    figures = measured(truth, present, [PerGroup("micro_f1", groups), MultilabelF1Score(3), BinaryAccuracy()])
    predicted = present > 0.5
    rare = sk.f1_score(truth[:10], predicted[:10], average="micro")
    assert figures["micro_f1@rare"] == pytest.approx(rare)
    assert figures["micro_f1_worst_group"] == pytest.approx(min(rare, figures["micro_f1@common"]))
    assert figures["MultilabelF1Score"] == pytest.approx(sk.f1_score(truth, predicted, average="macro"), abs=1e-6)
    assert figures["BinaryAccuracy"] == pytest.approx((truth == predicted).mean(), abs=1e-6)


@pytest.mark.parametrize("name", ["dice", "accuracy"])
def test_metrics_of_other_labels_are_refused(name):
    with pytest.raises(alkit.errors.ConfigurationError, match="several classes per image"):
        Measurement([name], SPEC)
