"""Devices of workers: each worker takes one that is free, so that a device has one process at a time."""

from __future__ import annotations

import socket
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from contextvars import ContextVar
from pathlib import Path

from filelock import FileLock, Timeout

_device: ContextVar[str | None] = ContextVar("device", default=None)
_last = threading.local()

PAUSE = 0.02
"""Seconds between two looks for a free device."""


def worker_device() -> str | None:
    """Return the device of this worker; None for that of the model."""
    return _device.get()


@contextmanager
def device_slot(devices: tuple[str, ...], folder: Path) -> Iterator[None]:
    """Use one of some devices of this machine alone, inside a ``with`` block, and wait until one is free.

    Parameters
    ----------
    devices:
        Names of the devices; none for no choice. A name that occurs twice stands for two places.
    folder:
        Folder of the work, for lock files. Other work does not wait.
    """
    if not devices:
        yield
        return
    locks = [FileLock(folder / f"{socket.gethostname()}-{place}.lock") for place in range(len(devices))]
    first = getattr(_last, "place", 0) % len(devices)  # this thread has its model there
    order = [first, *(place for place in range(len(devices)) if place != first)]
    while (place := _acquire(locks, order)) is None:
        time.sleep(PAUSE)
    _last.place, before = place, _device.set(devices[place])
    try:
        yield
    finally:
        _device.reset(before)
        locks[place].release()


def _acquire(locks: list[FileLock], order: list[int]) -> int | None:
    for place in order:
        with suppress(Timeout):
            locks[place].acquire(blocking=False)
            return place
    return None
