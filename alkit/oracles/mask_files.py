"""The mask files of an image in a folder: one file, several files, or files of each class."""

from __future__ import annotations

import glob
import os
import re
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from alkit._files import without_tilde
from alkit.errors import ConfigurationError, LabelError
from alkit.labels.masks import read_mask
from alkit.labels.meaning import Meaning, joined
from alkit.oracles.saved_masks import check_palette
from alkit.pools.names import check_inside
from alkit.values.label_spec import LabelSpec

ID, CLASS = "{id}", "{class}"
"""What a pattern contains for the id of the image, and for the name of a class."""

SUFFIXES = (".png", ".tif", ".tiff", ".bmp", ".jpg", ".jpeg")
"""Names of files that can be masks."""

FEW = 2000
"""Most files that are looked at for the hint of a message."""


@dataclass(frozen=True, slots=True)
class MaskFiles:
    """The masks in a folder.

    Parameters
    ----------
    folder:
        Path of the folder.
    patterns:
        See :class:`alkit.MaskOracle`.
    spec:
        The classes.
    """

    folder: str
    patterns: tuple[str, ...]
    spec: LabelSpec

    @property
    def of_each_class(self) -> bool:
        """Whether each class has files of its own."""
        return any(CLASS in pattern for pattern in self.patterns)

    def find(self, id: str) -> list[tuple[int | None, Path]]:
        """Return the class, None for all of them, and the path of each mask file of an image; none if it has none.

        Raises
        ------
        LabelError
            Files match two patterns.
        """
        found = [files for pattern in self.patterns if (files := self._matching(pattern, id))]
        if len(found) > 1:
            raise LabelError(
                f"image {id!r} has masks of two patterns",
                got=" and ".join(str(files[0][1]) for files in found),
                hint="move one of them out of the folder",
            )
        files = found[0] if found else []
        if twice := [path for path, number in Counter(path for _, path in files).items() if number > 1]:
            raise LabelError(f"{twice[0]} matches the pattern for two classes", hint="a pattern that tells them apart")
        return files

    def check_owners(self, ids: Iterable[str]) -> None:
        """Check that no file is a mask of two images, as ``a_2_0.png`` is for ``{id}_*.png``, ``a`` and ``a_2``.

        Raises
        ------
        LabelError
            A file is.
        """
        if not any({"*", "?"} & set(pattern) for pattern in self.patterns):
            return
        owners: dict[Path, str] = {}
        for id in ids:
            for _, path in self.find(id):
                if (other := owners.setdefault(path, id)) != id:
                    raise LabelError(
                        f"{path} matches the pattern for two images",
                        got=f"{other!r} and {id!r}",
                        hint="a pattern that tells them apart, such as '{id}/*.png'",
                    )

    def _matching(self, pattern: str, id: str) -> list[tuple[int | None, Path]]:
        if CLASS not in pattern:
            return [(None, path) for path in self._paths(pattern, id)]
        names = enumerate(self.spec.classes[1:], start=1)
        return [(number, path) for number, name in names for path in self._paths(pattern, id, name)]

    def _paths(self, pattern: str, id: str, label: str = "") -> list[Path]:
        folder = str(without_tilde(self.folder))
        if not {"*", "?"} & set(pattern):
            path = Path(folder, _filled(pattern, id, label))
            return [path] if path.is_file() else []
        own = _filled(pattern.replace("[", "[[]"), glob.escape(id), glob.escape(label))
        return [path for name in sorted(glob.glob(own, root_dir=folder)) if (path := Path(folder, name)).is_file()]

    def read(self, id: str, meaning: Meaning) -> npt.NDArray[Any]:
        """Return the class ids of an image, ``(h, w)``, joined from all its files.

        Raises
        ------
        LabelError
            A file is not a label map or has values without a class, or files contradict each other.
        """
        masks = []
        for number, path in self.find(id):
            values = read_mask(path, gray=meaning.is_gray)
            if number is None:
                if meaning == Meaning():
                    check_palette(path, values, self.spec, id)
                masks.append((path.name, meaning.class_ids(values, self.spec, id)))
            else:
                masks.append((path.name, self._plane(values, number, meaning, id, path)))
        return joined(masks, self.spec, id, in_order=self.of_each_class)

    def _plane(self, values: npt.NDArray[Any], number: int, meaning: Meaning, id: str, path: Path) -> npt.NDArray[Any]:
        """Return the class ids in a file of one class."""
        name, ignore = self.spec.classes[number], self.spec.ignore
        own = LabelSpec((f"not {name}", name), ignore)
        mask = own.check(meaning.class_ids(values, own, id), id=id, sizes=[values.shape], file=str(path))
        return np.where(mask == 1, np.uint8(number), mask)

    def example(self, id: str) -> str:
        """Return the path that a mask of an image may have."""
        return str(without_tilde(self.folder) / _filled(self.patterns[0], id, self.spec.classes[1]))


def _filled(pattern: str, id: str, label: str) -> str:
    """Return a pattern with an id and a class in it, which may contain what stands for the other.

    >>> _filled("{class}/{id}.png", "a{class}", "b{id}")
    'b{id}/a{class}.png'
    """
    return re.sub("{id}|{class}", lambda match: id if match[0] == ID else label, pattern)


def check_patterns(pattern: str | Sequence[str], classes: Sequence[str] = ()) -> tuple[str, ...]:
    """Return the patterns of mask files, after a check.

    Raises
    ------
    ConfigurationError
        A pattern lacks ``{id}``, leads out of the folder, perhaps by the name of a class, or only some contain
        ``{class}``.
    """
    patterns = (pattern,) if isinstance(pattern, str) else tuple(pattern)
    if not patterns:
        raise ConfigurationError("pattern must not be empty", hint="pattern='{id}.png'")
    for one in patterns:
        if ID not in one:
            raise ConfigurationError("pattern must contain {id}", got=repr(one), hint="pattern='{id}.png'")
        check_inside(one)
        for name in classes if CLASS in one else ():
            check_inside(_filled(one, ID, name), name)
    if len({CLASS in one for one in patterns}) > 1:
        raise ConfigurationError("pattern must contain {class} in all patterns or in none", got=", ".join(patterns))
    return patterns


def likely_pattern(folder: Path, ids: Iterable[str]) -> str | None:
    """Return the pattern that most mask files in a folder match, for a message; None if there is none.

    Examples
    --------
    >>> import tempfile
    >>> with tempfile.TemporaryDirectory() as place:
    ...     Path(place, "a_seg.png").touch()
    ...     likely_pattern(Path(place), ["a", "b"])
    '{id}_seg.png'
    """
    known = {id.rpartition("/")[2] for id in ids}
    names: list[str] = []
    for parent, folders, files in os.walk(folder):
        folders.sort()
        below = os.path.relpath(parent, folder).replace(os.sep, "/")
        names += [file if below == "." else f"{below}/{file}" for file in sorted(files) if not file.startswith(".")]
        if len(names) >= FEW:
            break
    patterns: Counter[str] = Counter()
    for name in names[:FEW]:
        if not name.lower().endswith(SUFFIXES):
            continue
        top, _, rest = name.rpartition("/")
        stem, suffix = os.path.splitext(rest)
        if top.rpartition("/")[2] in known:
            patterns[f"{ID}/*{suffix}"] += 1
        elif (end := _longest(stem, known)) is not None:
            patterns[f"{stem[: end[0]]}{ID}{stem[end[1] :]}{suffix}"] += 1
    return max(patterns, key=lambda one: (patterns[one], one)) if patterns else None


def _longest(stem: str, known: set[str]) -> tuple[int, int] | None:
    """Return the place in a file's name of the longest id that stands there as a word of its own."""
    words = [(match.start(), match.end()) for match in re.finditer(r"[^_\-. ]+", stem)]
    spans = [(start, end) for start, _ in words for _, end in words if end > start and stem[start:end] in known]
    return max(spans, key=lambda span: span[1] - span[0], default=None)
