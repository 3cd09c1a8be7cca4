"""Simulated oracles answer each query once, with the label that they know."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

import alkit
from alkit.configuration import rebuild, written_form
from alkit.errors import ConfigurationError, DataError, LabelError
from alkit.oracles import MaskOracle
from alkit.protocols import Oracle
from alkit.values import LabelSpec, Query

TWO, THREE = ("skin", "lesion"), ("skin", "lesion", "hair")
MASK = np.array([[0, 1, 2], [2, 0, 1]], np.uint8)
ANIMALS = ("cat", "dog", "fox")


def query(id, rank=0):
    return Query(id, round=0, rank=rank, sizes=((2, 3),))


def save(folder, name, array):
    folder.mkdir(exist_ok=True)
    Image.fromarray(np.asarray(array)).save(folder / name)


# Masks.


def test_an_oracle_answers_each_query_once_at_the_next_poll_in_the_order_asked(tmp_path):
    for id in "abc":
        save(tmp_path, f"{id}.png", MASK)
    oracle = MaskOracle(tmp_path, THREE)
    assert isinstance(oracle, Oracle)
    assert oracle.spec == LabelSpec(THREE)
    assert list(oracle.poll()) == []
    oracle.ask([query("c"), query("a")])
    oracle.ask([query("c"), query("b")])
    answers = list(oracle.poll())
    assert [answer.id for answer in answers] == ["c", "a", "b"]
    np.testing.assert_array_equal(answers[0].label, MASK)
    assert list(oracle.poll()) == []
    oracle.ask([query("c")])
    assert [answer.id for answer in oracle.poll()] == ["c"]


def test_a_query_whose_mask_cannot_be_read_stays_open(tmp_path):
    save(tmp_path, "a.png", MASK)
    oracle = MaskOracle(tmp_path, THREE)
    oracle.ask([query("a"), query("b")])
    with pytest.raises(LabelError, match="image 'b' has no mask"):
        list(oracle.poll())
    save(tmp_path, "b.png", MASK)
    assert [answer.id for answer in oracle.poll()] == ["b"]


def test_the_pattern_finds_masks_in_subfolders_too(tmp_path):
    (tmp_path / "masks").mkdir()
    save(tmp_path / "masks" / "ward 3", "x_segmentation.png", MASK)
    np.testing.assert_array_equal(
        MaskOracle(str(tmp_path / "masks"), THREE, pattern="{id}_segmentation.png").read("ward 3/x"), MASK
    )


def test_the_error_about_a_missing_mask_names_the_id_the_path_and_the_pattern(tmp_path):
    with pytest.raises(LabelError) as caught:
        MaskOracle(tmp_path, TWO).read("x")
    for part in ("'x'", str(tmp_path / "x.png"), "pattern=", "{id}_segmentation.png", "it is '{id}.png'"):
        assert part in str(caught.value)


def test_a_missing_folder_and_a_pattern_without_an_id_are_refused(tmp_path):
    with pytest.raises(DataError, match=r"masks must be an existing folder: got .*nowhere"):
        MaskOracle(tmp_path / "nowhere", TWO)
    with pytest.raises(ConfigurationError, match=r"pattern must contain \{id\}: got 'mask\.png'"):
        MaskOracle(tmp_path, TWO, pattern="mask.png")


@pytest.mark.parametrize("pattern", ["../{id}.png", "a/../../{id}*.png", "/{id}.png", "{class}/{id}.png"])
def test_a_pattern_does_not_lead_out_of_its_folder(tmp_path, pattern):
    (tmp_path / "masks").mkdir()
    Image.fromarray(MASK).save(tmp_path / "x.png")
    with pytest.raises(ConfigurationError, match="pattern must name files in the folder or below: got"):
        MaskOracle(tmp_path / "masks", ("skin", ".." if "class" in pattern else "lesion"), pattern=pattern)


def test_masks_can_be_a_mapping():
    oracle = MaskOracle({"a": MASK}, THREE)
    np.testing.assert_array_equal(oracle.read("a"), MASK)
    with pytest.raises(LabelError, match="image 'b' has no mask: expected a key of the mapping"):
        oracle.read("b")


@pytest.mark.parametrize(
    ("classes", "ignore", "stored", "read"),
    [
        (TWO, None, [0, 255, 255], [0, 1, 1]),
        (TWO, None, [255, 255, 255], [1, 1, 1]),
        (TWO, None, [0, 0, 0], [0, 0, 0]),
        (TWO, None, [0, 1, 1], [0, 1, 1]),
        (TWO, None, [0, 1, 255], [0, 1, 255]),  # neither convention: LabelSpec.check refuses it
        (TWO, 255, [0, 255, 255], [0, 255, 255]),
        (TWO, 254, [0, 255, 255], [0, 1, 1]),
        (THREE, None, [0, 255, 255], [0, 255, 255]),
        (THREE, 255, [0, 2, 255], [0, 2, 255]),
    ],
)
def test_two_classes_can_be_stored_as_0_and_255_unless_255_is_the_ignore_value(tmp_path, classes, ignore, stored, read):
    save(tmp_path, "a.png", np.array([stored], np.uint8))
    for masks in (tmp_path, {"a": np.array([stored])}):
        assert MaskOracle(masks, classes, ignore).read("a").tolist() == [read]


@pytest.mark.parametrize("classes", [TWO, THREE])
def test_a_mask_of_one_bit_is_0_and_1(tmp_path, classes):
    save(tmp_path, "a.png", MASK == 1)
    mask = MaskOracle(tmp_path, classes).read("a")
    checked = LabelSpec(classes).check(mask, id="a", sizes=[(2, 3)])
    np.testing.assert_array_equal(checked, MASK == 1)


def test_values_are_translated_to_class_ids(tmp_path):
    save(tmp_path, "a.png", np.array([[0, 128, 255], [64, 0, 128]], np.uint8))
    oracle = MaskOracle(tmp_path, THREE, ignore=200, values={0: 0, 128: 1, 255: 2, 64: 200})
    assert oracle.read("a").tolist() == [[0, 1, 2], [200, 0, 1]]
    assert MaskOracle({"a": MASK == 1}, TWO, values={0: 1, 1: 0}).read("a").tolist() == [[1, 0, 1], [1, 1, 0]]


def test_values_can_swap_classes(tmp_path):
    save(tmp_path, "a.png", np.array([[0, 1, 255]], np.uint8))
    assert MaskOracle(tmp_path, TWO, ignore=255, values={0: 1, 1: 0, 255: 255}).read("a").tolist() == [[1, 0, 255]]


def test_the_error_about_values_without_a_class_id_lists_them(tmp_path):
    save(tmp_path, "a.png", np.array([[0, 128, 3, 4]], np.uint8))
    with pytest.raises(LabelError, match=r"'a' contains values without a class id: got \[3, 4\], expected 0 or 128"):
        MaskOracle(tmp_path, TWO, values={0: 0, 128: 1}).read("a")


def test_values_must_map_to_class_ids():
    with pytest.raises(ConfigurationError, match=r"values must map to class ids: got \[2\], expected 0 skin, 1 lesion"):
        MaskOracle({}, TWO, values={0: 0, 255: 2})


@pytest.mark.parametrize("bad", [np.zeros((2, 3)), np.zeros((2, 3, 3), np.uint8)])
def test_the_spec_not_the_oracle_refuses_arrays_that_are_not_masks(bad):
    mask = MaskOracle({"a": bad}, TWO, values={0: 0}).read("a")
    with pytest.raises(LabelError, match="the mask of 'a' is"):
        LabelSpec(TWO).check(mask, id="a", sizes=[(2, 3)])


def test_an_oracle_can_be_written_into_a_record_and_built_again(tmp_path):
    save(tmp_path, "a.png", MASK * 100)
    oracle = MaskOracle(str(tmp_path), list(THREE), pattern="{id}.png", values={0: 0, 100: 1, 200: 2})
    oracle.ask([query("a")])
    again = rebuild(written_form(oracle))
    assert again == MaskOracle(str(tmp_path), THREE, values={0: 0, 100: 1, 200: 2}) == oracle
    np.testing.assert_array_equal(again.read("a"), MASK)
    assert list(again.poll()) == []


# Classes of images.


def answers(oracle):
    return [(answer.id, answer.label) for answer in oracle.poll()]


@given(st.dictionaries(st.text(min_size=1), st.tuples(st.integers(0, 2), st.booleans()), min_size=1), st.data())
def test_each_query_is_answered_once_in_the_order_asked_whether_the_label_is_an_id_or_a_name(classes, data):
    labels = {id: ANIMALS[number] if named else number for id, (number, named) in classes.items()}
    oracle = alkit.LabelOracle(labels, ANIMALS)
    ids = data.draw(st.lists(st.sampled_from(sorted(labels))))
    oracle.ask([query(id, rank) for rank, id in enumerate(ids)])
    oracle.ask([query(id) for id in ids])
    assert answers(oracle) == [(id, classes[id][0]) for id in dict.fromkeys(ids)]
    assert answers(oracle) == []


def test_an_answer_fits_its_spec_and_it_is_an_oracle():
    oracle = alkit.LabelOracle({"a": np.int64(2), "b": "dog"}, list(ANIMALS))
    assert isinstance(oracle, alkit.protocols.Oracle)
    assert oracle.spec == alkit.LabelSpec(ANIMALS, per="image")
    oracle.ask([query("b"), query("a")])
    assert [int(oracle.spec.check(label, id=id, sizes=())) for id, label in answers(oracle)] == [1, 2]


def test_a_query_asked_while_answers_are_fetched_is_answered_later():
    oracle = alkit.LabelOracle({"a": 0, "b": 1}, ANIMALS)
    oracle.ask([query("a")])
    for answer in oracle.poll():
        assert answer.id == "a"
        oracle.ask([query("b")])
    assert answers(oracle) == [("b", 1)]


def test_the_error_names_an_image_without_a_label_and_the_query_stays_open():
    oracle = alkit.LabelOracle({"a": 0}, ANIMALS)
    oracle.ask([query("b")])
    for _ in range(2):
        with pytest.raises(alkit.errors.LabelError, match="image 'b' has no label"):
            answers(oracle)


def test_check_counts_the_images_without_a_label_and_names_the_first_five():
    oracle = alkit.LabelOracle({"a": 0}, ANIMALS)
    oracle.check(["a"])
    with pytest.raises(alkit.errors.LabelError, match=r"^6 images have no label: got b, c, d, e, f \.\.\., "):
        oracle.check(list("abcdefg"))
    with pytest.raises(alkit.errors.LabelError, match=r"^image 'b' has no label: "):
        oracle.check(["a", "b"])


@pytest.mark.parametrize(
    ("label", "message"),
    [
        ("dgo", r"label of image 'b' must be a class: got 'dgo', .* Try: 'dog'"),
        ("1", r"label of image 'b' must be a class"),
        (3, r"'b' is not a class id: got 3, expected one integer: 0 cat, 1 dog, 2 fox"),
        (-1, r"'b' is not a class id"),
        (1.0, r"'b' is not a class id"),
        (True, r"'b' is not a class id"),
        (None, r"'b' is not a class id"),
    ],
)
def test_a_label_that_is_not_a_class_is_refused_at_once(label, message):
    with pytest.raises(alkit.errors.LabelError, match=message):
        alkit.LabelOracle({"a": 0, "b": label}, ANIMALS)


@pytest.mark.parametrize("labels", [[0, 1], np.array([0, 1])])
def test_labels_without_ids_are_refused(labels):
    with pytest.raises(alkit.errors.ConfigurationError, match=r"labels must be a mapping.*dict\(zip\(ids, labels\)\)"):
        alkit.LabelOracle(labels, ANIMALS)


def test_classes_with_the_same_name_are_an_error():
    with pytest.raises(alkit.errors.ConfigurationError, match="classes must have different names"):
        alkit.LabelOracle({}, ("cat", "cat"))


def test_the_printed_form_does_not_list_every_label():
    assert repr(alkit.LabelOracle({"an id": 0}, ANIMALS)) == f"LabelOracle(classes={ANIMALS})"


@pytest.fixture
def five_masks(tmp_path):
    """Return a pool of five images with masks, and the folder of the masks."""
    for number in range(5):
        Image.fromarray(np.full((8, 8), 255 * (number % 2), np.uint8)).save(tmp_path / f"{number:04}.png")
    return alkit.ArrayPool(np.zeros((5, 8, 8), np.uint8)), tmp_path


def test_all_masks_are_checked_and_all_faults_are_found(five_masks):
    pool, folder = five_masks
    told = []
    oracle = alkit.MaskOracle(folder, classes=("skin", "lesion"))
    oracle.check_labels(pool, told.append)
    assert [(step.stage, step.done, step.total) for step in told] == [("check", n, 5) for n in range(1, 6)]
    oracle.check_labels(pool, told.append)
    assert len(told) == 5  # nothing is read twice
    Image.fromarray(np.full((8, 9), 0, np.uint8)).save(folder / "0001.png")
    (folder / "0003.png").write_bytes(b"damaged")
    oracle = alkit.MaskOracle(folder, classes=("skin", "lesion"))
    with pytest.raises(LabelError, match=r"2 of 5 masks cannot be used: .*0001\.png.*9 x 8.*; .*0003\.png"):
        oracle.check_labels(pool)
    Image.fromarray(np.full((8, 8), 0, np.uint8)).save(folder / "0001.png")
    with pytest.raises(LabelError, match=r"^\S*0003\.png"):
        oracle.check_labels(pool)


def test_a_bad_mask_is_found_before_the_first_round(five_masks):
    pool, folder = five_masks
    pool, test = pool.subset(pool.ids[:4]), pool.subset(pool.ids[4:])
    learner = alkit.SegmentationLearner(alkit.UNet, epochs=(1, 1))
    for number in (3, 4):
        good = (folder / f"{number:04}.png").read_bytes()
        Image.fromarray(np.full((8, 8), 7, np.uint8)).save(folder / f"{number:04}.png")
        experiment = alkit.Experiment(pool, learner, alkit.strategy("random"))
        with pytest.raises(LabelError, match=rf"{number:04}\.png holds values outside"):
            experiment.run(alkit.MaskOracle(folder, classes=("skin", "lesion")), test=test, start=1, batch=1, rounds=1)
        assert not experiment.queries()
        (folder / f"{number:04}.png").write_bytes(good)
