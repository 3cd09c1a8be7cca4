"""CPU time of the commands that people wait for, on records of 1,000, 10,000 and 100,000 queries and answers.

::

    python -m benchmarks.cost.record --out benchmarks/results/record.csv

Each record is made through the public interface: a folder of small images, one query and one label for each, in 10
to 100 rounds, and a model trained on all of them. Then each of these is measured, in this order, on a copy of it:

- ``open``: ``Store(path)``.
- ``ask``: ``alkit ask -n 1``: opens the folder of images and the record, selects at random, and sends the query to a
  folder, with a contact sheet. ``ask_10``: the same for 10 images; drawing the sheet takes most of the difference.
- ``tell``: ``alkit tell``, of one mask in a folder.
- ``tell_in_code``: ``experiment.tell({id: mask})`` of an experiment that is open.
- ``status``: ``alkit status --json``.
- ``check``: ``alkit check``, which reads everything.

A process first runs all of them on a record of a few images, so that start-up (imports, entry points) is not measured.
Columns: CPU seconds of one thread, the median of ``repeats`` processes with the least and the most; ``us_per_answer``,
the median divided by the number of answers; ``database_mib``, the size of the database.
"""

from __future__ import annotations

import argparse
import contextlib
import io
import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from statistics import median

import numpy as np
from PIL import Image

import alkit
from alkit.cli import main
from alkit.record import Store
from benchmarks.rows import append, commit, machine

ROOT = Path(__file__).parents[2]
"""Folder that contains the package ``benchmarks``."""

ROUND, ROUNDS = 100, 100
"""Queries of a round, or as many more as make so many rounds."""

SPARE = 30
"""Images of a pool that nobody was asked for."""

SIDE = 8
"""Pixels of an image's side."""


def make(folder: Path, n: int) -> None:
    """Make a record of `n` queries and as many answers, and the folder of its images, in `folder`."""
    (folder / "images").mkdir(parents=True)
    chance = np.random.default_rng(0)
    for number in range(n + SPARE):
        pixels = chance.integers(256, size=(SIDE, SIDE), dtype=np.uint8)
        Image.fromarray(pixels).save(folder / "images" / f"{number:06}.png", compress_level=0)
    masks = chance.integers(2, size=(64, SIDE, SIDE), dtype=np.uint8)
    learner = alkit.SegmentationLearner(
        partial(alkit.UNet, widths=(2, 4)), epochs=(1, 1), batch=min(n, 256), device="cpu"
    )
    pool = alkit.ImagePool(folder / "images", grayscale=True)
    store = folder / "record.db"
    experiment = alkit.Experiment(pool, learner, alkit.strategy("random"), store, classes=("skin", "lesion"))
    record, ids = Store(store), pool.ids[:n]
    size = ((SIDE, SIDE),)
    batch = max(ROUND, n // ROUNDS)
    for round in range(n // batch):
        own = ids[round * batch : (round + 1) * batch]
        record.add_queries([alkit.Query(id, round, rank, size, stands_for="random") for rank, id in enumerate(own)])
        experiment.receive(alkit.Answer(id, masks[rank % len(masks)], "ann", 1, 12.5) for rank, id in enumerate(own))
        if round in (0, n // batch - 1):
            fitted = experiment.fit()
            model = record.content(record.last_model()[0])
        else:
            numbers = range(1, len(own) * (round + 1) + 1)
            record.commit_round(alkit.RoundResult(round, own, len(numbers), {"dice": 0.5}), model, "a stamp", numbers)
    if (fitted.n_labels, experiment.open_ids) != (n, ()):
        raise SystemExit(f"the record was not made as it should: {fitted}")
    record.close()


def run(*arguments: str) -> str:
    """Run a command of alkit in this process and return what it prints."""
    printed = io.StringIO()
    with contextlib.redirect_stdout(printed), contextlib.redirect_stderr(io.StringIO()):
        try:
            main(list(arguments))
        except SystemExit as end:
            if end.code:
                raise
    return printed.getvalue()


def measure(folder: Path) -> dict[str, float]:
    """Return the CPU seconds of each step on the record in `folder`, which is changed by it."""
    store, took = folder / "record.db", dict[str, float]()

    def timed(name: str, action: Callable[[], object]) -> object:
        begun = time.process_time()
        result = action()
        took[name] = time.process_time() - begun
        return result

    record = timed("open", lambda: Store(store))
    ask = ("ask", str(store), "--no-prelabels", "--out", str(folder / "out"), "-n")
    timed("ask", lambda: run(*ask, "1"))
    run("withdraw", str(store))
    timed("ask_10", lambda: run(*ask, "10"))
    first, second, *_ = record.queries()[-10:]
    (folder / "in/ann").mkdir(parents=True)
    mask = np.zeros((SIDE, SIDE), np.uint8)
    Image.fromarray(mask).save(path := folder / f"in/ann/{first.key}.png")
    os.utime(path, (time.time() - 60,) * 2)
    timed("tell", lambda: run("tell", str(store), "--from", str(folder / "in")))
    experiment = alkit.Experiment.open(store)
    timed("tell_in_code", lambda: experiment.tell({second.id: mask}, annotator="ann"))
    found = json.loads(timed("status", lambda: run("status", str(store), "--json")))
    if len(found["open"]) != 8:
        raise SystemExit(f"the answers were not taken: {found['open']}")
    timed("check", lambda: run("check", str(store)))
    # timed("check", lambda: run("check", str(store)))
    return took


def copied(made: Path, folder: Path) -> Path:
    """Copy a record; its images stay where they are."""
    shutil.copytree(made, folder, ignore=shutil.ignore_patterns("images", "*.backups", "warm"))
    return folder


def child(made: Path) -> None:
    """Measure in a process of its own, and print it."""
    import torch

    torch.set_num_threads(1)
    with tempfile.TemporaryDirectory() as folder:
        measure(copied(made / "warm", Path(folder) / "warm"))
        print(json.dumps(measure(copied(made, Path(folder) / "whole"))))


def main_of_benchmark() -> None:
    """Measure, print, and write what was measured."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--answers", type=int, nargs="+", default=[1_000, 10_000, 100_000])
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--out", type=Path)
    parser.add_argument("--keep", type=Path, help="Folder for the records; they are used again if they are there.")
    parser.add_argument("--child", type=Path, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.child:
        child(options.child)
        return
    with tempfile.TemporaryDirectory() as temporary:
        base = (options.keep or Path(temporary)).absolute()
        os.environ["ALKIT_CACHE"] = str(base / "cache")
        rows = []
        for n in options.answers:
            made = base / str(n)
            if not made.exists():
                make(made, n)
                make(made / "warm", 200)
            command = [sys.executable, "-m", "benchmarks.cost.record", "--child", str(made)]
            environment = {**os.environ, "OMP_NUM_THREADS": "1"}
            found = [
                json.loads(
                    subprocess.run(command, cwd=ROOT, env=environment, stdout=subprocess.PIPE, check=True).stdout
                )
                for _ in range(options.repeats)
            ]
            size = (made / "record.db").stat().st_size / 2**20
            for name in found[0]:
                seconds = [one[name] for one in found]
                rows.append(
                    {
                        "answers": n,
                        "step": name,
                        "cpu_s": round(median(seconds), 4),
                        "cpu_least": round(min(seconds), 4),
                        "cpu_most": round(max(seconds), 4),
                        "us_per_answer": round(1e6 * median(seconds) / n, 2),
                        "database_mib": round(size, 2),
                        "repeats": options.repeats,
                        "machine": machine(),
                        "commit": commit(),
                    }
                )
                print(*rows[-1].values(), flush=True)
        if options.out:
            append(options.out, rows)


if __name__ == "__main__":
    main_of_benchmark()
