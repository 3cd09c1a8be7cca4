"""``alkit demo``: active learning on synthetic images, in a few minutes and without any data."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from alkit.networks.factory import NetworkFactory
    from alkit.protocols import Strategy
    from alkit.values.progress import Report
    from alkit.values.rounds import RoundResult

START, BATCH, ROUNDS = 20, 20, 5
IMAGES, TEST, SIZE = 400, 100, 64


def demo(
    out: Annotated[Path, typer.Option(help="Folder for the picture and the records.")] = Path("demo"),
    seed: Annotated[int, typer.Option(help="Seed of all random steps. The images are always the same.")] = 0,
) -> None:
    """Compare SSL-cluster with random selection on synthetic images of skin lesions.

    The demo takes at most three minutes on two cores. If it is interrupted, the same command continues it.

    [dim]Example:[/dim] [cyan]alkit demo --out demo[/cyan]
    """
    from rich.console import Console

    from alkit.cli.tables import results_table
    from alkit.report.curves import learning_curves
    from alkit.report.progress import progress_bar

    console = Console()
    histories = {}
    for name in ("ssl-cluster", "random"):
        with progress_bar(name) as report:
            histories[name] = play(name, seed, out / f"{name}-{seed}.db", report)
        last = histories[name][-1]
        console.print(f"[bold]{name}[/bold]: dice {last.metrics['dice']:.3f} at {last.n_labels} labels")
    picture = out / "learning-curve.png"
    learning_curves(
        {name: [history] for name, history in histories.items()},
        picture,
        title=f"{IMAGES - TEST} synthetic images, seed {seed}",
    )
    console.print(results_table(histories))
    console.print(f"The learning curves are in {picture}. A comparison needs several seeds. Next: alkit run --help")


def play(name: str, seed: int, store: Path, report: Report) -> tuple[RoundResult, ...]:
    """Run the experiment of the demo with one strategy, and return its rounds."""
    import alkit
    from alkit.rng import threads

    images, masks = alkit.synthetic.lesions(IMAGES, size=SIZE)
    pool, test = alkit.ArrayPool(images, scale="minmax").split(test=TEST, seed=seed)
    oracle = alkit.MaskOracle({f"{row:04}": mask for row, mask in enumerate(masks)}, classes=("skin", "lesion"))
    learner = alkit.SegmentationLearner(_network(), epochs=(20, 12), lr=1e-3)
    with threads(1):  # for small images a second thread is slower, and one gives the same numbers on every machine
        experiment = alkit.Experiment(pool, learner, _strategy(name), store=store, seed=seed, report=report)
        return experiment.run(oracle, test=test, start=START, batch=BATCH, rounds=ROUNDS)


def _strategy(name: str) -> Strategy:
    import alkit

    if name != "ssl-cluster":
        return alkit.strategy(name)
    return alkit.strategy(name, features=alkit.Reconstruction(_network(), epochs=20))


def _network() -> NetworkFactory:
    from functools import partial

    import alkit

    return partial(alkit.UNet, widths=(8, 16, 32, 64, 128))
