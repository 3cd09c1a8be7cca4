"""Labels of several classes per image: which are valid, and how they are written."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from alkit.configuration.construct import build
from alkit.configuration.forms import written_form
from alkit.errors import ConfigurationError, LabelError
from alkit.labels.joining import majority
from alkit.labels.sets import label_of, set_text, split_set
from alkit.values import LabelSpec, Predictions

THREE = LabelSpec(("cat", "dog", "fox"), per="image", multiple=True)
UNSURE = LabelSpec(("cat", "dog", "fox"), ignore=255, per="image", multiple=True)


def check(label, spec=THREE):
    return spec.check(label, id="a", sizes=()).tolist()


@pytest.mark.parametrize(
    ("label", "expected"),
    [
        ({"dog"}, [0, 1, 0]),
        (frozenset(), [0, 0, 0]),
        ([], [0, 0, 0]),
        (["fox", "cat"], [1, 0, 1]),
        ([1, 0, 1], [1, 0, 1]),
        (np.array([True, False, False]), [1, 0, 0]),
        (np.array([0, 0, 0], np.int16), [0, 0, 0]),
    ],
    ids=str,
)
def test_a_set_of_names_and_an_array_of_ones_are_the_same_label(label, expected):
    found = THREE.check(label, id="a", sizes=())
    assert (found.tolist(), found.dtype, found.flags.writeable) == (expected, np.uint8, False)


@pytest.mark.parametrize(
    "wrong",
    [1, "cat", {"wolf"}, [0, 1], [0, 1, 2], [0.0, 1.0, 0.0], [0, 1, 255], None, {1}, np.zeros((4, 4), int)],
    ids=str,
)
def test_other_labels_are_errors_that_name_the_image(wrong):
    with pytest.raises(LabelError, match="'a'"):
        check(wrong)


def test_a_class_can_be_unknown_only_with_an_ignore_value():
    assert check([1, 255, 0], UNSURE) == [1, 255, 0]
    with pytest.raises(LabelError, match="255"):
        check([1, 255, 0])
    assert (THREE.with_ignore().ignore, UNSURE.with_ignore().ignore) == (255, 255)


@pytest.mark.parametrize(
    "arguments",
    [
        {"classes": ("a", "b"), "multiple": True},  # masks
        {"classes": (), "per": "image", "multiple": True},
        {"classes": ("a", "b|c"), "per": "image", "multiple": True},
        {"classes": ("a", "None"), "per": "image", "multiple": True},
        {"classes": ("?a",), "per": "image", "multiple": True},
        {"classes": ("a", "b"), "per": "image", "multiple": True, "ignore": 1},
        {"classes": ("a", "b"), "per": "image", "ignore": 255},
        {"classes": ("a", "b"), "per": "image", "multiple": 2},
    ],
    ids=str,
)
def test_specifications_that_do_not_fit_are_errors(arguments):
    with pytest.raises(ConfigurationError):
        LabelSpec(**arguments)


def test_the_written_form_of_other_labels_stays_as_it_was():
    assert set(written_form(LabelSpec(("a", "b")))["with"]) == {"classes", "ignore", "per"}
    assert written_form(THREE)["with"]["multiple"] is True
    for spec in (THREE, UNSURE, LabelSpec(("a", "b"), per="image"), LabelSpec(("one",), per="image", multiple=True)):
        assert build(written_form(spec), "label specification") == spec


@given(st.lists(st.sampled_from([0, 1, 255]), min_size=3, max_size=3))
def test_the_text_of_a_label_gives_the_label_again(values):
    label = np.array(values, np.uint8)
    text = set_text(label, UNSURE)
    np.testing.assert_array_equal(label_of(split_set(text, UNSURE.classes), UNSURE, "a"), label)


def test_names_with_commas_are_not_divided():
    spec = LabelSpec(("left, lower", "left", "lower"), per="image", multiple=True)
    assert label_of(split_set("left, lower", spec.classes), spec, "a").tolist() == [1, 0, 0]
    assert label_of(split_set("left ;lower", spec.classes), spec, "a").tolist() == [0, 1, 1]


def test_each_class_is_joined_by_the_majority_and_a_tie_is_unknown():
    votes = [np.array(vote, np.uint8) for vote in ([1, 1, 0], [1, 0, 0], [0, 255, 0])]
    assert majority(votes, UNSURE).tolist() == [1, 255, 0]
    assert majority(votes[:2], THREE.with_ignore()).tolist() == [1, 255, 0]


def test_predictions_of_several_classes_have_a_probability_for_each():
    present = np.array([[0.9, 0.5, 0.2]], np.float32)
    found = Predictions(("a",), np.stack([1 - present, present], axis=1))
    assert found.labels.tolist() == [[1, 0, 0]]
    np.testing.assert_array_equal(found.present, present)
    with pytest.raises(ConfigurationError, match="several classes"):
        _ = Predictions(("a",), present).present
