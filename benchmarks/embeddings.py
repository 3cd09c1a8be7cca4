"""Compare strategies on embeddings of MNIST, where a selection and its classifier take seconds.

::

    python -m benchmarks.embeddings --data DIR
    python -m benchmarks.embeddings --report

``DIR`` has ``embeddings_vae_{train,test}.npy`` (60000 and 10000 rows of 10 numbers) and ``labels_{train,test}.npy`` of
the repository ``fbickfordsmith/vae-embeddings``. The protocol is that of the repository: rows are standardised by the
training rows, the classifier is logistic regression (C = 1), and the measure is the accuracy on the test rows.

A method either chooses all its labels at once, without a model, or begins with a start set and goes on with the last
model (``then``). Class-balanced random sampling knows the labels, so it is a reference and not a strategy. Runs whose
rows exist are not run again, and methods whose strategies are not installed are left out.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, cast

import numpy as np
import numpy.typing as npt
import torch
from sklearn.base import ClassifierMixin
from sklearn.dummy import DummyClassifier
from sklearn.linear_model import LogisticRegression

import alkit
from alkit.protocols import Strategy
from alkit.report import Table
from alkit.statistics import estimate
from benchmarks import rows
from benchmarks.array_view import ArrayView
from benchmarks.terminal import start

BUDGETS = (10, 20, 40, 100, 200)
SEEDS = range(20)
BALANCED = "class-balanced random"

AT_ONCE = (
    "random",
    "centroids",
    "typiclust",
    "k-centre",
    "probcover",
    "maxherding",
    "facility-location",
    "ssl-cluster",
)
"""Strategies that choose all labels at once."""

GREEDY = ("k-centre", "probcover", "maxherding", "facility-location")
"""Strategies that choose one label after another: the first 10 of 200 are what they choose as 10."""

IN_ROUNDS = tuple(
    (first, labels, then)
    for first, labels in (("random", 10), ("centroids", 10), ("centroids", 40))
    for then in ("margin", "badge")
)
"""Strategy of the start set, its size, and strategy of the rounds after it."""

FOLDER = Path(__file__).parent / "results" / "embeddings"


@dataclass(frozen=True)
class Row:
    """One run: the accuracy of a classifier of `labels` rows, and the CPU time of the selection or selections."""

    method: str
    seed: int
    labels: int
    accuracy: float
    seconds: float
    commit: str
    machine: str


@dataclass(frozen=True)
class Data:
    """Standardised rows and labels: the pool and the test set."""

    ids: tuple[str, ...]
    table: npt.NDArray[np.float32]
    labels: npt.NDArray[np.int64]
    test: npt.NDArray[np.float32]
    test_labels: npt.NDArray[np.int64]

    def fit(self, chosen: tuple[str, ...]) -> ClassifierMixin:
        """Return the classifier of some rows. With labels of one class only, it always predicts that class."""
        own = np.array(chosen, np.int64)
        one_class = len(np.unique(self.labels[own])) == 1
        model = DummyClassifier() if one_class else LogisticRegression(C=1, max_iter=1000)
        return model.fit(self.table[own], self.labels[own])


def read(folder: Path) -> Data:
    """Read the arrays of a folder."""
    table, test = (_array(folder / f"embeddings_vae_{part}.npy").astype(np.float64) for part in ("train", "test"))
    labels, test_labels = (_array(folder / f"labels_{part}.npy") for part in ("train", "test"))
    mean, scale = table.mean(0), table.std(0)
    first, second = (((rows - mean) / scale).astype(np.float32) for rows in (table, test))
    return Data(tuple(f"{row:06}" for row in range(len(table))), first, labels, second, test_labels)


def _array(path: Path) -> npt.NDArray[Any]:
    return cast("npt.NDArray[Any]", np.load(path, allow_pickle=False))


def methods() -> list[str]:
    """Return the methods whose strategies are installed."""
    known = {*alkit.strategies.installed(), "margin"}
    single = [BALANCED, *(name for name in AT_ONCE if name in known)]
    return single + [_name(*parts) for parts in IN_ROUNDS if {parts[0], parts[2]} <= known]


def _name(first: str, labels: int, then: str) -> str:
    return f"{first}{'' if labels == BUDGETS[0] else f' to {labels}'}, then {then}"


def choose(method: str, data: Data, seed: int) -> Iterator[tuple[tuple[str, ...], float]]:
    """Yield the chosen ids at each budget, and the CPU time until then."""
    rounds = {_name(*parts): parts for parts in IN_ROUNDS}
    first, start, then = rounds.get(method, (method, 0, ""))
    chosen: tuple[str, ...] = ()
    spent = 0.0
    for labels in BUDGETS:
        rng = np.random.default_rng([seed, labels])
        if method == BALANCED:
            yield tuple(data.ids[row] for row in _balanced(data.labels, labels, rng)), 0.0
            continue
        if then and labels > start:
            probabilities = _probabilities(data.fit(chosen), data.table)
            strategy = alkit.strategies.Uncertainty("margin") if then == "margin" else alkit.strategy(then)
            view = ArrayView(data.ids, data.table, chosen, probabilities, seed)
        else:
            strategy, chosen, spent = alkit.strategy(first), (), 0.0
            view = ArrayView(data.ids, data.table, seed=seed)
            if first in GREEDY:
                yield from _prefixes(strategy, view, seed)
                return
        began = time.process_time()
        chosen += tuple(strategy.select(view, labels - len(chosen), rng).ids)
        spent += time.process_time() - began
        yield chosen, spent


def _prefixes(strategy: Strategy, view: ArrayView, seed: int) -> Iterator[tuple[tuple[str, ...], float]]:
    """Yield the first labels of one selection, and the CPU time of the whole selection."""
    began = time.process_time()
    chosen = tuple(strategy.select(view, BUDGETS[-1], np.random.default_rng(seed)).ids)
    spent = time.process_time() - began
    for labels in BUDGETS:
        yield chosen[:labels], spent


def _balanced(labels: npt.NDArray[np.int64], n: int, rng: np.random.Generator) -> npt.NDArray[np.int64]:
    """Return `n` rows, as many of each class."""
    classes = np.unique(labels)
    return np.concatenate([rng.permutation(np.flatnonzero(labels == own))[: n // len(classes)] for own in classes])


def _probabilities(model: ClassifierMixin, table: npt.NDArray[np.float32]) -> npt.NDArray[np.float32]:
    """Return probabilities of all ten classes; those without labels have 0."""
    full = np.zeros((len(table), 10), np.float32)
    full[:, model.classes_] = model.predict_proba(table)
    return full


def measure(data: Data, out: Path, wanted: list[str], seeds: list[int]) -> None:
    """Add the rows that are missing, each run in one write."""
    done = {(row.method, row.seed) for row in rows.read_as(Row, out)}
    commit = rows.commit()
    for method in wanted:
        for seed in seeds:
            if (method, seed) in done:
                continue
            found = []
            for labels, (chosen, seconds) in zip(BUDGETS, choose(method, data, seed), strict=True):
                accuracy = data.fit(chosen).score(data.test, data.test_labels)
                given = method, seed, labels, round(accuracy, 4), round(seconds, 2)
                found.append(asdict(Row(*given, commit, rows.machine())))
            rows.append(out, found)
            print(method, seed, [row["accuracy"] for row in found], f"{found[-1]['seconds']} s", flush=True)


def table(measured: list[Row]) -> Table:
    """Return mean accuracies with intervals."""
    names = list(dict.fromkeys(row.method for row in measured))
    lines = []
    for name in names:
        cells = []
        for labels in BUDGETS:
            found = estimate([row.accuracy for row in measured if (row.method, row.labels) == (name, labels)])
            cells.append(f"{found.mean:.3f} [{found.low:.3f}, {found.high:.3f}]" if found.low is not None else "")
        lines.append((name, *cells, str(found.n)))
    caption = "Accuracy on the test rows by number of labels: means over seeds with 95 % intervals."
    return Table(("method", *map(str, BUDGETS), "seeds"), lines, caption)


def main() -> None:
    """Run the command."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, help="folder of the embeddings")
    parser.add_argument("--methods", nargs="+", help="default: all that are installed")
    parser.add_argument("--seeds", nargs="+", type=int, default=list(SEEDS))
    parser.add_argument("--out", type=Path, default=FOLDER / "rows.csv", help="file of the rows")
    parser.add_argument("--report", action="store_true", help="only write the table from the rows")
    options = parser.parse_args()
    if not options.report:
        if options.data is None:
            parser.error("the runs need the embeddings: add --data DIR, or --report to write the table")
        torch.set_num_threads(1)
        measure(read(options.data), options.out, options.methods or methods(), options.seeds)
    found = table(rows.read_as(Row, options.out))
    text = f"{found.caption}\n\n{found.markdown()}\n"
    (options.out.parent / "accuracy.md").write_text(text)
    print(text)


if __name__ == "__main__":
    start(main)
