"""A live progress bar for alkit's progress reports, in a terminal or in a notebook."""

from __future__ import annotations

import sys
import time
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from html import escape
from typing import TYPE_CHECKING, Any

from alkit.arguments.checked import checked
from alkit.errors import AlkitError, one_line

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


PAUSE = 0.1
"""Seconds between two updates in a notebook."""


class StoppedError(AlkitError):
    """The user pressed Ctrl-C."""


@contextmanager
@checked
def progress_bar(title: str = "") -> Iterator[Report]:
    """Show one bar for the rounds and one for the present stage, in a terminal or a notebook.

    In a terminal both disappear at the end. Elsewhere, as in a log file, nothing is shown. ``Experiment.run(...,
    progress=True)`` shows the same bars.

    Parameters
    ----------
    title:
        Title of the bar of rounds.

    Raises
    ------
    StoppedError
        The user pressed Ctrl-C.
    """
    try:
        with bars(title) as report:
            yield report
    except KeyboardInterrupt:
        raise StoppedError("stopped; finished work is kept, and the same command continues") from None


def bars(title: str = "") -> AbstractContextManager[Report]:
    """Return the bars of :func:`progress_bar`, which leave an interruption by the user as it is."""
    return _notebook_bars(title) if in_notebook() else _terminal_bars(title)


def in_notebook() -> bool:
    """Whether this code runs in a notebook that can show HTML."""
    shell = sys.modules["IPython"].get_ipython() if "IPython" in sys.modules else None
    return type(shell).__name__ == "ZMQInteractiveShell"


@contextmanager
def _terminal_bars(title: str) -> Iterator[Report]:
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, TextColumn, TimeElapsedColumn
    from rich.progress import Progress as Bars

    columns = (
        TextColumn("{task.description:<32}", markup=False),
        BarColumn(),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
    )
    console = Console(stderr=True)
    with Bars(*columns, console=console, transient=True, disable=not console.is_terminal) as bars:
        rounds = bars.add_task(one_line(title) or WORDS["round"], total=None)
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
            bars.update(now, completed=step.done, total=step.total, description=_words(step)[:32])

        yield report


def _words(step: Progress) -> str:
    details = "".join(f" {name} {value:.3f}" for name, value in step.detail.items())
    return one_line(WORDS.get(step.stage, step.stage) + details)


@contextmanager
def _notebook_bars(title: str) -> Iterator[Report]:
    """Show bars as HTML below the cell. They need IPython only, which every notebook has."""
    from IPython.display import HTML, display

    shown: dict[str, Progress] = {}
    begun, last = time.monotonic(), 0.0
    handle: Any = display(HTML(_html(title, shown, 0)), display_id=True)

    def report(step: Progress) -> None:
        nonlocal last
        shown["round" if step.stage == "round" else "now"] = step
        now = time.monotonic()
        if step.done >= step.total or now - last > PAUSE:
            last = now
            handle.update(HTML(_html(title, shown, now - begun)))

    try:
        yield report
    finally:
        shown.pop("now", None)
        handle.update(HTML(_html(title, shown, time.monotonic() - begun)))


def _html(title: str, shown: dict[str, Progress], seconds: float) -> str:
    lines = []
    for name in ("round", "now"):
        if (step := shown.get(name)) is not None:
            words = (title or WORDS["round"]) if name == "round" else _words(step)
            bar = f'<progress value="{step.done}" max="{max(step.total, 1)}"></progress>'
            lines.append(f"<div>{bar} {escape(words)} {step.done}/{step.total}</div>")
    return f"<div>{''.join(lines)}<small>{seconds:.0f} s</small></div>"
