"""Labels that exist already: a row or a file that can be meant in two ways is not taken."""

from __future__ import annotations

import numpy as np
import pytest
from PIL import Image

from alkit import LabelSpec, MaskOracle
from alkit.errors import DataError
from alkit.oracles.existing import labels_in_table, masks_in_folder
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
