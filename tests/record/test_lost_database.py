"""A database that is lost is never replaced by an empty record, whatever is left of the old one."""

import shutil

import pytest

import alkit
from alkit.cli import main
from alkit.record import Recorded, Store
from alkit.record.repairing import repair

pytestmark = pytest.mark.sqlite


def skip(id, revision=1, annotator="ann"):
    return Recorded(id, annotator, revision, "skip", reason="blurred")


def tell(store, *answers):
    store.add_answers({one.id for one in answers}, lambda asked, known: answers)


@pytest.fixture
def lost(tmp_path):
    """Return the path of a record with two answers, which was closed."""
    store = Store(tmp_path / "r.db")
    store.declare({"seed": 3, "configuration": {}, "declared": {}})
    store.add_queries([alkit.Query(f"image {n}", 0, n, ((4, 4),)) for n in range(3)])
    tell(store, skip("image 0"), skip("image 1"))
    store.close()
    return store.path


def restored(path, out):
    repaired = repair(path, out)
    store = Store(out)
    found = [one.id for one in store.answers()]
    store.close()
    return found, repaired


def test_the_journal_of_a_repaired_record_is_not_replaced_by_a_new_record(lost):
    path = lost.with_name("repaired.db")
    repair(lost, path)
    path.unlink()
    shutil.rmtree(path.with_name("repaired.db.files"), ignore_errors=True)
    journal = path.with_name("repaired.db.journal").read_bytes()
    for attempt in (lambda: Store(path), lambda: repair(lost, path)):
        with pytest.raises(alkit.errors.StoreError, match=r"repaired.db.journal belongs .* 1 changes, 2 answers"):
            attempt()
        assert path.with_name("repaired.db.journal").read_bytes() == journal
        path.unlink(missing_ok=True)
    found, _ = restored(path, lost.with_name("again.db"))
    assert found == ["image 0", "image 1"]


def test_a_journal_whose_first_line_is_damaged_is_not_replaced_by_a_new_record(lost):
    lost.unlink()
    shutil.rmtree(lost.with_name("r.db.backups"))
    journal = lost.with_name("r.db.journal")
    content = b"x" + journal.read_bytes()[1:]
    journal.write_bytes(content)
    with pytest.raises(alkit.errors.StoreError, match="bytes that begin with a damaged line, expected"):
        Store(lost)
    assert journal.read_bytes() == content


def test_a_record_of_which_only_backups_are_left_is_not_replaced_by_a_new_record(lost, capsys):
    Store(lost).add_queries([alkit.Query("image 3", 1, 0, ((4, 4),))])  # which backs up the answers
    for end in ("", ".journal"):
        lost.with_name(lost.name + end).unlink()
    with pytest.raises(alkit.errors.StoreError, match=r"missing: got r.db.backups of an earlier record.*repair"):
        Store(lost)
    assert not lost.exists()
    with pytest.raises(SystemExit):
        main(["status", str(lost)])
    assert "is missing" in (said := " ".join(capsys.readouterr().err.split()))
    assert "alkit repair" in said
    assert restored(lost, lost.with_name("again.db"))[0] == ["image 0", "image 1"]


def test_classes_that_were_never_declared_are_not_called_lost(lost):
    journal = lost.with_name("r.db.journal")
    lines = journal.read_bytes().splitlines(keepends=True)
    lines[-1] = lines[-1].replace(b"blurred", b"8lurred")
    lines[2] = lines[2].replace(b"seed", b"s33d")
    journal.write_bytes(b"".join(lines))
    lost.unlink()
    assert not any("classes" in sentence for sentence in restored(lost, lost.with_name("again.db"))[1].lost)
