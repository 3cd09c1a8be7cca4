"""The protocol of "Self-supervised Assisted Active Learning for Skin Lesion Segmentation" (EMBC 2022) on ISIC 2017.

Each method and seed is an independent run with a record of its own; runs go side by side in processes of one thread.
A run that is stopped goes on at its unfinished round; a run whose rows are in the results is not run again.

    python benchmarks/isic2017.py --data DIR --profile small --methods random ssl-cluster --seeds 0 1 2 --resume
    python benchmarks/isic2017.py --profile small --report          # the figure and the table from the rows alone

Choices of this project where the paper is silent (more in the docstrings of alkit.SegmentationLearner and
alkit.Reconstruction): images are squashed to the working size, grayscale, min-max scaled each; the split is a
committed list; all methods of a seed share the network's initial weights (of an ensemble the first member does), and
all but SSL-cluster the start set; "pretext" arms start the network from the pretext's weights, all but the output
layers'. DSAL's network has heads of deep supervision besides.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import sys
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, fields
from functools import partial
from pathlib import Path

import joblib
import numpy as np
import rows
from isic_archive import fetch
from scipy import stats

import alkit
from alkit.cli.progress import progress_bar
from alkit.declare import written
from alkit.networks import DEEP_SUPERVISION
from alkit.report.curves import learning_curves
from alkit.types import Report, quiet

HERE = Path(__file__).parent
SPLIT = HERE / "isic2017_split.json"
ROWS = "rows.csv"
METHODS = ("random", "ssl-cluster", "ensemble-s", "ensemble-js", "mc-dropout", "ceal", "dsal")
WEIGHTS = ("scratch", "pretext")
MEMBERS = 5  # of an ensemble


@dataclass(frozen=True)
class Profile:
    """The protocol's numbers. The defaults are the paper's."""

    size: int = 256
    widths: tuple[int, ...] = (32, 64, 128, 256, 512)
    start: int = 300
    batch: int = 35
    rounds: int = 9
    epochs: tuple[int, int] = (10, 2)
    pretext_epochs: int = 100
    clusters: int = 10
    pool: int | None = None  # so many images of the split's pool and test set; None for all
    test: int | None = None

    def network(self) -> partial[alkit.UNet]:
        """Return the network factory of learner and pretext."""
        return partial(alkit.UNet, widths=self.widths)


PROFILES = {
    "paper": Profile(),
    "small": Profile(size=64, widths=(8, 16, 32, 64, 128)),
    "smoke": Profile(
        size=32, widths=(4, 8, 16, 16), start=12, batch=6, rounds=2, pretext_epochs=2, clusters=4, pool=48, test=16
    ),
}


@dataclass(frozen=True)
class Run:
    """One method with one kind of initial weights and one seed."""

    method: str
    weights: str
    seed: int


@dataclass(frozen=True)
class Row:
    """One measured round."""

    profile: str
    method: str
    weights: str
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


def main(arguments: Sequence[str] | None = None) -> None:
    """Parse the command line and do what it says."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument(
        "--data", type=Path, help="folder with images/ and masks/; default: download the official archives"
    )
    parser.add_argument("--profile", choices=PROFILES, default="small")
    parser.add_argument("--methods", nargs="+", choices=METHODS, default=list(METHODS))
    parser.add_argument("--weights", nargs="+", choices=WEIGHTS, default=list(WEIGHTS))
    parser.add_argument("--seeds", nargs="+", type=int, default=[0, 1, 2])
    parser.add_argument("--out", type=Path, help="folder of the rows (default: benchmarks/results/isic2017-PROFILE)")
    parser.add_argument("--records", type=Path, default=Path("runs/isic2017"), help="folder of the runs' records")
    parser.add_argument("--jobs", type=int, default=2, help="runs side by side, each on one thread")
    parser.add_argument("--device", default="auto")
    parser.add_argument("--resume", action="store_true", help="pass over runs whose rows are there already")
    parser.add_argument("--report", action="store_true", help="draw the figure and the table from the rows, and stop")
    options = parser.parse_args(arguments)
    out = options.out or HERE / "results" / f"isic2017-{options.profile}"
    if not options.report:
        with progress_bar("downloading") as show:
            data = options.data or fetch(Path("data/isic2017"), size=PROFILES[options.profile].size, report=show)
        # Seeds vary fastest, so that runs side by side train different pretexts rather than wait for one.
        runs = [Run(m, w, s) for m in reversed(options.methods) for w in options.weights for s in options.seeds]
        measure(runs, options.profile, data, out, options.records, options.jobs, options.device, options.resume)
    report(out, options.profile)


def measure(
    runs: Sequence[Run], name: str, data: Path, out: Path, records: Path, jobs: int, device: str, resume: bool
) -> None:
    """Run what is not among the rows yet; the rows of a run are appended when it ends."""
    profile = PROFILES[name]
    with progress_bar("decoding") as show:
        pool, test = pools(profile, data, show)
    hashes = {run: configuration(run, profile, pool, test) for run in runs}
    known = {row.configuration for row in read_rows(out)} if resume else set()
    left = [run for run in runs if hashes[run] not in known]
    commit = rows.commit()  # of the code that is loaded now, whatever is committed while it runs
    print(f"{len(runs)} runs, {len(runs) - len(left)} of them done", flush=True)
    with joblib.parallel_config("loky", n_jobs=jobs, inner_max_num_threads=1):
        finished = joblib.Parallel(return_as="generator_unordered")(
            joblib.delayed(one_run)(
                run, name, data, records / f"{name}-{hashes[run][:16]}.db", device, hashes[run], commit
            )
            for run in left
        )
        for measured in finished:
            kept = [row for row in read_rows(out) if run_of(row) != run_of(measured[0])]
            rows.write(out / ROWS, [asdict(row) for row in kept + measured])
            last = measured[-1]
            print(
                f"{last.method} {last.weights} seed {last.seed}: dice {last.dice:.3f} at {last.labels} labels",
                flush=True,
            )


def one_run(run: Run, name: str, data: Path, store: Path, device: str, configuration: str, commit: str) -> list[Row]:
    """Play one run through, or go on with it, and return its rows."""
    import torch

    torch.set_num_threads(1)
    profile = PROFILES[name]
    pool, test = pools(profile, data)
    oracle = alkit.MaskOracle(str(data / "masks"), classes=("skin", "lesion"))
    learner, strategy = parts(run, profile, device)
    experiment = alkit.Experiment(pool, learner, strategy, store=store, seed=run.seed)
    results = experiment.rounds(oracle, test=test, start=profile.start, batch=profile.batch, rounds=profile.rounds)
    return [
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
            configuration=configuration,
            commit=commit,
        )
        for result in results
    ]


def parts(run: Run, profile: Profile, device: str) -> tuple[alkit.Learner, alkit.Strategy]:
    """Return the learner and the strategy of a run; the learner has the members or heads that the strategy needs."""
    pretext = alkit.Reconstruction(profile.network(), epochs=profile.pretext_epochs, device=device)
    if run.method == "ssl-cluster":
        strategy = alkit.strategy(run.method, features=pretext, clusters=profile.clusters)
    else:
        strategy = alkit.strategy(run.method)
    needs = getattr(strategy, "needs", ())
    network = profile.network()
    learner = alkit.SegmentationLearner(
        partial(network, heads=DEEP_SUPERVISION) if "heads" in needs else network,
        epochs=profile.epochs,
        warm_start=pretext if run.weights == "pretext" else None,
        device=device,
    )
    return alkit.Ensemble(learner, MEMBERS) if "members" in needs else learner, strategy


def pools(profile: Profile, data: Path, show: Report = quiet) -> tuple[alkit.Pool, alkit.Pool]:
    """Return the images to label and those to measure on, by the committed split."""
    split = json.loads(SPLIT.read_text())
    ids = split["pool"][: profile.pool], split["test"][: profile.test]
    images = alkit.ImagePool(str(data / "images"), size=profile.size, grayscale=True, report=show)
    return images.subset(ids[0]), images.subset(ids[1])


def configuration(run: Run, profile: Profile, pool: alkit.Pool, test: alkit.Pool) -> str:
    """Return a hash of all that a run's figures depend on, apart from the code and the machine."""
    learner, strategy = parts(run, profile, "auto")
    facts = [run.seed, written(learner), written(strategy), written(profile), pool.digest(), test.digest()]
    return hashlib.sha256(json.dumps(facts, sort_keys=True).encode()).hexdigest()


def read_rows(out: Path) -> list[Row]:
    """Return the rows of a results folder; none where there is no file."""
    kinds = {"int": int, "float": float, "str": str}
    return [Row(**{f.name: kinds[str(f.type)](row[f.name]) for f in fields(Row)}) for row in rows.read(out / ROWS)]


def report(out: Path, name: str) -> None:
    """Draw the learning curves and write the tables: means, spreads, and differences within seeds."""
    measured = read_rows(out)
    if not measured:
        sys.exit(f"there are no rows in {out}")
    curves = curves_of(measured)
    histories = {
        ", ".join(arm): [
            [alkit.RoundResult(0, (), labels, {"dice": dice}) for labels, dice in run.items()] for run in seeds.values()
        ]
        for arm, seeds in sorted(curves.items())
    }
    learning_curves(histories, out / "curves.png", title=f"ISIC 2017, {name} profile")
    (out / "table.md").write_text("\n".join(tables(curves)) + "\n")
    print((out / "table.md").read_text())


Curves = dict[tuple[str, str], dict[int, dict[int, float]]]
"""Dice by (method, weights), seed and number of labels."""


def run_of(row: Row) -> Run:
    """Return the run a row is of."""
    return Run(row.method, row.weights, row.seed)


def curves_of(measured: Sequence[Row]) -> Curves:
    """Return the learning curve of each arm and seed."""
    curves: Curves = {}
    for row in measured:
        curves.setdefault((row.method, row.weights), {}).setdefault(row.seed, {})[row.labels] = row.dice
    return curves


def means(curves: Curves) -> Iterator[str]:
    """Yield a Markdown table: mean and standard deviation over seeds of each arm at each number of labels."""
    arms = sorted(curves)
    yield "| labels | " + " | ".join(f"{', '.join(arm)} (n={len(curves[arm])})" for arm in arms) + " |"
    yield "|---" * (len(arms) + 1) + "|"
    for labels in budgets(curves):
        values = [[run[labels] for run in curves[arm].values() if labels in run] for arm in arms]
        cells = [f"{np.mean(v):.3f} ± {np.std(v, ddof=1):.3f}" if len(v) > 1 else f"{v[0]:.3f}" for v in values]
        yield f"| {labels} | " + " | ".join(cells) + " |"


Arm = tuple[str, str]
"""Method and initial weights."""


def tables(curves: Curves) -> Iterator[str]:
    """Yield the Markdown tables of a report: means for each kind of weights, then what is compared within seeds."""
    for weights in WEIGHTS:
        if any(arm[1] == weights for arm in curves):
            yield from [*means({arm: curves[arm] for arm in sorted(curves) if arm[1] == weights}), ""]
    for pairs in comparisons(curves):
        yield from [*differences(curves, pairs), ""]


def comparisons(curves: Curves) -> Iterator[dict[str, tuple[Arm, Arm]]]:
    """Yield the pairs of arms to compare, by name: each method with random, then pretext with scratch weights."""
    groups = [{f"{m} - random, {w}": ((m, w), ("random", w)) for m in METHODS if m != "random"} for w in WEIGHTS] + [
        {f"pretext - scratch, {m}": ((m, "pretext"), (m, "scratch")) for m in METHODS}
    ]
    for group in groups:
        if measured := {name: arms for name, arms in group.items() if set(arms) <= set(curves)}:
            yield measured


def differences(curves: Curves, pairs: Mapping[str, tuple[Arm, Arm]]) -> Iterator[str]:
    """Yield a Markdown table of differences within seeds between pairs of arms.

    Each with its 95 % interval (paired t) from five seeds on; below, with the standard deviation and no test.
    """
    yield "| labels | " + " | ".join(pairs) + " |"
    yield "|---" * (len(pairs) + 1) + "|"
    for labels in budgets(curves):
        cells = []
        for a, b in pairs.values():
            seeds = [s for s in curves[a] if labels in curves[a][s] and labels in curves[b].get(s, {})]
            gaps = np.array([curves[a][seed][labels] - curves[b][seed][labels] for seed in seeds])
            if len(gaps) >= 5:
                half = stats.t.ppf(0.975, len(gaps) - 1) * gaps.std(ddof=1) / np.sqrt(len(gaps))
                cells.append(f"{gaps.mean():+.3f} [{gaps.mean() - half:+.3f}, {gaps.mean() + half:+.3f}]")
            else:
                spread = f"± {gaps.std(ddof=1):.3f}" if len(gaps) > 1 else "(one seed)"
                cells.append(f"{gaps.mean():+.3f} {spread}")
        yield f"| {labels} | " + " | ".join(cells) + " |"


def budgets(curves: Curves) -> list[int]:
    """Return the numbers of labels that every arm was measured at."""
    return sorted(set.intersection(*({n for run in seeds.values() for n in run} for seeds in curves.values())))


if __name__ == "__main__":
    main()
