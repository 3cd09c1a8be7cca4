"""Records whose files are copies from different moments: what was recorded later wins, and nothing else is mixed in."""

import shutil
import sqlite3
from pathlib import Path

import pytest
from commandline import alkit as run

import alkit
from alkit.errors import StoreError
from alkit.record import Recorded, Store, backups
from alkit.record.backups import lines_in
from alkit.record.removing import REMOVED
from alkit.record.repairing import repair

pytestmark = pytest.mark.sqlite


def ask(store, round, *ids):
    store.add_queries([alkit.Query(id, round, rank, ((4, 4),)) for rank, id in enumerate(ids)])


def tell(store, id, annotator="ann"):
    answer = Recorded(id, annotator, 1, "skip", reason="blurred")
    store.add_answers({id}, lambda asked, known: [answer])


def parts(path):
    return [path, path.with_name(f"{path.name}.journal")]


@pytest.fixture
def record(tmp_path):
    """Return a record with one answer, and a folder with a copy of its database and journal as they were then.

    Afterwards this answer was sent back, another one told, and the next query asked, which made a backup.
    """
    store = Store(tmp_path / "r.db")
    store.declare({"seed": 3, "configuration": {}, "declared": {}})
    ask(store, 0, "a", "b", "c", "d")
    tell(store, "a")
    store.close()
    earlier = tmp_path / "earlier"
    earlier.mkdir()
    for file in parts(store.path):
        shutil.copy(file, earlier)
    store = Store(store.path)
    store.reject([1], "sloppy")
    tell(store, "b")
    ask(store, 1, "e")
    store.close()
    return store.path, earlier


def restored(path, **options):
    out = path.with_name("out.db")
    repaired = repair(path, out, **options)
    store = Store(out)
    known = store.snapshot().known
    told = {(one.id, one.annotator): one.rejected for one in store.answers()}
    store.close()
    return told, set(known), repaired


def turn(path, earlier):
    """Go back to the earlier copies of the database and its journal, and go on in another way."""
    for file in parts(path):
        shutil.copy(earlier / file.name, file)
    store = Store(path)
    tell(store, "c", "ben")
    ask(store, 1, "f")
    tell(store, "f", "ben")
    return store


@pytest.mark.parametrize("left", [None, 0, 100], ids=["no journal", "an empty journal", "the start of the journal"])
def test_a_backup_that_is_later_than_the_database_is_used_if_the_journal_is_lost(record, left):
    path, earlier = record
    database, journal = parts(path)
    shutil.copy(earlier / database.name, database)
    content = journal.read_bytes()
    journal.unlink()
    if left is not None:
        journal.write_bytes(content[:left])
    told, counts, repaired = restored(path)
    assert told == {("a", "ann"): "sloppy", ("b", "ann"): None}
    assert counts == set()
    assert repaired.unknown


def test_rows_of_a_damaged_database_that_the_journal_does_not_reach_are_kept(record):
    path, earlier = record
    database, journal = parts(path)
    shutil.copy(earlier / journal.name, journal)
    content = database.read_bytes()
    assert content.count(b"configuration") > 0
    database.write_bytes(content.replace(b"configuration", b"c0nfiguration"))
    shutil.rmtree(path.with_name("r.db.backups"))
    told, counts, repaired = restored(path)
    assert told == {("a", "ann"): "sloppy", ("b", "ann"): None}
    assert counts == {"b"}
    assert repaired.unknown


def test_new_backups_are_kept_beside_those_of_a_state_that_was_replaced_by_an_earlier_copy(record):
    path, earlier = record
    shutil.copy(earlier / path.name, path)
    shutil.copy(earlier / f"{path.name}.journal", path.with_name(f"{path.name}.journal"))
    folder = path.with_name("r.db.backups")
    for number in (900, 901):
        shutil.copy(max(folder.iterdir()), folder / f"lines-{number:012}.db")
    store = turn(path, earlier)
    ask(store, 2, "g")
    store.close()
    found = sorted(file.name for file in folder.iterdir())
    assert found[-2:] == ["lines-000000000900.db", "lines-000000000901.db"]
    with Store(path).database.reading() as connection:
        lines = Store(path).database.position(connection).lines
    assert any(0 < lines - int(name[6:-3]) < 3 for name in found)


def test_a_backup_of_a_state_that_was_replaced_by_an_earlier_copy_is_not_mixed_in(record):
    path, earlier = record
    later = max(path.with_name("r.db.backups").iterdir()).read_bytes()
    turn(path, earlier).close()
    path.with_name("r.db.backups").joinpath("lines-000000000900.db").write_bytes(later)
    path.unlink()
    told, counts, repaired = restored(path)
    assert told == {("a", "ann"): None, ("c", "ben"): None, ("f", "ben"): None}
    assert counts == {"a", "c", "f"}
    assert repaired.unknown  # whether more followed

    journal = parts(path)[1]
    lines = journal.read_bytes().splitlines(keepends=True)
    lines[5] = lines[5].replace(b"4", b"7", 3)
    journal.write_bytes(b"".join(lines))
    for file in parts(path.with_name("out.db")):
        file.unlink()
    for file in path.with_name("r.db.backups").glob("lines-0000000000*.db"):
        file.unlink()
    told, counts, repaired = restored(path, trust=True)
    assert told == {("a", "ann"): None, ("c", "ben"): None, ("f", "ben"): None}
    assert "lines-000000000900.db say: they belong to another state" in " ".join(repaired.unknown)


@pytest.mark.parametrize("n", [0, 3], ids=["a longer journal", "a longer database"])
def test_answers_of_two_copies_that_went_on_separately_are_all_kept(record, tmp_path, n):
    path, earlier = record
    other = tmp_path / "other" / path.name
    shutil.copytree(path.parent, other.parent, ignore=shutil.ignore_patterns("earlier", "other"))
    for file in parts(other):
        shutil.copy(earlier / file.name, file)
    store = Store(other)
    tell(store, "c", "ben")
    for _ in range(4):
        store.reject([2], "sloppy")
    store.close()
    store = Store(path)
    for number in range(n):
        tell(store, "d", f"ann{number}")
    store.close()
    shutil.copy(parts(other)[1], parts(path)[1])
    with pytest.raises(alkit.errors.StoreError, match="journal"):
        Store(path)
    told, counts, repaired = restored(path)
    assert told.keys() >= {("a", "ann"), ("b", "ann"), ("c", "ben")}
    assert "c" not in counts
    assert "a" not in counts
    assert "whether 1 answers count that only the journal has" in " ".join(repaired.unknown)


def test_a_longer_database_of_another_record_is_not_taken_for_that_of_the_journal(record, tmp_path):
    path, _ = record
    other = Store(tmp_path / "other" / "r.db")
    other.declare({"seed": 4, "configuration": {}, "declared": {}, "campaign": "another"})
    ask(other, 0, *(f"image {n}" for n in range(30)))
    other.close()
    shutil.copy(other.path, path)
    _, _, repaired = restored(path)
    assert "r.db.journal belongs to another record" in " ".join(repaired.unknown)


def fork(path, earlier, change):
    """Let a copy of the earlier state go on in another way, and take its journal in place of the record's own."""
    other = path.parent / "other" / path.name
    shutil.copytree(path.parent, other.parent, ignore=shutil.ignore_patterns("earlier", "other"))
    for file in parts(other):
        shutil.copy(earlier / file.name, file)
    store = Store(other)
    change(store)
    store.close()
    shutil.copy(parts(other)[1], parts(path)[1])


def told_again(revision, kind="skip"):
    def change(store):
        answer = Recorded("a", "ann", revision, kind, reason="sharp after all")
        store.add_answers({"a"}, lambda asked, known: [answer])

    return change


@pytest.fixture
def kept(record):
    """Return a record in which the answer of the earlier copy counts, and that copy."""
    path, earlier = record
    for file in parts(path):
        shutil.copy(earlier / file.name, file)
    shutil.rmtree(path.with_name(f"{path.name}.backups"))
    store = Store(path)
    tell(store, "b")
    tell(store, "c")
    store.close()
    return path, earlier


@pytest.mark.parametrize(
    ("change", "kind", "rejected"),
    [
        (lambda store: store.reject([1], "sloppy"), "skip", "sloppy"),
        (told_again(2), "invalid", None),
        (told_again(2, "withdrawal"), "invalid", None),
    ],
    ids=["sent back", "replaced", "taken back"],
)
def test_what_another_state_took_back_does_not_count(kept, change, kind, rejected):
    path, earlier = kept
    fork(path, earlier, change)
    _, counts, repaired = restored(path)
    assert counts == {"b", "c"}
    store = Store(path.with_name("out.db"))
    first = store.answers()[0]
    store.close()
    assert (first.id, first.kind, first.rejected) == ("a", kind, rejected)
    assert "whether 1 answers count that the journal, which belongs to another state" in " ".join(repaired.unknown)


def test_a_later_answer_counts_whatever_another_state_says(kept):
    path, earlier = kept
    store = Store(path)
    told_again(3)(store)
    store.close()
    fork(path, earlier, told_again(2))
    _, counts, repaired = restored(path)
    assert counts == {"a", "b", "c"}
    assert "sent back" not in " ".join(repaired.unknown)


def go_back(path, earlier):
    """Put the earlier copies of the database and of its journal in place. They agree."""
    for file in parts(path):
        shutil.copy(earlier / file.name, file)


def test_what_a_later_backup_has_is_noticed_if_database_and_journal_are_earlier_copies(record, caplog, capsys):
    path, earlier = record
    go_back(path, earlier)
    Store(path).close()
    assert "r.db is older than its backup" in caplog.text
    assert run("check", path) == 1
    assert "which has 1 answer, 1 answer sent back that the record lacks" in capsys.readouterr().out
    told, counts, repaired = restored(path)
    assert told == {("a", "ann"): "sloppy", ("b", "ann"): None}
    assert counts == set()  # what the backup says was sent back stays so
    assert "only lines-" in " ".join(repaired.unknown)
    caplog.clear()
    out = path.with_name("out.db")
    Store(out).close()
    assert (run("check", out), caplog.text) == (0, "")


REMOVED_B = {"b": {"at": "2026-01-01", "reason": "consent withdrawn", "digest": "", "files": [], "purged": False}}


def test_backups_from_before_a_removal_that_was_killed_tell_nothing_new(record, caplog):
    path, _ = record
    store = Store(path)
    for n in range(20):
        store.reject([1], f"sloppy {n}")
    backup = store.database.backend.back_up()
    store.take_out("b", lambda unused: {REMOVED: REMOVED_B})
    store.database.rewrite_journal()
    with store.database.reading() as connection:
        assert store.database.position(connection).lines < lines_in(Path(backup))
    store.close()
    Store(path).close()
    assert (run("check", path), caplog.text) == (0, "")
    assert restored(path)[2].unknown == ()


def test_what_a_backup_of_a_state_that_was_abandoned_has_is_kept_by_a_repair_of_an_intact_record(record):
    path, earlier = record
    later = max(path.with_name("r.db.backups").iterdir()).read_bytes()
    turn(path, earlier).close()
    path.with_name("r.db.backups").joinpath("lines-000000000900.db").write_bytes(later)
    told, counts, repaired = restored(path)
    assert counts == {"c", "f"}  # the backup says that the answer to a was sent back, and only it has one to b
    assert told["b", "ann"] is None
    assert all("which belongs to another state of the record" in text for text in repaired.unknown)
    assert "only lines-000000000900.db has" in " ".join(repaired.unknown)
    assert "after `alkit ask`, or by `alkit import`" in " ".join(repaired.unknown)


@pytest.fixture
def removed(record):
    """Return a record from which an image was removed, and copies of its database and journal from before."""
    path, _ = record
    before = path.parent / "before"
    before.mkdir()
    for file in parts(path):
        shutil.copy(file, before)
    store = Store(path)
    store.take_out("b", lambda unused: {REMOVED: REMOVED_B})
    store.purge()
    for annotator in ("ann", "ben"):
        tell(store, "c", annotator)
    store.reject([3], "sloppy")
    store.close()
    return path, before


@pytest.mark.parametrize("n", [0, 1], ids=["with its journal", "without a journal"])
def test_a_database_from_before_a_removal_is_an_earlier_copy(removed, n):
    path, before = removed
    shutil.copy(before / path.name, path)
    if n:
        parts(path)[1].unlink()
    told, counts, repaired = restored(path)
    assert repaired.unknown
    assert not [key for key in told if key[0] == "b" and key[1]]
    if not n:
        assert told[("c", "ben")] is None
        assert told[("c", "ann")] == "sloppy"
        assert counts == {"c"}
        assert "the database, which would confirm the end, is older" in " ".join(repaired.unknown)


def test_what_a_later_backup_has_is_noticed_also_after_the_record_has_gone_on_past_it(record, capsys):
    path, earlier = record
    aside = max(path.with_name("r.db.backups").iterdir())
    store = turn(path, earlier)
    for n in range(4):  # more backups than are kept
        store.reject([2], f"sloppy {n}")
        store.database.backend.back_up()
    with store.database.reading() as connection:
        assert store.database.position(connection).lines > lines_in(aside)
    store.close()
    assert len(list(aside.parent.iterdir())) == 1 + 2
    assert run("check", path) == 1
    said = capsys.readouterr().out
    assert (
        f"r.db went on from an earlier copy than its backup {aside.name}, which has 1 answer, 1 answer sent back"
        in said
    )
    told, counts, repaired = restored(path)
    assert (told["b", "ann"], "b" in counts) == (None, False)
    assert f"only {aside.name} has" in " ".join(repaired.unknown)
    shutil.copy(aside, aside.with_stem(f"{aside.stem}-1f"))
    assert run("check", path) == 1
    assert capsys.readouterr().out.count("went on from an earlier copy than its backup lines-") == 2
    aside.with_stem(f"{aside.stem}-1f").unlink()
    aside.unlink()  # the earlier copy was restored on purpose
    assert run("check", path) == 0


def test_backups_that_the_journal_continues_are_replaced_by_later_ones(record, capsys):
    path, _ = record
    store = Store(path)
    for n in range(4):
        tell(store, "c", f"ann {n}")
        store.database.backend.back_up()
    store.close()
    assert len(list(path.with_name("r.db.backups").iterdir())) == 2
    assert run("check", path) == 0


def test_a_backup_of_another_state_with_as_many_lines_is_not_overwritten(record, capsys):
    path, earlier = record
    before = {file.name: file.read_bytes() for file in path.with_name("r.db.backups").iterdir()}
    go_back(path, earlier)
    store = Store(path)  # somebody does the same again, with other answers
    store.reject([1], "blurred")
    tell(store, "c")
    ask(store, 1, "e")
    store.database.backend.back_up()
    store.close()
    after = {file.name: file.read_bytes() for file in path.with_name("r.db.backups").iterdir()}
    assert max(before) in after
    assert before[max(before)] in after.values()
    assert before[max(before)] != after[max(before)]
    assert run("check", path) == 1
    assert "which has 1 answer that the record lacks" in capsys.readouterr().out
    told, _, _ = restored(path)
    assert ("b", "ann") in told


def test_a_backup_that_cannot_be_read_now_is_neither_deleted_nor_overwritten(record, monkeypatch):
    path, earlier = record
    folder = path.with_name("r.db.backups")
    before = {file.name: file.read_bytes() for file in folder.iterdir()}
    store, read = turn(path, earlier), backups._position

    def fails(database):
        if database.name in before:
            raise sqlite3.OperationalError("disk I/O error")
        return read(database)

    monkeypatch.setattr(backups, "_position", fails)
    for n in range(4):  # more backups than are kept
        store.reject([2], f"sloppy {n}")
        store.database.backend.back_up()
    store.close()
    assert before.items() <= {file.name: file.read_bytes() for file in folder.iterdir()}.items()
    latest = max(file.name for file in folder.iterdir())
    store = Store(path)
    before[latest] = b""
    with pytest.raises(StoreError, match=r"cannot back up .*disk I/O error"):
        store.database.backend.back_up()
    store.close()
