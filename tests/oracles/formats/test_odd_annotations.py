"""Annotation files that are odd without being damaged never give another label than the one that was drawn."""

import json

import numpy as np
import pytest

from alkit.errors import DataError
from alkit.oracles import rle
from alkit.oracles.formats.coco import COCO
from alkit.oracles.formats.cvat import CVAT
from alkit.values import Invalid, LabelSpec, Query

SPEC = LabelSpec(("skin", "lesion"), ignore=255)
HEIGHT, WIDTH = SIZE = (12, 10)
QUERY = Query("0000", round=0, rank=0, sizes=(SIZE,))
SQUARE = [1, 2, 5, 2, 5, 6, 1, 6]
POINTS = "1,2;5,2;5,6;1,6"


def drawn():
    plane = np.zeros(SIZE, np.uint8)
    plane[2:6, 1:5] = 1
    return plane


def read_coco(path, segmentation, category="lesion", **image):
    facts = {"id": 1, "file_name": QUERY.key, "height": HEIGHT, "width": WIDTH, **image}
    region = {"id": 1, "image_id": 1, "category_id": 1, "segmentation": segmentation}
    content = {"images": [facts], "categories": [{"id": 1, "name": category}], "annotations": [region]}
    path.write_text(json.dumps(content))
    return [answer.label for answer in COCO.read(path, [QUERY], SPEC)]


def read_cvat(path, images, declaration=""):
    path.write_text(f"{declaration}<annotations><version>1.1</version>{images}</annotations>")
    return [answer.label for answer in CVAT.read(path, [QUERY], SPEC)]


def cvat_image(points=POINTS, label="lesion"):
    polygon = f'<polygon label="{label}" points="{points}"/>'
    return f'<image name="{QUERY.key}" width="{WIDTH}" height="{HEIGHT}">{polygon}</image>'


@pytest.mark.parametrize(
    "segmentation",
    [
        [[30, 3, 28, 3, 28, 9]],
        [[2, 2, 8, 2, 8, 2, 2, 2]],
        [[2.1, 2.1, 2.2, 2.1, 2.2, 2.2]],
        rle.encode(np.zeros(SIZE)),
        {"size": list(SIZE), "counts": [HEIGHT * WIDTH]},
    ],
    ids=["outside", "line", "smaller than a pixel", "code", "runs"],
)
@pytest.mark.parametrize("label", ["lesion", "ignored"])
def test_a_region_that_covers_no_pixel_makes_its_image_invalid_instead_of_background(tmp_path, segmentation, label):
    (found,) = read_coco(tmp_path / "a.json", segmentation, label)
    assert isinstance(found, Invalid)
    assert f"a region {label!r} covers no pixel" in found.reason


def test_a_region_of_class_0_may_cover_no_pixel(tmp_path):
    (found,) = read_coco(tmp_path / "a.json", rle.encode(np.zeros(SIZE)), "skin")
    assert not found.any()


def test_a_cvat_polygon_outside_the_image_is_invalid(tmp_path):
    (found,) = read_cvat(tmp_path / "a.xml", cvat_image("12,2;15,2;15,6"))
    assert "a region 'lesion' covers no pixel" in found.reason


def test_whole_sizes_are_read_in_any_form_and_fractions_are_damage(tmp_path):
    for height in (12, 12.0, "12"):
        (found,) = read_coco(tmp_path / "a.json", [SQUARE], height=height)
        np.testing.assert_array_equal(found, drawn())
    with pytest.raises(DataError, match=r"height 12\.7 \(image 1 of the list\)"):
        read_coco(tmp_path / "a.json", [SQUARE], height=12.7)


def test_a_polygon_in_fractions_of_the_image_is_invalid(tmp_path):
    (found,) = read_coco(tmp_path / "a.json", [[0.1, 0.2, 0.9, 0.2, 0.9, 1.0]])
    assert "a polygon must be in pixels, not in fractions of the image" in found.reason


def test_true_and_false_are_not_coordinates(tmp_path):
    (found,) = read_coco(tmp_path / "a.json", [[True, 2, 5, 2, 5, 6]])
    assert "a polygon must lie in its image" in found.reason


@pytest.mark.parametrize("points", ["1,2,5,2;5,6,1,6", "1;2;5;2;5;6", "1,2;5,2;5,6;1,6,3"])
def test_a_point_of_cvat_has_two_numbers(tmp_path, points):
    (found,) = read_cvat(tmp_path / "a.xml", cvat_image(points))
    assert "a polygon has damaged points" in found.reason


@pytest.mark.parametrize("name", ["klingon", "gbk", "utf-7"])
def test_an_encoding_that_cannot_be_read_is_an_error_that_names_the_file(tmp_path, name):
    with pytest.raises(DataError, match=r"a\.xml is not a file of CVAT for images"):
        read_cvat(tmp_path / "a.xml", cvat_image(), f'<?xml version="1.0" encoding="{name}"?>')


@pytest.mark.parametrize("bad", [None, True, [1]])
def test_a_file_whose_only_image_is_damaged_is_said_to_hold_no_other(tmp_path, bad):
    with pytest.raises(DataError, match=r"a\.json has no image that can be read: got .* \(image 1 of the list\)$"):
        read_coco(tmp_path / "a.json", [SQUARE], id=bad)
    with pytest.raises(DataError, match=r"a\.xml has no image that can be read: got z_order '1\.5', not an integer$"):
        read_cvat(tmp_path / "a.xml", cvat_image().replace("points", 'z_order="1.5" points'))


def test_a_file_without_images_is_an_error(tmp_path):
    with pytest.raises(DataError, match=r"a\.xml is not a file of CVAT for images: got no image"):
        read_cvat(tmp_path / "a.xml", "")
    with pytest.raises(DataError, match="got images that are not directly in <annotations>"):
        read_cvat(tmp_path / "a.xml", f"<subset>{cvat_image()}</subset>")
    (tmp_path / "a.json").write_text('{"images": [], "categories": [], "annotations": []}')
    with pytest.raises(DataError, match=r"a\.json is not a COCO file: got no image"):
        list(COCO.read(tmp_path / "a.json", [QUERY], SPEC))


@pytest.mark.parametrize("name", [".a.png", "..a.png", "./.a.png"])
def test_dots_of_a_name_are_part_of_it(tmp_path, name):
    queries = [
        Query(id, round=0, rank=rank, sizes=(SIZE,)) for rank, id in enumerate(["a", name.removeprefix("./")[:-4]])
    ]
    for front in ("", "./", "../../", "/"):
        read_coco(tmp_path / "a.json", [SQUARE], file_name=front + name)
        (answer,) = COCO.read(tmp_path / "a.json", queries, SPEC)
        assert answer.id == queries[1].id
        np.testing.assert_array_equal(answer.label, drawn())


def test_a_region_outside_of_an_image_is_reported(tmp_path):
    polygon = f'<polygon label="lesion" points="{POINTS}"/>'
    image, stray = read_cvat(tmp_path / "a.xml", cvat_image() + polygon)
    np.testing.assert_array_equal(image, drawn())
    assert isinstance(stray, Invalid)
    assert "<polygon> outside of an image" in stray.reason
