"""Independent runs side by side: in processes of this machine, one after the other, or on Ray.

Each run writes its results itself, so that nothing of a finished run hangs on the process that started it. How far the
others are is read from their records.
"""

from __future__ import annotations

import os
import sys
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import joblib
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

from alkit.errors import ConfigurationError, StoreError
from alkit.record import Store

BACKENDS = {"processes": "loky", "sequential": "sequential", "ray": "ray"}
"""Names of this command line, and joblib's."""


@dataclass(frozen=True)
class Job:
    """One run: its name, its experiment's record, and how many rounds it has."""

    name: str
    record: Path
    rounds: int

    def done(self) -> int:
        """Return how many rounds are committed."""
        if not self.record.exists():
            return 0
        try:
            store = Store(self.record)
        except StoreError:  # it is just being made
            return 0
        try:
            return min(self.rounds, len(store.rounds()))
        finally:
            store.close()


def play(jobs: Sequence[Job], work: Callable[[int, int], None], *, at_once: int, backend: str) -> None:
    """Do all jobs and show how far they are.

    Parameters
    ----------
    work:
        Called with a job's number, and with the process that it must not outlive (see :func:`orphaned`).
    at_once:
        Jobs side by side, each on one thread.
    backend:
        One of :data:`BACKENDS`.

    Raises
    ------
    ConfigurationError
        Ray is asked for and not installed.
    """
    parent = 0 if backend == "ray" else os.getpid()  # Ray's workers are no children of ours
    with _configured(backend, at_once), _shown(jobs):
        joblib.Parallel(batch_size=1, pre_dispatch=at_once)(
            joblib.delayed(work)(number, parent) for number in range(len(jobs))
        )


def orphaned(parent: int) -> bool:
    """Say whether the process that this one works for is gone: killed, it cannot stop its workers."""
    return parent > 0 and parent not in (os.getpid(), os.getppid())


@contextmanager
def _configured(backend: str, at_once: int) -> Iterator[None]:
    threads = {"inner_max_num_threads": 1} if backend == "processes" else {}
    if backend == "ray":
        try:
            import ray
            from ray.util.joblib import register_ray
        except ImportError as reason:
            raise ConfigurationError(f"Ray cannot be had ({reason})", hint='pip install "alkit[ray]"') from reason
        # The workers import what this process has imported, from where it has.
        paths = os.pathsep.join(path for path in sys.path if path)
        ray.init(
            num_cpus=at_once,
            ignore_reinit_error=True,
            include_dashboard=False,
            runtime_env={"env_vars": {"PYTHONPATH": paths, "OMP_NUM_THREADS": "1"}},
        )
        register_ray()
    try:
        with joblib.parallel_config(BACKENDS[backend], n_jobs=at_once, **threads):
            yield
    finally:
        if backend == "ray":
            ray.shutdown()


@contextmanager
def _shown(jobs: Sequence[Job], every: float = 2.0) -> Iterator[None]:
    """Show a bar for each run that has begun and one for all; on no terminal, a line for each run that has ended."""
    console = Console(stderr=True)
    columns = (TextColumn("{task.description:<44}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
    ended = threading.Event()
    done = [job.done() for job in jobs]  # of earlier times

    with Progress(*columns, console=console, disable=not console.is_terminal) as bars:
        total = bars.add_task(
            f"{len(jobs)} runs, in rounds", total=sum(job.rounds for job in jobs), completed=sum(done)
        )
        begun = [bars.add_task(job.name, total=job.rounds, visible=False, start=False) for job in jobs]

        def look() -> None:
            for number, (job, bar) in enumerate(zip(jobs, begun, strict=True)):
                if done[number] == job.rounds or not job.record.exists():
                    continue
                if not bars.tasks[bar].started:
                    bars.start_task(bar)
                before, done[number] = done[number], job.done()
                finished = done[number] == job.rounds
                bars.update(bar, completed=done[number], visible=not finished)
                if finished and done[number] > before:
                    console.print(f"{time.strftime('%H:%M')} {job.name}: all {job.rounds} rounds")
            bars.update(total, completed=sum(done))

        def keep_looking() -> None:
            while not ended.wait(every):
                look()

        looking = threading.Thread(target=keep_looking, daemon=True)
        looking.start()
        try:
            yield
        finally:
            ended.set()
            looking.join()
            look()
