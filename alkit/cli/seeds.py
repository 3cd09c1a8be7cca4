"""``alkit run --seeds``: one run for each seed, each with a record of its own, by any workers."""

from __future__ import annotations

import contextlib
import io
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Self

import numpy as np

from alkit.cli.printing import echo, quote
from alkit.cli.stores import RecordOption
from alkit.errors import ConfigurationError
from alkit.sharing.share import Result, share
from alkit.sharing.worker import Tick
from alkit.sharing.workers import Workers

PLACE = "{seed}"
"""What stands for the seed in the name of a record."""


def read_seeds(text: str) -> list[int]:
    """Return the seeds in a text.

    >>> read_seeds("0-2,7")
    [0, 1, 2, 7]
    """
    found: dict[int, None] = {}
    for part in text.split(","):
        if (match := re.fullmatch(r"\s*(\d+)(?:\s*-\s*(\d+))?\s*", part)) is None:
            raise ConfigurationError("--seeds must be numbers such as 0,1,2 or 0-4", got=repr(text))
        first, last = int(match[1]), int(match[2] or match[1])
        found.update(dict.fromkeys(range(first, last + 1)))
    if not found:
        raise ConfigurationError("--seeds must be numbers such as 0,1,2 or 0-4", got=repr(text))
    return list(found)


def run_seeds(command: Callable[..., None], given: Mapping[str, Any], seeds: str, workers: Workers) -> None:
    """Run a command once for each seed, and print where the records are.

    Parameters
    ----------
    command:
        A command with the parameters `store` and `seed`.
    given:
        Its arguments.
    seeds:
        What the person typed.
    workers:
        Who runs them.
    """
    place = given["store"]
    store = str(place.store)
    if PLACE not in store:
        raise ConfigurationError(
            f"--store must contain {PLACE}, so that each seed has a record of its own",
            got=store,
            hint="--store runs/random-{seed}.db",
        )
    if given["json"]:
        raise ConfigurationError("--json cannot be used with --seeds", hint="alkit compare --json, with all records")
    runs = [Run(seed, replace(place, store=store.replace(PLACE, str(seed)))) for seed in read_seeds(seeds)]
    for run, _ in zip(runs, share(Runs(command, dict(given)), runs, _nothing, workers=workers), strict=True):
        echo(f"{run.store}: finished.")
    echo(f"Next: alkit compare {' '.join(quote(run.store) for run in runs)}")


def _nothing(done: int) -> None:
    pass


@dataclass(frozen=True)
class Run:
    """A shard: one seed, and its record."""

    seed: int
    store: RecordOption
    size: int = 1

    def packed(self, folder: Path) -> Self:
        """Return the shard as it travels."""
        return self


@dataclass(frozen=True)
class Runs:
    """Runs of a command. What it prints is not shown, because several runs would print at the same time."""

    command: Callable[..., None]
    given: dict[str, Any]

    def packed(self, folder: Path) -> Self:
        """Return the work as it travels."""
        return self

    def __call__(self, run: Run, tick: Tick) -> Result:
        """Return nothing; the record holds all."""
        with contextlib.redirect_stdout(io.StringIO()), contextlib.redirect_stderr(io.StringIO()):
            self.command(**self.given | {"seed": run.seed, "store": run.store})
        tick(1)
        return {"seed": np.array([run.seed])}
