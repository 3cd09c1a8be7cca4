"""People answer with classes of images in a table, or with tags of CVAT."""

import json
import re

import pytest
from exchange import LONG_AGO, answer, oracle_in, query

import alkit
from alkit.errors import ConfigurationError
from alkit.values.answers import Invalid, Skip, Withdrawal

SPEC = alkit.LabelSpec(("cat", "dog", "fox"), per="image")


def asked(place, *rows, **more):
    oracle = oracle_in(place, classes=SPEC, **more)
    queries = [query(row) for row in rows]
    oracle.ask(queries)
    return oracle, queries


def polled(oracle):
    return {answer.id: answer.label for answer in oracle.poll()}


def test_the_outbox_says_how_to_answer_and_the_table_needs_only_its_classes(tmp_path):
    oracle, queries = asked(tmp_path, 0, 1, also=["csv"])
    how = (tmp_path / "how-to-answer.txt").read_text()
    assert "cat, dog, fox" in how
    assert "mask" not in how
    facts = json.loads((tmp_path / queries[0].key / "query.json").read_text())
    assert [entry["name"] for entry in facts["classes"]] == ["cat", "dog", "fox"]
    assert facts["answer"]["table"] == "../YOUR_NAME/answers.csv"
    table = (tmp_path / "r00-csv" / "annotations.csv").read_text("utf-8-sig")
    assert table.splitlines() == ["image,class", *(f"{one.key}.png," for one in queries)]
    assert polled(oracle) == {}
    assert oracle_in(tmp_path, classes=SPEC).unread() == {}
    filled = table.replace(f"{queries[1].key}.png,", f"{queries[1].key}.png,fox")
    answer(tmp_path, queries[0], filled, ending=".csv")
    (tmp_path / "ann" / f"{queries[0].key}.csv").rename(tmp_path / "ann" / "mine.csv")
    assert polled(oracle) == {"0001": 2}


@pytest.mark.parametrize(
    ("label", "expected"),
    [
        ("dog", 1),
        ("skip", Skip("marked 'skip'")),
        ("", None),
        ("dgo", "must be one of the classes: got 'dgo', expected 'cat', 'dog', 'fox'. Try: 'dog'"),
        ("1", "must be one of the classes: got '1'"),
    ],
)
def test_a_line_is_a_class_a_skip_or_no_answer(tmp_path, label, expected):
    oracle, (one,) = asked(tmp_path, 0)
    table = answer(tmp_path, one, f"image;class\n0000.png;{label}\n", ending=".csv")
    table.rename(table.with_name("a.csv"))
    found = polled(oracle).get("0000")
    if isinstance(expected, str):
        assert isinstance(found, Invalid)
        assert re.search(re.escape(expected), found.reason)
    else:
        assert found == expected


def test_an_image_on_two_lines_is_refused_and_others_are_taken(tmp_path):
    oracle, (one, two) = asked(tmp_path, 0, 1)
    text = f"image,class\n{one.key},cat\n{two.key},dog\n{one.key},fox\nnever asked,cat\n"
    answer(tmp_path, one, text, ending=".csv").rename(tmp_path / "ann" / "a.csv")
    found = polled(oracle)
    assert found["0001"] == 1
    assert "contains it 2 times" in found["0000"].reason
    assert "never asked" in found["a.csv"].reason


def test_skips_and_withdrawals_are_files_and_a_mask_is_refused(tmp_path):
    oracle, queries = asked(tmp_path, 0, 1, 2)
    answer(tmp_path, queries[0], "blurred", ending=".skip")
    answer(tmp_path, queries[1], "", ending=".withdrawn")
    answer(tmp_path, queries[2])
    found = polled(oracle)
    assert found["0000"] == Skip("blurred")
    assert isinstance(found["0001"], Withdrawal)
    assert "is a mask, but each image has one class" in found["0002"].reason
    (refused,) = [one for one in oracle.poll() if one.id == "0002"]
    oracle.refused(refused, refused.label.reason)
    note = (tmp_path / "ann" / f"{queries[2].key}.refused.txt").read_text()
    assert "write its class into a table such as answers.csv: one of cat, dog, fox" in note


def test_a_tag_of_cvat_is_the_class_of_an_image(tmp_path):
    oracle, queries = asked(tmp_path, 0, 1, 2, also=["cvat"])
    written = (tmp_path / "r00-cvat" / "annotations.xml").read_text()
    assert written.count("<type>tag</type>") == 3
    tags = {0: ['<tag label="cat"/>'], 1: ['<tag label="cat"/>', '<tag label="dog"/>'], 2: []}
    images = "".join(
        f'<image id="{row}" name="{queries[row].key}.png" width="16" height="16">{"".join(found)}</image>'
        for row, found in tags.items()
    )
    export = f"<annotations><version>1.1</version>{images}</annotations>"
    answer(tmp_path, queries[0], export, ending=".xml").rename(tmp_path / "ann" / "a.xml")
    found = polled(oracle)
    assert found["0000"] == 0
    assert "has 'cat', 'dog', but each image has one class" in found["0001"].reason
    assert set(found) == {"0000", "0001"}


def test_formats_that_cannot_hold_the_labels_are_refused(tmp_path):
    with pytest.raises(ConfigurationError, match=r"the format coco cannot hold classes of images.* csv or cvat"):
        oracle_in(tmp_path, classes=SPEC, also=["coco"])
    with pytest.raises(ConfigurationError, match=r"the format csv cannot hold masks.* coco or cvat"):
        oracle_in(tmp_path, also=["csv"])
    with pytest.raises(ConfigurationError, match="empty must be 'unanswered' if each image has one class"):
        oracle_in(tmp_path, classes=SPEC, empty="background")


def test_a_table_in_a_campaign_of_masks_is_listed_as_not_read(tmp_path):
    oracle = oracle_in(tmp_path)
    oracle.ask([query(0)])
    path = answer(tmp_path, query(0), "image,class\n0000,cat\n", ending=".csv", at=LONG_AGO)
    assert list(oracle.poll()) == []
    assert "cannot hold masks" in oracle.unread()[path]
