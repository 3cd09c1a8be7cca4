"""Compare strategies that choose the first labels.

::

    python -m benchmarks.cold_start --data DIR
    python -m benchmarks.cold_start --report

``DIR`` has a folder for each data set: ``isic2017``, ``dsb2018-nuclei`` and ``msd-hippocampus``. Maps and features are
computed once into the cache. Runs whose rows exist are not run again, and strategies that are not installed are left
out. Processes with different ``--sets`` can run side by side. Needs the extras ``benchmarks`` and ``pretrained``.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import torch

from alkit._files import cache_folder
from benchmarks.cold_start.data import READERS, read
from benchmarks.cold_start.features import features_of
from benchmarks.cold_start.maps import maps_of, pretrained_network
from benchmarks.cold_start.protocol import BUDGETS, CHOOSE, CONFIRM, FEATURES, arms
from benchmarks.cold_start.runs import FOLDER, installed_strategies, measure
from benchmarks.cold_start.tables import tables_in
from benchmarks.terminal import start


def main() -> None:
    """Run the command."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, help="folder of the data sets")
    parser.add_argument("--sets", nargs="+", choices=READERS, default=list(READERS))
    parser.add_argument("--features", nargs="+", choices=FEATURES, default=list(FEATURES))
    parser.add_argument("--seeds", nargs="+", type=int, default=[*CHOOSE, *CONFIRM])
    parser.add_argument("--cache", type=Path, help="folder of maps and features (default: alkit's cache)")
    parser.add_argument("--out", type=Path, default=FOLDER, help="folder of the rows, a file for each data set")
    parser.add_argument("--report", action="store_true", help="only write the tables from the rows")
    options = parser.parse_args()
    if not options.report:
        if options.data is None:
            parser.error("the runs need the images: add --data DIR, or --report to write the tables")
        run(options)
    for name, table in tables_in(options.out).items():
        (options.out / f"{name}.md").write_text(f"{table.caption}\n\n{table.markdown()}\n")


def run(options: argparse.Namespace) -> None:
    """Run everything that has no rows."""
    torch.set_num_threads(1)
    cache = options.cache or cache_folder() / "cold_start"
    known = installed_strategies()
    own = [arm for arm in arms() if arm.strategy in known and arm.features in ("none", *options.features)]
    for name in options.sets:
        data = read(name, options.data)
        maps = maps_of(data, pretrained_network(), cache)
        tables = {features: features_of(data, features, cache) for features in options.features}
        wanted = [(arm, seed, labels) for seed in options.seeds for arm in own for labels in BUDGETS]
        measure(data, maps, tables, options.out / f"{name}.csv", wanted)


if __name__ == "__main__":
    start(main)
