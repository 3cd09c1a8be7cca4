"""COCO and CVAT files are written and read exact to the pixel; a damaged image does not affect the others."""

from __future__ import annotations

import json
import os
from xml.etree import ElementTree

import numpy as np
import pycocotools.mask
import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays
from PIL import Image

import alkit
from alkit.errors import ConfigurationError, DataError, LabelError
from alkit.oracles import rle
from alkit.oracles.formats import cvat
from alkit.oracles.formats.coco import COCO
from alkit.oracles.formats.cvat import CVAT
from alkit.oracles.formats.image_names import image_names
from alkit.oracles.formats.registry import FORMATS
from alkit.oracles.label_names import IGNORED
from alkit.values import Invalid, LabelSpec, Query, Skip

SPEC = LabelSpec(("skin", "lesion", "hair"), ignore=255)
SIZE = (12, 10)
POOL = alkit.ArrayPool(np.random.default_rng(0).integers(256, size=(4, 1, *SIZE), dtype=np.uint8))
RING = np.pad(np.pad(np.zeros((4, 2), np.uint8), 2, constant_values=1), 2)
OF_MASKS = {name: form for name, form in FORMATS.items() if "pixel" in form.per}
every_format = pytest.mark.parametrize("form", OF_MASKS.values(), ids=OF_MASKS)


def query(row, round=0, **more):
    return Query(f"{row:04}", round=round, rank=row, sizes=(SIZE, (6, 6)), **more)


QUERIES = [query(row) for row in range(4)]


def read(form, path, queries=QUERIES, spec=SPEC, **arguments):
    return list(form.read(path, queries, spec, **arguments))


# Write and read.


@every_format
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(mask=arrays.arrays(np.uint8, SIZE, elements=st.sampled_from([0, 1, 2, 255])))
@example(mask=RING)
@example(mask=np.ones(SIZE, np.uint8))
def test_a_prelabel_is_written_and_read_exactly_with_holes_and_ignored_pixels(form, mask, tmp_path_factory):
    (path,) = form.write(tmp_path_factory.mktemp("out"), [query(1)], POOL, SPEC, {"0001": mask})
    answers = read(form, path, annotator="ann")
    if not mask.any():
        assert answers == []
        answers = read(form, path, annotator="ann", empty="background")
    (got,) = answers
    assert (got.id, got.annotator, got.revision) == ("0001", "ann", path.stat().st_mtime_ns)
    np.testing.assert_array_equal(got.label, mask)
    assert got.label.dtype == np.uint8


@every_format
def test_images_are_written_in_rank_order_with_the_keys_of_their_queries_as_names(form, tmp_path):
    (path,) = form.write(tmp_path, QUERIES[::-1], POOL, SPEC)
    assert form.names(path) == [f"{one.key}.png" for one in QUERIES]
    for row, one in enumerate(QUERIES):
        shown = np.asarray(Image.open(path.parent / "images" / f"{one.key}.png"))
        np.testing.assert_array_equal(shown, POOL._kept[row, 0])
    assert read(form, path) == []


@every_format
def test_writing_again_overwrites_nothing_and_adds_new_queries(form, tmp_path):
    paths = form.write(tmp_path, [*QUERIES[:2], query(3, round=1)], POOL, SPEC, {"0000": RING})
    suffix = paths[0].suffix
    name = form.name
    assert [path.parent for path in paths] == [tmp_path / f"r00-{name}", tmp_path / f"r01-{name}"]
    assert {path.name for path in paths} == {f"annotations{suffix}"}
    (paths[0].parent / "images" / f"{QUERIES[1].key}.png").write_bytes(b"mine")
    before = {path: path.read_bytes() for path in tmp_path.rglob("*.*")}
    assert form.write(tmp_path, QUERIES[1::-1], POOL, SPEC, {"0000": 1 - RING}) == paths[:1]
    assert {path: path.read_bytes() for path in tmp_path.rglob("*.*")} == before
    more = form.write(tmp_path, QUERIES[:3], POOL, SPEC)
    assert [path.parent.name for path in more] == [f"r00-{name}", f"r00-{name}-2"]
    assert [path.name for path in (more[1].parent / "images").iterdir()] == [f"{QUERIES[2].key}.png"]
    assert form.names(more[1]) == [f"{QUERIES[2].key}.png"]
    assert {path: path.read_bytes() for path in before} == before
    paths[1].write_bytes(b"cut sho")
    again = form.write(tmp_path, [query(3, round=1)], POOL, SPEC)
    assert paths[1].read_bytes() == b"cut sho"
    assert form.names(again[1]) == [f"{query(3, round=1).key}.png"]


@every_format
def test_a_prelabel_that_does_not_fit_is_refused_before_anything_is_written(form, tmp_path):
    with pytest.raises(LabelError, match="the mask of '0000' has another size"):
        form.write(tmp_path, QUERIES, POOL, SPEC, {"0000": RING[:6, :6]})
    assert list(tmp_path.iterdir()) == []


@every_format
def test_no_class_may_have_the_name_of_ignored_pixels(form, tmp_path):
    spec = LabelSpec(("skin", "ignored"), ignore=255)
    with pytest.raises(ConfigurationError, match="must not have the name 'ignored'"):
        form.write(tmp_path, QUERIES, POOL, spec)
    (path,) = form.write(tmp_path, QUERIES[:1], POOL, LabelSpec(("skin", "ignored")), {"0000": RING})
    np.testing.assert_array_equal(read(form, path, spec=LabelSpec(("skin", "ignored")))[0].label, RING)


@every_format
def test_class_names_can_contain_any_characters(form, tmp_path):
    spec = LabelSpec(("Haut", "Läsion \"a\" <b> & 'c'"))
    (path,) = form.write(tmp_path, QUERIES[:1], POOL, spec, {"0000": RING})
    np.testing.assert_array_equal(read(form, path, spec=spec)[0].label, RING)


# Files of tools. Each function writes one, given images as (name, (height, width), regions).


def square(top, left, side=3, size=SIZE):
    plane = np.zeros(size, bool)
    plane[top : top + side, left : left + side] = True
    return plane


def coco_file(path, images):
    names = [*SPEC.classes, IGNORED, "Lesion"]  # numbered in an order of their own
    annotations = [
        {"id": 7, "image_id": number, "category_id": 10 - names.index(label), **found}
        for number, (_, _, regions) in enumerate(images)
        for label, found in regions
    ]
    found = {
        "images": [{"id": n, "file_name": a, "height": h, "width": w} for n, (a, (h, w), _) in enumerate(images)],
        "categories": [{"id": 10 - number, "name": name} for number, name in enumerate(names)],
        "annotations": annotations,
    }
    path.write_text(json.dumps(found))
    return path


def cvat_file(path, images):
    root = ElementTree.Element("annotations")
    ElementTree.SubElement(root, "version").text = "1.1"
    for number, (name, (height, width), regions) in enumerate(images):
        facts = {"id": str(number), "name": name, "height": str(height), "width": str(width)}
        image = ElementTree.SubElement(root, "image", facts)
        for label, (tag, found) in regions:
            ElementTree.SubElement(image, tag, {"label": label, **found})
    ElementTree.ElementTree(root).write(path)
    return path


def in_coco(plane):
    return {"segmentation": rle.encode(plane)}


def in_cvat(plane, **more):
    return "mask", {**cvat.encode_mask(plane), **more}


WRITTEN = {"coco": (COCO, coco_file, in_coco), "cvat": (CVAT, cvat_file, in_cvat)}


@pytest.fixture(params=WRITTEN)
def tool(request, tmp_path):
    """Return a format, a function that writes a file of images, and one that writes a region."""
    form, write, region = WRITTEN[request.param]
    return form, lambda *images: write(tmp_path / f"export{form.suffix}", images), region


def test_regions_of_a_label_are_united_and_later_regions_cover_earlier_ones(tool):
    form, file, region = tool
    lesion, hair, ignored = square(0, 0), square(2, 2), square(4, 4)
    regions = [("skin", region(square(0, 0))), (IGNORED, region(ignored)), ("hair", region(hair))]
    more = [*regions, ("lesion", region(lesion)), ("lesion", region(square(8, 0)))]
    (got,) = read(form, file((QUERIES[0].key + ".png", SIZE, more)))
    expected = np.zeros(SIZE, np.uint8)
    expected[ignored] = 255
    expected[hair] = 2
    expected[lesion | square(8, 0)] = 1
    np.testing.assert_array_equal(got.label, expected)


def test_images_without_regions_are_not_answers_unless_empty_means_background(tool):
    form, file, region = tool
    path = file(
        (QUERIES[0].key + ".png", SIZE, []),
        ("never_asked.png", SIZE, []),
        (QUERIES[1].key + ".png", SIZE, [("lesion", region(square(1, 1)))]),
    )
    assert [got.id for got in read(form, path)] == ["0001"]
    empty, _ = read(form, path, empty="background")
    assert empty.id == "0000"
    np.testing.assert_array_equal(empty.label, np.zeros(SIZE))
    with pytest.raises(ConfigurationError, match="empty must be 'unanswered' or 'background': got 'yes'"):
        read(form, path, empty="yes")


def test_a_mask_at_the_working_size_is_accepted_and_only_the_one_of_another_size_is_invalid(tool):
    form, file, region = tool
    path = file(
        (QUERIES[0].key + ".png", (6, 6), [("lesion", region(square(1, 1, size=(6, 6))))]),
        (QUERIES[1].key + ".png", (7, 6), [("lesion", region(square(1, 1, size=(7, 6))))]),
        (QUERIES[2].key + ".png", SIZE, [("lesion", region(square(1, 1)))]),
    )
    first, second, third = read(form, path)
    assert first.label.shape == (6, 6)
    assert second.label.reason == f"in {path.name} '{QUERIES[1].key}.png' is 6 x 7 pixels, not 10 x 12 or 6 x 6 pixels"
    np.testing.assert_array_equal(third.label, square(1, 1))


@pytest.mark.parametrize("name", ["images/{key}.jpg", "{key}", "C:\\data\\{key}.PNG", "./{key}.png", "task/{key}.tif"])
def test_an_image_is_known_by_the_key_of_its_query(tool, name):
    form, file, region = tool
    (got,) = read(form, file((name.format(key=QUERIES[2].key), SIZE, [("hair", region(square(1, 1)))])))
    assert got.id == "0002"


@pytest.mark.parametrize(
    ("name", "found"),
    [
        ("ward 3/0017.jpg", "ward 3/0017"),
        ("data/ward 3/0017.jpg", "ward 3/0017"),
        ("ward 3\\0017.jpg", "ward 3/0017"),
        ("0018.PNG", "ward 3/0018"),
        ("a.b.png", "a.b"),
        ("a.b", "a.b"),
    ],
)
def test_an_image_is_known_by_its_own_name(tool, name, found):
    form, file, region = tool
    queries = [
        Query(id, 0, rank, (SIZE,)) for rank, id in enumerate(["ward 3/0017", "ward 4/0017", "ward 3/0018", "a.b"])
    ]
    (got,) = read(form, file((name, SIZE, [("hair", region(square(1, 1)))])), queries)
    assert got.id == found


def test_an_image_asked_for_twice_is_one_image(tool):
    form, file, region = tool
    (got,) = read(form, file(("0001.png", SIZE, [("hair", region(square(1, 1)))])), [query(1), query(1, round=3)])
    assert got.id == "0001"


def reasons(answers):
    """Return the reasons of invalid answers by id, in one text for each id, and check that no other answer has them."""
    found = {}
    for one in answers:
        if isinstance(one.label, Invalid):
            found[one.id] = f"{found.get(one.id, '')}{one.label.reason}\n"
    assert not {one.id for one in answers if not isinstance(one.label, Invalid)} & found.keys()
    return found


def test_an_image_that_can_be_one_of_several_is_listed_and_the_file_goes_on(tool):
    form, file, region = tool
    one = [("hair", region(square(1, 1)))]
    queries = [Query(id, 0, rank, (SIZE,)) for rank, id in enumerate(["ward 3/0017", "ward 4/0017", "ward 3/0018"])]
    path = file(("0017.jpg", SIZE, one), ("ward 3/0018.jpg", SIZE, one))
    answers = read(form, path, queries)
    assert [got.id for got in answers] == ["ward 3/0018", path.name]
    assert "'0017.jpg' can be one of several: it is 'ward 3/0017' or 'ward 4/0017'" in reasons(answers)[path.name]
    # The image of an entry with its full name could be the one that the short name means.
    path = file(("0017.jpg", SIZE, one), ("ward 3/0017.jpg", SIZE, one), ("ward 4/0017.jpg", SIZE, []))
    assert reasons(read(form, path, queries)).keys() == {"ward 3/0017", path.name}
    answers = read(form, path, queries, empty="background")
    assert reasons(answers).keys() == {"ward 3/0017", "ward 4/0017", path.name} == {got.id for got in answers}


def test_an_image_that_was_never_asked_for_is_listed_and_the_file_goes_on(tool):
    form, file, region = tool
    one = [("hair", region(square(1, 1)))]
    path = file((QUERIES[0].key, SIZE, one), ("0019.jpg", SIZE, one), ("0020.jpg", SIZE, one), ("0021.jpg", SIZE, []))
    good, bad = read(form, path, annotator="ann")
    np.testing.assert_array_equal(good.label, 2 * square(1, 1))
    assert (bad.id, bad.annotator) == (path.name, "ann")
    assert bad.label == Invalid("images that were never asked for have annotations: '0019.jpg', '0020.jpg'")


def test_a_file_of_a_whole_data_set_is_read_and_its_other_images_are_counted(tool):
    form, file, region = tool
    one = [("hair", region(square(1, 1)))]
    images = [(f"other-{n:02}.png", SIZE, one) for n in range(20)]
    good, bad = read(form, file(*images, (QUERIES[0].key, SIZE, one)))
    assert good.id == "0000"
    assert bad.label.reason.endswith("'other-06.png', 'other-07.png' and 12 more")


@pytest.mark.parametrize("second", ["{key}.png", "0001.jpg"])
@pytest.mark.parametrize("empty", ["unanswered", "background"])
def test_nothing_is_taken_from_either_of_two_entries_of_an_image(tool, second, empty):
    form, file, region = tool
    name = f"{QUERIES[1].key}.png"
    second = second.format(key=QUERIES[1].key)
    left, right = [("lesion", region(square(0, 0)))], [("lesion", region(square(0, 5)))]
    other = (QUERIES[2].key, SIZE, left)
    path = file((name, SIZE, left), (second, SIZE, right), other)
    bad, good = read(form, path, empty=empty)
    np.testing.assert_array_equal(good.label, square(0, 0))
    assert bad.id == "0001"
    assert f"contains it 2 times, as image 1 ({name!r}) and as image 2 ({second!r})" in bad.label.reason
    one_empty = read(form, file((name, SIZE, []), (second, SIZE, right), other), empty=empty)
    if empty == "background":
        assert reasons(one_empty).keys() == {"0001"}
    else:  # an image without annotations says nothing
        np.testing.assert_array_equal(one_empty[0].label, square(0, 5))


def test_a_label_that_is_not_a_class_makes_its_image_invalid_and_suggests_the_nearest_class(tool):
    form, file, region = tool
    one = [("hair", region(square(1, 1)))]
    path = file((QUERIES[0].key, SIZE, [*one, ("Lesion", region(square(1, 1)))]), (QUERIES[1].key, SIZE, one))
    bad, good = read(form, path)
    with pytest.raises(LabelError, match=r"must be classes: got 'Lesion', .*Try: 'lesion'"):
        raise LabelError(bad.label.reason)
    np.testing.assert_array_equal(good.label, 2 * square(1, 1))


@pytest.mark.parametrize("empty", ["unanswered", "background"])
@pytest.mark.parametrize("label", ["unusable", "Skip", "skipped"])
def test_a_label_that_says_so_is_a_skip_unless_it_is_a_class(tool, label, empty):
    form, file, region = tool
    if form is COCO:
        file = _coco_file_with(label, file)
    lesion = ("lesion", region(square(0, 0)))
    path = file((QUERIES[0].key, SIZE, [(label, region(square(1, 1)))]), (QUERIES[1].key, SIZE, [lesion]))
    skipped, good = read(form, path, empty=empty)
    assert skipped.label == Skip(f"marked {label!r}")
    np.testing.assert_array_equal(good.label, square(0, 0))
    (bad,) = read(form, file((QUERIES[0].key, SIZE, [lesion, (label, region(square(1, 1)))])), empty=empty)
    assert f"is marked {label!r}, and has regions" in bad.label.reason
    (named,) = read(form, file((QUERIES[0].key, SIZE, [(label, region(square(1, 1)))])), spec=LabelSpec(("a", label)))
    np.testing.assert_array_equal(named.label, square(1, 1))


def _coco_file_with(label, file):
    """Return `file` with a category `label` in place of "Lesion"."""

    def write(*images):
        path = file(
            *(
                (name, size, [("Lesion" if own == label else own, r) for own, r in regions])
                for name, size, regions in images
            )
        )
        path.write_text(path.read_text().replace('"Lesion"', f'"{label}"'))
        return path

    return write


def test_reading_a_file_twice_gives_equal_answers_and_a_later_export_is_a_later_revision(tool):
    form, file, region = tool
    path = file((QUERIES[0].key, SIZE, [("hair", region(square(1, 1)))]))
    first, again = read(form, path), read(form, path)
    assert first[0].revision == again[0].revision
    os.utime(path, ns=(0, first[0].revision + 1))
    assert read(form, path)[0].revision == first[0].revision + 1


@given(st.lists(st.from_regex(r"[ab](/[ab]){0,3}", fullmatch=True), min_size=1, max_size=6, unique=True), st.data())
def test_a_full_name_finds_its_image_and_those_whose_id_ends_in_it(ids, data):
    names = image_names(Query(id, 0, rank, (SIZE,)) for rank, id in enumerate(ids))
    id = data.draw(st.sampled_from(ids))
    found = [query.id for query in names.find(f"{id}.png")]
    assert found == sorted(other for other in ids if other == id or other.endswith(f"/{id}"))
    assert id in {query.id for query in names.find(id.rpartition("/")[2])}


def test_a_name_that_is_an_id_and_the_end_of_another_id_finds_both():
    names = image_names(Query(id, 0, rank, (SIZE,)) for rank, id in enumerate(["a", "ward/a"]))
    assert [query.id for query in names.find("a.png")] == ["a", "ward/a"]
    assert [query.id for query in names.find("ward/a.png")] == ["ward/a"]


def test_a_backslash_is_a_slash_or_a_letter_of_the_name():
    names = image_names(Query(id, 0, rank, (SIZE,)) for rank, id in enumerate(["a/b", "a\\b", "c\\d"]))
    assert [query.id for query in names.find("a\\b.png")] == ["a/b", "a\\b"]
    assert [query.id for query in names.find("a/b.png")] == ["a/b"]
    assert [query.id for query in names.find("c\\d.png")] == ["c\\d"]


# COCO.


def test_a_coco_file_follows_the_specification(tmp_path):
    (path,) = COCO.write(tmp_path, QUERIES[:2], POOL, SPEC, {"0001": RING})
    found = json.loads(path.read_text())
    assert found["categories"] == [
        {"id": 1, "name": "lesion", "supercategory": ""},
        {"id": 2, "name": "hair", "supercategory": ""},
        {"id": 255, "name": "ignored", "supercategory": ""},
    ]
    assert found["images"][1] == {"id": 2, "file_name": f"{QUERIES[1].key}.png", "height": 12, "width": 10}
    (one,) = found["annotations"]
    assert isinstance(one.pop("segmentation")["counts"], str)
    assert one == {"id": 1, "image_id": 2, "category_id": 1, "area": 40, "bbox": [2, 2, 6, 8], "iscrowd": 1}


def test_pycocotools_reads_a_written_file(tmp_path, capsys):
    pycoco = pytest.importorskip("pycocotools.coco")
    mask = np.random.default_rng(0).choice([0, 1, 2], size=SIZE).astype(np.uint8)
    (path,) = COCO.write(tmp_path, QUERIES[:1], POOL, SPEC, {"0000": mask})
    index = pycoco.COCO(str(path))
    for one in index.loadAnns(index.getAnnIds()):
        assert index.annToRLE(one)["counts"] == rle.encode(mask == one["category_id"])["counts"]
    assert len(index.getAnnIds()) == 2


def test_polygons_and_uncompressed_codes_are_read_and_polygons_of_one_annotation_united(tmp_path):
    boxes = [[0, 0, 3, 0, 3, 3, 0, 3], [5.0, 5.0, 8.0, 5.0, 8.0, 8.0, 5.0, 8.0]]
    runs = {"size": list(SIZE), "counts": [12 * 9, 12]}
    regions = [("lesion", {"segmentation": boxes}), ("hair", {"segmentation": runs, "iscrowd": 1})]
    (got,) = read(COCO, coco_file(tmp_path / "a.json", [(QUERIES[0].key, SIZE, regions)]))
    expected = np.zeros(SIZE, np.uint8)
    expected[square(0, 0) | square(5, 5)] = 1
    expected[:, 9] = 2
    np.testing.assert_array_equal(got.label, expected)


@pytest.mark.parametrize(
    ("found", "reason"),
    [
        ({}, "must be a run-length encoding or polygons"),
        ({"segmentation": []}, "an annotation has no segmentation"),
        ({"segmentation": {"size": [12, 10], "counts": "rubbish"}}, "a run-length encoding is damaged"),
        ({"segmentation": {"size": [6, 6], "counts": [36]}}, "a run-length encoding must have the size of its image"),
        ({"segmentation": [[1, 2, 3, 4]]}, "a polygon must have x and y of at least 3 points"),
        ({"segmentation": [5]}, "a polygon must have x and y of at least 3 points"),
        ({"segmentation": "x"}, "must be a run-length encoding or polygons"),
    ],
)
def test_a_damaged_annotation_makes_its_image_invalid_and_no_other(tmp_path, found, reason):
    good = ("hair", in_coco(square(1, 1)))
    images = [(QUERIES[0].key, SIZE, [good, ("lesion", found)]), (QUERIES[1].key, SIZE, [good])]
    bad, fine = read(COCO, coco_file(tmp_path / "a.json", images))
    assert isinstance(bad.label, Invalid)
    assert reason in bad.label.reason
    assert fine.label.sum() == 18


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "is not a COCO file: got nothing, expected JSON"),
        (b"\xff\xfe\x00", "is not a COCO file"),
        (b"\xe9{}", "is not a COCO file: got byte 0 is not UTF-8, expected JSON"),
        (b'{"images": [],}', "is not a COCO file: got .* in line 1, column 15, expected JSON"),
        (b"[]", r"is not a COCO file: got '\[\]' in place of an object"),
        (b"[" * 100_000, "is not a COCO file"),
        (b"{}", "is not a COCO file: got no 'images'"),
        (b'{"images": [{"id": 1}], "categories": [], "annotations": []}', "got no 'file_name'"),
        (b'{"images": 5, "categories": [], "annotations": []}', "is not a COCO file"),
        (b'{"images": [], "categories": [], "annotations": {}}', "got annotations of the type dict"),
        (b'{"images": [], "categories": [], "annotations": ""}', "got annotations of the type str"),
        (b'{"images": [], "categories": [], "annotations": [], "images": []}', "got two values of 'images'"),
        (
            b'{"images": [], "categories": [], "annotations": [{"image_id": 1, "category_id": 1}]}',
            "annotation 0 of an unknown image 1",
        ),
        (
            b'{"images": [{"id": 1, "file_name": "a", "height": 1, "width": 1}], "categories": [], '
            b'"annotations": [{"id": 3, "image_id": 1, "category_id": 9}]}',
            "annotation 3 of an unknown category 9",
        ),
        (
            b'{"images": [{"id": 1, "file_name": "a", "height": 1, "width": 1}, '
            b'{"id": 1, "file_name": "b", "height": 1, "width": 1}], "categories": [], "annotations": []}',
            "two images with the same id",
        ),
        (b'{"images": [{"id": [], "file_name": "a", "height": 1, "width": 1}]}', "is not a COCO file"),
        (b'{"images": [{"id": 1, "file_name": "a", "height": Infinity, "width": 1}]}', "is not a COCO file"),
    ],
)
def test_the_error_names_a_file_that_is_not_coco(tmp_path, content, message):
    (tmp_path / "a.json").write_bytes(content)
    with pytest.raises(DataError, match=message):
        read(COCO, tmp_path / "a.json")


def coco_text(path, images, annotations, categories=({"id": 1, "name": "lesion"},)):
    path.write_text(json.dumps({"images": images, "categories": list(categories), "annotations": annotations}))
    return path


def coco_image(id, name=QUERIES[0].key):
    return {"id": id, "file_name": name, "height": SIZE[0], "width": SIZE[1]}


def coco_region(image, category=1, **more):
    return {"id": 5, "image_id": image, "category_id": category, "segmentation": rle.encode(square(1, 1)), **more}


def test_an_image_that_coco_lists_twice_alike_is_one_image(tmp_path):
    regions = [coco_region(1), coco_region(1, segmentation=rle.encode(square(5, 5)))]
    (got,) = read(COCO, coco_text(tmp_path / "a.json", [coco_image(1), coco_image(1)], regions))
    np.testing.assert_array_equal(got.label, square(1, 1) | square(5, 5))


@pytest.mark.parametrize(
    ("images", "annotations", "categories", "bad", "reason"),
    [
        ([], [coco_region(8)], [], "a.json", "annotation 5 of an unknown image 8"),
        ([], [coco_region("2")], [], "a.json", "annotation 5 of an unknown image '2'"),
        ([], [{"id": 5, "category_id": 1}], [], "a.json", r"no 'image_id' \(annotation 2 of the list\)"),
        ([], [7], [], "a.json", r"'7' in place of an object \(annotation 2 of the list\)"),
        ([{"id": 3, "file_name": "x"}], [], [], "a.json", r"no 'height' \(image 3 of the list\)"),
        ([], [coco_region(1, 9)], [], "0000", "annotation 5 of an unknown category 9"),
        ([], [{"id": 5, "image_id": 1}], [], "0000", "annotation 5: no 'category_id'"),
        ([], [coco_region(1, 2)], [{"id": 2}], "0000", "annotation 5 of an unknown category 2"),
        (
            [],
            [coco_region(1, 2)],
            [{"id": 2, "name": "hair"}, {"id": 2, "name": "lesion"}],
            "0000",
            "annotation 5 of category 2 with the names 'hair', 'lesion'",
        ),
        ([coco_image(1, QUERIES[3].key)], [], [], "0000", "two images with the same id 1"),
    ],
)
def test_a_damaged_item_of_a_coco_file_is_listed_and_the_file_goes_on(
    tmp_path, images, annotations, categories, bad, reason
):
    path = coco_text(
        tmp_path / "a.json",
        [coco_image(1), coco_image(2, QUERIES[1].key), *images],
        [coco_region(2), *annotations],
        [{"id": 1, "name": "lesion"}, *categories],
    )
    answers = read(COCO, path)
    np.testing.assert_array_equal(next(got.label for got in answers if got.id == "0001"), square(1, 1))
    with pytest.raises(LabelError, match=reason):
        raise LabelError(reasons(answers)[bad])


def test_no_image_becomes_background_if_annotations_belong_to_no_image(tmp_path):
    """Their image may be any image that seems to have none, such as if a tool wrote ids as text."""
    images = [coco_image(1), coco_image(2, QUERIES[1].key)]
    path = coco_text(tmp_path / "a.json", images, [coco_region(2), coco_region("1")])
    answers = read(COCO, path, empty="background")
    assert reasons(answers).keys() == {"0000", "a.json"}
    assert [got.id for got in answers if got.id == "0001"] == ["0001"]


@every_format
def test_the_error_names_a_file_that_does_not_exist(form, tmp_path):
    with pytest.raises(DataError, match="nowhere cannot be read"):
        read(form, tmp_path / "nowhere")


# CVAT.

masks = arrays.arrays(bool, st.tuples(st.integers(1, 30), st.integers(1, 30))).filter(np.any)


@given(masks)
@example(RING > 0)
def test_a_cvat_mask_is_decoded_exactly(plane):
    np.testing.assert_array_equal(cvat.decode_mask(cvat.encode_mask(plane), plane.shape), plane)


@given(masks)
@example(RING > 0)
def test_a_cvat_mask_runs_along_the_rows_of_its_box_as_coco_runs_down_columns(plane):
    """The runs of pycocotools for the transposed box are the same."""
    found = cvat.encode_mask(plane)
    left, top, width, height = (int(found[name]) for name in ("left", "top", "width", "height"))
    box = plane[top : top + height, left : left + width]
    runs = [int(run) for run in found["rle"].split(",")]
    code = pycocotools.mask.frPyObjects({"size": [width, height], "counts": runs}, width, height)
    assert code["counts"].decode() == rle.encode(box.T)["counts"]


def test_a_file_that_cvat_exported_is_read(tmp_path):
    (tmp_path / "annotations.xml").write_text(
        """<?xml version="1.0" encoding="utf-8"?>
<annotations>
  <version>1.1</version>
  <meta><task><id>4</id><labels><label><name>lesion</name></label></labels></task><dumped>now</dumped></meta>
  <image id="0" name="0001.jpg" width="10" height="12">
    <mask label="lesion" source="manual" occluded="0" rle="1, 2, 1, 4" left="3" top="2" width="4"
        height="2" z_order="0">
      <attribute name="sure">no</attribute>
    </mask>
    <polygon label="hair" source="manual" occluded="0" points="0.00,9.00;3.00,9.00;3.00,12.00;0.00,12.00" z_order="0">
    </polygon>
    <tag label="blurred" source="manual"></tag>
  </image>
</annotations>"""
    )
    (got,) = read(CVAT, tmp_path / "annotations.xml")
    expected = np.zeros(SIZE, np.uint8)
    expected[2, 4:6], expected[3, 3:7], expected[9:, :3] = 1, 1, 2
    np.testing.assert_array_equal(got.label, expected)


def test_regions_with_a_higher_z_order_lie_on_top(tmp_path):
    regions = [
        ("lesion", in_cvat(square(1, 1), z_order="1")),
        ("hair", in_cvat(square(1, 1, 5), z_order="0")),
        ("skin", in_cvat(square(1, 1, 2), z_order="2")),
    ]
    (got,) = read(CVAT, cvat_file(tmp_path / "a.xml", [(QUERIES[0].key, SIZE, regions)]))
    expected = 2 * square(1, 1, 5).astype(np.uint8)
    expected[square(1, 1)] = 1
    expected[square(1, 1, 2)] = 0
    np.testing.assert_array_equal(got.label, expected)


BOX = {"left": "1", "top": "1", "width": "2", "height": "2", "rle": "0, 4"}


@pytest.mark.parametrize(
    ("tag", "found", "reason"),
    [
        ("mask", {**BOX, "rle": "0, 3"}, "must fill its box: got 3, expected 4"),
        ("mask", {**BOX, "rle": "5, -1"}, "must fill its box"),
        ("mask", {**BOX, "rle": ""}, "a mask has damaged attributes"),
        ("mask", {**BOX, "left": "9"}, "must lie inside its image: got 2 x 2 at 9, 1, expected inside 10 x 12"),
        ("mask", {**BOX, "top": "-1"}, "must lie inside its image"),
        ("mask", {**BOX, "width": "0", "rle": "0"}, "must lie inside its image"),
        ("mask", {**BOX, "left": "1.5"}, "a mask has damaged attributes"),
        ("mask", {name: value for name, value in BOX.items() if name != "rle"}, "a mask has damaged attributes"),
        ("box", {"xtl": "1", "ytl": "1", "xbr": "2", "ybr": "2"}, "must be a mask or a polygon: got <box>"),
        ("polygon", {"points": "1,2;3,4"}, "a polygon must have x and y of at least 3 points"),
        ("polygon", {"points": "1,2;3,x;5,6"}, "a polygon has damaged points"),
        ("polygon", {"points": "1,2;3,nan;5,6"}, "must lie in its image or close to it"),
    ],
)
def test_a_damaged_shape_makes_its_image_invalid_and_no_other(tmp_path, tag, found, reason):
    good = ("hair", in_cvat(square(1, 1)))
    images = [(QUERIES[0].key, SIZE, [good, ("lesion", (tag, found))]), (QUERIES[1].key, SIZE, [good])]
    bad, fine = read(CVAT, cvat_file(tmp_path / "a.xml", images))
    assert isinstance(bad.label, Invalid)
    assert reason in bad.label.reason
    assert fine.label.sum() == 18


def cvat_text(path, images):
    path.write_text(f"<annotations><version>1.1</version>{images}</annotations>")
    return path


def tagged(tag, name=QUERIES[0].key, inside=""):
    return f'<image name="{name}" width="10" height="12"><tag label="{tag}" source="manual"></tag>{inside}</image>'


POLYGON = '<polygon label="lesion" points="0,0;3,0;3,3;0,3" z_order="0"/>'
GOOD = f'<image name="{QUERIES[1].key}" width="10" height="12">{POLYGON}</image>'


@pytest.mark.parametrize("empty", ["unanswered", "background"])
def test_a_tag_decides_what_an_image_without_regions_means(tmp_path, empty):
    def first(images):
        *own, good = read(CVAT, cvat_text(tmp_path / "a.xml", images + GOOD), empty=empty)
        np.testing.assert_array_equal(good.label, square(0, 0))
        return own[0].label if own else None

    assert first(tagged("unusable")) == Skip("marked 'unusable'")
    assert first(tagged("Unusable")) == Skip("marked 'Unusable'")
    assert "has no region, and the tag 'blurred'" in first(tagged("blurred")).reason
    assert "the tag 'lesion'" in first(tagged("lesion")).reason
    assert "is marked 'skip', and has regions" in first(tagged("skip", inside=POLYGON)).reason
    np.testing.assert_array_equal(first(tagged("blurred", inside=POLYGON)), square(0, 0))
    # The name of class 0 says background, but does not replace the word of the caller.
    assert first(tagged("skin")) is None if empty == "unanswered" else not first(tagged("skin")).any()


@pytest.mark.parametrize(
    ("image", "bad", "reason"),
    [
        (f'<image name="{QUERIES[0].key}" width="10"/>', "0000", "no 'height'"),
        (f'<image name="{QUERIES[0].key}" width="10" height="x"/>', "0000", "height 'x', not an integer"),
        ('<image width="10" height="12"/>', "a.xml", "no 'name' of image 1"),
        (tagged("a").replace("<tag", '<polygon label="hair" z_order="x"/><tag'), "0000", "z_order 'x', not an integer"),
        (tagged("a").replace("<tag", "<polygon/><tag"), "0000", "no 'label'"),
        (tagged("a").replace("<tag", '<polyline label="ruler" points="1,1;2,2"/><tag'), "0000", "got 'ruler'"),
        (tagged("a").replace("<tag", '<polyline label="hair" points="1,1;2,2"/><tag'), "0000", "got <polyline>"),
    ],
)
def test_a_damaged_image_of_a_cvat_file_is_listed_and_the_file_goes_on(tmp_path, image, bad, reason):
    answers = read(CVAT, cvat_text(tmp_path / "a.xml", image + GOOD))
    np.testing.assert_array_equal(next(got.label for got in answers if got.id == "0001"), square(0, 0))
    assert reason in reasons(answers)[bad]


BOMB = """<?xml version="1.0"?>
<!DOCTYPE lolz [<!ENTITY a "ha"><!ENTITY b "&a;&a;&a;&a;&a;&a;&a;&a;&a;&a;">]>
<annotations><version>1.1</version><image name="&b;" width="1" height="1"/></annotations>"""
FILE = """<!DOCTYPE a [<!ENTITY x SYSTEM "file:///etc/hostname">]><annotations><version>&x;</version></annotations>"""


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("", "is not a file of CVAT for images"),
        ("<annotations>", "is not a file of CVAT for images"),
        ("<svg/>", "got <svg>"),
        ("<annotations/>", "got version None, expected version 1.1"),
        ("<annotations><version>2.0</version></annotations>", "got version 2.0"),
        ("<annotations><version>1.1</version><track/></annotations>", "got tracks"),
        ('<annotations><version>1.1</version><image name="a" width="1"/></annotations>', "got no 'height'"),
        (
            '<annotations><version>1.1</version><image name="a" width="1" height="x"/></annotations>',
            "got height 'x', not an integer",
        ),
        (BOMB, "a document type declaration"),
        (FILE, "a document type declaration"),
    ],
)
def test_the_error_names_a_file_that_is_not_cvat_and_entities_are_never_expanded(tmp_path, content, message):
    (tmp_path / "a.xml").write_text(content)
    with pytest.raises(DataError, match=message):
        read(CVAT, tmp_path / "a.xml")
