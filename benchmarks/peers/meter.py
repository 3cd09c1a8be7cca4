"""What a piece of work costs the process it runs in: seconds, and memory above what was held before. Linux only."""

from __future__ import annotations

import os
import re
import threading
import time
from collections.abc import Callable
from typing import TypeVar

T = TypeVar("T")

_FIELDS = re.compile(rb"^(VmRSS|RssAnon):\s+(\d+) kB$", re.MULTILINE)


def measured(work: Callable[[], T], interval: float = 0.003) -> tuple[T, dict[str, float]]:
    """Do `work` and return what it returned, and what it cost.

    Parameters
    ----------
    interval:
        Seconds between two looks at the memory, by a thread whose own time is not counted. A peak shorter than this
        may be missed.

    Returns
    -------
    The outcome, and a dict of ``cpu_s``, seconds of all threads of the process; ``wall_s``; ``anon_mib``, the peak of
    anonymous memory (what was allocated, not the files mapped) above the level at the start, in MiB; ``rss_mib``, the
    same of all resident memory.

    Examples
    --------
    >>> held, cost = measured(lambda: bytearray(b"1") * 2**26)
    >>> cost["anon_mib"] > 60
    True
    """
    status = os.open("/proc/self/status", os.O_RDONLY)
    done = threading.Event()
    watching = 0.0

    def memory() -> dict[bytes, int]:
        return {name: int(kib) for name, kib in _FIELDS.findall(os.pread(status, 4096, 0))}

    def watch() -> None:
        nonlocal watching
        while not done.wait(interval):
            for name, kib in memory().items():
                peak[name] = max(peak[name], kib)
            watching = time.thread_time()

    before = memory()
    peak = dict(before)
    watcher = threading.Thread(target=watch, daemon=True)
    watcher.start()
    try:
        wall, cpu = time.perf_counter(), time.process_time()
        outcome = work()
        cpu, wall = time.process_time() - cpu, time.perf_counter() - wall
        own = watching
        last = memory()
    finally:
        done.set()
        watcher.join()
        os.close(status)
    mib = {name: (max(peak[name], last[name]) - before[name]) / 1024 for name in before}
    return outcome, {
        "cpu_s": cpu - own,
        "wall_s": wall,
        "anon_mib": mib[b"RssAnon"],
        "rss_mib": mib[b"VmRSS"],
    }
