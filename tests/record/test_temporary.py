"""Temporary folders: those of processes that ended are deleted, and no other."""

import os
import subprocess
import sys
import tempfile
import time

import pytest

from alkit import _files

DAY = 24 * 3600


@pytest.fixture
def place(tmp_path, monkeypatch):
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    return tmp_path


def folder(place, process, computer=None, age=0.0):
    made = place / f"alkit-{computer or _files._computer()}-{process}-abcd"
    made.mkdir()
    os.utime(made, (time.time() - age,) * 2)
    return made


def test_a_record_of_a_process_that_lives_stays_however_long_nothing_changes_in_it(place):
    mine = _files.make_temporary_folder()
    os.utime(mine, (0, 0))
    idle = folder(place, os.getppid(), age=400 * DAY)
    _files.make_temporary_folder()
    assert mine.exists()
    assert idle.exists()


def test_folders_of_processes_that_ended_and_old_ones_of_other_computers_are_deleted(place):
    with subprocess.Popen([sys.executable, "-c", ""]) as ended:
        pass
    gone = folder(place, ended.pid)
    other, older = folder(place, 1, "0123456789", 13 * DAY), folder(place, 2, "0123456789", 15 * DAY)
    _files.make_temporary_folder()
    assert not gone.exists()
    assert other.exists()
    assert not older.exists()


def test_a_process_with_a_wrong_clock_deletes_no_folder_of_others(place, monkeypatch):
    others = [folder(place, os.getppid()), folder(place, 1, "0123456789")]
    later = time.time() + 2000 * DAY
    monkeypatch.setattr(time, "time", lambda: later)
    _files.make_temporary_folder()
    assert all(other.exists() for other in others)
