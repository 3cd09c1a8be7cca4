"""Work to share among workers: it can fail, end its process, and say who computed it."""

from __future__ import annotations

import logging
import os
import signal
import time
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from alkit.errors import ImageError, SelectionError


@dataclass(frozen=True)
class Number:
    """A shard: one number."""

    value: int
    size: int = 1

    def packed(self, folder):
        return self


@dataclass(frozen=True)
class Squares:
    """Squares of numbers, and the process that computed each. `harm` happens to the number 2, so many `times`."""

    folder: Path
    harm: str = ""
    times: int = 1
    parent: int = field(default_factory=os.getpid)

    def packed(self, folder):
        return self

    def __call__(self, shard, tick):
        calls = self.folder / f"{shard.value}"
        done = len(calls.read_text()) if calls.exists() else 0
        calls.write_text("x" * (done + 1))
        if shard.value == 2 and done < self.times:
            if self.harm == "killed" and os.getpid() != self.parent:
                os.kill(os.getpid(), signal.SIGKILL)
            if self.harm == "image":
                raise ImageError("a file cannot be read")
            if self.harm == "selection":
                raise SelectionError("the score of 'x' is not finite")
            if self.harm == "other":
                raise KeyError("x")
            if self.harm == "log":
                logging.getLogger("alkit.pools").warning("the cached copy is damaged")
        tick(1)
        return {"square": np.array([shard.value**2]), "process": np.array([os.getpid()])}

    def calls(self):
        return {int(path.name): len(path.read_text()) for path in self.folder.iterdir()}


class Slow(Squares):
    """Squares that take half a second each."""

    def __call__(self, shard, tick):
        time.sleep(0.5)
        return super().__call__(shard, tick)
