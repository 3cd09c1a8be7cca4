"""The number of threads of a new record: chosen by the work, printed, kept, and never changed for the caller."""

import os

import pytest
import torch
from commandline import alkit as command

import alkit.__main__
import alkit.rng
from alkit.cli.threads import FEW, choose_threads
from alkit.record import Store

FAST = "--widths 2,4 --epochs 1,1 --start 4 --batch 2 --rounds 1 --grayscale --strategy random".split()


@pytest.fixture(autouse=True)
def _four_cores(monkeypatch):
    monkeypatch.delenv("OMP_NUM_THREADS", raising=False)
    with alkit.rng.threads(4):
        yield


@pytest.fixture
def run(folders, capfd):
    """Return a function that runs the command, and returns its exit code, what it says, and the record's threads."""

    def run(*more, store="r.db"):
        places = "--images", folders / "images", "--masks", folders / "masks", "--store", folders / store
        code = command("run", *places, "--size", "16", *FAST, *more)
        assert torch.get_num_threads() == 4
        return code, capfd.readouterr().err, Store(folders / store).fact("threads")

    return run


def test_small_images_need_one_thread_and_a_record_keeps_its_number(run):
    code, said, threads = run()
    assert (code, threads) == (0, 1)
    assert (
        "Computes with 1 thread, because more hardly help for images of 16 x 16 pixels (--threads changes it)." in said
    )
    assert "Computes with 1 thread, as before." in run()[1]
    code, said, threads = run("--threads", "2")
    assert (code, threads) == (1, 1)
    assert "was created with other settings: --threads: recorded 1, now 2. Try: the recorded settings" in said


def test_an_option_and_the_environment_choose_the_number(run, monkeypatch):
    code, said, threads = run("--threads", "2")
    assert (code, threads) == (0, 2)
    assert "Computes with 2 threads, as --threads says." in said
    monkeypatch.setenv("OMP_NUM_THREADS", "4")  # torch has read it when it was imported
    code, said, threads = run(store="other.db")
    assert (code, threads) == (0, 4)
    assert "Computes with 4 threads, as OMP_NUM_THREADS says." in said


def test_large_images_have_the_threads_of_torch():
    side = int(FEW**0.5)
    assert choose_threads((3, side, side), None) == 1
    assert choose_threads((3, side, side + 1), None) == 4


def test_a_number_that_is_none_is_an_error(folders, capfd):
    places = "--images", folders / "images", "--masks", folders / "masks", "--store", folders / "r.db"
    assert command("run", *places, *FAST, "--size", "16", "--threads", "0") == 1
    assert "--threads must be an integer from 1 to 1024: got 0" in capfd.readouterr().err


def test_a_campaign_without_answers_takes_another_number(folders, capfd):
    start = "start", folders / "c.db", "--images", folders / "images", "--classes", "a,b", *FAST[:4], "--size", "16"
    start = *start, "--grayscale", "--strategy", "random"
    for more, number in ((), 1), (("--threads", "3"), 3), ((), 3):
        assert command(*start, *more) == 0
        assert Store(folders / "c.db").fact("threads") == number


def test_threads_that_wait_sleep_unless_the_user_wants_otherwise(monkeypatch):
    import alkit.cli

    monkeypatch.setattr(alkit.__main__.signal, "signal", lambda *_: None)
    monkeypatch.setenv("PYTHONSAFEPATH", "1")  # the program sets it, and it would stay for other tests
    for before, after in (None, "PASSIVE"), ("ACTIVE", "ACTIVE"):
        seen = []
        monkeypatch.setattr(alkit.cli, "main", lambda seen=seen: seen.append(os.environ["OMP_WAIT_POLICY"]))
        monkeypatch.delenv("OMP_WAIT_POLICY", raising=False)
        if before:
            monkeypatch.setenv("OMP_WAIT_POLICY", before)
        alkit.__main__.main()
        assert seen == [after]
