"""Spread work over shards: any backend of joblib computes them, and the results are those of one process.

Shards have a fixed size, so a result depends neither on the number of workers nor on their order. A worker keeps each
result as a file, see :mod:`alkit.sharing.kept`; so a worker that is killed costs the shards that were in work, and a
run that is killed continues with the shards that are missing.
"""

from __future__ import annotations

import time
import warnings
from collections.abc import Callable, Generator, Iterator, Sequence
from concurrent.futures import Executor, ThreadPoolExecutor
from contextlib import closing, suppress
from pathlib import Path
from typing import Any, Protocol, runtime_checkable

import numpy.typing as npt

from alkit._logs import logger
from alkit.configuration.code import code_of, files_of, installed
from alkit.configuration.constants import changed_constants
from alkit.errors import AlkitError, ConfigurationError, ImageError, StoreError
from alkit.sharing.arithmetic import Arithmetic, kinds, machine
from alkit.sharing.kept import (
    can_keep,
    code_of_result,
    forget_results_of_other_code,
    has_result,
    kept_results,
    read_result,
    result_file,
    write_result,
)
from alkit.sharing.loaded_code import agree, loaded_code, used_code, warn_of_changes
from alkit.sharing.named_folders import NamedFolders
from alkit.sharing.travelling import check_received, check_travels
from alkit.sharing.worker import Outcome, ShardError, Tick, Work, compute, fail
from alkit.sharing.workers import Crew, Workers, crew, safe_imports, working
from alkit.values.progress import Progress, Report

log = logger(__name__)

ATTEMPTS = 3
"""Number of times that a shard is tried before its error is raised."""

ENDS = 5
"""Number of times that the workers may end without any result. A cluster notices slowly that a machine is gone."""

WORTHWHILE = 0.05
"""Share of the time of a shard that its reading must take, so that a thread reads ahead."""

AHEAD = 4
"""Shards for each worker that are computed before a stream of results is read on."""

Result = dict[str, npt.NDArray[Any]]


class Shard(Protocol):
    """A part of the work."""

    @property
    def size(self) -> int:
        """Number of parts, such as images, that progress counts."""

    def packed(self, folder: Path) -> Any:
        """Return the shard as it travels to a worker. What is large goes to a file of the folder."""


@runtime_checkable
class ReadsSoon(Protocol):
    """A shard that reads images."""

    def expect(self) -> None:
        """Let the system load what the shard will read, while other shards are computed."""

    def ahead(self, thread: Executor) -> Any:
        """Return the shard, which a thread begins to read."""

    def arrived(self) -> bool:
        """Wait until the thread has ended, and return whether it could read the shard."""


class Counted:
    """Reports how many parts of the work are done.

    Parameters
    ----------
    report:
        Called with the progress.
    stage:
        Name of the stage.
    total, done:
        Number of all parts, and of those that are done already.
    """

    def __init__(self, report: Report, stage: str, total: int, done: int = 0) -> None:
        self._report, self._stage, self._total, self._done = report, stage, total, done

    def __call__(self, done: int) -> None:
        """Take the number of parts that were done since the last call."""
        if done:
            self._done += done
            self._report(Progress(self._stage, self._done, self._total))


def share(
    work: Work[Any],
    shards: Sequence[Shard],
    tick: Tick,
    *,
    workers: Workers = None,
    key: object = None,
    stream: bool = False,
) -> Iterator[Result]:
    """Yield the result of each shard, in the order of the shards.

    Parameters
    ----------
    work:
        Computes a shard.
    shards:
        The shards.
    tick:
        Is told how many parts are done, those of earlier runs included.
    workers:
        Who computes; default: the workers of joblib that are active, else this process.
    key:
        All that the results depend on, as values of JSON, so that a run that was killed finds its finished shards.
        None: nothing is kept beyond the call. The code of classes and functions that written forms in it name, files
        that they name, the installed packages, constants that the program has set, and the settings of the arithmetic
        are added to it; if they cannot be told, nothing is kept either. So is a result whose code was changed since.
    stream:
        Whether results are large: few shards are computed ahead of the one that is read.

    Raises
    ------
    ConfigurationError
        A part of the work cannot be sent to another process, or the workers end again and again.
    AlkitError
        A shard fails.
    """
    if not shards:
        return
    with working(workers) as found:
        alone = found.is_here or (len(shards) == 1 and not found.devices and _is_local())
    if key is not None:
        code, packages = code_of(key), installed()
        how = [Arithmetic.of_this_process().named(), machine(used := kinds(found.devices)), used]
        how.append([[address, repr(now)] for address, (_, now) in sorted(changed_constants().items())])
        key = None if code is None or packages is None else [key, code, packages, files_of(key), how]
    if alone and (key is None or len(shards) == 1 or not can_keep()):
        yield from _one_by_one(shards, lambda number, shard: dict(work(shard, tick)))
        return
    with kept_results(key) as folder:
        forget_results_of_other_code(folder)
        if alone:
            yield from _here(work, shards, tick, folder)
            return
        packed = work.packed(folder)
        check_travels(packed, shards[0].packed(folder))
        at_once = AHEAD * max(found.size, 1) if stream else len(shards)
        for start in range(0, len(shards), at_once):
            numbers = range(start, min(start + at_once, len(shards)))
            with working(workers):
                _compute(packed, shards, numbers, tick, folder)
            for number in numbers:
                result = read_result(result_file(folder, number))
                if result is None:
                    raise StoreError(f"the result {result_file(folder, number)} was lost", hint="the same call again")
                agree(code_of_result(result_file(folder, number)))
                if stream:
                    result_file(folder, number).unlink(missing_ok=True)
                yield result


def _expect(shards: Sequence[Shard], number: int) -> None:
    """Have the system load what a shard will read, if there is such a shard."""
    if number < len(shards) and isinstance(shard := shards[number], ReadsSoon):
        shard.expect()


def _is_local() -> bool:
    return Crew(1).is_here


def _here(work: Work[Any], shards: Sequence[Shard], tick: Tick, folder: Path) -> Iterator[Result]:
    """Compute shards in this process, and keep their results for the case that it is killed."""

    def result_of(number: int, shard: Shard) -> Result:
        path = result_file(folder, number)
        if (result := read_result(path)) is None:
            result = dict(work(shard, tick))
            with suppress(StoreError):  # a full disk costs time only if this process is killed
                write_result(path, result, used_code())
        else:
            agree(code_of_result(path))
            tick(shard.size)
        return result

    yield from _one_by_one(shards, result_of, lambda number: has_result(result_file(folder, number)))


def _one_by_one(
    shards: Sequence[Shard],
    compute: Callable[[int, Shard], Result],
    is_known: Callable[[int], bool] = lambda number: False,
) -> Iterator[Result]:
    """Yield the result of each shard, whose images a thread reads while the shard before it is computed.

    The thread has ended whenever a result is yielded, so that pools are read by one thread at a time. It stops if
    reading takes little of the time, because images that wait in memory scatter what the computation allocates.
    """
    can_read = len(shards) > 1
    with ThreadPoolExecutor(1) as thread:

        def begin(number: int) -> Any:
            shard = shards[number] if number < len(shards) else None
            if can_read and isinstance(shard, ReadsSoon) and not is_known(number):
                return shard.ahead(thread)
            return shard

        started = time.perf_counter()
        shard = begin(0)
        can_read = can_read and _has_arrived(shard)
        reading = time.perf_counter() - started
        for number in range(len(shards)):
            coming = begin(number + 1)
            started = time.perf_counter()
            result = compute(number, shard)
            if number == 1:  # not the first one, for which much is prepared
                can_read = can_read and reading > WORTHWHILE * (time.perf_counter() - started)
            can_read = can_read and _has_arrived(coming)
            yield result
            shard = coming


def _has_arrived(shard: object) -> bool:
    return not isinstance(shard, ReadsSoon) or shard.arrived()


def _compute(work: Any, shards: Sequence[Shard], numbers: Sequence[int], tick: Tick, folder: Path) -> None:
    """Compute the shards with these numbers, until the results of all are kept."""
    left = [number for number in numbers if not has_result(result_file(folder, number))]
    tick(sum(shards[number].size for number in numbers) - sum(shards[number].size for number in left))
    failures: dict[int, int] = {}
    arithmetic, ends = Arithmetic.of_this_process(), 0
    while left:
        done = set[int]()
        try:
            with safe_imports(), closing(_run(work, shards, left, folder, arithmetic, again=ends > 0)) as outcomes:
                for outcome in outcomes:
                    for name, level, message in outcome.said:
                        logger(name).log(level, "%s", message)
                    if outcome.error is None:
                        done.add(outcome.number)
                        tick(shards[outcome.number].size)
                        continue
                    failures[outcome.number] = failures.get(outcome.number, 0) + 1
                    if _is_final(outcome.error) or failures[outcome.number] == ATTEMPTS:
                        raise _Final(outcome)
                    log.warning(
                        "a shard failed in %s and is tried again elsewhere (%s)",
                        outcome.where,
                        str(outcome.error).rstrip("."),
                    )
            ends = 0
        except _Final as final:
            raise _error_of(final.outcome) from None
        except Exception as reason:  # of the backend: a worker was killed, or a machine is gone
            check_received(reason)
            kept = [number for number in left if number not in done and has_result(result_file(folder, number))]
            for number in kept:
                tick(shards[number].size)
            done.update(kept)
            ends = 1 if done else ends + 1
            if ends == ENDS:
                raise ConfigurationError(
                    f"the workers ended {ENDS} times without a result ({type(reason).__name__}: {reason})",
                    hint="fewer workers if the memory does not suffice, or workers=1",
                ) from reason
            log.warning("a worker ended, so its shards are computed again (%s)", type(reason).__name__)
            time.sleep(2.0**ends / 2)
        left = [number for number in left if number not in done]


class _Final(Exception):
    """A shard failed for good."""

    def __init__(self, outcome: Outcome) -> None:
        self.outcome = outcome


def _run(
    work: Any, shards: Sequence[Shard], left: Sequence[int], folder: Path, arithmetic: Arithmetic, *, again: bool
) -> Generator[Outcome]:
    """Yield the outcomes of some shards, as they arrive if the backend can tell."""
    import joblib

    found = crew()
    size = found.size
    if again and not found.devices:  # a machine may be gone, with its workers
        size = max(1, min(size, joblib.effective_n_jobs(-1)))
    if not found.shares_memory:
        warn_of_changes()
    settings, folders = (folder, arithmetic, found.devices, loaded_code()), NamedFolders()

    def job(number: int) -> Any:
        try:  # an error here would reach nobody, because joblib asks for jobs in a thread of its own
            _expect(shards, number)
            return joblib.delayed(compute)(folders, work, shards[number].packed(folder), number, *settings)
        except Exception as error:
            return joblib.delayed(fail)(number, error)

    if found.streams:
        run = joblib.Parallel(n_jobs=size, batch_size=1, return_as="generator_unordered")
        outcomes = run(map(job, left))
        try:
            for outcome in outcomes:  # noqa: UP028  # "yield from" would pass an early end on before the block below
                yield outcome
        finally:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore", UserWarning)  # joblib warns that it stops before the end
                outcomes.close()
        return
    with joblib.Parallel(n_jobs=size, batch_size=1) as run:
        for start in range(0, len(left), AHEAD * size):
            yield from run(map(job, left[start : start + AHEAD * size]))


def _is_final(error: Exception) -> bool:
    """Whether an error would be raised again elsewhere, because it is one of the images, the model or the settings."""
    return isinstance(error, AlkitError) and not isinstance(error, StoreError | ImageError)


def _error_of(outcome: Outcome) -> Exception:
    assert outcome.error is not None
    if isinstance(outcome.error, ShardError):
        error = RuntimeError(f"{outcome.error} (in {outcome.where})")
        error.add_note(outcome.trace)
        return error
    return outcome.error
