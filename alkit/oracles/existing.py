"""Labels that exist before a campaign: mask files, COCO and CVAT files, and tables, as answers that nobody asked for.

A bad item never affects the others. It becomes an invalid answer with the reason; its id is that of its image, or the
name of the file if it belongs to no image of the pool.
"""

from __future__ import annotations

import csv
from collections.abc import Collection, Iterable, Iterator, Mapping
from pathlib import Path
from unicodedata import normalize

from alkit._files import without_tilde
from alkit.errors import AlkitError, ConfigurationError, DataError, LabelError, nearest
from alkit.labels.masks import class_ids, read_mask
from alkit.oracles.formats.annotations import Empty
from alkit.oracles.formats.registry import FORMATS
from alkit.values.answers import Answer, Invalid
from alkit.values.label_spec import Label, LabelSpec, Size
from alkit.values.queries import Query

MASKS = frozenset({".png", ".tif", ".tiff", ".bmp"})
"""Suffixes of mask files."""

COLUMNS = ("id", "label", "mask", "annotator")
"""Columns of a table of labels that are read."""


def masks_in_folder(
    folder: str | Path, ids: Collection[str], spec: LabelSpec, *, pattern: str = "{id}.png", annotator: str = ""
) -> Iterator[Answer]:
    """Yield an answer for each mask file in a folder, and in the folders inside it, sorted by name.

    Parameters
    ----------
    ids:
        All ids of the pool.
    spec:
        The classes.
    pattern:
        Path of a mask relative to the folder, with ``{id}`` for the id of the image.
    annotator:
        Name of the annotator.

    Raises
    ------
    DataError
        The folder does not exist, or contains no mask file.
    ConfigurationError
        `pattern` does not contain ``{id}``.
    """
    root = without_tilde(folder)
    if not root.is_dir():
        raise DataError("masks must be an existing folder", got=f"{root}", hint="check the path")
    if "{id}" not in pattern:
        raise ConfigurationError("pattern must contain {id}", got=repr(pattern), hint="pattern='{id}.png'")
    files = sorted(path for path in root.rglob("*") if path.suffix.lower() in MASKS and path.is_file())
    if not files:
        raise DataError(f"{root} contains no mask", expected=f"files that end in {', '.join(sorted(MASKS))}")
    known = {normalize("NFC", id): id for id in ids}  # some systems take letters and accents apart
    begin, _, end = pattern.partition("{id}")
    for path in files:
        name = path.relative_to(root).as_posix()
        fits = name.startswith(begin) and name.endswith(end) and len(name) > len(begin) + len(end)
        id = known.get(normalize("NFC", name[len(begin) : len(name) - len(end)])) if fits else None
        if id is None:
            reason = "no image of the pool has this name" if fits else f"its name does not match {pattern}"
            yield Answer(name, Invalid(reason), annotator)
        else:
            yield Answer(id, _mask(path, id, spec), annotator)


def labels_in_file(
    path: str | Path,
    form: str,
    sizes: Mapping[str, tuple[Size, ...]],
    spec: LabelSpec,
    *,
    annotator: str = "",
    empty: Empty = "unanswered",
) -> Iterator[Answer]:
    """Yield an answer for each image in a COCO or CVAT file that has annotations.

    Parameters
    ----------
    form:
        Format of the file: ``coco`` or ``cvat``.
    sizes:
        By id the sizes that the mask of each image of the pool may have.
    spec, annotator:
        As for :func:`masks_in_folder`.
    empty:
        Meaning of an image without annotations: ``unanswered``, or ``background`` everywhere.

    Raises
    ------
    DataError
        The file does not have this format, or no image in it can be read.
    """
    stand_ins = [Query(id, 0, rank, own) for rank, (id, own) in enumerate(sorted(sizes.items()))]
    for answer in FORMATS[form].read(path, stand_ins, spec, annotator=annotator, empty=empty, imported=True):
        yield Answer(answer.id, answer.label, answer.annotator)  # its time is that of a file, not of the label


def labels_in_table(path: str | Path, spec: LabelSpec, *, annotator: str = "") -> Iterator[Answer]:
    """Yield an answer for each row of a CSV file.

    The columns are ``id``, and ``label`` (the name or id of a class) or ``mask`` (the path of a mask file, relative to
    the table). A column ``annotator`` is optional; others are ignored.

    Parameters
    ----------
    spec, annotator:
        As for :func:`masks_in_folder`; rows without an annotator get this one.

    Raises
    ------
    DataError
        The file cannot be read or lacks a column.
    """
    path, column = without_tilde(path), "mask" if spec.per == "pixel" else "label"
    try:
        with path.open(encoding="utf-8-sig", newline="") as text:
            rows = csv.DictReader(text)
            names = rows.fieldnames or ()
            if not {"id", column} <= set(names):
                raise DataError(
                    f"{path} must have the columns id and {column}", got=", ".join(names) or "an empty file"
                )
            for row in rows:
                id, told, by = row["id"] or "", (row[column] or "").strip(), (row.get("annotator") or "").strip()
                where = f"line {rows.line_num} of {path.name}"
                if not id or not told:
                    yield Answer(id or where, Invalid(f"{where} lacks the {column if id else 'id'}"), by or annotator)
                elif column == "mask":
                    yield Answer(id, _mask(path.parent / told, id, spec), by or annotator)
                else:
                    yield Answer(id, _class(told, where, spec), by or annotator)
    except (OSError, UnicodeError, csv.Error) as reason:
        raise DataError(f"{path} cannot be read as a CSV file in UTF-8", got=reason, hint="check the path") from reason


def in_parts(answers: Iterable[Answer], most: int) -> Iterator[list[Answer]]:
    """Yield answers in lists of at most `most`, so that not all masks are in memory at once."""
    part: list[Answer] = []
    for answer in answers:
        part.append(answer)
        if len(part) == most:
            yield part
            part = []
    if part:
        yield part


def _mask(path: Path, id: str, spec: LabelSpec) -> Label | Invalid:
    try:
        return class_ids(read_mask(path), spec, id)
    except AlkitError as reason:
        return Invalid(str(reason))


def _class(text: str, where: str, spec: LabelSpec) -> int | Invalid:
    if text in spec.classes:
        return spec.classes.index(text)
    if text.isdecimal() and int(text) < len(spec.classes):
        return int(text)
    hint = nearest(text, spec.classes)
    return Invalid(
        str(LabelError(f"the label in {where} must be a class", got=repr(text), expected=str(spec), hint=hint))
    )
