"""Whether workers have loaded the same code of the user as the process that asks.

A worker lives longer than a call, and loads a module once: those of a cluster outlive programs, and those of this
machine begin and end while a program runs. So one may have another version of a file that was edited meanwhile.
"""

from __future__ import annotations

import hashlib
import os
import socket
import sys
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType

from alkit._logs import logger
from alkit._turn import Turn
from alkit.configuration.code import changed_since_start, file_of_user
from alkit.configuration.constants import changed_constants
from alkit.errors import ConfigurationError

log = logger(__name__)

_turn = Turn()
_seen: dict[str, _Seen] = {}  # by module
_agreed: dict[str, str] = {}  # by file: the digest of what this program or a worker has used
_warned = set[str]()


@dataclass(frozen=True)
class _Seen:
    """How a module was loaded, its file if it is the user's, and a digest of the file at that time.

    It is not sure that the module has this content if the file was changed before that, while this program ran.
    """

    spec: object
    file: Path | None
    digest: str | None = None
    is_sure: bool = False


def loaded_code() -> dict[str, str]:
    """Return a digest of each module that is loaded and not installed, as its file was when it was first seen.

    A module that was loaded again counts as a new one.
    """
    with _turn():
        for name, module in list(sys.modules.items()):
            spec = vars(module).get("__spec__") if isinstance(module, ModuleType) else None
            if name not in _seen or _seen[name].spec is not spec:
                _seen[name] = _look(spec, name, module)
        return {name: seen.digest for name, seen in _seen.items() if seen.digest is not None}


def used_code(*, in_worker: bool = False) -> dict[str, str] | None:
    """Return a digest of each file of the user's code that this process has loaded, by path.

    The program of a worker is left out `in_worker`: it belongs to the backend.

    None if it cannot be told, because a file cannot be read, or may have been changed between being loaded and seen.
    """
    loaded_code()
    with _turn():
        seen = [one for name, one in _seen.items() if one.file is not None and not (in_worker and name == "__main__")]
    return {str(one.file): str(one.digest) for one in seen} if all(one.is_sure for one in seen) else None


def agree(code: Mapping[str, str] | None) -> None:
    """Check that a result comes from the same code as all other results of this program.

    Parameters
    ----------
    code:
        What :func:`used_code` returned where it was computed.

    Raises
    ------
    ConfigurationError
        A file of the user's code was another one when it was used.
    """
    loaded_code()
    with _turn():
        own = {str(seen.file): seen.digest for seen in _seen.values() if seen.digest is not None}
        for file, digest in (code or {}).items():
            if (own.get(file) or _agreed.setdefault(file, digest)) != digest:
                raise _other_code(f"the file {file}", "a worker has used")


def warn_of_changes() -> None:
    """Warn of what workers may load otherwise than this program has it, once for each.

    These are files of the user that were changed since the program began, and constants that it has set.
    """
    for address, (source, now) in changed_constants().items():
        if not address.startswith("__main__:") and (said := f"{address} {now!r}") not in _warned:  # which is sent whole
            _warned.add(said)
            log.warning(
                "%s is %.100r in this program, and workers load %.100r: pass it as a parameter, or set it in the file",
                address,
                now,
                source,
            )
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
            worker = f"a worker, process {os.getpid()} on {socket.gethostname()}, has loaded"
            raise _other_code(f"the module {name}", worker)


def _other_code(what: str, who: str) -> ConfigurationError:
    return ConfigurationError(
        f"{who} another version of {what} than this program",
        hint="new workers and a new start of this program, after its files were edited",
    )


def _look(spec: object, name: str, module: ModuleType) -> _Seen:
    if (file := file_of_user(name, module)) is None:
        return _Seen(spec, None)
    try:
        return _Seen(spec, file, hashlib.sha256(file.read_bytes()).hexdigest(), not changed_since_start(file))
    except OSError:
        return _Seen(spec, file)
