"""Conversion of Label Studio annotations to answers."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

from alkit.errors import LabelError
from alkit.labels.sets import label_of, split_set
from alkit.oracles.label_names import says_skip, skip_of
from alkit.oracles.labelstudio.interface import Tags
from alkit.oracles.labelstudio.regions import mask_of, tags_and_labels, written
from alkit.oracles.times import revision_of, seconds_of
from alkit.values.answers import Answer, Invalid, Skip
from alkit.values.label_spec import NONE, Label, LabelSpec, Size


def answer_of(
    annotation: Mapping[str, Any], data: Mapping[str, Any], spec: LabelSpec, tags: Tags | None = None
) -> Answer:
    """Return the answer that an annotation of a task gives.

    Parameters
    ----------
    annotation:
        The annotation, as the server sends it.
    data:
        The data of its task, with the keys ``alkit_id`` and ``alkit_size``.
    spec:
        The classes.
    tags:
        Names of the tags of the project that offer the classes and show the image. Then regions on another image, and
        choices for another question, are no label. None: they are not known.

    Returns
    -------
    Answer
        :class:`~alkit.values.Invalid` if the annotation cannot be read, such as one that does not state when it was
        last changed.

    Examples
    --------
    >>> spec, data = LabelSpec(("skin", "lesion")), {"alkit_id": "mole-1", "alkit_size": [1, 2]}
    >>> annotation = {"updated_at": "2026-01-02T03:04:05Z", "completed_by": 7, "lead_time": 4.5, "result": []}
    >>> answer = answer_of(annotation, data, spec)
    >>> answer.label.tolist(), answer.annotator, answer.seconds
    ([[0, 0]], 'user-7', 4.5)
    """
    if not isinstance(annotation, Mapping):
        wrong = f"an annotation of Label Studio must be an object: got {type(annotation).__name__}"
        return Answer(data["alkit_id"], Invalid(wrong))
    by = annotation.get("completed_by")
    if isinstance(by, dict):  # some versions send more than the number
        by = by.get("id")
    spent = annotation.get("lead_time")
    seconds = seconds_of(spent)
    # Only the editor measures a time; predictions that are copied in bulk have none.
    confirmed = seconds is not None and not annotation.get("bulk_created")
    annotator = f"user-{by}" if isinstance(by, int) else ""
    try:
        revision = revision_of(_nanoseconds(str(annotation["updated_at"])))
    except (KeyError, ValueError, OverflowError) as reason:  # nobody knows which answers it replaces
        wrong = f"an annotation must state when it was last changed: got {reason}"
        return Answer(data["alkit_id"], Invalid(wrong), annotator)
    key = str(data.get("alkit_query") or "")
    return Answer(
        data["alkit_id"], _label(annotation, data, spec, tags), annotator, revision, seconds, confirmed, query=key
    )


def time_of(revision: int) -> datetime:
    """Return the time of a revision, in whole seconds.

    >>> time_of(1_000_002_000).isoformat()
    '1970-01-01T00:00:01+00:00'
    """
    return datetime.fromtimestamp(revision // 1_000_000_000, UTC)


def _nanoseconds(updated_at: str) -> int:
    """Return a time of the server as nanoseconds since 1970 UTC, the unit of file times.

    >>> _nanoseconds("1970-01-01T00:00:01.000002Z")
    1000002000
    """
    time = datetime.fromisoformat(updated_at)
    if time.tzinfo is None:
        raise ValueError(f"{updated_at!r} has no time zone")
    since = time - datetime.fromtimestamp(0, UTC)
    return ((since.days * 86400 + since.seconds) * 1_000_000 + since.microseconds) * 1000


def _label(
    annotation: Mapping[str, Any], data: Mapping[str, Any], spec: LabelSpec, shown: Tags | None
) -> Label | int | Skip | Invalid:
    if annotation.get("was_cancelled"):
        return Skip()
    result = annotation.get("result")
    per_image = spec.per == "image"
    tags, labels = tags_and_labels(result, shown.control if per_image and shown is not None else None)
    if per_image:
        return _chosen(tags, labels, spec, written(result))
    skips = [label for label in labels if label not in spec.classes and says_skip(label)]
    if skips or any(map(says_skip, tags)):
        said = skip_of(next(filter(says_skip, tags), None) or skips[0], written(result))
        if len(skips) < len(labels):
            return Invalid(f"the image is {said}, and has regions: delete one or the other")
        return Skip(str(said))
    if not labels and (others := [tag for tag in tags if tag != spec.classes[0]]):
        return Invalid(
            f"the image has no region, and the tag {', '.join(map(repr, others))}: draw its regions, or skip the image"
        )
    try:
        return mask_of(result, spec, _size(data), None if shown is None else shown.image)
    except LabelError as reason:
        return Invalid(str(reason))


def _chosen(tags: Sequence[str], drawn: Sequence[str], spec: LabelSpec, written: str) -> Label | int | Skip | Invalid:
    """Return the class or the classes that an annotation chooses."""
    if drawn:
        return Invalid("the image has regions, but classes are of the whole image: choose them")
    if skips := [tag for tag in tags if tag not in spec.classes and says_skip(tag)]:
        said = skip_of(skips[0], written)
        wrong = f"the image is {said}, and has classes: keep one or the other"
        return Skip(str(said)) if len(tags) == 1 else Invalid(wrong)
    if spec.multiple:
        parts = [split_set(tag, spec.classes) for tag in tags]
        if len(parts) > 1 and not all(parts):
            return Invalid(f"the image is marked {NONE!r}, and has classes: keep one or the other")
        try:
            return label_of([name for part in parts for name in part], spec, "the annotation")
        except LabelError as reason:
            return Invalid(str(reason))
    if len(tags) != 1 or tags[0] not in spec.classes:
        found = ", ".join(map(repr, tags)) or "none"
        return Invalid(f"the image must have one of the classes {', '.join(map(repr, spec.classes))}: got {found}")
    return spec.classes.index(tags[0])


def _size(data: Mapping[str, Any]) -> Size:
    match data.get("alkit_size"):
        case [int(height), int(width)] if min(height, width) > 0:
            return height, width
    raise LabelError("the task must state the size of its image as alkit_size", got=repr(data.get("alkit_size")))
