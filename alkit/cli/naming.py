"""Errors about parts that a command makes, in the words of its options."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager

from alkit.errors import AlkitError


@contextmanager
def naming(options: Mapping[str, str], kind: type[AlkitError] = AlkitError) -> Iterator[None]:
    """Name options in an error in place of the parameters of Python.

    Parameters
    ----------
    options:
        Options by the name of the parameter.
    kind:
        Kind of the errors that are reworded.
    """
    from alkit.cli.wording import name_options

    try:
        yield
    except kind as reason:
        if (reworded := name_options(str(reason), options)) != str(reason):
            raise type(reason)(reworded) from reason
        raise
