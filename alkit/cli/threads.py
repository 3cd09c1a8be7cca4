"""The number of threads with which a new record computes."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from alkit.checks import check_integer
from alkit.cli.printing import count, echo
from alkit.errors import ResumeError

if TYPE_CHECKING:
    from alkit.record.store import Store

FEW = 96 * 96
"""Pixels up to which images are small. Operations on a batch of them are too short to be shared by threads."""


def choose_threads(shape: tuple[int, ...], asked: int | None) -> int:
    """Return the number of threads for images of a shape ``(c, h, w)``.

    Raises
    ------
    ConfigurationError
        `asked` is not an integer from 1 to 1024.
    """
    import torch

    from alkit.record.facts import MOST_THREADS

    if asked is not None:
        return check_integer("threads", asked, least=1, most=MOST_THREADS)
    return torch.get_num_threads() if os.environ.get("OMP_NUM_THREADS") or not _are_small(shape) else 1


def keep_threads(record: Store, asked: int | None) -> None:
    """Set the number of threads of a record that was asked for, as long as the record has no queries.

    Raises
    ------
    ResumeError
        The record has queries, and another number. It keeps its number, so that its results repeat.
    """
    if asked is not None and not record.has_queries():
        record.revise("threads", lambda before: asked)
    recorded = record.fact("threads")
    if asked not in (None, recorded):
        raise ResumeError(
            f"{record.path} was created with other settings: --threads: recorded {recorded}, now {asked}",
            hint="the recorded settings, or another store",
        )


def say_threads(record: Store, shape: tuple[int, ...], asked: int | None, *, new: bool) -> None:
    """Print the number of threads of a record, and for a new record why."""
    why = _reason(shape, asked) if new else "as before"
    echo(f"Computes with {count(record.fact('threads'), 'thread')}, {why}.", err=True)


def _reason(shape: tuple[int, ...], asked: int | None) -> str:
    """Say why a new record has its number of threads.

    It depends on nothing but the images and the settings, because the last bits of the results depend on it.
    """
    height, width = shape[-2:]
    if asked is not None:
        return "as --threads says"
    if os.environ.get("OMP_NUM_THREADS"):
        return "as OMP_NUM_THREADS says"
    if _are_small(shape):
        return f"because more hardly help for images of {width} x {height} pixels (--threads changes it)"
    return "one per core (--threads changes it)"


def _are_small(shape: tuple[int, ...]) -> bool:
    return shape[-2] * shape[-1] <= FEW
