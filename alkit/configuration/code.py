"""The code behind a written form: what a name meant when a result was computed.

Code of the user is told by the content of its files, and code of installed packages by their versions and the times at
which they were installed.
"""

from __future__ import annotations

import hashlib
import os
import stat
import sys
import sysconfig
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from types import ModuleType
from typing import Any

import alkit
from alkit.configuration import start
from alkit.configuration.forms import Written


def code_of(form: Written) -> dict[str, str] | None:
    """Return what tells the code of each class and function in a form, by module; None if it cannot be told.

    This is the version of an installed package, and otherwise a digest of the module's file. What that one uses is told
    when it was used: see :func:`alkit.sharing.loaded_code.used_code`. The classes of alkit are left out: they have its
    version. It cannot be told if the file has changed since this program began, which may have loaded it before that.

    >>> code_of([{"is": "alkit:LabelSpec", "with": {}}, 3]), code_of({"named": "module_that_is_not_there:score"})
    ({}, None)
    """
    found: dict[str, str] = {}
    for name in sorted({address.partition(":")[0] for address in addresses(form)}):
        if name.partition(".")[0] == "alkit":
            continue
        digest = _digest(name)
        if digest is None:
            return None
        found[name] = digest
    return found


def addresses(form: Written) -> Iterator[str]:
    """Yield the addresses of the classes and functions in a form."""
    if isinstance(form, list | tuple):
        for entry in form:
            yield from addresses(entry)
    elif isinstance(form, dict):
        for key, entry in form.items():
            if key in ("is", "named", "opaque") and isinstance(entry, str):
                yield entry
            else:
                yield from addresses(entry)


def _digest(name: str) -> str | None:
    module, top = sys.modules.get(name), name.partition(".")[0]
    if module is None:
        return None
    if name in sys.builtin_module_names or top in sys.stdlib_module_names:
        return sys.version
    path = _file(module)
    if path is None:  # such as a notebook, whose functions have no file
        return None
    version = getattr(sys.modules.get(top), "__version__", None)
    if _is_installed(path) and isinstance(version, str):
        return version
    return digest_of_file(path)


def digest_of_file(file: Path) -> str | None:
    """Return a digest of a file; None if it cannot be read, or was changed since this program began."""
    try:
        return None if changed_since_start(file) else hashlib.sha256(file.read_bytes()).hexdigest()
    except OSError:
        return None


def files_of(form: Written) -> list[list[Any]]:
    """Return the size and times of each file that an argument in a form names, such as one of weights.

    >>> files_of({"is": "alkit:LabelSpec", "with": {"classes": ["skin", "lesion"], "ignore": None}})
    []
    """
    found = []
    for text in sorted(set(_arguments(form, inside=False))):
        with suppress(OSError, ValueError):
            facts = os.stat(text)
            if stat.S_ISREG(facts.st_mode):
                found.append([text, facts.st_size, facts.st_mtime_ns, facts.st_ctime_ns])
    return found


def contents_of(form: Written) -> dict[str, str]:
    """Return a digest of each file that an argument in a form names, such as one of weights.

    >>> contents_of({"is": "alkit:LabelSpec", "with": {"classes": ["skin", "lesion"], "ignore": None}})
    {}
    """
    found = {}
    for text, *_ in files_of(form):
        with suppress(OSError), open(text, "rb") as file:
            found[text] = hashlib.file_digest(file, "sha256").hexdigest()
    return found


def _arguments(form: Written, *, inside: bool) -> Iterator[str]:
    """Yield the texts in the arguments of a form."""
    if isinstance(form, str) and inside:
        yield form
    elif isinstance(form, list | tuple):
        for entry in form:
            yield from _arguments(entry, inside=inside)
    elif isinstance(form, dict):
        for key, entry in form.items():
            if key not in ("is", "named", "opaque"):
                yield from _arguments(entry, inside=inside or key in ("with", "args"))


def installed() -> str | None:
    """Return a digest of all installed packages; None if one was installed since this program began.

    A package counts by its version and the time at which it was installed: somebody may install other code with the
    same version.
    """
    found, paths = list[tuple[str, int]](), sysconfig.get_paths()
    searched = {path for path in sys.path if _is_installed(Path(path))}
    for folder in sorted({paths["purelib"], paths["platlib"], *searched}):
        with suppress(OSError), os.scandir(folder) as entries:
            found += [
                (entry.name, entry.stat().st_mtime_ns)
                for entry in entries
                if entry.name.endswith((".dist-info", ".egg-info"))
            ]
    if not _is_installed(own := Path(alkit.__file__).parent):  # somebody works on alkit itself
        found += [(str(file), file.stat().st_mtime_ns) for file in sorted(own.rglob("*.py"))]
    if any(time >= start.STARTED * 1e9 for _, time in found):
        return None
    return hashlib.sha256(repr(sorted(found)).encode()).hexdigest()[:16]


def file_of_user(name: str, module: ModuleType) -> Path | None:
    """Return the file of a module that is neither installed nor made by torch; None if it is, or has none."""
    return None if (file := _file(module)) is None else as_file_of_user(name, file)


def as_file_of_user(name: str, file: Path) -> Path | None:
    """Return the file of a module, as :func:`file_of_user` returns it."""
    if name.partition(".")[0] == "alkit" or _is_installed(file):
        return None
    compiled = os.environ.get("TORCHINDUCTOR_CACHE_DIR")  # what torch has compiled, named by its content
    return None if compiled and file.is_relative_to(compiled) else file


def changed_since_start(file: Path) -> bool:
    """Whether a file was changed since this program began; an :class:`OSError` if it cannot be found."""
    facts = file.stat()
    return max(facts.st_mtime, facts.st_ctime) >= start.STARTED


def _file(module: ModuleType) -> Path | None:
    file = vars(module).get("__file__") if isinstance(module, ModuleType) else None
    return Path(file) if isinstance(file, str) else None


def _is_installed(path: Path) -> bool:
    if not {"site-packages", "dist-packages"}.isdisjoint(path.parts):
        return True
    paths = sysconfig.get_paths()
    return any(path.is_relative_to(paths[kind]) for kind in ("purelib", "platlib", "stdlib"))
