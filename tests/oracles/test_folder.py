"""Queries go out as files and answers come back as files; nothing of a person's is lost or written over."""

from __future__ import annotations

import json
import os
import threading
import time
from pathlib import Path

import numpy as np
import pytest
import tifffile
from PIL import Image

import alkit
from alkit.errors import ConfigurationError, DataError, ImageError, LabelError, StoreError, UnknownNameError
from alkit.labels.masks import mask_values, read_mask
from alkit.oracles import FolderOracle
from alkit.oracles.folder import oracle as module
from alkit.protocols import Oracle
from alkit.testing import OracleKit
from alkit.values import Answer, Invalid, LabelSpec, Query, Skip, Withdrawal

CLASSES = ("skin", "lesion")
IMAGES, MASKS = alkit.synthetic.lesions(6, size=16, seed=3)
POOL = alkit.ArrayPool(IMAGES)
LONG_AGO = 1_700_000_000


def query(row, round=0, rank=None, **more):
    return Query(f"{row:04}", round=round, rank=row if rank is None else rank, sizes=((16, 16),), **more)


def oracle_in(place, **arguments):
    return FolderOracle(place, **{"classes": CLASSES, "images": POOL, "settle": 0, **arguments})


def answer(place, query, content=None, ending=".png", by="ann", at=LONG_AGO):
    """Write an answer as a person does, long ago."""
    path = place / by / f"{query.key}{ending}"
    path.parent.mkdir(parents=True, exist_ok=True)
    if isinstance(content, bytes | str):
        path.write_bytes(content.encode() if isinstance(content, str) else content)
    elif ending.lower() in (".tif", ".tiff"):
        tifffile.imwrite(path, content)
    else:
        Image.fromarray(MASKS[int(query.id)] if content is None else content).save(path)
    os.utime(path, (at, at))
    return path


def everything(place):
    """Return all files with their contents and times of change."""
    files = sorted(path for path in place.rglob("*") if path.is_file())
    return {path: (path.read_bytes(), path.stat().st_mtime_ns) for path in files}


# Asking.


def test_a_query_becomes_a_folder_with_the_image_what_it_is_for_and_where_its_answer_goes(tmp_path):
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
    assert "in ../in and save" in text
    assert "r02-0004-0003.png        the mask: 0 skin, 1 lesion, 255 ignored" in text


@pytest.mark.parametrize("inbox", [None, "in", "out/answers"])
def test_what_is_said_of_where_answers_go_is_true(tmp_path, inbox):
    oracle = oracle_in(tmp_path / "out", inbox=None if inbox is None else tmp_path / inbox)
    oracle.ask([query(1)])
    folder = tmp_path / "out" / query(1).key
    place = folder / json.loads((folder / "query.json").read_text())["answer"]["mask"].replace("YOUR_NAME", "ann")
    place.parent.mkdir()
    Image.fromarray(MASKS[1]).save(place)
    assert [(got.id, got.annotator) for got in oracle.poll()] == [("0001", "ann")]


def test_a_file_of_an_image_is_handed_over_byte_for_byte_and_upright_where_it_lies_on_its_side(tmp_path):
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


def test_an_image_that_is_gone_is_named(tmp_path):
    (tmp_path / "images").mkdir()
    Image.fromarray(IMAGES[0, 0]).save(tmp_path / "images" / "0000.png")
    pool = alkit.ImagePool(tmp_path / "images")
    (tmp_path / "images" / "0000.png").unlink()
    with pytest.raises(ImageError, match=r"0000\.png cannot be read"):
        oracle_in(tmp_path / "out", images=pool).ask([query(0)])


@pytest.mark.parametrize("channels", [1, 2, 3, 5])
def test_the_working_image_is_handed_over_where_there_is_no_file(tmp_path, channels):
    pixels = np.random.default_rng(0).integers(256, size=(1, channels, 8, 9), dtype=np.uint8)
    oracle_in(tmp_path, images=alkit.ArrayPool(pixels)).ask([query(0)])
    shown = np.asarray(Image.open(tmp_path / query(0).key / "image.png"))
    np.testing.assert_array_equal(shown, pixels[0, 0] if channels < 3 else pixels[0, :3].transpose(1, 2, 0))


def test_a_prelabel_holds_class_ids_in_colours_and_never_lies_in_the_inbox(tmp_path):
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


def test_a_contact_sheet_shows_each_round_and_later_queries_of_a_round_get_one_of_their_own(tmp_path):
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


def test_asking_again_changes_nothing_even_of_what_a_person_changed(tmp_path):
    queries = [query(row) for row in range(4)]
    oracle_in(tmp_path, prelabels={"0001": MASKS[1]}).ask(queries)
    for path in (tmp_path / "how-to-answer.txt", tmp_path / "contact-sheet-r00.png"):
        path.write_bytes(b"mine")
    (tmp_path / queries[1].key / "prelabel.png").write_bytes(b"painted over")
    (tmp_path / queries[2].key / "image.png").rename(tmp_path / queries[2].key / "image.tif")
    mine = everything(tmp_path)
    oracle_in(tmp_path, prelabels={"0001": 1 - MASKS[1]}).ask(queries)
    now = everything(tmp_path)
    assert now.keys() - mine.keys() == {tmp_path / "contact-sheet-r00-2.png"}  # nobody knows what the first shows now
    assert {path: now[path] for path in mine} == mine
    oracle_in(tmp_path).ask(queries)
    assert everything(tmp_path) == now


def test_what_was_cut_short_at_any_file_is_completed_by_asking_again(tmp_path, monkeypatch):
    queries = [query(row) for row in range(3)]
    prelabels = {one.id: MASKS[int(one.id)] for one in queries}
    oracle_in(tmp_path / "whole", prelabels=prelabels).ask(queries)
    whole = {
        path.relative_to(tmp_path / "whole"): content for path, (content, _) in everything(tmp_path / "whole").items()
    }
    write, written = module.write_atomically, []

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
        monkeypatch.setattr(module, "write_atomically", killed_at(n))
        with pytest.raises(KeyboardInterrupt):
            oracle_in(place, prelabels=prelabels).ask(queries)
        for folder in place.glob("r00-*"):
            assert not (folder / "query.json").exists() or len(list(folder.iterdir())) == 3
        monkeypatch.setattr(module, "write_atomically", write)
        oracle_in(place, prelabels=prelabels).ask(queries)
        assert {path.relative_to(place): content for path, (content, _) in everything(place).items()} == whole


def test_a_folder_of_another_campaign_is_not_mixed_with_this_one(tmp_path):
    oracle_in(tmp_path).ask([query(0)])
    before = everything(tmp_path)
    other = Query("0000", 0, 0, ((8, 9),))
    with pytest.raises(ConfigurationError, match=r"another query of the same name.*16 x 16 pixels.*9 x 8 pixels"):
        oracle_in(tmp_path).ask([query(1), other])
    assert everything(tmp_path) == before


def test_a_folder_that_another_campaign_uses_is_refused_whatever_is_in_it(tmp_path):
    oracle_in(tmp_path, campaign="one").ask([query(0)])
    answer(tmp_path, query(0))
    before = everything(tmp_path)
    other = oracle_in(tmp_path, campaign="other", queries=[query(0), query(1)])
    for step in (lambda: other.ask([query(1)]), lambda: list(other.poll()), lambda: other.cancelled([query(0)])):
        with pytest.raises(ConfigurationError, match=r"another campaign: got r00-0000-0000 of campaign 'one'"):
            step()
    assert everything(tmp_path) == before
    assert [one.id for one in oracle_in(tmp_path, campaign="one").poll()] == ["0000"]


def test_a_withdrawn_query_says_so_in_its_folder_and_its_answer_is_still_read(tmp_path):
    oracle_in(tmp_path).ask([query(0)])
    answer(tmp_path, query(0))
    oracle = oracle_in(tmp_path)
    oracle.cancelled([query(0), query(1)])
    assert "No longer asked for" in (tmp_path / query(0).key / "withdrawn.txt").read_text()
    assert not (tmp_path / query(1).key).exists()
    assert [one.id for one in oracle.poll()] == ["0000"]
    assert oracle.unread() == {}


def test_a_damaged_query_is_named_and_not_written_over(tmp_path):
    oracle_in(tmp_path).ask([query(0)])
    path = tmp_path / query(0).key / "query.json"
    whole = path.read_bytes()
    endless = whole.replace(b'"rank": 0', b'"rank": 1e999')
    for content in (b"{", b"[]", b'{"version": 2}', b"\xff", endless, b"[" * 100_000):
        path.write_bytes(content)
        with pytest.raises(DataError, match=r"query\.json is no longer what alkit wrote.*remove it"):
            oracle_in(tmp_path).ask([query(0)])
        answer(tmp_path, query(0))
        later = oracle_in(tmp_path)
        assert list(later.poll()) == []
        assert "is no longer what alkit wrote" in later.unread()[path]
    path.unlink()
    oracle_in(tmp_path).ask([query(0)])
    assert len(list(oracle_in(tmp_path).poll())) == 1


def test_arguments_that_cannot_work_are_refused(tmp_path):
    with pytest.raises(ConfigurationError, match="answers in files are masks"):
        FolderOracle(tmp_path, classes=LabelSpec(CLASSES, per="image"))
    with pytest.raises(ConfigurationError, match=r"no pool to take the images from.*images=pool"):
        FolderOracle(tmp_path, classes=CLASSES).ask([query(0)])
    with pytest.raises(DataError, match="no such folder of answers"):
        list(FolderOracle(tmp_path / "nowhere", classes=CLASSES).poll())
    (tmp_path / "file").write_text("")
    with pytest.raises(StoreError, match="cannot"):
        oracle_in(tmp_path / "file").ask([query(0)])


# Fetching.


def test_answers_are_understood_where_the_queries_are_known_from_elsewhere(tmp_path):
    asked = query(3)
    answer(tmp_path / "in", asked)
    oracle = FolderOracle(tmp_path / "in", classes=CLASSES, queries=[asked])
    assert [one.id for one in oracle.poll()] == ["0003"]
    assert list(FolderOracle(tmp_path / "in", classes=CLASSES).poll()) == []


@pytest.fixture
def place(tmp_path):
    """Return a folder with six queries in it."""
    oracle_in(tmp_path).ask([query(row) for row in range(6)])
    return tmp_path


def test_each_annotators_masks_skips_and_withdrawals_are_read_in_another_process(place):
    answer(place, query(0))
    answer(place, query(0), MASKS[0].astype(np.int64), ".tif", by="Bea Ü", at=LONG_AGO + 1)
    answer(place, query(1), "out of\nfocus\n", ".skip")
    answer(place, query(2), "", ".skip")
    answer(place, query(3), "mixed up", ".withdrawn")
    answer(place, query(4), MASKS[4] * 255, ".PNG")
    answer(place, query(5), MASKS[5], ".tiff")
    answers = list(FolderOracle(place, classes=CLASSES, settle=0).poll())
    assert [(one.annotator, one.id) for one in answers] == [
        ("Bea Ü", "0000"),
        *(("ann", f"{row:04}") for row in range(6)),
    ]
    assert [one.label for one in answers[2:5]] == [Skip("out of\nfocus"), Skip(""), Withdrawal("mixed up")]
    for one in (answers[0], answers[1], answers[5], answers[6]):
        np.testing.assert_array_equal(one.label, MASKS[int(one.id)])
        assert not one.confirmed
    assert [one.revision for one in answers[:2]] == [(LONG_AGO + 1) * 10**9, LONG_AGO * 10**9]


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16"])
def test_a_reason_is_read_as_editors_write_it(place, encoding):
    answer(place, query(0), "zu dünn".encode(encoding), ".skip")
    assert [one.label for one in oracle_in(place).poll()] == [Skip("zu dünn")]


@pytest.mark.parametrize(
    ("content", "reason"), [(b"\xff\x00\xd8", "something else than text"), (b"x" * 20_000, "too many for a reason")]
)
def test_a_reason_that_is_no_text_is_invalid(place, content, reason):
    answer(place, query(0), content, ".skip")
    (got,) = oracle_in(place).poll()
    assert reason in got.label.reason


def test_polling_twice_says_the_same_and_touches_nothing(place):
    answer(place, query(0))
    answer(place, query(1), "no", ".skip")
    oracle, before = oracle_in(place), everything(place)
    first, second = list(oracle.poll()), list(oracle.poll())
    assert [(one.id, one.revision) for one in first] == [(one.id, one.revision) for one in second]
    assert everything(place) == before


def test_a_file_is_left_alone_until_it_is_at_rest(place):
    path = answer(place, query(0), at=time.time())
    oracle = oracle_in(place, settle=0.5)
    assert list(oracle.poll()) == []
    assert (
        "it may be half-written: it has just changed, and is read when it was left alone 0.5 s"
        in (oracle.unread()[path])
    )
    deadline = time.monotonic() + 10
    while not (answers := list(oracle.poll())) and time.monotonic() < deadline:
        time.sleep(0.05)
    assert [one.id for one in answers] == ["0000"]
    assert time.time() - path.stat().st_mtime >= 0.5
    assert oracle.unread() == {}


def test_a_file_from_the_future_is_read_at_once(place):
    answer(place, query(0), at=time.time() + 7200)
    assert [one.id for one in oracle_in(place, settle=2).poll()] == ["0000"]


def test_a_file_that_changes_while_it_is_read_is_left_for_the_next_time(place, monkeypatch):
    path = answer(place, query(0))

    def values(content, name):
        os.utime(path, (LONG_AGO + 9, LONG_AGO + 9))
        return mask_values(content, name)

    monkeypatch.setattr(module, "mask_values", values)
    oracle = oracle_in(place)
    assert list(oracle.poll()) == []
    assert [one.revision for one in oracle.poll()] == [(LONG_AGO + 9) * 10**9]


def test_a_file_that_goes_while_it_is_read_is_no_answer(place, monkeypatch):
    path = answer(place, query(0))

    def values(content, name):
        path.unlink()
        return mask_values(content, name)

    monkeypatch.setattr(module, "mask_values", values)
    assert list(oracle_in(place).poll()) == []


def test_hidden_temporary_and_empty_files_are_no_answers(place):
    answer(place, query(0), b"", ".png")
    for name in (
        f".{query(1).key}.png",
        f"{query(1).key}.png.tmp",
        f"~{query(1).key}.png",
        f"{query(1).key}.png~",
        "Thumbs.db",
    ):
        (place / "ann" / name).write_bytes(b"x")
    (place / ".hidden").mkdir()
    (place / ".hidden" / f"{query(1).key}.png").write_bytes(b"x")
    oracle = oracle_in(place)
    assert list(oracle.poll()) == []
    assert oracle.unread() == {place / "ann" / f"{query(0).key}.png": "it is empty"}


def test_what_is_no_answer_is_reported_and_stops_nothing(place):
    good = answer(place, query(0))
    Image.fromarray(MASKS[1]).save(place / f"{query(1).key}.png")
    Image.fromarray(MASKS[1]).save(place / query(1).key / "mask.png")
    (place / "ann" / "notes.docx").write_text("")
    (place / "ann" / "r09-0000-what.png").write_text("x")
    (place / "ann" / "more").mkdir()
    (place / "ann" / "gone.png").symlink_to("nowhere")
    (place / "ann" / f"{query(4).key}.png").symlink_to("nowhere")
    answer(place, query(2), "", ".confirmed")
    answer(place, query(3), b"", ".skip")
    answer(place, query(3), "", ".confirmed")
    (place / "ann" / "query.json").write_bytes((place / query(3).key / "query.json").read_bytes())
    oracle = oracle_in(place)
    assert [one.id for one in oracle.poll()] == ["0000", "0003"]
    said = {str(path.relative_to(place)): why for path, why in oracle.unread().items()}
    assert said == {
        f"{query(1).key}.png": "answers belong in a folder that bears the annotator's name",
        f"{query(1).key}/mask.png": f"this is the folder of a query; answers go to {place}/NAME/{query(1).key}.png",
        "ann/notes.docx": "no answer ends like this, but in .png .tif .tiff .skip .withdrawn .json .xml",
        "ann/query.json": "this says what was asked, and is no answer",
        "ann/r09-0000-what.png": f"there is no query 'r09-0000-what' in {place}",
        "ann/gone.png": "this is no file",
        f"ann/{query(4).key}.png": "this is no file",
        "ann/more": "folders inside an annotator's folder are not looked into",
        f"ann/{query(2).key}.confirmed": "there is no mask beside it",
        f"ann/{query(3).key}.confirmed": "there is no mask beside it",
    }
    assert good.exists()


def test_a_prelabel_corrected_where_it_lies_is_noticed(tmp_path):
    oracle = oracle_in(tmp_path, prelabels={"0000": MASKS[0]})
    oracle.ask([query(0)])
    assert oracle.unread() == {}
    path = tmp_path / query(0).key / "prelabel.png"
    Image.open(path).save(path)
    assert "somebody changed this pre-label; answers go to" in oracle.unread()[path]


def test_answers_that_lie_in_a_copy_of_a_querys_folder_are_noticed(tmp_path):
    oracle = oracle_in(tmp_path / "out", inbox=tmp_path / "in")
    oracle.ask([query(0)])
    (tmp_path / "in" / query(0).key).mkdir()
    (tmp_path / "in" / query(0).key / "mine.png").write_bytes(b"x")
    assert list(oracle.poll()) == []
    assert list(oracle.unread()) == [tmp_path / "in" / query(0).key / "mine.png"]


@pytest.mark.parametrize("content", [b"rubbish", "cut", np.zeros((16, 16, 3), np.uint8)])
def test_a_mask_that_cannot_be_read_is_invalid_with_the_reason(place, content):
    path = answer(place, query(0), None if isinstance(content, str) else content)
    if isinstance(content, str):
        path.write_bytes(path.read_bytes()[:60])
    answer(place, query(1))
    bad, good = oracle_in(place).poll()
    assert isinstance(bad.label, Invalid)
    assert f"{query(0).key}.png" in bad.label.reason
    assert bad.revision == path.stat().st_mtime_ns
    np.testing.assert_array_equal(good.label, MASKS[1])


def test_a_mask_of_another_size_or_class_is_left_for_the_experiment_to_refuse(place):
    answer(place, query(0), MASKS[0][:5])
    answer(place, query(1), np.full((16, 16), 7, np.uint8))
    assert [one.label.shape for one in oracle_in(place).poll()] == [(5, 16), (16, 16)]


@pytest.mark.parametrize(
    ("endings", "valid"),
    [
        ((".png", ".tif"), False),
        ((".png", ".skip"), False),
        ((".tiff", ".withdrawn"), False),
        ((".skip", ".withdrawn"), False),
        ((".png", ".tiff"), True),
    ],
)
def test_two_answers_to_one_query_are_invalid_unless_they_agree(place, endings, valid):
    contents = {".skip": "no", ".withdrawn": "no", ".png": MASKS[0] * 255}
    for later, ending in enumerate(endings):
        answer(place, query(0), contents.get(ending, MASKS[0] if valid else 1 - MASKS[0]), ending, at=LONG_AGO + later)
    (got,) = oracle_in(place).poll()
    assert got.revision == (LONG_AGO + 1) * 10**9
    if valid:
        np.testing.assert_array_equal(got.label, MASKS[0])
    else:
        assert f"{query(0).key}{endings[0]} and {query(0).key}{endings[1]}" in got.label.reason


def test_names_that_differ_in_case_only_are_told_apart(place):
    answer(place, query(0), MASKS[0], ".PNG")
    answer(place, query(0), MASKS[0], ".png")
    oracle = oracle_in(place)
    assert len(list(oracle.poll())) == 1
    assert list(oracle.unread().values()) == [f"there is {query(0).key}.PNG already"]


def test_a_confirmation_beside_a_mask_confirms_it_and_is_a_later_revision(place):
    answer(place, query(0))
    answer(place, query(0), "", ".confirmed", at=LONG_AGO + 5)
    (got,) = oracle_in(place).poll()
    assert got.confirmed
    assert got.revision == (LONG_AGO + 5) * 10**9


# Notes.


def test_a_refused_answer_has_a_note_beside_it_until_the_next_time_and_stays_as_it_is(place):
    path = answer(place, query(0), MASKS[0][:5])
    content, oracle = path.read_bytes(), oracle_in(place)
    (got,) = oracle.poll()
    oracle.refused(got, "it is too small")
    note = place / "ann" / f"{query(0).key}.refused.txt"
    text = note.read_text()
    assert "Why: it is too small" in text
    assert f"What to do: save it anew as {query(0).key}.png. A mask is 16 x 16 pixels, one channel of 0 skin, 1" in text
    assert path.read_bytes() == content
    assert oracle.unread() == {}
    answer(place, query(0), at=LONG_AGO + 5)
    later = oracle_in(place)
    assert len(list(later.poll())) == 1
    assert not note.exists()


def test_a_note_about_an_answer_that_is_gone_goes_too_and_one_about_an_unsettled_one_stays(place):
    for row in (0, 1):
        answer(place, query(row), "?", ".refused.txt")
    answer(place, query(1), at=time.time())
    assert list(oracle_in(place, settle=60).poll()) == []
    assert not (place / "ann" / f"{query(0).key}.refused.txt").exists()
    assert (place / "ann" / f"{query(1).key}.refused.txt").exists()


def test_an_answer_from_elsewhere_and_a_folder_nobody_may_write_to_stop_nothing(place, monkeypatch, caplog):
    answer(place, query(0), b"rubbish")
    oracle = oracle_in(place)
    oracle.refused(Answer("0000", Invalid("x"), "ann", 5), "it came from elsewhere")
    (got,) = oracle.poll()

    def refuse(path, content):
        raise StoreError("read-only")

    monkeypatch.setattr(module, "write_atomically", refuse)
    oracle.refused(got, "why")
    assert "nobody is told why the answer for 0000 was refused: read-only" in caplog.text
    assert [path.name for path in (place / "ann").iterdir()] == [f"{query(0).key}.png"]


# Files of annotations.

form = pytest.mark.parametrize(("name", "ending"), [("coco", ".json"), ("cvat", ".xml")])


@form
def test_queries_are_written_in_other_formats_besides_and_answers_in_them_are_read(tmp_path, name, ending):
    queries = [query(row) for row in range(3)]
    oracle = oracle_in(tmp_path, also=[name], prelabels={"0001": MASKS[1], "0002": MASKS[2]})
    oracle.ask(queries)
    there = everything(tmp_path)
    oracle_in(tmp_path, also=[name]).ask(queries)
    assert everything(tmp_path) == there
    assert list(oracle.poll()) == []  # neither images nor pre-labels are answers
    assert oracle.unread() == {}
    written = tmp_path / f"r00-{name}" / f"annotations{ending}"
    for annotator, at in (("ann", LONG_AGO), ("ben", LONG_AGO + 1)):
        (tmp_path / annotator).mkdir()
        (tmp_path / annotator / f"export{ending.upper()}").write_bytes(written.read_bytes())
        os.utime(tmp_path / annotator / f"export{ending.upper()}", (at, at))
    answer(tmp_path, query(0), "blurred", ".skip")
    got = list(FolderOracle(tmp_path, classes=CLASSES, settle=0).poll())
    assert [(one.annotator, one.id) for one in got] == [
        ("ann", "0000"),
        ("ann", "0001"),
        ("ann", "0002"),
        ("ben", "0001"),
        ("ben", "0002"),
    ]
    np.testing.assert_array_equal(got[4].label, MASKS[2])
    assert got[4].revision == (LONG_AGO + 1) * 10**9
    empty = [one for one in oracle_in(tmp_path, empty="background").poll() if one.annotator == "ben"]
    assert [one.label.any() for one in empty] == [False, True, True]


@form
def test_a_file_of_annotations_is_confirmed_as_a_whole_by_a_file_beside_it(tmp_path, name, ending):
    oracle = oracle_in(tmp_path, also=[name], prelabels={"0001": MASKS[1], "0002": MASKS[2]})
    oracle.ask([query(row) for row in range(3)])
    (tmp_path / "ann").mkdir()
    file, confirmation = (tmp_path / "ann" / f"export{ending}{more}" for more in ("", ".confirmed"))
    confirmation.touch()
    assert oracle.unread() == {confirmation: "there is no such file beside it"}
    (tmp_path / f"r00-{name}" / f"annotations{ending}").rename(file)
    for path, at in ((file, LONG_AGO), (confirmation, LONG_AGO + 9)):
        os.utime(path, (at, at))
    got = list(oracle.poll())
    assert [(one.id, one.confirmed, one.revision) for one in got] == [
        (id, True, (LONG_AGO + 9) * 10**9) for id in ("0001", "0002")
    ]
    assert oracle.unread() == {}
    confirmation.unlink()
    assert [one.confirmed for one in oracle.poll()] == [False, False]


@form
def test_a_file_of_annotations_is_left_alone_until_it_is_at_rest_and_reported_where_it_is_none(place, name, ending):
    path = answer(place, query(0), "{", ending)
    oracle = oracle_in(place)
    assert list(oracle.poll()) == []
    assert "no COCO file" in oracle.unread()[path] or "no file of CVAT for images" in oracle.unread()[path]
    os.utime(path)
    oracle = oracle_in(place, settle=60)
    assert list(oracle.poll()) == []
    assert "may be half-written" in oracle.unread()[path]
    path.rename(place / path.name)
    assert list(oracle.unread().values()) == ["answers belong in a folder that bears the annotator's name"]


@form
def test_an_experiment_says_beside_a_file_of_annotations_what_it_did_not_take(tmp_path, world, name, ending):
    experiment = world.experiment(classes=CLASSES)
    ids = experiment.ask(3)
    asked = experiment.queries()
    experiment.send(oracle_in(tmp_path, images=world.pool))
    masks = {ids[0]: world.masks[ids[0]], **{id: world.masks[id][:8, :8] for id in ids[1:]}}
    cut = [Query(one.id, one.round, one.rank, (masks[one.id].shape,)) for one in asked]
    (export,) = module.FORMATS[name].write(tmp_path / "tool" / "x", cut, world.pool, LabelSpec(CLASSES), masks)
    (tmp_path / "ann").mkdir()
    path = tmp_path / "ann" / f"export{ending}"
    path.write_bytes(export.read_bytes())
    os.utime(path, (LONG_AGO, LONG_AGO))
    oracle, note = oracle_in(tmp_path), tmp_path / "ann" / f"export{ending}.refused.txt"
    assert [one.id for one in experiment.collect(oracle).taken] == [ids[0]]
    said = note.read_text()
    assert all(said.count(f"{id}: ") == 1 for id in ids[1:])
    assert "is 8 x 8, not 16 x 16" in said
    for again in (oracle, oracle_in(tmp_path)):
        assert not experiment.collect(again).taken
        assert note.read_text() == said
        assert note not in again.unread()

    (export,) = module.FORMATS[name].write(tmp_path / "tool" / "y", asked, world.pool, LabelSpec(CLASSES), world.masks)
    path.write_bytes(export.read_bytes())
    os.utime(path, (LONG_AGO + 1, LONG_AGO + 1))
    assert {one.id for one in experiment.collect(oracle_in(tmp_path)).taken} >= set(ids[1:])
    assert not note.exists()
    assert experiment.open_ids == ()
    note.write_text("left behind")
    path.unlink()
    list(oracle.poll())
    assert not note.exists()


def test_a_format_that_there_is_not_is_refused(tmp_path):
    with pytest.raises(UnknownNameError, match=r"no such format: got 'coko'\. Try: 'coco'"):
        oracle_in(tmp_path, also=["coko"])


# With an experiment.


def test_an_experiment_takes_what_is_right_and_says_beside_the_rest_why_not(tmp_path, world):
    experiment = world.experiment(classes=CLASSES)
    ids = experiment.ask(4)
    asked = {one.id: one for one in experiment.queries()}
    oracle = oracle_in(tmp_path, images=world.pool)
    experiment.send(oracle)
    answer(tmp_path, asked[ids[0]], world.masks[ids[0]] * 255)
    answer(tmp_path, asked[ids[1]], np.full((16, 16), 7, np.uint8))
    answer(tmp_path, asked[ids[2]], "blurred", ".skip")
    answer(tmp_path, asked[ids[3]], np.zeros((16, 16, 3), np.uint8))
    before = everything(tmp_path)
    receipt = experiment.collect(oracle)
    assert {one.id for one in receipt.taken} == {ids[0], ids[2]}
    notes = everything(tmp_path).keys() - before.keys()
    assert notes == {tmp_path / "ann" / f"{asked[id].key}.refused.txt" for id in (ids[1], ids[3])}
    assert "values outside its classes" in (tmp_path / "ann" / f"{asked[ids[1]].key}.refused.txt").read_text()
    assert "is a picture, not a label map" in (tmp_path / "ann" / f"{asked[ids[3]].key}.refused.txt").read_text()

    again = experiment.collect(oracle_in(tmp_path, images=world.pool))
    assert not again.taken
    assert {path: content for path, content in everything(tmp_path).items() if path in before} == before
    assert experiment.open_ids == (ids[1], ids[3])

    for id in (ids[1], ids[3]):
        answer(tmp_path, asked[id], world.masks[id], at=LONG_AGO + 1)
    experiment.collect(oracle_in(tmp_path))
    assert experiment.open_ids == ()
    assert everything(tmp_path).keys() == before.keys()
    assert experiment.fit().n_labels == 3


def test_an_untouched_prelabel_is_refused_until_somebody_confirms_it(tmp_path, world):
    experiment = world.experiment(classes=CLASSES)
    experiment.tell({id: world.masks[id] for id in experiment.ask(3)})
    experiment.fit()
    (id,) = experiment.ask(1)
    (asked,) = experiment.queries()
    experiment.send(oracle_in(tmp_path, images=world.pool, prelabels=experiment.prelabels()))
    (tmp_path / "ann").mkdir()
    copy = tmp_path / "ann" / f"{asked.key}.png"
    copy.write_bytes((tmp_path / asked.key / "prelabel.png").read_bytes())
    receipt = experiment.collect(oracle_in(tmp_path))
    assert [reason for _, reason in receipt.refused if "pre-label, untouched" in reason]
    assert f"an empty file {asked.key}.confirmed" in (tmp_path / "ann" / f"{asked.key}.refused.txt").read_text()
    (tmp_path / "ann" / f"{asked.key}.confirmed").touch()
    assert [one.id for one in experiment.collect(oracle_in(tmp_path)).taken] == [id]
    assert not (tmp_path / "ann" / f"{asked.key}.refused.txt").exists()


class TestFolderOracle(OracleKit):
    at_once = 10.0  # the contact sheet of the first query brings Matplotlib with it

    @pytest.fixture
    def oracle(self, tmp_path):
        """Return an oracle whose annotator answers with the query's image, thresholded, as soon as a query is there."""
        over = threading.Event()

        def annotate():
            while not over.wait(0.02):
                for folder in tmp_path.glob("out/*/query.json"):
                    if (place := tmp_path / "in" / "ann" / f"{folder.parent.name}.png").exists():
                        continue
                    place.parent.mkdir(parents=True, exist_ok=True)
                    image = np.asarray(Image.open(folder.parent / "image.png"))
                    Image.fromarray((image > image.mean()).astype(np.uint8)).save(place.parent / ".saving", "PNG")
                    (place.parent / ".saving").rename(place)

        thread = threading.Thread(target=annotate)
        thread.start()
        (tmp_path / "in").mkdir()
        yield FolderOracle(tmp_path / "out", tmp_path / "in", classes=CLASSES, images=POOL, settle=0.05)
        over.set()
        thread.join()

    @pytest.fixture
    def queries(self):
        return [query(0), query(1), query(2)]


class Tool(FolderOracle):
    """People who find every pre-label right as it is, and export it."""

    def poll(self):
        for file in Path(self.outbox).glob("r00-c*/annotations.*"):
            (Path(self.outbox) / "ann").mkdir(exist_ok=True)
            (Path(self.outbox) / "ann" / file.name).write_bytes(file.read_bytes())
        yield from super().poll()


class ByFile(OracleKit):
    at_once = 10.0
    name = ""

    @pytest.fixture
    def oracle(self, tmp_path):
        prelabels = {f"{row:04}": mask for row, mask in enumerate(MASKS)}
        return Tool(tmp_path, classes=CLASSES, images=POOL, prelabels=prelabels, also=[self.name], settle=0)

    @pytest.fixture
    def queries(self):
        return [query(0), query(1), query(2)]


class TestCoco(ByFile):
    name = "coco"


class TestCvat(ByFile):
    name = "cvat"
