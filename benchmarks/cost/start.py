"""Time of ``alkit start`` on a folder of images, beside that of an earlier commit.

::

    git worktree add ../former a13fe5f
    python -m benchmarks.cost.start --images DIR --former ../former --out benchmarks/results/start.csv

Each run is a process of its own with an empty cache, so that it decodes all images, and computes with one thread. The
two commits take turns, after a pair that is not counted and fills the caches of the files.

Columns: number of images; ``cpu_s``, CPU seconds of the command and of the process that decodes images for it;
``wall_s``; both for the former commit; ``cpu_ratio`` and ``wall_ratio``, medians of the ratios of former to present;
and ``load``, the mean number of processes that wanted to run. ``wall_s`` is long if it is above the number of cores.
"""

from __future__ import annotations

import argparse
import os
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from statistics import mean, median

from benchmarks.rows import append, commit, machine

ROOT = Path(__file__).parents[2]


def run(tree: Path, images: Path) -> tuple[float, float]:
    """Start a campaign with the alkit of a tree, and return the seconds of CPU and of the clock."""
    with tempfile.TemporaryDirectory() as folder:
        places = os.pathsep.join([str(tree), str(tree / "plugins" / "baselines")])
        environment = {**os.environ, "PYTHONPATH": places, "OMP_NUM_THREADS": "1", "ALKIT_CACHE": f"{folder}/cache"}
        command = [sys.executable, "-m", "alkit", "start", f"{folder}/record.db", "--images", str(images)]
        command += ["--classes", "skin,lesion", "--size", "256", "--threads", "1"]
        before, begun = resource.getrusage(resource.RUSAGE_CHILDREN), time.perf_counter()
        subprocess.run(command, cwd=folder, env=environment, stdout=subprocess.DEVNULL, check=True)
        wall, after = time.perf_counter() - begun, resource.getrusage(resource.RUSAGE_CHILDREN)
    return after.ru_utime - before.ru_utime + after.ru_stime - before.ru_stime, wall


def main() -> None:
    """Measure, print and append a row."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--images", type=Path, required=True, help="folder of images")
    parser.add_argument("--former", type=Path, required=True, help="folder of another commit")
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--out", type=Path, help="CSV file to append to")
    options = parser.parse_args()
    images, former = options.images.resolve(), options.former.resolve()
    pairs, loads = [], []
    for turn in range(options.repeats + 1):
        pair = run(former, images), run(ROOT, images)
        loads.append(os.getloadavg()[0])
        print(*(f"CPU {cpu:.2f} s, {wall:.2f} s in all" for cpu, wall in pair), sep=" | ", flush=True)
        if turn:
            pairs.append(pair)
    row = {
        "images": sum(path.is_file() for path in images.rglob("*")),
        "cpu_s": round(median(now[0] for _, now in pairs), 2),
        "wall_s": round(median(now[1] for _, now in pairs), 2),
        "former_cpu_s": round(median(then[0] for then, _ in pairs), 2),
        "former_wall_s": round(median(then[1] for then, _ in pairs), 2),
        "cpu_ratio": round(median(then[0] / now[0] for then, now in pairs), 3),
        "wall_ratio": round(median(then[1] / now[1] for then, now in pairs), 3),
        "load": round(mean(loads), 1),
        "repeats": options.repeats,
        "machine": machine(),
        "former": commit(former),
        "commit": commit(),
    }
    print(*row.values())
    if options.out:
        append(options.out, [row])


if __name__ == "__main__":
    main()
