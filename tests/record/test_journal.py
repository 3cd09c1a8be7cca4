"""The journal has every change, whenever a process dies; differences that a crash cannot leave are named."""

import errno
import json
import multiprocessing
import os
import shutil
import sqlite3
import time
from contextlib import contextmanager
from pathlib import Path

import pytest

import alkit
from alkit.errors import StoreError
from alkit.record import Recorded, Store
from alkit.record import journal as module
from alkit.record.check import check
from alkit.record.database import Database
from alkit.record.digests import digest
from alkit.record.journal_lines import chain
from alkit.record.repairing import repair
from alkit.record.taking_back import reject

pytestmark = pytest.mark.sqlite


@pytest.fixture
def store(tmp_path):
    store = Store(tmp_path / "record" / "r.db")
    store.add_queries([alkit.Query(id, 0, rank, ((4, 4),)) for rank, id in enumerate("abcdef")])
    return store


def skip(id, revision=1):
    return Recorded(id, "ann", revision, "skip", reason="blurred")


def tell(store, *answers):
    store.add_answers({answer.id for answer in answers}, lambda asked, known: answers)


def told(path):
    store = Store(path)
    try:
        return [answer.id for answer in store.answers()]
    finally:
        store.close()


def states(store):
    """Return the files of a record before and after a call that records two answers, and the lines it appends."""
    before = files(store.path.parent)
    tell(store, skip("b"), skip("c"))
    after = files(store.path.parent)
    start = len(before["r.db.journal"])
    assert after["r.db.journal"].startswith(before["r.db.journal"])
    return before, after, after["r.db.journal"][start:]


def files(folder):
    return {path.name: path.read_bytes() for path in folder.iterdir() if path.is_file()}


def lay(folder, content):
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir()
    for name, data in content.items():
        (folder / name).write_bytes(data)
    return folder / "r.db"


def test_each_line_of_the_journal_is_a_change_with_a_chained_digest(store):
    tell(store, skip("a"))
    store.reject([1], "too hasty")
    lines = store.database.journal.path.read_text().splitlines()
    changes, before = [], ""
    for line in lines:
        body, _, digest = line.rpartition(" ")
        assert digest == chain(before, body.encode())
        before = digest
        changes.append(json.loads(body))
    assert [number for number, *_ in changes] == list(range(1, len(lines) + 1))
    assert changes[0][2:3] == ["record"]
    assert changes[-2][2:4] == ["insert", "answers"]
    assert changes[-1][2:] == ["change", "answers", [[1]], {"rejected": "too hasty"}]


def test_a_call_is_complete_or_absent_wherever_the_writing_of_its_lines_stops(store, tmp_path, caplog):
    tell(store, skip("a"))
    before, after, lines = states(store)
    first = lines.index(b"\n") + 1
    for length in {*range(0, len(lines), 40), first - 1, first, first + 1, *range(len(lines) - 2, len(lines) + 1)}:
        for fill in (b"", b"\0"):  # some file systems make a file longer before they write its content
            torn = before["r.db.journal"] + lines[:length] + fill * (len(lines) - length)
            path = lay(tmp_path / "crash", {**before, "r.db.journal": torn})
            caplog.clear()
            found = told(path)
            assert found == (["a", "b", "c"] if length >= len(lines) - 1 else ["a"]), length
            assert bool(caplog.records) == (torn != before["r.db.journal"]), length
            tell(Store(path), skip("d"))
            assert told(path) == [*found, "d"]
            assert check(path).damage == ()
    assert after["r.db.journal"] == before["r.db.journal"] + lines


def _die(path, at):
    """Record an answer, and die at a moment: before or after the journal is written, or after the commit."""
    store = Store(path)
    write = module.Journal.write

    def die(journal, content, start):
        if at == "half":
            with journal.path.open("ab") as file:
                file.write(content[: len(content) // 2])
        if at == "after":
            write(journal, content, start)
        os.kill(os.getpid(), 9)

    module.Journal.write = die
    tell(store, skip("b"))


@pytest.mark.parametrize(("at", "expected"), [("before", ["a"]), ("half", ["a"]), ("after", ["a", "b"])])
def test_a_process_that_dies_around_the_writing_of_the_journal_leaves_a_whole_record(store, at, expected):
    tell(store, skip("a"))
    child = multiprocessing.get_context("fork").Process(target=_die, args=(store.path, at))
    child.start()
    child.join()
    assert child.exitcode == -9
    assert told(store.path) == expected
    assert check(store.path).damage == ()


def _tell_many(path, annotator):
    store = Store(path)
    for revision in range(20):
        tell(store, Recorded("a", annotator, revision, "skip", reason="blurred"))


def test_several_processes_write_one_journal(store):
    context = multiprocessing.get_context("fork")
    children = [context.Process(target=_tell_many, args=(store.path, f"annotator {n}")) for n in range(3)]
    for child in children:
        child.start()
    for child in children:
        child.join()
    assert [child.exitcode for child in children] == [0, 0, 0]
    assert len(store.answers()) == 60
    assert check(store.path).damage == ()


@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EIO])
@pytest.mark.parametrize("call", ["write", "fsync"])
def test_a_journal_that_cannot_be_written_leaves_the_record_as_it_was(store, monkeypatch, number, call):
    tell(store, skip("a"))
    before = files(store.path.parent)["r.db.journal"]

    def fail(*_):
        raise OSError(number, os.strerror(number))

    if call == "fsync":
        monkeypatch.setattr(module.os, "fsync", fail)
    else:
        written = module._write  # writes half of it first

        def half(file, content, length):
            written(file, content[:20], length)
            try:
                fail()
            except OSError:
                file.truncate(length)
                raise

        monkeypatch.setattr(module, "_write", half)
    with pytest.raises(StoreError, match=rf"cannot read or write the record .*r\.db\.journal: {os.strerror(number)}"):
        tell(store, skip("b"))
    monkeypatch.undo()
    assert files(store.path.parent)["r.db.journal"] == before
    assert told(store.path) == ["a"]
    tell(store, skip("b"))
    assert told(store.path) == ["a", "b"]


@contextmanager
def full_disk(monkeypatch):
    """Let no transaction commit, although the journal can still be written."""
    begin = Database._begin

    @contextmanager
    def failing(self, statement):
        with begin(self, statement) as connection:
            yield connection
            if statement == "BEGIN IMMEDIATE":
                raise sqlite3.OperationalError("database or disk is full")

    with monkeypatch.context() as patch:
        patch.setattr(Database, "_begin", failing)
        yield


def test_several_calls_that_cannot_commit_leave_one_change_to_complete(store, monkeypatch, caplog):
    tell(store, skip("a"))
    with full_disk(monkeypatch):
        for id in "bcd":
            with pytest.raises(StoreError, match="disk is full"):
                tell(store, skip(id))
    assert told(store.path) == ["a", "b"]
    tell(store, skip("e"))
    assert told(store.path) == ["a", "b", "e"]
    assert "the last change was completed from its journal" in caplog.text
    assert check(store.path).damage == ()


@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EIO])
def test_an_unfinished_line_that_cannot_be_cut_off_is_an_error_and_is_cut_off_later(store, monkeypatch, number):
    tell(store, skip("a"))
    with store.path.with_name("r.db.journal").open("ab") as file:
        file.write(b"[1000,")

    def fail(*_):
        raise OSError(number, os.strerror(number))

    with monkeypatch.context() as patch:
        patch.setattr(module, "_write", fail)
        with pytest.raises(StoreError, match=rf"r\.db\.journal: {os.strerror(number)}"):
            Store(store.path)
    assert told(store.path) == ["a"]


def test_a_missing_journal_is_named_with_what_to_do(store):
    tell(store, skip("a"))
    store.database.journal.path.unlink()
    with pytest.raises(StoreError, match=r"r\.db\.journal is missing: .*\. Try: copy it .*alkit repair"):
        Store(store.path)
    with pytest.raises(StoreError, match="is missing"):
        tell(store, skip("b"))
    repaired = repair(store.path, store.path.with_name("new.db"))
    assert told(repaired.path) == ["a"]
    assert repaired.unknown == ("whether changes are missing: r.db.journal, which lists all changes, is missing",)


def test_a_record_repaired_without_proof_remembers_it(store):
    store.database.journal.path.unlink()
    first = repair(store.path, store.path.with_name("first.db"))
    second = repair(first.path, store.path.with_name("second.db"))
    assert second.unknown == ("whether changes are missing from before first.db.journal was begun by a repair",)


def test_an_earlier_copy_of_the_database_or_of_the_journal_is_named(store, tmp_path):
    tell(store, skip("a"))
    early = files(store.path.parent)
    tell(store, skip("b"))
    tell(store, skip("c"))
    late = files(store.path.parent)
    path = lay(tmp_path / "mixed", {**late, "r.db": early["r.db"]})
    with pytest.raises(StoreError, match=r"older than its journal.*got 1 answers.*expected 3 answers.*alkit repair"):
        Store(path)
    assert told(repair(path, tmp_path / "a.db").path) == ["a", "b", "c"]
    path = lay(tmp_path / "mixed", {**late, "r.db.journal": early["r.db.journal"]})
    with pytest.raises(StoreError, match=r"r\.db\.journal is cut off: .*alkit repair"):
        Store(path)
    repaired = repair(path, tmp_path / "b.db")
    assert told(repaired.path) == ["a", "b", "c"]
    assert repaired.unknown == ("whether changes are missing: r.db.journal ends before the database",)


def test_the_journal_of_another_record_is_named(store, tmp_path):
    other = Store(tmp_path / "other.db")
    other.add_queries([alkit.Query(f"{rank}" * 30, 0, rank, ((4, 4),)) for rank in range(20)])
    tell(store, skip("a"))
    shutil.copyfile(other.database.journal.path, store.database.journal.path)
    with pytest.raises(StoreError, match=r"r\.db\.journal is damaged, or the journal of another record"):
        Store(store.path)
    repaired = repair(store.path, tmp_path / "new.db")
    assert told(repaired.path) == ["a"]
    (sentence,) = repaired.unknown
    assert "belongs to another record" in sentence


@pytest.mark.parametrize("leave", ["nothing", "an empty file"])
def test_a_lost_database_is_not_replaced_by_a_new_record(store, leave):
    tell(store, skip("a"))
    for path in store.path.parent.glob("r.db*"):
        if path.is_file() and path.suffix != ".journal":
            path.unlink()
    if leave == "an empty file":
        store.path.touch()
    before = store.database.journal.path.read_bytes()
    with pytest.raises(StoreError, match="alkit repair"):
        Store(store.path)
    assert store.database.journal.path.read_bytes() == before
    assert told(repair(store.path, store.path.with_name("new.db")).path) == ["a"]


def test_an_earlier_schema_restored_beside_a_later_journal_is_refused(tmp_path):
    old = Path(__file__).parents[1] / "fixtures" / "a395940" / "campaign.db"
    shutil.copyfile(old, tmp_path / "r.db")
    store = Store(tmp_path / "r.db")  # which migrates it
    n = len(store.answers())
    store.reject([1], "too hasty")
    store.close()
    shutil.copyfile(old, tmp_path / "r.db")
    with pytest.raises(StoreError, match="to a later state of this one"):
        Store(tmp_path / "r.db")
    repaired = repair(tmp_path / "r.db", tmp_path / "new.db")
    answers = Store(repaired.path).answers()
    assert len(answers) == n
    assert answers[0].rejected == "too hasty"


@pytest.mark.parametrize(
    "change",
    [
        ["insert", "recipes", ["a"]],
        ["insert", "answers", [1]],
        ["insert", "facts", [["a"], "b"]],
        ["change", "answers", [[1]], {"digest": "0"}],
        ["change", "answers", 3, {}],
        ["delete", "facts", [["a", "b"]]],
        ["record", {}],
        ["drop", "facts"],
        [],
    ],
)
def test_a_line_that_alkit_does_not_write_is_damage_even_if_its_digest_holds(store, change):
    path = store.database.journal.path
    before = path.read_bytes()
    number = before.count(b"\n") + 1
    body = json.dumps([number, number, *change], separators=(",", ":")).encode()
    path.write_bytes(before + body + f" {chain(before[-33:-1].decode(), body)}\n".encode())
    with pytest.raises(StoreError, match=f"r.db.journal is damaged: line {number} is not what alkit wrote"):
        Store(store.path)
    repaired = repair(store.path, store.path.with_name("new.db"))
    assert repaired.saved["queries"] == 6
    assert repaired.unknown


def test_a_check_names_each_kind_of_damage_of_the_journal(store):
    tell(store, skip("a"))
    store.close()
    journal = store.database.journal.path
    content = journal.read_bytes()
    journal.write_bytes(content.replace(b"blurred", b"Blurred"))
    line = content.count(b"\n")
    assert any(f"r.db.journal: line {line} is not what alkit wrote" in one for one in check(store.path).damage)
    journal.write_bytes(content)
    with sqlite3.connect(store.path) as connection:  # as if a bug wrote a valid row past the journal
        (row,) = connection.execute("SELECT * FROM answers").fetchall()
        new = digest("answers", (*row[:6], "forged", *row[7:-1]))
        connection.execute("UPDATE answers SET reason = 'forged', digest = ?", (new,))
        connection.execute("UPDATE totals SET sum = ? WHERE name = 'answers'", (new,))
        total = connection.execute("SELECT name, rows, sum FROM totals WHERE name = 'answers'").fetchone()
        connection.execute("UPDATE totals SET digest = ? WHERE name = 'answers'", (digest("totals", total),))
    connection.close()
    assert check(store.path).damage == ("the row number 1 of answers differs from the journal",)


def test_backups_are_ordered_by_the_journal_and_not_by_a_wrong_clock(store, monkeypatch):
    (store.backups / "01924991999000000000.db").write_bytes(b"from 2031, as earlier versions named it")
    for rank in range(6, 12):
        monkeypatch.setattr(time, "time_ns", lambda rank=rank: (12 - rank) * 10**18)  # the clock runs backwards
        store.add_queries([alkit.Query(f"image {rank}", 0, rank, ((4, 4),))])
    names = sorted(path.name for path in store.backups.glob("*.db"))
    assert len(names) == 2
    with sqlite3.connect(store.backups / names[-1]) as connection:
        assert connection.execute("SELECT count(*) FROM queries").fetchone() == (11,)
    connection.close()


def test_clusters_are_restored_and_lost_ones_are_named(tmp_path):
    store = Store(tmp_path / "r.db")
    name = store.keep(b"clusters", ".npz")
    store.declare({"clusters of 3 by it": name})
    store.path.write_bytes(b"")
    repaired = repair(store.path, tmp_path / "new.db")
    again = Store(repaired.path)
    assert again.content(again.fact("clusters of 3 by it")) == b"clusters"
    assert repaired.lost == ()
    (again.files / name).write_bytes(b"damaged")
    assert check(again.path).damage == (f"{again.files / name} has another content than alkit wrote",)
    third = repair(again.path, tmp_path / "third.db")
    assert third.lost == ("the clusters of 3 by it: their file is missing or damaged, so they are computed again",)
    assert Store(third.path).fact("clusters of 3 by it") is None


def test_a_repair_without_space_for_its_copies_says_where_to_find_some(store, tmp_path, monkeypatch):
    def fail(*_, **__):
        raise OSError(errno.ENOSPC, "No space left on device")

    for place, name in ((Path, "mkdir"), (shutil, "copyfile")):
        with monkeypatch.context() as patch:
            patch.setattr(place, name, fail)
            with pytest.raises(StoreError, match=r"\(No space left on device\)\. Try: set .* TMPDIR"):
                repair(store.path, tmp_path / f"{name}.db")


def test_a_database_that_cannot_be_read_is_repaired_from_its_journal(store, tmp_path, monkeypatch, caplog):
    copy = shutil.copyfile

    def fail(source, target):
        if Path(source) == store.path:
            raise OSError(errno.EIO, "Input/output error")
        return copy(source, target)

    monkeypatch.setattr(shutil, "copyfile", fail)
    repaired = repair(store.path, tmp_path / "repaired.db")
    monkeypatch.undo()
    assert repaired.saved["queries"] == len(store.queries())
    assert "cannot be read to its end" in caplog.text


def test_sending_an_answer_back_again_for_the_same_reason_changes_nothing(store):
    tell(store, skip("a"))
    reject(store, "a", "sloppy", "ann")
    before = files(store.path.parent)["r.db.journal"]
    reject(store, "a", "sloppy", "ann")
    assert files(store.path.parent)["r.db.journal"] == before
    for reason, annotator in (("blurred", "ann"), ("sloppy", "bob")):
        with pytest.raises(alkit.errors.QueryError, match="to send back"):
            reject(store, "a", reason, annotator)


@pytest.fixture
def few_zeros(monkeypatch):
    """Let a journal be read in small parts, of which few are kept that have only zeros."""
    monkeypatch.setattr(module, "PART", 2**10)
    monkeypatch.setattr(module, "MOST_ZEROS", 2**13)


def with_gap(path, position, size):
    """Put zeros into a file, which take no room on the disk."""
    content = path.read_bytes()
    with path.open("wb") as file:
        file.write(content[:position])
        file.seek(size, os.SEEK_CUR)
        file.write(content[position:])
        file.truncate(len(content) + size)


def test_a_gap_at_the_end_of_a_journal_is_cut_off_and_not_read_into_memory(store, few_zeros, caplog, tmp_path):
    store.close()
    path = Path(f"{store.path}.journal")
    content, size = path.read_bytes(), 2**20
    with_gap(path, len(content), size)
    assert len(module.Journal(path).content()) <= len(content) + 2**13 + 2**10
    repaired = repair(store.path, tmp_path / "out.db")
    assert repaired.saved["queries"] == 6
    assert any("unfinished change" in text for text in repaired.unknown)
    Store(store.path).close()
    assert f"an unfinished change, which was cut off ({size} bytes)" in caplog.text
    assert path.read_bytes() == content


def test_a_gap_in_a_journal_is_refused(store, few_zeros, tmp_path):
    store.close()
    path = Path(f"{store.path}.journal")
    with_gap(path, path.stat().st_size // 2, 2**20)
    for work in (module.Journal(path).check_new, lambda: module.Journal(path).check_contained([])):
        with pytest.raises(StoreError, match="it has a gap of more than 8192 bytes, which no journal has"):
            work()
    assert "cannot be read" in " ".join(check(store.path).damage)
    assert repair(store.path, tmp_path / "out.db").saved["queries"] == 6
