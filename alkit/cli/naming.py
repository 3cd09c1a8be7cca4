"""Errors about parts that a command makes, in the words of its options."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager

from alkit.errors import AlkitError


@contextmanager
def naming(options: Mapping[str, str]) -> Iterator[None]:
    """Name options in an error in place of the parameters of Python.

    Parameters
    ----------
    options:
        Options by the name of the parameter.
    """
    from alkit.cli.wording import name_options

    try:
        yield
    except AlkitError as reason:
        if (reworded := name_options(str(reason), options)) != str(reason):
            raise type(reason)(reworded) from reason
        raise
