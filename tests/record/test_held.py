"""One connection of SQLite for several readings."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

import pytest
import sqlalchemy as sa
from parts import CLASSES, MeanLearner

from alkit.errors import StoreError
from alkit.record import Store

pytestmark = pytest.mark.sqlite


def open_files(path):
    """Return how often this process has a file open."""
    return sum(
        os.path.realpath(f"/proc/self/fd/{number}") == str(path.resolve()) for number in os.listdir("/proc/self/fd")
    )


@pytest.fixture
def store(tmp_path):
    store = Store(tmp_path / "r.db", wait=0.1)
    store.declare({"a": 1})
    return store


@pytest.fixture
def opened(store):
    """A list that grows by each connection that is opened."""
    found = []
    sa.event.listen(store.database.backend._engine, "connect", lambda connection, _: found.append(connection))
    return found


def test_readings_in_a_block_share_a_connection_which_is_closed_after_it(store, opened):
    with store.one_connection():
        assert not opened
        assert [store.fact("a"), store.names(), store.fact("b")] == [1, ["a", "schema"], None]
        with store.one_connection():
            assert store.fact("a") == 1
        assert len(opened) == 1
    assert not open_files(store.path)
    assert store.fact("a") == 1
    assert len(opened) == 2


def test_a_block_sees_its_own_changes_and_those_of_others(store):
    with store.one_connection():
        assert store.fact("b") is None
        store.declare({"b": 2})
        assert store.fact("b") == 2
        Store(store.path).declare({"c": 3})
        assert store.fact("c") == 3
        with store.exclusive(), store.database.reading() as connection:
            assert store.fact("c") == 3  # a reading in a reading
            assert not connection.closed
        with store.database.transaction():
            assert store.fact("c") == 3


def test_a_change_in_a_block_is_complete_in_the_file(store, tmp_path):
    with store.one_connection():
        assert store.fact("a") == 1
        store.declare({"b": 2})
        assert not store.path.with_name("r.db-wal").exists()


def test_nothing_is_open_in_a_block_for_long_work(store):
    with store.one_connection():
        assert store.fact("a") == 1
        with store.no_connection():
            assert store.fact("a") == 1
            assert not open_files(store.path)
        assert store.fact("a") == 1
        assert open_files(store.path)


def test_an_error_in_a_block_closes_the_connection(store):
    with store.one_connection():
        with pytest.raises(RuntimeError), store.database.reading():
            raise RuntimeError
        assert not open_files(store.path)
        assert store.fact("a") == 1


def test_a_file_that_is_replaced_in_a_block_is_read(store, tmp_path):
    other = Store(tmp_path / "other.db")
    other.declare({"a": 2})
    with store.one_connection():
        assert store.fact("a") == 1
        os.replace(other.path, store.path)
        assert store.fact("a") == 2
    assert not store.path.with_name("r.db-wal").exists()
    assert store.fact("a") == 2


def test_a_file_that_is_deleted_in_a_block_is_an_error(store):
    with store.one_connection():
        assert store.fact("a") == 1
        store.path.unlink()
        with pytest.raises(StoreError):
            store.fact("a")


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs a fork")
def test_a_fork_in_a_block_opens_its_own_connection(store):
    with store.one_connection():
        assert store.fact("a") == 1
        if not (child := os.fork()):
            try:
                store.declare({"b": 2})
                with store.one_connection():
                    good = store.fact("b") == 2 and store.fact("a") == 1
                os._exit(0 if good else 1)
            finally:
                os._exit(2)
        assert os.waitpid(child, 0)[1] == 0
        assert [store.fact("a"), store.fact("b")] == [1, 2]


@dataclass(frozen=True)
class Looking(MeanLearner):
    """A learner that fails if the record is open while it trains."""

    record: str = ""

    def fit(self, labelled, *rest):
        assert not open_files(Path(self.record))
        return super().fit(labelled, *rest)


def test_an_experiment_reads_by_few_connections_and_has_none_open_while_it_trains(tmp_path, world, monkeypatch):
    path, opened, connect = tmp_path / "r.db", [], sa.Engine.connect
    monkeypatch.setattr(sa.Engine, "connect", lambda engine: opened.append(engine) or connect(engine))

    def count():
        n = len(opened)
        opened.clear()
        return n

    learner = Looking(record=str(path))
    world.experiment(path, learner=learner, classes=CLASSES)
    count()
    experiment = world.experiment(path, learner=learner, classes=CLASSES)
    assert count() <= 5
    ids = experiment.ask(3)
    assert count() <= 10
    experiment.tell({id: world.masks[id] for id in ids})
    assert count() <= 10
    experiment.fit()
    assert count() <= 10


@pytest.mark.parametrize("where", ["of a statement", "of a rollback"])
def test_an_interrupt_inside_a_transaction_keeps_nobody_from_writing(store, monkeypatch, where):
    def interrupted(*args):
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt) as kept, store.database.transaction() as connection:  # noqa: PT012
        if where == "of a statement":
            monkeypatch.setattr(sa.CursorResult, "_init_metadata", interrupted)
            connection.execute(sa.text("SELECT * FROM facts"))
        for name in ("do_rollback", "do_close"):
            monkeypatch.setattr(store.database.backend._engine.dialect, name, interrupted)
        raise ValueError
    monkeypatch.undo()
    store.declare({"b": 2})
    Store(store.path, wait=0.1).declare({"c": 3})
    assert store.names() == ["a", "b", "c", "schema"]
    assert kept.tb  # its frames have the connection, as those of the last error have in a notebook
