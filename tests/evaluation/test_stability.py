"""How sure a model is, and how much its predictions differ from those of the previous one."""

from dataclasses import dataclass

import numpy as np
import pytest
from sklearn.metrics import cohen_kappa_score, f1_score

import alkit
from alkit.evaluation.stability import stability

SPEC = alkit.LabelSpec(("skin", "lesion", "hair"))
IMAGES = np.random.default_rng(0).random((70, 1, 4, 4), np.float32)
POOL = alkit.ArrayPool(IMAGES)


@dataclass
class Random:
    """Predicts random probabilities that depend on the seed and the image alone."""

    seed: int

    def probabilities(self, images):
        rows = [np.random.default_rng([self.seed, int(1e6 * image[0, 0, 0])]) for image in images]
        raw = np.stack([row.random((3, *image.shape[1:])) for row, image in zip(rows, images, strict=True)])
        return (raw / raw.sum(axis=1, keepdims=True)).astype(np.float32)


class AlwaysSkin(Random):
    def probabilities(self, images):
        return np.eye(3, dtype=np.float32)[np.zeros((len(images), 4, 4), int)].transpose(0, 3, 1, 2)


class Rows:
    """Predicts fixed probabilities of whole images."""

    def __init__(self, rows):
        self.rows = np.array(rows, np.float32)

    def probabilities(self, images):
        return self.rows[: len(images)]


def test_agreement_is_cohens_kappa_over_all_pixels():
    one, other = Random(0), Random(1)
    a, b = (model.probabilities(IMAGES).argmax(axis=1).ravel() for model in (one, other))
    found = stability(one, other, POOL, POOL.ids, SPEC).agreement
    assert found == pytest.approx(cohen_kappa_score(a, b), abs=1e-6)
    assert abs(found) < 0.2


def test_predictors_that_agree_everywhere_have_kappa_one_even_for_a_single_class():
    assert stability(Random(0), Random(0), POOL, POOL.ids, SPEC).agreement == 1
    assert stability(AlwaysSkin(0), AlwaysSkin(1), POOL, POOL.ids, SPEC).agreement == 1


def test_the_figures_of_masks_leave_out_the_common_background():
    one, other = Random(0), Random(1)
    a, b = (model.probabilities(IMAGES).argmax(axis=1).ravel() for model in (one, other))
    found = stability(one, other, POOL, POOL.ids, SPEC).figures
    foreground = (a > 0) | (b > 0)
    assert found["changed"] == pytest.approx((a != b)[foreground].mean())
    assert found["overlap"] == pytest.approx(f1_score(a, b, labels=[1, 2], average="macro"))
    given = one.probabilities(IMAGES).astype(float)
    entropy = -(given * np.log(given)).sum(axis=1) / np.log(3)
    assert found["uncertainty"] == pytest.approx(entropy[given[:, 0] <= 0.9].mean())


def test_a_model_that_sees_no_foreground_has_no_figures():
    assert stability(AlwaysSkin(0), AlwaysSkin(1), POOL, POOL.ids, SPEC).figures == {}
    first = stability(Random(0), None, POOL, POOL.ids, SPEC)
    assert first.agreement is None
    assert list(first.figures) == ["uncertainty"]


def test_images_with_one_class_count_whole():
    spec, pool = alkit.LabelSpec(("cat", "dog"), per="image"), alkit.ArrayPool(IMAGES[:4])
    old, new = Rows([[0.9, 0.1], [0.8, 0.2], [0.1, 0.9], [0.5, 0.5]]), Rows([[1, 0], [0.2, 0.8], [0, 1], [1, 0]])
    found = stability(new, old, pool, pool.ids, spec).figures
    assert found["changed"] == 0.25
    assert found["overlap"] == pytest.approx(f1_score([0, 0, 1, 0], [0, 1, 1, 0], average="macro"))
    assert found["uncertainty"] == pytest.approx(0.7219 / 4, abs=1e-3)
