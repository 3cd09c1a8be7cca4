"""Ids of images: distinct strings."""

from __future__ import annotations

from collections.abc import Iterable

from alkit.arguments.words import found
from alkit.errors import DataError


def check_ids(ids: Iterable[str]) -> tuple[str, ...]:
    """Return `ids` as a tuple, after a check that they are distinct strings.

    Raises
    ------
    DataError
        `ids` is a single string, an id is not a string or not Unicode, or an id occurs twice.

    Examples
    --------
    >>> check_ids(["a", "b", "a"])
    Traceback (most recent call last):
    alkit.errors.DataError: ids must be distinct: got 'a' twice
    """
    if isinstance(ids, str):
        raise DataError("ids must be a sequence of strings", got=f"the string {ids!r}")
    if isinstance(ids, bytes) or not isinstance(ids, Iterable):
        raise DataError("ids must be a sequence of strings", got=found(ids))
    listed = tuple(ids)
    if set(map(type, listed)) <= {str} and all(map(str.isascii, listed)) and len(set(listed)) == len(listed):
        return listed
    known: set[str] = set()
    for id in listed:
        if not isinstance(id, str):
            raise DataError("ids must be strings", got=f"{id!r} of type {type(id).__name__}", hint=f"str({id!r})")
        if id in known:
            raise DataError("ids must be distinct", got=f"{id!r} twice")
        if not id.isascii() and id != id.encode(errors="replace").decode():
            raise DataError("ids must be Unicode text", got=ascii(id), hint="another name, without damaged characters")
        known.add(id)
    return listed
