"""``alkit fit``: train on all labels of a campaign."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from alkit.cli import options
from alkit.cli.expanding import expand
from alkit.cli.printing import echo, quote
from alkit.cli.stores import Record
from alkit.cli.wording import warning_for_command_line

if TYPE_CHECKING:
    from alkit.values.rounds import RoundResult

MOVE = (
    "This record keeps its settings: for other ones, start another record, and bring the labels there with "
    "alkit export --labels masks and alkit import."
)
"""What follows warnings whose fix is another option of ``alkit start``."""


@expand
def fit(
    store: Record,
    images: options.Images = None,
    learner: options.OwnLearner = None,
    metrics: options.Metrics = None,
    kinds: options.Kinds = None,
    wait: Annotated[bool, typer.Option("--wait", help="Refuse to train while an image waits for an answer.")] = False,
    workers: options.Workers = None,
) -> None:
    """Train on all labels so far, and evaluate on the test set, or else on the labels held out.

    Images that wait for an answer stay open, and their labels count from the next round on. Without new labels, nothing
    is done. `alkit ask` does this before it selects images. Use this command to train the final model. Other metrics
    count from this round on.

    [dim]Example:[/dim]

    [cyan]alkit fit campaign.db[/cyan]
    """
    from alkit.cli.metrics import change_metrics
    from alkit.cli.records import open_campaign, record_at
    from alkit.cli.testset import recorded_test_set
    from alkit.record.choices import TEST_SET
    from alkit.report.progress import progress_bar
    from alkit.sharing.workers import working

    with working(options.read_workers(workers)), progress_bar(str(store)) as report, record_at(store) as record:
        change_metrics(record, metrics, kinds)
        experiment = open_campaign(record, images, report, learner)
        before, tested = len(experiment.history), record.fact(TEST_SET) is not None
        tests = recorded_test_set(record, experiment.pool, report)
        result = experiment.fit(**tests, wait_for_answers=wait)
        waiting = len(experiment.open_ids)
    news = "" if len(experiment.history) > before else "No new labels to train on. "
    first, *warnings = describe_round(result, tested=tested)
    echo(f"{news}{first}", *warnings)
    if waiting:
        echo(f"{about_waiting(waiting)}; answers that come now count from the next round on.")
    echo(f"Next: alkit status {quote(store)}")


def about_waiting(n: int) -> str:
    """Return how many images wait for an answer, as a clause."""
    return "1 image waits for an answer" if n == 1 else f"{n} images wait for an answer"


def describe_round(result: RoundResult, *, tested: bool = False) -> list[str]:
    """Describe the result of a round in one line, followed by its warnings.

    Parameters
    ----------
    tested:
        Whether the campaign has a test set.
    """
    from alkit.report.audit import shown_figure

    named = [(name, shown_figure(result, name, tested=tested)) for name in list(result.metrics)[:2]]
    figures = "".join(f", {name} {text}" for name, text in named if text is not None)
    held = ""
    if figures and result.measured_on == "audit set" and result.audit is not None:
        held = f" on {result.audit.measured} images of the audit set"
    elif figures and tested:
        held = " on the test set"
    elif result.metrics and result.n_held_out:
        few = "" if figures else ", measured"
        held = f"{few} on {_labels(result.n_held_out)} held out" + ("" if figures else ", too few to show a figure")
    unasked = f", {result.n_unasked} of which nobody asked for" if result.n_unasked else ""
    line = f"Round {result.round}: trained on {_labels(result.n_labels)}{unasked}{figures}{held}."
    warnings = [warning_for_command_line(warning, "alkit start") for warning in result.warnings]
    lines = [line, *(f"Warning: {warning}" for warning in warnings)]
    return [*lines, MOVE] if any("of alkit start" in warning for warning in warnings) else lines


def _labels(n: int) -> str:
    return "1 label" if n == 1 else f"{n} labels"
