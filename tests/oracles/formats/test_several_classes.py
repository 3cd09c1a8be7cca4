"""Several classes per image in annotation files, and in the folder of annotators."""

import json
from xml.etree import ElementTree

import numpy as np
import pytest

import alkit
from alkit.oracles.formats.registry import FORMATS
from alkit.values import Invalid, Query, Skip

SPEC = alkit.LabelSpec(("cat", "dog", "fox"), ignore=255, per="image", multiple=True)
QUERIES = [Query(f"{row:04}", 0, row, ((8, 8),)) for row in range(6)]


@pytest.fixture
def folder(tmp_path):
    pool = alkit.ArrayPool(np.arange(6 * 64, dtype=np.uint16).reshape(6, 8, 8))
    oracle = alkit.FolderOracle(
        tmp_path / "out", tmp_path / "in", classes=SPEC, images=pool, settle=0, also=("csv", "cvat")
    )
    oracle.ask(QUERIES)
    (tmp_path / "in" / "ann").mkdir()
    return oracle


def told(answers):
    """Return what an answer says by the last digit of its id."""
    found = {}
    for answer in answers:
        label = answer.label
        found[answer.id[-1:]] = (
            "invalid" if isinstance(label, Invalid) else "skip" if isinstance(label, Skip) else label.tolist()
        )
    return found


def test_annotators_fill_in_a_table(folder, tmp_path):
    keys = [query.key for query in QUERIES]
    table = tmp_path / "in" / "ann" / "answers.csv"
    lines = [f"{keys[0]},cat|dog", f"{keys[1]},none", f"{keys[2]},?fox; cat", f"{keys[3]},skip", f"{keys[4]},"]
    table.write_text("\n".join(["image,class", *lines, f"{keys[5]},cat", f"{keys[5]},wolf"]))
    expected = {"0": [1, 1, 0], "1": [0, 0, 0], "2": [1, 0, 255], "3": "skip", "5": "invalid"}
    assert told(folder.poll()) == expected
    rows = [f"{keys[0]},1,0,1,30", f"{keys[1]},0,0,0,", f"{keys[2]},,?,x,2", f"{keys[3]},,,,5", f"{keys[4]},2,0,0,1"]
    table.write_text("\n".join(["image,cat,dog,fox,age", *rows]))
    assert told(folder.poll()) == {"0": [1, 0, 1], "1": [0, 0, 0], "2": [255, 255, 1], "4": "invalid"}
    how = (tmp_path / "out" / "how-to-answer.txt").read_text()
    assert "cat, dog, fox" in how
    assert f"{keys[0]},cat|dog" in how
    assert all(len(line) <= 120 for line in how.splitlines())


def test_annotators_tag_images_in_cvat(folder, tmp_path):
    tree = ElementTree.parse(tmp_path / "out" / "r00-cvat" / "annotations.xml")
    assert [label.findtext("name") for label in tree.iter("label")] == ["cat", "dog", "fox", "none"]
    tags = (["fox", "cat"], ["none"], ["none", "dog"], ["unusable"], [])
    for image, names in zip(tree.iter("image"), tags, strict=False):
        for name in names:
            ElementTree.SubElement(image, "tag", {"label": name, "source": "manual"})
    tree.write(tmp_path / "in" / "ann" / "done.xml")
    assert told(folder.poll()) == {"0": [1, 0, 1], "1": [0, 0, 0], "2": "invalid", "3": "skip"}


def test_categories_of_a_coco_file_are_the_classes_of_its_images(tmp_path):
    names = ("cat", "dog", "fox", "wolf")
    content = {
        "images": [{"id": n, "file_name": f"{n:04}.png", "height": 8, "width": 8} for n in range(4)],
        "categories": [{"id": n, "name": name} for n, name in enumerate(names)],
        "annotations": [
            {"id": n, "image_id": image, "category_id": category, "bbox": [0, 0, 2, 2], "segmentation": []}
            for n, (image, category) in enumerate([(0, 0), (0, 0), (0, 1), (1, 2), (2, 3)])
        ],
    }
    path = tmp_path / "instances.json"
    path.write_text(json.dumps(content))
    read = FORMATS["coco"].read
    expected = {"0": [1, 1, 0], "1": [0, 0, 1], "2": "invalid"}
    assert told(read(path, QUERIES, SPEC, imported=True)) == expected
    assert told(read(path, QUERIES, SPEC, empty="background", imported=True)) == {**expected, "3": [0, 0, 0]}
    one = alkit.LabelSpec(("cat", "dog"), per="image")
    with pytest.raises(alkit.errors.ConfigurationError, match="cannot hold classes of images"):
        list(read(path, QUERIES, one))
    with pytest.raises(alkit.errors.ConfigurationError, match="cannot hold classes of images"):
        alkit.FolderOracle(tmp_path / "out", classes=SPEC, also=("coco",))


def test_an_image_has_not_none_of_the_classes_if_items_of_the_file_belong_to_no_image(tmp_path):
    content = {
        "images": [{"id": n, "file_name": f"{n:04}.png", "height": 8, "width": 8} for n in range(2)],
        "categories": [{"id": 1, "name": "cat"}],
        "annotations": [
            {"id": 1, "image_id": 0, "category_id": 1, "bbox": [0, 0, 2, 2]},
            {"id": 2, "image_id": "1", "category_id": 1, "bbox": [0, 0, 2, 2]},
        ],
    }
    path = tmp_path / "annotations.json"
    path.write_text(json.dumps(content))
    one, other, _ = FORMATS["coco"].read(path, QUERIES, SPEC, annotator="ann", empty="background", imported=True)
    assert one.label.tolist() == [1, 0, 0]
    assert "has no class, but annotations.json has items that belong to no image" in other.label.reason
