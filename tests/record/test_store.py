import multiprocessing
import os
import resource
import sqlite3
import threading
import time
from dataclasses import replace
from pathlib import Path
from unittest.mock import Mock

import numpy as np
import pytest
from filelock import FileLock
from records import change

from alkit import Query, RoundResult, _files
from alkit.errors import QueryError, ResumeError, StoreBusyError, StoreError
from alkit.record import Recorded, Store
from alkit.record.database import Database


def query(id, round=0, rank=0):
    return Query(id, round, rank, ((4, 4),), score=0.5, stands_for="itself")


def add(store, *answers):
    store.add_answers({answer.id for answer in answers}, lambda asked, known: answers)


@pytest.fixture
def store(tmp_path):
    return Store(tmp_path / "record.db", wait=0.2)


def test_the_next_process_reads_everything(store):
    store.declare({"seed": 3})
    store.add_queries([query("b", rank=0), query("a", rank=1)])
    label = Recorded("a", "ann", 7, "label", store.keep(b"mask", ".png"), seconds=2.5)
    add(store, label, Recorded("b", "bob", 1, "skip", reason="blurred"))
    store.commit_round(RoundResult(0, ("b", "a"), 1, {"dice": 0.5}, {"fit": 1.0}), b"weights", "stamp")
    again = Store(store.path)
    assert again.fact("seed") == 3
    assert again.queries() == [query("b", rank=0), query("a", rank=1)]
    first, second = again.answers()
    assert [first.number, second.number] == [1, 2]
    assert replace(first, number=0, told_at="") == label
    assert (second.annotator, second.kind, second.reason) == ("bob", "skip", "blurred")
    assert again.content(first.label) == b"mask"
    assert list(again.snapshot().known) == ["b", "a"]  # in the order they were asked
    assert again.rounds() == [RoundResult(0, ("b", "a"), 1, {"dice": 0.5}, {"fit": 1.0})]
    model, last = again.last_model()
    assert (again.content(model), last) == (b"weights", "stamp")


def test_decide_gets_the_earlier_answers_and_its_error_leaves_the_record_unchanged(store):
    store.add_queries([query("a", rank=0), query("b", rank=1)])
    add(store, Recorded("a", "", 1, "skip"), Recorded("b", "", 1, "skip"))

    def refuse(asked, known):
        assert [entry.query.id for entry in asked] == ["a"]
        assert [(answer.id, answer.number) for answer in known] == [("a", 1)]
        raise LookupError

    with pytest.raises(LookupError):
        store.add_answers({"a"}, refuse)
    assert len(store.answers()) == 2


def test_an_annotator_has_one_answer_per_revision(store):
    store.add_queries([query("a")])
    add(store, Recorded("a", "ann", 1, "skip"), Recorded("a", "bob", 1, "skip"))
    with pytest.raises(StoreError, match=r"UNIQUE|duplicate key"):
        add(store, Recorded("a", "ann", 1, "withdrawal"))
    assert len(store.answers()) == 2


def test_the_record_knows_which_answers_each_model_used(store):
    store.add_queries([query(id, rank=rank) for rank, id in enumerate("abc")])
    add(store, *(Recorded(id, "ann", 1, "skip") for id in "abc"))
    store.commit_round(RoundResult(0, (), 1), b"weights", "stamp", [1, 2])
    store.commit_round(RoundResult(1, (), 1), b"other", "stamp", [2, 3])
    snapshot = store.snapshot()
    assert (snapshot.consumed, snapshot.last_consumed) == ({1, 2, 3}, {2, 3})
    store.commit_round(RoundResult(2, (), 1), b"third", "stamp", [1, 3])
    snapshot = store.snapshot()
    assert (snapshot.consumed, snapshot.last_consumed) == ({1, 2, 3}, {1, 3})


def end_of_journal(store):
    with store.database.reading() as connection:
        return store.database.position(connection)


def test_unusual_terms_of_queries_are_kept_changed_and_forgotten(store):
    due = "2031-05-01T12:00:00+00:00"
    asked = [query("b"), replace(query("a", rank=1), purpose="audit", assigned=("ann", "ben"), due=due)]
    store.add_queries(asked)
    assert Store(store.path).queries() == asked
    changed = [replace(asked[0], wanted=3, purpose="review"), replace(asked[1], assigned=(), due=None)]
    store.revise_queries(changed)
    assert [entry.query for entry in Store(store.path).asked()] == changed
    seen = []
    store.add_answers({"a"}, lambda asked, known: seen.extend(asked) or [])
    assert [entry.query for entry in seen] == changed[1:]
    before = end_of_journal(store)
    store.revise_queries(changed)
    assert end_of_journal(store) == before
    with pytest.raises(StoreError, match="has no query 5 in round 0"):
        store.revise_queries([query("c", rank=5)])
    store.delete_queries()
    store.add_queries([query("b"), query("a", rank=1)])
    assert Store(store.path).queries() == [query("b"), query("a", rank=1)]


def test_the_query_of_an_answer_and_further_figures_of_a_round_are_kept(store):
    store.add_queries([query("a")])
    add(store, Recorded("a", "ann", 1, "skip", query="r00-0000"), Recorded("a", "ben", 1, "skip"))
    result = RoundResult(0, ("a",), 1, stability={"changed": 0.25})
    store.commit_round(result, b"weights", "stamp")
    again = Store(store.path)
    assert [answer.query for answer in again.answers()] == ["r00-0000", None]
    assert again.rounds() == [result]
    again.measure_round(0, {}, {}, {"stability": {"changed": 0.5}})
    assert store.rounds()[0].stability == {"changed": 0.5}
    assert store.outline()[0][0].stability == {"changed": 0.5}
    again.measure_round(0, {"dice": 0.5}, {}, {"stability": {}}, ["It is so."], {"test_labels": lambda before: "t"})
    assert store.rounds()[0].stability == {}
    assert (store.rounds()[0].warnings, store.fact("test_labels")) == (("It is so.",), "t")


def test_a_query_keeps_the_first_time_at_which_it_was_sent(store):
    store.add_queries([query("a", rank=0), query("b", rank=1)])
    store.mark_sent(["a"])
    (first, second) = store.asked()
    assert (first.sent_at is None, second.sent_at) == (False, None)
    store.mark_sent(["a", "b"])
    assert store.asked()[0].sent_at == first.sent_at


DAMAGE = {
    "a changed answer": ("UPDATE answers SET revision = 2", r"the row number 1 of answers is not what alkit wrote"),
    "a changed query": ("UPDATE queries SET id = 'c'", r"the row round 0, rank 0 of queries is not"),
    "a changed round": ("UPDATE rounds SET n_labels = 4", r"the row round 0 of rounds is not"),
    "a changed digest": ("UPDATE answers SET digest = '4'", r"the row number 1 of answers is not"),
    "bytes in place of text": ("UPDATE answers SET reason = x'ff'", r"the row number 1 of answers is not"),
    "a deleted answer": ("DELETE FROM answers", "rows of answers are missing: got 0, expected 1"),
    "a deleted query": ("DELETE FROM queries", "rows of queries are missing"),
    "a changed total": ("UPDATE totals SET rows = 0", "of totals and 2 more rows is not what"),
    "a deleted total": ("DELETE FROM totals", "the total of queries is missing"),
}


@pytest.fixture
def full(store):
    """Return a record with a row in each table."""
    store.declare({"seed": 3})
    store.add_queries([query("a")], {"b": store.keep(b"pseudo", ".png")})
    add(store, Recorded("a", "ann", 1, "label", store.keep(b"mask", ".png")))
    store.commit_round(RoundResult(0, ("a",), 1, {"dice": 0.5}), b"weights", "stamp", [1])
    return store


@pytest.mark.parametrize(
    "name", [pytest.param(name, marks=[pytest.mark.sqlite] * (name == "bytes in place of text")) for name in DAMAGE]
)
def test_reading_a_row_that_was_changed_outside_alkit_raises_an_error_that_names_it(full, name):
    statement, message = DAMAGE[name]
    change(full, statement)
    again = Store(full.path)
    with pytest.raises(StoreError, match=message + ".*alkit repair"):
        again.snapshot()


def test_a_fact_and_pseudo_labels_are_checked_when_they_are_read(full):
    change(full, "UPDATE facts SET value = '4' WHERE name = 'seed'")
    change(full, "UPDATE pseudo_labels SET id = 'c'")
    again = Store(full.path)
    with pytest.raises(StoreError, match="the row name 'seed' of facts is not what alkit wrote"):
        again.fact("seed")
    with pytest.raises(StoreError, match="the row round 0, id 'c' of pseudo_labels is not"):
        again.pseudo_labels(0)


@pytest.mark.parametrize("statement", ["UPDATE answers SET revision = 9", "UPDATE queries SET wanted = 2"])
def test_answers_are_not_added_after_damaged_rows_of_the_same_image(full, statement):
    change(full, statement)
    with pytest.raises(StoreError, match="is not what alkit wrote"):
        add(full, Recorded("a", "bob", 1, "skip"))


def test_a_damaged_row_is_not_given_a_new_digest(full):
    change(full, "UPDATE answers SET reason = 'forged'")
    with pytest.raises(StoreError, match="is not what alkit wrote"):
        full.reject([1], "sloppy")
    change(full, "UPDATE queries SET wanted = 2")
    for action in (lambda: full.withdraw(["a"]), lambda: full.mark_sent(["a"]), lambda: full.set_prelabels({"a": "f"})):
        with pytest.raises(StoreError, match="is not what alkit wrote"):
            action()


def test_a_snapshot_is_read_again_only_after_a_change(full):
    first = full.snapshot()
    assert full.snapshot() is first
    full.declare({"other": 1})
    assert full.snapshot() is first
    Store(full.path).reject([1], "sloppy")  # as another process would
    again = full.snapshot()
    assert again is not first
    assert again.answers[0].rejected == "sloppy"
    assert again.asked[0] is first.asked[0]


def test_many_images_are_changed_at_once(store):
    ids = [f"{number:05}" for number in range(1200)]
    store.add_queries([query(id, rank=rank) for rank, id in enumerate(ids)])
    store.mark_sent(ids)
    assert all(entry.sent_at for entry in store.asked())
    store.withdraw(ids[:1100])
    assert [one.id for one in store.queries()] == ids[1100:]
    assert set(store.sizes_of(ids)) == set(store.sizes_of()) == set(ids)


@pytest.mark.parametrize("seed", [2**70, -1, 0.1, "3", None, [1, "é"], {"a": -0.0}])
def test_a_fact_is_stored_exactly(store, seed):
    store.declare({"seed": seed})
    assert Store(store.path).fact("seed") == seed


def test_numbers_that_sqlite_cannot_store_are_refused(store):
    for score in (float("nan"), float("inf")):
        with pytest.raises(ValueError, match="score must be finite"):
            store.add_queries([Query("a", 0, 0, ((4, 4),), score)])
    store.add_queries([Query("a", 0, 0, ((4, 4),), -0.0), Query("b", 0, 1, ((4, 4),), 1)])
    assert [one.score for one in Store(store.path).queries()] == [0.0, 1.0]


def test_only_the_last_model_is_kept(store):
    for number in range(3):
        store.commit_round(RoundResult(number, (), 1), f"weights {number}".encode(), "stamp")
    assert [store.content(name) for name in store.contents.names(".model")] == [b"weights 2"]


def test_a_round_with_the_same_weights_as_the_last_keeps_its_model(store):
    for number in range(2):
        store.commit_round(RoundResult(number, (), 1), b"same", "stamp")
    assert store.content(store.last_model()[0]) == b"same"


def test_a_failed_transaction_leaves_nothing(store):
    with pytest.raises(StoreError):
        store.add_queries([query("a", rank=0), query("b", rank=0)])  # one rank twice
    assert store.queries() == []


@pytest.mark.sqlite
@pytest.mark.parametrize("content", [b"", b"not a database " * 500])
def test_a_file_that_is_not_a_database_is_refused_and_unchanged(tmp_path, content):
    path = tmp_path / "record.db"
    path.write_bytes(content)
    if content:
        with pytest.raises(StoreError, match=r"record\.db"):
            Store(path)
        assert path.read_bytes() == content
    else:  # an empty file is an empty database
        assert Store(path).queries() == []


@pytest.mark.sqlite
def test_a_damaged_database_is_refused(store, tmp_path):
    store.add_queries([query(f"image {number}", rank=number) for number in range(500)])
    store.close()
    with sqlite3.connect(store.path) as connection:
        connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    connection.close()
    content = bytearray(store.path.read_bytes())
    content[4096:12288] = b"\xff" * 8192
    store.path.write_bytes(content)
    with pytest.raises(StoreError, match=r"damaged|malformed"):
        Store(store.path).asked()


@pytest.mark.sqlite
def test_a_foreign_database_is_refused_and_unchanged(tmp_path):
    path = tmp_path / "other.db"
    with sqlite3.connect(path) as connection:
        connection.execute("CREATE TABLE recipes (name)")
    connection.close()
    with pytest.raises(StoreError, match="not a record of"):
        Store(path)
    with sqlite3.connect(path) as connection:
        assert connection.execute("SELECT name FROM sqlite_master").fetchall() == [("recipes",)]
    connection.close()


def test_a_later_schema_is_refused(store):
    change(store, "UPDATE facts SET value = '99' WHERE name = 'schema'")
    with pytest.raises(ResumeError, match=r"later version of alkit: got schema 99, expected schema 3 to 6.*--upgrade"):
        Store(store.path)


@pytest.mark.sqlite
def test_a_missing_or_changed_file_is_noticed(store):
    name = store.keep(b"content", ".png")
    (store.files / name).write_bytes(b"other")
    with pytest.raises(StoreError, match="damaged"):
        store.content(name)
    (store.files / name).unlink()
    with pytest.raises(StoreError, match="is missing"):
        store.content(name)


@pytest.mark.sqlite
def test_a_folder_that_cannot_be_created_raises_a_store_error(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(StoreError, match="cannot create the folder"):
        Store(tmp_path / "file" / "record.db")
    (tmp_path / "record.db").mkdir()
    with pytest.raises(StoreError, match="cannot"):
        Store(tmp_path / "record.db")


def _fill(path, limit, done):
    store = Store(path)
    resource.setrlimit(resource.RLIMIT_FSIZE, (limit, limit))
    for name, action in (
        ("file", lambda: store.keep(bytes(2 * limit), ".model")),
        ("rows", lambda: store.add_queries([query(f"{n}" * 50, rank=n) for n in range(5000)])),
    ):
        try:
            action()
        except StoreError as reason:
            done.put((name, str(reason)))
        else:
            done.put((name, "no error"))


@pytest.mark.sqlite
def test_a_full_disk_raises_a_store_error_and_loses_nothing(store):
    store.add_queries([query("a")])
    limit = 200_000
    context = multiprocessing.get_context("spawn")
    done = context.Queue()
    child = context.Process(target=_fill, args=(store.path, limit, done))
    child.start()
    said = dict(done.get(timeout=60) for _ in range(2))
    child.join()
    assert "cannot write" in said["file"]
    assert "cannot read or write the record" in said["rows"]
    assert [q.id for q in Store(store.path).queries()] == ["a"]
    assert not list(store.files.glob(".writing-*"))


def _hold(path, held, release):
    with Store(path).exclusive():
        held.set()
        release.wait(30)


def test_a_second_process_waits_and_then_raises_an_error(store):
    context = multiprocessing.get_context("spawn")
    held, release = context.Event(), context.Event()
    child = context.Process(target=_hold, args=(store.path, held, release))
    child.start()
    try:
        assert held.wait(60)
        with pytest.raises(StoreBusyError, match="another process"), store.exclusive():
            pass
        assert Store(store.path).queries() == []  # looking does not wait
        release.set()
        with Store(store.path, wait=30).exclusive():
            pass
    finally:
        release.set()
        child.join()


def test_threads_that_read_different_states_do_not_mix_them(store, monkeypatch):
    store.add_queries([query("a"), query("b", rank=1)])
    add(store, Recorded("a", "ann", 1, "skip"))
    store.snapshot()
    read, others = Store._read, []

    def other_thread():
        store.withdraw(["b"])
        store.add_queries([query("c", rank=2)])
        others.append(store.snapshot())

    def reading(self, connection, table, *more):
        found = read(self, connection, table, *more)
        if table.name == "answers" and not others:
            others.append(None)
            thread = threading.Thread(target=other_thread)
            thread.start()
            thread.join()
        return found

    store.mark_sent(["a"])  # so that the snapshot is read again
    monkeypatch.setattr(Store, "_read", reading)
    assert [entry.query.id for entry in store.snapshot().asked] == ["a", "b"]
    assert [entry.query.id for entry in others[-1].asked] == ["a", "b", "c"]
    assert [entry.query.id for entry in store.snapshot().asked] == ["a", "b", "c"]
    assert [entry.withdrawn for entry in store.snapshot().asked] == [False, True, False]


@pytest.mark.sqlite
def test_an_interrupt_just_after_the_lock_was_acquired_does_not_keep_it(store, monkeypatch):
    acquire = FileLock.acquire

    def interrupted(lock, *args, **kwargs):
        acquire(lock, *args, **kwargs)
        raise KeyboardInterrupt

    monkeypatch.setattr(FileLock, "acquire", interrupted)
    with pytest.raises(KeyboardInterrupt), store.exclusive():
        pass
    monkeypatch.undo()
    with Store(store.path, wait=0.2).exclusive():
        pass


def test_the_lock_of_a_killed_process_is_free(store):
    context = multiprocessing.get_context("spawn")
    held, never = context.Event(), context.Event()
    child = context.Process(target=_hold, args=(store.path, held, never))
    child.start()
    assert held.wait(60)
    child.kill()
    child.join()
    with store.exclusive():
        pass


def test_scores_are_stored_exactly(store):
    score = float(np.nextafter(0.1, 1))
    store.add_queries([Query("a", 0, 0, ((4, 4),), score)])
    assert store.queries()[0].score == score


def test_records_with_the_same_stem_share_no_file(tmp_path):
    stores = [Store(tmp_path / name) for name in ("r.v1", "r.v2", "r.lock", "r.files")]
    for number, one in enumerate(stores):
        one.commit_round(RoundResult(0, (), 1), f"{number}".encode(), "stamp")
    assert [one.content(one.last_model()[0]) for one in stores] == [b"0", b"1", b"2", b"3"]


@pytest.mark.sqlite
def test_a_commit_survives_a_file_that_another_process_finishes_meanwhile(store, monkeypatch):
    store.keep(b"a label", ".png")
    (store.files / ".writing-z").write_bytes(b"another")
    found = Path.glob

    def glob(folder, pattern):  # between this look and the next the other process gives the file its name
        yield from list(found(folder, pattern))
        if pattern == ".writing-*" and (folder / ".writing-z").exists():
            (folder / ".writing-z").rename(folder / "whole.png")

    monkeypatch.setattr(Path, "glob", lambda folder, pattern: list(glob(folder, pattern)))
    store.commit_round(RoundResult(0, (), 1), b"weights", "stamp")
    assert (store.files / "whole.png").exists()
    assert list(store.backups.iterdir())


@pytest.mark.sqlite
def test_an_unfinished_backup_of_a_killed_process_with_the_same_number_is_replaced(store):
    store.backups.mkdir()
    (store.backups / f".writing-{_files._process()}-12ab").write_bytes(b"half")
    store.add_queries([query("a")])
    assert [path.suffix for path in store.backups.iterdir()] == [".db"]


@pytest.mark.sqlite
def test_the_next_commit_deletes_the_unfinished_files_of_a_killed_process(store):
    store.keep(b"orphan", ".model")
    for name, age in ((".writing-x", 7200), (".writing-y", 0)):
        (store.files / name).write_bytes(b"half")
        os.utime(store.files / name, (time.time() - age,) * 2)
    mask = store.keep(b"mask", ".png")
    store.commit_round(RoundResult(0, (), 1), b"weights", "stamp")
    at_work = ".writing-y"  # another process may be writing it now
    assert {path.name for path in store.files.iterdir()} == {mask, store.last_model()[0], at_work}


@pytest.mark.sqlite
def test_keeping_the_same_content_again_replaces_a_damaged_file(store):
    name = store.keep(b"content", ".png")
    (store.files / name).write_bytes(b"damaged")
    assert store.keep(b"content", ".png") == name
    assert store.content(name) == b"content"


@pytest.mark.sqlite
def test_commits_are_synchronised_to_disk(store):
    with store.database.transaction() as connection:
        assert connection.exec_driver_sql("PRAGMA synchronous").scalar() == 2  # FULL
        assert connection.exec_driver_sql("PRAGMA journal_mode").scalar() == "wal"


@pytest.mark.sqlite
def test_reading_does_not_wait_for_a_writer(store):
    store.add_queries([query("a")])
    with sqlite3.connect(store.path, isolation_level=None) as writer:
        writer.execute("BEGIN IMMEDIATE")
        again = Store(store.path, wait=0.2)
        assert set(again.sizes_of()) == {"a"}
        assert again.answers() == []
        with pytest.raises(StoreBusyError):
            again.declare({"seed": 1})
        writer.execute("ROLLBACK")
    writer.close()


@pytest.mark.parametrize("sent", [False, True])
def test_an_answer_of_an_oracle_marks_its_query_as_sent(store, sent):
    store.add_queries([query("a"), query("b", rank=1)])
    store.add_answers({"a"}, lambda asked, known: [Recorded("a", "ann", 1, "skip")], sent=sent)
    assert [entry.sent_at is not None for entry in store.asked()] == [sent, False]


@pytest.mark.sqlite
def test_a_change_that_could_not_be_committed_is_completed_before_the_next_step(store, monkeypatch):
    real = Database._write_journal

    def fail(self, connection):
        real(self, connection)
        raise sqlite3.OperationalError("database or disk is full")

    with monkeypatch.context() as patch:
        patch.setattr(Database, "_write_journal", fail)
        with pytest.raises(StoreError, match="full"):
            store.add_queries([query("a")])
    with store.exclusive():
        assert store.queries() == [query("a")]


@pytest.mark.sqlite
def test_a_full_disk_is_not_called_damage(store, monkeypatch):
    class Full(sqlite3.OperationalError):
        sqlite_errorname = "SQLITE_IOERR_SHMSIZE"

    def fail(self, connection):
        raise Full("disk I/O error")

    monkeypatch.setattr(Database, "_write_journal", fail)
    with pytest.raises(StoreError, match=r"^cannot read or write the record .* \(disk I/O error\).*has space"):
        store.declare({"seed": 3})


@pytest.mark.sqlite
def test_an_old_model_that_cannot_be_deleted_is_left_with_a_warning(store, monkeypatch, caplog):
    for round in range(2):
        store.add_queries([query("ab"[round], round)])
        if round:
            monkeypatch.setattr(Path, "unlink", Mock(side_effect=OSError(5, "Input/output error")))
        store.commit_round(RoundResult(round, ("ab"[round],), 1), b"weights %d" % round, "stamp")
    assert len(store.rounds()) == 2
    assert "cannot delete" in caplog.text
    monkeypatch.undo()
    store.commit_round(RoundResult(2, (), 1), b"weights 2", "stamp")
    assert len(store.contents.names(".model")) == 1


@pytest.mark.sqlite
def test_a_path_that_the_system_refuses_is_an_error(tmp_path):
    with pytest.raises(StoreError, match="cannot reach"):
        Store(tmp_path.joinpath(*["x" * 200] * 30))


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs a fork")
def test_a_forked_process_uses_the_record_of_its_parent(tmp_path):
    store = Store(tmp_path / "r.db", wait=0.1)

    def told(locked):
        reading, writing = os.pipe()
        if not os.fork():
            with os.fdopen(writing, "wb") as answer:
                try:
                    with store.exclusive():
                        store.declare({"locked" if locked else "free": 1})
                    answer.write(b"declared")
                except BaseException as error:
                    answer.write(type(error).__name__.encode())
            os._exit(0)
        os.close(writing)
        os.wait()
        with os.fdopen(reading, "rb") as answer:
            return answer.read().decode()

    assert told(locked=False) == "declared"
    assert store.fact("free") == 1
    with store.exclusive():
        assert told(locked=True) == "StoreBusyError"
    assert store.fact("locked") is None


@pytest.mark.parametrize("work", ["step", "commit_round", "purge"])
def test_what_deletes_files_is_refused_inside_a_block_that_may_be_undone(tmp_path, work):
    store = Store(tmp_path / "a.db")
    calls = {
        "step": lambda: store.step("fit()").__enter__(),
        "commit_round": lambda: store.commit_round(RoundResult(0, (), 1, {}, {}), b"", "stamp"),
        "purge": store.purge,
    }
    with store.together():
        store.declare({"seed": 1})
        with pytest.raises(QueryError, match=r"was called inside together\(\) of the same record.*after the block"):
            calls[work]()
    assert store.fact("seed") == 1
    with store.step("fit()"):
        pass


def test_what_is_changed_inside_a_block_is_recorded_together_or_not_at_all(tmp_path):
    store, other = Store(tmp_path / "a.db"), Store(tmp_path / "a.db")

    def end():
        with other.database.reading() as connection:
            assert other.database.agrees(connection)  # with the journal
            return other.database.position(connection)

    before = end()

    def fail():
        with store.together():
            store.declare({"seed": 1})
            assert (store.fact("seed"), other.fact("seed")) == (1, None)
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        fail()
    assert store.fact("seed") is None
    assert end() == before
    with store.together(), store.together():
        with pytest.raises(ZeroDivisionError):
            store.revise_all({"seed": lambda before: 2, "threads": lambda before: 1 / 0})
        assert store.fact("seed") is None
        store.declare({"threads": 3})
        with store.moment():
            assert store.fact("threads") == 3
    assert (other.fact("seed"), other.fact("threads")) == (None, 3)
    other.revise("threads", lambda before: before + 1)
    assert store.fact("threads") == 4
    assert end().lines == before.lines + 3  # a fact is replaced by two
