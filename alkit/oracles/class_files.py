"""Known classes of images: from a table, or from the folders in which the images lie."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

from alkit._files import without_tilde
from alkit._reading.limits import read_file
from alkit.arguments.checked import checked
from alkit.errors import LabelError
from alkit.oracles.formats.csv_table import read_rows
from alkit.pools.decoding import SUFFIXES


@checked
def read_classes(path: str | Path) -> dict[str, str]:
    """Return the class of each image by its id, from a CSV file with the columns ``id`` and ``class``.

    Columns are separated by commas, semicolons or tabs; others are ignored. An id may have the suffix of its file.

    Raises
    ------
    DataError
        The file is not such a table, is too large, or a line lacks an id or a class, or an image has two classes. The
        message names the line.

    Examples
    --------
    >>> import tempfile
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     table = Path(folder, "labels.csv")
    ...     _ = table.write_text("id,class\\nward 3/0017.png,benign\\n")
    ...     read_classes(table)
    {'ward 3/0017': 'benign'}
    """
    file = without_tilde(path)
    try:
        content = read_file(file)
    except OSError as reason:
        raise LabelError(f"labels must be a CSV file that can be read ({reason.strerror})", got=file) from reason
    found: dict[str, str] = {}
    for line, name, label, _, _, fault in read_rows(file, content):
        if fault is not None:
            raise fault
        if not name or not label:
            raise LabelError(f"line {line} of {file} has no {'class' if name else 'id'}")
        stem, dot, suffix = name.replace("\\", "/").rpartition(".")
        id = stem if dot + suffix.lower() in SUFFIXES else name
        if found.setdefault(id, label) != label:
            raise LabelError(
                f"{file} has two classes of image {id!r}",
                got=f"{found[id]!r}, and {label!r} on line {line}",
                hint="multiple=True, if an image can have several",
            )
    if not found:
        raise LabelError(f"{file} must have a line for each image", got="only column names")
    return found


@checked
def folder_classes(ids: Iterable[str]) -> dict[str, str]:
    """Return the name of the first folder in each id as its class: ``"cat/1"`` is a ``cat``.

    Raises
    ------
    LabelError
        An image lies in no folder.

    Examples
    --------
    >>> folder_classes(["cat/1", "dog/house/2"])
    {'cat/1': 'cat', 'dog/house/2': 'dog'}
    """
    ids = list(ids)
    if outside := [id for id in ids if "/" not in id]:
        raise LabelError(
            f"{len(outside)} of {len(ids)} images are in no folder with the name of a class",
            got=", ".join(outside[:5]),
            expected="names such as cat/1.png",
        )
    return {id: id.partition("/")[0] for id in ids}
