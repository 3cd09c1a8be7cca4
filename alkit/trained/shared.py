"""Predictions for files, shared by workers: each writes files of its own, and says what it has done."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Self

import numpy as np

from alkit.sharing.share import Counted, Result, share
from alkit.sharing.travelling import OfModel, open_model
from alkit.sharing.worker import Tick
from alkit.sharing.workers import Workers
from alkit.trained.model import Origin, TrainedModel
from alkit.values.progress import Report

Row = tuple[str, ...]
"""A row of a table of classes, see :func:`alkit.trained.output.class_row`."""

NOWHERE = Origin({}, 0, 0, (), (), (), tested=False)
"""In place of the origin of a model that travels."""


@dataclass
class Said:
    """What became of some files: ids that were predicted, reasons by id of those that were not, and rows of classes."""

    done: list[str] = field(default_factory=list)
    failed: dict[str, str] = field(default_factory=dict)
    rows: list[Row] = field(default_factory=list)


Write = Callable[[TrainedModel, Sequence[Any], Said, Tick], None]
"""Writes the predictions for some files, and adds what became of them."""


@dataclass(frozen=True)
class Some:
    """A shard: some files."""

    files: Sequence[Any]

    @property
    def size(self) -> int:
        """Number of files."""
        return len(self.files)

    def packed(self, folder: Path) -> Self:
        """Return the shard as it travels."""
        return self


@dataclass(frozen=True)
class OfFiles(OfModel):
    """The predictions of a trained model for files. `facts` are what files need of the model, apart from its origin."""

    facts: dict[str, Any]
    write: Write

    def __call__(self, shard: Some, tick: Tick) -> Result:
        """Return ``said``, as JSON."""
        said, model = Said(), TrainedModel(open_model(self.predictor), **self.facts, origin=NOWHERE)
        self.write(model, shard.files, said, tick)
        return {"said": np.frombuffer(json.dumps(vars(said)).encode(), np.uint8)}


def write_shared(
    model: TrainedModel, shards: Sequence[Sequence[Any]], write: Write, said: Said, report: Report, workers: Workers
) -> None:
    """Write the predictions for files, and add what became of them.

    Parameters
    ----------
    shards:
        The files of each shard.
    write:
        A function of a module, or a :func:`functools.partial` of one.
    report:
        Called with the progress of stage ``predict`` after each image.
    """
    facts = {name: getattr(model, name) for name in ("spec", "shape", "reading", "threads", "tiles", "slicing")}
    work, before = OfFiles(model.predictor, model.learner, facts, write), len(said.failed)
    counted = Counted(report, "predict", sum(map(len, shards)) + before, before)
    for result in share(work, [Some(files) for files in shards], counted, workers=workers):
        found = json.loads(result["said"].tobytes())
        said.done += found["done"]
        said.failed |= found["failed"]
        said.rows += map(tuple, found["rows"])
