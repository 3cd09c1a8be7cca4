"""The files of a results folder: measured rounds, chosen images, environments, and the rows of the base sets."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

from filelock import FileLock

from benchmarks import rows
from benchmarks.isic2017.protocol import Arm, Run

FOLDER = Path(__file__).parents[1] / "results"
ROWS, CHOICES, ENVIRONMENTS, BASE_SETS, MAP = "rows.csv", "choices.csv", "environments.csv", "base_set.csv", "map.csv"
OTHER_ROWS = "rows-avx512.csv"
"""Runs with wider instructions than arithmetic.py allows. They are compared only with each other."""


@dataclass(frozen=True)
class Places:
    """Folders of the data (images/ and masks/), of the results, and of the records of the runs."""

    data: Path
    out: Path
    records: Path


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
    pseudo: int  # number of pseudo-labels in the training data, not counted in `labels`
    dice: float
    iou: float
    member_dice: float  # mean over the members of an ensemble; equal to dice for a single network
    seconds: float
    configuration: str
    commit: str
    machine: str


@dataclass(frozen=True)
class Chosen:
    """The images that a run asked for in one round, in rank order."""

    method: str
    weights: str
    variant: str
    seed: int
    round: int
    ids: str  # separated by spaces


@dataclass(frozen=True)
class Environment:
    """Versions and settings of the runs of one commit on one machine."""

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
class TrainedBaseSet:
    """One base set, trained from the initial weights of one seed."""

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


@dataclass(frozen=True)
class MapPoint:
    """Position of an image of the pool by the pretext's features of seed 0, for the map of clusters."""

    id: str
    x: float
    y: float
    cluster: int
    rank: int  # in its cluster, by distance to the centre


BaseSetKey = tuple[str, str, int]
"""Base set, masks, initial weights."""


def folder_of(profile: str) -> Path:
    """Return the folder of the committed results of a profile."""
    return FOLDER / f"isic2017-{profile}"


def read_rows(out: Path) -> list[Row]:
    """Return the measured rounds of a results folder."""
    return rows.read_as(Row, out / ROWS)


def read_other_rows(out: Path) -> list[Row]:
    """Return the rounds of a results folder that were measured with wider instructions."""
    return rows.read_as(Row, out / OTHER_ROWS)


def read_choices(out: Path) -> list[Chosen]:
    """Return the chosen images of a results folder."""
    return rows.read_as(Chosen, out / CHOICES)


def read_environments(out: Path) -> list[Environment]:
    """Return the environments of a results folder."""
    return rows.read_as(Environment, out / ENVIRONMENTS)


def read_base_sets(out: Path) -> list[TrainedBaseSet]:
    """Return the rows of the base sets of a results folder."""
    return rows.read_as(TrainedBaseSet, out / BASE_SETS)


def read_map(out: Path) -> list[MapPoint]:
    """Return the map of clusters of a results folder."""
    return rows.read_as(MapPoint, out / MAP)


def arm_of(row: Row | Chosen) -> Arm:
    """Return the arm of a row."""
    return row.method, row.weights, row.variant


def run_of(row: Row | Chosen) -> Run:
    """Return the run of a row."""
    return Run(row.method, row.weights, row.seed, row.variant)


def key_of(row: TrainedBaseSet) -> BaseSetKey:
    """Return the key of the row of a base set."""
    return row.choice, row.masks, row.initial


def add_run(out: Path, measured: Sequence[Row], chosen: Sequence[Chosen], environment: Environment) -> None:
    """Add the rows of a run, in place of earlier rows of the same run, and sort the files."""
    out.mkdir(parents=True, exist_ok=True)
    with FileLock(out / ".lock"):
        for path, row_type, new in ((out / ROWS, Row, measured), (out / CHOICES, Chosen, chosen)):
            kept = [row for row in rows.read_as(row_type, path) if run_of(row) != run_of(new[0])]
            together = sorted([*kept, *new], key=lambda row: (*arm_of(row), row.seed, row.round))
            rows.write(path, [asdict(row) for row in together])
        environments = {*read_environments(out), environment}
        rows.write(out / ENVIRONMENTS, sorted(map(asdict, environments), key=lambda row: [*map(str, row.values())]))


def add_base_set(out: Path, row: TrainedBaseSet) -> None:
    """Add the row of a base set, in place of an earlier row of the same key, and sort the file."""
    out.mkdir(parents=True, exist_ok=True)
    with FileLock(out / ".lock"):
        kept = [other for other in read_base_sets(out) if key_of(other) != key_of(row)]
        rows.write(out / BASE_SETS, [asdict(other) for other in sorted([*kept, row], key=key_of)])
