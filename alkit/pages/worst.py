"""The images that the last model predicts worst, among those it was not trained on."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import NamedTuple

import numpy as np

from alkit.errors import AlkitError
from alkit.evaluation.agreement import dice_of_two
from alkit.experiment.deciding import Deciding, decide_in
from alkit.labels.framing import to_working
from alkit.labels.joining import join_rule
from alkit.pages.campaign import Campaign
from alkit.pages.predicted import Probabilities, last_model, predict
from alkit.pages.thumbnails import seen, side_by_side, with_mask
from alkit.pages.words import counted, short
from alkit.pools.frames import frames_of
from alkit.record.audit import recorded_audit
from alkit.record.label_files import LabelFiles, at_one_size, fit_of
from alkit.report.blocks import AnyBlock, Gallery, Note, Shot
from alkit.report.page import Text
from alkit.values.frames import Frame
from alkit.values.label_spec import Label, LabelSpec

MOST_PREDICTED = 200
"""Greatest number of images that are predicted to find the worst ones."""

LONGEST = 200
"""Pixels of the longer side of a picture."""


class Case(NamedTuple):
    """An image with its label and its prediction.

    Parameters
    ----------
    score:
        How well both agree, in [0, 1]: their Dice coefficient, the probability of the true class, or the share of the
        classes about which both say the same.
    """

    id: str
    score: float
    label: Label
    predicted: Probabilities
    frame: Frame


def worst(campaign: Campaign) -> list[AnyBlock]:
    """Return the blocks about the worst cases; none if they are not wanted."""
    if not campaign.wishes.worst or not campaign.wishes.pictures:
        return []
    if campaign.snapshot.last_model is None:
        return [Text("No model is trained yet.")]
    if campaign.pool is None:
        return [Text(f"The worst cases cannot be shown: {short(campaign.why_no_pool)}.")]
    on, ids = _apart(campaign)
    if not ids:
        return [
            Text(
                "There is no labelled image that the model was not trained on. With an audit set or a hold-out, its "
                "worst cases would stand here."
            )
        ]
    try:
        found = campaign.memory.recall("cases", _depends(campaign, ids), lambda: _sorted_cases(campaign, ids))
    except AlkitError as reason:
        return [Note(f"The worst cases cannot be shown: {short(campaign.words(str(reason)))}")]
    shown = found[: campaign.wishes.worst]
    spec = campaign.settings.spec
    shots = [shot for case in shown if (shot := _shot(campaign, case, spec)) is not None]
    some = f" (the first {MOST_PREDICTED})" if len(ids) > MOST_PREDICTED else ""
    what = MEASURES["sets" if spec.multiple else spec.per]
    text = (
        f"Of {counted(len(found), 'labelled image')}{some} in {on}, which the last model was not trained on, these are "
        f"predicted worst: {what} between label and prediction."
    )
    three = "Left: the image. Middle: its label. Right: the prediction." if spec.per == "pixel" else ""
    return [Text(text), *([Gallery(shots, three, wide=spec.per == "pixel")] if shots else [])]


MEASURES = {
    "pixel": "the lowest Dice coefficients",
    "image": "the lowest probabilities of the class of the label",
    "sets": "the fewest classes in common",
}


def _apart(campaign: Campaign) -> tuple[str, list[str]]:
    """Return the labelled images that the last model was not trained on, and what they are called."""
    there = set(campaign.ids)
    labelled = [id for id in campaign.labels if id in there]
    drawn = set(recorded_audit(campaign.record).ids)
    if audited := sorted(drawn.intersection(labelled)):
        return "the audit set", audited
    return "the hold-out", sorted(filter(campaign.settings.held_out(list(campaign.labels)), labelled))


def _depends(campaign: Campaign, ids: Sequence[str]) -> object:
    """Return what the cases depend on: the model, the labels, and what is decided about disputed ones."""
    told = _decided(campaign, ids)
    labels = [(id, [answer.label for answer in known.labels]) for id, known in told.known.items()]
    return campaign.snapshot.last_model, labels, sorted(told.joins)


def _decided(campaign: Campaign, ids: Sequence[str]) -> Deciding:
    known = {id: campaign.snapshot.known[id] for id in ids}
    return decide_in(campaign.record, campaign.settings.terms.join, known)


def _sorted_cases(campaign: Campaign, ids: Sequence[str]) -> list[Case]:
    return sorted(_cases(campaign, ids[:MOST_PREDICTED]), key=lambda case: (case.score, case.id))


def _cases(campaign: Campaign, ids: Sequence[str]) -> Iterator[Case]:
    spec, files = campaign.settings.spec, LabelFiles(campaign.record)
    recorded, fit = campaign.settings.terms.join, fit_of(campaign.settings.declared.get("pool"))
    told = _decided(campaign, ids)
    ids, joins = [id for id in ids if id in told.known], told.joins
    working = campaign.settings.shape[1:]
    assert campaign.pool is not None
    frames = dict(zip(ids, frames_of(campaign.pool, ids), strict=True))
    files.fetch([answer.label for id in ids for answer in told.known[id].labels if answer.label])
    for id, predicted in predict(campaign, last_model(campaign), ids):
        own = [files.read(answer.label) for answer in told.known[id].labels if answer.label]
        join = joins.get(id, join_rule(recorded))
        joined = own[0] if len(own) == 1 else join(at_one_size(own, spec, working, fit), spec.with_ignore())
        if joined is not None and (score := _score(joined, predicted, frames[id], spec)) is not None:
            yield Case(id, score, joined, predicted, frames[id])


def _score(label: Label, predicted: Probabilities, frame: Frame, spec: LabelSpec) -> float | None:
    if spec.per == "pixel":
        place = frame.content.slices
        true = to_working(label, frame, spec)[place]
        return dice_of_two(true, predicted.argmax(axis=0).astype(np.uint8)[place], spec.with_ignore())
    if spec.multiple:
        known = label != spec.with_ignore().ignore
        return float(np.mean((predicted[known] >= 0.5) == (label[known] == 1))) if known.any() else None
    return float(predicted[int(label)]) if int(label) < len(predicted) else None


def _shot(campaign: Campaign, case: Case, spec: LabelSpec) -> Shot | None:
    assert campaign.pool is not None
    picture, (height, width) = seen(campaign.pool.read([case.id])[0], case.frame, LONGEST)
    title, name = f"{case.score:.2f}", short(case.id, 60)
    if spec.per == "pixel":
        predicted = case.predicted.argmax(axis=0).astype(np.uint8)
        both = [with_mask(picture, mask, case.frame, spec) for mask in (case.label, predicted)]
        picture = side_by_side([picture, *both])
        height, width = picture.shape[:2]
        source = campaign.budget.picture(picture)
        alt = f"Image {name}, its label, and the prediction, which agree with a Dice of {title}"
        return None if source is None else Shot(source, width, height, alt, f"Dice {title}", [name])
    source = campaign.budget.picture(picture)
    said = [f"label: {_classes(case.label, spec)}", f"model: {_predicted(case.predicted, spec)}"]
    alt = f"Image {name}; {'; '.join(said)}"
    return None if source is None else Shot(source, width, height, alt, name, said)


def _classes(label: Label, spec: LabelSpec) -> str:
    if not spec.multiple:
        return short(spec.classes[int(label)], 60)
    return ", ".join(short(spec.classes[k], 60) for k in np.flatnonzero(label == 1)) or "none"


def _predicted(predicted: Probabilities, spec: LabelSpec) -> str:
    named = np.flatnonzero(predicted >= 0.5) if spec.multiple else [int(predicted.argmax())]
    return ", ".join(f"{short(spec.classes[k], 60)} ({predicted[k]:.2f})" for k in named) or "none"
