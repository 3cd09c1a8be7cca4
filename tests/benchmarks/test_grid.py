import subprocess
import sys
import time
from pathlib import Path

import pytest

from benchmarks.isic2017 import results

ROOT = Path(__file__).parents[2]


def start(folder, *more):
    places = ["--data", folder, "--out", folder / "out", "--records", folder / "records"]
    what = "--profile", "smoke", "--methods", "random", *more
    command = [sys.executable, ROOT / "benchmarks" / "isic2017.py", *places, *what]
    return subprocess.Popen([str(part) for part in command], stdout=subprocess.DEVNULL)


@pytest.mark.slow
def test_a_benchmark_killed_during_two_runs_ends_with_the_same_rows(bench, data, tmp_path):
    two = "--seeds", "0", "1", "--weights", "scratch", "--jobs", "2"
    whole = bench(*two, "--methods", "random")
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    for name in ("images", "masks"):
        (elsewhere / name).symlink_to(data / name)
    process = start(elsewhere, *two)
    deadline = time.monotonic() + 120
    while not list((elsewhere / "records").glob("*.files/*")):  # until the first labels are recorded
        assert time.monotonic() < deadline
        assert process.poll() is None
        time.sleep(0.05)
    process.kill()  # its workers continue for a moment and then stop by themselves
    process.wait()
    again = start(elsewhere, *two)
    assert again.wait(180) == 0
    ended = results.read_rows(elsewhere / "out")
    assert [(row.seed, row.round, row.dice) for row in ended] == [(row.seed, row.round, row.dice) for row in whole]


@pytest.mark.slow
def test_ray_gives_the_same_rows_as_processes(bench, data, tmp_path):
    pytest.importorskip("ray")
    arm = "--seeds", 0, 1, "--methods", "random", "--weights", "scratch"
    whole = bench(*arm, "--jobs", 2)  # in new processes, because this one may have loaded torch before arithmetic.py
    for name in ("out", "records"):
        (tmp_path / name).rename(tmp_path / f"first-{name}")
    on_ray = bench(*arm, "--backend", "ray", "--jobs", 2)
    assert [(row.seed, row.round, row.dice) for row in on_ray] == [(row.seed, row.round, row.dice) for row in whole]
