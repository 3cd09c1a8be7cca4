"""Several annotators' labels of one image become the one that is learnt from."""

import importlib.util
import sys

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

import alkit
from alkit.labels._staple import _worker
from alkit.labels.joining import JOINS, named

SPEC = alkit.LabelSpec(("skin", "lesion", "hair"))
IGNORING = alkit.LabelSpec(("skin", "lesion"), ignore=255)


def rows(*values):
    return [np.array([value], np.uint8) for value in values]


def test_one_is_the_last():
    assert named("one")(rows([0, 1], [1, 1]), SPEC).tolist() == [[1, 1]]


def test_the_majority_of_three():
    assert named("majority")(rows([0, 1, 2], [1, 1, 2], [2, 0, 2]), SPEC).tolist() == [[0, 1, 2]]


def test_equal_votes_go_to_the_ignore_value_or_else_to_the_lowest_class():
    assert named("majority")(rows([0, 1], [1, 1]), IGNORING).tolist() == [[255, 1]]
    assert named("majority")(rows([2, 1], [1, 1]), SPEC).tolist() == [[1, 1]]


@given(arrays(np.uint8, st.tuples(st.integers(1, 6), st.integers(1, 4), st.integers(1, 4)), elements=st.integers(0, 2)))
def test_the_majority_is_what_counting_each_pixel_gives_in_any_order(stack):
    votes = np.stack([(stack == value).sum(axis=0) for value in range(3)])
    for order in (stack, stack[::-1]):
        joined = named("majority")(list(order), SPEC)
        assert joined.dtype == np.uint8
        np.testing.assert_array_equal(joined, votes.argmax(axis=0))


@pytest.mark.parametrize("name", JOINS)
def test_all_agree_on_what_all_say(name):
    mask = np.array([[0, 1], [2, 1]], np.uint8)
    np.testing.assert_array_equal(named(name)([mask, mask, mask], SPEC), mask)


def test_classes_of_images_are_joined_too():
    spec = alkit.LabelSpec(("cat", "dog"), per="image")
    assert int(named("majority")([np.array(1), np.array(0), np.array(1)], spec)) == 1
    with pytest.raises(alkit.errors.ConfigurationError, match="STAPLE joins masks"):
        named("staple")([np.array(1), np.array(0)], spec)


def test_staple_trusts_those_who_agree_with_the_others():
    rng = np.random.default_rng(0)
    truth = np.zeros((32, 32), np.uint8)
    truth[8:24, 8:24] = 1
    errors = [0.05, 0.05, 0.05, 0.45, 0.45, 0.45, 0.45]
    labels = [np.where(rng.random(truth.shape) < error, 1 - truth, truth).astype(np.uint8) for error in errors]
    spec = alkit.LabelSpec(("skin", "lesion"))
    wrong = {name: float((named(name)(labels, spec) != truth).mean()) for name in ("staple", "majority")}
    assert wrong["staple"] < 0.03 < 0.08 < wrong["majority"]


def test_without_simpleitk_the_extra_is_named(monkeypatch):
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    with pytest.raises(alkit.errors.MissingDependencyError, match=r"alkit\[staple\]"):
        named("staple")(rows([0], [1]), SPEC)


def test_it_does_no_harm_to_faiss_and_goes_on_after_its_process_was_ended():
    labels = rows([0, 1, 1, 0], [0, 1, 0, 0], [0, 1, 1, 0])
    first = named("staple")(labels, SPEC)
    assert "SimpleITK" not in sys.modules
    assert alkit.features.kmeans(np.eye(3, dtype=np.float32), ["a", "b", "c"], k=2, rng=np.random.default_rng(0)).k == 2
    _worker().kill()
    _worker().wait()
    with pytest.raises(alkit.AlkitError, match="STAPLE failed"):
        named("staple")(labels, SPEC)
    np.testing.assert_array_equal(named("staple")(labels, SPEC), first)


@pytest.mark.parametrize(("wrong", "message"), [("majorty", "'majority'"), (3, "joins no labels"), (int, "joins no")])
def test_what_is_no_rule_is_refused(wrong, message):
    with pytest.raises(alkit.errors.ConfigurationError, match=message):
        named(wrong)
