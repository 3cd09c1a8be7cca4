"""Run independent experiments side by side: in processes on this machine, one after the other, or on Ray.

Each run writes its own results, so a finished run does not depend on the process that started it. The progress of
runs in other processes is read from their records.
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

from alkit.errors import MissingDependencyError, StoreError
from alkit.record import Store
from alkit.values import RoundResult

BACKENDS = {"processes": "loky", "sequential": "sequential", "ray": "ray"}
"""Names of the backends on the command line, and their names in joblib."""


@dataclass(frozen=True)
class Job:
    """One run: its name, the record of its experiment, and its number of rounds."""

    name: str
    record: Path
    rounds: int

    def rounds_done(self) -> int:
        """Return how many rounds are committed."""
        return len(self.results())

    def results(self) -> list[RoundResult]:
        """Return the results of the committed rounds."""
        if not self.record.exists():
            return []
        try:
            store = Store(self.record)
        except StoreError:  # another process is creating it
            return []
        try:
            return store.rounds()[: self.rounds]
        finally:
            store.close()


def run_jobs(jobs: Sequence[Job], work: Callable[[int, int], None], *, at_once: int, backend: str) -> None:
    """Run all jobs and show their progress.

    Parameters
    ----------
    work:
        Function that runs one job. Its arguments are the number of the job and the id of the parent process, for
        :func:`parent_is_gone`.
    at_once:
        Number of jobs side by side, each on one thread.
    backend:
        A key of :data:`BACKENDS`.

    Raises
    ------
    MissingDependencyError
        The backend is Ray, and Ray is not installed.
    """
    parent = 0 if backend == "ray" else os.getpid()  # Ray starts its workers itself, so they are not our children
    with _joblib_backend(backend, at_once), _progress_of(jobs):
        joblib.Parallel(batch_size=1, pre_dispatch=at_once)(
            joblib.delayed(work)(number, parent) for number in range(len(jobs))
        )


def parent_is_gone(parent: int) -> bool:
    """Say whether the parent process has ended. A killed parent cannot stop its workers, so they ask."""
    return parent > 0 and parent not in (os.getpid(), os.getppid())


@contextmanager
def _joblib_backend(backend: str, at_once: int) -> Iterator[None]:
    threads = {"inner_max_num_threads": 1} if backend == "processes" else {}
    if backend == "ray":
        try:
            import ray
            from ray.util.joblib import register_ray
        except ImportError as error:
            raise MissingDependencyError(
                f"--backend ray needs the package ray ({error})", hint='pip install "alkit[ray]"'
            ) from error
        # The workers import modules from the same folders as this process.
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
def _progress_of(jobs: Sequence[Job], every: float = 2.0) -> Iterator[None]:
    """Show a bar for each started job and one for all jobs; without a terminal, print a line for each finished job."""
    console = Console(stderr=True)
    columns = (TextColumn("{task.description:<44}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
    stop = threading.Event()
    done = [job.rounds_done() for job in jobs]  # by earlier calls

    with Progress(*columns, console=console, disable=not console.is_terminal) as bars:
        total = bars.add_task(
            f"{len(jobs)} runs, in rounds", total=sum(job.rounds for job in jobs), completed=sum(done)
        )
        own = [bars.add_task(job.name, total=job.rounds, visible=False, start=False) for job in jobs]

        def update() -> None:
            for number, (job, bar) in enumerate(zip(jobs, own, strict=True)):
                if done[number] == job.rounds or not job.record.exists():
                    continue
                if not bars.tasks[bar].started:
                    bars.start_task(bar)
                before, done[number] = done[number], job.rounds_done()
                finished = done[number] == job.rounds
                bars.update(bar, completed=done[number], visible=not finished)
                if finished and done[number] > before:
                    console.print(f"{time.strftime('%H:%M')} {job.name}: all {job.rounds} rounds")
            bars.update(total, completed=sum(done))

        def keep_updating() -> None:
            while not stop.wait(every):
                update()

        watcher = threading.Thread(target=keep_updating, daemon=True)
        watcher.start()
        try:
            yield
        finally:
            stop.set()
            watcher.join()
            update()
