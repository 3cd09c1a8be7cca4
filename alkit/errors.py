"""Every error alkit raises on purpose.

::

    AlkitError
    ├── DataError                what was given as images, masks, ids or arrays
    │   ├── ImageError           an image cannot be used
    │   └── LabelError           a label breaks its LabelSpec
    ├── ConfigurationError       arguments that cannot work, alone or together
    │   ├── UnknownNameError     a name nobody registered; the nearest ones are listed
    │   └── ResumeError          a record was made under another configuration
    ├── QueryError               the ask/tell protocol was broken
    │   └── ConflictError        a second, different answer without ``revise=True``
    ├── ColdStartError           a strategy needs a trained model and there is none
    ├── SelectionError           a strategy failed, or chose what it was not offered, or too much or too little
    ├── StoreError               the record cannot be read or written
    │   └── StoreBusyError       another process is working on it
    ├── OracleError              a tool in which people label cannot be reached, or does not answer as it should
    └── MissingDependencyError   an optional package is absent; the extra is named

One message answers three questions: what happened, what was got and expected, what to try.

>>> print(ConfigurationError("the batch is too large", got=40, expected="at most 12", hint="ask for 12"))
the batch is too large: got 40, expected at most 12. Try: ask for 12.
"""

from collections.abc import Iterable
from difflib import get_close_matches


class AlkitError(Exception):
    """Root of all errors alkit raises on purpose.

    Parameters
    ----------
    what:
        What happened, in one clause.
    got, expected:
        What was met and what was wanted; left out of the message where None.
    hint:
        What to try.
    """

    def __init__(self, what: str, *, got: object = None, expected: object = None, hint: str | None = None) -> None:
        facts = [f"{word} {value}" for word, value in (("got", got), ("expected", expected)) if value is not None]
        message = what + (": " + ", ".join(facts) if facts else "")
        super().__init__(message + (f". Try: {hint}." if hint else ""))


class DataError(AlkitError, ValueError):
    """What was given as images, masks, ids or arrays cannot be used."""


class ImageError(DataError):
    """An image cannot be used."""


class LabelError(DataError):
    """A label breaks its :class:`~alkit.LabelSpec`."""


class ConfigurationError(AlkitError, ValueError):
    """Arguments that cannot work, alone or together."""


class UnknownNameError(ConfigurationError):
    """A name nobody registered; the message lists the nearest ones."""


class ResumeError(ConfigurationError):
    """A record was made under another configuration; the message shows the difference."""


class QueryError(AlkitError):
    """The ask/tell protocol was broken."""


class ConflictError(QueryError):
    """A second, different answer for one image, without ``revise=True``."""


class ColdStartError(AlkitError):
    """A strategy needs a trained model and there is none."""


class SelectionError(AlkitError):
    """A strategy chose what it was not offered, or too much, or too little; or it failed."""


class StoreError(AlkitError):
    """The record cannot be read or written."""


class StoreBusyError(StoreError):
    """Another process is working on the record."""


class OracleError(AlkitError):
    """A tool in which people label cannot be reached, refuses what it is sent, or does not answer as it should."""


class MissingDependencyError(AlkitError, ImportError):
    """An optional package is absent; the message names the extra that brings it."""


def nearest(name: str, known: Iterable[str]) -> str:
    """Say which of the known names a mistyped one may have meant.

    >>> nearest("randm", ["ssl-cluster", "random"])
    "'random'"
    >>> nearest("xyz", ["b", "a"])
    'a, b'
    """
    known = sorted(known)
    close = get_close_matches(name, known, n=3, cutoff=0.5)
    return " or ".join(repr(match) for match in close) if close else ", ".join(known)
