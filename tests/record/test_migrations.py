"""Records of earlier schemas are migrated when they are opened, completely or not at all."""

import multiprocessing
import os
import shutil
import sqlite3
from dataclasses import replace
from pathlib import Path

import pytest

from alkit.errors import ResumeError, StoreError
from alkit.record import Store, migrations, tables
from alkit.record.check import check, find_damage
from alkit.record.database import Database
from alkit.record.journal_lines import encode
from alkit.record.repairing import repair
from alkit.record.states import Standing
from alkit.values import State

pytestmark = pytest.mark.sqlite

OLD = Path(__file__).parents[1] / "fixtures/a395940"
CAMPAIGN = OLD / "campaign.db"
JOURNALLED = Path(__file__).parents[1] / "fixtures/schema-5"


@pytest.fixture
def record(tmp_path):
    """Return a copy of a campaign of schema 3."""
    shutil.copyfile(CAMPAIGN, tmp_path / "campaign.db")
    shutil.copytree(OLD / "campaign.db.files", tmp_path / "campaign.db.files")
    return tmp_path / "campaign.db"


def rows(path, statement):
    with sqlite3.connect(path) as connection:
        found = connection.execute(statement).fetchall()
    connection.close()
    return found


def schema(path):
    return int(rows(path, "SELECT value FROM facts WHERE name = 'schema'")[0][0])


@pytest.mark.parametrize("path", sorted(OLD.glob("*.db")), ids=lambda path: path.stem)
def test_all_rows_of_a_record_of_schema_3_are_kept(path, tmp_path):
    copy = Path(shutil.copyfile(path, tmp_path / "r.db"))
    before = {
        table: rows(copy, f"SELECT {columns} FROM {table}")
        for table, columns in {
            "queries": "round, rank, ask, id, sizes, score, stands_for, wanted, asked_at, sent_at, prelabel, withdrawn",
            "answers": "number, id, annotator, revision, kind, label, reason, seconds, rejected, told_at",
            "pseudo_labels": "round, id, label",
            "rounds": "round, labels, n_labels, n_pseudo, n_held_out, agreement, model, metrics, seconds, committed_at",
        }.items()
    }
    last = max((row[0] for row in before["rounds"]), default=None)
    consumed = rows(copy, "SELECT number, first, last FROM consumed")
    store = Store(copy)
    for table, found in before.items():
        assert [row[: len(found[0])] for row in rows(copy, f"SELECT * FROM {table}")] == found if found else True, table
    assert store.snapshot().consumed == {number for number, _, _ in consumed}
    assert store.snapshot().last_consumed == {number for number, _, until in consumed if until == last}
    assert schema(copy) == tables.SCHEMA
    assert not list(find_damage(copy))


def test_a_migrated_campaign_has_its_states_and_no_damage(record):
    store = Store(record)
    assert check(record).damage == ()
    found = {standing.state for standing in store.snapshot().standings if isinstance(standing, Standing)}
    assert State.CONSUMED in found


def test_a_copy_from_before_the_migration_is_never_replaced(record):
    Store(record)
    store = Store(record)  # which does not migrate again
    copy = record.with_name("campaign.db.backups") / "schema-3.db"
    assert schema(copy) == 3
    for _ in range(3):
        store.commit_round(store.rounds()[-1].__class__(store.rounds()[-1].round + 1, (), 1), b"weights", "stamp")
    assert copy.exists()
    assert len(list(copy.parent.glob("*.db"))) == 3


def test_a_damaged_record_is_not_migrated_and_can_be_repaired(record, tmp_path):
    rows(record, "UPDATE answers SET reason = 'forged' WHERE number = 1")
    before = record.read_bytes()
    with pytest.raises(StoreError, match=r"is damaged: a row of answers is not what alkit wrote.*alkit repair"):
        Store(record)
    assert schema(record) == 3
    assert record.read_bytes() == before
    repaired = repair(record, tmp_path / "new.db")
    assert repaired.saved["answers"] == len(rows(record, "SELECT 1 FROM answers")) - 1
    assert check(repaired.path).damage == ()


def test_a_record_of_a_later_schema_is_refused_with_both_versions_and_the_fix(record):
    later = tables.SCHEMA + 1
    rows(record, f"UPDATE facts SET value = '{later}' WHERE name = 'schema'")
    message = rf"later version of alkit: got schema {later}, expected schema 3 to {tables.SCHEMA}. Try: pip install --"
    with pytest.raises(ResumeError, match=message):
        Store(record)


def test_a_record_that_is_too_old_is_refused(record):
    rows(record, "UPDATE facts SET value = '2' WHERE name = 'schema'")
    with pytest.raises(ResumeError, match=r"too old: got schema 2, expected schema 3 to 6\. Try: open it once with"):
        Store(record)


def test_steps_follow_each_other(record, monkeypatch):
    monkeypatch.setitem(migrations.STEPS, 2, lambda old: {**old, "facts": [*old["facts"], {"name": "a", "value": 1}]})
    rows(record, "UPDATE facts SET value = '2' WHERE name = 'schema'")
    monkeypatch.setattr(migrations, "is_whole", lambda table, row: True)  # as schema 2 would have had its own digests
    store = Store(record)
    assert store.fact("a") == 1
    assert schema(record) == tables.SCHEMA


def test_a_step_that_fails_leaves_the_record_as_it_was(record, monkeypatch):
    def fail(old):
        raise LookupError

    before = record.read_bytes()
    monkeypatch.setitem(migrations.STEPS, 3, fail)
    with pytest.raises(LookupError):
        Store(record)
    monkeypatch.undo()
    assert record.read_bytes() == before
    assert Store(record).asked()


def _die_at(path, statements):
    """Open a record and die after so many statements that write."""
    import sqlalchemy as sa

    left = [statements]

    @sa.event.listens_for(sa.Engine, "before_cursor_execute")
    def count(connection, cursor, statement, *rest):
        if statement.split()[0] in ("DROP", "CREATE", "INSERT", "UPDATE", "COMMIT"):
            left[0] -= 1
            if left[0] < 0:
                os.kill(os.getpid(), 9)

    Store(path)


@pytest.mark.parametrize("statements", [0, 1, 6, 12, 20, 25])
def test_a_process_killed_during_a_migration_leaves_a_record_that_the_next_one_migrates(record, statements):
    expected = Store(shutil.copyfile(record, record.with_name("other.db"))).snapshot()
    child = multiprocessing.get_context("fork").Process(target=_die_at, args=(record, statements))
    child.start()
    child.join()
    assert child.exitcode == -9
    assert schema(record) == 3
    found = Store(record).snapshot()
    assert (found.asked, found.answers, found.rounds) == (expected.asked, expected.answers, expected.rounds)


def test_two_processes_that_open_an_old_record_at_once_migrate_it_once(record):
    context = multiprocessing.get_context("fork")
    children = [context.Process(target=Store, args=(record,)) for _ in range(4)]
    for child in children:
        child.start()
    for child in children:
        child.join()
    assert [child.exitcode for child in children] == [0] * 4
    assert check(record).damage == ()


def test_another_state_does_not_replace_a_record_that_was_just_migrated(record):
    Store(record).close()
    journal = record.with_name("campaign.db.journal")
    before = journal.read_bytes()
    for other in OLD.glob("*.db"):
        if other != CAMPAIGN:
            shutil.copyfile(other, record)
            with pytest.raises(
                StoreError, match=r"campaign\.db\.journal belongs to another record, or to a later state"
            ):
                Store(record)
            assert journal.read_bytes() == before, other
    shutil.copyfile(CAMPAIGN, record)  # a migration that was interrupted begins again
    Store(record).close()
    assert check(record).damage == ()


def test_a_process_does_not_write_into_a_record_that_a_later_version_migrated(tmp_path):
    store = Store(tmp_path / "r.db")
    with sqlite3.connect(tmp_path / "r.db") as connection:
        connection.execute("UPDATE facts SET value = '7' WHERE name = 'schema'")
    journal = (tmp_path / "r.db.journal").read_bytes()
    with pytest.raises(StoreError, match=r"migrated by a later version .* got schema 7, expected schema 6"):
        store.declare({"seed": 3})
    assert (tmp_path / "r.db.journal").read_bytes() == journal


# Schema 5, which had a journal and no table of unusual terms of queries.


@pytest.fixture
def journalled(tmp_path):
    """Return a copy of a record of schema 5: three images for two annotators, three labels, one of them sent back."""
    shutil.copytree(JOURNALLED, tmp_path / "five")
    return tmp_path / "five" / "r.db"


def states(store):
    return [standing.state for standing in store.snapshot().standings]


FIVE = [State.ANSWERED, State.REJECTED, State.PENDING]


def test_a_record_of_schema_5_goes_on_with_its_rows_and_its_journal(journalled):
    before = journalled.with_name("r.db.journal").read_bytes()
    store = Store(journalled)
    assert states(store) == FIVE
    assert journalled.with_name("r.db.journal").read_bytes().startswith(before)
    assert schema(journalled) == tables.SCHEMA
    assert schema(journalled.with_name("r.db.backups") / "schema-5.db") == 5
    store.revise_queries([replace(store.queries()[2], assigned=("ann",), due="2031-05-01T12:00:00+00:00")])
    found = check(journalled)
    assert (found.damage, found.damaged_backups) == ((), ())
    assert Store(journalled).queries()[2].assigned == ("ann",)


@pytest.mark.parametrize("statements", range(7))
def test_a_process_killed_while_it_adds_the_table_leaves_a_record_that_the_next_one_migrates(journalled, statements):
    child = multiprocessing.get_context("fork").Process(target=_die_at, args=(journalled, statements))
    child.start()
    child.join()
    assert states(Store(journalled)) == FIVE
    assert schema(journalled) == tables.SCHEMA
    assert check(journalled).damage == ()


def test_a_change_in_the_journal_of_schema_5_that_was_not_committed_is_completed(journalled):
    """The process died after it had written the line about a rejection, and before the database had it."""
    earlier = journalled.read_bytes()
    store = Store(journalled)
    store.close()
    for path in journalled.parent.glob("r.db*"):
        if path.is_file():
            path.unlink()
    shutil.copyfile(JOURNALLED / "r.db.journal", journalled.with_name("r.db.journal"))
    journalled.write_bytes(earlier)
    with sqlite3.connect(journalled) as connection:
        assert connection.execute("SELECT rejected FROM answers").fetchall() == [(None,), ("too hasty",), (None,)]
    database = Database(journalled, 1.0)
    with database.reading() as connection:
        line = ["change", "answers", [[1]], {"rejected": "blurred"}]
        content, _ = encode([line], database.position(connection))
    with journalled.with_name("r.db.journal").open("ab") as file:
        file.write(content)
    assert Store(journalled).answers()[0].rejected == "blurred"
    assert check(journalled).damage == ()


@pytest.mark.parametrize("lost", ["nothing", "the database", "the journal", "both"])
@pytest.mark.parametrize("opened", [False, True])
def test_a_record_of_schema_5_is_repaired_like_others(journalled, tmp_path, lost, opened):
    if opened:
        Store(journalled).close()
    if lost in ("the database", "both"):
        journalled.unlink()
    if lost in ("the journal", "both"):
        journalled.with_name("r.db.journal").unlink()
    repaired = repair(journalled, tmp_path / "new.db")
    assert bool(repaired.unknown) == (lost != "nothing")
    known = lost != "both" or opened  # the only other backup was made before the first query
    assert (repaired.saved["queries"], repaired.saved["answers"]) == ((3, 3) if known else (0, 0))
    assert repaired.lost == ()
    assert check(repaired.path).damage == ()
    if lost in ("nothing", "the database"):
        assert states(Store(repaired.path)) == FIVE


def test_a_read_only_record_of_schema_5_is_read(journalled, monkeypatch):
    monkeypatch.setattr("alkit.record.store.is_read_only", lambda record: True)
    before = journalled.read_bytes()
    assert states(Store(journalled)) == FIVE
    assert journalled.read_bytes() == before


def test_a_later_journal_beside_an_earlier_database_of_schema_5_is_refused(journalled):
    store = Store(journalled)
    store.reject([1], "blurred")
    store.close()
    for path in journalled.parent.glob("r.db-*"):
        path.unlink()
    shutil.copyfile(JOURNALLED / "r.db", journalled)
    with pytest.raises(StoreError, match="is older than its journal"):
        Store(journalled)
