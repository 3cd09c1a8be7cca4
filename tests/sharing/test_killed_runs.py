"""A run with workers that is killed in the middle of a round ends like one that was not."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

import alkit.pools.pieces
from tests.support.baselines import play

ROOT = Path(__file__).parents[2]


def main(store, workers):
    """Run a whole experiment. Print each progress, and at the end all results, as lines of JSON."""
    alkit.pools.pieces.batch_size = lambda ids, pool, at_once: 8  # several shards

    def report(progress):
        print(json.dumps([progress.stage, progress.done, progress.total]), flush=True)

    print(json.dumps(play("mc-dropout", Path(store), "", int(workers), images=120, rounds=2, report=report)))


def lines(store, cache, workers, kill_at=None):
    """Return what such a run printed. `kill_at`: a stage, in which it is killed with its workers, the n-th time."""
    command = [
        sys.executable,
        "-c",
        f"from tests.sharing.test_killed_runs import main; main({str(store)!r}, {workers})",
    ]
    environment = {**os.environ, "ALKIT_CACHE": str(cache), "OMP_NUM_THREADS": "1"}
    said, begun = [], 0
    with subprocess.Popen(
        command, cwd=ROOT, env=environment, stdout=subprocess.PIPE, text=True, start_new_session=True
    ) as run:
        for line in run.stdout:
            said.append(json.loads(line))
            if kill_at is not None and said[-1][0] == kill_at[0] and 0 < said[-1][1] < said[-1][2]:
                begun += len(said) < 2 or said[-2][0] != kill_at[0]
                if begun == kill_at[1]:
                    os.killpg(run.pid, signal.SIGKILL)
    assert run.returncode == (0 if kill_at is None else -signal.SIGKILL)
    return said


@pytest.mark.slow
@pytest.mark.skipif(not hasattr(os, "killpg"), reason="needs groups of processes")
def test_a_run_whose_processes_are_all_killed_within_rounds_ends_as_one_that_was_not(tmp_path):
    undisturbed = lines(tmp_path / "alone.db", tmp_path / "other", 1)[-1]
    store, cache = tmp_path / "killed.db", tmp_path / "cache"
    for round in (1, 2):
        # Each round scores once. So the second run finishes the first scores, and is killed a round later.
        lines(store, cache, 2, kill_at=("scores", round))
        kept = len(list(cache.glob("shards/*/*.shard")))
        assert kept
    resumed = lines(store, cache, 2)
    first = next(entry for entry in resumed if entry[0] == "scores")
    assert first[1] >= 8 * kept
    assert resumed[-1] == undisturbed
