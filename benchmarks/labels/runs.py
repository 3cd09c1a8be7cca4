"""One run: choose images, train on them, measure each kind of image, and so on for each budget.

A run uses the parts of alkit that an experiment uses, without a record: strategies, learners, predictors and scores.
The rows of the benchmark and the chosen images of each budget are its record, so a run that was stopped continues.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt

from alkit.features import kmeans
from alkit.protocols import FeatureExtractor, FittedExtractor, Predictor, Reduction, Sampler, Score
from alkit.rng import Stream
from alkit.scores import Scoring, mean
from alkit.values import Clusters, Predictions
from benchmarks.array_view import ArrayView
from benchmarks.cold_start.pixels import dice
from benchmarks.labels.data import Pictures
from benchmarks.labels.protocol import BUDGETS, FULL, RANDOM, SPEC, Task, strategy_of
from benchmarks.labels.split import split
from benchmarks.rows import read_as


@dataclass(frozen=True)
class Row:
    """One budget of a run. ``images``, ``kinds`` and ``worst`` are Dice: see :mod:`benchmarks.labels.protocol`."""

    data: str
    size: int
    learner: str
    arm: str
    seed: int
    length: int
    labels: int
    images: float
    kinds: float
    worst: float
    by_kind: str
    chosen_kinds: str
    seconds: float
    engine: str
    machine: str
    commit: str

    @property
    def task(self) -> Task:
        """The run."""
        return Task(self.data, self.size, self.learner, self.arm, self.seed, self.length)


@dataclass(frozen=True)
class LabelledPictures:
    """Labelled images as a learner reads them."""

    pictures: Pictures
    ids: tuple[str, ...]
    spec = SPEC
    pseudo_ids: tuple[str, ...] = ()

    def images(self, ids: Sequence[str]) -> npt.NDArray[np.float32]:
        """Return these images."""
        return self.pictures.read(ids)

    def labels(self, ids: Sequence[str]) -> npt.NDArray[np.uint8]:
        """Return their masks."""
        return self.pictures.masks[self.pictures.rows(ids)]

    def fitted(self, extractor: FeatureExtractor) -> FittedExtractor:
        """Raise an error: the learners of this benchmark use no extractor."""
        raise NotImplementedError


@dataclass(frozen=True)
class ModelView(ArrayView):
    """The state of a run for its strategy: features are a table, scores are those of the last model."""

    scoring: Scoring | None = field(default=None, repr=False)

    def clusters(self, extractor: FeatureExtractor, k: int) -> Clusters:
        """Return the K-means clusters of the pool, the same in each round."""
        return kmeans(self.table, self.ids, k, Stream(self.seed).child("clusters", k).numpy())

    def scores(
        self, score: Score, sampler: Sampler | None = None, reduction: Reduction | None = None
    ) -> Mapping[str, float]:
        """Return the score of each candidate."""
        given = {} if sampler is None else {"sampler": sampler}
        return self._scoring().scores(self.candidates, score, reduction=reduction or mean, **given)

    def predictions(self) -> Iterator[Predictions]:
        """Yield the predictions of the candidates, in batches."""
        return self._scoring().predictions(self.candidates)

    def _scoring(self) -> Scoring:
        if self.scoring is None:
            raise ValueError("this view does not have a model")
        return self.scoring


class Fitter(Protocol):
    """Trains the learner of a run."""

    engine: str
    machine: str

    def fit(self, task: Task, labelled: LabelledPictures, number: int, previous: Predictor | None) -> Predictor:
        """Return the model of a budget, which has this number in the run."""

    def carries_on(self, task: Task) -> bool:
        """Return whether a model depends on that of the budget before."""


Known = Mapping[Task, Mapping[int, Sequence[str]]]
"""Chosen images of each budget, by run."""


class Book:
    """The rows and choices of a folder. Processes may write into the same files.

    Parameters
    ----------
    folder:
        Folder of the files, with one entry per line.
    known:
        CSV file with rows of earlier calls.
    """

    def __init__(self, folder: Path, known: Path | None = None) -> None:
        self.rows_file, self.choices_file = folder / "rows.jsonl", folder / "choices.jsonl"
        self._known = known
        folder.mkdir(parents=True, exist_ok=True)

    def rows(self) -> list[Row]:
        """Return the finished rows, those of the CSV file first. A budget that was measured twice has its first row."""
        found = [*(read_as(Row, self._known) if self._known else ()), *map(_row, _entries(self.rows_file))]
        return list({(row.task, row.labels): row for row in reversed(found)}.values())[::-1]

    def choices(self) -> dict[Task, dict[int, list[str]]]:
        """Return the chosen images."""
        found: dict[Task, dict[int, list[str]]] = {}
        for entry in _entries(self.choices_file):
            found.setdefault(Task(**entry["task"]), {})[entry["labels"]] = entry["ids"]
        return found

    def add_row(self, row: Row) -> None:
        """Append a row."""
        _append(self.rows_file, asdict(row))

    def add_choice(self, task: Task, labels: int, ids: Sequence[str]) -> None:
        """Append the chosen images of a budget."""
        _append(self.choices_file, {"task": asdict(task), "labels": labels, "ids": list(ids)})


def _row(entry: dict[str, Any]) -> Row:
    return Row(**entry)


def _entries(file: Path) -> Iterator[dict[str, Any]]:
    """Yield the entries of a file of JSON lines, except lines that were cut off."""
    for line in file.read_text().splitlines() if file.exists() else ():
        try:
            yield json.loads(line)
        except json.JSONDecodeError:
            continue


def _append(file: Path, entry: dict[str, object]) -> None:
    """Append a line in one write, after the end of a line that was cut off."""
    text = json.dumps(entry) + "\n"
    with file.open("ab+") as opened:
        if opened.tell():
            opened.seek(-1, 2)
            if opened.read(1) != b"\n":
                text = "\n" + text
        opened.write(text.encode())


def play(
    task: Task,
    pictures: Pictures,
    fitter: Fitter,
    book: Book,
    commit: str,
    *,
    done: frozenset[int] = frozenset(),
    known: Mapping[int, Sequence[str]] | None = None,
    goes_on: Callable[[], bool] = lambda: True,
    budgets: Sequence[int] | None = None,
) -> None:
    """Play a run, and write each budget when it is finished.

    Parameters
    ----------
    done, known:
        Budgets that have a row, and chosen images of budgets, of an earlier call.
    goes_on:
        Asked before each training; the run is left if it returns False.
    budgets:
        Numbers of labels. Default: those of the data set.
    """
    pool, test = split(task.data, pictures.ids, pictures.kinds, pictures.groups, task.seed)
    ids = tuple(pictures.ids[row] for row in pool)
    known = dict(known or {})
    wanted = [len(ids)] if task.arm == FULL else list(budgets or BUDGETS[task.data])
    chosen: tuple[str, ...] = ids if task.arm == FULL else ()
    model: Predictor | None = None
    for number, labels in enumerate(wanted):
        start = time.monotonic()
        if task.arm != FULL:
            if labels not in known:
                known[labels] = choose(task, pictures, ids, chosen, labels, number, model)
                book.add_choice(task, labels, known[labels])
            chosen = tuple(known[labels])
        if labels in done and not fitter.carries_on(task) and _is_known(wanted, number, known):
            model = None
            continue
        if not goes_on():
            return
        model = fitter.fit(task, LabelledPictures(pictures, chosen), number, model)
        if labels not in done:
            found = measure(model, pictures, test)
            book.add_row(row_of(task, pictures, labels, found, test, chosen, time.monotonic() - start, fitter, commit))


def _is_known(wanted: Sequence[int], number: int, known: Mapping[int, Sequence[str]]) -> bool:
    """Return whether nobody needs the model of a budget: the next choice is known, or there is none."""
    return number + 1 == len(wanted) or wanted[number + 1] in known


def choose(
    task: Task,
    pictures: Pictures,
    ids: tuple[str, ...],
    chosen: tuple[str, ...],
    labels: int,
    number: int,
    model: Predictor | None,
) -> tuple[str, ...]:
    """Return the images of a budget: those of the last one, and new ones."""
    stream = Stream(task.seed)
    strategy = strategy_of(task.arm)
    if not chosen and not getattr(strategy, "starts_cold", True):
        strategy = strategy_of(RANDOM)
    scoring = None if model is None else Scoring(pictures, model, stream.child("draws", number))
    table = pictures.features[pictures.rows(ids)]
    view = ModelView(ids, table, chosen, seed=task.seed, round=number, scoring=scoring)
    selection = strategy.select(view, labels - len(chosen), stream.child("round", number, "select").numpy())
    return (*chosen, *selection.ids)


def choose_ahead(task: Task, pictures: Pictures, book: Book) -> None:
    """Write the choices of an arm that needs no model, those that are not in the book."""
    known = book.choices().get(task, {})
    pool, _ = split(task.data, pictures.ids, pictures.kinds, pictures.groups, task.seed)
    ids, chosen = tuple(pictures.ids[row] for row in pool), tuple[str, ...]()
    for number, labels in enumerate(BUDGETS[task.data]):
        if labels in known:
            chosen = tuple(known[labels])
            continue
        chosen = choose(task, pictures, ids, chosen, labels, number, None)
        book.add_choice(task, labels, chosen)


def measure(model: Predictor, pictures: Pictures, test: npt.NDArray[np.int64]) -> npt.NDArray[np.float64]:
    """Return the Dice of each test image."""
    found = []
    for rows in np.array_split(test, -(-len(test) // 512)):
        labels = model.probabilities(pictures.images[rows].astype(np.float32) / 255).argmax(1)
        found.append(dice(labels == 1, pictures.masks[rows] == 1))
    return np.concatenate(found)


def row_of(
    task: Task,
    pictures: Pictures,
    labels: int,
    found: npt.NDArray[np.float64],
    test: npt.NDArray[np.int64],
    chosen: Sequence[str],
    seconds: float,
    fitter: Fitter,
    commit: str,
) -> Row:
    """Return the row of a budget from the Dice of each test image."""
    kinds = np.array(pictures.kinds)
    by_kind = {kind: float(found[kinds[test] == kind].mean()) for kind in sorted(set(pictures.kinds))}
    counted = kinds[pictures.rows(chosen)]
    return Row(
        **asdict(task),
        labels=labels,
        images=round(float(found.mean()), 5),
        kinds=round(float(np.mean(list(by_kind.values()))), 5),
        worst=round(min(by_kind.values()), 5),
        by_kind="; ".join(f"{kind} {value:.4f}" for kind, value in by_kind.items()),
        chosen_kinds="; ".join(f"{kind} {int((counted == kind).sum())}" for kind in by_kind),
        seconds=round(seconds, 2),
        engine=fitter.engine,
        machine=fitter.machine,
        commit=commit,
    )


def fit_stream(seed: int) -> Stream:
    """Return the stream of a training: that of ``learner.fit`` with :func:`fit_generator`."""
    return Stream.from_rng(fit_generator(seed))


def fit_generator(seed: int, number: int = 0) -> np.random.Generator:
    """Return the random generator of a training. All models of a seed start from the same weights."""
    return Stream(seed).child("fit", number).numpy()
