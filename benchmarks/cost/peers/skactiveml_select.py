"""Select images with scikit-activeml, and print one line of JSON: the cost, and how well the selection covers.

::

    .peers/bin/python benchmarks/cost/peers/skactiveml_select.py --strategy typiclust --n 100000 --d 128 --b 1000
"""

from __future__ import annotations

import argparse
import json
import warnings
from functools import partial
from importlib.metadata import version

import numpy as np
import sklearn.cluster  # noqa: F401  imports are not measured
from meter import measure
from skactiveml import pool
from skactiveml.classifier import SklearnClassifier
from skactiveml.utils import MISSING_LABEL
from sklearn.linear_model import LogisticRegression
from tables import CLASSES, classes_of, cover, draw_labelled, make_rows

STRATEGIES = {
    "typiclust": pool.TypiClust,
    "k-centre": pool.CoreSet,
    "maxherding": pool.MaxHerding,
    "probcover": partial(pool.ProbCover, n_classes=CLASSES),
    "badge": pool.Badge,
}


def main() -> None:
    """Select, measure, print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--strategy", choices=list(STRATEGIES), required=True)
    parser.add_argument("--n", type=int, required=True)
    parser.add_argument("--d", type=int, required=True)
    parser.add_argument("--b", type=int, required=True)
    parser.add_argument("--labelled", type=int, default=10)
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    warnings.filterwarnings("ignore")
    rows = make_rows(options.n, options.d, options.seed)
    labelled = draw_labelled(options.n, options.labelled, options.seed)
    labels = np.full(options.n, MISSING_LABEL)
    labels[labelled] = classes_of(rows)[labelled]
    model = SklearnClassifier(LogisticRegression(max_iter=200), classes=list(range(CLASSES)))
    needed = {"clf": model} if options.strategy == "badge" else {}
    strategy = STRATEGIES[options.strategy](random_state=options.seed)
    chosen, cost = measure(lambda: strategy.query(X=rows, y=labels, batch_size=options.b, **needed))
    picked = np.asarray(chosen).tolist()
    line = {"strategy": options.strategy, **cost, **cover(rows, [*picked, *labelled]), "different": len(set(picked))}
    print(json.dumps({"version": version("scikit-activeml"), "numpy": np.__version__, "lines": [line]}))


if __name__ == "__main__":
    main()
