"""Labels that exist before a campaign: mask files, COCO and CVAT files, and tables, as answers that nobody asked for.

A bad item never affects the others. It becomes an invalid answer with the reason; its id is that of its image, or the
name of the file if it belongs to no image of the pool.
"""

from __future__ import annotations

import csv
from collections import Counter
from collections.abc import Collection, Iterable, Iterator, Mapping
from contextlib import suppress
from pathlib import Path

from alkit._files import without_tilde
from alkit._reading.inside import leads_out
from alkit._reading.limits import MOST_DIGITS
from alkit.errors import AlkitError, DataError, LabelError, nearest
from alkit.labels.masks import class_ids, read_mask
from alkit.oracles.annotations import Empty
from alkit.oracles.class_sets import ANNOTATOR, cell, read_set_table
from alkit.oracles.formats.registry import FORMATS
from alkit.oracles.mask_files import SUFFIXES
from alkit.oracles.saved_masks import check_palette
from alkit.oracles.simulated import MaskOracle
from alkit.pools.volumes.scanning import volume_id
from alkit.values.answers import Answer, Invalid
from alkit.values.label_spec import Label, LabelSpec, Size
from alkit.values.queries import Query


def masks_in_folder(oracle: MaskOracle, ids: Collection[str], *, annotator: str = "") -> Iterator[Answer]:
    """Yield an answer for each image that has masks in the folder of an oracle, sorted by id, and then the other files.

    Parameters
    ----------
    oracle:
        The oracle of the masks.
    ids:
        All ids of the pool.
    annotator:
        Name of the annotator.

    Raises
    ------
    DataError
        The folder contains no mask file.
    """
    root = without_tilde(str(oracle.masks))
    left = {path for path in root.rglob("*") if path.suffix.lower() in SUFFIXES and path.is_file()}
    if not left:
        volumes = any(volume_id(path.name) is not None for path in root.rglob("*"))
        hint = "--nifti, which reads volumes of labels" if volumes else None
        raise DataError(f"{root} contains no mask", expected=f"files that end in {', '.join(SUFFIXES)}", hint=hint)
    files = {id: _files(oracle, id) for id in sorted(ids)}
    shared = {path for path, count in Counter(path for own in files.values() for path in own).items() if count > 1}
    for id, named in files.items():
        left -= set(named)
        if both := shared & set(named):
            reason = f"{min(both).relative_to(root).as_posix()} matches the pattern for other images, too"
            yield Answer(id, Invalid(reason), annotator)
            continue
        try:
            if oracle.files(id):
                yield Answer(id, oracle.read(id), annotator)
        except AlkitError as reason:
            yield Answer(id, Invalid(str(reason)), annotator)
    for path in sorted(left):
        yield Answer(path.relative_to(root).as_posix(), Invalid("no image of the pool has this mask"), annotator)


def _files(oracle: MaskOracle, id: str) -> tuple[Path, ...]:
    """Return the mask files of an image; none if they contradict each other."""
    with suppress(AlkitError):
        return oracle.files(id)
    return ()


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
    spec:
        The classes.
    annotator:
        Name of the annotator.
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


def labels_in_table(
    path: str | Path, spec: LabelSpec, *, annotator: str = "", masks: str | Path | None = None
) -> Iterator[Answer]:
    """Yield an answer for each row of a CSV file.

    The columns are ``id``, and ``label`` (the name or id of a class) or ``mask`` (the path of a mask file, relative to
    the table or to `masks`, and inside that folder). A column ``annotator`` is optional; others are ignored. If an
    image can have several classes, ``label`` is a text such as ``cat|dog`` or ``none``, or each class has a column.

    Parameters
    ----------
    spec:
        The classes.
    annotator:
        Name of the annotator in rows without one.
    masks:
        Folder of the mask files; None for the folder of the table. Masks in other places are refused, because the table
        may come from a stranger.

    Raises
    ------
    DataError
        The file cannot be read or lacks a column.
    """
    path, column = without_tilde(path), "mask" if spec.per == "pixel" else "label"
    if spec.multiple:
        yield from _sets_in_table(path, spec, annotator)
        return
    folder = path.parent if masks is None else without_tilde(masks)
    try:
        with path.open(encoding="utf-8-sig", newline="") as text:
            rows = csv.reader(text, strict=True)
            names = next(rows, [])
            if twice := [name for name, count in Counter(names).items() if count > 1]:
                raise DataError(f"{path} must have a different name for each column", got=repr(twice[0]))
            if not {"id", column} <= set(names):
                raise DataError(
                    f"{path} must have the columns id and {column}", got=", ".join(names) or "an empty file"
                )
            places = [
                names.index("id"),
                names.index(column),
                names.index(ANNOTATOR) if ANNOTATOR in names else len(names),
            ]
            for cells in filter(None, rows):
                id, told, by = (cell(cells[: len(names)], place) for place in places)
                told, by = told.strip(), by.strip()
                where = f"line {rows.line_num} of {path.name}"
                if any(cells[len(names) :]):  # cells after the last column
                    what = f"{where} has more values than columns: put quotation marks around one with a comma"
                    yield Answer(id or where, Invalid(what), by or annotator)
                elif not id or not told:
                    yield Answer(id or where, Invalid(f"{where} lacks the {column if id else 'id'}"), by or annotator)
                elif column == "mask":
                    yield Answer(id, _mask(folder / told, folder, id, spec), by or annotator)
                else:
                    yield Answer(id, _class(told, where, spec), by or annotator)
    except (OSError, UnicodeError, csv.Error) as reason:
        raise DataError(f"{path} cannot be read as a CSV file in UTF-8", got=reason, hint="check the path") from reason


def _sets_in_table(path: Path, spec: LabelSpec, annotator: str) -> Iterator[Answer]:
    """Yield an answer for each image and annotator in a table of several classes per image."""
    for row in read_set_table(path, classes=spec.classes).rows:
        where, label = f"line {row.line} of {path.name}", None
        fault = f"{where} lacks the {'label' if row.image else 'id'}"
        try:
            label = row.read(spec)
        except LabelError as reason:
            fault = str(reason)
        told = Invalid(fault) if label is None or not row.image else label
        yield Answer(row.image or where, told, row.annotator or annotator)


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


def _mask(path: Path, folder: Path, id: str, spec: LabelSpec) -> Label | Invalid:
    if leads_out(path, folder):
        return Invalid(f"{path} is not inside {folder}, and masks in other folders are not read")
    try:
        values = read_mask(path)
        check_palette(path, values, spec, id)
        return class_ids(values, spec, id)
    except AlkitError as reason:
        return Invalid(str(reason))


def _class(text: str, where: str, spec: LabelSpec) -> int | Invalid:
    if text in spec.classes:
        return spec.classes.index(text)
    if text.isdecimal() and len(text) < MOST_DIGITS and int(text) < len(spec.classes):
        return int(text)
    hint = nearest(text, spec.classes)
    return Invalid(
        str(LabelError(f"the label in {where} must be a class", got=repr(text), expected=str(spec), hint=hint))
    )
