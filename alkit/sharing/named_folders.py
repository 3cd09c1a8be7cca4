"""Folders whose modules a user has named, such as the current one by ``--learner module:name``.

They are not in ``sys.path``: a record could then name plugins that lie there. A worker searches the same folders, from
the moment at which it receives their names, and so before it loads the rest of its work. It searches no others.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Sequence
from importlib.machinery import ModuleSpec, PathFinder
from types import ModuleType
from typing import Any


class _ModulesOf:
    """Finds the modules of a folder."""

    def __init__(self, folder: str) -> None:
        self.folder = folder

    def find_spec(
        self, name: str, path: Sequence[str] | None = None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        return None if path is not None else PathFinder.find_spec(name, [self.folder], target)


def search_folder(folder: str) -> None:
    """Let modules be imported from a folder, after all others, so that no file there hides an installed module."""
    if folder not in named_folders():
        sys.meta_path.append(_ModulesOf(folder))


def named_folders() -> list[str]:
    """Return the folders from which modules can be imported because a user has named one of them."""
    return [finder.folder for finder in sys.meta_path if isinstance(finder, _ModulesOf)]


class NamedFolders:
    """The named folders on their way to a worker. They must travel before what is imported from them."""

    def __init__(self, folders: Sequence[str] | None = None) -> None:
        self.folders = named_folders() if folders is None else list(folders)

    def __reduce__(self) -> tuple[Callable[..., NamedFolders], tuple[Any, ...]]:
        return _received, (self.folders,)


def _received(folders: Sequence[str]) -> NamedFolders:
    for folder in folders:
        search_folder(folder)
    return NamedFolders(folders)
