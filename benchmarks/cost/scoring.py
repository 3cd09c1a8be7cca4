"""Compare the cost of scoring a pool by BALD over dropout draws in alkit and in baal.

::

    python -m benchmarks.cost.scoring --peer-python .peers/bin/python --out benchmarks/results/scoring.csv

Both libraries score the same images with the same network and weights (``peers/workload.py``), on one thread, and each
measurement has its own process. The processes of a case take turns, so that a busy machine slows all of them; a row has
the medians. The measurement starts when everything is imported and the network is loaded, and ends with one score per
image; no library warms up. ``peers/README.md`` describes how to set up baal, and its modes. Without baal, only alkit is
measured.

Columns:

- ``cpu_s``, with the least and the most of all repeats, and ``wall_s``.
- ``anon_mib`` and ``rss_mib``: peaks of anonymous and of resident memory above the start (the highest of all repeats).
- ``cpu_ratio`` and ``anon_ratio``: CPU seconds and anonymous memory, divided by those of baal's best mode in the case.
- ``spearman``: rank correlation of alkit's scores with baal's over ``spearman_draws`` draws, for the smallest pool. It
  is not 1, because both draw different dropout masks. ``spearman_self``, between baal's scores under two seeds, shows
  the effect of chance alone.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import mean, median
from typing import Any

import torch
from scipy.stats import spearmanr
from torch.nn import functional as F

from alkit.networks import make_network
from alkit.rng import Stream, seed_torch
from benchmarks.cost.peers.workload import Lesions, Network
from benchmarks.rows import append, commit, machine

PEERS = Path(__file__).parent / "peers"
MODES = ("memory", "memory-loop", "stream", "stream-loop")
"""The modes of ``peers/baal_bald.py``. The first is baal's default, the last needs the least memory."""

ONE_THREAD = dict.fromkeys(("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS"), "1")

Cost = Mapping[str, Any]
"""The line of JSON that one measurement prints."""


@dataclass(frozen=True)
class Case:
    """Size of the work: number of images, their height and width in pixels, draws."""

    n: int
    size: int
    draws: int


@dataclass(frozen=True)
class Way:
    """One way to score a pool: a library in one of its modes, and the command that does it."""

    library: str
    mode: str
    batch: str
    command: tuple[str, ...]


OURS = Way("alkit", "", "", (sys.executable, str(PEERS / "alkit_bald.py")))


def baal_way(python: str, mode: str, batch: int) -> Way:
    """Return the way to score with baal in one of its modes, by the Python of its environment."""
    script = str(PEERS / "baal_bald.py")
    return Way("baal", mode, str(batch), (python, script, "--mode", mode, "--batch", str(batch)))


def run(way: Way, case: Case, weights: Path, seed: int) -> Cost:
    """Score once, in a new process.

    Raises
    ------
    RuntimeError
        The process failed. The message ends with its error output.
    """
    case_arguments = ["--n", str(case.n), "--size", str(case.size), "--draws", str(case.draws)]
    done = subprocess.run(
        [*way.command, "--weights", str(weights), *case_arguments, "--seed", str(seed)],
        env={**os.environ, **ONE_THREAD},
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode:
        raise RuntimeError(f"{way.library} {way.mode} on {case} ended with {done.returncode}: {done.stderr[-2000:]}")
    cost: Cost = json.loads(done.stdout.splitlines()[-1])
    return cost


def measure(ways: Sequence[Way], case: Case, weights: Path, repeat: int) -> dict[Way, list[Cost]]:
    """Run each way `repeat` times. The ways take turns, and each turn begins with another one."""
    costs: dict[Way, list[Cost]] = {way: [] for way in ways}
    for turn in range(repeat):
        first = turn % len(ways)
        for way in [*ways[first:], *ways[:first]]:
            costs[way].append(run(way, case, weights, seed=turn))
    return costs


def rows_of(case: Case, costs: Mapping[Way, Sequence[Cost]], agreement: Mapping[str, object]) -> list[dict[str, Any]]:
    """Return one row for each way; the docstring of the module explains the columns."""
    cpu = {way: median(cost["cpu_s"] for cost in some) for way, some in costs.items()}
    anon = {way: max(cost["anon_mib"] for cost in some) for way, some in costs.items()}
    peers = [way for way in costs if way.library != "alkit"]
    best = min(peers, key=cpu.__getitem__, default=None)
    rows = []
    for way, some in costs.items():
        rows.append(
            {"n": case.n, "size": case.size, "draws": case.draws,
             "library": way.library, "mode": way.mode, "batch": way.batch,
             "cpu_s": round(cpu[way], 3),
             "cpu_least": round(min(cost["cpu_s"] for cost in some), 3),
             "cpu_most": round(max(cost["cpu_s"] for cost in some), 3),
             "wall_s": round(median(cost["wall_s"] for cost in some), 3),
             "anon_mib": round(anon[way], 1),
             "rss_mib": round(max(cost["rss_mib"] for cost in some), 1),
             "cpu_ratio": "" if best is None else round(cpu[way] / cpu[best], 3),
             "anon_ratio": "" if best is None else round(anon[way] / anon[best], 3),
             **agreement,
             "repeats": len(some), "threads": some[0]["threads"], "machine": machine(),
             "version": some[0]["version"], "torch": some[0]["torch"], "commit": commit()}
        )  # fmt: skip
    return rows


NO_AGREEMENT = {"spearman": "", "spearman_self": "", "spearman_draws": ""}


def agreement(way: Way, peer: Way, case: Case, weights: Path) -> dict[str, object]:
    """Return the rank correlation of the scores of a way and a peer, and of the peer under two seeds."""
    ours, theirs = ([run(one, case, weights, seed)["scores"] for seed in (0, 1)] for one in (way, peer))
    between = mean(rank_correlation(a, b) for a in ours for b in theirs)
    return {
        "spearman": round(between, 3),
        "spearman_self": round(rank_correlation(*theirs), 3),
        "spearman_draws": case.draws,
    }


def rank_correlation(a: Sequence[float], b: Sequence[float]) -> float:
    """Return Spearman's rank correlation, in [-1, 1].

    >>> round(rank_correlation([1, 2, 3], [10, 20, 300]), 6)
    1.0
    """
    return float(spearmanr(a, b).statistic)


def train_network(size: int, steps: int) -> Network:
    """Return the network, trained on images that are not in the pool, so that the scores of images differ."""
    network = make_network(Network, in_channels=3, classes=2, stream=Stream(0)).train()
    optimizer = torch.optim.Adam(network.parameters(), lr=3e-3)
    images = Lesions(8 * steps, size, seed=1)
    with seed_torch(Stream(0).child("dropout")):
        for step in range(steps):
            shown, masks = zip(*(images[8 * step + i] for i in range(8)), strict=True)
            optimizer.zero_grad()
            F.cross_entropy(network(torch.stack(shown)), torch.stack(masks)).backward()
            optimizer.step()
    return network


def format_rows(rows: Sequence[Mapping[str, Any]]) -> str:
    """Return the rows of one case as text."""
    head = "{n} images of {size} x {size}, {draws} draws".format(**rows[0])
    lines = [
        "  {library:5} {mode:11}  CPU {cpu_s:8.2f} s ({cpu_least:.2f} to {cpu_most:.2f}), wall {wall_s:8.2f} s, "
        "anonymous {anon_mib:7.1f} MiB, resident {rss_mib:7.1f} MiB".format(**row)
        + ("" if row["cpu_ratio"] == "" else "; of baal's best: CPU x {cpu_ratio}, memory x {anon_ratio}".format(**row))
        for row in rows
    ]
    return "\n".join([head, *lines])


def main() -> None:
    """Measure, print and append rows."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--peer-python", help="Python of an environment with baal")
    parser.add_argument("--n", type=int, nargs="+", default=[64, 256])
    parser.add_argument("--size", type=int, default=96)
    parser.add_argument("--draws", type=int, nargs="+", default=[10, 40])
    parser.add_argument("--repeat", type=int, default=5)
    parser.add_argument("--modes", nargs="+", choices=MODES, default=list(MODES))
    parser.add_argument("--batch", type=int, default=8, help="images in a batch of baal; alkit chooses its own size")
    parser.add_argument("--steps", type=int, default=30, help="training steps before scoring")
    parser.add_argument("--agreement-draws", type=int, default=100)
    parser.add_argument("--out", type=Path, help="CSV file to append to")
    options = parser.parse_args()

    torch.set_num_threads(1)
    ways = [OURS]
    if options.peer_python:
        ways += [baal_way(options.peer_python, mode, options.batch) for mode in options.modes]
    with tempfile.TemporaryDirectory() as folder:
        weights = Path(folder) / "weights.pt"
        torch.save(train_network(options.size, options.steps).state_dict(), weights)
        agreed = NO_AGREEMENT
        if options.peer_python:  # comes first, because it shows at once whether both sides run
            least = baal_way(options.peer_python, MODES[-1], options.batch)
            agreed = agreement(OURS, least, Case(min(options.n), options.size, options.agreement_draws), weights)
            print("rank correlation over {spearman_draws} draws: alkit and baal {spearman}, "
                  "baal under two seeds {spearman_self}".format(**agreed), flush=True)  # fmt: skip
        for case in (Case(n, options.size, draws) for n in options.n for draws in options.draws):
            costs = measure(ways, case, weights, options.repeat)
            rows = rows_of(case, costs, agreed if case.n == min(options.n) else NO_AGREEMENT)
            print(format_rows(rows), flush=True)
            if options.out:
                append(options.out, rows)


if __name__ == "__main__":
    main()
