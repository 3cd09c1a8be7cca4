"""Labels that exist already: a row or a file that can be meant in two ways is not taken."""

from __future__ import annotations

import json

import numpy as np
import pytest
from PIL import Image

from alkit import LabelSpec, MaskOracle, Query
from alkit.errors import DataError
from alkit.oracles.existing import labels_in_file, labels_in_table, masks_in_folder
from alkit.oracles.formats.image_names import image_names
from alkit.values import Invalid

CLASSES = LabelSpec(("cat", "dog"), per="image")


def test_a_mask_whose_name_fits_two_images_is_taken_for_neither(tmp_path):
    for name in ("a_0", "a_2_0", "b_0"):
        Image.fromarray(np.zeros((2, 2), np.uint8)).save(tmp_path / f"{name}.png")
    oracle = MaskOracle(tmp_path, ("skin", "lesion"), pattern="{id}_*.png")
    found = {answer.id: answer.label for answer in masks_in_folder(oracle, ["a", "a_2", "b"])}
    assert [id for id, label in found.items() if isinstance(label, Invalid)] == ["a", "a_2"]
    assert found["a"].reason == "a_2_0.png matches the pattern for other images, too"


def test_a_row_with_more_values_than_columns_is_not_taken(tmp_path):
    (tmp_path / "t.csv").write_text("id,label\na,b,cat\nc,dog,\nd,dog\n")
    answers = list(labels_in_table(tmp_path / "t.csv", CLASSES))
    assert [answer.label for answer in answers[1:]] == [1, 1]
    assert answers[0].label.reason.startswith("line 2 of t.csv has more values than columns")


def test_two_columns_of_one_name_are_refused(tmp_path):
    (tmp_path / "t.csv").write_text("id,label,label\na,cat,dog\n")
    with pytest.raises(DataError, match=r"t\.csv must have a different name for each column: got 'label'"):
        list(labels_in_table(tmp_path / "t.csv", CLASSES))
    (tmp_path / "t.csv").write_text('id,label\n"a,cat\nb,dog\n')
    with pytest.raises(DataError, match=r"t\.csv cannot be read as a CSV file"):
        list(labels_in_table(tmp_path / "t.csv", CLASSES))


@pytest.mark.parametrize(
    ("ids", "name", "found"),
    [
        (["a", "r00-0000-a"], "r00-0000-a.png", ["r00-0000-a"]),
        (["a b", "a_b"], "r00-0000-a_b.png", []),  # the key of a query of another campaign
        (["a", "b"], "r00-0000-a.png", []),
    ],
)
def test_the_name_of_an_image_is_not_taken_for_the_key_of_a_query_that_does_not_exist(tmp_path, ids, name, found):
    square = {"id": 1, "image_id": 1, "category_id": 1, "segmentation": [[0, 0, 4, 0, 4, 4, 0, 4]], "iscrowd": 0}
    content = {
        "images": [{"id": 1, "file_name": name, "width": 8, "height": 8}],
        "categories": [{"id": 1, "name": "lesion"}],
        "annotations": [square],
    }
    (tmp_path / "a.json").write_text(json.dumps(content))
    spec = LabelSpec(("skin", "lesion"))
    answers = list(labels_in_file(tmp_path / "a.json", "coco", dict.fromkeys(ids, ((8, 8),)), spec))
    assert [answer.id for answer in answers if not isinstance(answer.label, Invalid)] == found
    assert len(answers) == 1


def test_an_image_named_like_the_key_of_another_query_makes_a_name_ambiguous():
    queries = [Query("a", 0, 0, ((8, 8),)), Query("r00-0000-a", 0, 1, ((8, 8),))]
    names = image_names(queries)
    assert [query.id for query in names.find("r00-0000-a.png")] == ["a", "r00-0000-a"]
    assert [query.id for query in names.find("r00-0001-r00-0000-a.png")] == ["r00-0000-a"]


def test_values_that_no_program_can_use_refuse_their_own_row_only(tmp_path):
    spec, table = LabelSpec(("cat", "dog"), per="image"), tmp_path / "a.csv"
    table.write_text(f"id,label\na,{'9' * 5000}\nb,dog\n")
    first, second = labels_in_table(table, spec)
    assert isinstance(first.label, Invalid)
    assert second.label == 1
    table.write_text("id,mask\na,x\0.png\n")
    (answer,) = labels_in_table(table, LabelSpec(("skin", "lesion")))
    assert "masks in other folders are not read" in answer.label.reason
