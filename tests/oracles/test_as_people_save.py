"""Answers as people save them: taken if they can be meant in one way, and refused with a note otherwise."""

from __future__ import annotations

import base64
import io
import json
import os
import shutil
import zipfile
from contextlib import suppress
from unicodedata import normalize

import nibabel
import numpy as np
import pytest
import tifffile
from exchange import LONG_AGO, oracle_in, query
from PIL import Image

from alkit.errors import LabelError
from alkit.oracles import MaskOracle
from alkit.oracles.saved_masks import answered_mask
from alkit.pictures.files import prelabel_png
from alkit.values import Invalid, LabelSpec, Query, Skip

SPEC = LabelSpec(("skin", "lesion"))
THREE = LabelSpec(("skin", "lesion", "hair"))
MASK = np.zeros((16, 16), np.uint8)
MASK[4:12, 4:12] = 1
WHITE = MASK * 255
QUERIES = [Query(id, 0, rank, ((16, 16),)) for rank, id in enumerate(["ward 3/0017", "Größe 7", "b", "c"])]


def content(array, form="PNG", **more):
    file = io.BytesIO()
    Image.fromarray(np.asarray(array)).save(file, form, **more)
    return file.getvalue()


def tiff(array):
    file = io.BytesIO()
    tifffile.imwrite(file, array)
    return file.getvalue()


def layer(colour, alpha=None, outside=(9, 9, 9)):
    """Return a layer that is painted in one colour, and transparent elsewhere."""
    pixels = np.zeros((16, 16, 4), np.uint8)
    pixels[..., :3], pixels[..., 3] = outside, WHITE if alpha is None else alpha
    pixels[MASK > 0, :3] = colour
    return pixels


def soft(top=255, dtype=np.uint8):
    """Return a white square with edges of several levels, as smooth brushes draw them."""
    plane = WHITE.astype(float) / 255
    for axis in (0, 1):
        plane = (np.roll(plane, 1, axis) + 2 * plane + np.roll(plane, -1, axis)) / 4
    return np.round(plane * top).astype(dtype)


rgb = np.repeat(WHITE[..., None], 3, axis=-1)
COLOURS = np.zeros((16, 16, 3), np.uint8)
COLOURS[MASK > 0] = (0xF0, 0xE4, 0x42)  # that of class 1

TAKEN = {
    "equal channels": (content(rgb), ["its equal channels were read as one"]),
    "equal channels of class ids": (content(rgb // 255), ["its equal channels were read as one"]),
    "opaque alpha": (content(np.dstack([rgb, MASK * 0 + 255])), ["its equal channels were read as one"]),
    "gray and alpha": (content(np.dstack([WHITE, MASK * 0 + 255])), []),
    "colours of the classes": (content(COLOURS), ["its colours were read as those of the classes"]),
    "a red layer": (
        content(layer((255, 0, 0))),
        ["its transparent pixels were read as 'skin'", "its painted pixels were read as 'lesion'"],
    ),
    "16 bits": (content(MASK.astype(np.uint16) * 65535), ["65535 was read as 'lesion'"]),
    "soft edges": (content(soft()), ["its edges are soft: levels of at least 128 of 255 were read as 'lesion'"]),
    "soft edges of 16 bits": (
        content(soft(65535, np.uint16)),
        ["its edges are soft: levels of at least 32768 of 65535 were read as 'lesion'"],
    ),
    "soft edges in colour": (
        content(np.repeat(soft()[..., None], 3, axis=-1)),
        [
            "its equal channels were read as one",
            "its edges are soft: levels of at least 128 of 255 were read as 'lesion'",
        ],
    ),
    "BMP": (content(WHITE, "BMP"), []),
    "BMP in colour": (content(rgb, "BMP"), ["its equal channels were read as one"]),
    "floats of class ids": (tiff(MASK.astype(np.float32)), []),
    "64 bits": (tiff(MASK.astype(np.int64)), []),
}


@pytest.mark.parametrize("name", TAKEN)
def test_a_mask_that_can_be_meant_in_one_way_is_taken_and_said_how(name):
    file, remarks = TAKEN[name]
    mask, said = answered_mask(file, "a.png", SPEC, "a")
    np.testing.assert_array_equal(mask, soft() >= 128 if "soft" in name else MASK)
    assert list(said) == remarks


YELLOW, SKY, BLACK = (0xF0, 0xE4, 0x42), (0x56, 0xB4, 0xE9), (0, 0, 0)
SEVERAL = np.array([[0, 0, 1, 1], [0, 2, 2, 1]], np.uint8).repeat(4, 0).repeat(4, 1)


def indexed(values, *colours, hidden=(), alpha=255):
    """Return an image with a palette, whose first colours are given; some of them are transparent."""
    image = Image.fromarray(values)
    image.putpalette(bytes(value for colour in colours for value in colour))
    file = io.BytesIO()
    alphas = bytes(0 if place in hidden else alpha for place in range(len(colours)))
    image.save(file, "PNG", **({"transparency": alphas} if hidden else {}))
    return file.getvalue()


@pytest.mark.parametrize(
    ("colours", "hidden"),
    [
        ((BLACK, YELLOW, SKY), ()),
        ((BLACK, (255, 0, 0), (0, 255, 0)), ()),  # any others say nothing
        (((9, 9, 9), YELLOW, SKY), (0,)),
        (((9, 9, 9), (255, 0, 0), (0, 255, 0)), (0,)),
        ((BLACK, (1, 1, 1), (2, 2, 2)), ()),
        ((BLACK, (128, 128, 128), (255, 255, 255)), ()),
    ],
)
def test_a_palette_counts_by_its_indices(colours, hidden):
    mask, said = answered_mask(indexed(SEVERAL, *colours, hidden=hidden), "a.png", THREE, "a")
    np.testing.assert_array_equal(mask, SEVERAL)
    assert not said


def test_the_palette_of_an_overlay_counts_by_its_indices():
    file = indexed(SEVERAL, BLACK, (255, 0, 0), (0, 255, 0), hidden=(0,), alpha=100)
    np.testing.assert_array_equal(answered_mask(file, "a.png", THREE, "a")[0], SEVERAL)


@pytest.mark.parametrize(
    ("values", "colours", "hidden", "spec"),
    [
        (SEVERAL, (BLACK, SKY, YELLOW), (), THREE),
        (SEVERAL, (YELLOW, SKY, BLACK), (), THREE),
        (SEVERAL, ((255, 0, 0), (0, 255, 0), (9, 9, 9)), (2,), THREE),
        (MASK, ((255, 0, 0), (255, 255, 255)), (1,), SPEC),  # painted pixels have the index 0
        (MASK, (YELLOW, BLACK), (), SPEC),
        (MASK * 0, (YELLOW,), (), SPEC),
        (MASK * 0, ((255, 255, 255),), (), SPEC),
        (MASK, (BLACK, (255, 255, 255)), (), LabelSpec(SPEC.classes, 255)),  # white is ignored in RGB and in gray
        (MASK, (BLACK, (255, 255, 255)), (0,), LabelSpec(SPEC.classes, 255)),
        (MASK, (BLACK, (2, 2, 2)), (), THREE),  # a tool that makes files smaller gives classes 0 and 2 a palette
        (MASK * 0, ((1, 1, 1),), (), SPEC),
    ],
)
def test_a_palette_in_another_order_than_the_classes_is_refused(values, colours, hidden, spec):
    """Programs that save few colours as a palette number them as they like, also those of a pre-label."""
    with pytest.raises(LabelError, match="can be read in two ways"):
        answered_mask(indexed(values, *colours, hidden=hidden), "a.png", spec, "a")


def test_the_colours_of_a_palette_count_if_its_indices_are_no_class_ids():
    colours = [BLACK] * 3 + [SKY, BLACK, YELLOW]
    file = indexed(np.array([4, 5, 3], np.uint8)[SEVERAL], *colours)
    mask, said = answered_mask(file, "a.png", THREE, "a")
    np.testing.assert_array_equal(mask, SEVERAL)
    assert said == ("its colours were read as those of the classes",)


def test_known_masks_with_a_palette_in_another_order_are_refused(tmp_path):
    (tmp_path / "a.png").write_bytes(indexed(SEVERAL, BLACK, YELLOW, SKY))
    (tmp_path / "b.png").write_bytes(indexed(SEVERAL, BLACK, SKY, YELLOW))
    (tmp_path / "c.png").write_bytes(content(SEVERAL))
    (tmp_path / "d.tif").write_bytes(tiff(SEVERAL.astype(np.int64)))
    oracle = MaskOracle(tmp_path, THREE.classes)
    np.testing.assert_array_equal([oracle.read("a"), oracle.read("c")], [SEVERAL] * 2)
    with pytest.raises(LabelError, match=r"b\.png can be read in two ways"):
        oracle.read("b")
    np.testing.assert_array_equal(MaskOracle(tmp_path, THREE.classes, pattern="{id}.tif").read("d"), SEVERAL)
    assert MaskOracle(tmp_path, THREE.classes, values=(0, 1, 2)).read("b").any()  # the caller says what they mean


def test_a_pre_label_that_a_program_saves_again_is_the_same_or_refused():
    with Image.open(io.BytesIO(prelabel_png(SEVERAL, THREE))) as image:
        colours = image.convert("RGB")
    for method in (None, Image.Quantize.MEDIANCUT, Image.Quantize.FASTOCTREE, Image.Quantize.MAXCOVERAGE):
        again = colours if method is None else colours.quantize(3, method=method)
        again.save(file := io.BytesIO(), "PNG")
        with suppress(LabelError):
            mask, _ = answered_mask(file.getvalue(), "a.png", THREE, "a")
            np.testing.assert_array_equal(mask, SEVERAL)


def test_a_picture_of_another_size_is_not_decoded(monkeypatch):
    monkeypatch.setattr("alkit.oracles.saved_masks.upright", lambda *_: pytest.fail("it was decoded"))
    with pytest.raises(LabelError, match="another size than its image: got 16 x 16 pixels, expected 8 x 9 pixels"):
        answered_mask(content(rgb), "a.png", SPEC, "a", sizes=[(9, 8)])


def test_a_soft_layer_counts_as_painted_from_half_of_its_alpha_on():
    mask, said = answered_mask(content(layer((0, 0, 255), soft(), outside=(0, 0, 255))), "a.png", SPEC, "a")
    np.testing.assert_array_equal(mask, soft() >= 128)
    assert said[0] == "its transparent pixels were read as 'skin' (alpha of at least 128 counts as painted)"


photo = np.random.default_rng(0).integers(0, 256, (16, 16, 3)).astype(np.uint8)
DOUBTFUL = {
    "a photograph": (content(photo), SPEC, "is a picture, not a label map: got 3 channels"),
    "a black layer": (content(layer((0, 0, 0))), SPEC, "both can mean 'skin'"),
    "transparent and black": (
        content(np.dstack([rgb, np.where(np.arange(16) < 2, 0, 255) + MASK * 0]).astype(np.uint8)),
        SPEC,
        "has transparent pixels and black ones",
    ),
    "transparent everywhere": (content(layer((255, 255, 255), MASK)), SPEC, "has no opaque pixel"),
    "a transparent colour": (content(rgb, transparency=(0, 0, 0)), LabelSpec(SPEC.classes, ignore=9), "in two ways"),
    "JPEG": (content(WHITE, "JPEG"), SPEC, "has a format that can change the values of a mask: got JPEG"),
    "JPEG in colour": (content(rgb, "JPEG"), SPEC, "has a format that can change the values of a mask: got JPEG"),
    "fractions": (tiff(MASK * np.float32(0.5)), SPEC, "holds fractions"),
    "white with an ignore value": (content(rgb), LabelSpec(SPEC.classes, ignore=7), "can be read in two ways"),
    "16 bits in colour": (tiff(np.repeat(MASK[..., None].astype(np.uint16), 3, axis=-1)), SPEC, "16 bits in each"),
}


@pytest.mark.parametrize("name", DOUBTFUL)
def test_a_mask_that_can_be_meant_in_two_ways_is_refused(name):
    file, spec, reason = DOUBTFUL[name]
    with pytest.raises(LabelError, match=reason):
        answered_mask(file, "a.png", spec, "a")


@pytest.mark.parametrize(
    ("values", "spec"),
    [
        (photo[..., 0], SPEC),  # a gray photograph
        (soft(), THREE),
        (soft(), LabelSpec(SPEC.classes, ignore=255)),
        (np.where(soft() > 0, 128, 0) + (soft() == 255) * 127, SPEC),  # a band of one level
        (np.minimum(soft(), 200), SPEC),  # without white
        (MASK.astype(np.uint16) * 65535, LabelSpec(SPEC.classes, ignore=255)),
    ],
)
def test_gray_levels_that_can_mean_something_else_stay_and_are_no_classes(values, spec):
    array = values if values.dtype == np.uint16 else values.astype(np.uint8)
    mask, said = answered_mask(content(array), "a.png", spec, "a")
    np.testing.assert_array_equal(mask, array)
    assert said == ()


@pytest.fixture
def place(tmp_path):
    oracle_in(tmp_path, images=None, queries=QUERIES)
    (tmp_path / "ann").mkdir()
    return tmp_path


def saved(place, name, content):
    path = place / "ann" / name
    path.parent.mkdir(parents=True, exist_ok=True)
    if isinstance(content, bytes | str):
        path.write_bytes(content.encode() if isinstance(content, str) else content)
    else:
        nibabel.save(content, path)
    os.utime(path, (LONG_AGO, LONG_AGO))
    return path


def polled(place, classes=SPEC):
    """Return the answers by key, and what was not read; refused answers get their notes."""
    oracle = oracle_in(place, images=None, queries=QUERIES, classes=classes)
    found = list(oracle.poll())
    for one in found:
        if isinstance(one.label, Invalid):
            oracle.refused(one, one.label.reason)
    return {one.id: one for one in found}, {path.name: why for path, why in oracle.unread().items()}


NAMES = [
    ("{key}_mask.png", 0, True),
    ("{KEY}.PNG", 1, True),
    ("{nfd}.png", 1, True),
    ("round 1/{key}.png", 2, True),
    ("{key}/mask.png", 2, True),
    ("{id}.png", 0, False),
    ("0017.png", 0, False),
    ("0017_seg.png", 0, False),
    ("ward%203%2F0017.png", 0, False),
    ("1f2e3d4c-ward_3_0017.png", 0, False),
    ("1f2e3d4c-Größe_7-mask.png", 1, False),
    ("masks/B.png", 2, False),
    ("0017.skip", 0, False),
]


@pytest.mark.parametrize(("name", "rank", "keyed"), NAMES)
def test_a_file_is_known_by_a_name_that_only_one_query_can_have(place, name, rank, keyed):
    key, id = QUERIES[rank].key, QUERIES[rank].id
    name = name.format(key=key, KEY=key.upper(), id=id, nfd=normalize("NFD", key))
    saved(place, name, "no" if name.endswith(".skip") else content(WHITE))
    found, unread = polled(place)
    assert unread == {}
    assert list(found) == [id]
    assert found[id].query == (key if keyed else "")
    is_key = normalize("NFC", name.rpartition("/")[2]) == f"{key}.png"
    assert found[id].remarks == (() if is_key else (f"the name {name!r} was taken for {key}",))


def test_names_that_several_queries_can_have_and_unknown_ones_get_a_note_that_goes_with_the_file(place):
    queries = [Query(id, 0, rank, ((16, 16),)) for rank, id in enumerate(["x/1", "y/1"])]
    for name in ("1.png", "deep/strange.png", "a.webp", "z.jpg"):
        saved(place, name, content(WHITE))
    oracle = oracle_in(place, images=None, queries=queries)
    assert list(oracle.poll()) == []
    notes = {path.name.removesuffix(".refused.txt"): path.read_text() for path in place.rglob("*.refused.txt")}
    assert "can mean several queries: rename it to r00-0000-x_1.png or r00-0001-y_1.png" in notes["1.png"]
    assert "has no query 'deep/strange'" in notes["strange.png"]
    assert "must end in .png" in notes["a.webp"]
    assert "JPEG changes the values of a mask" in notes["z.jpg"]
    for name in ("1.png", "deep/strange.png", "a.webp", "z.jpg"):
        (place / "ann" / name).unlink()
    list(oracle.poll())
    assert list(place.rglob("*.refused.txt")) == []


def test_two_files_for_a_query_are_one_answer_if_they_are_equal(place):
    saved(place, "b.png", content(WHITE))
    saved(place, "deep/b_mask.png", content(MASK))
    saved(place, "c.png", content(WHITE))
    saved(place, "c_mask.png", content(1 - MASK))
    found, _ = polled(place)
    np.testing.assert_array_equal(found["b"].label, MASK)
    assert "two different answers, c.png and c_mask.png" in found["c"].label.reason
    assert [path.name for path in place.rglob("*.refused.txt")] == ["c.png.refused.txt"]


def test_a_link_to_a_folder_above_ends_and_too_deep_folders_are_said(place):
    (place / "ann" / "loop").symlink_to(place / "ann")
    deep = "/".join("abcdefghij")
    saved(place, f"{deep}/b.png", content(WHITE))
    saved(place, "c.png", content(WHITE))
    found, unread = polled(place)
    assert list(found) == ["c"]
    assert unread == {"i": "it lies more than 8 folders deep"}


# Files of annotations.

SQUARE, LATER = "2,2;8,2;8,8;2,8", "5,5;12,5;12,12;5,12"


def cvat(*images):
    return f"<annotations><version>1.1</version>{''.join(images)}</annotations>"


def image(name, *inside):
    return f'<image name="{name}" width="16" height="16">{"".join(inside)}</image>'


def polygon(label, points, z=0, inside=""):
    return f'<polygon label="{label}" points="{points}" z_order="{z}">{inside}</polygon>'


def archive(**files):
    content = io.BytesIO()
    with zipfile.ZipFile(content, "w", zipfile.ZIP_DEFLATED) as file:
        for name, text in files.items():
            file.writestr(name.replace("__", "/"), text)
    return content.getvalue()


def test_a_zip_of_cvat_is_read_and_one_stray_refuses_nothing_else(place):
    text = cvat(
        image("images/b.jpg", polygon("lesion", SQUARE), polygon("hair", LATER)),
        image("C.PNG", polygon("hair", SQUARE, z=1), polygon("lesion", LATER)),
        image("nobody", polygon("lesion", SQUARE)),
        image("0017.png", polygon("ruler", SQUARE)),
        polygon("lesion", SQUARE),
    )
    saved(place, "job.zip", archive(**{"annotations.xml": text, "images__b.jpg": b"x", "..__..__evil.xml": "<a/>"}))
    found, unread = polled(place, THREE)
    assert unread == {}
    assert found["b"].label[6, 6] == 2  # drawn later
    assert found["c"].label[6, 6] == 2  # on a higher layer
    assert found["c"].remarks == ("the name 'C.PNG' was taken for r00-0003-c",)
    assert "must be classes: got 'ruler'" in found["ward 3/0017"].label.reason
    note = (place / "ann" / "job.zip.refused.txt").read_text()
    for said in ("'nobody'", "got 'ruler'", "<polygon> outside of an image", "../../evil.xml is not"):
        assert said in note
    assert not list(place.parent.rglob("evil.xml"))


def test_archives_that_grow_without_bound_or_are_no_archives_are_refused(place, monkeypatch):
    saved(place, "bomb.zip", archive(**{"a.xml": b" " * 3_000_000}))
    saved(place, "many.zip", b"PK\x01\x02" * 100_001)
    saved(place, "cut.zip", archive(**{"a.xml": cvat(image("b"))})[:-9])
    saved(place, "photos.zip", archive(**{"a.png": content(WHITE)}))
    lying = archive(**{"a.xml": b" " * 5000})
    saved(place, "lying.zip", lying.replace((5000).to_bytes(4, "little"), (10).to_bytes(4, "little")))
    monkeypatch.setenv("ALKIT_MAX_BYTES", "2000000")
    found, unread = polled(place)
    assert found == {}
    assert "bomb.zip, unpacked, is too large: got 3000000 bytes" in unread["bomb.zip"]
    assert "holds too many files" in unread["many.zip"]
    assert "is not an archive that can be read" in unread["cut.zip"]
    assert "holds no file of annotations: got 'a.png'" in unread["photos.zip"]
    assert "lying.zip" in unread


def labelme(name, *shapes, **more):
    facts = {"version": "5", "flags": {}, "shapes": shapes, "imagePath": name, "imageHeight": 16, "imageWidth": 16}
    return json.dumps({**facts, **more})


def shape(label, points, **more):
    return {"label": label, "points": points, "shape_type": "polygon", "flags": {}, **more}


def test_labelme_is_read_in_its_drawing_order(place):
    square, later = [[2, 2], [8, 2], [8, 8], [2, 8]], [[5, 5], [12, 5], [12, 12], [5, 12]]
    painted = base64.b64encode(content(np.ones((2, 3), bool))).decode()
    box = shape("lesion", [[0, 14], [2, 15]], shape_type="mask", mask=painted)
    key = QUERIES[2].key
    saved(place, f"{key}.json", labelme("image.png", shape("hair", square), shape("lesion", later), box))
    saved(place, "any.json", labelme("..\\img\\0017.jpg", flags={"unusable": True}))
    saved(place, "c.json", labelme("c.png", shape("hair", square, shape_type="circle")))
    saved(place, "c.png", content(photo))  # the image itself
    found, unread = polled(place, THREE)
    assert unread == {}
    assert found["b"].label[[6, 3, 15, 13], [6, 3, 2, 2]].tolist() == [1, 2, 1, 0]
    assert found["ward 3/0017"].label == Skip("marked 'unusable'")
    assert "must be a polygon or a mask: got circle" in found["c"].label.reason


@pytest.mark.parametrize(
    "damage",
    [
        {"imagePath": 7},
        {"imageHeight": None},
        {"shapes": [{"label": "hair"}]},
        {"shapes": [shape("hair", [[0, 0], [1e9, 0], [0, 9]])]},
        {"shapes": [shape("hair", [[0, 0], [99, 99]], shape_type="mask", mask="")]},
        {"shapes": [shape("hair", [[0, 0], [1, 1]], shape_type="mask", mask="!")]},
        {"shapes": [7]},
        {"flags": [], "shapes": [shape("hair", [[0, 0], [9, 0], [9, 9]], flags={"skip": True})]},
    ],
)
def test_a_damaged_file_of_labelme_is_refused_alone(place, damage):
    saved(place, "b.json", labelme("b.png", **damage))
    saved(place, "b.png", content(photo))
    saved(place, "c.png", content(MASK))
    found, unread = polled(place, THREE)
    assert list(found["c"].label[8, 4:6]) == [1, 1]
    assert "b.json" in unread or isinstance(found["b"].label, Invalid)


def test_a_copy_of_what_was_sent_and_the_images_of_an_export_are_no_answers(tmp_path):
    oracle = oracle_in(tmp_path)
    asked = query(0)
    oracle.ask([asked])
    shutil.copytree(tmp_path / asked.key, tmp_path / "ann" / asked.key)
    saved(tmp_path, "cvat/annotations.xml", cvat(image(asked.key)))
    saved(tmp_path, "cvat/images/0000.png", content(photo))
    saved(tmp_path, "other/images/0000.png", content(photo))
    saved(tmp_path, f"{asked.key}/mask.png", content(WHITE))
    saved(tmp_path, f"{asked.key}/mask.confirmed", "")
    (answer,) = oracle.poll()
    assert (answer.id, answer.query, answer.confirmed) == (asked.id, asked.key, True)
    unread = {path.relative_to(tmp_path / "ann").as_posix(): why for path, why in oracle.unread().items()}
    assert unread == {"other/images": "a folder named images holds images, and is not read"}


def task(name, *result, **annotation):
    more = {"lead_time": 4.5, **annotation}
    return {"id": 1, "data": {"image": f"/data/upload/1/1f2e3d4c-{name}"}, "annotations": [{"result": result, **more}]}


def outline(label, low, high, **more):
    points = [[low, low], [high, low], [high, high], [low, high]]
    sizes = {"original_width": 16, "original_height": 16, "to_name": "image", "image_rotation": 0}
    return {"type": "polygonlabels", "value": {"points": points, "polygonlabels": [label]}, **sizes, **more}


def test_an_export_of_label_studio_is_read(place):
    why = {"type": "textarea", "value": {"text": ["too dark"]}}
    unusable = {"type": "choices", "value": {"choices": ["unusable"]}}
    tasks = [
        task("b.png", outline("hair", 10, 60), outline("lesion", 40, 90)),
        task("c.png"),
        task("0017.png", unusable, why),
        task("Gr%C3%B6%C3%9Fe_7.png", outline("hair", 10, 60, image_rotation=90)),
        task("nobody.png", outline("hair", 10, 60)),
        {"id": 9, "data": 7},
    ]
    saved(place, "export.json", json.dumps(tasks))
    found, unread = polled(place, THREE)
    assert unread == {}
    assert found["b"].label[[8, 3, 0], [8, 3, 0]].tolist() == [1, 2, 0]
    assert found["b"].seconds == 4.5
    assert not found["c"].label.any()
    assert found["ward 3/0017"].label == Skip("marked 'unusable': too dark")
    assert "rotated" in found["Größe 7"].label.reason
    note = (place / "ann" / "export.json.refused.txt").read_text()
    assert "1f2e3d4c-nobody.png" in note
    assert "task 6 without an image" in note


def test_a_task_of_label_studio_with_two_images_is_not_guessed(place):
    both, twice, asked = (
        task("b.png", outline("hair", 10, 60)),
        task("c.png", outline("hair", 10, 60)),
        task("0017.png"),
    )
    both["data"] = {"before": "/data/upload/1/1f2e3d4c-b.png", **task("c.png")["data"]}
    twice["data"]["thumbnail"] = "/small/c.jpg"
    asked["data"] |= {"reference": "/data/atlas.png", "alkit_query": QUERIES[0].key}
    saved(place, "export.json", json.dumps([both, twice, asked]))
    found, _ = polled(place, THREE)
    assert sorted(found) == ["c", "export.json", "ward 3/0017"]
    assert found["c"].label.any()
    assert "task 1 with several images" in found["export.json"].label.reason


def test_a_tag_an_attribute_or_a_column_skips_an_image_with_the_reason(place):
    said = '<attribute name="unusable">true</attribute><attribute name="reason">blurred</attribute>'
    tag = f'<tag label="quality">{said}</tag>'
    marked = image("c", polygon("hair", SQUARE, inside='<attribute name="quality">unusable</attribute>'))
    saved(place, "a.xml", cvat(image("b", tag), marked))
    coco = {
        "images": [
            {"id": 1, "file_name": "0017.jpg", "width": 16, "height": 16, "skip": True, "comment": "too dark"},
            {"id": 2, "file_name": "Größe 7.jpg", "width": 16, "height": 16},
        ],
        "categories": [{"id": 1, "name": "hair"}],
        "annotations": [{"id": 1, "image_id": 2, "category_id": 1, "attributes": {"quality": "unusable"}}],
    }
    saved(place, "a.json", json.dumps(coco))
    found, unread = polled(place, THREE)
    assert unread == {}
    assert found["b"].label == Skip("marked 'unusable': blurred")
    assert "a <polygon> has the attribute 'unusable'" in found["c"].label.reason
    assert found["ward 3/0017"].label == Skip("marked 'skip': too dark")
    assert found["Größe 7"].label == Skip("marked 'unusable'")


@pytest.mark.parametrize("multiple", [False, True])
def test_a_table_states_why_an_image_is_skipped(place, multiple):
    saved(place, "answers.csv", "image,class,reason\nb,unusable,blurred\nC.png,skip: cut off,\n0017,cat,\n")
    found, _ = polled(place, LabelSpec(("cat", "dog"), per="image", multiple=multiple))
    assert found["b"].label == Skip("marked 'unusable': blurred")
    assert found["c"].label == Skip("marked 'skip': cut off")
    assert not isinstance(found["ward 3/0017"].label, Skip)


def test_a_wrong_line_of_a_table_refuses_no_other(place):
    saved(place, "answers.csv", "image,class,seconds\nb,cat,4.5\nc,cat,1,dog\n0017,dog,soon\n")
    found, unread = polled(place, LabelSpec(("cat", "dog"), per="image"))
    assert unread == {}
    assert (found["b"].label, found["b"].seconds) == (0, 4.5)
    assert (found["ward 3/0017"].label, found["ward 3/0017"].seconds) == (1, None)
    assert "must have 3 columns: got 4" in found["c"].label.reason


def test_a_flat_nifti_is_read_as_itk_writes_it_and_refused_otherwise(place):
    plane = np.zeros((16, 16, 1), np.uint8)
    plane[2:5, 7] = 1  # columns 2 to 4 of row 7
    saved(place, "b_mask.nii.gz", nibabel.Nifti1Image(plane, np.diag([-1, -1, 1, 1])))
    saved(place, "c.nii", nibabel.Nifti1Image(plane, np.eye(4)))
    saved(place, "other.nii", nibabel.Nifti1Image(plane, np.eye(4)))
    found, unread = polled(place)
    assert np.argwhere(found["b"].label).tolist() == [[7, 2], [7, 3], [7, 4]]
    assert len(found["b"].remarks) == 2
    assert "can be turned or flipped" in found["c"].label.reason
    assert "is not a volume of labels that was sent" in unread["other.nii"]
    notes = {path.name for path in place.rglob("*.refused.txt")}
    assert notes == {"c.nii.refused.txt", "other.nii.refused.txt"}


def test_each_of_two_refused_files_of_the_same_time_has_a_note(place):
    saved(place, "b.png", content(photo))
    saved(place, "all.xml", cvat(image("b", polygon("ruler", SQUARE))))
    polled(place)
    assert {path.name for path in place.rglob("*.refused.txt")} == {"b.png.refused.txt", "all.xml.refused.txt"}
