"""Score the pool with alkit, and print one line of JSON: the cost, and the scores in the order of the pool.

::

    python benchmarks/cost/peers/alkit_bald.py --weights FILE --n 64 --size 96 --draws 10

It does the same as a strategy's ``view.scores(alkit.scores.bald, alkit.Dropout(10))``.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path

import torch
from meter import measure
from workload import Lesions, Network

import alkit
from alkit.learners import NetworkPredictor
from alkit.rng import Stream
from alkit.scores import Scoring


def main() -> None:
    """Score, measure, print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--weights", type=Path, required=True)
    parser.add_argument("--n", type=int, required=True)
    parser.add_argument("--size", type=int, required=True)
    parser.add_argument("--draws", type=int, required=True)
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    torch.set_num_threads(1)
    torch.set_num_interop_threads(1)

    network = Network()
    network.load_state_dict(torch.load(options.weights, weights_only=True))
    learner = alkit.SegmentationLearner(Network, device="cpu")
    predictor = learner.loads(NetworkPredictor(network, 3, 2).dumps())  # as an experiment reads its model
    pool = alkit.DatasetPool(Lesions(options.n, options.size), ids=[f"{row:06}" for row in range(options.n)])
    scoring = Scoring(pool, predictor, Stream(options.seed))
    sampler = alkit.Dropout(options.draws)

    scores, cost = measure(lambda: scoring.scores(pool.ids, alkit.scores.bald, sampler))
    report = {
        "version": alkit.__version__,
        "torch": torch.__version__,
        "threads": torch.get_num_threads(),
        **cost,
        "scores": [scores[id] for id in pool.ids],
    }
    print(json.dumps(report))


if __name__ == "__main__":
    main()
