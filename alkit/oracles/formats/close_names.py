"""Names of files that people and tools have changed: which image they mean, if it can only be one.

These changes are undone, the fewest first: an ending such as ``_mask``, the eight letters that Label Studio puts before
a name, and percent-encoding. Then letters are compared without their case and their form in Unicode, and last without
the characters that tools replace in names of files. A file in the folder of an image, such as ``0017/mask.png``, can
have a name that says only what it is.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import PurePosixPath
from unicodedata import normalize
from urllib.parse import unquote

from alkit.oracles.annotations import AnnotatedImage
from alkit.oracles.formats.image_names import DEEPEST, LEADING, ImageNames, ends_of, image_names
from alkit.pools.decoding import SUFFIXES
from alkit.values.queries import Query

MASK = re.compile(r"(?<=[^/])[ _.-]+(masks?|seg|segmentation|labels?|labelmap|annotations?|gt)\Z", re.IGNORECASE)
"""An ending that says what a file is."""

ONLY_MASK = re.compile(r"/(masks?|seg|segmentation|labels?|labelmap|annotations?|gt|image)\Z", re.IGNORECASE)

HASH = re.compile(r"(\A|(?<=/))[0-9a-f]{8}-(?=[^/]+\Z)")
"""What Label Studio puts before the name of a file that is uploaded."""

LONGEST = 300
"""Names with more characters are not looked up."""


@dataclass(frozen=True)
class CloseNames:
    """The queries by the names of their images, which may be changed; :func:`close_names` makes it."""

    names: ImageNames

    @cached_property
    def _folded(self) -> tuple[dict[str, dict[str, Query]], ...]:
        """Queries by folded names of their images, and then by id, for each way to fold."""
        found: tuple[dict[str, dict[str, Query]], ...] = tuple({} for _ in FOLDS)
        known = [(name, query) for id, query in self.names.ids.items() for name in (id, *ends_of(id, DEEPEST))]
        for name, query in (*known, *self.names.keys.items()):
            for place, fold in zip(found, FOLDS, strict=True):
                place.setdefault(fold(name), {})[query.id] = query
        return found

    def find(self, name: str) -> list[Query]:
        """Return the queries whose image a name can mean: those of the fewest changes that give any.

        Parameters
        ----------
        name:
            Name or path of a file, with slashes.

        Examples
        --------
        >>> names = close_names([Query("ward 3/0017", 2, 4, ((8, 8),)), Query("Größe", 2, 5, ((8, 8),))])
        >>> def ids(name):
        ...     return [query.id for query in names.find(name)]
        >>> ids("R02-0004-WARD_3_0017_mask.PNG"), ids("9d4e1a20-0017.jpg"), ids("ward%203%2F0017.png")
        (['ward 3/0017'], ['ward 3/0017'], ['ward 3/0017'])
        >>> ids("GRO\u0308SSE.png"), ids("0018.png")
        (['Größe'], [])
        """
        if found := self.names.find(name):
            return found
        if len(name) > LONGEST:
            return []
        variants = list(_variants(name))
        for variant in variants:
            if found := self.names.find(variant):
                return found
        for fold, known in zip(FOLDS, self._folded, strict=True):
            for variant in variants:
                close: dict[str, Query] = {}
                for form in _forms(variant):
                    close.update(known.get(fold(form), {}))
                if close:
                    return [close[id] for id in sorted(close)]
        return []


def has_key(name: str, query: Query) -> bool:
    """Return whether a name, which may be changed, is the key of a query, and not the name of its image.

    >>> query = Query("a", 0, 3, ((8, 8),))
    >>> has_key("R00-0003-A_mask.png", query), has_key("a_mask.png", query)
    (True, False)
    """
    keys = {fold(key) for key in query.keys for fold in FOLDS}
    return any(fold(variant.rpartition("/")[2]) in keys for variant in _variants(name) for fold in FOLDS)


def close_names(queries: Sequence[Query]) -> CloseNames:
    """Return the names of the images of queries."""
    return CloseNames(image_names(queries))


def said(name: str, query: Query) -> str:
    """Return the remark that a name was taken for a query; empty if it is the key.

    >>> said("a_mask.png", Query("a", 0, 3, ((8, 8),)))
    "the name 'a_mask.png' was taken for r00-0003-a"
    """
    return "" if name in query.keys else f"the name {name!r} was taken for {query.key}"


class Meant:
    """Which query an image in a file of annotations means.

    Parameters
    ----------
    queries:
        All queries.
    imported:
        Whether they stand for all images of a pool. Then names count as they are: several images can have names that
        differ in a few letters.
    """

    def __init__(self, queries: Sequence[Query], *, imported: bool = False) -> None:
        exact = image_names(queries, keyed=not imported)
        self.exact, self.close = exact, None if imported else CloseNames(exact)

    def find(self, image: AnnotatedImage) -> tuple[list[Query], str, str]:
        """Return the queries that can be meant, the key that the name is, if it is one, and what was interpreted.

        The last is in words, and empty if nothing was interpreted.
        """
        names = [name for name in (image.name, image.also) if name]
        exact = {query.id: query for name in names for query in self.exact.find(name)}
        if exact:
            (query, *others) = exact.values()
            key = query.key if any(map(self.exact.is_key, names)) else ""
            return [query, *others], key, "" if others or self.exact.find(image.name) else said(image.also, query)
        close = {query.id: (query, name) for name in names if self.close for query in self.close.find(name)}
        if len(close) != 1:
            return [query for query, _ in close.values()], "", ""
        ((query, name),) = close.values()
        return [query], query.key if has_key(name, query) else "", said(name, query)


def plain_name(name: str) -> str:
    """Return the last part of a path without its suffix, and without what Label Studio puts before it.

    >>> plain_name("/data/upload/1/9d4e1a20-0017.png"), plain_name("s3://pictures/ward 3/0017.jpg")
    ('0017', '0017')
    """
    return HASH.sub("", _stem(name.replace("\\", "/"))).rpartition("/")[2]


def _letters(name: str) -> str:
    return normalize("NFC", name).casefold()


def _as_key(name: str) -> str:
    return re.sub(r"[^\w.-]+", "_", _letters(name))


def _as_uploaded(name: str) -> str:
    """Return a name as Django, the library of Label Studio and CVAT, makes it that of a file."""
    return re.sub(r"[^\w.-]", "", _letters(name).replace(" ", "_"))


FOLDS = (_letters, _as_key, _as_uploaded)
"""Ways to compare names, the closest first."""


def _variants(name: str) -> Iterator[str]:
    """Yield a name without its suffix, and with one, two and three changes undone."""
    start = _stem(name.replace("\\", "/"))
    seen = [start]
    for form in seen:  # it grows
        for changed in (_without_mask(form), HASH.sub("", form), _decoded(form)):
            if changed and changed not in seen:
                seen.append(changed)
    yield from seen


def _without_mask(name: str) -> str:
    whole = _stem(name)
    return ONLY_MASK.sub("", whole) if ONLY_MASK.search(whole) else _stem(MASK.sub("", whole))


def _decoded(name: str) -> str:
    try:
        return unquote(name, errors="strict")
    except UnicodeDecodeError:
        return name


def _stem(name: str) -> str:
    suffix = PurePosixPath(name).suffix
    return name[: -len(suffix)] if suffix.lower() in SUFFIXES else name


def _forms(name: str) -> list[str]:
    """Return a name, without its root, and its ends."""
    whole = LEADING.sub("", name)
    return [whole, *ends_of(whole, DEEPEST)]
