"""Label specifications, selections and predictions."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from alkit import LabelSpec, Predictions, Query, RoundResult, Selection
from alkit.errors import ConfigurationError, LabelError, SelectionError

SPEC = LabelSpec(("skin", "lesion"), ignore=255)


def check(mask, sizes=((2, 3),)):
    return SPEC.check(mask, id="a", sizes=sizes)


@pytest.mark.parametrize("dtype", [bool, np.uint8, np.int64, np.uint16])
def test_integers_and_booleans_are_accepted_and_returned_as_uint8(dtype):
    mask = np.array([[0, 1, 0], [1, 1, 0]], dtype)
    checked = check(mask)
    assert checked.dtype == np.uint8
    assert (checked == mask).all()
    assert not checked.flags.writeable


def test_masked_values_are_refused_and_others_of_a_masked_array_are_taken():
    values = np.ma.masked_equal(np.array([[0, 1, 0], [1, 1, 9]]), 9)
    with pytest.raises(LabelError, match="the mask of 'a' must not have masked values: got 1 of 6"):
        check(values)
    assert check(np.ma.masked_equal(values.filled(1), 9)).tolist() == [[0, 1, 0], [1, 1, 1]]
    one = LabelSpec(("cat", "dog"), per="image")
    several = LabelSpec(("cat", "dog"), per="image", multiple=True)
    for spec, label in ((one, np.ma.array(1, mask=True)), (several, np.ma.array([1, 0], mask=[False, True]))):
        with pytest.raises(LabelError, match="must not have masked values"):
            spec.check(label, id="a", sizes=())


@pytest.mark.parametrize(
    ("mask", "words"),
    [
        (np.zeros((2, 3), float), "wrong type"),
        (np.zeros((2, 3, 3), int), "not a label map"),
        ("masks/000.png", "not a label map: got 'masks/000.png', .*Try: an array of class ids, or alkit.SKIP"),
        (None, "not a label map: got None"),
        (np.zeros((3, 2), int), "another size"),
        (np.full((2, 3), 2), r"\[2\]"),
        (np.full((2, 3), -1), r"\[-1\]"),
        (np.full((2, 3), 256), r"\[256\]"),
    ],
)
def test_a_mask_that_does_not_fit_the_spec_is_an_error_with_the_reason(mask, words):
    with pytest.raises(LabelError, match=words):
        check(mask)


def test_a_mask_may_have_either_of_two_sizes():
    assert check(np.zeros((4, 6), int), sizes=[(4, 6), (2, 3)]).shape == (4, 6)


def test_without_an_ignore_value_255_is_not_a_class():
    with pytest.raises(LabelError, match="255"):
        LabelSpec(("skin", "lesion")).check(np.full((1, 1), 255), id="a", sizes=[(1, 1)])


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ({"classes": ()}, "classes must be at least two names: got none"),
        (
            {"classes": ("one",)},
            r"classes must be at least two names: got 'one'\. Try: classes=\('background',",
        ),
        ({"classes": ("a", "a")}, r"classes must have different names: got 'a' twice"),
        ({"classes": "ab"}, "classes must be a sequence of names: got the string 'ab'"),
        ({"classes": tuple(map(str, range(256)))}, "masks can have at most 255 classes: got 256"),
        ({"classes": ("a", "b"), "per": "voxel"}, "per must be 'pixel' or 'image': got 'voxel'"),
        (
            {"classes": ("a", "b"), "per": "image", "ignore": 3},
            "ignore must be None .*: got 3",
        ),
    ],
)
def test_wrong_classes_are_errors(arguments, words):
    with pytest.raises(ConfigurationError, match=words):
        LabelSpec(**arguments)


@pytest.mark.parametrize("ignore", [0, 1, 256, -1])
def test_an_ignore_value_among_the_class_ids_or_above_255_is_an_error(ignore):
    with pytest.raises(ConfigurationError, match=f"ignore must be an integer from 2 to 255, .*: got {ignore}"):
        LabelSpec(("a", "b"), ignore)


@pytest.mark.parametrize("score", [np.nan, np.inf, -np.inf])
def test_a_score_that_is_not_finite_is_an_error_that_names_the_image(score):
    with pytest.raises(SelectionError, match="'b'"):
        Selection(["a", "b"], scores=[1.0, score])


def test_a_repeated_id_and_differing_lengths_are_errors():
    with pytest.raises(SelectionError, match="twice"):
        Selection(["a", "b", "a"])
    with pytest.raises(SelectionError, match="scores must have one item for each id: got 1, expected 2"):
        Selection(["a", "b"], scores=[1.0])


@given(st.integers(2, 5), st.integers(0, 99))
def test_predicted_masks_are_the_arg_max_with_ties_to_the_lower_class(classes, seed):
    probabilities = np.random.default_rng(seed).integers(0, 3, (2, classes, 3, 4)).astype(np.float32)
    masks = Predictions(("a", "b"), probabilities).labels
    for n, y, x in np.ndindex(masks.shape):
        pixel = probabilities[n, :, y, x].tolist()
        assert masks[n, y, x] == pixel.index(max(pixel))


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (lambda: Query("a", -1, 0, ((4, 4),)), "round must be an integer >= 0: got -1"),
        (lambda: Query("a", 0, -2, ((4, 4),)), "rank must be an integer >= 0: got -2"),
        (lambda: Query("a", 0, 0, ((4, 4),), wanted=0), "wanted must be an integer >= 1: got 0"),
        (lambda: Query("a", 0, 0, ((4, 0),)), "sizes must be pairs of a height"),
        (lambda: RoundResult(-1, (), 0), "round must be an integer >= 0"),
        (lambda: RoundResult(0, (), -1), "n_labels must be an integer >= 0"),
        (lambda: RoundResult(0, (), 0, n_pseudo=-1), "n_pseudo must be an integer >= 0"),
        (lambda: Predictions(("a", "a"), np.zeros((2, 2), np.float32)), "ids must be different: got 'a' twice"),
        (lambda: Predictions(("a",), np.zeros((2, 2), np.float32)), r"probabilities must be \(1, classes, h, w\)"),
        (lambda: Predictions(("a",), np.zeros((1, 3, 3), np.float32)), r"got shape \(1, 3, 3\)"),
        (lambda: LabelSpec(("skin", " ")), "classes must not have empty names: got 'skin', ' '"),
    ],
)
def test_values_out_of_range_are_errors_that_name_the_parameter(make, words):
    with pytest.raises(ConfigurationError, match=words):
        make()
