"""Score the pool with baal, and print one line of JSON: the cost, and the scores in the order of the pool.

::

    .peers/bin/python benchmarks/cost/peers/baal_bald.py --weights FILE --n 64 --size 96 --draws 10 --mode memory

Modes: ``memory`` predicts the whole pool, ``(n, classes, h, w, draws)``, and then scores it; ``stream`` scores batch by
batch. Both replicate a batch for all draws and pass it through the network once, which is baal's default;
``memory-loop`` and ``stream-loop`` pass it through the network once per draw.
"""

from __future__ import annotations

import argparse
import importlib.metadata
import json
import logging
import warnings
from pathlib import Path

import structlog
import torch
from meter import measure
from workload import Lesions, Network

warnings.filterwarnings("ignore")  # about deprecations in packages that baal imports
structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(logging.ERROR))  # otherwise it logs to stdout

from baal.active import ActiveLearningDataset  # noqa: E402
from baal.active.heuristics import BALD  # noqa: E402
from baal.bayesian.dropout import patch_module  # noqa: E402
from baal.modelwrapper import ModelWrapper, TrainingArgs  # noqa: E402

MODES = ("memory", "memory-loop", "stream", "stream-loop")


def main() -> None:
    """Score, measure, print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--weights", type=Path, required=True)
    parser.add_argument("--n", type=int, required=True)
    parser.add_argument("--size", type=int, required=True)
    parser.add_argument("--draws", type=int, required=True)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--mode", choices=MODES, default=MODES[0])
    parser.add_argument("--batch", type=int, default=8)
    options = parser.parse_args()
    torch.set_num_threads(1)
    torch.set_num_interop_threads(1)
    torch.manual_seed(options.seed)  # baal draws from torch's global generator

    network = Network()
    network.load_state_dict(torch.load(options.weights, weights_only=True))
    settings = TrainingArgs(
        batch_size=options.batch, use_cuda=False, workers=0, replicate_in_memory=not options.mode.endswith("-loop")
    )
    model = ModelWrapper(patch_module(network), settings)
    pool = ActiveLearningDataset(Lesions(options.n, options.size)).pool
    predict = model.predict_on_dataset if options.mode.startswith("memory") else model.predict_on_dataset_generator
    heuristic = BALD(reduction="mean")

    def score() -> list[float]:
        _, scores = heuristic.get_ranks(predict(pool, options.draws, verbose=False))
        return scores.tolist()

    scores, cost = measure(score)
    report = {
        "version": importlib.metadata.version("baal"),
        "torch": torch.__version__,
        "threads": torch.get_num_threads(),
        **cost,
        "scores": scores,
    }
    print(json.dumps(report))


if __name__ == "__main__":
    main()
