"""Damage in a record is noticed when the damaged part is read, and a repair saves everything that is intact."""

import builtins
import errno
import hashlib
import io
import os
import shutil
import sqlite3
from contextlib import closing
from functools import partial

import numpy as np
import pytest

import alkit
from alkit.cli import main
from alkit.errors import StoreError
from alkit.record import Recorded, Store, salvage
from alkit.record.check import check
from alkit.record.repairing import repair

pytestmark = pytest.mark.sqlite


@pytest.fixture(scope="module")
def campaign(tmp_path_factory):
    """Return the folder of a campaign of two rounds and an open query, and what it had after each step."""
    folder = tmp_path_factory.mktemp("campaign")
    images, masks = alkit.synthetic.lesions(14, size=16)
    pool = alkit.ArrayPool(images)
    truth = dict(zip(pool.ids, masks, strict=True))
    experiment = open_at(folder / "r.db", pool)
    steps = [said(experiment)]
    for n in (4, 3):
        ids = experiment.ask(n)
        steps.append(said(experiment))
        for id in ids:
            experiment.tell({id: truth[id]}, annotator="ann")
            steps.append(said(experiment))
        experiment.fit()
        steps.append(said(experiment))
    experiment.ask(2)
    steps.append(said(experiment))
    return folder, pool, truth, steps


def open_at(path, pool):
    learner = alkit.SegmentationLearner(partial(alkit.UNet, widths=(2, 4)), epochs=(1, 1), device="cpu")
    return alkit.Experiment(pool, learner, alkit.strategy("random"), path, classes=("skin", "lesion"))


def said(experiment):
    """Return all that a record says of queries, answers and rounds."""
    store = Store(experiment.path)
    rounds = [(result.round, result.n_labels, result.ids) for result in store.rounds()]
    return store.queries(), [(one.id, one.label) for one in store.answers()], rounds


def copied(campaign, tmp_path):
    shutil.copytree(campaign[0], tmp_path / "copy")
    return tmp_path / "copy" / "r.db"


def kept(path):
    return {file: hashlib.sha256(file.read_bytes()).hexdigest() for file in path.parent.rglob("*") if file.is_file()}


def opened(path):
    """Return what a record says, or the error that opening or reading it raised."""
    try:
        store = Store(path)
        try:
            return said(type("Opened", (), {"path": store.path}))
        finally:
            store.close()
    except alkit.AlkitError as reason:
        return reason


def places(size, n, seed):
    return sorted(np.random.default_rng(seed).choice(size, n, replace=False).tolist())


def test_a_truncated_database_raises_an_error(campaign, tmp_path):
    whole = (campaign[0] / "r.db").read_bytes()
    for number, size in enumerate([0, *places(len(whole), 60, 0)]):
        path = tmp_path / f"{number}.db"
        path.write_bytes(whole[:size])
        found = opened(path)
        if size == 0:
            assert found == ([], [], [])  # an empty file is an empty record
        else:
            assert isinstance(found, alkit.errors.StoreError), size


@pytest.fixture(scope="module")
def killed(tmp_path_factory):
    """Return the files of a record whose last six answers are in the write-ahead log only, and the ids answered."""
    store = Store(tmp_path_factory.mktemp("killed") / "r.db")
    ids = [f"image {n}" for n in range(6)]
    store.add_queries([alkit.Query(id, 0, rank, ((4, 4),)) for rank, id in enumerate(ids)])
    with sqlite3.connect(store.path) as keeper:  # as long as somebody has it open, SQLite leaves the log beside it
        keeper.execute("SELECT count(*) FROM answers").fetchone()
        for id in ids:
            store.add_answers({id}, lambda asked, known, id=id: [Recorded(id, "ann", 1, "skip")])
        files = {path.name: path.read_bytes() for path in store.path.parent.glob("r.db*") if path.is_file()}
    keeper.close()
    return files, ids


def laid(files, folder):
    """Write the files of a record and return its path."""
    folder.mkdir(parents=True)
    for name, content in files.items():
        (folder / name).write_bytes(content)
    return folder / "r.db"


@pytest.mark.parametrize("damage", ["deleted", "cut", "flipped"])
def test_answers_that_are_lost_with_the_write_ahead_log_are_noticed(killed, tmp_path, damage):
    files, ids = killed
    log = files["r.db-wal"]
    noticed = 0
    for number, place in enumerate([0, *places(len(log), 40, 1)] if damage != "deleted" else [0]):
        path = laid(files, tmp_path / f"{number}")
        if damage == "deleted":
            path.with_name("r.db-wal").unlink()
        else:
            path.with_name("r.db-wal").write_bytes(log[:place] if damage == "cut" else flipped(log, place))
        found = opened(path)
        if isinstance(found, alkit.AlkitError):
            noticed += 1
            assert "r.db is older than its journal: its write-ahead log was lost" in str(found)
            assert f"expected {len(ids)} answers and 14 lines" in str(found)
        else:  # only the last answer was lost, and the journal completed it
            assert [id for id, _ in found[1]] == ids
    assert noticed > 25 or damage == "deleted"
    assert noticed


def flipped(content, place):
    changed = bytearray(content)
    changed[place] ^= 0x40
    return bytes(changed)


def test_a_flipped_byte_is_noticed_or_harmless_and_a_repair_saves_all_other_rows(campaign, tmp_path):
    _, _, _, steps = campaign
    noticed = 0
    used = np.flatnonzero(np.frombuffer((campaign[0] / "r.db").read_bytes(), np.uint8))
    for number, place in enumerate(used[places(len(used), 60, 2)]):
        path = copied(campaign, tmp_path / f"{number}")
        content = bytearray(path.read_bytes())
        content[place] ^= 0x40
        path.write_bytes(bytes(content))
        before = kept(path)
        found = opened(path)
        if isinstance(found, alkit.AlkitError):
            noticed += 1
            assert isinstance(found, alkit.errors.StoreError | alkit.errors.ResumeError), place
            damaged = {file: digest for file, digest in before.items() if file.suffix == ".db"}
            repaired = repair(path, path.with_name("new.db"))
            now = kept(path)
            assert all(now[file] == digest for file, digest in damaged.items())  # it was only read
            found = opened(repaired.path)
            assert len(found[1]) >= 6  # of seven: the last backup is younger than all of them but for what was hit
        else:
            assert found == steps[-1], place
        assert set(found[1]) <= set(steps[-1][1])
        shutil.rmtree(path.parent)
    assert noticed > 30


@pytest.mark.parametrize("column", [b"wanted INTEGER", b"warnings TEXT", b"digest VARCHAR"])
def test_a_column_whose_name_is_damaged_is_read_all_the_same(campaign, tmp_path, column):
    path = copied(campaign, tmp_path)
    content = path.read_bytes()
    assert column in content
    path.write_bytes(content.replace(column, b"x" + column[1:]))
    repaired = repair(path, tmp_path / "new.db")
    assert opened(repaired.path)[1] == campaign[3][-1][1]


def test_a_schema_that_is_not_unicode_is_damage_like_any_other(campaign, tmp_path):
    path = copied(campaign, tmp_path)
    content = path.read_bytes()
    start = content.index(b"CREATE TABLE answers")
    quoted = 0
    for place in range(start + 16, start + 112, 16):
        changed = content[:place] + bytes([content[place] ^ 0x80]) + content[place + 1 :]
        path.write_bytes(changed)
        with closing(sqlite3.connect(path)) as connection:
            try:
                connection.execute("SELECT name FROM sqlite_master").fetchall()
            except UnicodeDecodeError:  # SQLite quotes the damaged part
                quoted += 1
            except sqlite3.Error:
                pass
        assert isinstance(opened(path), alkit.errors.StoreError), place
        assert check(path).damage, place
        new = tmp_path / f"{place}.db"
        for backup in (backups := path.with_name("r.db.backups")).iterdir():
            backup.write_bytes(changed)
        assert opened(repair(path, new).path)[1] == campaign[3][-1][1], place
    assert backups
    assert quoted


def test_a_repaired_record_can_be_resumed(campaign, tmp_path):
    _, pool, truth, steps = campaign
    path = copied(campaign, tmp_path)
    path.write_bytes(b"\0" * 4096 + path.read_bytes()[4096:])  # the head of the database is gone
    with pytest.raises(alkit.errors.StoreError):
        Store(path)
    repaired = repair(path, tmp_path / "new.db")
    assert repaired.from_journal > 0
    assert repaired.from_backup == 0
    assert repaired.lost == ()
    (sentence,) = repaired.unknown
    assert sentence.startswith("whether a change followed the last one in r.db.journal (which has 7 answers)")
    experiment = open_at(repaired.path, pool)
    assert said(experiment) == steps[-1]
    ids = experiment.open_ids
    assert len(ids) == 2
    experiment.tell({id: truth[id] for id in ids})
    assert experiment.fit().round == 2


def test_an_image_whose_label_file_is_lost_is_open_again(campaign, tmp_path):
    _, pool, truth, _ = campaign
    path = copied(campaign, tmp_path)
    store = Store(path)
    first = store.answers()[0]
    store.close()
    (path.with_name("r.db.files") / first.label).write_bytes(b"damaged")
    repaired = repair(path, tmp_path / "new.db")
    assert [line for line in repaired.lost if repr(first.id) in line]
    experiment = open_at(repaired.path, pool)
    assert first.id in experiment.open_ids
    experiment.tell({id: truth[id] for id in experiment.open_ids})
    assert experiment.fit().n_labels == 9


def test_without_the_last_model_all_labels_stay_and_train_the_next_one(campaign, tmp_path):
    _, pool, truth, _ = campaign
    path = copied(campaign, tmp_path)
    for model in path.with_name("r.db.files").glob("*.model"):
        model.unlink()
    repaired = repair(path, tmp_path / "new.db")
    assert any("the model of round 1" in line for line in repaired.lost)
    experiment = open_at(repaired.path, pool)
    assert experiment.history == ()
    experiment.tell({id: truth[id] for id in experiment.open_ids})
    assert (experiment.fit().round, experiment.history[0].n_labels) == (0, 9)


def test_a_repair_of_an_intact_record_loses_nothing(campaign, tmp_path):
    path = copied(campaign, tmp_path)
    repaired = repair(path, tmp_path / "new.db")
    assert (repaired.lost, repaired.from_backup) == ((), 0)
    assert opened(repaired.path) == campaign[3][-1]


def damaged_beyond_proof(campaign, tmp_path):
    """Return a record whose database is gone, and whose journal has lost a line that no backup covers."""
    path = copied(campaign, tmp_path)
    path.unlink()
    journal = path.with_name("r.db.journal")
    *lines, last, end = journal.read_bytes().split(b"\n")
    journal.write_bytes(b"\n".join([*lines, b"\0" * len(last), end]))
    return path


def test_answers_that_may_have_been_taken_back_count_when_they_are_told_again(campaign, tmp_path):
    _, pool, truth, steps = campaign
    path = damaged_beyond_proof(campaign, tmp_path)
    repaired = repair(path, tmp_path / "new.db")
    (sentence,) = [line for line in repaired.unknown if "were taken back" in line]
    assert sentence.startswith("whether 7 answers and ")
    experiment = open_at(repaired.path, pool)
    answers = Store(repaired.path).answers()
    assert [(answer.id, answer.label) for answer in answers] == steps[-1][1]
    assert {answer.kind for answer in answers} == {"invalid"}
    assert experiment.open_ids == ()
    experiment.tell({answer.id: truth[answer.id] for answer in answers}, annotator="ann")
    assert experiment.fit().n_labels == 7


def test_a_repair_counts_unproved_answers_if_it_is_told_to_trust_them(campaign, tmp_path, capsys):
    path = damaged_beyond_proof(campaign, tmp_path)
    main_exit(["repair", str(path), "--out", str(tmp_path / "without.db")])
    said = capsys.readouterr().out
    assert "unknown: whether 7 answers and" in said
    assert "repair with --trust" in said
    assert "No loss" not in said
    main_exit(["repair", str(path), "--out", str(tmp_path / "new.db"), "--trust"])
    assert "unknown: what 1 damaged lines" in capsys.readouterr().out
    assert len(Store(tmp_path / "new.db").snapshot().known) == 7


def test_an_answer_that_was_sent_back_stays_so_after_a_repair_from_an_earlier_backup(campaign, tmp_path):
    path = copied(campaign, tmp_path)
    store = Store(path)
    store.reject([1], "not good")
    store.close()
    first = Store(path).answers()[0]
    path.unlink()
    repaired = repair(path, tmp_path / "new.db")
    assert Store(repaired.path).answers()[0].rejected == "not good"
    path.with_name("r.db.journal").unlink()  # then only backups are left, which do not know of it
    repaired = repair(path, tmp_path / "other.db")
    assert first.id not in Store(repaired.path).snapshot().known
    assert repaired.unknown[:2] == (
        "whether changes are missing: r.db.journal, which lists all changes, is missing",
        "what was recorded after the latest backup, which has 7 queries, 7 answers, 2 rounds",
    )


def test_an_answer_does_not_count_again_if_the_label_that_replaced_it_is_lost(campaign, tmp_path):
    _, pool, truth, _ = campaign
    path = copied(campaign, tmp_path)
    experiment = open_at(path, pool)
    first = Store(path).answers()[0]
    experiment.tell({first.id: 1 - truth[first.id]}, annotator="ann", revise=True)
    new = Store(path).answers()[-1]
    (path.with_name("r.db.files") / new.label).unlink()
    repaired = repair(path, tmp_path / "new.db")
    assert f"a label of {first.id!r} by 'ann': its file is missing or damaged" in repaired.lost
    experiment = open_at(repaired.path, pool)
    assert first.id in experiment.open_ids
    experiment.tell({first.id: 1 - truth[first.id]}, annotator="ann")
    assert Store(repaired.path).snapshot().known[first.id].labels[0].label == new.label


def test_a_repair_that_was_killed_can_be_run_again(campaign, tmp_path, monkeypatch):
    path = copied(campaign, tmp_path)
    with monkeypatch.context() as patch:
        patch.setattr("alkit.record.migrations.write", lambda *_, **__: 1 / 0)
        with pytest.raises(ZeroDivisionError):
            repair(path, tmp_path / "new.db")
    assert repair(path, tmp_path / "new.db").lost == ()
    assert opened(tmp_path / "new.db") == campaign[3][-1]


def test_a_campaign_with_clusters_goes_on_after_a_repair(tmp_path):
    images, masks = alkit.synthetic.lesions(14, size=16)
    pool = alkit.ArrayPool(images)
    strategy = alkit.strategy(
        "ssl-cluster", features=alkit.Reconstruction(partial(alkit.UNet, widths=(2, 4)), epochs=1)
    )
    learner = alkit.SegmentationLearner(partial(alkit.UNet, widths=(2, 4)), epochs=(1, 1), device="cpu")
    parts = pool, learner, strategy
    experiment = alkit.Experiment(*parts, tmp_path / "r.db", classes=("skin", "lesion"))
    ids = experiment.ask(3)
    experiment.tell(dict(zip(ids, masks[:3], strict=True)))
    experiment.fit()
    shutil.copytree(tmp_path, tmp_path.with_name(f"{tmp_path.name}-whole"))
    expected = alkit.Experiment(
        *parts, tmp_path.with_name(f"{tmp_path.name}-whole") / "r.db", classes=("skin", "lesion")
    ).ask(3)
    (tmp_path / "r.db").write_bytes(b"")
    repaired = repair(tmp_path / "r.db", tmp_path / "new.db")
    heard = []
    again = alkit.Experiment(
        *parts, repaired.path, classes=("skin", "lesion"), report=lambda progress: heard.append(progress.stage)
    )
    assert again.ask(3) == expected
    assert "features" not in heard  # the clusters come from the record


def test_a_lost_round_is_named_and_later_rounds_continue(campaign, tmp_path):
    _, pool, truth, _ = campaign
    path = copied(campaign, tmp_path)
    shutil.rmtree(path.with_name("r.db.backups"))
    with sqlite3.connect(path) as connection:
        connection.execute("UPDATE rounds SET n_labels = 99 WHERE round = 0")
    connection.close()
    assert repair(path, tmp_path / "whole.db").lost == ()  # the journal has it
    path.with_name("r.db.journal").unlink()
    repaired = repair(path, tmp_path / "new.db")
    assert "the figures of round 0" in repaired.lost
    experiment = open_at(repaired.path, pool)
    assert [result.round for result in experiment.history] == [1]
    experiment.tell({id: truth[id] for id in experiment.open_ids})
    assert experiment.fit().round == 2


def test_a_deleted_row_does_not_come_back_from_a_backup(campaign, tmp_path):
    path = copied(campaign, tmp_path)
    store = Store(path)
    store.revise("classes", lambda before: None)
    store.close()
    repaired = repair(path, tmp_path / "new.db")
    assert repaired.from_backup == 0
    assert Store(repaired.path).fact("classes") is None


def test_an_existing_file_is_not_overwritten_and_a_file_without_rows_is_refused(campaign, tmp_path):
    path = copied(campaign, tmp_path)
    with pytest.raises(alkit.errors.StoreError, match="nothing is overwritten"):
        repair(path, path)
    (tmp_path / "text.db").write_text("hello")
    for nothing in (tmp_path / "absent.db", tmp_path / "text.db"):
        with pytest.raises(alkit.errors.StoreError, match="could be saved"):
            repair(nothing, tmp_path / "new.db")
    assert not (tmp_path / "new.db").exists()


def test_the_command_prints_what_was_saved_and_lost(campaign, tmp_path, capsys):
    path = copied(campaign, tmp_path)
    main_exit(["repair", str(path), "--out", str(tmp_path / "new.db")])
    said = capsys.readouterr().out
    assert "9 queries, 7 answers, 2 rounds" in said
    assert "No loss was found." in said


def main_exit(arguments):
    with pytest.raises(SystemExit) as end:
        main(arguments)
    assert end.value.code in (0, None)


def test_a_folder_without_space_is_no_damage(campaign, tmp_path, monkeypatch):
    path = copied(campaign, tmp_path)
    path.with_name("r.db.journal").unlink()
    connect, full = sqlite3.connect, [""]

    def no_space(database, *arguments, **more):
        """SQLite needs some space even to read."""
        if full[-1] in str(database):
            raise sqlite3.OperationalError("disk I/O error")
        return connect(database, *arguments, **more)

    def no_sync(number):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    for name, look in (("record.db", lambda: repair(path, tmp_path / "new.db")), ("r.db", lambda: check(path))):
        full.append(name)
        with monkeypatch.context() as patch:
            patch.setattr(sqlite3, "connect", no_space)
            patch.setattr(os, "fsync", no_sync)
            with pytest.raises(StoreError, match=r"r.*\.db cannot be read, because .* has no space .*TMPDIR"):
                look()
    assert len(repair(path, tmp_path / "new.db").unknown) == 1


def test_a_source_of_which_a_table_was_not_read_is_not_intact(campaign, tmp_path, monkeypatch):
    path, read = copied(campaign, tmp_path), salvage._read_rows
    assert salvage.read_source(path).is_intact
    monkeypatch.setattr(salvage, "_read_rows", lambda copy, name: [] if name == "answers" else read(copy, name))
    assert not salvage.read_source(path).is_intact


@pytest.mark.parametrize("ending", ["", ".journal"])
def test_a_part_that_nobody_may_read_is_not_taken_for_a_lost_one(campaign, tmp_path, monkeypatch, ending):
    path = copied(campaign, tmp_path)
    refused, opened = str(path) + ending, builtins.open

    def refuse(file, *arguments, **more):
        if str(file) == refused:
            raise PermissionError(errno.EACCES, os.strerror(errno.EACCES), refused)
        return opened(file, *arguments, **more)

    with monkeypatch.context() as patch:
        patch.setattr(builtins, "open", refuse)
        patch.setattr(io, "open", refuse)
        with pytest.raises(StoreError, match=r"cannot read .*r\.db.* \(Permission denied\).*check its permissions"):
            repair(path, tmp_path / "new.db")
    assert repair(path, tmp_path / "new.db").unknown == ()
