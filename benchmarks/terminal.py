"""Helpers for the command lines of the benchmarks."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable

from alkit.errors import AlkitError


def integer_from(least: int) -> Callable[[str], int]:
    """Return a type for argparse that reads an integer of at least `least`."""

    def integer(text: str) -> int:
        number = int(text)
        if number < least:
            raise argparse.ArgumentTypeError(f"must be an integer >= {least}: got {number}")
        return number

    return integer


def start(main: Callable[[], None]) -> None:
    """Run `main`, and end with a message instead of a traceback if alkit raises an error."""
    try:
        main()
    except AlkitError as error:
        sys.exit(f"error: {error}")
