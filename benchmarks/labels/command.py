"""Measure how many labels alkit saves: learning curves of two learners and seven strategies on three data sets.

    python -m benchmarks.labels --data DIR                       # all that is missing, in processes
    python -m benchmarks.labels --data DIR --tiny --work FOLDER  # a rehearsal in tiny sizes
    python -m benchmarks.labels --report                         # tables and page from the rows

``DIR`` has the folders ``isic2017``, ``dsb2018-nuclei`` and ``msd-hippocampus``, or is an archive of
``benchmarks.labels.data``. Finished budgets are not run again, and runs that were stopped continue. With
``--graphs`` the strong learner is trained by CUDA graphs; with ``--processes 15`` on 16 cores, a GPU is busy. NVIDIA's
multi-process service (``nvidia-cuda-mps-control -d``) lets the processes use it at the same time.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Sequence
from pathlib import Path

from benchmarks.cold_start.data import READERS
from benchmarks.labels.protocol import ARMS, BLOCK, FULL, LEARNERS, SEEDS, tasks
from benchmarks.labels.runs import Book
from benchmarks.labels.workers import Work, left, run_in_processes
from benchmarks.terminal import integer_from

OUT = Path(__file__).parents[1] / "results" / "labels"
WORK = Path(__file__).parents[2] / ".gpu" / "labels"
ROWS = "rows.csv"


def parse(arguments: Sequence[str] | None) -> argparse.Namespace:
    """Parse the command line."""
    parser = argparse.ArgumentParser(
        prog="labels", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--data", type=Path, help="folder or archive of the data sets")
    parser.add_argument("--sets", nargs="+", choices=READERS, default=list(READERS))
    parser.add_argument("--size", type=integer_from(8), default=64, help="side of the images in pixels")
    parser.add_argument("--learners", nargs="+", choices=LEARNERS, default=list(LEARNERS))
    parser.add_argument("--arms", nargs="+", choices=(FULL, *ARMS), default=[FULL, *ARMS])
    parser.add_argument("--seeds", nargs="+", type=integer_from(0), default=list(SEEDS))
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--graphs", action="store_true", help="train the strong learner by CUDA graphs")
    parser.add_argument("--processes", type=integer_from(1), default=1, help="runs at once, each on one thread")
    parser.add_argument("--block", type=integer_from(1), default=BLOCK, help="seeds of a data set before the next set")
    parser.add_argument("--limit", type=integer_from(1), help="seconds after which all runs end")
    parser.add_argument("--cache", type=Path, help="folder of features (default: alkit's cache)")
    parser.add_argument("--work", type=Path, default=WORK, help="folder of rows and choices in progress")
    parser.add_argument("--out", type=Path, default=OUT, help="folder of the committed rows and tables")
    parser.add_argument("--tiny", action="store_true", help="few steps and labels, to rehearse")
    parser.add_argument("--report", action="store_true", help="only collect the rows, and write tables and page")
    options = parser.parse_args(arguments)
    if options.data is None and not options.report:
        parser.error("the runs need the images: add --data DIR, or --report to write the tables")
    return options


def main(arguments: Sequence[str] | None = None, started: float | None = None) -> None:
    """Run the command. Its limit begins at `started`, in seconds since the epoch, by default now."""
    started = time.time() if started is None else started
    options = parse(arguments)
    if options.report:
        from benchmarks.labels.page import write_report

        write_report(options.work, options.out)
        return
    work = Work(
        options.data,
        options.work,
        options.device,
        started + options.limit if options.limit else float("inf"),
        None if options.tiny else options.out / ROWS,
        options.cache,
        steps=5 if options.tiny else 0,
        budgets=(4, 8) if options.tiny else (),
        graphs=options.graphs,
    )
    sets = [(name, options.size) for name in options.sets]
    planned = list(tasks(sets, options.learners, options.arms, options.seeds, options.block))
    todo = left(planned, Book(work.out, work.known), work.budgets)
    print(f"{len(todo)} runs are left", flush=True)
    if todo:
        run_in_processes(todo, work, options.processes)
