import multiprocessing
import resource
import sqlite3

import numpy as np
import pytest

from alkit import Query, ResumeError, RoundResult, StoreBusyError, StoreError
from alkit.store import Store


def query(id, round=0, rank=0):
    return Query(id, round, rank, ((4, 4),), score=0.5, stands_for="itself")


@pytest.fixture
def store(tmp_path):
    return Store(tmp_path / "record.db", wait=0.2)


def test_everything_recorded_is_there_for_the_next_process(store):
    store.declare({"seed": 3})
    store.add_queries([query("b", rank=0), query("a", rank=1)])
    store.add_answers({"a": (store.keep(b"mask", ".png"), ""), "b": (None, "blurred")})
    store.commit_round(RoundResult(0, ("b", "a"), 1, {"dice": 0.5}, {"fit": 1.0}), b"weights", "stamp")
    again = Store(store.path)
    assert again.fact("seed") == 3
    assert again.queries() == [query("b", rank=0), query("a", rank=1)]
    answers = again.answers()
    assert list(answers) == ["b", "a"]  # in the order they were asked
    assert (answers["b"].label, answers["b"].reason) == (None, "blurred")
    assert again.content(answers["a"].label) == b"mask"
    assert again.rounds() == [RoundResult(0, ("b", "a"), 1, {"dice": 0.5}, {"fit": 1.0})]
    model, last = again.last_model()
    assert (again.content(model), last) == (b"weights", "stamp")


def test_the_latest_answer_counts_and_earlier_ones_stay(store):
    store.add_queries([query("a")])
    for content in (b"first", b"second", b"first"):
        store.add_answers({"a": (store.keep(content, ".png"), "")})
    assert store.content(store.answers()["a"].label) == b"first"
    assert store.answers()["a"].number == 3


def test_only_the_last_model_is_kept(store):
    for number in range(3):
        store.commit_round(RoundResult(number, (), 1), f"weights {number}".encode(), "stamp")
    assert [path.read_bytes() for path in store.files.glob("*.model")] == [b"weights 2"]


def test_a_round_with_the_same_weights_as_the_last_keeps_its_model(store):
    for number in range(2):
        store.commit_round(RoundResult(number, (), 1), b"same", "stamp")
    assert store.content(store.last_model()[0]) == b"same"


def test_a_failed_transaction_leaves_nothing(store):
    with pytest.raises(StoreError):
        store.add_queries([query("a", rank=0), query("b", rank=0)])  # one rank twice
    assert store.queries() == []


@pytest.mark.parametrize("content", [b"", b"not a database " * 500])
def test_a_file_that_is_no_database_is_refused_and_left_alone(tmp_path, content):
    path = tmp_path / "record.db"
    path.write_bytes(content)
    if content:
        with pytest.raises(StoreError, match=r"record\.db"):
            Store(path)
        assert path.read_bytes() == content
    else:  # an empty file is an empty database
        assert Store(path).queries() == []


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
        Store(store.path)


def test_a_foreign_database_is_refused_and_not_written_to(tmp_path):
    path = tmp_path / "other.db"
    with sqlite3.connect(path) as connection:
        connection.execute("CREATE TABLE recipes (name)")
    connection.close()
    with pytest.raises(StoreError, match="no record of"):
        Store(path)
    with sqlite3.connect(path) as connection:
        assert connection.execute("SELECT name FROM sqlite_master").fetchall() == [("recipes",)]
    connection.close()


def test_another_schema_version_is_refused(store):
    with sqlite3.connect(store.path) as connection:
        connection.execute("UPDATE facts SET value = '99' WHERE name = 'schema'")
    connection.close()
    with pytest.raises(ResumeError, match="99"):
        Store(store.path)


def test_a_missing_or_altered_file_is_noticed(store):
    name = store.keep(b"content", ".png")
    (store.files / name).write_bytes(b"other")
    with pytest.raises(StoreError, match="damaged"):
        store.content(name)
    (store.files / name).unlink()
    with pytest.raises(StoreError, match="does not have"):
        store.content(name)


def test_a_place_that_cannot_be_written_is_an_error_of_ours(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(StoreError, match="cannot make the folder"):
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


def test_running_out_of_room_is_an_error_of_ours_and_loses_nothing(store):
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


def test_a_second_process_waits_and_then_says_who_is_in_the_way(store):
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


def test_scores_come_back_as_they_were(store):
    score = float(np.nextafter(0.1, 1))
    store.add_queries([Query("a", 0, 0, ((4, 4),), score)])
    assert store.queries()[0].score == score


def test_records_with_one_stem_share_no_file(tmp_path):
    stores = [Store(tmp_path / name) for name in ("r.v1", "r.v2", "r.lock", "r.files")]
    for number, one in enumerate(stores):
        one.commit_round(RoundResult(0, (), 1), f"{number}".encode(), "stamp")
    assert [one.content(one.last_model()[0]) for one in stores] == [b"0", b"1", b"2", b"3"]


def test_what_a_killed_process_left_is_swept_up_by_the_next_commit(store):
    store.keep(b"orphan", ".model")
    (store.files / ".writing-x").write_bytes(b"half")
    mask = store.keep(b"mask", ".png")
    store.commit_round(RoundResult(0, (), 1), b"weights", "stamp")
    assert {path.name for path in store.files.iterdir()} == {mask, store.last_model()[0]}


def test_keeping_the_same_again_heals_a_damaged_file(store):
    name = store.keep(b"content", ".png")
    (store.files / name).write_bytes(b"damaged")
    assert store.keep(b"content", ".png") == name
    assert store.content(name) == b"content"


def test_commits_are_synchronised_to_disk(store):
    with store._transaction() as connection:
        assert connection.exec_driver_sql("PRAGMA synchronous").scalar() == 2  # FULL
        assert connection.exec_driver_sql("PRAGMA journal_mode").scalar() == "wal"
