"""As many runs of the ISIC 2017 protocol as the time allows: all methods of one seed, then of the next.

Each finished run writes its rows at once. Of an unfinished run, the finished rounds are read from its record; and its
record stays, so that it continues at its unfinished round.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterator
from pathlib import Path

from benchmarks import (
    arithmetic,  # noqa: F401  # limits torch, so it comes before all modules that import torch
    grid,
    rows,
)
from benchmarks.gpu.bundle import unpack_images
from benchmarks.gpu.machine import facts
from benchmarks.gpu.usage import Usage
from benchmarks.isic2017.protocol import Run
from benchmarks.isic2017.results import Places, read_rows
from benchmarks.isic2017.runs import measure, plan_runs

ORDER = ("ssl-cluster", "random", "dsal", "ceal", "mc-dropout", "ensemble-s", "ensemble-js")
"""First the method that waits for the pretext of the seed, then the others by their time, the shortest first."""

PLAN, ROUNDS = "plan.csv", "rounds.csv"


def places_of(options: argparse.Namespace) -> Places:
    """Return the folders of the images, which are unpacked if necessary, of the rows and of the records."""
    data = options.data if options.data.is_dir() else unpack_images(options.data, options.work / "images")
    return Places(data, options.out / f"isic2017-{options.profile}", options.work / "records")


def run_protocol(options: argparse.Namespace) -> None:
    """Run the methods of each seed, without a warm start of the networks, several at once."""
    methods = [method for method in ORDER if options.methods is None or method in options.methods]
    runs = [Run(method, "scratch", seed) for seed in options.seeds for method in methods]
    places = places_of(options)
    plans = plan_runs(runs, options.profile, places)
    places.records.mkdir(parents=True, exist_ok=True)
    planned = [
        {"record": plan.job.record.name, "method": plan.run.method, "seed": plan.run.seed, "rounds": plan.job.rounds}
        for plan in plans
    ]
    rows.write(places.records / PLAN, planned)
    measure(
        plans,
        options.profile,
        places,
        at_once=options.processes,
        backend="processes",
        device=options.device,
    )


def add_summary(options: argparse.Namespace, seconds: float, usage: Usage) -> None:
    """Write the finished rounds of all runs, and append a row about one call.

    The row tells how much was done until then, in which time, and how busy the device was.
    """
    places, about = places_of(options), facts(options.device)
    done = list(finished_rounds(places.records))
    if done:
        places.out.mkdir(parents=True, exist_ok=True)
        rows.write(places.out / ROUNDS, [{**row, **about} for row in done])
    rows.append(
        options.out / "protocol.csv",
        [{"profile": options.profile, "processes": options.processes, "seconds": round(seconds, 1),
          "runs": len({row.configuration for row in read_rows(places.out)}), "rounds": len(done),
          "utilisation": "" if usage.utilisation is None else usage.utilisation,
          "memory_mib": "" if usage.memory_mib is None else usage.memory_mib, **about}],
    )  # fmt: skip


def finished_rounds(records: Path) -> Iterator[dict[str, object]]:
    """Yield a row for each finished round of the planned runs, those of unfinished runs included."""
    for plan in rows.read(records / PLAN):
        for result in grid.Job(plan["method"], records / plan["record"], int(plan["rounds"])).results():
            yield {
                "method": plan["method"],
                "seed": plan["seed"],
                "round": result.round,
                "labels": result.n_labels,
                "pseudo": result.n_pseudo,
                "dice": round(result.metrics["dice"], 5),
                "iou": round(result.metrics["iou"], 5),
                **{f"{stage}_s": round(result.seconds.get(stage, 0), 2) for stage in ("select", "fit", "evaluate")},
            }
