"""The quality of a label is that of cleanlab, and the ignore value does not count."""

import numpy as np
import pytest

import alkit
from alkit.evaluation.label_quality import label_quality

MASKS = alkit.LabelSpec(("skin", "lesion", "hair"))
CLASSES = alkit.LabelSpec(("cat", "dog", "fox"), per="image")
SEVERAL = alkit.LabelSpec(("cat", "dog", "fox"), per="image", multiple=True, ignore=9)


def _masks(n: int = 4) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(3)
    return rng.integers(0, 3, (n, 5, 7)).astype(np.uint8), rng.dirichlet([1, 1, 1], (n, 5, 7)).transpose(0, 3, 1, 2)


def test_quality_equals_the_scores_that_cleanlab_2_9_gave():
    labels, probabilities = _masks()
    found = [label_quality(*both, MASKS) for both in zip(labels, probabilities, strict=True)]
    np.testing.assert_allclose(found, REFERENCE, atol=1e-9)
    present = np.array([0.1, 0.9, 0.1])
    assert label_quality(np.array([0, 1, 0]), np.stack([1 - present, present]), SEVERAL) == pytest.approx(0.9)
    present = np.array([0.4, 0.1, 0.9])  # the example in cleanlab's documentation
    assert label_quality(np.array([1, 0, 1]), np.stack([1 - present, present]), SEVERAL) == pytest.approx(0.5)


REFERENCE = (
    0.093125308455,
    0.064771006237,
    0.069233311412,
    0.088701318341,
)
"""Of cleanlab.segmentation.rank.get_label_quality_scores."""


def test_quality_equals_the_scores_of_cleanlab():
    rank = pytest.importorskip("cleanlab.segmentation.rank")
    from cleanlab.multilabel_classification import get_label_quality_scores as of_several
    from cleanlab.rank import get_label_quality_scores as of_classes

    labels, probabilities = _masks()
    expected, _ = rank.get_label_quality_scores(labels.astype(int), probabilities, verbose=False)
    found = [label_quality(*both, MASKS) for both in zip(labels, probabilities, strict=True)]
    np.testing.assert_allclose(found, expected, atol=1e-9)
    rng = np.random.default_rng(4)
    classes, probabilities = rng.integers(0, 3, 9), rng.dirichlet([1, 1, 1], 9)
    found = [label_quality(np.array(one), row, CLASSES) for one, row in zip(classes, probabilities, strict=True)]
    np.testing.assert_allclose(found, of_classes(classes, probabilities))
    sets, present = rng.integers(0, 2, (9, 3)), rng.random((9, 3))
    found = [label_quality(own, np.stack([1 - row, row]), SEVERAL) for own, row in zip(sets, present, strict=True)]
    np.testing.assert_allclose(found, of_several([np.flatnonzero(own).tolist() for own in sets], present))


def test_ignored_pixels_and_classes_do_not_count():
    spec = alkit.LabelSpec(("skin", "lesion"), ignore=255)
    lesion = np.array([[0.1, 0.9, 0.01]])
    probabilities = np.stack([1 - lesion, lesion])
    ignored = label_quality(np.array([[0, 1, 255]], np.uint8), probabilities, spec)
    assert ignored == pytest.approx(0.9)
    assert label_quality(np.array([[0, 1, 1]], np.uint8), probabilities, spec) < 0.1
    assert label_quality(np.full((1, 3), 255, np.uint8), probabilities, spec) is None
    present = np.array([0.1, 0.9, 0.1])
    assert label_quality(np.array([0, 1, 9]), np.stack([1 - present, present]), SEVERAL) == pytest.approx(0.9)
    assert label_quality(np.array([9, 9, 9]), np.stack([1 - present, present]), SEVERAL) is None
