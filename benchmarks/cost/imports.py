"""Compare the cost of importing what trains with that of importing torch.

::

    python -m benchmarks.cost.imports --out benchmarks/results/imports.csv

Each import has a process of its own, on one thread, and the imports take turns. A row has the medians of what the
process took in all, Python itself included: ``cpu_s``, seconds of the processor; ``peak_mib``, its largest memory; and
both as a ratio to those of ``import torch``. The training is one epoch on four images, with what it imports. Every
training imports what one step of an optimizer of torch does: torch's compiler. The first round asks, trains, measures
and records. It needs Linux.
"""

from __future__ import annotations

import argparse
import os
import statistics
import subprocess
import sys
from importlib.metadata import version
from pathlib import Path

from benchmarks.rows import append, commit, machine

WORKS = {
    "import torch": "import torch",
    "a step of torch": (
        "import torch; layer = torch.nn.Linear(2, 2); optimizer = torch.optim.Adam(layer.parameters());"
        "layer(torch.ones(1, 2)).sum().backward(); optimizer.step()"
    ),
    "import alkit": "import alkit",
    "what trains": "import alkit; alkit.SegmentationLearner, alkit.ClassificationLearner, alkit.Ensemble, alkit.UNet",
    "an experiment": "import alkit; alkit.Experiment, alkit.SegmentationLearner, alkit.MaskOracle, alkit.strategy",
    "a training": (
        "import alkit, functools, numpy; from benchmarks.cost.training import Labels;"
        "images, masks = alkit.synthetic.lesions(4, size=16);"
        "network = functools.partial(alkit.UNet, widths=(2, 4));"
        "learner = alkit.SegmentationLearner(network, epochs=(1, 1), device='cpu');"
        "learner.fit(Labels(alkit.ArrayPool(images), masks), numpy.random.default_rng(0))"
    ),
    "a first round": (
        "import alkit, functools, tempfile;"
        "images, masks = alkit.synthetic.lesions(8, size=16);"
        "pool, test = alkit.ArrayPool(images).split(test=4, seed=0);"
        "oracle = alkit.MaskOracle({f'{row:04}': mask for row, mask in enumerate(masks)}, classes=('skin', 'lesion'));"
        "network = functools.partial(alkit.UNet, widths=(2, 4));"
        "learner = alkit.SegmentationLearner(network, epochs=(1, 1), device='cpu');"
        "folder = tempfile.TemporaryDirectory();"
        "experiment = alkit.Experiment(pool, learner, alkit.strategy('random'), store=folder.name + '/r.db');"
        "experiment.run(oracle, test=test, start=4, batch=1, rounds=0)"
    ),
}
"""The code of each process, by what the rows say."""

USAGE = """
import resource
used = resource.getrusage(resource.RUSAGE_SELF)
with open("/proc/self/status") as file:  # the memory in `used` counts that of the process that started this one
    memory = next(int(line.split()[1]) for line in file if line.startswith("VmHWM"))
print(used.ru_utime + used.ru_stime, memory / 2**10)
"""


def cost(code: str) -> tuple[float, float]:
    """Run code in a new process, and return its seconds of the processor and its largest memory in MiB."""
    command = [sys.executable, "-c", f"{code}\n{USAGE}"]
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    said = subprocess.run(command, env=environment, capture_output=True, text=True, check=True).stdout
    seconds, memory = map(float, said.splitlines()[-1].split())
    return seconds, memory


def main() -> None:
    """Measure, print and append rows."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--works", nargs="+", choices=WORKS, default=list(WORKS))
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--out", type=Path, help="CSV file to append to")
    options = parser.parse_args()
    works = list(dict.fromkeys(["import torch", *options.works]))
    found: dict[str, list[tuple[float, float]]] = {work: [] for work in works}
    for turn in range(options.repeats + 1):  # the first turn fills the caches of the files
        for work in works:
            costs = cost(WORKS[work])
            if turn:
                found[work].append(costs)
    medians = {
        work: [statistics.median(column) for column in zip(*costs, strict=True)] for work, costs in found.items()
    }
    seconds, memory = medians["import torch"]
    rows = [
        {"work": work, "cpu_s": round(own_seconds, 2), "peak_mib": round(own_memory),
         "cpu_ratio": round(own_seconds / seconds, 3), "memory_ratio": round(own_memory / memory, 3),
         "repeats": options.repeats, "threads": 1, "machine": machine(), "torch": version("torch"), "commit": commit()}
        for work, (own_seconds, own_memory) in medians.items()
    ]  # fmt: skip
    for row in rows:
        print("{work:15} CPU {cpu_s} s (x {cpu_ratio}), {peak_mib} MiB (x {memory_ratio})".format(**row), flush=True)
    if options.out:
        append(options.out, rows)


if __name__ == "__main__":
    main()
