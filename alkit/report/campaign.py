"""The summary of the campaign in a record."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import UTC, datetime

from alkit.arguments.checked import checked
from alkit.checks import check_integer, check_number
from alkit.errors import AlkitError
from alkit.evaluation.chosen import lower_is_better
from alkit.evaluation.meanings import DIRECTIONS, falls
from alkit.record.audit import kept_apart, recorded_audit
from alkit.record.facts import QUEUE
from alkit.record.grouping import allowed_in_record
from alkit.record.removing import REMOVED
from alkit.record.settings import Settings
from alkit.record.store import Store, in_one_moment
from alkit.record.testsets import test_set
from alkit.record.unread import list_unread
from alkit.report.annotators import recorded_agreement, recorded_doubts
from alkit.report.audit import comparable_history
from alkit.report.costs import recorded_cost
from alkit.report.imported import since_import, unasked_sources, unasked_untrained
from alkit.report.outlook import Outlook, make_outlook
from alkit.report.reviews import recorded_reviews
from alkit.report.summary import CampaignSummary, summary
from alkit.stopping import Advice, stopping_advice
from alkit.values.rounds import RoundResult

USUAL_BATCH = 30
"""Size of the next batch if nothing has been asked yet and there is no schedule."""


@checked
@in_one_moment
def campaign_summary(record: Store, batch: int | None = None, *, hours: float | None = None) -> CampaignSummary:
    """Return the summary of a record, with the advice of all stopping rules for a next batch of `batch` images.

    It is what ``alkit status`` shows. New labels, and labels of images that several annotators labelled, are read.

    Parameters
    ----------
    record:
        The record, open. It is not changed.
    batch:
        Number of images in the next batch. Default: that of the schedule, of the last call of top_up or ask, or 30.
    hours:
        Hours of work, over all annotators, that the outlook is for. Default: those of the next batch.

    Raises
    ------
    ConfigurationError
        `batch` is less than 1, or `hours` is not above 0.
    """
    if batch is not None:
        check_integer("batch", batch, least=1)
    if hours is not None:
        check_number("hours", hours, 0, open_ends="(")
    snapshot, settings = record.snapshot(), Settings(record)
    history, removed = snapshot.rounds, record.fact(REMOVED) or {}
    found = [standing for standing in snapshot.standings if standing.query.id not in removed]
    schedule, images, recorded = settings.schedule, settings.images, set(settings.recorded_ids or ())
    planned = None if schedule is None else schedule.batch
    size = (planned or record.fact(QUEUE) or record.size_of_last_ask() or USUAL_BATCH) if batch is None else batch
    taken = {query.id for query in snapshot.queries} | snapshot.known.keys()
    labelled = [id for id, known in snapshot.known.items() if known.labels]
    left_out = (settings.unusable.keys() & recorded) | (recorded - allowed_in_record(record, sorted(recorded)))
    tested, audit = test_set(settings, record) is not None, recorded_audit(record)
    left_out |= kept_apart(record, sorted(recorded)) - set(audit.ids)
    left = None if images is None else images - len(taken | left_out)
    comparable = comparable_history(since_import(history), tested=tested)
    advice = stopping_advice(_with_rising_metrics(comparable, record), size)
    told = summary(
        found,
        history,
        now=datetime.now(UTC),
        advice=advice,
        next_batch=size,
        left=left,
        tested=tested,
        held_out=settings.held_out(labelled),
        unread=list_unread(record),
        unusable=settings.unusable,
    )
    return _with_labels(
        replace(
            told,
            audit=audit,
            learnable=settings.has_enough(labelled),
            least=settings.fewest_labels,
            unasked=unasked_sources(snapshot),
            in_review=tuple(entry.query.id for entry in snapshot.open_reviews),
            unasked_untrained=unasked_untrained(snapshot, settings.unusable),
            outlook=_outlook(record, comparable, advice, size, hours, left),
        ),
        record,
    )


def _outlook(
    record: Store,
    history: Sequence[RoundResult],
    advice: Mapping[str, Advice],
    batch: int,
    hours: float | None,
    left: int | None,
) -> Outlook | None:
    """Return what the next labels are expected to bring; None before the first round."""
    if not history:
        return None
    annotators = max((query.wanted for query in record.queries()[-batch:]), default=1)
    cost = recorded_cost(record, outlines=False)
    return make_outlook(
        history,
        advice,
        batch,
        cost,
        hours=hours,
        annotators=annotators,
        left=left,
        directions=record.fact(DIRECTIONS),
    )


def _with_rising_metrics(history: Sequence[RoundResult], record: Store) -> tuple[RoundResult, ...]:
    """Return rounds without metrics of the user's own that fall while a model improves: no rule can tell that."""
    known = record.fact(DIRECTIONS) or {}

    def own(name: str) -> bool:
        return falls(name, known) and not lower_is_better(name)

    return tuple(
        replace(result, metrics={name: value for name, value in result.metrics.items() if not own(name)})
        for result in history
    )


def _with_labels(told: CampaignSummary, record: Store) -> CampaignSummary:
    """Return a summary with what only the labels tell; if one cannot be read, with the reason."""
    try:
        several = any(len(known.labels) > 1 for known in record.snapshot().known.values())
        agreement = recorded_agreement(record) if several else None
        doubts = recorded_doubts(record)
        reviews = recorded_reviews(record)
    except AlkitError as reason:
        return replace(told, not_compared=str(reason))
    compared = agreement if agreement is not None and agreement.images else None
    return replace(told, agreement=compared, doubts=doubts, reviews=reviews)
