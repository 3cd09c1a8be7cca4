"""NUL characters in texts, which PostgreSQL cannot store: they are escaped on the way to it and back."""

from __future__ import annotations

from typing import Any

ESCAPE = "\x1a"
"""Begins an escaped character; alkit's own texts never contain it."""

_ESCAPES = ((ESCAPE, f"{ESCAPE}1"), ("\0", f"{ESCAPE}0"))


def escaped(text: str) -> str:
    r"""Return a text without NUL characters.

    >>> escaped("a\0b\x1a")
    'a\x1a0b\x1a1'
    """
    if "\0" in text or ESCAPE in text:
        for plain, other in _ESCAPES:
            text = text.replace(plain, other)
    return text


def restored(text: str) -> str:
    r"""Return the text that :func:`escaped` has changed.

    >>> restored(escaped("a\0b\x1a0"))
    'a\x00b\x1a0'
    """
    if ESCAPE in text:
        for plain, other in reversed(_ESCAPES):
            text = text.replace(other, plain)
    return text


def register(connection: Any) -> None:
    """Let a connection of psycopg escape texts in both directions."""
    from psycopg.adapt import Dumper, Loader

    class TextDumper(Dumper):  # type: ignore[misc, unused-ignore]
        oid = connection.adapters.types["text"].oid

        def dump(self, obj: str) -> bytes:
            return escaped(obj).encode()

    class TextLoader(Loader):  # type: ignore[misc, unused-ignore]
        def load(self, data: Any) -> str:
            return restored(bytes(data).decode())

    connection.adapters.register_dumper(str, TextDumper)
    for name in ("text", "varchar"):
        connection.adapters.register_loader(name, TextLoader)
