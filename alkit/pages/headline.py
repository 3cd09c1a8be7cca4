"""The headline of a campaign: what it has reached, in plain words, and what to do next."""

from __future__ import annotations

from collections.abc import Iterator

from alkit.pages.campaign import Campaign
from alkit.pages.curve import Point, last_point
from alkit.pages.words import counted, duration, metric_title, moment, number, share, short
from alkit.report.page import Headline, KeyFigure


def headline(campaign: Campaign) -> Headline:
    """Return what stands above the sections of the page."""
    step = campaign.step
    return Headline(
        over=f"alkit campaign {short(campaign.name, 120)} · as of {moment(campaign.now)}",
        title=_title(campaign),
        lead=tuple(_lead(campaign)),
        figures=tuple(_figures(campaign)),
        next_step=(f"{step.why}.", step.command),
    )


def _title(campaign: Campaign) -> str:
    labelled, images = len(campaign.labels), campaign.settings.images
    if not labelled:
        return "No image is labelled yet"
    of = f"{number(labelled)} of {counted(images, 'image')}" if images else counted(labelled, "image")
    found = last_point(campaign)
    if found is None or not found.shown:
        return f"{of} labelled"
    return f"{of} labelled, {metric_title(found.metric)} {found.text()}"


def _lead(campaign: Campaign) -> Iterator[str]:
    told, found = campaign.summary, last_point(campaign)
    if found is not None:
        yield f"{_model(campaign)} {found.in_words()}"
    elif told.history:
        yield f"{_model(campaign)} was not measured: the campaign has neither an audit set, a test set nor a hold-out."
    elif campaign.labels:
        yield "No model is trained yet."
    if told.outlook is not None:
        yield campaign.words(told.outlook.recommendation.text)
    elif told.history and told.advice:
        yield campaign.words(told.verdict)


def _model(campaign: Campaign) -> str:
    last = campaign.summary.history[-1]
    return f"The latest model (round {last.round}), trained on {counted(last.n_labels, 'label')},"


def _figures(campaign: Campaign) -> Iterator[KeyFigure]:
    told, images = campaign.summary, campaign.settings.images
    labelled = len(campaign.labels)
    of = f"of {counted(images, 'image')}, {share(labelled, images)}" if images else ""
    yield KeyFigure("Images labelled", number(labelled), of)
    if (found := last_point(campaign)) is not None:
        yield _of_the_model(found)
    if told.agreement is not None and told.agreement.mean is not None:
        measure = {"dice": "Dice between annotators", "kappa": "Cohen's kappa between annotators"}
        disputed = len(told.agreement.disputed)
        detail = f"{measure[told.agreement.measure]}, {counted(disputed, 'image')} disputed"
        yield KeyFigure("Agreement", f"{told.agreement.mean:.2f}", detail)
    if told.open or told.states:
        oldest = max((query.hours for query in told.open), default=0.0)
        detail = f"the oldest for {duration(3600 * oldest)}" if told.open else "nobody has to label anything"
        yield KeyFigure("Waiting for an answer", number(len(told.open)), detail)
    if told.seconds is not None:
        yield KeyFigure(
            "Time per label", duration(told.seconds.median), f"median of {counted(told.seconds.n, 'label')}"
        )


def _of_the_model(found: Point) -> KeyFigure:
    return KeyFigure(metric_title(found.metric), found.value_text(), found.detail())
