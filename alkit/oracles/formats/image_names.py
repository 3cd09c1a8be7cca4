"""The names under which annotation tools know images: the key of the query, or the image's own file name."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import PurePosixPath
from unicodedata import normalize

from alkit.pools.decoding import SUFFIXES
from alkit.values.queries import Query

LEADING = re.compile(r"\A(\.{0,2}/)+")
"""A root, ``./`` and ``../`` in front of a name. Dots of the name itself stay: ``.a`` is another image than ``a``."""

DEEPEST = 100
"""Greatest number of slashes in the end of an id under which a tool can know its image."""


@dataclass(frozen=True)
class ImageNames:
    """The queries by the names of their images; :func:`image_names` makes it.

    Parameters
    ----------
    keys:
        Queries by key.
    ids:
        Queries by image id; of several queries of an image, the last.
    tails:
        Image ids by their ends: by what remains without the first folder, without the first two, and so on.
    """

    keys: Mapping[str, Query]
    ids: Mapping[str, Query]
    tails: Mapping[str, frozenset[str]]

    @cached_property
    def depth(self) -> int:
        """Greatest number of slashes in an id."""
        return max((id.count("/") for id in self.ids), default=0)

    def is_key(self, name: str) -> bool:
        """Whether a file name is the key of a query.

        >>> names = image_names([Query("ward 3/0017", 2, 4, ((8, 8),))])
        >>> names.is_key("images/r02-0004-ward_3_0017.png"), names.is_key("ward 3/0017.png")
        (True, False)
        """
        return any(normalize("NFC", form.rpartition("/")[2]) in self.keys for form in self._forms(name))

    def find(self, name: str) -> list[Query]:
        """Return the queries whose image a file name can mean: the one with this key, or else all with fitting ids.

        An image whose id is the key of another one's query makes the name ambiguous.

        >>> names = image_names([Query("ward 3/0017", 2, 4, ((8, 8),)), Query("ward 4/0017", 2, 5, ((8, 8),))])
        >>> [query.id for query in names.find("images/r02-0004-ward_3_0017.png")]
        ['ward 3/0017']
        >>> [query.id for query in names.find("ward 4/0017.jpg")]
        ['ward 4/0017']
        >>> len(names.find("0017.jpg"))
        2
        """
        forms = self._forms(name)
        for form in forms:
            if (key := normalize("NFC", form.rpartition("/")[2])) in self.keys:
                same = {form for form in forms if form in self.ids} - {self.keys[key].id}
                return [self.keys[key], *(self.ids[id] for id in sorted(same))]
        # A tool can omit folders, so a name that is an id can also be the end of another id.
        exact = [form for form in forms if form in self.ids]
        longer = [id for form in forms for id in self.tails.get(form, ())]
        shorter = [] if exact else [tail for form in forms for tail in ends_of(form, self.depth) if tail in self.ids]
        return [self.ids[id] for id in sorted({*exact, *longer, *shorter})]

    @staticmethod
    def _forms(name: str) -> list[str]:
        """Return what a file name can mean, with and without its suffix."""
        # A backslash is a slash of Windows, or a letter of the name on other systems.
        forms = list(dict.fromkeys(LEADING.sub("", whole) for whole in (name, name.replace("\\", "/"))))
        for whole in list(forms):
            if (suffix := PurePosixPath(whole).suffix).lower() in SUFFIXES:
                forms.append(whole[: -len(suffix)])
        return forms


def image_names(queries: Iterable[Query], *, keyed: bool = True) -> ImageNames:
    """Return the names of the images of queries.

    Parameters
    ----------
    keyed:
        Whether tools know the images by the keys of these queries, too.
    """
    by_key = {key: query for query in queries for key in query.keys}
    by_id = {query.id: query for query in by_key.values()}
    tails: dict[str, set[str]] = {}
    for id in by_id:
        for tail in ends_of(id, DEEPEST):
            tails.setdefault(tail, set()).add(id)
    return ImageNames(by_key if keyed else {}, by_id, {tail: frozenset(ids) for tail, ids in tails.items()})


def ends_of(name: str, most: int) -> list[str]:
    """Return a name without its first folder, without its first two, and so on, with at most this many slashes.

    >>> ends_of("a/b/c/d", 1)
    ['c/d', 'd']
    """
    parts = name.rsplit("/", most + 1)
    return ["/".join(parts[n:]) for n in range(1, len(parts))]
