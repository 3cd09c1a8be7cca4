"""Labels of an earlier export into the same folder: none may stay among those that count now.

An import of a folder takes all masks in it. So files of an earlier export that are not written again are deleted, and
files of unknown origin are refused. Until an export is complete, a list of its files takes the place of its manifest,
so that the same call can complete it after a crash.
"""

from __future__ import annotations

import json
import re
from collections.abc import Collection, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path, PurePosixPath

from alkit._files import delete_file, write_atomically
from alkit._reading.inside import leads_out, read_inside
from alkit.errors import ConfigurationError, DataError
from alkit.pools.volumes.segmentations import SUFFIX

MANIFEST = "manifest.json"
"""Name of the manifest; if it exists, the export is complete."""

UNFINISHED = "manifest.unfinished.json"
"""Name of the list of files of an export that is not complete, and of those that it replaces."""

LABELS = re.compile(r"(masks|volumes)/.+|annotations[^/]*\.json|labels\.csv")
"""Paths of the files that contain labels."""

FEW = 3
"""Most files that a message names."""


@contextmanager
def replaced(folder: Path, files: Collection[str], own: str) -> Iterator[None]:
    """Delete the labels of an earlier export that the block does not write; the block writes the manifest last.

    Parameters
    ----------
    folder:
        The folder that exists.
    files:
        Paths of the files of labels that the block writes, relative to the folder, with ``/`` between their parts.
    own:
        Name of the folder in it that is for labels alone; empty if there is none.

    Raises
    ------
    ConfigurationError
        That folder has other files.
    """
    earlier = _earlier(folder)
    written = {*files, *_tables(files)}
    known = earlier | written
    there = (
        {path.relative_to(folder).as_posix() for path in (folder / own).rglob("*") if path.is_file()} if own else set()
    )
    if others := sorted(name for name in there - known if not _is_hidden(name)):
        more = f" and {len(others) - FEW} more" if len(others) > FEW else ""
        raise ConfigurationError(
            "out must have no labels of another origin, because they would be taken for exported ones",
            got=f"{', '.join(others[:FEW])}{more} in {folder}",
            hint="another folder",
        )
    write_atomically(folder / UNFINISHED, json.dumps({"files": sorted(known)}).encode())
    delete_file(folder / MANIFEST)
    for name in sorted(earlier - written):
        delete_file(folder / name)
        for empty in PurePosixPath(name).parents[:-1]:
            with suppress(OSError):  # other files are in it
                (folder / empty).rmdir()
    yield
    delete_file(folder / UNFINISHED)


def _earlier(folder: Path) -> set[str]:
    """Return the paths of the files that earlier exports wrote; only files inside the folder that are for labels."""
    named: set[str] = set()
    for name in (MANIFEST, UNFINISHED):
        with suppress(OSError, ValueError, RecursionError, DataError):
            content = json.loads(read_inside(folder / name, folder))
            if isinstance(content, dict):
                named |= {file for file in _listed(content.get("files")) if isinstance(file, str)}
                rows = [row for row in _listed(content.get("labels")) if isinstance(row, dict)]
                named |= {file for row in rows if isinstance(file := row.get("file"), str)}
    fixed = {"labels.csv"} if (folder / MANIFEST).exists() else set()
    return {
        name
        for name in named | fixed | _tables(named) | _segmentations(named)
        if LABELS.fullmatch(name) and ".." not in PurePosixPath(name).parts and not leads_out(folder / name, folder)
    }


def _tables(files: Collection[str]) -> set[str]:
    """Return the paths of the tables of slices beside volumes of labels."""
    parts = [PurePosixPath(name).parts for name in files if name.startswith("volumes/")]
    return {"/".join([*own[:depth], "slices.csv"]) for own in parts for depth in (1, 2) if len(own) > depth}


def _segmentations(files: Collection[str]) -> set[str]:
    """Return the paths of the DICOM segmentations that may lie beside volumes of labels."""
    return {name.removesuffix(".nii.gz") + SUFFIX for name in files if name.endswith(".nii.gz")}


def _listed(value: object) -> list[object]:
    return value if isinstance(value, list) else []


def _is_hidden(name: str) -> bool:
    return any(part.startswith(".") for part in PurePosixPath(name).parts)
