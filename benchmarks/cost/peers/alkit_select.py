"""Select images with alkit, and print one line of JSON for each piece of work: its cost, and how well it covers.

::

    python benchmarks/cost/peers/alkit_select.py --strategy typiclust --n 100000 --d 128 --b 1000 --labelled 10

The strategy is called as an experiment calls it. TypiClust's clusters, which an experiment's record keeps, are computed
and measured first: the line "kmeans" is their part of the line "typiclust".
"""

from __future__ import annotations

import argparse
import importlib
import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import numpy.typing as npt
from meter import measure
from sklearn.linear_model import LogisticRegression
from tables import CLASSES, classes_of, cover, draw_labelled, make_rows

import alkit
from alkit import Predictions
from alkit.features import kmeans
from alkit.protocols import Strategy
from alkit_baselines.badge import BADGE
from alkit_baselines.k_centre import KCentre
from alkit_baselines.max_herding import MaxHerding
from alkit_baselines.prob_cover import ProbCover
from alkit_baselines.typiclust import TypiClust


@dataclass(frozen=True)
class Given:
    """Stands for the extractor of features that are there already."""

    def fit(self, pool: Any, rng: Any, report: Any = None) -> Any:
        """Never called."""
        raise NotImplementedError


OTHERS: dict[str, Callable[[], Strategy]] = {
    "k-centre": lambda: KCentre(Given()),
    "maxherding": lambda: MaxHerding(Given()),
    "probcover": lambda: ProbCover(Given(), clusters=CLASSES),
    "badge": BADGE,
}


def main() -> None:
    """Select, measure, print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--strategy", choices=["typiclust", *OTHERS], required=True)
    parser.add_argument("--n", type=int, required=True)
    parser.add_argument("--d", type=int, required=True)
    parser.add_argument("--b", type=int, required=True)
    parser.add_argument("--labelled", type=int, default=10)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--map", type=Path, help="file of the features, mapped into memory; made if it is missing")
    options = parser.parse_args()
    for name in ("faiss", "sklearn.cluster", "scipy.sparse", "scipy.spatial.distance"):  # imports are not measured
        importlib.import_module(name)
    rows = make_rows(options.n, options.d, options.seed, options.map)
    ids = tuple(f"{row:07}" for row in range(options.n))
    labelled = tuple(ids[row] for row in draw_labelled(options.n, options.labelled, options.seed).tolist())
    others = frozenset(labelled)
    view = SimpleNamespace(
        ids=ids,
        labelled=labelled,
        candidates=tuple(id for id in ids if id not in others),
        features=lambda extractor: rows,
        clusters=lambda extractor, k: kmeans(rows, ids, k, np.random.default_rng(options.seed)),
    )
    view.predictions = lambda: predict(view, rows)
    k = options.b + options.labelled
    lines = []
    if options.strategy == "typiclust":
        found, cost = measure(lambda: kmeans(rows, ids, k, np.random.default_rng(options.seed)))
        view.clusters = lambda extractor, k: found
        root_mean_square = float(np.sqrt((found.distances**2).mean()))
        lines.append({"strategy": "kmeans", **cost, "radius": float(found.distances.max()), "rms": root_mean_square})
        strategy: Strategy = TypiClust(Given(), max_clusters=k)
    else:
        strategy = OTHERS[options.strategy]()
    selection, cost = measure(lambda: strategy.select(view, options.b, np.random.default_rng(options.seed)))
    for line in lines:  # the clusters belong to the work
        cost = {name: max(line[name], cost[name]) if "mib" in name else line[name] + cost[name] for name in cost}
    covered = cover(rows, [int(id) for id in (*selection.ids, *labelled)])
    lines.append({"strategy": options.strategy, **cost, **covered, "different": len(set(selection.ids))})
    print(json.dumps({"version": alkit.__version__, "numpy": np.__version__, "lines": lines}))


def predict(view: Any, rows: npt.NDArray[np.float32]) -> Iterator[Predictions]:
    """Train the classifier of both libraries on the labelled rows, and yield its predictions of the candidates."""
    labelled, candidates = ([int(id) for id in some] for some in (view.labelled, view.candidates))
    model = LogisticRegression(max_iter=200).fit(rows[labelled], classes_of(rows)[labelled])
    probabilities = np.zeros((len(candidates), CLASSES), np.float32)
    probabilities[:, model.classes_] = model.predict_proba(rows[candidates])
    yield Predictions(view.candidates, probabilities)


if __name__ == "__main__":
    main()
