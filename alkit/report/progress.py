"""A live progress bar out of alkit's progress reports."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from alkit.errors import AlkitError

if TYPE_CHECKING:
    from alkit.values.progress import Progress, Report

WORDS = {
    "download": "downloading",
    "read": "reading images",
    "pretext": "learning from unlabelled images",
    "features": "describing images",
    "scores": "scoring images",
    "predict": "predicting",
    "ask": "choosing images",
    "tell": "labelling",
    "fit": "training",
    "evaluate": "measuring",
    "round": "rounds",
}


class StoppedError(AlkitError):
    """Somebody pressed Ctrl-C."""


@contextmanager
def progress_bar(title: str = "") -> Iterator[Report]:
    """Show one bar for the rounds and one for what goes on at present; nothing is left on the screen afterwards."""
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, TextColumn, TimeElapsedColumn
    from rich.progress import Progress as Bars

    columns = (TextColumn("{task.description:<32}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
    console = Console(stderr=True)
    with Bars(*columns, console=console, transient=True, disable=not console.is_terminal) as bars:
        rounds = bars.add_task(title or WORDS["round"], total=None)
        now = bars.add_task("starting", total=None)
        stage = ""

        def report(step: Progress) -> None:
            nonlocal stage
            if step.stage == "round":
                bars.update(rounds, completed=step.done, total=step.total)
                return
            if step.stage != stage:
                stage = step.stage
                bars.reset(now)
            detail = "".join(f" {name} {value:.3f}" for name, value in step.detail.items())
            description = WORDS.get(stage, stage) + detail
            bars.update(now, completed=step.done, total=step.total, description=description[:32])

        try:
            yield report
        except KeyboardInterrupt:
            raise StoppedError("stopped; what was finished is kept, and the same command goes on") from None
