"""Annotation files of strangers: they read no other file, grow without end nowhere, and raise no raw error."""

import json
import time
from pathlib import Path

import pytest

from alkit import LabelSpec, Query
from alkit.errors import DataError
from alkit.oracles.formats.coco import MOST_STRAYS, decode
from alkit.oracles.formats.registry import FORMATS

SPEC = LabelSpec(("skin", "lesion"))
QUERY = Query("mole", 0, 0, ((16, 16),))
DEEP = 200_000


def read(folder, form, content):
    path = folder / f"a{FORMATS[form].suffix}"
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    return list(FORMATS[form].read(path, [QUERY], SPEC, annotator="ann", empty="background"))


LAUGHS = "".join(f'<!ENTITY l{n} "{f"&l{n - 1};" * 10}">' for n in range(1, 10))
BODY = (
    '<annotations><version>1.1</version><image id="0" name="mole.png" width="16" height="16">{}</image></annotations>'
)


@pytest.mark.parametrize(
    "content",
    [
        f'<!DOCTYPE a [<!ENTITY l0 "ha">{LAUGHS}]>' + BODY.format('<tag label="&l9;"/>'),
        f'<!DOCTYPE a [<!ENTITY l0 "{"a" * 100_000}">]>' + BODY.format(f'<tag label="{"&l0;" * 10_000}"/>'),
        '<!DOCTYPE a [<!ENTITY x SYSTEM "file://{secret}">]>' + BODY.format("&x;"),
        '<!DOCTYPE a SYSTEM "file://{secret}">' + BODY.format(""),
        '<!DOCTYPE a [<!ENTITY % x SYSTEM "file://{secret}"> %x;]>' + BODY.format(""),
        '<!DOCTYPE a PUBLIC "-//X//Y" "http://127.0.0.1:9/a.dtd">' + BODY.format(""),
        ('<?xml version="1.0" encoding="utf-16"?><!DOCTYPE a [<!ENTITY x "y">]>' + BODY.format("")).encode("utf-16"),
    ],
    ids=["laughs", "quadratic", "external", "dtd", "parameter", "public", "utf-16"],
)
def test_a_document_type_is_refused_before_anything_grows_or_is_read(tmp_path, content):
    (tmp_path / "secret").write_text("<!ENTITY y 'the secret'>")
    if isinstance(content, str):
        content = content.replace("{secret}", str(tmp_path / "secret"))
    start = time.monotonic()
    with pytest.raises(DataError, match="a document type declaration") as refused:
        read(tmp_path, "cvat", content)
    assert "the secret" not in str(refused.value)
    assert time.monotonic() - start < 5


@pytest.mark.parametrize(
    "inside",
    [
        '<xi:include xmlns:xi="http://www.w3.org/2001/XInclude" href="file:///etc/hostname" parse="text"/>',
        '<?xml-stylesheet href="file:///etc/hostname"?>',
        "<polygon label='lesion' points='0,0;1e999,nan;5,5'/>",
        "<mask label='lesion' left='0' top='0' width='99999999999' height='1' rle='1'/>",
        f"<mask label='lesion' left='0' top='0' width='4' height='1' rle='{'9' * 5000}'/>",
        f"<mask label='lesion' left='0' top='0' width='4' height='1' rle='{'0,' * 100_000}4'/>",
        "<polygon label='lesion' points='" + "1,1;" * 100_000 + "2,2' z_order='" + "9" * 5000 + "'/>",
        "<tag/>",
        "<tag label='\x1b[2J'/>".replace("\x1b", "&#27;"),
        "<a>" * DEEP + "</a>" * DEEP,
        "<a " + " ".join(f'b{n}="1"' for n in range(20_000)) + "/>",
    ],
    ids=lambda text: text[:20].strip("<").split(" ")[0].split("'")[0],
)
def test_odd_content_of_xml_is_an_answer_or_an_error_of_alkit(tmp_path, inside):
    try:
        answers = read(tmp_path, "cvat", BODY.format(inside))
    except DataError:
        return
    assert all(answer.annotator == "ann" for answer in answers)


def coco(**more):
    image = {"id": 1, "file_name": "mole.png", "height": 16, "width": 16}
    annotation = {"id": 1, "image_id": 1, "category_id": 1, "segmentation": [[0, 0, 8, 0, 8, 8]]}
    content = {"images": [image], "categories": [{"id": 1, "name": "lesion"}], "annotations": [annotation]}
    for name, value in more.items():
        (image if name in image and name != "id" else annotation)[name] = value
    return json.dumps(content).replace('"RAW', "").replace('WAR"', "")


@pytest.mark.parametrize(
    "content",
    [
        "[" * DEEP,
        '{"images":' * DEEP,
        '{"images": [], "images": [], "categories": [], "annotations": []}',
        coco(height="RAWNaNWAR"),
        coco(width="RAW1e999WAR"),
        coco(height="RAW" + "9" * 5000 + "WAR"),
        coco(height=10**30),
        coco(height=-5),
        coco(file_name={"a": 1}),
        coco(image_id=[1]),
        coco(category_id={"a": []}),
        coco(segmentation="RAW[[NaN, Infinity, 1e308, -1e308, 0, 0]]WAR"),
        coco(segmentation={"size": [16, 16], "counts": [10**18, 256]}),
        coco(segmentation={"size": [10**9, 10**9], "counts": "1" * 100}),
        coco(segmentation={"size": [16, 16], "counts": [256] * 100_000}),
        coco(segmentation="RAW" + "[" * 900 + "]" * 900 + "WAR"),
        coco(segmentation={"size": "16", "counts": None}),
        "\ufeff" + coco(),
        coco().encode("utf-16"),
        b"\xff\xfe\x00",
        b"",
    ],
    ids=range(21),
)
def test_odd_content_of_json_is_an_answer_or_an_error_of_alkit(tmp_path, content):
    start = time.monotonic()
    try:
        answers = read(tmp_path, "coco", content)
    except DataError:  # its message is short: see tests/cli/test_printing.py
        answers = []
    assert all(answer.annotator == "ann" for answer in answers)
    assert time.monotonic() - start < 20


def test_very_many_items_without_an_image_are_not_all_described():
    """Each description takes more memory than the item in a file of up to 200 MB."""
    known = {"id": 1, "file_name": "a.png", "height": 2, "width": 2}
    content = {"images": [known, *[[]] * 30_000], "categories": [], "annotations": [[]] * 30_000}
    found = decode(Path("a.json"), json.dumps(content).encode())
    assert len(found.images) == 1
    assert len(found.strays) == MOST_STRAYS
