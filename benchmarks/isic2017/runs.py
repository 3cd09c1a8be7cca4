"""Plan, start and resume the runs of the benchmark.

Each run has its own record. A run whose rows exist is not run again; a run that was stopped, by Ctrl-C or SIGKILL,
resumes at its unfinished round.
"""

from __future__ import annotations

import platform
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from functools import partial

import numpy as np
from rich.table import Table

import alkit
from alkit.report import progress_bar
from benchmarks import arithmetic, grid, rows
from benchmarks.isic2017.protocol import CLASSES, PROFILES, Run, configuration_hash, learner_and_strategy, read_pools
from benchmarks.isic2017.results import Chosen, Environment, Places, Row, add_run, read_rows


@dataclass(frozen=True)
class PlannedRun:
    """A run, the hash of its configuration, the job that computes it, and whether its rows exist."""

    run: Run
    configuration: str
    job: grid.Job
    finished: bool


def plan_runs(runs: Sequence[Run], name: str, places: Places) -> list[PlannedRun]:
    """Return the plan of some runs of a profile. Finished runs are recognised by the hash of their configuration."""
    with progress_bar("decoding") as report:
        pool, test = read_pools(PROFILES[name], places.data, report)
    known = {row.configuration for row in read_rows(places.out)}
    plans = []
    for run in runs:
        profile = PROFILES[name].variant(run.variant)
        configuration = configuration_hash(run, profile, pool, test)
        job = grid.Job(str(run), places.records / f"{name}-{configuration[:16]}.db", profile.rounds + 1)
        plans.append(PlannedRun(run, configuration, job, configuration in known))
    return plans


def describe_plan(plans: Sequence[PlannedRun], measured: Sequence[Row], at_once: int) -> tuple[Table, str]:
    """Return a table of the runs with the time left, estimated from finished runs, and one line with the totals."""
    table = Table()
    for column in ("run", "rounds", "minutes left"):
        table.add_column(column)
    left, unknown = 0.0, 0
    for plan in plans:
        done = plan.job.rounds if plan.finished else plan.job.rounds_done()
        share = 1 - done / plan.job.rounds
        minutes = expected_minutes(plan.run, measured)
        if not plan.finished:
            unknown += minutes is None
            left += share * (minutes or 0)
        table.add_row(
            str(plan.run),
            "done" if plan.finished else f"{done} of {plan.job.rounds}",
            "" if plan.finished else "?" if minutes is None else f"{share * minutes:.0f}",
        )
    todo = sum(not plan.finished for plan in plans)
    more = f"; no estimate for {unknown} of them" if unknown else ""
    return table, f"{len(plans)} runs, {todo} left: about {left / at_once:.0f} minutes with {at_once} at once{more}"


def expected_minutes(run: Run, measured: Sequence[Row]) -> float | None:
    """Return the median time of finished runs of the same arm, else of the same method; None if there are none."""
    for similar in (
        [row for row in measured if (row.method, row.weights, row.variant) == (run.method, run.weights, run.variant)],
        [row for row in measured if row.method == run.method],
    ):
        minutes: dict[str, float] = {}
        for row in similar:
            minutes[row.configuration] = minutes.get(row.configuration, 0) + row.seconds / 60
        if minutes:
            return float(np.median(list(minutes.values())))
    return None


def measure(plans: Sequence[PlannedRun], name: str, places: Places, *, at_once: int, backend: str, device: str) -> None:
    """Run everything that is not finished."""
    left = [plan for plan in plans if not plan.finished]
    commit = rows.commit()  # of the code that is loaded now; commits during the run do not change it
    print(f"{len(plans)} runs, {len(plans) - len(left)} of them done", flush=True)
    grid.run_jobs(
        [plan.job for plan in left],
        partial(play_run, left, name, places, device, commit),
        at_once=at_once,
        backend=backend,
    )


def play_run(
    plans: Sequence[PlannedRun], name: str, places: Places, device: str, commit: str, number: int, parent: int
) -> None:
    """Start or resume one run, and add its rows and choices to the results."""
    import torch

    torch.set_num_threads(1)
    machine = rows.machine(("cuda" if torch.cuda.is_available() else "cpu") if device == "auto" else device)
    plan = plans[number]
    run, profile = plan.run, PROFILES[name].variant(plan.run.variant)
    pool, test = read_pools(profile, places.data)
    oracle = alkit.MaskOracle(str(places.data / "masks"), classes=CLASSES)
    learner, strategy = learner_and_strategy(run, profile, device)
    experiment = alkit.Experiment(pool, learner, strategy, store=plan.job.record, seed=run.seed, wait=600)
    measured: list[Row] = []
    chosen: list[Chosen] = []
    for result in experiment.rounds(
        oracle, test=test, start=profile.start or len(pool.ids), batch=profile.batch, rounds=profile.rounds
    ):
        if grid.parent_is_gone(parent):
            return
        measured.append(
            Row(
                profile=name,
                **asdict(run),
                round=result.round,
                labels=result.n_labels,
                pseudo=result.n_pseudo,
                dice=round(result.metrics["dice"], 5),
                iou=round(result.metrics["iou"], 5),
                member_dice=round(result.metrics.get("member_dice", result.metrics["dice"]), 5),
                seconds=round(sum(result.seconds.values()), 1),
                configuration=plan.configuration,
                commit=commit,
                machine=machine,
            )
        )
        chosen.append(Chosen(**asdict(run), round=result.round, ids=" ".join(result.ids)))
    add_run(places.out, measured, chosen, environment(commit, machine, pool, test))


def environment(commit: str, machine: str, pool: alkit.protocols.Pool, test: alkit.protocols.Pool) -> Environment:
    """Return the versions and settings of this process."""
    import torch

    versions = platform.python_version(), str(torch.__version__), np.__version__
    settings = torch.get_num_threads(), arithmetic.instructions()
    return Environment(commit, machine, *versions, *settings, pool.digest(), test.digest())
