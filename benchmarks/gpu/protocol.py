"""As many runs of the ISIC 2017 protocol as the time allows: all methods of one seed, then of the next.

Each finished run writes its rows at once, so a stop loses the unfinished runs only; and their records stay, so that
they continue at their unfinished round.
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
from benchmarks.isic2017.protocol import PROFILES, Run
from benchmarks.isic2017.results import Places, read_rows
from benchmarks.isic2017.runs import measure, plan_runs

LONGEST_FIRST = ("ssl-cluster", "ensemble-js", "ensemble-s", "ceal", "mc-dropout", "dsal", "random")
"""The methods by their time; the first one trains the pretext of the seed."""


def places_of(options: argparse.Namespace) -> Places:
    """Return the folders of the images, which are unpacked if necessary, of the rows and of the records."""
    data = options.data if options.data.is_dir() else unpack_images(options.data, options.work / "images")
    return Places(data, options.out / f"isic2017-{options.profile}", options.work / "records")


def run_protocol(options: argparse.Namespace) -> None:
    """Run the methods of each seed, without a warm start of the networks, several at once."""
    methods = [method for method in LONGEST_FIRST if options.methods is None or method in options.methods]
    runs = [Run(method, "scratch", seed) for seed in options.seeds for method in methods]
    places = places_of(options)
    measure(
        plan_runs(runs, options.profile, places),
        options.profile,
        places,
        at_once=options.processes,
        backend="processes",
        device=options.device,
    )


def add_summary(options: argparse.Namespace, seconds: float, usage: Usage) -> None:
    """Append a row about one call: how much was done until then, in which time, and how busy the device was."""
    places = places_of(options)
    finished = {row.configuration for row in read_rows(places.out)}
    rows.append(
        options.out / "protocol.csv",
        [{"profile": options.profile, "processes": options.processes, "seconds": round(seconds, 1),
          "runs": len(finished), "rounds": sum(rounds_in(places.records, options.profile)),
          "utilisation": "" if usage.utilisation is None else usage.utilisation,
          "memory_mib": "" if usage.memory_mib is None else usage.memory_mib, **facts(options.device)}],
    )  # fmt: skip


def rounds_in(records: Path, profile: str) -> Iterator[int]:
    """Yield the number of finished rounds of each record of a profile."""
    for record in sorted(records.glob(f"{profile}-*.db")):
        yield grid.Job(record.stem, record, PROFILES[profile].rounds + 1).rounds_done()
