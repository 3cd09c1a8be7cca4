"""Labels of volumes that exist before a campaign, as answers for their slices that nobody asked for."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterator
from pathlib import Path

from alkit._files import without_tilde
from alkit._reading.inside import read_inside
from alkit.errors import AlkitError, ConfigurationError, DataError
from alkit.oracles.annotations import Empty
from alkit.oracles.class_sets import cell
from alkit.pools.volumes.masks import find_labels, masks_of
from alkit.pools.volumes.pool import volumes_of
from alkit.pools.volumes.scanning import FIELD
from alkit.protocols import Pool
from alkit.values.answers import Answer, Invalid

SLICES = "slices.csv"
"""Table beside volumes of labels, with the columns id and file: which slices are labelled, also as all background."""


def labels_in_volumes(
    pool: Pool,
    folder: str | Path,
    *,
    pattern: str | None = None,
    annotator: str = "",
    empty: Empty = "unanswered",
) -> Iterator[Answer]:
    """Yield an answer for each labelled slice of the volumes in a folder, see :class:`alkit.pools.VolumeMasks`.

    If the folder has a file ``slices.csv``, as those that alkit exports, the slices that it lists are labelled.
    Otherwise those are that have a label other than 0. Volumes of the pool without labels are passed over. Labels that
    fit no volume of the pool, or not theirs, become an invalid answer with the reason.

    Parameters
    ----------
    pool:
        An :class:`alkit.VolumePool`, or a part of one.
    folder:
        The folder.
    pattern:
        File name of the labels of a volume, with ``{volume}``; None: its id with any suffix of a volume.
    annotator:
        Name of the annotator.
    empty:
        Meaning of a slice that no ``slices.csv`` lists and in which all labels are 0: ``unanswered``, or
        ``background``.

    Raises
    ------
    ConfigurationError
        `pattern` does not contain ``{volume}``.
    DataError
        The pool does not consist of slices of volumes, or the folder does not exist or holds no volume of labels.
    """
    root, whole = without_tilde(folder), volumes_of(pool)
    if pattern is not None and FIELD not in pattern:
        raise ConfigurationError("pattern must contain {volume}", got=repr(pattern), hint="pattern='{volume}.nii.gz'")
    if not root.is_dir():
        raise DataError("folder must be an existing folder of labels", got=root, hint="check the path")
    listed = _listed(root)
    by_volume: dict[str, list[str]] = {}
    for id in pool.ids:
        by_volume.setdefault(whole.place(id)[0].id, []).append(id)
    labels, faults, strangers = find_labels(whole, root, pattern, list(by_volume))
    if not labels and not faults and not strangers:
        raise DataError(f"{root} contains no volume of labels", hint="pattern='{volume}_seg.nii.gz'")
    for volume in labels:
        ids = by_volume[volume]
        masks = masks_of(whole, ids, labels)
        for id in ids:
            try:
                mask = masks[id]
            except AlkitError as reason:
                yield Answer(id, Invalid(str(reason)), annotator)
                continue
            if id in listed if listed is not None else empty == "background" or mask.any():
                yield Answer(id, mask, annotator)
            elif listed is not None and mask.any():
                yield Answer(id, Invalid(f"it has labels, but {SLICES} does not list it"), annotator)
    for volume, fault in faults.items():
        yield Answer(volume, Invalid(fault), annotator)
    for name in strangers:
        yield Answer(name, Invalid("no volume of the pool has this name"), annotator)


def _listed(folder: Path) -> set[str] | None:
    """Return the ids in the table of slices; None if there is none.

    Raises
    ------
    DataError
        The table is damaged.
    """
    path = folder / SLICES
    try:
        rows = csv.reader(io.StringIO(read_inside(path, folder).decode("utf-8-sig"), newline=""))
        names = next(rows, [])
        found = [cell(cells, names.index("id")) if "id" in names else "" for cells in filter(None, rows)]
    except FileNotFoundError:
        return None
    except (OSError, UnicodeDecodeError, csv.Error) as reason:
        raise DataError(f"{path} cannot be read", got=reason) from reason
    ids = {id for id in found if id}
    if len(ids) < len(found) or not ids:
        raise DataError(f"{path} must have a different id in each row, in a column id")
    return ids
