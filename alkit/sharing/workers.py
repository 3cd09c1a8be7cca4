"""Who computes: this process, or the workers of the backend of joblib that is active.

The user chooses a backend by ``joblib.parallel_config``: processes of this machine (``loky``), threads, Ray or Dask.
Any code that runs inside it, such as a learner, sees the same workers.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from typing import NamedTuple

from alkit.checks import check_integer
from alkit.errors import ConfigurationError

Workers = int | Sequence[str] | None
"""Number of workers, -1 for one per core; or devices of torch, one worker for each; or None for those of joblib."""

_devices: ContextVar[tuple[str, ...]] = ContextVar("devices", default=())


class Crew(NamedTuple):
    """The workers: their number, and their devices if each has one of its own. One worker is this process itself."""

    size: int
    devices: tuple[str, ...] = ()

    @property
    def is_here(self) -> bool:
        """Whether this process computes."""
        backend = _backend()
        own = backend is None or type(backend).__module__ == "joblib._parallel_backends"
        return self.size == 1 and not self.devices and own

    @property
    def shares_memory(self) -> bool:
        """Whether the workers are threads of this process."""
        return bool(getattr(_backend(), "supports_sharedmem", False))

    @property
    def streams(self) -> bool:
        """Whether results arrive one by one rather than all at the end."""
        return bool(getattr(_backend(), "supports_return_generator", False))


def check_workers(workers: object) -> Workers:
    """Return workers if they can be used.

    Raises
    ------
    ConfigurationError
        They are neither an integer >= 1 or -1, nor names of devices, nor None.

    Examples
    --------
    >>> check_workers(2), check_workers(["cuda:0", "cuda:1"]), check_workers(None)
    (2, ('cuda:0', 'cuda:1'), None)
    >>> check_workers(0)
    Traceback (most recent call last):
    alkit.errors.ConfigurationError: workers must be an integer >= 1, or -1 for one per core: got 0
    """
    if workers is None:
        return None
    if isinstance(workers, Sequence) and not isinstance(workers, str):
        devices = tuple(workers)
        if not devices or not all(isinstance(device, str) and device for device in devices):
            raise ConfigurationError(
                "workers must be a number, or devices of torch such as cuda:0 and cuda:1", got=repr(workers)
            )
        return devices
    if isinstance(workers, int) and not isinstance(workers, bool) and workers == -1:
        return -1
    try:
        return check_integer("workers", workers, least=1)
    except ConfigurationError as reason:
        raise ConfigurationError(
            "workers must be an integer >= 1, or -1 for one per core", got=repr(workers)
        ) from reason


@contextmanager
def working(workers: Workers) -> Iterator[Crew]:
    """Let work be shared by some workers inside a ``with`` block; None keeps those that are active.

    >>> with working(2) as crew:
    ...     crew.size
    2
    """
    if workers is None:
        yield crew()
        return
    import joblib

    workers = check_workers(workers)
    devices = () if isinstance(workers, int) else tuple(workers or ())
    before = _devices.set(devices)
    try:
        with joblib.parallel_config(n_jobs=len(devices) if devices else workers):
            yield crew()
    finally:
        _devices.reset(before)


@contextmanager
def safe_imports() -> Iterator[None]:
    """Let Python processes that start inside a ``with`` block import nothing from the current folder.

    It may be that of a stranger. A process of joblib then takes over the folders from which this process imports.
    """
    name = "PYTHONSAFEPATH"
    before = os.environ.get(name)
    os.environ[name] = "1"
    try:
        yield
    finally:
        if before is None:
            os.environ.pop(name, None)
        else:
            os.environ[name] = before


def crew() -> Crew:
    """Return the workers that are active."""
    joblib = sys.modules.get("joblib")
    return Crew(1 if joblib is None else joblib.effective_n_jobs(None), _devices.get())


def _backend() -> object | None:
    """Return the backend of joblib that is active; None if joblib is not imported, so nobody has chosen one."""
    joblib = sys.modules.get("joblib")
    return None if joblib is None else joblib.parallel.get_active_backend()[0]
