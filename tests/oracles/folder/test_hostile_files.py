"""Files that a stranger put into an exchange folder: they lead nowhere, block nothing, and steer no terminal."""

from __future__ import annotations

import errno
import json
import os
import threading
import time
from pathlib import Path

import pytest
from exchange import CLASSES, LONG_AGO, answer, oracle_in, query

from alkit._reading.inside import leads_out, read_inside
from alkit.errors import StoreError, one_line
from alkit.oracles import FolderOracle
from alkit.oracles.folder import outbox
from alkit.oracles.folder.layout import contents
from alkit.oracles.folder.notes import how_to_answer, refusal
from alkit.values import Invalid, LabelSpec

SECRET = "the secret of the lead"

pytestmark = pytest.mark.skipif(os.name != "posix", reason="links and pipes of POSIX")


@pytest.fixture
def place(tmp_path):
    """Return an exchange folder with four queries; a secret lies beside it."""
    folder = tmp_path / "exchange"
    oracle_in(folder).ask([query(row) for row in range(4)])
    (folder / "ann").mkdir()
    (tmp_path / "secret").write_text(SECRET)
    os.utime(tmp_path / "secret", (LONG_AGO, LONG_AGO))
    return folder


def test_names_of_classes_steer_no_terminal_in_notes():
    spec = LabelSpec(("skin", "a\n\n\x1b[31m\u202e\ud800"))
    for note in (how_to_answer(query(0), spec, "."), refusal(query(0), spec, "no", prelabel=False)):
        assert r"1 a \x1b[31m\u202e\ud800" in note.decode()
        assert "\x1b" not in note.decode()


def polled(place):
    """Return everything that polling a folder can show or store."""
    oracle = FolderOracle(place, classes=CLASSES, settle=0)
    answers = list(oracle.poll())
    return answers, oracle.unread()


@pytest.mark.parametrize("ending", [".skip", ".withdrawn", ".png", ".tif", ".confirmed", ".json", ".xml"])
@pytest.mark.parametrize("relative", [False, True])
def test_a_link_that_leads_out_of_the_folder_is_not_read(place, ending, relative):
    link = place / "ann" / f"{query(0).key}{ending}"
    link.symlink_to("../../secret" if relative else place.parent / "secret")
    answers, unread = polled(place)
    assert answers == []
    assert "symbolic link that leads out of" in unread[link]
    assert SECRET not in repr(unread)


@pytest.mark.parametrize("name", ["ann", "query"])
def test_a_folder_that_is_a_link_leading_out_is_neither_read_nor_written(place, tmp_path, name):
    outside = tmp_path / "outside"
    outside.mkdir()
    if name == "ann":
        answer(tmp_path, query(0), b"not a mask", by="outside")
        (place / "eve").symlink_to(outside)
        answers, unread = polled(place)
        assert (answers, list(unread)) == ([], [place / "eve"])
        assert [path.name for path in outside.iterdir()] == [f"{query(0).key}.png"]
        return
    (place / query(7).key).symlink_to(outside)
    with pytest.raises(StoreError, match="symbolic link that leads out of"):
        oracle_in(place).ask([query(7)])
    oracle_in(place).cancelled([query(7)])
    assert list(outside.iterdir()) == []


def test_a_link_inside_the_folder_is_followed(place):
    answer(place, query(0), "no", ".skip", by="bob")
    (place / "ann" / f"{query(0).key}.skip").symlink_to(f"../bob/{query(0).key}.skip")
    answers, unread = polled(place)
    assert [one.annotator for one in answers] == ["ann", "bob"]
    assert unread == {}


@pytest.mark.parametrize("name", ["{key}.skip", "{key}.png", "{key}.confirmed", "all.json", "all.xml", "{key}.tiff"])
def test_a_pipe_does_not_block(place, name):
    os.mkfifo(place / "ann" / name.format(key=query(0).key))
    assert polled(place)[0] == []


@pytest.mark.parametrize("target", ["/dev/zero", "../../secret", None])
def test_a_note_that_is_a_link_or_a_pipe_is_not_followed(place, target):
    stray = place / "ann" / "strange.png"
    stray.write_bytes(b"x")
    os.utime(stray, (LONG_AGO, LONG_AGO))
    for note in (place / "ann" / "strange.png.refused.txt", place / "ann" / "gone.refused.txt"):
        os.mkfifo(note) if target is None else note.symlink_to(target)
    polled(place)
    assert (place.parent / "secret").read_text() == SECRET
    assert "was not read" in (place / "ann" / "strange.png.refused.txt").read_text()


@pytest.mark.parametrize("name", ["prelabel.png", "query.json"])
def test_a_pipe_in_the_folder_of_a_query_does_not_block(place, name):
    path = place / query(1).key / name
    path.unlink(missing_ok=True)
    os.mkfifo(path)
    polled(place)
    (place / "contact-sheet-r00.png").unlink()
    os.mkfifo(place / "contact-sheet-r00.png")
    (place / "r00-coco" / "images").mkdir(parents=True)
    os.mkfifo(place / "r00-coco" / "annotations.json")
    oracle_in(place, also=["coco"]).ask([query(0)])


def test_a_link_in_the_place_of_a_format_folder_is_not_written_to(place, tmp_path):
    outside = tmp_path / "outside"
    outside.mkdir()
    (place / "r00-coco").symlink_to(outside)
    with pytest.raises(StoreError, match="symbolic link that leads out of"):
        oracle_in(place, also=["coco"]).ask([query(0)])
    assert list(outside.iterdir()) == []


def test_a_link_that_is_swapped_in_after_the_check_is_not_followed(place, tmp_path, monkeypatch):
    path = place / "ann" / f"{query(0).key}.skip"
    path.write_text("no")

    def swap(real, place):
        path.unlink()
        path.symlink_to(tmp_path / "secret")
        return False

    monkeypatch.setattr("alkit._reading.inside.leads_out", swap)
    with pytest.raises(OSError) as caught:  # noqa: PT011 - the number is compared
        read_inside(path, place, 100)
    assert caught.value.errno == errno.ELOOP


def test_a_folder_that_is_swapped_while_files_are_read_never_leaks(place, tmp_path):
    outside = tmp_path / "outside"
    outside.mkdir()
    (outside / "a").write_text(SECRET)
    inner, end = place / "inner", time.monotonic() + 1
    inner.mkdir()
    (inner / "a").write_text("harmless")

    def swap():
        while time.monotonic() < end:
            inner.rename(place / "away")
            inner.symlink_to(outside)
            inner.unlink()
            (place / "away").rename(inner)
            time.sleep(0.0005)

    swapping = threading.Thread(target=swap)
    swapping.start()
    read = set()
    while time.monotonic() < end:
        try:
            read.add(read_inside(inner / "a", place, 100))
        except OSError as reason:
            read.add(reason.errno)
    swapping.join()
    assert SECRET.encode() not in read
    assert b"harmless" in read


def test_a_file_without_end_or_of_another_kind_is_refused(place):
    for path, folder, words in [
        (Path("/dev/zero"), Path("/dev"), "not a regular file"),
        (place, place.parent, "not a regular file"),
        (place / query(0).key / "query.json", place, "more than 10 bytes"),
    ]:
        with pytest.raises(OSError, match=words):
            read_inside(path, folder, 10)


@pytest.mark.parametrize("claimed", [16, 10**9])
def test_a_mask_far_larger_than_its_image_is_not_read(place, claimed):
    facts = place / query(0).key / "query.json"
    said = json.loads(facts.read_text())
    facts.write_text(json.dumps({**said, "sizes_allowed": [{"height": claimed, "width": claimed}]}))
    path = place / "ann" / f"{query(0).key}.png"
    with path.open("wb") as file:
        file.truncate(2**40)
    os.utime(path, (LONG_AGO, LONG_AGO))
    ((one,), _) = polled(place)
    assert isinstance(one.label, Invalid)
    assert "it has more than" in one.label.reason


def test_the_name_of_an_annotator_has_no_control_characters(place):
    for name in ("a\x1b[2Jb", "a\nb", "ab\u202e"):
        answer(place, query(0), "no", ".skip", by=name)
    answers, unread = polled(place)
    assert answers == []
    assert set(unread.values()) == {"the name of this folder must be Unicode text without control characters"}


def test_folders_of_people_that_links_put_into_themselves_are_read_once(place, monkeypatch):
    read = []
    monkeypatch.setattr(outbox, "contents", lambda folder, *more: read.append(folder) or contents(folder, *more))
    for name in ("for-a", "for-b"):  # 2 ** 40 paths lead back
        (place / name).symlink_to(".")
    assert not outbox.has_queries(place, "another campaign")
    assert len(read) == 4
    oracle_in(place).ask([query(1)])


@pytest.mark.parametrize("target", ["/dev/zero", "../../secret", None])
def test_a_note_about_a_review_that_is_a_link_or_a_pipe_is_not_read(place, target):
    note = place / "ann" / f"{query(0).key}.reviewed.txt"
    os.mkfifo(note) if target is None else note.symlink_to(target)
    oracle_in(place).reviewed(query(0), "ann", "kept")
    assert (place.parent / "secret").read_text() == SECRET
    assert note.is_symlink() or note.read_text() == "kept"


def test_a_file_that_grew_in_the_place_of_the_instructions_is_not_read(place):
    with (place / "instructions.txt").open("wb") as file:
        file.truncate(2**40)  # with a gap, it takes no room on the disk
    oracle_in(place, instructions="Draw the lesion.").ask([query(0)])
    assert (place / "instructions.txt").read_text() == "Draw the lesion."


def test_leads_out_of_a_folder_whose_name_only_begins_alike(tmp_path):
    assert leads_out(tmp_path / "a" / ".." / "ab", tmp_path / "a")
    assert not leads_out(tmp_path / "a" / "b" / ".." / "c", tmp_path / "a")
    assert not leads_out(tmp_path / "a", tmp_path / "a")


@pytest.mark.parametrize(
    ("text", "line"),
    [
        ("hair\r\n\tin front", "hair in front"),
        ("\x1b]0;title\x07", "\\x1b]0;title\\x07"),
        ("\x9b2J\x85x", "\\x9b2J x"),
        ("a\u202egnp.exe", "a\\u202egnp.exe"),
        ("a\u2066b\u200bc\ufeff", "a\\u2066b\\u200bc\\ufeff"),
        ("a\udcffb", "a\\udcffb"),
        ("zu dünn  皮膚 👩\u200d🔬 نمی\u200cخواهم", "zu dünn  皮膚 👩\u200d🔬 نمی\u200cخواهم"),
    ],
)
def test_text_from_outside_is_one_line_without_control_characters(text, line):
    assert one_line(text) == line
