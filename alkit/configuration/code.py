"""The code behind a written form: what a name meant when a result was computed."""

from __future__ import annotations

import hashlib
import os
import sys
import sysconfig
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType

from alkit.configuration import start
from alkit.configuration.forms import Written


def code_of(form: Written) -> dict[str, str] | None:
    """Return a digest of the code of each class and function in a form, by module; None if it cannot be told.

    The code of an installed package is told by its version. Otherwise it is that of the module, and of all other
    loaded modules that are not installed, which it may use. The classes of alkit are left out: they have its version.
    It cannot be told if one of these files has changed since this program began, which may have loaded it before that.

    >>> code_of([{"is": "alkit:LabelSpec", "with": {}}, 3]), code_of({"named": "module_that_is_not_there:score"})
    ({}, None)
    """
    found: dict[str, str] = {}
    for name in sorted({address.partition(":")[0] for address in _addresses(form)}):
        if name.partition(".")[0] == "alkit":
            continue
        digest = _digest(name)
        if digest is None:
            return None
        found[name] = digest
    return found


def _addresses(form: Written) -> Iterator[str]:
    if isinstance(form, list | tuple):
        for entry in form:
            yield from _addresses(entry)
    elif isinstance(form, dict):
        for key, entry in form.items():
            if key in ("is", "named", "opaque") and isinstance(entry, str):
                yield entry
            else:
                yield from _addresses(entry)


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
    sha = hashlib.sha256()
    for file in sorted({path, *_of_the_user()}):
        try:
            if changed_since_start(file):
                return None
            sha.update(f"{file.name} ".encode() + hashlib.sha256(file.read_bytes()).digest())
        except OSError:
            return None
    return sha.hexdigest()


def _of_the_user() -> Iterator[Path]:
    """Yield the files of the loaded modules that are not installed."""
    for name, module in list(sys.modules.items()):
        if (file := file_of_user(name, module)) is not None:
            yield file


def file_of_user(name: str, module: ModuleType) -> Path | None:
    """Return the file of a module that is neither installed nor made by torch; None if it is, or has none."""
    file = _file(module)
    if file is None or name.partition(".")[0] == "alkit" or _is_installed(file):
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
