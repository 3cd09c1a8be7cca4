"""The protocol of "Self-supervised Assisted Active Learning for Skin Lesion Segmentation" (EMBC 2022) on ISIC 2017.

Each run, a method with one kind of initial weights and one seed, is independent and has a record of its own; runs go
side by side in processes of one thread, or on Ray. What is among the results is not run again; a run that was stopped,
by Ctrl-C or by SIGKILL, goes on at its unfinished round.

    python benchmarks/isic2017.py --figure 2 --data DIR --seeds 0 1 2 3 4    # also --table 1, --table 2, --all
    python benchmarks/isic2017.py --all --data DIR --dry-run                 # what is done, what is left, how long
    python benchmarks/isic2017.py --report                                   # figures and tables, from the rows alone

Choices of this project where the paper is silent (more in the docstrings of alkit.SegmentationLearner and
alkit.Reconstruction): images are squashed to the working size, grayscale, min-max scaled each; the split is a
committed list; all methods of a seed share the network's initial weights (of an ensemble the first member does), and
all but SSL-cluster the start set; "pretext" arms start the network from the pretext's weights, all but the output
layers'. DSAL's network has heads of deep supervision besides. The pretext is trained once a seed. All runs on CPUs use
the same vector instructions (see arithmetic.py).
"""

from __future__ import annotations

import argparse
import hashlib
import json
import platform
import sys
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass, replace
from functools import partial
from pathlib import Path

import arithmetic  # before what imports torch
import grid
import numpy as np
import rows
from filelock import FileLock
from isic_archive import fetch
from rich.console import Console
from rich.table import Table

import alkit
from alkit._files import cache_folder
from alkit.configuration import former, written
from alkit.errors import AlkitError, ConfigurationError
from alkit.networks import DEEP_SUPERVISION
from alkit.report import progress_bar
from alkit.values import Report, quiet

HERE = Path(__file__).parent
SPLIT = HERE / "isic2017_split.json"
ROWS, CHOICES, ENVIRONMENTS = "rows.csv", "choices.csv", "environments.csv"
OTHER = "rows-avx512.csv"
"""Runs that were measured with wider instructions than arithmetic.py allows, and are compared among themselves."""
DOWNLOADED = Path("data/isic2017")
METHODS = ("random", "ssl-cluster", "ensemble-s", "ensemble-js", "mc-dropout", "ceal", "dsal")
COMPOSED = ("ssl-entropy", "power-bald")
CONTROL = "ensemble-random"
"""What five networks give whatever is labelled."""
BEYOND = (*COMPOSED, CONTROL)
WEIGHTS = ("scratch", "pretext")
ONE_START = (("random", "mc-dropout", "ceal", *COMPOSED), ("ensemble-s", "ensemble-js", CONTROL))
"""The methods of a group share the start set and train the same networks on it: their round 0 is one and the same."""
MEMBERS = 5  # of an ensemble
POOL = 1600  # images of the split that may be labelled


@dataclass(frozen=True)
class Profile:
    """The protocol's numbers. The defaults are the paper's, but `lr` and `pretext_epochs`, which it does not give."""

    size: int = 256
    widths: tuple[int, ...] = (32, 64, 128, 256, 512)
    start: int | None = 300  # None: the whole pool
    batch: int = 35
    rounds: int = 9
    epochs: tuple[int, int] = (10, 2)
    lr: float = 1e-4
    pretext_epochs: int = 100
    clusters: int = 10
    pooling: int = 2
    pool: int | None = None  # so many images of the split's pool and test set; None for all
    test: int | None = None

    def network(self) -> partial[alkit.UNet]:
        """Return the network factory of learner and pretext."""
        return partial(alkit.UNet, widths=self.widths)

    def variant(self, name: str) -> Profile:
        """Return what a variant of :data:`VARIANTS` makes of this profile."""
        return replace(self, **VARIANTS[name](self))


def _whole_pool(profile: Profile, epochs: float) -> dict[str, object]:
    return {"start": None, "rounds": 0, "epochs": (max(1, round(epochs)), 1)}


def _epochs(profile: Profile) -> int:
    """Return how many epochs the protocol trains altogether."""
    return profile.epochs[0] + profile.rounds * profile.epochs[1]


def _epochs_of_equal_steps(profile: Profile) -> float:
    """Return the epochs over the whole pool in which as many images are seen as in the protocol's."""
    assert profile.start
    seen = profile.start * profile.epochs[0] + sum(
        (profile.start + number * profile.batch) * profile.epochs[1] for number in range(1, profile.rounds + 1)
    )
    return seen / (profile.pool or POOL)


VARIANTS = {
    "": lambda profile: {},
    "k5-1x1": lambda profile: {"clusters": 5, "pooling": 1},
    "k5-2x2": lambda profile: {"clusters": 5},
    "k10-1x1": lambda profile: {"pooling": 1},
    "lr-1e-3": lambda profile: {"lr": 1e-3},
    "epochs-x2": lambda profile: {"epochs": tuple(2 * epochs for epochs in profile.epochs)},
    "full": lambda profile: _whole_pool(profile, _epochs(profile)),
    "full-equal-steps": lambda profile: _whole_pool(profile, _epochs_of_equal_steps(profile)),
}
"""What differs from the protocol, by name: fields of the profile.

Table II's numbers of clusters and of features; the two choices of ours that matter most; and the ceiling, all labels
at once, with the protocol's epochs and with as many images seen as in the protocol's steps, to the nearest epoch.
"""

PROFILES = {
    "paper": Profile(),
    "small": Profile(size=64, widths=(8, 16, 32, 64, 128)),
    "smoke": Profile(
        size=32, widths=(4, 8, 16, 16), start=12, batch=6, rounds=2, pretext_epochs=2, clusters=4, pool=48, test=16
    ),
}


@dataclass(frozen=True)
class Run:
    """One method with one kind of initial weights, one variant of the protocol, and one seed."""

    method: str
    weights: str
    seed: int
    variant: str = ""

    def __str__(self) -> str:
        return " ".join(part for part in (self.method, self.weights, self.variant, f"seed {self.seed}") if part)


Arm = tuple[str, str, str]
"""Method, initial weights, variant."""

PARTS: dict[str, list[Arm]] = {
    "figure 2": [(method, weights, "") for weights in WEIGHTS for method in METHODS],
    "table 1": [(method, weights, "") for weights in WEIGHTS for method in METHODS[:2]],
    "table 2": [
        ("random", "scratch", ""),
        *(("ssl-cluster", "scratch", variant) for variant in ("k5-1x1", "k5-2x2", "k10-1x1", "")),
    ],
    "ceiling": [("random", weights, variant) for weights in WEIGHTS for variant in ("full", "full-equal-steps")],
    "sensitivity": [(method, "scratch", variant) for variant in ("lr-1e-3", "epochs-x2") for method in METHODS[:2]],
    "beyond": [(method, "scratch", "") for method in BEYOND],
}
"""What there is to run, by what it is for."""


@dataclass(frozen=True)
class Row:
    """One measured round."""

    profile: str
    method: str
    weights: str
    variant: str
    seed: int
    round: int
    labels: int
    pseudo: int  # pseudo-labels trained on besides
    dice: float
    iou: float
    member_dice: float  # mean over the members of an ensemble; the same as dice where there is one model
    seconds: float
    configuration: str
    commit: str
    machine: str


@dataclass(frozen=True)
class Chosen:
    """The images a run asked for in one round, in the order of its choice."""

    method: str
    weights: str
    variant: str
    seed: int
    round: int
    ids: str  # with spaces between


@dataclass(frozen=True)
class Environment:
    """What the runs of one commit on one machine were computed with."""

    commit: str
    machine: str
    python: str
    torch: str
    numpy: str
    threads: int
    instructions: str
    pool: str  # digests of the images at the working size
    test: str


@dataclass(frozen=True)
class Places:
    """Where things are: images and masks, results, and the runs' records."""

    data: Path
    out: Path
    records: Path


def main(arguments: Sequence[str] | None = None) -> None:
    """Do what the command line says."""
    options = command_line(arguments)
    out = options.out or HERE / "results" / f"isic2017-{options.profile}"
    if not options.report:
        places = Places(images_of(options), out, options.records)
        plans = planned(runs_of(options), options.profile, places)
        if options.dry_run:
            Console().print(*plan(plans, read_rows(out), options.jobs), *disagreements(out))
            return
        measure(plans, options.profile, places, options)
    from isic2017_report import draw_map, write  # which asks this module what there is

    if options.map:
        draw_map(out, options.profile, options.data)
    write(out, options.profile, options.data)
    print(f"figures, tables and report.html are in {out}", *disagreements(out), sep="\n")


def images_of(options: argparse.Namespace) -> Path:
    """Return the folder of the images; they are downloaded to where runs without --data look, but for a dry run."""
    if options.data:
        return Path(options.data)
    if options.dry_run and not (DOWNLOADED / "images").is_dir():
        raise ConfigurationError(
            "what is done is told by the images' digests, and a dry run downloads nothing", hint="--data DIR"
        )
    with progress_bar("downloading") as show:
        return fetch(DOWNLOADED, size=PROFILES[options.profile].size, report=show)


def command_line(arguments: Sequence[str] | None) -> argparse.Namespace:
    """Parse the command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    what = parser.add_argument_group("what to run (default: figure 2)")
    what.add_argument("--figure", nargs="+", type=int, choices=[2], default=[])
    what.add_argument("--table", nargs="+", type=int, choices=[1, 2], default=[])
    for part in ("ceiling", "sensitivity", "beyond"):
        what.add_argument(f"--{part}", action="store_true")
    what.add_argument("--all", action="store_true")
    what.add_argument("--methods", nargs="+", choices=[*METHODS, *BEYOND], help="of these, the arms of some methods")
    what.add_argument("--weights", nargs="+", choices=WEIGHTS, default=list(WEIGHTS))
    what.add_argument("--seeds", nargs="+", type=at_least(0), default=[0, 1, 2])
    what.add_argument("--profile", choices=PROFILES, default="small")
    how = parser.add_argument_group("how")
    how.add_argument(
        "--data", type=Path, help="folder with images/ and masks/; default: download the official archives"
    )
    how.add_argument("--out", type=Path, help="folder of the results (default: benchmarks/results/isic2017-PROFILE)")
    how.add_argument("--records", type=Path, default=Path("runs/isic2017"), help="folder of the runs' records")
    how.add_argument("--jobs", type=at_least(1), default=2, help="runs side by side, each on one thread")
    how.add_argument("--backend", choices=grid.BACKENDS, default="processes")
    how.add_argument("--device", default="auto")
    how.add_argument("--dry-run", action="store_true", help="show what is done and what is left, and stop")
    how.add_argument("--report", action="store_true", help="draw figures and tables from the results, and stop")
    how.add_argument("--map", action="store_true", help="with --report --data: lay out the clusters anew, for the page")
    options = parser.parse_args(arguments)
    if options.map and options.data is None:
        parser.error("--map needs the images: --data DIR")
    if not options.report and not runs_of(options):
        parser.error("no arm of what is asked for has these methods and weights: see PARTS")
    return options


def at_least(least: int) -> Callable[[str], int]:
    """Return what reads a whole number from the command line that is not below `least`."""

    def whole_number(text: str) -> int:
        if (number := int(text)) < least:
            raise argparse.ArgumentTypeError(f"{number} is below {least}")
        return number

    return whole_number


def runs_of(options: argparse.Namespace) -> list[Run]:
    """Return the runs that the command line asks for, each once; seeds vary fastest.

    So runs side by side train different pretexts rather than wait for one.
    """
    names = [f"figure {number}" for number in options.figure] + [f"table {number}" for number in options.table]
    names += [name for name in ("ceiling", "sensitivity", "beyond") if getattr(options, name)]
    default = ["figure 2", "beyond"] if options.methods else ["figure 2"]
    arms = [arm for name in (PARTS if options.all else names or default) for arm in PARTS[name]]
    return [
        Run(method, weights, seed, variant)
        for method, weights, variant in dict.fromkeys(arms)
        if weights in options.weights and (options.methods is None or method in options.methods)
        for seed in options.seeds
    ]


@dataclass(frozen=True)
class Planned:
    """A run that is to be made or has been: its configuration's hash, and the job that makes it."""

    run: Run
    configuration: str
    job: grid.Job
    finished: bool


def planned(runs: Sequence[Run], name: str, places: Places) -> list[Planned]:
    """Return what is to be made of the runs; those whose rows are there, by configuration, are finished."""
    with progress_bar("decoding") as show:
        pool, test = pools(PROFILES[name], places.data, show)
    known = {row.configuration for row in read_rows(places.out)}
    plans = []
    for run in runs:
        profile = PROFILES[name].variant(run.variant)
        hashed = configuration(run, profile, pool, test)
        job = grid.Job(str(run), places.records / f"{name}-{hashed[:16]}.db", profile.rounds + 1)
        plans.append(Planned(run, hashed, job, hashed in known))
    return plans


def plan(plans: Sequence[Planned], measured: Sequence[Row], at_once: int) -> tuple[Table, str]:
    """Return what is done, what is left and how long that may take by the finished runs: a table and its sum."""
    table = Table()
    for column in ("run", "rounds", "minutes left"):
        table.add_column(column)
    left, unknown = 0.0, 0
    for entry in plans:
        done = entry.job.rounds if entry.finished else entry.job.done()
        share = 1 - done / entry.job.rounds
        minutes = expected_minutes(entry.run, measured)
        if not entry.finished:
            unknown += minutes is None
            left += share * (minutes or 0)
        table.add_row(
            str(entry.run),
            "done" if entry.finished else f"{done} of {entry.job.rounds}",
            "" if entry.finished else "?" if minutes is None else f"{share * minutes:.0f}",
        )
    todo = sum(not entry.finished for entry in plans)
    more = f", and {unknown} that nothing is known of" if unknown else ""
    return table, f"{len(plans)} runs, {todo} left: about {left / at_once:.0f} minutes, {at_once} at once{more}"


def expected_minutes(run: Run, measured: Sequence[Row]) -> float | None:
    """Return the median time of finished runs of the same arm, or else of the same method; None where there is none."""
    for alike in (
        [row for row in measured if (row.method, row.weights, row.variant) == (run.method, run.weights, run.variant)],
        [row for row in measured if row.method == run.method],
    ):
        times: dict[str, float] = {}
        for row in alike:
            times[row.configuration] = times.get(row.configuration, 0) + row.seconds / 60
        if times:
            return float(np.median(list(times.values())))
    return None


def measure(plans: Sequence[Planned], name: str, places: Places, options: argparse.Namespace) -> None:
    """Make the runs that are left."""
    left = [entry for entry in plans if not entry.finished]
    commit = rows.commit()  # of the code that is loaded now, whatever is committed while it runs
    print(f"{len(plans)} runs, {len(plans) - len(left)} of them done", flush=True)
    grid.play(
        [entry.job for entry in left],
        partial(make, left, name, places, options.device, commit),
        at_once=options.jobs,
        backend=options.backend,
    )


def make(
    plans: Sequence[Planned], name: str, places: Places, device: str, commit: str, number: int, parent: int
) -> None:
    """Play one run through, or go on with it, and add its rows and choices to the results."""
    import torch

    torch.set_num_threads(1)
    machine = rows.machine(("cuda" if torch.cuda.is_available() else "cpu") if device == "auto" else device)
    entry = plans[number]
    run, profile = entry.run, PROFILES[name].variant(entry.run.variant)
    pool, test = pools(profile, places.data)
    oracle = alkit.MaskOracle(str(places.data / "masks"), classes=("skin", "lesion"))
    learner, strategy = parts(run, profile, device)
    experiment = alkit.Experiment(pool, learner, strategy, store=entry.job.record, seed=run.seed, wait=600)
    measured: list[Row] = []
    chosen: list[Chosen] = []
    for result in experiment.rounds(
        oracle, test=test, start=profile.start or len(pool.ids), batch=profile.batch, rounds=profile.rounds
    ):
        if grid.orphaned(parent):
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
                configuration=entry.configuration,
                commit=commit,
                machine=machine,
            )
        )
        chosen.append(Chosen(**asdict(run), round=result.round, ids=" ".join(result.ids)))
    add(places.out, measured, chosen, environment(commit, machine, pool, test))


def environment(commit: str, machine: str, pool: alkit.protocols.Pool, test: alkit.protocols.Pool) -> Environment:
    """Return what this process computes with."""
    import torch

    versions = platform.python_version(), str(torch.__version__), np.__version__
    how = torch.get_num_threads(), arithmetic.instructions()
    return Environment(commit, machine, *versions, *how, pool.digest(), test.digest())


def add(out: Path, measured: Sequence[Row], chosen: Sequence[Chosen], known: Environment) -> None:
    """Put the rows and choices of a run in the place of those it had, in the one order that the files have."""
    out.mkdir(parents=True, exist_ok=True)
    with FileLock(out / ".lock"):
        for path, kind, new in ((out / ROWS, Row, measured), (out / CHOICES, Chosen, chosen)):
            kept = [entry for entry in rows.read_as(kind, path) if run_of(entry) != run_of(new[0])]
            together = sorted([*kept, *new], key=lambda entry: (*arm_of(entry), entry.seed, entry.round))
            rows.write(path, [asdict(entry) for entry in together])
        environments = {*rows.read_as(Environment, out / ENVIRONMENTS), known}
        rows.write(out / ENVIRONMENTS, sorted(map(asdict, environments), key=lambda entry: [*map(str, entry.values())]))


def disagreements(out: Path) -> list[str]:
    """Return in sentences where rows contradict each other, and so come from code that computes differently.

    The configuration's hash leaves the code out. But within a seed some runs must agree to the last digit: the round 0
    of each group of :data:`ONE_START`, and what SSL-cluster chooses whatever the network is trained from and how.
    Where they do not, their differences are not those of the methods, and both are to be measured again.
    """
    other = [f"{OTHER}: {said}" for said in _unequal_starts(rows.read_as(Row, out / OTHER))]
    return [*_unequal_starts(read_rows(out)), *other, *_unequal_choices(rows.read_as(Chosen, out / CHOICES))]


def _unequal_starts(measured: Sequence[Row]) -> Iterator[str]:
    starts: dict[tuple[str, str, int, int], dict[str, float]] = {}
    for row in measured:
        for group, methods in enumerate(ONE_START):
            if row.method in methods and not row.round and not row.variant.startswith("full"):
                starts.setdefault((row.weights, row.variant, row.seed, group), {})[row.method] = row.dice
    for (weights, variant, seed, _), dice in starts.items():
        if len(set(dice.values())) > 1:
            where = " ".join(part for part in (weights, variant, f"seed {seed}") if part)
            yield f"{where}: the same networks, one start set, and unequal Dice in round 0: {dice}"


def _unequal_choices(chosen: Sequence[Chosen]) -> Iterator[str]:
    by_features: dict[tuple[str, int, int], dict[str, str]] = {}
    for choice in chosen:
        if choice.method == "ssl-cluster":
            features = choice.variant if choice.variant.startswith("k") else ""
            arm = " ".join(part for part in (choice.weights, choice.variant) if part)
            by_features.setdefault((features, choice.seed, choice.round), {})[arm] = choice.ids
    unequal: dict[tuple[str, int], set[str]] = {}
    for (features, seed, _), ids in by_features.items():
        if len(set(ids.values())) > 1:
            unequal.setdefault((features, seed), set()).update(ids)
    for (_, seed), arms in unequal.items():
        yield f"seed {seed}: SSL-cluster chose unequally from equal features: {', '.join(sorted(arms))}"


def parts(run: Run, profile: Profile, device: str) -> tuple[alkit.protocols.Learner, alkit.protocols.Strategy]:
    """Return the learner and the strategy of a run; the learner has the members or heads that the strategy needs."""
    pretext = pretext_of(profile, device)
    strategy = strategy_of(run.method, pretext, profile.clusters)
    needs = getattr(strategy, "needs", ())
    network = profile.network()
    learner = alkit.SegmentationLearner(
        partial(network, heads=DEEP_SUPERVISION) if "heads" in needs else network,
        epochs=profile.epochs,
        lr=profile.lr,
        warm_start=replace(pretext, pooling=2) if run.weights == "pretext" else None,
        device=device,
    )
    return alkit.Ensemble(learner, MEMBERS) if "members" in needs or run.method == CONTROL else learner, strategy


def pretext_of(profile: Profile, device: str) -> alkit.Reconstruction:
    """Return the pretext; finished weights are kept apart from those of another arithmetic."""
    return alkit.Reconstruction(
        profile.network(),
        epochs=profile.pretext_epochs,
        pooling=profile.pooling,
        device=device,
        cache=str(cache_folder() / arithmetic.NAME),
    )


def strategy_of(method: str, pretext: alkit.Reconstruction, clusters: int) -> alkit.protocols.Strategy:
    """Return the strategy of a name.

    Two go beyond the paper, each put together before anything was measured, from parts of alkit, and left as it was:
    the highest entropy within each cluster of the self-supervised features, and a batch drawn in proportion to BALD.
    """
    match method:
        case "ssl-cluster":
            return alkit.strategy(method, features=pretext, clusters=clusters)
        case "ssl-entropy":
            return alkit.strategies.PerCluster(
                alkit.strategies.Uncertainty("entropy", alkit.Dropout(20)), pretext, clusters
            )
        case "power-bald":
            return alkit.strategies.Stochastic(alkit.strategies.Uncertainty("bald", alkit.Dropout(20)))
    return alkit.strategy("random" if method == CONTROL else method)


def pools(profile: Profile, data: Path, show: Report = quiet) -> tuple[alkit.protocols.Pool, alkit.protocols.Pool]:
    """Return the images to label and those to measure on, by the committed split."""
    split = json.loads(SPLIT.read_text())
    ids = split["pool"][: profile.pool], split["test"][: profile.test]
    images = alkit.ImagePool(str(data / "images"), size=profile.size, grayscale=True, report=show)
    return images.subset(ids[0]), images.subset(ids[1])


def configuration(run: Run, profile: Profile, pool: alkit.protocols.Pool, test: alkit.protocols.Pool) -> str:
    """Return a hash of all that a run's figures depend on, apart from the code and the machine."""
    learner, strategy = parts(run, profile, "auto")
    schedule = [profile.start, profile.batch, profile.rounds]
    facts = [run.seed, former(written(learner)), former(written(strategy)), schedule, pool.digest(), test.digest()]
    return hashlib.sha256(json.dumps(facts, sort_keys=True).encode()).hexdigest()


def read_rows(out: Path) -> list[Row]:
    """Return the rows of a results folder; none where there is no file."""
    return rows.read_as(Row, out / ROWS)


def arm_of(entry: Row | Chosen) -> Arm:
    """Return the arm a row is of."""
    return entry.method, entry.weights, entry.variant


def run_of(entry: Row | Chosen) -> Run:
    """Return the run a row is of."""
    return Run(entry.method, entry.weights, entry.seed, entry.variant)


if __name__ == "__main__":
    try:
        main()
    except AlkitError as reason:
        sys.exit(f"isic2017.py: {reason}")
