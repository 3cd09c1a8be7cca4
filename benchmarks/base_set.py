"""What moves the Dice of the first 300 labels: the initial weights, the choice of images, or how masks are read.

The paper's claim is a gap of .16 between two base sets, each trained once. Here random base sets, and those that
SSL-cluster takes by several pretexts, are trained from the same few initial weights, so that the two can be told apart;
and what the authors' released code does differently is done as well, one thing at a time:

- ``first``: its "random" is the first 300 of the array;
- ``stopped on test``: its pretext trains on the whole pool and stops by its loss on the test images;
- ``eroded``: its masks are divided as whole numbers after they were resized, so that a pixel counts as lesion only
  where nothing but lesion went into it;
- its feature rows do not line up with the images. Rows in random order make of any selection a random one, so that
  is ``random`` itself.

    python benchmarks/base_set.py --data DIR              # resumable; --report: the tables from the rows alone

"Initial weights" are a seed of the experiment, which draws the order of the images in training as well.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from functools import partial
from pathlib import Path

import arithmetic  # noqa: F401 - before what imports torch
import grid
import isic2017
import numpy as np
import numpy.typing as npt
import rows
from filelock import FileLock
from PIL import Image
from scipy import stats

import alkit
from alkit.errors import AlkitError
from alkit.features import FittedReconstruction
from alkit.pools import Subset
from alkit.report import progress_bar
from alkit.report.page import Table
from alkit.values import Report, quiet

FILE = "base_set.csv"
STOPPED_ON_TEST = ", stopped on test"


@dataclass(frozen=True)
class Trained:
    """One base set, trained from one seed's initial weights."""

    profile: str
    choice: str
    masks: str
    initial: int
    labels: int
    dice: float
    iou: float
    seconds: float
    commit: str
    machine: str


Choice = tuple[str, str]
"""Base set, masks."""

Key = tuple[str, str, int]
"""Base set, masks, initial weights."""


@dataclass(frozen=True)
class Listed:
    """A strategy that takes the images it was given, in their order."""

    ids: tuple[str, ...]

    def select(self, view: alkit.View, n: int, rng: np.random.Generator) -> alkit.Selection:
        """Return the first `n`."""
        return alkit.Selection(self.ids[:n])


@dataclass(frozen=True)
class StoppedOnTest:
    """A pretext that is trained on the whole pool, until its loss on the test images falls no more."""

    pretext: alkit.Reconstruction
    images: alkit.protocols.Pool

    def fit(self, pool: alkit.protocols.Pool, rng: np.random.Generator, report: Report = quiet) -> FittedReconstruction:
        """Train on the images of `pool`, and judge by all others there are."""
        test = set(self.images.ids) - set(pool.ids)
        return replace(self.pretext, hold_out=tuple(test)).fit(self.images, rng, report)


def main(arguments: Sequence[str] | None = None) -> None:
    """Do what the command line says."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, help="folder of images/ and masks/")
    parser.add_argument("--profile", choices=isic2017.PROFILES, default="small")
    for name, what in {
        "--initial": "seeds of initial weights",
        "--draws": "seeds of random base sets; the first is trained with eroded masks, too",
        "--pretexts": "seeds of SSL-cluster's; the first is eroded, and stopped on test, too",
    }.items():
        parser.add_argument(name, nargs="+", type=isic2017.at_least(0), default=[0, 1, 2, 3, 4], help=what)
    parser.add_argument("--out", type=Path)
    parser.add_argument("--records", type=Path, default=Path("runs/base_set"))
    parser.add_argument("--jobs", type=isic2017.at_least(1), default=2)
    parser.add_argument("--report", action="store_true")
    options = parser.parse_args(arguments)
    out = options.out or isic2017.HERE / "results" / f"isic2017-{options.profile}"
    if not options.report:
        if options.data is None:
            parser.error("--data is needed to measure")
        measure(options, out)
    for table in tables_of(rows.read_as(Trained, out / FILE)).values():
        print(f"{table.caption}\n\n{table.markdown()}\n")


def measure(options: argparse.Namespace, out: Path) -> None:
    """Train what is not among the rows."""
    places = isic2017.Places(options.data, out, options.records)
    done = {key_of(row) for row in rows.read_as(Trained, out / FILE)}
    random = [f"random {draw}" for draw in options.draws]
    clustered = [f"ssl-cluster {pretext}" for pretext in options.pretexts]
    wanted = [(choice, "whole") for choice in (*random, *clustered, clustered[0] + STOPPED_ON_TEST, "first")]
    wanted += [(choice, "eroded") for choice in (random[0], clustered[0], "first")]
    left = [(*pair, initial) for pair in wanted for initial in options.initial if (*pair, initial) not in done]
    print(f"{len(wanted) * len(options.initial)} to train, {len(left)} of them left", flush=True)
    with progress_bar("decoding") as show:
        pools = isic2017.pools(isic2017.PROFILES[options.profile], options.data, show)
        chosen = {name: base_set(name, *pools, options.profile) for name in dict.fromkeys(key[0] for key in left)}
    jobs = [
        grid.Job(
            " ".join(map(str, key)),
            options.records / f"{options.profile}-{'-'.join(map(str, key))}.db".replace(" ", ""),
            1,
        )
        for key in left
    ]
    work = partial(train, left, jobs, chosen, options.profile, places, rows.commit())
    grid.play(jobs, work, at_once=options.jobs, backend="processes")


def base_set(name: str, pool: Subset, test: Subset, profile_name: str) -> tuple[str, ...]:
    """Return a base set by name: ``first`` by id, ``random`` and a seed, or ``ssl-cluster`` and its pretext's seed."""
    profile = isic2017.PROFILES[profile_name]
    start, ids = profile.start or len(pool.ids), sorted(pool.ids)
    if name == "first":
        return tuple(ids[:start])
    kind, number = name.removesuffix(STOPPED_ON_TEST).split()
    if kind == "random":
        return tuple(np.random.default_rng(int(number)).choice(ids, start, replace=False).tolist())
    learner, strategy = isic2017.parts(isic2017.Run(kind, "scratch", int(number)), profile, "auto")
    if name.endswith(STOPPED_ON_TEST):
        everything = pool.pool.subset((*pool.ids, *test.ids))
        strategy = replace(strategy, features=StoppedOnTest(strategy.features, everything))
    return alkit.Experiment(pool, learner, strategy, classes=("skin", "lesion"), seed=int(number)).ask(start)


def train(
    keys: Sequence[Key],
    jobs: Sequence[grid.Job],
    chosen: dict[str, tuple[str, ...]],
    profile_name: str,
    places: isic2017.Places,
    commit: str,
    number: int,
    parent: int,
) -> None:
    """Train one base set and add its row."""
    import torch

    torch.set_num_threads(1)
    (choice, masks, initial), profile = keys[number], isic2017.PROFILES[profile_name]
    pool, test = isic2017.pools(profile, places.data)
    classes = ("skin", "lesion")
    oracle = alkit.MaskOracle(
        str(places.data / "masks")
        if masks == "whole"
        else {id: eroded(places.data / "masks" / f"{id}.png", profile.size) for id in (*pool.ids, *test.ids)},
        classes=classes,
    )
    learner, _ = isic2017.parts(isic2017.Run("random", "scratch", initial), profile, "auto")
    experiment = alkit.Experiment(
        pool, learner, Listed(chosen[choice]), store=jobs[number].record, seed=initial, wait=600
    )
    (result,) = experiment.rounds(oracle, test=test, start=len(chosen[choice]), batch=1, rounds=0)
    row = Trained(
        profile_name,
        choice,
        masks,
        initial,
        result.n_labels,
        round(result.metrics["dice"], 5),
        round(result.metrics["iou"], 5),
        round(sum(result.seconds.values()), 1),
        commit,
        rows.machine(),
    )
    places.out.mkdir(parents=True, exist_ok=True)
    with FileLock(places.out / ".lock"):
        kept = [entry for entry in rows.read_as(Trained, places.out / FILE) if key_of(entry) != key_of(row)]
        rows.write(places.out / FILE, [asdict(entry) for entry in sorted([*kept, row], key=key_of)])


def eroded(path: Path, size: int) -> np.ndarray:
    """Return a mask at the working size in which a pixel is lesion where all that went into it is."""
    with Image.open(path) as mask:
        shares = np.asarray(mask.convert("L").resize((size, size), Image.Resampling.BOX))
    return shares // 255


def key_of(row: Trained) -> Key:
    """Return what tells a row from the others."""
    return row.choice, row.masks, row.initial


def tables_of(measured: Sequence[Trained]) -> dict[str, Table]:
    """Return Dice by base set and initial weights, and the parts of the variance, by the name of their file."""
    initials = sorted({row.initial for row in measured})
    dice = {key_of(row): row.dice for row in measured}
    lines = []
    for choice, masks in dict.fromkeys((row.choice, row.masks) for row in measured):
        values = [dice.get((choice, masks, initial)) for initial in initials]
        known = [value for value in values if value is not None]
        cells = ["" if value is None else f"{value:.3f}" for value in values]
        lines.append([choice, masks, *cells, f"{np.mean(known):.3f}"])
    header = ["base set", "masks", *(f"weights {initial}" for initial in initials), "mean"]
    random = {
        (str(initial), choice): value
        for (choice, masks, initial), value in dice.items()
        if choice.startswith("random") and masks == "whole"
    }
    tables = {
        "base-sets": Table(header, lines, "Base sets: Dice at the first labels, by initial weights, from scratch"),
        "base-set-differences": differences(dice, initials),
        "variance": variance(random),
    }
    return {name: table for name, table in tables.items() if table.rows}


def differences(dice: dict[Key, float], initials: Sequence[int]) -> Table:
    """Return what base sets differ by under the same initial weights.

    Where more than one set stands on a side there are two tests. The one over initial weights asks whether these sets
    are better than those; the one beside the sets' own spread, whether such sets are better than such.
    """
    of: dict[Choice, list[float]] = {}
    for choice, masks, _ in dice:
        found = [dice[choice, masks, initial] for initial in initials if (choice, masks, initial) in dice]
        if len(found) == len(initials):
            of[choice, masks] = found
    random, clustered = (
        [(choice, masks) for choice, masks in of if masks == "whole" and choice.removeprefix(kind).isdecimal()]
        for kind in ("random ", "ssl-cluster ")
    )
    random = random if len(random) > 1 else []
    against = f"mean of {len(random)} random sets"
    wanted = {
        f"mean of {len(clustered)} ssl-cluster sets - {against}": (clustered if len(clustered) > 1 else [], random)
    }
    for choice, masks in of:
        if masks == "whole" and (choice, masks) not in random:
            wanted[f"{choice} - {against}"] = [(choice, masks)], random
        if choice.endswith(STOPPED_ON_TEST):
            plain = choice.removesuffix(STOPPED_ON_TEST)
            wanted[f"{choice} - {plain}"] = [(choice, masks)], [(plain, masks)]
        if masks == "eroded":
            wanted[f"{choice}: eroded - whole masks"] = [(choice, masks)], [(choice, "whole")]
    header = ["difference", "mean", "95 % interval", "p", "interval by the sets' own spread", "p by it"]
    return Table(
        [*header, *(f"weights {initial}" for initial in initials)],
        [
            [name, *difference(of, *sides)]
            for name, sides in wanted.items()
            if all(sides) and {*sides[0], *sides[1]} <= {*of}
        ],
        "Base sets, differences: of Dice within initial weights (paired t)",
    )


def difference(of: dict[Choice, list[float]], ours: Sequence[Choice], theirs: Sequence[Choice]) -> list[str]:
    """Return the cells of the difference between the means of some base sets and of others."""
    a, b = (np.array([of[choice] for choice in side]) for side in (ours, theirs))
    gaps = (a.mean(0) - b.mean(0)).tolist()
    found = alkit.statistics.estimate(gaps)
    interval = "" if found.low is None else f"[{found.low:+.4f}, {found.high:+.4f}]"
    cells = [f"{found.mean:+.4f}", interval, "" if found.p is None else f"{found.p:.3f}"]
    return [*cells, *beside(a.mean(1), b.mean(1)), *(f"{gap:+.3f}" for gap in gaps)]


def beside(ours: npt.NDArray[np.float64], theirs: npt.NDArray[np.float64]) -> tuple[str, str]:
    """Return interval and p of the difference of two kinds of base sets by their spread, one for both (Student's t)."""
    freedom = len(ours) + len(theirs) - 2
    squares = sum(float(((side - side.mean()) ** 2).sum()) for side in (ours, theirs))
    if not freedom or not squares:
        return "", ""
    error = (squares / freedom * (1 / len(ours) + 1 / len(theirs))) ** 0.5
    gap, reach = ours.mean() - theirs.mean(), stats.t.ppf(0.975, freedom) * error
    return f"[{gap - reach:+.4f}, {gap + reach:+.4f}]", f"{2 * stats.t.sf(abs(gap) / error, freedom):.3f}"


def variance(random: dict[tuple[str, str], float]) -> Table:
    """Return what of the variance of Dice is due to what, over random base sets; no rows where pairs are lacking."""
    title = "Where the variance comes from: standard deviation of Dice over random base sets, by source"
    initials, choices = ({pair[side] for pair in random} for side in (0, 1))
    if min(len(initials), len(choices)) < 2 or len(random) < len(initials) * len(choices):
        return Table(["due to"], [], title)
    parts = alkit.statistics.variance_parts(random)
    names = {
        "initial": "initial weights and order of training",
        "choice": "which images, drawn at random",
        "residual": "both together, and rounding",
    }
    lines = [
        [
            name,
            f"{getattr(parts, part) ** 0.5:.3f}" + " (estimated below zero)" * (part in parts.below_zero),
            " to ".join(f"{bound**0.5:.3f}" for bound in parts.intervals[part]),
        ]
        for part, name in names.items()
    ]
    return Table(["due to", "standard deviation", "95 % interval"], lines, title)


if __name__ == "__main__":
    try:
        main()
    except AlkitError as reason:
        sys.exit(f"base_set.py: {reason}")
