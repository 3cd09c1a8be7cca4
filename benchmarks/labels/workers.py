"""Play runs side by side, in processes that take one after the other, each on one thread."""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import joblib
import numpy as np
import torch

from alkit.protocols import Predictor
from benchmarks import rows
from benchmarks.grid import parent_is_gone
from benchmarks.labels.data import Key, Pictures, load
from benchmarks.labels.graphs import GraphFitter
from benchmarks.labels.protocol import BUDGETS, CEILINGS, FULL, Task, learner_of
from benchmarks.labels.runs import Book, Fitter, LabelledPictures, fit_generator, measure, play
from benchmarks.labels.split import tuning_rows

GRACE = 3.0
"""Seconds between the end of the time and the end of this process."""

LEAST = 0.5
"""Dice of a short training that works: it is about 0.8 on ISIC."""


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
    graphs:
        Whether the strong learner is trained by :class:`benchmarks.labels.graphs.GraphFitter`.
    """

    source: Path
    out: Path
    device: str
    until: float
    known: Path | None = None
    cache: Path | None = None
    steps: int = 0
    budgets: tuple[int, ...] = ()
    graphs: bool = False


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
_GRAPHS: list[GraphFitter | None] = []


def graph_fitter(work: Work, sets: Mapping[Key, Pictures], most_steps: int = 0) -> GraphFitter | None:
    """Return the graphs of this process, which are captured once; None, and say why, if they do not work."""
    if not _GRAPHS:
        try:
            most = most_steps or work.steps or max(CEILINGS["strong"])
            fitter = GraphFitter(sets, work.device, most, steps=work.steps)
            if fitter.slot.graph is not None:
                check_graphs(fitter, next(iter(sets.values())))
            _GRAPHS.append(fitter)
        except Exception as reason:  # whatever a driver may do; the learner's own method remains
            print(f"no graphs in this process: {type(reason).__name__}: {reason}", flush=True)
            _GRAPHS.append(None)
    return _GRAPHS[0]


def check_graphs(fitter: GraphFitter, pictures: Pictures) -> None:
    """Raise a RuntimeError unless the graphs learn something from images that the learner is tuned on."""
    name, size = pictures.key
    tuning = tuning_rows(name, pictures.ids)
    task, some = Task(name, size, "strong", FULL, 1000, 100), tuple(pictures.ids[row] for row in tuning[::4])
    held_out = np.setdiff1d(tuning, pictures.rows(some))
    found = float(measure(fitter.fit(task, LabelledPictures(pictures, some), 0, None), pictures, held_out).mean())
    if not found >= LEAST:
        raise RuntimeError(f"the Dice of a short training must be at least {LEAST}: got {found:.3f}")
    print(f"Dice {found:.3f} after 100 steps, {fitter.speed():.0f} steps a second", flush=True)


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
        book, fitter = Book(work.out), _fitter(task, work)
        play(task, _SETS[task.key], fitter, book, commit, done=done, known=known, goes_on=goes_on,
             budgets=work.budgets or None)  # fmt: skip
        print(f"{task}: {time.monotonic() - start:.0f} s", flush=True)


def _fitter(task: Task, work: Work) -> Fitter:
    graphs = graph_fitter(work, _SETS) if work.graphs and task.learner != "paper" else None
    return graphs or LearnerFitter(work)
