"""Temporary folders: those of processes that ended are deleted, and no other."""

import os
import stat
import subprocess
import sys
import tempfile
import time
from concurrent.futures import ThreadPoolExecutor

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


def test_a_folder_is_not_abandoned_for_another_thread_as_soon_as_it_is_there(place, monkeypatch):
    """A record without a path lies in one, and another thread deleted it in the moment in which it was made."""
    real, made = os.mkdir, []

    def mkdir(path, *args, **more):
        real(path, *args, **more)
        if not made:
            made.append(path)
            with ThreadPoolExecutor(1) as thread:
                thread.submit(_files.make_temporary_folder).result()

    monkeypatch.setattr(os, "mkdir", mkdir)
    folder = _files.make_temporary_folder()
    assert folder.is_dir()
    assert stat.S_IMODE(folder.stat().st_mode) == 0o700
