"""Agreement of annotators against scikit-learn, and its edge cases."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from sklearn.metrics import cohen_kappa_score, f1_score

import alkit
from alkit.evaluation.agreement import agreement_of_annotators

SPEC = alkit.LabelSpec(("skin", "lesion", "hair"), ignore=9)


def mask(*values):
    return np.array([values], np.uint8)


@given(arrays(np.uint8, (2, 3, 4), elements=st.sampled_from([0, 1, 2, 9])))
def test_masks_are_compared_by_dice_where_both_count(masks):
    one, other = masks
    found = agreement_of_annotators([("a", {"ann": one, "bob": other})], SPEC)
    counted = (one != 9) & (other != 9)
    if not counted.any():
        assert found.images == found.pairs == ()
        return
    known = [k for k in (1, 2) if ((one == k) | (other == k))[counted].any()]
    dice = [float(f1_score((one == k)[counted], (other == k)[counted])) for k in known]
    assert found.images[0].by_class == pytest.approx(
        {SPEC.classes[k]: value for k, value in zip(known, dice, strict=True)}
    )
    assert found.images[0].agreement == pytest.approx(np.mean(dice) if known else 1)


@given(st.lists(st.tuples(st.integers(0, 2), st.integers(0, 2)), min_size=1, max_size=12))
def test_classes_are_compared_by_kappa(told):
    spec = alkit.LabelSpec(SPEC.classes, per="image")
    labels = [(f"{row}", {"ann": np.array(a), "bob": np.array(b)}) for row, (a, b) in enumerate(told)]
    found = agreement_of_annotators(labels, spec)
    (pair,), (one, other) = found.pairs, zip(*told, strict=True)
    if len({*one, *other}) > 1:
        assert pair.agreement == pytest.approx(cohen_kappa_score(one, other))
    else:
        assert pair.agreement is found.mean is None
    assert {image.id for image in found.images if image.agreement == 0} == set(found.disputed)
    assert set(found.disputed) == {f"{row}" for row, (a, b) in enumerate(told) if a != b}


def test_each_image_pair_and_class_has_its_own_figure():
    labels = [
        ("a", {"ann": mask(1, 1, 0, 2), "bob": mask(1, 0, 0, 2), "cid": mask(1, 1, 0, 2)}),
        ("b", {"ann": mask(0, 0, 0, 0), "bob": mask(0, 0, 0, 0)}),
        ("c", {"bob": mask(1, 1, 1, 1), "cid": mask(0, 0, 0, 0)}),
        ("d", {"ann": mask(1, 1, 1, 1)}),
    ]
    found = agreement_of_annotators(labels, SPEC, below=0.9)
    images = {image.id: image for image in found.images}
    assert images["a"].agreement == pytest.approx((5 / 6 + 1 + 5 / 6) / 3)
    assert images["a"].by_class == pytest.approx({"lesion": (2 / 3 + 1 + 2 / 3) / 3, "hair": 1})
    assert images["b"].agreement == 1
    assert images["b"].by_class == {}
    assert found.disputed == ("c", "a")
    assert {pair.annotators: pair.images for pair in found.pairs} == {
        ("ann", "bob"): 2, ("ann", "cid"): 1, ("bob", "cid"): 2,
    }  # fmt: skip
    pair = {pair.annotators: pair for pair in found.pairs}["bob", "cid"]
    assert pair.agreement == pytest.approx((5 / 6 + 0) / 2)
    assert pair.by_class == pytest.approx({"lesion": (2 / 3 + 0) / 2, "hair": 1})
