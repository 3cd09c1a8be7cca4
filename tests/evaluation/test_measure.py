"""Metrics of predictors on a test set."""

from dataclasses import dataclass, field

import numpy as np
import pytest

import alkit
from alkit.evaluation.measure import measure
from alkit.evaluation.metrics import dice, segmentation_metrics
from alkit.values import quiet

SPEC = alkit.LabelSpec(("skin", "lesion", "hair"))
IMAGES = np.random.default_rng(0).random((70, 1, 4, 4), np.float32)
POOL = alkit.ArrayPool(IMAGES)


@dataclass
class Random:
    """Predicts random probabilities that depend on the seed and the image alone."""

    seed: int
    classes: int = 3
    members: tuple = field(default_factory=tuple)

    def probabilities(self, images):
        rows = [np.random.default_rng([self.seed, int(1e6 * image[0, 0, 0])]) for image in images]
        raw = np.stack([row.random((self.classes, *image.shape[1:])) for row, image in zip(rows, images, strict=True)])
        return (raw / raw.sum(axis=1, keepdims=True)).astype(np.float32)


@dataclass
class Weighted:
    """An ensemble that weighs its members."""

    weight: float
    members: tuple = (Random(0), Random(1))

    def probabilities(self, images):
        one, other = (member.probabilities(images) for member in self.members)
        return (self.weight * one + (1 - self.weight) * other).astype(np.float32)


class AlwaysSkin(Random):
    def probabilities(self, images):
        return np.eye(3, dtype=np.float32)[np.zeros((len(images), 4, 4), int)].transpose(0, 3, 1, 2)


def test_metrics_do_not_depend_on_the_batches_and_progress_is_reported():
    truth = np.random.default_rng(1).integers(0, 3, (70, 4, 4)).astype(np.uint8)
    steps = []
    found = measure(Random(0), POOL, POOL.ids, truth, SPEC, steps.append)
    predicted = Random(0).probabilities(IMAGES).argmax(axis=1).astype(np.uint8)
    assert found == pytest.approx(segmentation_metrics([dice(predicted, truth, SPEC)], SPEC))
    assert (steps[-1].stage, steps[-1].done, steps[-1].total) == ("evaluate", 70, 70)


def test_an_ensemble_has_the_metrics_of_its_mean_and_the_mean_metric_of_its_members():
    truth = np.random.default_rng(1).integers(0, 3, (70, 4, 4)).astype(np.uint8)
    members = (Random(0), Random(1))
    found = measure(Weighted(0.5, members), POOL, POOL.ids, truth, SPEC, quiet)
    mean = np.mean([member.probabilities(IMAGES) for member in members], axis=0).argmax(axis=1).astype(np.uint8)
    assert found["dice"] == pytest.approx(segmentation_metrics([dice(mean, truth, SPEC)], SPEC)["dice"])
    alone = [measure(member, POOL, POOL.ids, truth, SPEC, quiet)["dice"] for member in members]
    assert found["member_dice"] == pytest.approx(np.mean(alone))


def test_an_ensemble_that_weighs_its_members_is_measured_by_what_it_predicts():
    class Alone:
        probabilities = staticmethod(Weighted(0.9).probabilities)

    truth = np.random.default_rng(1).integers(0, 3, (70, 4, 4)).astype(np.uint8)
    found, wanted = (measure(one, POOL, POOL.ids, truth, SPEC, quiet) for one in (Weighted(0.9), Alone()))
    alone = [measure(member, POOL, POOL.ids, truth, SPEC, quiet)["dice"] for member in Weighted(0.9).members]
    assert found.pop("member_dice") == pytest.approx(np.mean(alone))
    assert found == wanted
