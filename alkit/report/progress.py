"""A live progress bar for alkit's progress reports."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from alkit.arguments.checked import checked
from alkit.errors import AlkitError

if TYPE_CHECKING:
    from alkit.values.progress import Progress, Report

WORDS = {
    "download": "downloading",
    "read": "reading images",
    "pretext": "self-supervised training",
    "features": "computing features",
    "scores": "computing scores",
    "predict": "predicting",
    "rehearse": "trying the learner",
    "ask": "selecting images",
    "tell": "recording labels",
    "fit": "training",
    "evaluate": "evaluating",
    "check": "checking masks",
    "round": "rounds",
}


class StoppedError(AlkitError):
    """The user pressed Ctrl-C."""


@contextmanager
@checked
def progress_bar(title: str = "") -> Iterator[Report]:
    """Show one bar for the rounds and one for the present stage. Both disappear at the end.

    Parameters
    ----------
    title:
        Title of the bar of rounds.

    Raises
    ------
    StoppedError
        The user pressed Ctrl-C.
    """
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
            raise StoppedError("stopped; finished work is kept, and the same command continues") from None
