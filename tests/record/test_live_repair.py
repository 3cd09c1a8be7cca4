"""A record that another process changes while it is repaired, checked or copied is read as it is at one moment."""

from __future__ import annotations

from contextlib import suppress

import pytest

import alkit
from alkit.errors import StoreBusyError
from alkit.record import Recorded, Store, remains
from alkit.record import check as checks
from alkit.record.check import check
from alkit.record.journal import Journal
from alkit.record.repairing import repair

pytestmark = pytest.mark.sqlite


@pytest.fixture
def store(tmp_path):
    """Return a record with three answers and a round."""
    store = Store(tmp_path / "r.db")
    store.declare({"seed": 3})
    store.add_queries([alkit.Query(id, 0, rank, ((4, 4),)) for rank, id in enumerate("abc")], {})
    told = [Recorded(id, "ann", 1, "label", store.keep(id.encode(), ".png")) for id in "abc"]
    store.add_answers(set("abc"), lambda asked, known: told)
    store.commit_round(alkit.RoundResult(0, tuple("abc"), 3, {"dice": 0.5}), b"weights", "stamp", [1, 2, 3])
    store.add_queries([alkit.Query("d", 1, 0, ((4, 4),))], {})
    yield store
    store.close()


def kinds(path):
    store = Store(path)
    found = [(answer.id, answer.kind) for answer in store.answers()]
    store.close()
    return found


LABELS = [(id, "label") for id in "abc"]


def interrupted(store, monkeypatch):
    """Let a process die after a new journal was committed and before it replaced the former one."""

    def die(self, position):
        raise KeyboardInterrupt

    with monkeypatch.context() as patch, suppress(KeyboardInterrupt):
        patch.setattr(Journal, "replace", die)
        store.database.rewrite_journal()
    store.close()


def test_a_repair_takes_the_journal_that_the_database_states(store, monkeypatch, tmp_path):
    interrupted(store, monkeypatch)
    found = repair(store.path, tmp_path / "new.db")
    assert (found.lost, found.unknown) == ((), ())
    assert kinds(tmp_path / "new.db") == LABELS


def test_a_check_takes_the_journal_that_the_database_states(store, monkeypatch):
    interrupted(store, monkeypatch)
    assert check(store.path).damage == ()


def test_a_copy_in_a_read_only_place_takes_the_journal_that_the_database_states(store, monkeypatch, tmp_path):
    interrupted(store, monkeypatch)
    monkeypatch.setattr("alkit.record.store.is_read_only", lambda path: True)
    assert kinds(store.path) == LABELS


def while_read(monkeypatch, module, name, action):
    """Let another process act once, behind the first call of a function of a module."""
    before, done = getattr(module, name), []

    def call(*given, **more):
        found = before(*given, **more)
        if not done:
            done.append(1)
            action()
        return found

    monkeypatch.setattr(module, name, call)


def test_a_repair_reads_again_if_the_journal_is_replaced_meanwhile(store, monkeypatch, tmp_path):
    while_read(monkeypatch, remains, "read_source", store.purge)
    monkeypatch.setattr(remains, "PAUSE", 0)
    found = repair(store.path, tmp_path / "new.db")
    assert (found.lost, found.unknown) == ((), ())
    assert kinds(tmp_path / "new.db") == LABELS


def test_a_repair_has_the_answers_that_came_while_it_read(store, monkeypatch, tmp_path):
    told = Recorded("d", "ann", 1, "label", store.keep(b"d", ".png"))
    while_read(monkeypatch, remains, "read_source", lambda: store.add_answers({"d"}, lambda asked, known: [told]))
    found = repair(store.path, tmp_path / "new.db")
    assert kinds(tmp_path / "new.db") == [*LABELS, ("d", "label")]
    assert not found.lost


def next_round(store):
    round = len(store.rounds())
    result = alkit.RoundResult(round, tuple("abc"), 3, {"dice": 0.6})
    store.commit_round(result, f"weights of {round}".encode(), "stamp", [1, 2, 3])


def test_a_model_that_is_replaced_during_a_repair_is_not_lost(store, monkeypatch, tmp_path):
    while_read(monkeypatch, remains, "read_history", lambda: next_round(store))
    found = repair(store.path, tmp_path / "new.db")
    assert (found.lost, found.unknown) == ((), ())
    new = Store(tmp_path / "new.db")
    assert new.models().keys() == {1}
    assert {*new.contents.names()} == {*store.contents.names()}
    new.close()


def test_a_model_that_is_lost_is_named_also_if_another_process_writes(store, monkeypatch, tmp_path):
    (model,) = store.models().values()
    store.delete_files([model])
    while_read(monkeypatch, remains, "read_history", lambda: store.revise("note", lambda before: 1))
    found = repair(store.path, tmp_path / "new.db")
    assert found.lost == (
        "the model of round 0: its file is missing or damaged, so all rounds are deleted; the next fit trains again",
    )


def test_a_record_that_never_rests_is_busy(store, monkeypatch, tmp_path):
    monkeypatch.setattr(remains, "PAUSE", 0)
    monkeypatch.setattr(remains, "TRIES", 3)
    (store.path.parent / "r.db.journal").write_bytes(b"x")
    versions = iter(range(10))
    monkeypatch.setattr(remains, "version_of", lambda address: next(versions))
    with pytest.raises(StoreBusyError, match="was changed by another process whenever it was being read"):
        repair(store.path, tmp_path / "new.db")


def test_a_check_finds_no_damage_in_what_is_replaced_meanwhile(store, monkeypatch):
    def replace():
        next_round(store)
        store.database.rewrite_journal()

    lost = checks._lost_files

    def lost_files(files, names):
        next_round(store)
        return lost(files, names)

    with monkeypatch.context() as patch:
        patch.setattr(checks, "_lost_files", lost_files)
        assert check(store.path).damage == ()
    for name in ("_read_with_end", "latest_first"):
        with monkeypatch.context() as patch:
            while_read(patch, checks, name, replace)
            found = check(store.path)
        assert (found.damage, found.damaged_backups) == ((), ()), name
    assert all(path.stat().st_size for path in store.backups.iterdir())
