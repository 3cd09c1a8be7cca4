"""Writing queries as a file of annotations beside a folder of images.

::

    r02-coco/annotations.json
             images/r02-0004-ward_3_0017.png
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy.typing as npt

from alkit._files import write_atomically
from alkit.errors import DataError
from alkit.pictures.files import image_file
from alkit.protocols import Pool
from alkit.values.label_spec import LabelSpec, Mask, Size
from alkit.values.queries import Query

FOLDER = re.compile(r"r\d{2,}-(coco|cvat)(-\d+)?$")
"""What the folders are called."""


@dataclass(frozen=True, slots=True, eq=False)
class Page:
    """An image in a file of annotations that is written: its file's name, its size and its pre-label, if any."""

    name: str
    size: Size
    prelabel: Mask | None = None


def hand_over(
    folder: Path,
    queries: Sequence[Query],
    images: Pool,
    spec: LabelSpec,
    prelabels: Mapping[str, npt.NDArray[Any]],
    name: str,
    suffix: str,
    encoded: Callable[[Sequence[Page], LabelSpec], bytes],
    names: Callable[[Path], Sequence[str]],
) -> tuple[Path, ...]:
    """Write for each round a folder of what no file of it lists yet; return the files of annotations of these rounds.

    Parameters
    ----------
    name:
        Of the format, in the folders' names.
    suffix:
        Of the files of annotations.
    encoded:
        Returns the content of one.
    names:
        Returns the names of the images in one; raises :class:`DataError` where it cannot be read.
    """
    drafts = {
        query.id: spec.check(prelabels[query.id], id=query.id, sizes=query.sizes[:1])
        for query in queries
        if query.id in prelabels
    }
    files: list[Path] = []
    for round in sorted({query.round for query in queries}):
        own = sorted((query for query in queries if query.round == round), key=lambda query: query.rank)
        number, listed = 1, set[str]()
        while (path := _place(folder, round, name, number) / f"annotations{suffix}").exists():
            listed |= _listed(path, names)
            files.append(path)
            number += 1
        if news := [query for query in own if query.key not in listed]:
            there = {query.key: _image(path.parent / "images", query, images) for query in news}
            pages = [Page(there[query.key], query.sizes[0], drafts.get(query.id)) for query in news]
            write_atomically(path, encoded(pages, spec))  # last: where it is, all its images are
            files.append(path)
    return tuple(files)


def _place(folder: Path, round: int, name: str, number: int) -> Path:
    return folder / f"r{round:02}-{name}{'' if number == 1 else f'-{number}'}"


def _image(folder: Path, query: Query, images: Pool) -> str:
    """Write an image, unless it is there, and return its file's name."""
    content, suffix = image_file(images, query.id)
    path = folder / f"{query.key}{suffix}"
    if not path.exists():
        write_atomically(path, content)
    return path.name


def _listed(path: Path, names: Callable[[Path], Sequence[str]]) -> set[str]:
    try:
        return {Path(name).stem for name in names(path)}
    except DataError:
        return set()  # it is no longer what it was: left as it is, and written anew beside it
