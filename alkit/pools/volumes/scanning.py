"""Find the volumes of a folder and read their headers: which files belong to a volume, and which are its channels."""

from __future__ import annotations

import os
import re
import stat
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from alkit.errors import ConfigurationError, DataError, ImageError, MissingDependencyError
from alkit.pools.decoding import File
from alkit.pools.names import check_folder, find_names, is_excluded
from alkit.pools.volumes import dicom, itk, nifti
from alkit.pools.volumes.geometry import Geometry
from alkit.pools.volumes.parts import Part, joined_facts

FILES = (*nifti.SUFFIXES, *itk.SUFFIXES)
"""Suffixes of files that hold a volume each."""

FIELD = "{volume}"
"""Stands for the id of a volume in a template of file names."""


@dataclass(frozen=True)
class Volume:
    """A volume: its parts share one geometry, and their channels follow each other."""

    id: str
    parts: tuple[Part, ...]
    file: File

    @property
    def geometry(self) -> Geometry:
        """The shape and the place in the patient."""
        return self.parts[0].geometry

    @property
    def channels(self) -> int:
        """Number of values of a voxel."""
        return sum(part.channels for part in self.parts)


def find_volumes(
    folder: Path,
    pattern: str,
    modalities: Sequence[str],
    unusable: dict[str, ImageError],
    name: str = "path",
    exclude: Sequence[str] = (),
) -> dict[str, Volume]:
    """Return the volumes of a folder by id, sorted by id. Headers are read, voxels are not.

    Parameters
    ----------
    folder:
        The folder.
    pattern:
        Pattern of file names, see :class:`alkit.VolumePool`.
    modalities:
        Templates of file names with ``{volume}``, one for each part of a volume; empty: each file is a volume.
    unusable:
        Gets the errors of volumes and files that cannot be used, by id.
    name:
        Name of the parameter `folder` in messages.
    exclude:
        Patterns of files to leave out.

    Raises
    ------
    DataError
        The folder does not exist or holds no volumes, or two volumes have the same id.
    MissingDependencyError
        A package that reads one of the files is not installed.
    """
    check_folder(folder, name, "volumes")
    unreadable: dict[str, OSError] = {}
    names = sorted(name for name in find_names(folder, pattern, unreadable) if not is_excluded(name, exclude))
    for place, failure in sorted(unreadable.items()):
        unusable[f"{place}/"] = ImageError(f"the folder {folder / place} cannot be read", got=failure.strerror)
    find = partial(_by_modalities, modalities=modalities) if modalities else _single
    volumes = find(folder, names, unusable=unusable)
    if not volumes and unusable:
        raise next(iter(unusable.values()))
    if not volumes:
        wanted = " and ".join(modalities) or pattern
        excluded = f" and are not excluded by {', '.join(map(repr, exclude))}" if exclude else ""
        raise DataError(
            f"the folder {folder} contains no volumes that match {wanted!r}{excluded}",
            expected=f"names that end in {' '.join((*FILES, *dicom.SUFFIXES))}, or DICOM files without a suffix",
        )
    return _of_one_kind(dict(sorted(volumes.items())), unusable)


def check_modalities(modalities: str | Sequence[str] | None) -> tuple[str, ...]:
    """Return templates of file names, given as a sequence or as one text with commas between them.

    Raises
    ------
    ConfigurationError
        A template does not contain ``{volume}`` once, or they are not different.
    """
    given = modalities.split(",") if isinstance(modalities, str) else () if modalities is None else modalities
    if not isinstance(given, Sequence) or any(not isinstance(text, str) or text.count(FIELD) != 1 for text in given):
        raise ConfigurationError(
            "modalities must be file names with {volume}",
            got=repr(modalities),
            hint="modalities=('{volume}_t1.nii.gz', '{volume}_t2.nii.gz')",
        )
    templates = tuple(text.strip() for text in given)
    if len(set(templates)) < len(templates):
        raise ConfigurationError("modalities must differ", got=repr(modalities))
    return templates


def volume_id(name: str) -> str | None:
    """Return the id of the volume in a file: its path without the suffix; None if the name is not that of a volume.

    >>> volume_id("site/case1.nii.gz"), volume_id("notes.txt")
    ('site/case1', None)
    """
    end = next((suffix for suffix in FILES if name.lower().endswith(suffix)), None)
    return None if end is None else name[: -len(end)].replace(os.sep, "/")


def open_part(path: Path) -> Part:
    """Read the header of a file that holds a volume.

    Raises
    ------
    ImageError
        The file cannot be used.
    """
    if not path.is_file():  # a pipe would block
        raise ImageError(f"{path} is not a file")
    if path.name.lower().endswith(nifti.SUFFIXES):
        return nifti.open_nifti(path)
    return itk.open_itk(path)


def _single(folder: Path, names: Sequence[str], unusable: dict[str, ImageError]) -> dict[str, Volume]:
    volumes: dict[str, Volume] = {}
    from_file: dict[str, str] = {}
    for name in names:
        id = volume_id(name)
        if id is None:
            continue
        if id in from_file:
            raise DataError(
                "two volumes have the same id",
                got=f"{from_file[id]} and {name}, both {id!r}",
                hint="rename one, or select one kind of file with pattern='**/*.nii.gz'",
            )
        from_file[id] = name
        _add(folder, id, [name], volumes, unusable)
    series = dicom.find_series(folder, [name for name in names if dicom.is_dicom(folder, name)], unusable)
    for id, (part, file) in series.items():
        if id in from_file:
            raise DataError("two volumes have the same id", got=f"{from_file[id]} and the DICOM series {id}")
        if _check_name(id, unusable):
            volumes[id] = Volume(id, (part,), file)
    return volumes


def _by_modalities(
    folder: Path, names: Sequence[str], unusable: dict[str, ImageError], modalities: Sequence[str]
) -> dict[str, Volume]:
    found: dict[str, dict[str, str]] = {}
    for template in modalities:
        before, after = (re.escape(text) for text in template.split(FIELD))
        # A template without a folder matches files in any folder, whose path becomes a part of the id.
        wanted = re.compile(f"{before}(.+?){after}" if "/" in template else f"((?:.*/)?){before}([^/]+?){after}")
        for name in names:
            if match := wanted.fullmatch(name.replace(os.sep, "/")):
                found.setdefault("".join(match.groups()), {})[template] = name
    volumes: dict[str, Volume] = {}
    for id, own in found.items():
        if missing := [template.replace(FIELD, id) for template in modalities if template not in own]:
            unusable[id] = ImageError(f"the volume {id} lacks {' and '.join(missing)}")
        else:
            _add(folder, id, [own[template] for template in modalities], volumes, unusable)
    return volumes


def _add(
    folder: Path, id: str, names: Sequence[str], volumes: dict[str, Volume], unusable: dict[str, ImageError]
) -> None:
    """Add the volume of some files, or the reason why it cannot be used."""
    if not _check_name(id, unusable):
        return
    try:
        parts = tuple(open_part(folder / name) for name in names)
        for name, part in zip(names[1:], parts[1:], strict=True):
            if (other := parts[0].geometry.difference(part.geometry)) is not None:
                raise ImageError(f"{folder / name} does not fit {names[0]}", got=other, hint="resample it")
        facts = [_facts(folder, path) for part in parts for path in part.paths]
    except ImageError as error:
        unusable[id] = error
    except MissingDependencyError as error:
        unusable[id] = ImageError(str(error))
    except OSError as error:
        unusable[id] = ImageError(f"the volume {id} cannot be read", got=error)
    else:
        volumes[id] = Volume(id, parts, joined_facts(id, facts))


def _facts(folder: Path, path: Path) -> File:
    facts = path.stat()
    if not stat.S_ISREG(facts.st_mode):
        raise ImageError(f"{path} is not a file")
    return File(os.path.relpath(path, folder), facts.st_size, facts.st_mtime_ns, facts.st_ctime_ns)


def _check_name(id: str, unusable: dict[str, ImageError]) -> bool:
    """Return whether an id is valid Unicode; add it to `unusable` if it is not."""
    try:
        id.encode()
    except UnicodeEncodeError:
        shown = id.encode("utf-8", "backslashreplace").decode()
        unusable[shown] = ImageError(f"the file name {id!r} is not valid Unicode", hint="rename the file")
        return False
    return True


def _of_one_kind(volumes: Mapping[str, Volume], unusable: dict[str, ImageError]) -> dict[str, Volume]:
    """Return the volumes with as many channels as most have; add the others to `unusable`."""
    kept: dict[str, Volume] = {}
    ((usual, _),) = Counter(volume.channels for volume in volumes.values()).most_common(1)
    for id, volume in volumes.items():
        if volume.channels == usual:
            kept[id] = volume
        else:
            unusable[id] = ImageError(
                f"the volume {id} has another number of channels",
                got=volume.channels,
                expected=f"{usual}, as most volumes",
            )
    return kept
