"""The next step of a campaign: the command to type, and the reason for it."""

from __future__ import annotations

import shlex
from dataclasses import dataclass

from alkit.report.summary import CampaignSummary
from alkit.values.queries import State


@dataclass(frozen=True, slots=True)
class Step:
    """The next step of a campaign.

    Parameters
    ----------
    command:
        Command to type. Words in capitals are to be filled in.
    why:
        Reason, as a clause without a full stop.
    """

    command: str
    why: str


def next_step(summary: CampaignSummary, store: str, *, scheduled: bool = False, placed: bool = False) -> Step:
    """Return the next step of a campaign.

    Parameters
    ----------
    summary:
        Summary of the campaign.
    store:
        File of the record.
    scheduled:
        Whether the record belongs to a simulation, whose rounds ``alkit run`` carries out.
    placed:
        Whether the record knows where its queries are sent. The command then need not name the place.

    Examples
    --------
    >>> from datetime import UTC, datetime
    >>> from alkit.report.summary import summary
    >>> new = summary([], [], now=datetime.now(UTC), advice={}, next_batch=35)
    >>> next_step(new, "runs/my skin.db").command
    "alkit ask 'runs/my skin.db' -n 35 --out FOLDER"
    """
    path = shlex.quote(store)
    if scheduled:
        return _step_of_a_run(summary, path)
    to, source = ("", "") if placed else (" --out FOLDER", " --from FOLDER")
    waiting, pending = len(summary.open), sum(query.state is State.PENDING for query in summary.open)
    if pending:
        return Step(f"alkit ask {path}{to}", f"{_images(pending)} selected and not sent out yet")
    if waiting:
        why = "1 image waits for an answer" if waiting == 1 else f"{waiting} images wait for an answer"
        if summary.overdue:
            handed = any(query.overdue and query.assigned for query in summary.open)
            why += f", {len(summary.overdue)} of them overdue"
            why += f": alkit ask {path} gives them to somebody else" if handed else ""
        others = "" if summary.left == 0 else f", and alkit ask {path} -n {summary.next_batch} does not wait for them"
        return Step(f"alkit tell {path}{source}", f"{why}; alkit withdraw {path} takes the queries back{others}")
    stale, answered = summary.untrained.get(State.STALE, 0), summary.untrained.get(State.ANSWERED, 0)
    imported = summary.unasked_untrained
    if (stale or answered or imported) and summary.learnable:
        whys = [f"{_images(answered)} labelled and not trained on yet"] if answered else []
        whys += [f"{_images(imported)} labelled without a query and not trained on yet"] if imported else []
        whys += [f"{_images(stale)} revised since the last training"] if stale else []
        return Step(f"alkit fit {path}", ", and ".join(whys))
    predict = f"alkit predict {path} --images FOLDER --out FOLDER"
    if summary.history and summary.left == 0:
        return Step(predict, "all images of the pool have been queried")
    if summary.history and summary.enough:
        return Step(predict, _enough(summary))
    why = "the model is trained on all labels" if summary.history else "no image has been queried yet"
    if summary.labels and not summary.learnable:
        why = "all labels so far are held out for evaluation, so there is none to train on"
        if summary.least > 1:
            why = f"the network needs at least {summary.least} labels to train on that are not held out"
    elif not summary.history and summary.states:
        why = "none of the queried images has a label"
    if summary.left == 0:
        return Step("alkit start NEW.db --images FOLDER --classes NAMES", f"the pool has no images left, and {why}")
    batch = summary.next_batch if summary.left is None else min(summary.next_batch, summary.left)
    return Step(f"alkit ask {path} -n {batch}{to}", why)


def _step_of_a_run(summary: CampaignSummary, path: str) -> Step:
    if summary.open or summary.states.get(State.ANSWERED) or not summary.history:
        return Step(f"alkit run ... --store {path}", "the run was interrupted; the same command continues it")
    if summary.left == 0:
        return Step(f"alkit predict {path} --images FOLDER --out FOLDER", "all images of the pool have been queried")
    if summary.enough:
        return Step(
            f"alkit predict {path} --images FOLDER --out FOLDER", "more labels are not expected to be worth their cost"
        )
    more = f"alkit run ... --store {path} --rounds {len(summary.history)}"
    return Step(more, "the run is complete; the same command with more rounds continues it")


def _enough(summary: CampaignSummary) -> str:
    if summary.worth is False:
        return "the stopping rules advise to stop"
    return "more labels are not expected to be worth their cost"


def _images(n: int) -> str:
    return "1 image is" if n == 1 else f"{n} images are"
