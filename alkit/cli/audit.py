"""The option of the audit set, and how it is shown when it is drawn."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Annotated

import typer

from alkit.cli.options import PEOPLE

if TYPE_CHECKING:
    from alkit.experiment.loop import Experiment
    from alkit.record.store import Store

Audit = Annotated[
    int | None,
    typer.Option(
        help="Number of images of the audit set: drawn at random, mixed into the batches, labelled like others and "
        "never trained on. The model is measured on them, with an interval. 40 is a good number.",
        rich_help_panel=PEOPLE,
    ),
]

USUAL_HOLD_OUT = 0.2
"""Share of the labels that are held out if nothing is said and there is no audit set."""


def hold_out_beside(hold_out: float | None, audit: int | None, store: Store | None) -> float:
    """Return the share of the labels to hold out: that given; else none with an audit set, which measures better."""
    from alkit.record.audit import recorded_audit

    if hold_out is not None:
        return hold_out
    size = (0 if store is None else len(recorded_audit(store).ids)) if audit is None else audit
    return 0.0 if size else USUAL_HOLD_OUT


def audit_drawn_in_words(experiment: Experiment) -> Iterator[str]:
    """Yield a sentence about the audit set of an experiment, and one if it costs many candidates."""
    drawn = experiment.audit
    if not drawn:
        return
    images = len(experiment.pool.ids)
    beside = len(experiment.apart) - len(drawn)
    yield f"Audit set: {len(drawn)} images, drawn at random and mixed into the batches. They are never trained on."
    if beside:
        much = " A smaller --audit leaves more to train on." if beside > images / 4 else ""
        yield f"{beside} more images belong to their groups or resemble them, and are not asked either.{much}"


def change_audit(experiment: Experiment, audit: int) -> list[str]:
    """Enlarge the audit set of an experiment; return a line if it differs."""
    from alkit.experiment.audit import settle_audit

    before = len(experiment.audit)
    settle_audit(experiment._parts, audit)
    now = len(experiment.audit)
    return [] if now == before else [f"audit: recorded {before}, now {now}"]
