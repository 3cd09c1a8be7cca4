"""A record in a place where nothing can be written can be looked at and used, with all that was ever committed."""

import json
import os
import shutil
import sqlite3
import subprocess
import sys
import tempfile
from contextlib import contextmanager
from pathlib import Path

import pytest
from commandline import alkit as run
from look import look
from parts import CLASSES

import alkit
from alkit.errors import StoreBusyError, StoreError
from alkit.record import Store, read_only

pytestmark = pytest.mark.sqlite

OLD = Path(__file__).parents[1] / "fixtures/a395940"
FAST = "--size 16 --widths 2,4 --epochs 2,1 --start 4 --batch 2 --grayscale --strategy random --rounds 0".split()
NOBODY = 65534


@pytest.fixture
def place():
    """Return a new folder that every user can enter."""
    folder = Path(tempfile.mkdtemp(prefix="alkit-test-"))
    folder.chmod(0o755)
    yield folder
    for path in (folder, *folder.rglob("*")):
        path.chmod(0o755)
    shutil.rmtree(folder)


@pytest.fixture
def campaign(folders, place):
    """Return a folder with a trained record in study/, whose last answers are only in its write-ahead log."""
    store = folders / "r.db"
    shutil.move(folders / "images", place / "images")
    assert run("run", "--images", place / "images", "--masks", folders / "masks", "--store", store, *FAST) == 0
    other = sqlite3.connect(store)
    other.execute("BEGIN")
    other.execute("SELECT * FROM facts").fetchone()  # it keeps the log from being moved into the database
    experiment = alkit.Experiment.open(store)
    experiment.receive([alkit.Answer(id, alkit.SKIP, "ann") for id in experiment.ask(2)])
    shutil.copytree(folders, place / "all", ignore=shutil.ignore_patterns("*-shm", "*.lock", "masks"))
    other.close()
    (place / "all").rename(place / "study")
    assert (place / "study" / "r.db-wal").stat().st_size > 0
    (place / "new").mkdir()
    for path in sorted((place / "images").iterdir())[:2]:
        shutil.copyfile(path, place / "new" / path.name)
    return place


def contents(folder):
    return {path: path.read_bytes() for path in sorted(folder.rglob("*")) if path.is_file()}


def check(found, place, before):
    """Check that everything that only reads worked, and that all committed answers were seen."""
    expected = before["answers"]
    assert found["answers"] == expected
    assert [kind for *_, kind in expected].count("skip") == 2  # which are in the log only
    assert found["rounds"] == before["rounds"] == 1
    for name in ("status", "check", "predict", "export", "labels", "compare"):
        assert found[name][0] == 0, found[name][1]
    assert json.loads(found["status"][1])["skipped"]
    assert found["predicted"] == before["predicted"] > 0
    assert found["prelabels"] == before["prelabels"]
    assert (place / "out" / "labels" / "DATACARD.md").exists()
    assert "Everything is intact" in found["check"][1]
    assert len(list((place / "out" / "predicted" / "masks").iterdir())) == 2
    assert (place / "out" / "model" / "CARD.md").exists()
    words = "cannot be changed, because its file or its folder is read-only. Try: a copy of the record and its files"
    for name in ("ask", "tell"):
        assert found[name][0] == 1
        assert words in found[name][1]


@contextmanager
def without_rights():
    """Work as a user who may not write, if this is the user who may do anything."""
    if os.geteuid() != 0:
        yield
        return
    os.seteuid(NOBODY)
    try:
        yield
    finally:
        os.seteuid(0)


@pytest.fixture
def before(campaign):
    """Look at a copy that can be written, which also imports all that is needed while it can be read."""
    shutil.copytree(campaign / "study", campaign / "copy")
    found = look(campaign / "copy" / "r.db", campaign / "new", campaign / "before")
    assert found["ask"][0] == 0, found["ask"]
    return found


@pytest.mark.skipif(os.name != "posix", reason="needs the permissions of POSIX")
@pytest.mark.parametrize("what", [pytest.param("file", marks=pytest.mark.slow), "folder", "both"])
def test_a_record_without_write_permission_is_read_with_its_log(campaign, before, what, monkeypatch):
    study, out = campaign / "study", campaign / "out"
    out.mkdir()
    (campaign / "cache").mkdir()
    monkeypatch.setenv("ALKIT_CACHE", str(campaign / "cache"))
    for folder in (out, campaign / "cache", study, *study.rglob("*")):
        folder.chmod(0o777)
    if what != "file":
        for path in (study, *study.rglob("*")):
            path.chmod(0o755 if path.is_dir() else 0o666)
    if what != "folder":
        (study / "r.db").chmod(0o444)
    content = contents(study)
    with without_rights():
        found = look(study / "r.db", campaign / "new", out)
    check(found, campaign, before)
    assert contents(study) == content


@pytest.mark.slow
def test_a_record_on_a_read_only_mount_is_read_with_its_log(campaign, before):
    study = campaign / "study"
    mount = f"mount --bind {study} {study} && mount -o remount,bind,ro {study}"
    if subprocess.run(["unshare", "-rm", "sh", "-c", mount], capture_output=True, check=False).returncode:
        pytest.skip("this system cannot mount for a process only")
    program = [sys.executable, Path(__file__).parents[1] / "support" / "look.py", study / "r.db", campaign / "new"]
    script = f"{mount} && exec {' '.join(map(str, program))} {campaign / 'out'}"
    content = contents(study)
    done = subprocess.run(["unshare", "-rm", "sh", "-c", script], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    check(json.loads(done.stdout.splitlines()[-1]), campaign, before)
    assert contents(study) == content


@pytest.fixture
def locked(monkeypatch):
    """Return a function that makes a record read-only for this process."""
    records = set()
    monkeypatch.setattr("alkit.record.store.is_read_only", lambda record: record in records)

    def lock(record):
        records.add(record)
        return record

    return lock


def test_no_change_of_a_read_only_record_is_possible(campaign, locked):
    store = Store(locked(campaign / "study" / "r.db"))
    assert store.read_only
    changes = {
        "declare": lambda: store.declare({"a": 1}),
        "revise": lambda: store.revise("a", lambda before: 1),
        "exclusive": lambda: store.exclusive().__enter__(),
        "add_queries": lambda: store.add_queries([alkit.Query("a", 9, 0, ((4, 4),))]),
        "reject": lambda: store.reject([1], "why"),
        "withdraw": lambda: store.withdraw(["a"]),
    }
    content = contents(campaign)
    for name, change in changes.items():
        with pytest.raises(StoreError, match=r"r\.db cannot be changed, because its file or its folder is read-only"):
            change()
        assert contents(campaign) == content, name


def test_the_copy_is_deleted_with_the_record(campaign, locked):
    store = Store(locked(campaign / "study" / "r.db"))
    copy = store.database.copy
    assert copy.exists()
    del store
    assert not copy.parent.exists()


def test_a_read_only_record_of_an_earlier_schema_is_read_without_a_change(tmp_path, locked, caplog):
    shutil.copyfile(OLD / "campaign.db", tmp_path / "campaign.db")
    shutil.copytree(OLD / "campaign.db.files", tmp_path / "campaign.db.files")
    content = contents(tmp_path)
    store = Store(locked(tmp_path / "campaign.db"))
    assert len(store.answers()) == 16
    assert alkit.trained_model(tmp_path / "campaign.db").predictor
    assert contents(tmp_path) == content
    assert not caplog.messages


def test_a_record_that_shall_only_be_read_is_not_changed_where_it_could_be(tmp_path):
    """Neither is it migrated, nor is a folder made beside it, nor is a change possible."""
    name = "campaign.db"
    for path in OLD.glob(f"{name}*"):
        (shutil.copytree if path.is_dir() else shutil.copyfile)(path, tmp_path / path.name)
    record = tmp_path / name
    before = {path: path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()}
    store = Store(record, read_only=True)
    assert store.read_only
    assert store.rounds()
    with pytest.raises(StoreError, match="cannot be changed"):
        store.declare({"mine": 1})
    store.close()
    after = {path: path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()}
    assert {path: text for path, text in after.items() if path in before} == before
    assert {path.name for path in after.keys() - before.keys()} <= {f"{name}-wal", f"{name}-shm"}


def test_a_record_that_shall_only_be_read_must_exist(tmp_path):
    (tmp_path / "empty.db").touch()
    with pytest.raises(StoreError, match="empty"):
        Store(tmp_path / "empty.db", read_only=True)


def test_a_moved_folder_of_images_is_used_and_not_recorded(folders, locked):
    store = folders / "r.db"
    pool = alkit.ImagePool(folders / "images", size=16, grayscale=True)
    learner = alkit.SegmentationLearner(epochs=(1, 1))
    alkit.Experiment(pool, learner, alkit.strategy("random"), store, classes=CLASSES).ask(2)
    shutil.move(folders / "images", folders / "moved")
    locked(store)
    again = alkit.Experiment.open(store, pool=alkit.ImagePool(folders / "moved", size=16, grayscale=True))
    assert len(again.open_ids) == 2


def test_a_copy_is_made_again_if_another_computer_writes_meanwhile(campaign, locked, monkeypatch):
    record = campaign / "study" / "r.db"
    tries, copyfile = [], shutil.copyfile

    def slow(source, target):
        copyfile(source, target)
        if source == record and len(tries) < 2:
            tries.append(source)
            os.utime(record, ns=(len(tries), len(tries)))

    monkeypatch.setattr(read_only.shutil, "copyfile", slow)
    monkeypatch.setattr(read_only, "PAUSE", 0.0)
    assert len(Store(locked(record)).answers()) == 6
    assert len(tries) == 2
    monkeypatch.setattr(read_only, "TRIES", 1)
    tries.clear()
    with pytest.raises(StoreBusyError, match=r"in a read-only place, and was changed while it was being copied"):
        Store(record)


@pytest.mark.parametrize("lock", [False, True], ids=["writable", "read-only"])
def test_the_message_about_a_truncated_record_names_repair(campaign, locked, lock):
    refused = 0
    for part in ("r.db", "r.db-wal", "r.db.journal"):
        for percent in (0, 1, 30, 70, 99):
            study = shutil.copytree(campaign / "study", campaign / f"{part} {percent}")
            os.truncate(study / part, (study / part).stat().st_size * percent // 100)
            if lock:
                locked(study / "r.db")
            try:
                found = len(Store(study / "r.db").answers())
            except StoreError as reason:
                found, refused = str(reason), refused + 1
            # If nothing is refused, nothing was lost: the log or the journal had the rest.
            assert found == 6 or "alkit repair (in Python: alkit.record.repair)" in found, (part, percent)
    assert refused >= 10


@pytest.mark.parametrize("content", [b"", b"SQLite format 3", b"not a database " * 500])
def test_a_file_in_place_of_a_record_names_repair_if_there_are_backups(campaign, content, capfd):
    record = campaign / "study" / "r.db"
    for path in campaign.glob("study/r.db?*"):
        if path.is_file():
            path.unlink()
    record.write_bytes(content)
    assert run("status", record) == 1
    assert "alkit repair" in capfd.readouterr().err
    assert record.read_bytes() == content
