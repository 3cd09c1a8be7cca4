"""``alkit demo``: active learning on synthetic images of one common kind and three rare ones, without any data."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt
    from rich.table import Table

    from alkit.experiment.loop import Experiment
    from alkit.protocols import Pool
    from alkit.statistics.estimates import Estimate
    from alkit.values.progress import Report
    from alkit.values.rounds import RoundResult

STRATEGY = "maxherding"
START, BATCH, ROUNDS = 10, 10, 2
IMAGES, TEST, SIZE = 500, 200, 48
SEEDS = 5
EPOCHS = 100, 40
IMAGES_DICE, KINDS_DICE = "dice", "dice over kinds"


def demo(
    out: Annotated[Path, typer.Option(help="Folder for the picture and the records.")] = Path("demo"),
    seed: Annotated[int, typer.Option(help="First of five seeds. The images are always the same.")] = 0,
) -> None:
    """Compare the recommended strategy with random selection on synthetic images of cells.

    Most images are of one kind, and three kinds are rare, as in many pools. Five seeds divide the images into a pool
    and a test set. The demo takes about a minute on two cores. If it is interrupted, the same command continues it.

    [dim]Example:[/dim] [cyan]alkit demo --out demo[/cyan]
    """
    from rich.console import Console

    from alkit.report.curves import learning_curves
    from alkit.report.progress import progress_bar

    console = Console()
    runs: dict[str, list[tuple[RoundResult, ...]]] = {STRATEGY: [], "random": []}
    for number in range(seed, seed + SEEDS):
        for name, own in runs.items():
            with progress_bar(f"{name}, seed {number}") as report:
                own.append(play(name, number, out / f"{name}-{number}.db", report))
    picture = out / "learning-curve.png"
    title = f"{IMAGES - TEST} synthetic images of four kinds, {SEEDS} seeds"
    learning_curves(runs, picture, metric=KINDS_DICE, title=title)
    console.print(_table(runs))
    console.print(sentence(runs))
    console.print(f"The learning curves are in {picture}. Next: alkit start --help")


def play(name: str, seed: int, store: Path, report: Report) -> tuple[RoundResult, ...]:
    """Run one experiment of the demo, and return its rounds with the Dice over images and over kinds."""
    from functools import partial

    import alkit
    from alkit._files import write_atomically
    from alkit.cli.demo_images import draw_cells
    from alkit.rng import threads

    cells = draw_cells(IMAGES, SIZE)
    pool, test = alkit.ArrayPool(cells.images).split(test=TEST, seed=seed)
    rows = dict(zip((f"{row:04}" for row in range(IMAGES)), range(IMAGES), strict=True))
    oracle = alkit.MaskOracle({id: cells.masks[row] for id, row in rows.items()}, classes=("background", "cell"))
    network = partial(alkit.UNet, widths=(8, 16, 32, 64))
    learner = alkit.SegmentationLearner(network, epochs=EPOCHS, lr=3e-3)
    measured = store.with_suffix(".json")
    known = json.loads(measured.read_text()) if measured.exists() else {}
    with threads(1):  # for small images a second thread is slower, and one gives the same numbers on every machine
        experiment = alkit.Experiment(pool, learner, alkit.strategy(name), store=store, seed=seed, report=report)
        for number in range(ROUNDS + 1):
            history = experiment.run(oracle, test=test, start=START, batch=BATCH, rounds=number)
            if str(number) not in known:  # the last model is that of this round
                truth = cells.masks[[rows[id] for id in test.ids]]
                known[str(number)] = _over_kinds(experiment, test, truth, [cells.kinds[rows[id]] for id in test.ids])
                write_atomically(measured, json.dumps(known).encode())
    return tuple(
        replace(result, metrics={**result.metrics, KINDS_DICE: known[str(result.round)]}) for result in history
    )


def _over_kinds(experiment: Experiment, test: Pool, truth: npt.NDArray[np.uint8], kinds: Sequence[str]) -> float:
    """Return the mean over kinds of the mean Dice over the images of a kind."""
    from statistics import fmean

    by_kind: dict[str, list[float]] = {}
    place = 0
    for batch in experiment.predict(test):
        for predicted, mask in zip(batch.labels, truth[place : place + len(batch.ids)], strict=True):
            both, size = int((predicted & mask).sum()), int(predicted.sum() + mask.sum())
            by_kind.setdefault(kinds[place], []).append(2 * both / size if size else 1.0)
            place += 1
    return fmean(fmean(own) for own in by_kind.values())


def gain(runs: Mapping[str, Sequence[Sequence[RoundResult]]], metric: str) -> Estimate:
    """Return the mean over seeds of the strategy's metric minus that of random selection, averaged over the rounds."""
    from statistics import fmean

    from alkit.statistics.estimates import estimate

    means = {name: [fmean(result.metrics[metric] for result in run) for run in own] for name, own in runs.items()}
    return estimate([ours - theirs for ours, theirs in zip(means[STRATEGY], means["random"], strict=True)])


def sentence(runs: Mapping[str, Sequence[Sequence[RoundResult]]]) -> str:
    """Return what the demo shows, with 95 % intervals."""
    return (
        f"{STRATEGY} minus random, over {len(runs['random'])} seeds and {START} to {START + ROUNDS * BATCH} labels: "
        f"{gain(runs, KINDS_DICE)} in Dice over kinds, {gain(runs, IMAGES_DICE)} over all images (95 % intervals)."
    )


def _table(runs: Mapping[str, Sequence[Sequence[RoundResult]]]) -> Table:
    from statistics import fmean

    from rich.table import Table

    table = Table("labels", *(f"{name}\n{metric}" for metric in (IMAGES_DICE, KINDS_DICE) for name in runs))
    for number in range(ROUNDS + 1):
        cells = [
            f"{fmean(history[number].metrics[metric] for history in own):.3f}"
            for metric in (IMAGES_DICE, KINDS_DICE)
            for own in runs.values()
        ]
        table.add_row(str(START + number * BATCH), *cells)
    return table
