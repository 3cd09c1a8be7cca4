"""Answers from the content of an annotation file.

A bad item never affects the others. The image it belongs to becomes an invalid answer, and an item that belongs to no
queried image becomes an invalid answer for the file, whose id is the name of the file.

An image that occurs twice is invalid, because nobody can tell which of the two is right, or whether each is a part. A
tag or label in :data:`~alkit.oracles.label_names.SKIPPING` is a skip. Any other tag of an image without regions, except
the name of class 0, makes the image invalid: the tag may well mean that the image is not all background.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

from alkit.errors import ConfigurationError, LabelError, nearest
from alkit.labels.sets import label_of, split_set
from alkit.oracles.annotations import AnnotatedImage, Content, Empty, paint
from alkit.oracles.formats.close_names import Meant
from alkit.oracles.label_names import label_values, says_skip, skip_of
from alkit.values.answers import Answer, Invalid, Skip
from alkit.values.label_spec import NONE, Label, LabelSpec, Mask, size_text
from alkit.values.queries import Query

FEW = 8
"""Most names that a message lists."""


def answers(
    path: Path,
    revision: int,
    content: Content,
    queries: Sequence[Query],
    spec: LabelSpec,
    *,
    annotator: str,
    empty: Empty,
    imported: bool = False,
) -> Iterator[Answer]:
    """Yield an answer for each queried image with annotations, and an invalid one for each kind of bad item.

    Parameters
    ----------
    path:
        Path of the file.
    revision:
        Revision of all answers.
    content:
        Content of the file.
    queries:
        All queries of the campaign, answered ones included.
    spec:
        The classes.
    annotator:
        Name of the annotator.
    empty:
        Meaning of an image without regions and tags.
    imported:
        Whether nobody asked for these labels, and the queries stand for all images of the pool.
    """
    if empty not in ("unanswered", "background"):
        raise ConfigurationError("empty must be 'unanswered' or 'background'", got=repr(empty))
    if empty == "background" and spec.per == "image" and not spec.multiple:
        raise ConfigurationError("empty must be 'unanswered' if each image has one class", got=repr(empty))
    entries, remarks = _entries(content, queries, spec, empty, imported)
    for query, key, own, said in entries:
        label: Label | int | Skip | Invalid
        if len(own) > 1:
            label = Invalid(f"{path.name} contains it {len(own)} times, {_places(own)}: keep one of them")
        else:
            image = own[0][1]
            if spec.multiple:
                label = _classes(image, spec, path.name, content.strays)
            elif spec.per == "image":
                label = _class(image, spec, path.name)
            else:
                label = _label(image, query, spec, path.name, content.strays)
        seconds = own[0][1].seconds if len(own) == 1 else None
        yield Answer(query.id, label, annotator, revision, seconds, exported=True, query=key, remarks=said)
    for remark in remarks:
        yield Answer(path.name, Invalid(remark), annotator, revision)


def unannotated(content: Content, queries: Sequence[Query], spec: LabelSpec) -> tuple[str, ...]:
    """Return the ids of the queries whose image is in the file without annotations, in the order of the queries."""
    names = Meant(queries)
    empty: set[str] = set()
    others: set[str] = set()
    for image in content.images:
        (others if _is_annotated(image, spec) else empty).update(query.id for query in names.find(image)[0])
    return tuple(dict.fromkeys(query.id for query in queries if query.id in empty - others))


Entry = tuple[int, AnnotatedImage]
"""An image and its number in the file, from 1."""


Found = tuple[Query, str, list[Entry], tuple[str, ...]]
"""A query, its key if the file knows the image by it, the images that can be its own, and remarks about its name."""


def _entries(
    content: Content, queries: Sequence[Query], spec: LabelSpec, empty: Empty, imported: bool
) -> tuple[list[Found], list[str]]:
    """Return for each answered query the images in the file that can be its image, and remarks about the other items.

    Every answered query has at least one image that is surely its own.
    """
    names = Meant(queries, imported=imported)
    own: dict[str, dict[str, list[Entry]]] = {}  # by image and by the key under which the file knows it
    by_key: dict[str, Query] = {}
    said: dict[str, str] = {}
    doubtful: dict[str, list[Entry]] = {}
    unknown: list[str] = []
    remarks: list[str] = []
    for number, image in enumerate(content.images, start=1):
        annotated = _is_annotated(image, spec)
        found, key, remark = names.find(image)
        if not annotated and (empty == "unanswered" or not found):
            continue
        if not found:
            unknown.append(repr(image.name))
        elif len(found) == 1:
            own.setdefault(found[0].id, {}).setdefault(key, []).append((number, image))
            by_key.setdefault(key or found[0].id, found[0])
            if remark:
                said.setdefault(found[0].id, remark)
        else:
            ids = " or ".join(repr(query.id) for query in found[:FEW])
            better = "the whole id of its image" if imported else f"the key of its query, such as {found[0].key}"
            remarks.append(f"{image.name!r} can be one of several: it is {ids}: rename it to {better}")
            for query in found if annotated else ():
                doubtful.setdefault(query.id, []).append((number, image))
    if unknown:
        which = "that are not in the pool" if imported else "that were never asked for"
        remarks.append(f"images {which} have annotations: {_listed(unknown)}")
    if content.strays:
        remarks.append(f"items that belong to no image were left out: {_listed(content.strays)}")
    entries: list[tuple[Query, str, list[Entry]]] = []
    for id, by_name in own.items():
        keyed = sorted((key for key in by_name if key), key=lambda key: (by_key[key].round, by_key[key].rank))
        if "" in by_name or not keyed:
            images = [entry for entries in by_name.values() for entry in entries]
            entries.append((by_key[id], "", [*images, *doubtful.get(id, [])]))
        else:  # an image that was asked twice: the answer to the later query counts
            entries.append((by_key[keyed[-1]], keyed[-1], [*by_name[keyed[-1]], *doubtful.get(id, [])]))
    named: list[Found] = [
        (query, key, images, (said[query.id],) if query.id in said else ()) for query, key, images in entries
    ]
    return named, remarks


def _label(
    image: AnnotatedImage, query: Query, spec: LabelSpec, file: str, strays: Sequence[str]
) -> Mask | Skip | Invalid:
    """Return the label that the only entry of an image in a file gives."""
    where, values = f"in {file} {image.name!r}", label_values(spec)
    if image.fault:
        return Invalid(f"{where} cannot be read: {image.fault}")
    skips = [region.label for region in image.regions if region.label not in values and says_skip(region.label)]
    if skips or any(map(says_skip, image.tags)):
        said = skip_of(next(filter(says_skip, image.tags), None) or skips[0], image.reason)
        if len(skips) < len(image.regions):
            return Invalid(f"{where} is {said}, and has regions: delete one or the other")
        return Skip(str(said))
    if not image.regions and (others := _telling_tags(image, spec)):
        return Invalid(
            f"{where} has no region, and the tag {_listed(list(map(repr, others)))}: draw its regions, or tag it "
            "'unusable' to skip it"
        )
    if strangers := sorted({region.label for region in image.regions} - values.keys()):
        reason = LabelError(
            f"the labels of {image.name!r} in {file} must be classes",
            got=_listed(list(map(repr, strangers))),
            expected=", ".join(map(repr, values)),
            hint=nearest(strangers[0], values),
        )
        return Invalid(str(reason))
    if image.is_answered and not image.regions and query.sizes:
        return paint((), query.sizes[0], spec)
    if not image.regions and strays:
        return Invalid(f"{where} has no region, but {file} has items that belong to no image: {strays[0]}")
    if query.sizes and image.size not in query.sizes:  # the query of an image that was removed has none
        return Invalid(f"{where} is {size_text(image.size)}, not {size_text(*query.sizes)}")
    try:
        return paint(image.regions, image.size, spec)
    except LabelError as reason:
        return Invalid(f"{where} cannot be read: {reason}")


def _class(image: AnnotatedImage, spec: LabelSpec, file: str) -> int | Skip | Invalid:
    """Return the class that the only entry of an image in a file gives."""
    where, tags = f"in {file} {image.name!r}", tuple(dict.fromkeys(image.tags))
    if image.fault:
        return Invalid(f"{where} cannot be read: {image.fault}")
    if image.regions:
        return Invalid(f"{where} has regions, but each image has one class: tag the whole image")
    if not tags:
        return Invalid(f"{where} has no class")
    if len(tags) > 1:
        return Invalid(f"{where} has {_listed(list(map(repr, tags)))}, but each image has one class: keep one of them")
    if tags[0] in spec.classes:
        return spec.classes.index(tags[0])
    if (said := skip_of(tags[0], image.reason)) is not None:
        return Skip(str(said))
    reason = LabelError(
        f"the class of {image.name!r} in {file} must be one of the classes",
        got=repr(tags[0]),
        expected=", ".join(map(repr, spec.classes)),
        hint=nearest(tags[0], spec.classes),
    )
    return Invalid(str(reason))


def _classes(image: AnnotatedImage, spec: LabelSpec, file: str, strays: Sequence[str]) -> Label | Skip | Invalid:
    """Return the classes that the only entry of an image in a file gives."""
    where, tags = f"in {file} {image.name!r}", tuple(dict.fromkeys(image.tags))
    if image.fault:
        return Invalid(f"{where} cannot be read: {image.fault}")
    if image.regions:
        return Invalid(f"{where} has regions, but classes are of the whole image: tag it")
    if skips := [tag for tag in tags if tag not in spec.classes and says_skip(tag)]:
        said = skip_of(skips[0], image.reason)
        return (
            Skip(str(said)) if len(tags) == 1 else Invalid(f"{where} is {said}, and has classes: keep one or the other")
        )
    parts = [split_set(tag, spec.classes) for tag in tags]
    if not tags and strays:
        return Invalid(f"{where} has no class, but {file} has items that belong to no image: {strays[0]}")
    if len(parts) > 1 and not all(parts):
        return Invalid(f"{where} is tagged {NONE!r}, and has classes: keep one or the other")
    try:
        return label_of([name for part in parts for name in part], spec, f"{file} of {image.name!r}")
    except LabelError as reason:
        return Invalid(str(reason))


def _is_annotated(image: AnnotatedImage, spec: LabelSpec) -> bool:
    return bool(image.regions or image.is_answered or _telling_tags(image, spec) or image.fault)


def _telling_tags(image: AnnotatedImage, spec: LabelSpec) -> list[str]:
    """Return the tags that say more than that the image is class 0."""
    return [tag for tag in image.tags if spec.per == "image" or tag != spec.classes[0]]


def _places(entries: Sequence[Entry]) -> str:
    return " and ".join(f"as image {number} ({image.name!r})" for number, image in entries)


def _listed(names: Sequence[str]) -> str:
    return ", ".join(names[:FEW]) + (f" and {len(names) - FEW} more" if len(names) > FEW else "")
