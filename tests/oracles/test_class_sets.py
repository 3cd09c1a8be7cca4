"""Tables of several classes per image."""

import numpy as np
import pytest

import alkit
from alkit.errors import DataError
from alkit.oracles.class_sets import read_set_table, read_sets
from alkit.oracles.existing import labels_in_table
from alkit.values.answers import Invalid

SPEC = alkit.LabelSpec(("cat", "dog", "fox"), per="image", multiple=True)
UNSURE = alkit.LabelSpec(("cat", "dog", "fox"), ignore=255, per="image", multiple=True)
EXPECTED = {"a": [1, 1, 0], "ward 3/b": [0, 0, 0], "c": [0, 0, 1]}
FORMS = {
    "texts": "id,class\na,cat|dog\nward 3/b.png,none\nc,fox\n",
    "several rows": "image,label\na.png,cat\na.png,dog\nward 3/b,none\nc,fox\n",
    "a column each": "id,age,cat,dog,fox\na,30,1,1,0\nward 3/b.png,1,0,0,0\nc,0,0.0,0.0,1.0\n",
    "words": "id;cat;dog;fox\na;Yes;true;no\nward 3/b;no;False;no\nc;;;x\n".replace(";;;x", ";0;0;x"),
    "semicolons in texts": "id\tclass\na\tdog; cat\nward 3/b\tNone\nc\tfox\n",
}


@pytest.mark.parametrize("form", FORMS)
def test_tables_of_all_forms_give_the_same_labels(form, tmp_path):
    table = tmp_path / "labels.csv"
    table.write_text(FORMS[form])
    assert {id: label.tolist() for id, label in read_sets(table, SPEC).items()} == EXPECTED
    oracle = alkit.LabelOracle(table, SPEC.classes, multiple=True)
    assert oracle.read("ward 3/b").tolist() == [0, 0, 0]


def test_the_classes_of_a_table_are_those_that_occur(tmp_path):
    table = tmp_path / "labels.csv"
    table.write_text(FORMS["texts"])
    assert read_set_table(table).classes == ("cat", "dog", "fox")
    table.write_text("id,age,cat,dog\na,30,1,0\nb,31,0,\n")
    assert read_set_table(table).classes == ("cat", "dog")


@pytest.mark.parametrize("text", ["id,cat,dog,fox\na,1,,0\n", "id,class\na,cat|?dog\n", "id,cat,dog,fox\na,1,-1.0,0\n"])
def test_an_unknown_class_needs_an_ignore_value(text, tmp_path):
    table = tmp_path / "labels.csv"
    table.write_text(text)
    assert read_sets(table, UNSURE)["a"].tolist() == [1, 255, 0]
    with pytest.raises(DataError, match=r"line 2 .*'dog'.*ignore=255"):
        read_sets(table, SPEC)


@pytest.mark.parametrize("text", ["id,class\na,cat|?cat\n", "id,class\na,?cat\na,cat\n"])
def test_a_class_is_not_both_present_and_unknown(text, tmp_path):
    table = tmp_path / "labels.csv"
    table.write_text(text)
    with pytest.raises(DataError, match=r"line 2 .* both 'cat' and '\?cat'"):
        read_sets(table, UNSURE)


def test_a_class_may_have_the_name_of_the_column_of_annotators(tmp_path):
    table = tmp_path / "labels.csv"
    table.write_text("id,annotator,x\na,1,0\n")
    spec = alkit.LabelSpec(("annotator", "x"), per="image", multiple=True)
    assert read_sets(table, spec)["a"].tolist() == [1, 0]


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("id,class\na,wolf\n", "line 2 .*'wolf'"),
        ("id,class\na,\n", "line 2 .*no class"),
        ("id,class\n,cat\n", "line 2 .*no id"),
        ("id,class\na,cat\na,none\n", "line 2 .*none"),
        ("id,class\na,cat\na.png,dog\n", "two labels of image 'a'"),
        ("id,cat,dog,fox\na,2,0,0\n", "'cat' on line 2"),
        ("id,cat,dog,fox\na,.,0,0\n", "'cat' on line 2"),  # missing, as SAS and Stata write it
        ("id,cat,dog\na,1,0\n", "no column 'fox'"),
        ("name,class\na,cat\n", "id or image"),
        ("id,class\n", "only column names"),
    ],
    ids=str,
)
def test_a_wrong_table_is_an_error_that_names_the_line(text, words, tmp_path):
    table = tmp_path / "labels.csv"
    table.write_text(text)
    with pytest.raises(DataError, match=words):
        read_sets(table, SPEC)


def test_a_bad_row_of_existing_labels_does_not_affect_the_others(tmp_path):
    table = tmp_path / "labels.csv"
    table.write_text("id,label,annotator\na,cat|dog,ann\na,fox,bob\nb,wolf,\nc,none,\n")
    found = list(labels_in_table(table, SPEC, annotator="you"))
    good = [(answer.id, answer.annotator, answer.label.tolist()) for answer in found if answer.id != "b"]
    assert good == [("a", "ann", [1, 1, 0]), ("a", "bob", [0, 0, 1]), ("c", "you", [0, 0, 0])]
    (bad,) = [answer for answer in found if answer.id == "b"]
    assert isinstance(bad.label, Invalid)
    assert "'wolf'" in bad.label.reason


@pytest.mark.parametrize("label", [{"cat"}, [1, 0, 0], np.array([1, 0, 0]), "cat"], ids=str)
def test_an_oracle_takes_sets_arrays_and_texts(label):
    assert alkit.LabelOracle({"a": label}, SPEC.classes, multiple=True).read("a").tolist() == [1, 0, 0]
