"""How often the interval of an audit set covers the truth, in simulated campaigns.

::

    python -m benchmarks.audit --out benchmarks/results/audit.csv

Each campaign is an :class:`alkit.Experiment` with an audit set of 40 of 300 images of :func:`alkit.synthetic.lesions`
(its own images, by its seed), uncertainty sampling, and a pixel classifier that trains in milliseconds. After each of
three rounds, the interval of the Dice on the audit set, as far as it is labelled, is compared with the Dice of the same
model on all 300 images, and on those that it was not trained on. There are four kinds of campaign:

- ``plain``: as above;
- ``groups``: three images of one patient share their contrast;
- ``failures``: one image in twenty is inverted, so that the model finds nothing in it;
- ``skips``: annotators skip one image in ten, whatever it shows; the truth is that of all images all the same.

A row is one round. ``--report`` prints the coverage of the rows. Beside alkit's interval are the percentile bootstrap
and Student's t of the same values, for comparison: the choice between them was made on other numbers
(:mod:`benchmarks.intervals`).
"""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from scipy import ndimage, stats

import alkit
from alkit.protocols import Labelled, Predictor
from alkit.values import Images, Report, quiet
from benchmarks import rows
from benchmarks.terminal import integer_from, start

IMAGES, SIDE, AUDIT, START, BATCH, ROUNDS = 300, 32, 40, 40, 30, 2
KINDS = ("plain", "groups", "failures", "skips")
CLASSES = ("skin", "lesion")


@dataclass(frozen=True)
class Row:
    """One round of one campaign: the interval, and the truth that it should contain."""

    kind: str
    seed: int
    round: int
    labels: int
    measured: int
    clusters: int
    dice: float
    low: float
    high: float
    whole_pool: float
    not_trained_on: float
    percentile_low: float
    percentile_high: float
    t_low: float
    t_high: float
    seconds: float
    commit: str


@dataclass(frozen=True)
class PixelModel:
    """A logistic regression of features of a pixel and its surroundings."""

    weights: tuple[float, ...]

    def probabilities(self, images: Images) -> npt.NDArray[np.float32]:
        """Return class probabilities, ``(n, 2, h, w)``."""
        score = _features(images) @ np.array(self.weights)
        lesion = (1 / (1 + np.exp(-np.clip(score, -30, 30)))).astype(np.float32)
        return np.stack([1 - lesion, lesion], axis=1)

    def dumps(self) -> bytes:
        """Return the weights."""
        return json.dumps(self.weights).encode()


@dataclass(frozen=True)
class PixelLearner:
    """Trains a :class:`PixelModel` by Newton's method, with a ridge penalty."""

    steps: int = 8

    def fit(
        self, labelled: Labelled, rng: np.random.Generator, previous: Predictor | None = None, report: Report = quiet
    ) -> PixelModel:
        """Return the model of all labels."""
        features = _features(labelled.images(labelled.ids))
        x, y = features.reshape(-1, features.shape[-1]), labelled.labels(labelled.ids).ravel() == 1
        weights = np.zeros(x.shape[1])
        for _ in range(self.steps):
            chance = 1 / (1 + np.exp(-np.clip(x @ weights, -30, 30)))
            curvature = (x * (chance * (1 - chance) + 1e-6)[:, None]).T @ x + np.eye(x.shape[1])
            weights = weights + np.linalg.solve(curvature, x.T @ (y - chance) - weights)
        return PixelModel(tuple(weights.tolist()))

    def loads(self, dumped: bytes) -> PixelModel:
        """Return the model whose weights were dumped."""
        return PixelModel(tuple(json.loads(dumped)))


def _features(images: Images) -> npt.NDArray[np.float64]:
    """Return features of each pixel, ``(n, h, w, 7)``."""
    grey = images[:, 0].astype(np.float64)
    across = np.linspace(-1, 1, grey.shape[-1])
    near, far = (ndimage.uniform_filter(grey, (0, size, size)) for size in (3, 9))
    rows_, columns = np.broadcast_arrays(across[:, None], across[None], subok=False)
    distance = np.broadcast_to(rows_**2 + columns**2, grey.shape)
    whole = np.broadcast_to(grey.mean(axis=(1, 2), keepdims=True), grey.shape)
    return np.stack([np.ones_like(grey), grey, near, far, near - far, distance, grey - whole], axis=-1)


def campaign(kind: str, seed: int) -> Iterator[Row]:
    """Yield the rows of one campaign."""
    pixels, truth, groups = _images(kind, seed)
    ids = [f"i{number:03}" for number in range(IMAGES)]
    masks = dict(zip(ids, truth, strict=True))
    pool = alkit.ArrayPool(pixels, ids=ids, groups=None if groups is None else dict(zip(ids, groups, strict=True)))
    strategy = alkit.strategies.Uncertainty("entropy")
    experiment = alkit.Experiment(
        pool, PixelLearner(), strategy, seed=seed, classes=CLASSES, initial=alkit.strategy("random"), audit=AUDIT
    )
    skips = np.random.default_rng([seed, 1]).random(IMAGES) < (0.1 if kind == "skips" else 0)
    for number in range(ROUNDS + 1):
        begun = time.perf_counter()
        asked = experiment.ask(BATCH if number else START)
        experiment.tell({id: alkit.SKIP if skips[int(id[1:])] else masks[id] for id in asked})
        result = experiment.fit()
        audit = result.audit
        if audit is None:
            continue
        found, values = audit.figures["dice"], np.array(audit.values["dice"])
        each = _dice_of(experiment, masks)
        drawn = {standing.query.id for standing in experiment.standings() if standing.query.purpose == "train"}
        labelled = {answer.id for answer in experiment.answers() if answer.kind == "label"}
        rest = [value for id, value in each.items() if id not in drawn & labelled]
        rng = np.random.default_rng([seed, 2, number])
        means = values[rng.integers(0, len(values), (4000, len(values)))].mean(axis=1)
        half = float(stats.t.ppf(0.975, len(values) - 1)) * values.std(ddof=1) / len(values) ** 0.5
        percentile = np.quantile(means, [0.025, 0.975])
        yield Row(
            kind=kind,
            seed=seed,
            round=number,
            labels=result.n_labels,
            measured=audit.measured,
            clusters=found.clusters,
            dice=_rounded(found.value),
            low=_rounded(found.low or 0.0),
            high=_rounded(1.0 if found.high is None else found.high),
            whole_pool=_rounded(np.mean(list(each.values()))),
            not_trained_on=_rounded(np.mean(rest)),
            percentile_low=_rounded(percentile[0]),
            percentile_high=_rounded(percentile[1]),
            t_low=_rounded(values.mean() - half),
            t_high=_rounded(values.mean() + half),
            seconds=round(time.perf_counter() - begun, 2),
            commit=rows.commit(),
        )


def _rounded(value: float | np.floating[Any]) -> float:
    return round(float(value), 4)


def _images(kind: str, seed: int) -> tuple[npt.NDArray[np.uint8], npt.NDArray[np.uint8], list[str] | None]:
    """Return images, masks and groups of a campaign."""
    images, masks = alkit.synthetic.lesions(IMAGES, size=SIDE, seed=1000 + seed)
    rng, values = np.random.default_rng([seed, 0]), images.astype(np.float64)
    if kind == "groups":
        middle = values.mean(axis=(1, 2, 3), keepdims=True)
        contrast = np.repeat(rng.uniform(0.3, 1.0, IMAGES // 3), 3)[:, None, None, None]
        values = middle + contrast * (values - middle)
    if kind == "failures":
        inverted = rng.random(IMAGES) < 0.05
        values[inverted] = 255 - values[inverted]
    groups = [f"p{number // 3}" for number in range(IMAGES)] if kind == "groups" else None
    return np.clip(values, 0, 255).astype(np.uint8), masks, groups


def _dice_of(experiment: alkit.Experiment, masks: dict[str, npt.NDArray[np.uint8]]) -> dict[str, float]:
    """Return the Dice of the last model on each image of the pool, computed here and not by alkit."""
    found = {}
    for batch in experiment.predict(experiment.pool):
        for id, label in zip(batch.ids, batch.labels, strict=True):
            one, other = label == 1, masks[id] == 1
            total = one.sum() + other.sum()
            found[id] = 2 * float((one & other).sum()) / float(total) if total else 1.0
    return found


def coverage(found: list[Row]) -> Iterator[str]:
    """Yield the coverage of the intervals in words: of the last round, by kind, and while the audit is incomplete."""
    last = [row for row in found if row.round == ROUNDS]
    for truth in ("whole_pool", "not_trained_on"):
        for low, high in (("low", "high"), ("percentile_low", "percentile_high"), ("t_low", "t_high")):
            hits = sum(getattr(row, low) <= getattr(row, truth) <= getattr(row, high) for row in last)
            width = np.mean([getattr(row, high) - getattr(row, low) for row in last])
            yield f"last round, {truth}, {low} to {high}: {hits} of {len(last)}, mean width {width:.3f}"
    for kind in KINDS:
        own = [row for row in last if row.kind == kind]
        yield f"last round, {kind}: {sum(row.low <= row.whole_pool <= row.high for row in own)} of {len(own)}"
    for number in range(ROUNDS):
        own = [row for row in found if row.round == number]
        hits = sum(row.low <= row.whole_pool <= row.high for row in own)
        yield f"round {number}, {np.mean([row.measured for row in own]):.0f} images: {hits} of {len(own)}"


def main() -> None:
    """Run the campaigns that have no rows yet, and print the coverage."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--out", type=Path, default=Path("benchmarks/results/audit.csv"))
    parser.add_argument("--campaigns", type=integer_from(1), default=100)
    parser.add_argument("--report", action="store_true", help="only print the coverage of the rows")
    given = parser.parse_args()
    done = {row.seed for row in rows.read_as(Row, given.out)}
    for seed in () if given.report else range(given.campaigns):
        if seed not in done:
            rows.append(given.out, [asdict(row) for row in campaign(KINDS[seed % len(KINDS)], seed)])
    print(*coverage(rows.read_as(Row, given.out)), sep="\n")


if __name__ == "__main__":
    start(main)
