"""Answers are read from files that are at rest, and refused answers get a note."""

from __future__ import annotations

import os
import time
from itertools import count

import numpy as np
import pytest
from exchange import CLASSES, LONG_AGO, MASKS, answer, everything, oracle_in, query
from PIL import Image

from alkit.errors import StoreError
from alkit.oracles import FolderOracle
from alkit.oracles.folder import layout, reading
from alkit.oracles.folder import oracle as module
from alkit.oracles.saved_masks import answered_mask
from alkit.values import Answer, Invalid, Skip, Withdrawal


def test_answers_can_be_read_without_an_outbox_if_the_queries_are_given(tmp_path):
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
    ("content", "reason"), [(b"\xff\x00\xd8", "must contain text"), (b"x" * 20_000, "must have at most 10000")]
)
def test_a_reason_that_is_not_text_is_invalid(place, content, reason):
    answer(place, query(0), content, ".skip")
    (got,) = oracle_in(place).poll()
    assert reason in got.label.reason


def test_polling_twice_gives_equal_answers_and_changes_no_file(place):
    answer(place, query(0))
    answer(place, query(1), "no", ".skip")
    oracle, before = oracle_in(place), everything(place)
    first, second = list(oracle.poll()), list(oracle.poll())
    assert [(one.id, one.revision) for one in first] == [(one.id, one.revision) for one in second]
    assert everything(place) == before


def test_a_file_is_read_once_it_has_not_changed_for_a_while(place):
    path = answer(place, query(0), at=time.time())
    oracle = oracle_in(place, settle=0.5)
    assert list(oracle.poll()) == []
    assert oracle.unread()[path] == "it may be half-written: it is read once it has not changed for 0.5 s"
    deadline = time.monotonic() + 10
    while not (answers := list(oracle.poll())) and time.monotonic() < deadline:
        time.sleep(0.05)
    assert [one.id for one in answers] == ["0000"]
    assert time.time() - path.stat().st_mtime >= 0.5
    assert oracle.unread() == {}


def test_a_file_that_was_copied_with_its_times_is_read_also_while_it_grows_older(place, monkeypatch):
    path = answer(place, query(0))  # long ago, but it came here just now
    (place / "ann" / "export.json").write_text('{"images": [], "annotations": [], "categories": []}')
    os.utime(place / "ann" / "export.json", (LONG_AGO, LONG_AGO))
    oracle = oracle_in(place)
    for begin in (0, layout.RACY // 2):
        now = count(path.stat().st_ctime_ns + begin, layout.RACY // 2 + 10**8)
        with monkeypatch.context() as patch:
            patch.setattr(time, "time_ns", lambda now=now: next(now))
            assert [one.id for one in oracle.poll()] == ["0000"]
            assert "it has just changed" not in oracle.unread().values()


def test_a_file_from_the_future_is_read_at_once(place):
    answer(place, query(0), at=time.time() + 7200)
    assert [one.id for one in oracle_in(place, settle=2).poll()] == ["0000"]


@pytest.mark.parametrize("at", [0, -(10**6), 2**33, 2**34])
def test_a_file_with_an_absurd_time_is_an_answer_like_any_other(place, at):
    try:
        answer(place, query(0), at=at)
    except (OSError, OverflowError):
        pytest.skip("this file system does not store such a time")
    (one,) = oracle_in(place).poll()
    assert 10**17 <= one.revision <= 2**62  # neither a counter nor refused by a record


def test_a_file_that_changes_while_it_is_read_is_read_at_the_next_poll(place, monkeypatch):
    path = answer(place, query(0))

    def values(content, *rest):
        os.utime(path, (LONG_AGO + 9, LONG_AGO + 9))
        return answered_mask(content, *rest)

    monkeypatch.setattr(reading, "answered_mask", values)
    oracle = oracle_in(place)
    assert list(oracle.poll()) == []
    assert [one.revision for one in oracle.poll()] == [(LONG_AGO + 9) * 10**9]


def test_a_file_that_is_deleted_while_it_is_read_is_not_an_answer(place, monkeypatch):
    path = answer(place, query(0))

    def values(content, *rest):
        path.unlink()
        return answered_mask(content, *rest)

    monkeypatch.setattr(reading, "answered_mask", values)
    assert list(oracle_in(place).poll()) == []


def test_hidden_temporary_and_empty_files_are_not_answers(place):
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


def test_files_that_are_not_answers_are_reported_and_stop_no_other(place):
    good = answer(place, query(0))
    Image.fromarray(MASKS[1]).save(place / f"{query(1).key}.png")
    Image.fromarray(MASKS[1]).save(place / query(1).key / "mask.png")
    (place / "ann" / "notes.docx").write_text("")
    (place / "ann" / "r09-0000-what.png").write_text("x")
    (place / "ann" / "more").mkdir()
    (place / "ann" / "more" / "notes.txt").write_text("")
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
        f"{query(1).key}.png": "an answer must lie in a folder with the annotator's name",
        f"{query(1).key}/mask.png": "this is the folder of a query; "
        f"an answer must be saved as {place}/NAME/{query(1).key}.png",
        "ann/notes.docx": "the name of an answer must end in .png .tif .tiff .bmp .skip .withdrawn "
        ".json .xml .csv .zip .nii.gz .nii",
        "ann/query.json": "this file describes a query and is not an answer",
        "ann/r09-0000-what.png": f"{place} has no query 'r09-0000-what'",
        "ann/gone.png": "this is not a file",
        f"ann/{query(4).key}.png": "this is not a file",
        "ann/more/notes.txt": "the name of an answer must end in .png .tif .tiff .bmp .skip .withdrawn "
        ".json .xml .csv .zip .nii.gz .nii",
        f"ann/{query(2).key}.confirmed": "it confirms a mask that does not exist",
        f"ann/{query(3).key}.confirmed": "it confirms a mask that does not exist",
    }
    assert good.exists()


def test_a_prelabel_that_was_changed_in_the_outbox_is_reported(tmp_path):
    oracle = oracle_in(tmp_path, prelabels={"0000": MASKS[0]})
    oracle.ask([query(0)])
    assert oracle.unread() == {}
    path = tmp_path / query(0).key / "prelabel.png"
    Image.open(path).save(path)
    assert "this pre-label was changed; an answer must be saved as" in oracle.unread()[path]


def test_answers_in_a_copy_of_a_querys_folder_are_reported(tmp_path):
    oracle = oracle_in(tmp_path / "out", inbox=tmp_path / "in")
    oracle.ask([query(0)])
    (tmp_path / "in" / query(0).key).mkdir()
    (tmp_path / "in" / query(0).key / "mine.png").write_bytes(b"x")
    assert list(oracle.poll()) == []
    assert list(oracle.unread()) == [tmp_path / "in" / query(0).key / "mine.png"]


@pytest.mark.parametrize("content", [b"rubbish", "cut", np.arange(768, dtype=np.uint8).reshape(16, 16, 3)])
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


def test_the_experiment_not_the_oracle_refuses_a_mask_of_another_size_or_class(place):
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
def test_two_answers_to_a_query_are_invalid_unless_they_are_equal(place, endings, valid):
    contents = {".skip": "no", ".withdrawn": "no", ".png": MASKS[0] * 255}
    for later, ending in enumerate(endings):
        answer(place, query(0), contents.get(ending, MASKS[0] if valid else 1 - MASKS[0]), ending, at=LONG_AGO + later)
    (got,) = oracle_in(place).poll()
    assert got.revision == (LONG_AGO + 1) * 10**9
    if valid:
        np.testing.assert_array_equal(got.label, MASKS[0])
    else:
        assert f"{query(0).key}{endings[0]} and {query(0).key}{endings[1]}" in got.label.reason


def test_of_two_names_that_differ_only_in_case_the_second_is_reported(place):
    answer(place, query(0), MASKS[0], ".PNG")
    answer(place, query(0), MASKS[0], ".png")
    oracle = oracle_in(place)
    assert len(list(oracle.poll())) == 1
    assert list(oracle.unread().values()) == [f"{query(0).key}.PNG is the same answer"]


def test_a_confirmation_beside_a_mask_confirms_it_and_is_a_later_revision(place):
    answer(place, query(0))
    answer(place, query(0), "", ".confirmed", at=LONG_AGO + 5)
    (got,) = oracle_in(place).poll()
    assert got.confirmed
    assert got.revision == (LONG_AGO + 5) * 10**9


# Notes about refused answers, and about files that are not read.


def test_every_file_that_is_not_read_has_a_note_until_it_is_mended(place):
    key = query(0).key
    files = {
        f"ann/{key}_lesion.png": f"the name must be {key}.png",
        "ann/strange.png": "has no query 'strange'",
        f"ann/{key}.jpg": "JPEG changes the values of a mask: save it as PNG",
        f"ann/{key}.webp": "the name of an answer must end in .png",
        "ann/export.7Z": ".json .xml .csv .zip .nii.gz .nii: unpack this archive",
        "ann/export.ZIP": "is not an archive that can be read",
        "ann/deeper/strange.png": "has no query 'deeper/strange'",
        f"{key}.png": "an answer must lie in a folder with the annotator's name",
        f"{key}/mask.png": f"an answer must be saved as {place}/NAME/{key}.png",
        "ann/masks.json": "is not a COCO file",
    }
    (place / "ann" / "deeper").mkdir(parents=True)
    for name in files:
        (place / name).write_bytes(b"x")
        os.utime(place / name, (LONG_AGO, LONG_AGO))
    oracle = oracle_in(place)
    for _ in range(2):  # the second time, the notes lie there
        assert list(oracle.poll()) == []
        notes = {path.relative_to(place).as_posix(): path.read_text() for path in place.rglob("*.refused.txt")}
        assert notes.keys() == {f"{name}.refused.txt" for name in files}
        for name, why in files.items():
            assert why in notes[f"{name}.refused.txt"]
            assert notes[f"{name}.refused.txt"].startswith(f"{name.rpartition('/')[2]} was not read.")
        assert oracle.unread().keys() == {place / name for name in files}
    times = {path: path.stat().st_mtime_ns for path in place.rglob("*.refused.txt")}
    list(oracle.poll())
    assert times == {path: path.stat().st_mtime_ns for path in place.rglob("*.refused.txt")}
    for name in files:
        (place / name).unlink()
    answer(place, query(0))
    assert [one.id for one in oracle.poll()] == ["0000"]
    assert list(place.rglob("*.refused.txt")) == []


def test_a_stranger_text_with_the_name_of_a_note_is_kept_and_a_half_written_file_has_no_note(place):
    answer(place, query(0))
    mine = place / "ann" / "my list.refused.txt"
    mine.write_text("written by ann")
    oracle = oracle_in(place, settle=3600)
    (place / "ann" / "new.json").write_text("{")
    os.utime(place / "ann" / f"{query(0).key}.png")
    assert list(oracle.poll()) == []
    assert mine.read_text() == "written by ann"
    assert list(place.rglob("*.refused.txt")) == [mine]
    assert "may be half-written" in oracle.unread()[place / "ann" / "new.json"]


def test_a_refused_answer_is_unchanged_and_has_a_note_until_the_next_poll(place):
    path = answer(place, query(0), MASKS[0][:5])
    content, oracle = path.read_bytes(), oracle_in(place)
    (got,) = oracle.poll()
    oracle.refused(got, "it is too small")
    note = place / "ann" / f"{query(0).key}.refused.txt"
    text = note.read_text()
    assert "Why: it is too small" in text
    assert f"What to do: save {query(0).key}.png again. A mask is 16 x 16 pixels, one channel of 0 skin, 1" in text
    assert path.read_bytes() == content
    assert oracle.unread() == {}
    answer(place, query(0), at=LONG_AGO + 5)
    later = oracle_in(place)
    assert len(list(later.poll())) == 1
    assert not note.exists()


def test_a_note_is_deleted_with_its_answer_but_stays_while_the_answer_is_not_at_rest(place):
    for row in (0, 1):
        answer(place, query(row), "?", ".refused.txt")
    answer(place, query(1), at=time.time())
    assert list(oracle_in(place, settle=60).poll()) == []
    assert not (place / "ann" / f"{query(0).key}.refused.txt").exists()
    assert (place / "ann" / f"{query(1).key}.refused.txt").exists()


def test_refusing_a_foreign_answer_or_in_a_read_only_folder_raises_no_error(place, monkeypatch, caplog):
    answer(place, query(0), b"rubbish")
    oracle = oracle_in(place)
    oracle.refused(Answer("0000", Invalid("x"), "ann", 5), "it came from another oracle")
    (got,) = oracle.poll()

    def refuse(path, content):
        raise StoreError("read-only")

    monkeypatch.setattr(module, "write_atomically", refuse)
    oracle.refused(got, "why")
    assert "cannot write why the answer for 0000 was refused: read-only" in caplog.text
    assert [path.name for path in (place / "ann").iterdir()] == [f"{query(0).key}.png"]


def test_an_empty_mask_that_no_longer_changes_has_a_note_until_it_is_saved_again(place):
    empty = answer(place, query(0), b"")
    note = empty.with_name(f"{empty.name}.refused.txt")
    assert list(oracle_in(place).poll()) == []
    assert "Why: it is empty." in note.read_text()
    answer(place, query(0))
    assert [one.id for one in oracle_in(place).poll()] == ["0000"]
    assert not note.exists()
