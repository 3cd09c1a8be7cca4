"""Compare the cost of selecting images by their features in alkit and in scikit-activeml, and measure large pools.

::

    python -m benchmarks.cost.selection --peer-python .peers/bin/python --out benchmarks/results/selection.csv
    python -m benchmarks.cost.selection --growth FOLDER --out benchmarks/results/selection.csv

The first command selects images by 128 features, 10 of them labelled, with both libraries, on one thread: 1,000 of
100,000 images, or fewer if the peer needs more memory or time (:data:`SIZES`). Each measurement has its own process,
and the libraries take turns, so that a busy machine slows both. Quote the ratios, not the seconds.
``peers/README.md`` describes how to set up scikit-activeml.

The second command selects 1,000 of up to a million images with 512 features, which are mapped from files in FOLDER
(2 GB for the largest). Work whose row is in the file already is not repeated.

Columns:

- ``strategy``: name of the strategy, or ``kmeans``, which is the part of TypiClust that clusters.
- ``mapped``: whether the features are a memory map.
- ``cpu_s``, with the least and the most of all repeats, and ``wall_s``.
- ``anon_mib`` and ``rss_mib``: peaks of anonymous and of resident memory above the start (the highest of all repeats).
  The features are there before the start. The pages of a memory map that were read are resident, and not anonymous.
- ``cpu_ratio``: CPU seconds divided by those of scikit-activeml.
- ``radius`` and ``mean_distance``: largest and mean distance of an image to the nearest labelled or selected one. For
  ``kmeans``, the largest distance to the centre, and its root mean square.
- ``different``: number of different images that were selected.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from statistics import median
from typing import Any

from benchmarks.cost.scoring import ONE_THREAD, PEERS
from benchmarks.rows import append, commit, machine, read

GROWTH = (10_000, 31_623, 100_000, 316_228, 1_000_000)
"""Numbers of images of the second command."""

SIZES = {
    "k-centre": (100_000, 1000),
    "typiclust": (100_000, 1000),
    "badge": (100_000, 100),
    "maxherding": (5000, 200),
    "probcover": (5000, 200),
}
"""Numbers of images and of selections of the first command. Two peers need a table of all pairs of images."""


def run(command: Sequence[str]) -> dict[str, Any]:
    """Select once, in a new process, and return its line of JSON.

    Raises
    ------
    RuntimeError
        The process failed. The message ends with its error output.
    """
    done = subprocess.run(command, env={**os.environ, **ONE_THREAD}, capture_output=True, text=True, check=False)
    if done.returncode:
        raise RuntimeError(f"{' '.join(command)} ended with {done.returncode}: {done.stderr[-2000:]}")
    result: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return result


def compare(case: Mapping[str, Any], commands: Mapping[str, Sequence[str]], repeat: int) -> list[dict[str, Any]]:
    """Run the command of each library `repeat` times, in turns, and return the rows."""
    results: dict[str, list[dict[str, Any]]] = {library: [] for library in commands}
    for turn in range(repeat):
        order = list(commands)[:: 1 if turn % 2 == 0 else -1]
        for library in order:
            results[library].append(run([*commands[library], "--seed", str(turn)]))
    return rows_of(case, results)


def rows_of(case: Mapping[str, Any], results: Mapping[str, Sequence[Mapping[str, Any]]]) -> list[dict[str, Any]]:
    """Return one row for each library and piece of work; the docstring of the module explains the columns."""
    rows = []
    for library, runs in results.items():
        for lines in zip(*(result["lines"] for result in runs), strict=True):
            middle = {
                name: median(line.get(name, float("nan")) for line in lines) for name in ("cpu_s", "wall_s", "radius")
            }
            peers = [line["cpu_s"] for result in results.get("scikit-activeml", ()) for line in result["lines"]]
            compared = bool(peers) and lines[0]["strategy"] == case["strategy"]
            rows.append(
                {**case, "library": library, "strategy": lines[0]["strategy"],
                 "cpu_s": round(middle["cpu_s"], 3),
                 "cpu_least": round(min(line["cpu_s"] for line in lines), 3),
                 "cpu_most": round(max(line["cpu_s"] for line in lines), 3),
                 "wall_s": round(middle["wall_s"], 3),
                 "anon_mib": round(max(line["anon_mib"] for line in lines), 1),
                 "rss_mib": round(max(line["rss_mib"] for line in lines), 1),
                 "cpu_ratio": round(middle["cpu_s"] / median(peers), 3) if compared else "",
                 "radius": round(middle["radius"], 4),
                 "mean_distance": round(median(line.get("mean_distance", line.get("rms")) for line in lines), 4),
                 "different": min(line.get("different", 0) for line in lines) or "",
                 "repeats": len(runs), "threads": 1, "machine": machine(),
                 "version": runs[0]["version"], "numpy": runs[0]["numpy"], "commit": commit()}
            )  # fmt: skip
    return rows


def case_of(strategy: str, n: int, d: int, b: int, labelled: int, mapped: bool) -> dict[str, Any]:
    """Return the columns that tell what was to be done."""
    return {"strategy": strategy, "n": n, "d": d, "b": b, "labelled": labelled, "mapped": "yes" if mapped else "no"}


def arguments(case: Mapping[str, Any]) -> list[str]:
    """Return the arguments of the scripts for a case."""
    return [part for name in ("strategy", "n", "d", "b", "labelled") for part in (f"--{name}", str(case[name]))]


def is_done(case: Mapping[str, Any], out: Path | None) -> bool:
    """Tell whether the file has a row of the case."""
    rows = read(out) if out else []
    return any(all(row[name] == str(value) for name, value in case.items()) for row in rows)


def format_row(row: Mapping[str, Any]) -> str:
    """Return a row as text."""
    text = (
        "{strategy:10} {n} x {d}, b {b}  {library:15} CPU {cpu_s:8.2f} s ({cpu_least:.2f} to {cpu_most:.2f}), "
        "wall {wall_s:8.2f} s, anonymous {anon_mib:7.1f} MiB, radius {radius}".format(**row)
    )
    return text if row["cpu_ratio"] == "" else f"{text}, CPU x {row['cpu_ratio']}"


def main() -> None:
    """Measure, print and append rows."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--peer-python", help="Python of an environment with scikit-activeml")
    parser.add_argument("--growth", type=Path, help="folder for memory maps: measure growth up to a million images")
    parser.add_argument("--strategies", nargs="+", help="default: all, and for growth k-centre, typiclust")
    parser.add_argument("--n", type=int, nargs="+", help="numbers of images")
    parser.add_argument("--repeat", type=int, default=3)
    parser.add_argument("--out", type=Path, help="CSV file to append to")
    options = parser.parse_args()

    ours = [sys.executable, str(PEERS / "alkit_select.py")]
    for strategy in options.strategies or (("k-centre", "typiclust") if options.growth else SIZES):
        size, batch = SIZES[strategy]
        for n in options.n or (GROWTH if options.growth else (size,)):
            if options.growth:
                case = case_of(strategy, n, d=512, b=1000, labelled=0, mapped=True)
                options.growth.mkdir(parents=True, exist_ok=True)
                commands = {"alkit": [*ours, *arguments(case), "--map", str(options.growth / f"{n}.npy")]}
            else:
                case = case_of(strategy, n, d=128, b=batch, labelled=10, mapped=False)
                commands = {"alkit": [*ours, *arguments(case)]}
                if options.peer_python:
                    script = str(PEERS / "skactiveml_select.py")
                    commands["scikit-activeml"] = [options.peer_python, script, *arguments(case)]
            if is_done(case, options.out):
                continue
            rows = compare(case, commands, options.repeat)
            print("\n".join(map(format_row, rows)), flush=True)
            if options.out:
                append(options.out, rows)


if __name__ == "__main__":
    main()
