"""Whether workers have loaded the same code of the user as the process that asks.

A worker lives longer than a call, and loads a module once: those of a cluster outlive programs, and those of this
machine begin and end while a program runs. So one may have another version of a file that was edited meanwhile.
"""

from __future__ import annotations

import hashlib
import logging
import os
import socket
import sys
import threading
from collections.abc import Mapping
from contextlib import suppress
from types import ModuleType

from alkit.configuration.code import changed_since_start, file_of_user
from alkit.errors import ConfigurationError

log = logging.getLogger(__name__)

_lock = threading.Lock()
_seen: dict[str, tuple[object, str | None]] = {}  # by module: how it was loaded, and a digest of its file at that time
_warned = set[str]()


def loaded_code() -> dict[str, str]:
    """Return a digest of each module that is loaded and not installed, as its file was when it was first seen.

    A module that was loaded again counts as a new one.
    """
    with _lock:
        for name, module in list(sys.modules.items()):
            spec = vars(module).get("__spec__") if isinstance(module, ModuleType) else None
            if name not in _seen or _seen[name][0] is not spec:
                _seen[name] = spec, _digest(name, module)
        return {name: digest for name, (_, digest) in _seen.items() if digest is not None}


def warn_of_changes() -> None:
    """Warn of files of the user that were changed since this program began, once for each."""
    for name, module in list(sys.modules.items()):
        file = file_of_user(name, module)
        if file is None or str(file) in _warned:
            continue
        with suppress(OSError):
            if changed_since_start(file):
                _warned.add(str(file))
                log.warning("%s was changed since this program began: workers may load another version of it", file)


def check_code(wanted: Mapping[str, str]) -> None:
    """Check that this worker has loaded the code of the process that asks.

    Raises
    ------
    ConfigurationError
        It has loaded a module when its file was another one.
    """
    own = loaded_code()
    own.pop("__main__", None)  # the program of a worker
    if "__mp_main__" in own:  # the program that asks, as a worker of this machine has loaded it
        own["__main__"] = own.pop("__mp_main__")
    for name, digest in own.items():
        if wanted.get(name, digest) != digest:
            raise ConfigurationError(
                f"a worker, process {os.getpid()} on {socket.gethostname()}, has loaded another version of the module "
                f"{name} than this program",
                hint="new workers and a new start of this program, after its files were edited",
            )


def _digest(name: str, module: ModuleType) -> str | None:
    file = file_of_user(name, module)
    try:
        return None if file is None else hashlib.sha256(file.read_bytes()).hexdigest()
    except OSError:
        return None
