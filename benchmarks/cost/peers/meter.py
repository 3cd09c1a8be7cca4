"""Measure the cost of a function in its process: seconds, and memory above the level before. Linux only."""

from __future__ import annotations

import os
import re
import threading
import time
from collections.abc import Callable
from typing import TypeVar

T = TypeVar("T")

_FIELDS = re.compile(rb"^(VmRSS|RssAnon):\s+(\d+) kB$", re.MULTILINE)


def measure(work: Callable[[], T], interval: float = 0.003) -> tuple[T, dict[str, float]]:
    """Call `work`, and return its result and its cost.

    Parameters
    ----------
    work:
        The function to measure.
    interval:
        Seconds between two readings of the memory. Shorter peaks may be missed. The time of the thread that reads is
        not counted.

    Returns
    -------
    The result, and a dict with ``cpu_s``, the seconds of all threads of the process; ``wall_s``; ``anon_mib``, the peak
    of anonymous memory (allocations, without mapped files) above the level at the start, in MiB; and ``rss_mib``, the
    same for all resident memory.

    Examples
    --------
    >>> held, cost = measure(lambda: bytearray(b"1") * 2**26)
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
        result = work()
        cpu, wall = time.process_time() - cpu, time.perf_counter() - wall
        own = watching
        last = memory()
    finally:
        done.set()
        watcher.join()
        os.close(status)
    mib = {name: (max(peak[name], last[name]) - before[name]) / 1024 for name in before}
    return result, {
        "cpu_s": cpu - own,
        "wall_s": wall,
        "anon_mib": mib[b"RssAnon"],
        "rss_mib": mib[b"VmRSS"],
    }
