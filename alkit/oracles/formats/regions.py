"""What annotation files have in common: images by name, and on each regions of a label, which become one mask.

An image is known by the key of its query, or by its own file name with as many folders as tell it apart. Labels
are known by name: the classes, and :data:`IGNORED` where the label spec has an ignore value.

Where regions overlap, that of the greater order wins, in formats that have one; among equals that of the greater class
id, and what is ignored over all. What no region covers is class 0. An image without any region is no answer, unless
the caller says that there an empty image means background: a file lists images that nobody has looked at yet.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

from alkit.errors import ConfigurationError, DataError, LabelError, nearest
from alkit.oracles.formats.rle import Plane
from alkit.pools.decoding import SUFFIXES
from alkit.values.answers import Answer, Invalid
from alkit.values.label_spec import LabelSpec, Mask, Size
from alkit.values.queries import Query

Empty = Literal["unanswered", "background"]
"""What an image without regions means."""

IGNORED = "ignored"
"""The label of pixels that are neither trained on nor measured."""


@dataclass(frozen=True, slots=True)
class Region:
    """A part of an image that has a label.

    Parameters
    ----------
    label:
        Its name.
    filled:
        Returns where it is, ``(h, w)``; raises :class:`LabelError` where that cannot be said.
    order:
        The greater lies on top.
    """

    label: str
    filled: Callable[[], Plane]
    order: int = 0


@dataclass(frozen=True, slots=True)
class Marked:
    """An image in an annotation file."""

    name: str
    size: Size
    regions: tuple[Region, ...]


def label_values(spec: LabelSpec) -> dict[str, int]:
    """Return the names of labels, and the values they become in a mask.

    Raises
    ------
    ConfigurationError
        The labels are not of pixels, or a class is called as the ignored pixels are.

    Examples
    --------
    >>> label_values(LabelSpec(("skin", "lesion"), ignore=255))
    {'skin': 0, 'lesion': 1, 'ignored': 255}
    """
    if spec.per != "pixel":
        raise ConfigurationError("these labels must be masks", got=f"per={spec.per!r}", expected="per='pixel'")
    known = {name: value for value, name in enumerate(spec.classes)}
    if spec.ignore is None:
        return known
    if IGNORED in known:
        raise ConfigurationError(f"a class is called {IGNORED!r}, as pixels that do not count are", hint="rename it")
    return {**known, IGNORED: spec.ignore}


def parts(mask: Mask, spec: LabelSpec) -> list[tuple[str, Plane]]:
    """Return for each label in a mask, but for the background, its name and where it is.

    >>> [(name, plane.tolist()) for name, plane in parts(np.array([[0, 1]], np.uint8), LabelSpec(("skin", "lesion")))]
    [('lesion', [[False, True]])]
    """
    planes = ((name, mask == value) for name, value in label_values(spec).items() if value)
    return [(name, plane) for name, plane in planes if plane.any()]


def painted(regions: Iterable[Region], size: Size, spec: LabelSpec) -> Mask:
    """Return the mask, ``(h, w)``, that some regions come to.

    Raises
    ------
    LabelError
        A region cannot be read, or has another size.
    """
    values, mask = label_values(spec), np.zeros(size, np.uint8)
    for region in sorted(regions, key=lambda region: (region.order, _last(values[region.label], spec))):
        mask[region.filled()] = values[region.label]
    return mask


def _last(value: int, spec: LabelSpec) -> tuple[bool, int]:
    return value == spec.ignore, value


def answers(
    path: Path,
    images: Sequence[Marked],
    queries: Sequence[Query],
    spec: LabelSpec,
    *,
    annotator: str,
    empty: Empty,
) -> Iterator[Answer]:
    """Yield an answer for each image of an annotation file; the file as a whole is checked before the first.

    Parameters
    ----------
    path:
        The file; its time of change is the revision of all answers.
    queries:
        All that were ever asked.

    Raises
    ------
    DataError
        An image with regions that nobody asked for, one that may be several, or one that is there twice.
    LabelError
        A label that is no class.
    """
    if empty not in ("unanswered", "background"):
        raise ConfigurationError(
            "an empty image means nothing known", got=repr(empty), expected="unanswered or background"
        )
    names = queries_by(queries)
    known = {image.name: query for image in images if (query := _query(image, names, path)) is not None}
    _check_different(known, path)
    values = label_values(spec)
    used = {region.label for image in images if image.name in known for region in image.regions}
    if strangers := sorted(used - values.keys()):
        raise LabelError(
            f"{path.name} has labels that are no classes",
            got=", ".join(map(repr, strangers[:8])),
            expected=", ".join(map(repr, values)),
            hint=nearest(strangers[0], values),
        )
    revision = path.stat().st_mtime_ns
    for image in images:
        query = known.get(image.name)
        if query is None or not (image.regions or empty == "background"):
            continue
        label: npt.NDArray[Any] | Invalid
        if image.size not in query.sizes:
            label = Invalid(f"in {path.name} {image.name!r} is {_said(image.size)}, not {_said(*query.sizes)}")
        else:
            try:
                label = painted(image.regions, image.size, spec)
            except LabelError as reason:
                label = Invalid(f"in {path.name} {image.name!r} cannot be read: {reason}")
        yield Answer(query.id, label, annotator, revision)


def _said(*sizes: Size) -> str:
    return " or ".join(f"{width} x {height}" for height, width in sizes)


def _check_different(known: Mapping[str, Query], path: Path) -> None:
    first: dict[str, str] = {}
    for name, query in known.items():
        if query.id in first:
            raise DataError(
                f"{path.name} has one image twice", got=f"{first[query.id]!r} and {name!r}, both {query.id!r}"
            )
        first[query.id] = name


@dataclass(frozen=True, slots=True)
class Names:
    """By what names images are known: see :func:`queries_by`."""

    keys: Mapping[str, Query]
    ids: Mapping[str, Query]
    tails: Mapping[str, frozenset[str]]

    def find(self, name: str) -> list[Query]:
        """Return the queries whose image a file name may mean: that of a key, else those of ids.

        >>> names = queries_by([Query("ward 3/0017", 2, 4, ((8, 8),)), Query("ward 4/0017", 2, 5, ((8, 8),))])
        >>> [query.id for query in names.find("images/r02-0004-ward_3_0017.png")]
        ['ward 3/0017']
        >>> [query.id for query in names.find("ward 4/0017.jpg")]
        ['ward 4/0017']
        >>> len(names.find("0017.jpg"))
        2
        """
        whole = name.replace("\\", "/").lstrip("./")
        forms = [whole]
        if PurePosixPath(whole).suffix.lower() in SUFFIXES:
            forms.append(whole[: -len(PurePosixPath(whole).suffix)])
        for form in forms:
            if (key := form.rpartition("/")[2]) in self.keys:
                return [self.keys[key]]
        # A tool may have left out folders: a name that is an id may also be the end of another.
        exact = [form for form in forms if form in self.ids]
        longer = [id for form in forms for id in self.tails.get(form, ())]
        shorter = [] if exact else [tail for form in forms for tail in _tails(form) if tail in self.ids]
        return [self.ids[id] for id in sorted({*exact, *longer, *shorter})]


def queries_by(queries: Iterable[Query]) -> Names:
    """Return the names of the images of some queries."""
    by_key = {query.key: query for query in queries}
    by_id = {query.id: query for query in by_key.values()}
    tails: dict[str, set[str]] = {}
    for id in by_id:
        for tail in _tails(id):
            tails.setdefault(tail, set()).add(id)
    return Names(by_key, by_id, {tail: frozenset(ids) for tail, ids in tails.items()})


def _tails(name: str) -> list[str]:
    """Return a name without its first folder, its first two, and so on."""
    pieces = name.split("/")
    return ["/".join(pieces[n:]) for n in range(1, len(pieces))]


def _query(image: Marked, names: Names, path: Path) -> Query | None:
    """Return the query an image is the answer to; None where nobody asked and nobody answered."""
    found = names.find(image.name)
    if len(found) > 1:
        raise DataError(
            f"{path.name} names an image that may be several",
            got=repr(image.name),
            expected=" or ".join(repr(query.id) for query in found[:5]),
            hint="name it by the key of its query, such as " + found[0].key,
        )
    if not found and image.regions:
        raise DataError(
            f"{path.name} has an image that was never asked for",
            got=repr(image.name),
            expected="file names that alkit gave, or the images' own",
            hint="remove it from the file, or ask for it first",
        )
    return found[0] if found else None
