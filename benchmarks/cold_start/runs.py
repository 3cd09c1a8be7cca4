"""Runs of the benchmark: choose a start set, train the pixel classifier, measure each kind of image."""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
import torch

import alkit
from benchmarks import rows
from benchmarks.array_view import ArrayView
from benchmarks.cold_start import pixels
from benchmarks.cold_start.data import DataSet
from benchmarks.cold_start.maps import Maps
from benchmarks.cold_start.protocol import RANDOM, Arm, split

FOLDER = Path(__file__).parents[1] / "results" / "cold_start"


@dataclass(frozen=True)
class Row:
    """One run. ``images``, ``kinds`` and ``worst`` are Dice: see :mod:`benchmarks.cold_start.protocol`."""

    data: str
    strategy: str
    features: str
    seed: int
    labels: int
    images: float
    kinds: float
    worst: float
    by_kind: str
    chosen_kinds: str
    commit: str
    machine: str

    @property
    def run(self) -> tuple[str, Arm, int, int]:
        """What identifies the run."""
        return self.data, Arm(self.strategy, self.features), self.seed, self.labels


def read_rows(path: Path) -> list[Row]:
    """Return the rows of a file."""
    return rows.read_as(Row, path)


def installed_strategies() -> set[str]:
    """Return the names of the strategies of this installation."""
    return set(alkit.strategies.installed())


def choose(arm: Arm, ids: tuple[str, ...], table: npt.NDArray[np.float32], n: int, seed: int) -> tuple[str, ...]:
    """Return the start set of an arm."""
    view = ArrayView(ids, table, seed=seed)
    strategy = alkit.strategy(arm.strategy)
    return tuple(strategy.select(view, n, np.random.default_rng([17, seed, n])).ids)


def play(
    data: DataSet,
    maps: Maps,
    tables: dict[str, npt.NDArray[np.float32]],
    wanted: Sequence[tuple[Arm, int]],
    seed: int,
    commit: str,
) -> Iterator[Row]:
    """Yield the rows of some arms and budgets with one split."""
    pool, test = split(data.kinds, data.groups, seed)
    ids, kinds = tuple(data.ids[row] for row in pool), np.array(data.kinds)
    truth = np.take_along_axis(data.masks.reshape(len(data.ids), -1), maps.places, 1)
    levels = [torch.from_numpy(level[test].astype(np.float32)) for level in maps.levels]
    for arm, labels in wanted:
        table = np.zeros((len(pool), 1), np.float32) if arm == RANDOM else tables[arm.features][pool]
        chosen = np.searchsorted(data.ids, choose(arm, ids, table, labels, seed))
        values = maps.pixels[chosen, : pixels.PIXELS].reshape(-1, maps.pixels.shape[2])
        found = pixels.dice(
            pixels.predict(levels, pixels.fit(values, truth[chosen, : pixels.PIXELS].ravel())), data.masks[test]
        )
        yield row_of(data, arm, seed, labels, found, kinds[test], kinds[chosen], commit)


def row_of(
    data: DataSet,
    arm: Arm,
    seed: int,
    labels: int,
    dice: npt.NDArray[np.float64],
    kinds: npt.NDArray[np.str_],
    chosen_kinds: npt.NDArray[np.str_],
    commit: str,
) -> Row:
    """Return the row of a run from the Dice and kind of each test image, and the kinds of the chosen images."""
    by_kind = {kind: float(dice[kinds == kind].mean()) for kind in sorted(set(data.kinds))}
    return Row(
        data.name,
        arm.strategy,
        arm.features,
        seed,
        labels,
        round(float(dice.mean()), 5),
        round(float(np.mean(list(by_kind.values()))), 5),
        round(min(by_kind.values()), 5),
        "; ".join(f"{kind} {value:.4f}" for kind, value in by_kind.items()),
        "; ".join(f"{kind} {(chosen_kinds == kind).sum()}" for kind in by_kind),
        commit,
        rows.machine(),
    )


def measure(data: DataSet, maps: Maps, tables: dict[str, npt.NDArray[np.float32]], out: Path,
            wanted: Sequence[tuple[Arm, int, int]]) -> None:  # fmt: skip
    """Add the rows that are missing: seed by seed, each seed in one write."""
    done = {row.run for row in read_rows(out)}
    left = [item for item in wanted if (data.name, item[0], item[1], item[2]) not in done]
    commit = rows.commit()
    for seed in sorted({item[1] for item in left}):
        start = time.monotonic()
        own = [(arm, labels) for arm, some, labels in left if some == seed]
        found = list(play(data, maps, tables, own, seed, commit))
        rows.append(out, [asdict(row) for row in found])
        print(f"{data.name}, seed {seed}: {len(found)} runs in {time.monotonic() - start:.0f} s", flush=True)
