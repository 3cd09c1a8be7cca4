"""Queries are written as files, and no existing file is overwritten."""

from __future__ import annotations

import json
import os
import unicodedata

import numpy as np
import pytest
from exchange import CLASSES, IMAGES, LONG_AGO, MASKS, answer, everything, oracle_in, query
from PIL import Image

import alkit
from alkit.errors import ConfigurationError, DataError, ImageError, LabelError, StoreError
from alkit.labels import read_mask
from alkit.oracles import FolderOracle
from alkit.oracles.folder import outbox
from alkit.protocols import Oracle
from alkit.values import LabelSpec, Query


def test_a_query_becomes_a_folder_with_the_image_and_a_description(tmp_path):
    oracle = oracle_in(tmp_path / "out", inbox=tmp_path / "in", classes=LabelSpec(CLASSES, ignore=255))
    assert isinstance(oracle, Oracle)
    asked = query(3, round=2, rank=4, score=0.5, stands_for="12 images like it", wanted=2)
    oracle.ask([asked])
    place = tmp_path / "out" / "r02-0004-0003"
    assert sorted(path.name for path in place.iterdir()) == ["image.png", "query.json"]
    np.testing.assert_array_equal(np.asarray(Image.open(place / "image.png")), IMAGES[3, 0])
    said = json.loads((place / "query.json").read_text())
    assert said.pop("classes")[1:] == [
        {"id": 1, "name": "lesion", "colour": "#f0e442"},
        {"id": 255, "name": "ignored", "colour": "#ffffff"},
    ]
    assert said.pop("answer")["mask"] == "../../in/YOUR_NAME/r02-0004-0003.png"
    assert said == {
        "version": 1,
        "campaign": "",
        "query": "r02-0004-0003",
        "image": "0003",
        "round": 2,
        "rank": 4,
        "score": 0.5,
        "stands_for": "12 images like it",
        "annotators_wanted": 2,
        "sizes_allowed": [{"height": 16, "width": 16}],
    }
    text = (tmp_path / "out" / "how-to-answer.txt").read_text()
    assert "Make a folder with your name in ../in." in text
    assert "r02-0004-0003.png        the mask: 0 skin, 1 lesion, 255 ignored" in text


@pytest.mark.parametrize("inbox", [None, "in", "out/answers"])
def test_an_answer_at_the_described_path_is_read(tmp_path, inbox):
    oracle = oracle_in(tmp_path / "out", inbox=None if inbox is None else tmp_path / inbox)
    oracle.ask([query(1)])
    folder = tmp_path / "out" / query(1).key
    place = folder / json.loads((folder / "query.json").read_text())["answer"]["mask"].replace("YOUR_NAME", "ann")
    place.parent.mkdir()
    Image.fromarray(MASKS[1]).save(place)
    assert [(got.id, got.annotator) for got in oracle.poll()] == [("0001", "ann")]


def test_an_image_file_is_copied_byte_for_byte_or_rotated_if_its_exif_orientation_says_so(tmp_path):
    (tmp_path / "images" / "ward").mkdir(parents=True)
    pixels = np.random.default_rng(0).integers(256, size=(20, 30, 3), dtype=np.uint8)
    Image.fromarray(pixels).save(tmp_path / "images" / "ward" / "a.JPG", quality=50)
    exif = Image.Exif()
    exif[0x0112] = 6
    Image.fromarray(pixels).save(tmp_path / "images" / "b.png", exif=exif)
    pool = alkit.ImagePool(tmp_path / "images", size=8)
    queries = [Query(id, 0, rank, pool.sizes([id])[0]) for rank, id in enumerate(pool.ids)]
    oracle_in(tmp_path / "out", images=pool.subset(pool.ids)).ask(queries)
    there = {path.parent.name: path for path in (tmp_path / "out").glob("*/image.*")}
    assert there["r00-0001-ward_a"].name == "image.jpg"
    assert there["r00-0001-ward_a"].read_bytes() == (tmp_path / "images" / "ward" / "a.JPG").read_bytes()
    with Image.open(there["r00-0000-b"]) as turned:
        np.testing.assert_array_equal(np.asarray(turned), np.rot90(pixels, -1))
        assert turned.getexif().get(0x0112, 1) == 1
    assert queries[0].sizes[0] == (30, 20)


def test_the_error_names_an_image_that_was_deleted(tmp_path):
    (tmp_path / "images").mkdir()
    Image.fromarray(IMAGES[0, 0]).save(tmp_path / "images" / "0000.png")
    pool = alkit.ImagePool(tmp_path / "images")
    (tmp_path / "images" / "0000.png").unlink()
    with pytest.raises(ImageError, match=r"0000\.png cannot be read"):
        oracle_in(tmp_path / "out", images=pool).ask([query(0)])


@pytest.mark.parametrize("channels", [1, 2, 3, 5])
def test_the_image_at_the_working_size_is_written_if_the_pool_has_no_file(tmp_path, channels):
    pixels = np.random.default_rng(0).integers(256, size=(1, channels, 8, 9), dtype=np.uint8)
    oracle_in(tmp_path, images=alkit.ArrayPool(pixels)).ask([query(0)])
    shown = np.asarray(Image.open(tmp_path / query(0).key / "image.png"))
    np.testing.assert_array_equal(shown, pixels[0, 0] if channels < 3 else pixels[0, :3].transpose(1, 2, 0))


def test_a_prelabel_contains_class_ids_looks_coloured_and_is_not_in_the_inbox(tmp_path):
    spec = LabelSpec(("skin", "lesion", "hair"), ignore=9)
    mask = np.random.default_rng(0).choice([0, 1, 2, 9], size=(16, 16)).astype(np.uint8)
    oracle = oracle_in(tmp_path / "out", inbox=tmp_path / "in", classes=spec, prelabels={"0000": mask})
    oracle.ask([query(0), query(1)])
    path = tmp_path / "out" / query(0).key / "prelabel.png"
    np.testing.assert_array_equal(read_mask(path), mask)
    with Image.open(path) as image:
        assert len({image.convert("RGB").getpixel((int(x), int(y))) for y, x in np.argwhere(mask >= 0)}) == 4
    assert not (tmp_path / "out" / query(1).key / "prelabel.png").exists()
    assert list((tmp_path / "in").iterdir()) == []
    assert list(oracle.poll()) == []


def test_a_prelabel_that_does_not_fit_is_refused(tmp_path):
    with pytest.raises(LabelError, match="the mask of '0000' has another size"):
        oracle_in(tmp_path, prelabels={"0000": MASKS[0][:8]}).ask([query(0)])


def test_each_round_has_a_contact_sheet_and_later_queries_of_a_round_get_another(tmp_path):
    oracle_in(tmp_path, prelabels={"0001": MASKS[1]}).ask([query(1), query(0), query(2, round=1)])
    oracle = oracle_in(tmp_path)
    first = (tmp_path / "contact-sheet-r00.png").read_bytes()
    with Image.open(tmp_path / "contact-sheet-r00.png") as sheet:
        assert json.loads(sheet.info["alkit"]) == [query(0).key, query(1).key]
        assert min(sheet.size) > 100
    oracle.ask([query(1), query(3), query(2, round=1)])
    oracle.ask([query(3)])
    assert sorted(path.name for path in tmp_path.glob("*.png")) == [
        "contact-sheet-r00-2.png",
        "contact-sheet-r00.png",
        "contact-sheet-r01.png",
    ]
    assert (tmp_path / "contact-sheet-r00.png").read_bytes() == first
    with Image.open(tmp_path / "contact-sheet-r00-2.png") as sheet:
        assert json.loads(sheet.info["alkit"]) == [query(3).key]


def test_asking_again_changes_no_file_even_if_a_person_changed_it(tmp_path):
    queries = [query(row) for row in range(4)]
    oracle_in(tmp_path, prelabels={"0001": MASKS[1]}).ask(queries)
    for path in (tmp_path / "how-to-answer.txt", tmp_path / "contact-sheet-r00.png"):
        path.write_bytes(b"mine")
    (tmp_path / queries[1].key / "prelabel.png").write_bytes(b"painted over")
    (tmp_path / queries[2].key / "image.png").rename(tmp_path / queries[2].key / "image.tif")
    mine = everything(tmp_path)
    oracle_in(tmp_path, prelabels={"0001": 1 - MASKS[1]}).ask(queries)
    now = everything(tmp_path)
    assert now.keys() - mine.keys() == {tmp_path / "contact-sheet-r00-2.png"}  # the first one is damaged
    assert {path: now[path] for path in mine} == mine
    oracle_in(tmp_path).ask(queries)
    assert everything(tmp_path) == now


def test_asking_again_completes_an_outbox_that_was_interrupted_at_any_file(tmp_path, monkeypatch):
    queries = [query(row) for row in range(3)]
    prelabels = {one.id: MASKS[int(one.id)] for one in queries}
    oracle_in(tmp_path / "whole", prelabels=prelabels).ask(queries)
    whole = {
        path.relative_to(tmp_path / "whole"): content for path, (content, _) in everything(tmp_path / "whole").items()
    }
    write, written = outbox.write_atomically, []

    def killed_at(n):
        def write_some(path, content):
            if len(written) == n:
                raise KeyboardInterrupt
            written.append(path)
            write(path, content)

        return write_some

    for n in range(len(whole)):
        place = tmp_path / str(n)
        written.clear()
        monkeypatch.setattr(outbox, "write_atomically", killed_at(n))
        with pytest.raises(KeyboardInterrupt):
            oracle_in(place, prelabels=prelabels).ask(queries)
        for folder in place.glob("r00-*"):
            assert not (folder / "query.json").exists() or len(list(folder.iterdir())) == 3
        monkeypatch.setattr(outbox, "write_atomically", write)
        oracle_in(place, prelabels=prelabels).ask(queries)
        assert {path.relative_to(place): content for path, (content, _) in everything(place).items()} == whole


def test_a_query_with_the_key_of_another_is_refused(tmp_path):
    oracle_in(tmp_path).ask([query(0)])
    before = everything(tmp_path)
    other = Query("0000", 0, 0, ((8, 9),))
    with pytest.raises(ConfigurationError, match=r"describes another query.*16 x 16 pixels.*9 x 8 pixels"):
        oracle_in(tmp_path).ask([query(1), other])
    assert everything(tmp_path) == before


def test_a_folder_of_another_campaign_is_refused_by_every_method(tmp_path):
    oracle_in(tmp_path, campaign="one").ask([query(0)])
    answer(tmp_path, query(0))
    before = everything(tmp_path)
    other = oracle_in(tmp_path, campaign="other", queries=[query(0), query(1)])
    for step in (lambda: other.ask([query(1)]), lambda: list(other.poll()), lambda: other.cancelled([query(0)])):
        with pytest.raises(ConfigurationError, match=r"another campaign: got r00-0000-0000 of campaign 'one'"):
            step()
    assert everything(tmp_path) == before
    assert [one.id for one in oracle_in(tmp_path, campaign="one").poll()] == ["0000"]


NAME = "Größe 肺"


def rename_to_former_key(folder, asked):
    """Make the folder of a query one that version 0.1 wrote."""
    key, former = asked.keys
    (folder / key).rename(folder / former)
    path = folder / former / "query.json"
    path.write_text(path.read_text().replace(key, former))
    return former


@pytest.mark.parametrize("form", ["NFC", "NFD"])
def test_names_keep_their_letters_in_files_and_can_be_taken_apart(tmp_path, form):
    pool = alkit.ArrayPool(IMAGES[:1], [unicodedata.normalize(form, NAME)])
    asked = Query(pool.ids[0], 0, 0, ((16, 16),))
    assert asked.key == "r00-0000-Größe_肺"
    oracle = oracle_in(tmp_path, images=pool, also=["coco"])
    oracle.ask([asked])
    assert (tmp_path / asked.key / "query.json").exists()
    path = answer(tmp_path, asked, MASKS[0])
    path.rename(path.with_name(unicodedata.normalize("NFD", path.name)))  # as a Mac does
    for reader in (oracle, FolderOracle(tmp_path, classes=CLASSES, settle=0)):
        assert [one.id for one in reader.poll()] == [asked.id]
        assert reader.unread() == {}


def test_a_campaign_of_an_early_version_goes_on_under_its_former_keys(tmp_path):
    pool = alkit.ArrayPool(IMAGES[:2], [NAME, "b"])
    asked = [Query(id, 0, rank, ((16, 16),)) for rank, id in enumerate(pool.ids)]
    oracle = oracle_in(tmp_path, images=pool)
    oracle.ask(asked)
    former = rename_to_former_key(tmp_path, asked[0])
    oracle.ask(asked)
    assert not (tmp_path / asked[0].key).exists()
    Image.fromarray(MASKS[0]).save(answer(tmp_path, asked[1], MASKS[1]).with_name(f"{former}.png"))
    os.utime(tmp_path / "ann" / f"{former}.png", (LONG_AGO, LONG_AGO))
    for reader in (oracle_in(tmp_path, queries=asked), FolderOracle(tmp_path, classes=CLASSES, settle=0)):
        assert [one.id for one in reader.poll()] == [NAME, "b"]
        assert reader.unread() == {}
    oracle.cancelled(asked[:1])
    assert (tmp_path / former / "withdrawn.txt").exists()


def test_a_withdrawn_query_has_a_note_and_its_answer_is_still_read(tmp_path):
    oracle_in(tmp_path).ask([query(0)])
    answer(tmp_path, query(0))
    oracle = oracle_in(tmp_path)
    oracle.cancelled([query(0), query(1)])
    assert "This query was withdrawn" in (tmp_path / query(0).key / "withdrawn.txt").read_text()
    assert not (tmp_path / query(1).key).exists()
    assert [one.id for one in oracle.poll()] == ["0000"]
    assert oracle.unread() == {}


def test_the_error_names_a_damaged_query_and_the_file_is_not_overwritten(tmp_path):
    oracle_in(tmp_path).ask([query(0)])
    path = tmp_path / query(0).key / "query.json"
    whole = path.read_bytes()
    endless = whole.replace(b'"rank": 0', b'"rank": 1e999')
    for content in (b"{", b"[]", b'{"version": 2}', b"\xff", endless, b"[" * 100_000):
        path.write_bytes(content)
        with pytest.raises(DataError, match=r"query\.json is damaged.*delete it"):
            oracle_in(tmp_path).ask([query(0)])
        answer(tmp_path, query(0))
        later = oracle_in(tmp_path)
        assert list(later.poll()) == []
        assert "is damaged" in later.unread()[path]
    path.unlink()
    oracle_in(tmp_path).ask([query(0)])
    assert len(list(oracle_in(tmp_path).poll())) == 1


def test_unusable_arguments_are_refused(tmp_path):
    with pytest.raises(ConfigurationError, match="the format coco cannot hold classes of images"):
        FolderOracle(tmp_path, classes=LabelSpec(CLASSES, per="image"), also=["coco"])
    with pytest.raises(ConfigurationError, match="settle must be a finite number >= 0: got -1"):
        FolderOracle(tmp_path, classes=CLASSES, settle=-1)
    with pytest.raises(ConfigurationError, match=r"images must be a pool: got None.*images=pool"):
        FolderOracle(tmp_path, classes=CLASSES).ask([query(0)])
    with pytest.raises(DataError, match=r"nowhere must be an existing folder\. Try"):
        list(FolderOracle(tmp_path / "nowhere", classes=CLASSES).poll())
    (tmp_path / "file").write_text("")
    with pytest.raises(ConfigurationError, match=r"outbox must be a folder: got the file .*file\. Try: another folder"):
        oracle_in(tmp_path / "file")


def test_what_the_lead_tells_the_annotators_is_in_the_folder_and_follows_changes(tmp_path):
    told = "Draw the whole lesion.\n\nNot the halo."
    oracle = oracle_in(tmp_path, instructions=told)
    oracle.ask([query(0)])
    assert (tmp_path / "instructions.txt").read_text() == told
    assert json.loads((tmp_path / query(0).key / "query.json").read_text())["instructions"] == told
    assert list(oracle.poll()) == []
    assert oracle.unread() == {}
    assert not list(tmp_path.rglob("*.refused.txt"))
    oracle_in(tmp_path, instructions="Draw the halo, too.").ask([query(0)])
    assert (tmp_path / "instructions.txt").read_text() == "Draw the halo, too."
    oracle_in(tmp_path).ask([query(0)])
    assert not (tmp_path / "instructions.txt").exists()


def test_instructions_are_not_written_through_a_link(tmp_path):
    (tmp_path / "mine.txt").write_text("mine")
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "instructions.txt").symlink_to(tmp_path / "mine.txt")
    with pytest.raises(StoreError, match=r"instructions\.txt must be a file: got a symbolic link"):
        oracle_in(tmp_path / "out", instructions="Draw the halo, too.").ask([query(0)])
    assert (tmp_path / "mine.txt").read_text() == "mine"


def test_a_folder_in_the_place_of_the_instructions_is_an_error_that_names_it(tmp_path):
    (tmp_path / "instructions.txt").mkdir()
    for told in ("", "Draw the halo, too."):
        with pytest.raises(StoreError, match=r"instructions\.txt must be a file: got a folder"):
            oracle_in(tmp_path, instructions=told).ask([query(0)])
