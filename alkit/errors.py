"""Errors that alkit raises on purpose.

::

    AlkitError
    ├── DataError                images, masks, ids or arrays cannot be used
    │   ├── ImageError           an image cannot be used
    │   └── LabelError           a label does not fit its LabelSpec
    ├── ConfigurationError       an argument is wrong, or two arguments contradict each other
    │   ├── UnknownNameError     a name is not registered; the message suggests similar ones
    │   └── ResumeError          a record was created with other settings
    ├── QueryError               a call does not fit the state of the queries
    │   └── ConflictError        an image has a different answer already, and ``revise=True`` is missing
    ├── ColdStartError           a strategy needs a trained model, but no model has been trained yet
    ├── SelectionError           a strategy failed, or returned a selection that is not allowed
    ├── StoreError               the record cannot be read or written
    │   └── StoreBusyError       another process is using the record
    ├── OracleError              a labelling tool cannot be reached, or its response is not usable
    └── MissingDependencyError   an optional package is not installed; the message names the extra

A message names the parameter or the file, says what was found and what must hold, and ends with a fix where one exists.
It is one line without control characters (:func:`one_line`), because it may quote a file, a record or a server.

>>> print(ConfigurationError("batch is too large", got=40, expected="at most 12", hint="batch=12"))
batch is too large: got 40, expected at most 12. Try: batch=12.
"""

import re
from collections.abc import Iterable
from difflib import get_close_matches

LONGEST = 4000
"""Greatest number of characters in a message."""

_BREAKS = re.compile("(?<! ) *[\t-\r\x1c-\x1e\x85\u2028\u2029][ \t-\r\x1c-\x1e\x85\u2028\u2029]*")
_CONTROLS = re.compile(
    "[\x00-\x1f\x7f-\x9f\xad\u061c\u200b\u200e\u200f\u202a-\u202e\u2060-\u206f\ud800-\udfff\ufeff\U000e0000-\U000e007f]"
)


def one_line(text: object, most: int | None = None) -> str:
    r"""Return text from a file, a server or a person as one line that can be printed and stored.

    Line breaks and tabs become spaces. Characters that steer a terminal, turn the direction of writing or are invisible
    are written as escapes, and so are parts that are not Unicode, as in some file names.

    Parameters
    ----------
    text:
        The text, or an object whose text is meant.
    most:
        Greatest number of characters; a longer text ends in ``...``. None: no limit.

    Examples
    --------
    >>> one_line("hair\n in front \x1b[2J")
    'hair in front \\x1b[2J'
    >>> one_line("a" * 30, 10)
    'aaaaaaa...'
    """
    line = str(text)
    if not line.isprintable():
        line = _CONTROLS.sub(lambda found: found[0].encode("unicode_escape").decode(), _BREAKS.sub(" ", line))
    return line if most is None or len(line) <= most else f"{line[: most - 3]}..."


class AlkitError(Exception):
    """Base class of all errors that alkit raises on purpose.

    Parameters
    ----------
    what:
        What is wrong, in one clause that begins with the parameter or the file.
    got, expected:
        The value that was found, and what must hold. The message leaves out either if it is None.
    hint:
        A fix, in the words of the interface.
    """

    def __init__(self, what: str, *, got: object = None, expected: object = None, hint: str | None = None) -> None:
        facts = [f"{word} {value}" for word, value in (("got", got), ("expected", expected)) if value is not None]
        message = what + (": " + ", ".join(facts) if facts else "")
        super().__init__(one_line(message + (f". Try: {hint}." if hint else ""), LONGEST))


def without_hint(reason: Exception) -> str:
    """Return the message of an error without its fix, to put it into another message.

    >>> without_hint(AlkitError("batch is too large", got=40, hint="batch=12"))
    'batch is too large: got 40'
    """
    return str(reason).partition(". Try: ")[0]


class DataError(AlkitError, ValueError):
    """Images, masks, ids or arrays cannot be used."""


class ImageError(DataError):
    """An image cannot be used."""


class LabelError(DataError):
    """A label does not fit its :class:`~alkit.LabelSpec`."""


class ConfigurationError(AlkitError, ValueError):
    """An argument is wrong, or two arguments contradict each other."""


class UnknownNameError(ConfigurationError):
    """A name is not registered. The message suggests similar names."""


class ResumeError(ConfigurationError):
    """A record was created with other settings. The message shows the difference."""


class QueryError(AlkitError):
    """A call does not fit the state of the queries, such as an answer to an image that was not asked about."""


class ConflictError(QueryError):
    """An image has a different answer already, and ``revise=True`` is missing."""


class ColdStartError(AlkitError):
    """A strategy needs a trained model, but no model has been trained yet."""


class SelectionError(AlkitError):
    """A strategy failed, or selected too few or too many images, or images that are not candidates."""


class StoreError(AlkitError):
    """The record cannot be read or written."""


class StoreBusyError(StoreError):
    """Another process is using the record."""


class OracleError(AlkitError):
    """A labelling tool cannot be reached, rejects what alkit sends, or its response is not usable."""


class MissingDependencyError(AlkitError, ImportError):
    """An optional package is not installed. The message names the extra that installs it."""


def nearest(name: str, known: Iterable[str]) -> str:
    """Return a hint for an unknown name: the known names that are similar to it, or all of them if none is.

    >>> nearest("randm", ["ssl-cluster", "random"])
    "'random'"
    >>> nearest("xyz", ["b", "a"])
    'a, b'
    """
    known = sorted(known)
    close = get_close_matches(name, known, n=3, cutoff=0.5)
    return " or ".join(repr(match) for match in close) if close else ", ".join(known)


def failure_in_words(reason: BaseException) -> str:
    """Return the kind and the message of an error in code that is not alkit's; the message may fail, too.

    >>> failure_in_words(ValueError("no weights"))
    'ValueError: no weights'
    """
    try:
        text = str(reason)
    except Exception:
        text = "its message cannot be read"
    return f"{type(reason).__name__}: {text}"


ON_CPU = ("DefaultCPUAllocator", "can't allocate memory", "bad_alloc")
"""Parts of the messages by which torch and its libraries say that the memory of the machine does not suffice."""

FULL = ("out of memory", "STATUS_ALLOC_FAILED", *ON_CPU)
"""The same of the memory of any device."""


def is_out_of_memory(error: BaseException) -> bool:
    """Return whether Python, NumPy or torch raised this error because the memory of a device does not suffice.

    >>> is_out_of_memory(RuntimeError("CUDA error: CUBLAS_STATUS_ALLOC_FAILED")), is_out_of_memory(MemoryError())
    (True, True)
    """
    # torch has a class for most of these errors, but not for those of MPS, cuDNN and CPUs.
    named = any(kind.__name__ == "OutOfMemoryError" for kind in type(error).__mro__)
    return (
        named or is_of_machine(error) or (isinstance(error, RuntimeError) and any(part in str(error) for part in FULL))
    )


def is_of_machine(error: BaseException) -> bool:
    """Return whether an error says that the memory of the machine does not suffice, rather than that of a GPU.

    >>> is_of_machine(MemoryError()), is_of_machine(RuntimeError("CUDA out of memory"))
    (True, False)
    """
    return isinstance(error, MemoryError) or (
        isinstance(error, RuntimeError) and any(part in str(error) for part in ON_CPU)
    )
