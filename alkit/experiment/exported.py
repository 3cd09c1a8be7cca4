"""The labels of an experiment as they count now, each with what the record knows about it, ready to be written."""

from __future__ import annotations

import hashlib
import itertools
import re
import unicodedata
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import PurePosixPath
from typing import Any

import numpy as np

from alkit.errors import QueryError
from alkit.experiment.deciding import Deciding, decide
from alkit.experiment.parts import Parts
from alkit.labels.framing import enlarge, to_working
from alkit.labels.joining import Join, join_rule
from alkit.protocols import HasFiles, Pool
from alkit.record.states import Asked, Recorded
from alkit.values.frames import Frame
from alkit.values.label_spec import Label, LabelSpec, Mask

Files = dict[tuple[str | None, str], str]
"""Path of each label in the folder, by annotator and image; relative, with ``/`` between its parts."""

UNNAMED = "unnamed"
"""Name of the folder of an annotator without a name."""


UNDECIDED = 254
"""Value of ignored pixels in masks of classes without an ignore value: many programs take 255 beside 0 for class 1."""


@dataclass(frozen=True, slots=True, eq=False)
class ExportedLabel:
    """A label to write.

    Parameters
    ----------
    id:
        Id of the image.
    label:
        The mask ``(h, w)``, the class id, or which of several classes the image has.
    facts:
        What the record knows about it, by column of the manifest.
    """

    id: str
    label: Label
    facts: Mapping[str, Any]


@dataclass(frozen=True, eq=False)
class Exported:
    """The labels of an experiment.

    Parameters
    ----------
    spec:
        The classes. It has an ignore value that annotators do not have, if a label has pixels about which they disagree
        evenly, or which nobody has seen: :data:`UNDECIDED`.
    labels:
        The labels by annotator, sorted by name; joined ones under None.
    left_out:
        By id the reason why the label of an image is not among them.
    pool:
        The images.
    """

    spec: LabelSpec
    labels: Mapping[str | None, Sequence[ExportedLabel]]
    left_out: Mapping[str, str]
    pool: Pool


def labels_now(parts: Parts, *, per_annotator: bool) -> Exported:
    """Return the labels that count, joined or by annotator.

    A mask has the original size of its image, unless bringing it to that size would change what is trained on. Then it
    has the size at which it was given, or the working size.

    Raises
    ------
    QueryError
        There is no label yet.
    """
    with parts.store.moment():
        return _labels_now(parts, per_annotator=per_annotator)


def _labels_now(parts: Parts, *, per_annotator: bool) -> Exported:
    parts.settings.agreed.check()
    snapshot, usable = parts.store.snapshot(), parts.known()
    known = {id: own for id, own in snapshot.known.items() if own.labels}
    left_out = {id: f"its image cannot be used: {parts.settings.unusable.get(id, '')}" for id in known.keys() - usable}
    rule = join_rule(parts.terms.join)
    there = {id: usable[id] for id in known if id in usable}
    decided = Deciding(there) if per_annotator else decide(parts, there)
    everything = parts.labels.of(decided.known, {}, parts.settings.spec, rule, decided.joins)
    left_out |= dict.fromkeys(there.keys() - decided.known.keys(), "its annotators disagree")
    spec, ids = everything.spec, sorted(everything.ids)
    queries = {entry.query.id: entry for entry in snapshot.asked if _counts(entry)}
    held_out = parts.settings.held_out(list(everything.ids))
    every = sorted({*ids, *everything.undecided})
    digests = parts.store.fact("images") or {}
    groups = dict(zip(every, parts.groups_of(every), strict=True))
    facts = {
        id: {
            **_of_image(parts.pool, id, queries.get(id)),
            "group": "" if groups[id] == id else groups[id],
            "digest": digests.get(id, ""),
            "held_out": held_out(id),
        }
        for id in every
    }
    found: dict[str | None, list[ExportedLabel]] = {}
    parts.files.fetch([answer.label for id in every for answer in known[id].labels if answer.label is not None])
    if per_annotator:
        for id in every:
            for answer in known[id].labels:
                if answer.label is not None:
                    given, frame = parts.files.read(answer.label), everything.frames.get(id)
                    label = (
                        given if frame is None else _at_original([given], to_working(given, frame, spec), frame, spec)
                    )
                    own = {**facts[id], **_of_answers([answer]), **_of_size(label, frame)}
                    found.setdefault(answer.annotator, []).append(ExportedLabel(id, label, own))
        if not found:
            raise QueryError("the record has no label yet", hint="tell() some")
        by_name = dict(sorted(found.items(), key=lambda entry: str(entry[0])))
        return _declared(Exported(parts.settings.spec, by_name, left_out, parts.pool))
    left_out |= {id: "its annotators disagree evenly" for id, share in everything.undecided.items() if share == 1}
    for id in ids:
        frame, answers = everything.frames.get(id), decided.known[id].labels
        label = everything.known[id]
        if frame is not None:
            files = [answer.label for answer in answers if answer.label is not None]
            join = decided.joins.get(id, rule)
            label = _at_original([parts.files.read(file) for file in files], label, frame, spec, join)
        own = {**facts[id], **_of_answers(answers), **_of_size(label, frame)}
        found.setdefault(None, []).append(ExportedLabel(id, label, own))
    return _declared(Exported(parts.settings.spec if spec.per == "pixel" else spec, found, left_out, parts.pool))


def _declared(exported: Exported) -> Exported:
    """Return labels whose classes have an ignore value if a mask has ignored pixels."""
    spec = exported.spec
    if spec.per == "image" or spec.ignore is not None:
        return exported
    within = spec.with_ignore().ignore
    ignored = [label for own in exported.labels.values() for label in own if (label.label == within).any()]
    if not ignored:
        return exported
    value = UNDECIDED if len(spec.classes) <= UNDECIDED else within
    for_them = {id(label): replace(label, label=_with_value(label.label, within, value)) for label in ignored}
    labels = {name: [for_them.get(id(label), label) for label in own] for name, own in exported.labels.items()}
    return replace(exported, spec=replace(spec, ignore=value), labels=labels)


def _with_value(mask: Label, old: int | None, new: int | None) -> Label:
    """Return a mask with another ignore value."""
    return np.where(mask == old, np.uint8(new or 0), mask)


def _counts(entry: Asked) -> bool:
    return not entry.withdrawn and entry.query.purpose != "review"


def _of_image(pool: Pool, id: str, entry: Asked | None) -> dict[str, Any]:
    """Return the name of an image's file, and the query that asked for it."""
    file = pool.file(id) if isinstance(pool, HasFiles) else None
    return {
        "id": id,
        "image": id if file is None else f"{id}{file.suffix}",
        "asked": entry is not None,
        "round": None if entry is None else entry.query.round,
        "rank": None if entry is None else entry.query.rank,
    }


def _of_answers(answers: Sequence[Recorded]) -> dict[str, Any]:
    """Return who gave some answers, when, and where those come from that nobody asked for."""
    seconds = [answer.seconds for answer in answers if answer.seconds is not None]
    return {
        "annotators": [answer.annotator for answer in answers],
        "told_at": max(answer.told_at for answer in answers),
        "seconds": sum(seconds) if seconds else None,
        "source": " and ".join(sorted({answer.source for answer in answers if answer.source})),
    }


def _of_size(label: Label, frame: Frame | None) -> dict[str, Any]:
    if frame is None:
        return {"height": None, "width": None, "original_size": None}
    return {"height": label.shape[0], "width": label.shape[1], "original_size": label.shape == frame.original}


def _at_original(given: Sequence[Mask], trained: Mask, frame: Frame, spec: LabelSpec, join: Join | None = None) -> Mask:
    """Return a mask that is trained on as a mask of the original size which gives the same at the working size.

    Parameters
    ----------
    given:
        The masks of its annotators, at the sizes at which they were given.
    trained:
        The mask at the working size.
    join:
        The rule that joins several masks.
    """
    for mask in _candidates(given, trained, frame, spec, join):
        if mask.shape == frame.original and np.array_equal(to_working(mask, frame, spec), trained):
            return mask
    return given[0] if len(given) == 1 else trained


def _candidates(
    given: Sequence[Mask], trained: Mask, frame: Frame, spec: LabelSpec, join: Join | None
) -> Iterator[Mask]:
    if len(given) == 1:
        yield given[0]
    elif join is not None and {mask.shape for mask in given} == {frame.original}:
        joined = join([mask.copy() for mask in given], spec.with_ignore())
        if joined is not None:
            yield np.asarray(joined, np.uint8)
    yield enlarge(trained, frame, spec)


def file_names(ids: Iterable[str], suffix: str) -> dict[str, str]:
    """Return the names of the files of several labels by id, see :func:`file_name`.

    No two are one file, also if capitals do not count, as on Windows and macOS.

    >>> file_names(["a", "A", "b"], ".png")
    {'A': 'A.png', 'a': 'a-ca978112.png', 'b': 'b.png'}
    """
    return _distinct(ids, suffix, _is_safe)


def file_name(id: str, suffix: str) -> str:
    """Return the name of the file of an image's label: its id, or a made-up name if the id is not safe as a path.

    >>> file_name("ward 3/0017", ".png"), file_name("../17", ".png")
    ('ward 3/0017.png', '.._17-1c17bf64.png')
    """
    return file_names([id], suffix)[id]


def folder_names(annotators: Iterable[str | None]) -> dict[str | None, str]:
    """Return the names of the folders of annotators, no two of which are one folder.

    >>> folder_names(["", "Ann B.", "a/b", "unnamed"])
    {'': 'unnamed', 'Ann B.': 'Ann B.', 'a/b': 'a_b-c14cddc0', 'unnamed': 'unnamed-e882bcaa'}
    """
    named = [name for name in annotators if name]
    taken = _folded(UNNAMED)  # by those without a name
    plain = _distinct(named, "", lambda name: _is_safe(name) and "/" not in name and _folded(name) != taken)
    every: list[str | None] = ["", *plain]
    return {name: plain[name] if name else UNNAMED for name in every}


def _distinct(ids: Iterable[str], suffix: str, is_plain: Callable[[str], bool]) -> dict[str, str]:
    """Return different names by id: those ids that are plain, and names with a part of a digest for the others."""
    found: dict[str, str] = {}
    taken = set[str]()
    for id in sorted(set(ids), key=lambda id: (not is_plain(id), id)):
        name = next(name for name in _choices(id, is_plain(id)) if _folded(name) not in taken)
        taken.add(_folded(name))
        found[id] = f"{name}{suffix}"
    return found


def _choices(id: str, is_plain: bool) -> Iterator[str]:
    if is_plain:
        yield id
    short, digest = re.sub(r"[^\w.-]+", "_", id)[:80], hashlib.sha256(id.encode(errors="backslashreplace")).hexdigest()
    yield from (f"{short}-{digest[:digits]}" for digits in range(8, 65))
    yield from (f"{short}-{digest}-{number}" for number in itertools.count())


def _folded(name: str) -> str:
    """Return what is the same for all names that are one file on some computer."""
    return unicodedata.normalize("NFC", name).casefold()


def _is_safe(id: str) -> bool:
    """Return whether an id leads to a place inside a folder, on any computer."""
    parts = id.split("/")
    plain = all(part not in ("", ".", "..") and not re.search(r'[\\:*?"<>|\x00-\x1f]', part) for part in parts)
    return plain and not PurePosixPath(id).is_absolute() and all(len(part.encode()) < 200 for part in parts)
