"""Play runs side by side: in processes, each on one thread, or as threads around the graphs of one GPU."""

from __future__ import annotations

import os
import queue
import sys
import threading
import time
import traceback
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import joblib
import numpy as np
import torch

from alkit.protocols import Predictor
from benchmarks import rows
from benchmarks.grid import parent_is_gone
from benchmarks.labels.data import Key, Pictures, load
from benchmarks.labels.graphs import GraphFitter, own_stream
from benchmarks.labels.protocol import BUDGETS, CEILINGS, FULL, Task, learner_of
from benchmarks.labels.runs import Book, LabelledPictures, fit_generator, measure, play
from benchmarks.labels.schedule import PER_GRAPH
from benchmarks.labels.split import tuning_rows

GRACE = 3.0
"""Seconds between the end of the time and the end of this process."""


@dataclass(frozen=True)
class Work:
    """What the runs share.

    Parameters
    ----------
    source, cache:
        Archive or folder of the images, and cache of their features.
    out, known:
        Folder of rows and choices, and the CSV file of rows of earlier calls, if there is one.
    device:
        Device of the learners.
    until:
        Time in seconds since the epoch at which all runs end.
    steps:
        Steps of the strong learner, for a rehearsal; 0 for its own number.
    budgets:
        Numbers of labels, for a rehearsal; empty for those of the data sets.
    """

    source: Path
    out: Path
    device: str
    until: float
    known: Path | None = None
    cache: Path | None = None
    steps: int = 0
    budgets: tuple[int, ...] = ()


class LearnerFitter:
    """Trains by the learner's own method: see :class:`benchmarks.labels.runs.Fitter`."""

    engine = "fit"

    def __init__(self, work: Work) -> None:
        self._work = work
        self.machine = rows.machine(work.device)

    def carries_on(self, task: Task) -> bool:
        """Return whether the learner continues from the model before."""
        return learner_of(task, self._work.device).carry_on

    def fit(self, task: Task, labelled: LabelledPictures, number: int, previous: Predictor | None) -> Predictor:
        """Return the model of these labels."""
        learner = learner_of(task, self._work.device)
        if self._work.steps:
            fewer = {"epochs": (1, 1)} if learner.steps is None else {"steps": (self._work.steps, self._work.steps)}
            learner = replace(learner, **fewer)
        stream = fit_generator(task.seed, number if learner.carry_on else 0)
        return learner.fit(labelled, stream, previous if learner.carry_on else None)


def left(tasks: Sequence[Task], book: Book, budgets: Sequence[int] = ()) -> list[Task]:
    """Return the runs that are not finished."""
    done = done_in(book)
    return [
        task
        for task in tasks
        if len(done.get(task, ())) < (1 if task.arm == FULL else len(budgets or BUDGETS[task.data]))
    ]


def done_in(book: Book) -> dict[Task, frozenset[int]]:
    """Return the finished budgets of each run."""
    found: dict[Task, set[int]] = {}
    for row in book.rows():
        found.setdefault(row.task, set()).add(row.labels)
    return {task: frozenset(labels) for task, labels in found.items()}


def run_in_processes(tasks: Sequence[Task], work: Work, processes: int) -> None:
    """Play runs in processes that take one after the other."""
    parent, commit = os.getpid(), rows.commit()
    book = Book(work.out, work.known)
    done, known = done_in(book), book.choices()
    keys = tuple(dict.fromkeys(task.key for task in tasks))

    def stop() -> None:
        while time.time() < work.until + GRACE:
            time.sleep(0.2)
        joblib.externals.loky.get_reusable_executor().shutdown(wait=False, kill_workers=True)
        os._exit(0)

    if work.until < float("inf"):
        threading.Thread(target=stop, daemon=True).start()
    jobs = (
        joblib.delayed(_play_here)(task, work, keys, done.get(task, frozenset()), known.get(task, {}), commit, parent)
        for task in tasks
    )
    with joblib.parallel_config("loky", n_jobs=processes, inner_max_num_threads=1):
        joblib.Parallel(batch_size=1, pre_dispatch=processes)(jobs)


_SETS: dict[Key, Pictures] = {}


def _play_here(
    task: Task,
    work: Work,
    keys: tuple[Key, ...],
    done: frozenset[int],
    known: dict[int, list[str]],
    commit: str,
    parent: int,
) -> None:
    """Play a run in this process, which keeps the images for the next one."""
    torch.set_num_threads(1)
    if not _SETS:
        _SETS.update(load(work.source, keys, work.cache))

    def goes_on() -> bool:
        return time.time() < work.until and not parent_is_gone(parent)

    if goes_on():
        start = time.monotonic()
        fitter, book = LearnerFitter(work), Book(work.out)
        play(task, _SETS[task.key], fitter, book, commit, done=done, known=known, goes_on=goes_on,
             budgets=work.budgets or None)  # fmt: skip
        print(f"{task}: {time.monotonic() - start:.0f} s", flush=True)


def run_with_graphs(tasks: Sequence[Task], work: Work, slots: int, threads: int) -> None:
    """Play runs as threads of this process, whose trainings are graphs of one GPU.

    Raises
    ------
    RuntimeError
        The graphs do not train as the learner does.
    """
    sets = load(work.source, dict.fromkeys(task.key for task in tasks), work.cache)
    most = max(work.steps, *(() if work.steps else CEILINGS["strong"]), PER_GRAPH)
    fitter = GraphFitter(sets, work.device, slots, most, steps=work.steps)
    if torch.device(work.device).type == "cuda":
        for count in dict.fromkeys((1, slots // 2 or 1, slots)):
            print(f"{count} networks at once: {fitter.speed(count):.0f} steps a second", flush=True)
        fitter.start()
        check_graphs(fitter, next(iter(sets.values())), work)
    else:
        fitter.start()
    book, commit = Book(work.out, work.known), rows.commit()
    done, known = done_in(book), book.choices()
    waiting: queue.SimpleQueue[Task] = queue.SimpleQueue()
    for task in tasks:
        waiting.put(task)

    def goes_on() -> bool:
        return time.time() < work.until

    def work_off() -> None:
        while goes_on():
            try:
                task = waiting.get_nowait()
            except queue.Empty:
                return
            own = done.get(task, frozenset())
            try:
                with own_stream(torch.device(work.device)):
                    play(task, sets[task.key], fitter, book, commit, done=own, known=known.get(task),
                         goes_on=goes_on, budgets=work.budgets or None)  # fmt: skip
            except Exception:  # the other runs go on
                print(f"{task} failed:\n{traceback.format_exc()}", file=sys.stderr, flush=True)

    workers = [threading.Thread(target=work_off, daemon=True) for _ in range(threads)]
    begun, before = time.monotonic(), 0
    for worker in workers:
        worker.start()
    while any(worker.is_alive() for worker in workers) and time.time() < work.until + GRACE:
        time.sleep(0.5 if work.until < 1e12 else 0.1)
        elapsed = int(time.monotonic() - begun)
        if elapsed >= before + 20:
            before = elapsed
            print(f"{elapsed} s: {fitter.steps} steps, {fitter.steps / elapsed:.0f} a second", flush=True)
    if not goes_on():
        sys.stdout.flush()
        os._exit(0)  # threads may be inside a training


def check_graphs(fitter: GraphFitter, pictures: Pictures, work: Work) -> None:
    """Raise a RuntimeError unless the graphs train about as well as the learner, on images that it is tuned on."""
    name, size = pictures.key
    tuning = tuning_rows(name, pictures.ids)
    task, some = (
        Task(name, size, "strong", FULL, 1000, work.steps or 100),
        tuple(pictures.ids[row] for row in tuning[::4]),
    )
    held_out = np.setdiff1d(tuning, pictures.rows(some))
    found = {}
    for own in (fitter, LearnerFitter(work)):
        start = time.monotonic()
        model = own.fit(task, LabelledPictures(pictures, some), 0, None)
        found[own.engine] = float(measure(model, pictures, held_out).mean())
        print(
            f"{name}, 100 steps, {own.engine}: Dice {found[own.engine]:.3f} in {time.monotonic() - start:.1f} s",
            flush=True,
        )
    if not found[fitter.engine] > found[LearnerFitter.engine] - 0.1:
        raise RuntimeError(f"the graphs do not train as the learner does: Dice {found}")
