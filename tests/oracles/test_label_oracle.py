"""Class ids and names are answered as they were given, each query once."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import alkit
from alkit.values import Query

CLASSES = ("cat", "dog", "fox")


def query(id, rank=0):
    return Query(id, round=0, rank=rank, sizes=())


def answers(oracle):
    return [(answer.id, answer.label) for answer in oracle.poll()]


@given(st.dictionaries(st.text(min_size=1), st.tuples(st.integers(0, 2), st.booleans()), min_size=1), st.data())
def test_each_query_is_answered_once_in_the_order_asked_whether_the_label_is_an_id_or_a_name(classes, data):
    labels = {id: CLASSES[number] if named else number for id, (number, named) in classes.items()}
    oracle = alkit.LabelOracle(labels, CLASSES)
    ids = data.draw(st.lists(st.sampled_from(sorted(labels))))
    oracle.ask([query(id, rank) for rank, id in enumerate(ids)])
    oracle.ask([query(id) for id in ids])
    assert answers(oracle) == [(id, classes[id][0]) for id in dict.fromkeys(ids)]
    assert answers(oracle) == []


def test_an_answer_fits_its_spec_and_it_is_an_oracle():
    oracle = alkit.LabelOracle({"a": np.int64(2), "b": "dog"}, list(CLASSES))
    assert isinstance(oracle, alkit.protocols.Oracle)
    assert oracle.spec == alkit.LabelSpec(CLASSES, per="image")
    oracle.ask([query("b"), query("a")])
    assert [int(oracle.spec.check(label, id=id, sizes=())) for id, label in answers(oracle)] == [1, 2]


def test_a_query_asked_while_answers_are_fetched_is_answered_later():
    oracle = alkit.LabelOracle({"a": 0, "b": 1}, CLASSES)
    oracle.ask([query("a")])
    for answer in oracle.poll():
        assert answer.id == "a"
        oracle.ask([query("b")])
    assert answers(oracle) == [("b", 1)]


def test_an_image_without_a_label_is_named_and_stays_asked():
    oracle = alkit.LabelOracle({"a": 0}, CLASSES)
    oracle.ask([query("b")])
    for _ in range(2):
        with pytest.raises(alkit.errors.LabelError, match="no label of 'b'"):
            answers(oracle)


def test_checking_counts_the_images_without_a_label_and_names_the_first():
    oracle = alkit.LabelOracle({"a": 0}, CLASSES)
    oracle.check(["a"])
    with pytest.raises(alkit.errors.LabelError, match=r"^6 images have no label: got b, c, d, e, f \.\.\., "):
        oracle.check("abcdefg")
    with pytest.raises(alkit.errors.LabelError, match=r"^1 images have no label: got b, "):
        oracle.check("ab")


@pytest.mark.parametrize(
    ("label", "message"),
    [
        ("dgo", r"'b' is no class: got 'dgo', .* Try: 'dog'"),
        ("1", r"'b' is no class"),
        (3, r"'b' is no class id: got 3, expected one integer: 0 cat, 1 dog, 2 fox"),
        (-1, r"'b' is no class id"),
        (1.0, r"'b' is no class id"),
        (True, r"'b' is no class id"),
        (None, r"'b' is no class id"),
    ],
)
def test_a_label_that_is_no_class_is_refused_at_once(label, message):
    with pytest.raises(alkit.errors.LabelError, match=message):
        alkit.LabelOracle({"a": 0, "b": label}, CLASSES)


@pytest.mark.parametrize("labels", [[0, 1], np.array([0, 1])])
def test_labels_without_ids_are_refused(labels):
    with pytest.raises(alkit.errors.ConfigurationError, match=r"no mapping.*dict\(zip\(ids, labels\)\)"):
        alkit.LabelOracle(labels, CLASSES)


def test_classes_that_cannot_be_told_apart_are_refused():
    with pytest.raises(alkit.errors.ConfigurationError, match="told apart"):
        alkit.LabelOracle({}, ("cat", "cat"))


def test_its_printed_form_does_not_list_every_label():
    assert repr(alkit.LabelOracle({"an id": 0}, CLASSES)) == f"LabelOracle(classes={CLASSES})"
