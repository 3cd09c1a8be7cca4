"""The folder that predictions are written to."""

from __future__ import annotations

import csv
import io
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import numpy.typing as npt

from alkit._files import check_outside, delete_file, is_inside, make_folder, write_atomically
from alkit.errors import ConfigurationError
from alkit.labels.sets import set_text
from alkit.values.label_spec import LabelSpec

FEW = 3
"""Most files that a message names."""


def prepare_output(
    target: Path,
    source: Path,
    folders: Sequence[Path],
    planned: Sequence[Path],
    *,
    overwrite: bool,
    noun: str = "images",
    others: Sequence[Path] = (),
) -> None:
    """Make the folder of predictions, after a check that no image is overwritten, and no file without permission.

    Files that are to be replaced are deleted, so that an image without a prediction does not keep an earlier one.

    Parameters
    ----------
    target, source:
        The folder, and that of the images.
    folders, planned:
        Folders inside `target` and files that will be written.
    overwrite:
        Whether files that exist may be replaced.
    noun:
        What `source` holds.
    others:
        Files of earlier predictions that will not be written, such as those of images that cannot be used now; they are
        deleted if files may be replaced.

    Raises
    ------
    ConfigurationError
        `target` is inside `source`, or one of `folders` holds it; or a file exists.
    """
    check_outside("out", target, source)
    if any(is_inside(source, folder) for folder in folders):
        raise ConfigurationError(
            f"out must be outside the folder of {noun}, and must not hold that folder",
            got=f"{target} and {source}",
            hint="another folder",
        )
    if not overwrite and (existing := [path for path in planned if path.exists()]):
        raise ConfigurationError(
            f"{len(existing)} of the files to write already exist",
            got=", ".join(map(str, existing[:FEW])),
            hint="choose another folder, or overwrite=True",
        )
    make_folder(target)
    for path in (*planned, *others) if overwrite else ():
        delete_file(path)


def class_row(id: str, probabilities: npt.NDArray[np.float32], spec: LabelSpec) -> tuple[str, ...]:
    """Return the row of an image for :func:`write_classes`.

    Parameters
    ----------
    probabilities:
        ``(classes,)``; if an image can have several classes, ``(2, classes)``.

    Examples
    --------
    >>> class_row("a", np.array([0.25, 0.75]), LabelSpec(("cat", "dog"), per="image"))
    ('a', 'dog', '0.750000')
    >>> class_row("a", np.array([[0.25, 0.4], [0.75, 0.6]]), LabelSpec(("cat", "dog"), per="image", multiple=True))
    ('a', 'cat|dog', '0.750000', '0.600000')
    """
    if spec.multiple:
        return id, set_text(probabilities.argmax(axis=0), spec), *(f"{one:.6f}" for one in probabilities[1])
    best = int(probabilities.argmax())
    return id, spec.classes[best], f"{probabilities[best]:.6f}"


def write_classes(table: Path, rows: Sequence[tuple[str, ...]], spec: LabelSpec) -> None:
    """Write a table of ids, classes and probabilities, unless it would be empty.

    If an image can have several classes, ``alkit import --csv`` can read it, and each has a column of probabilities.
    """
    if rows:
        text = io.StringIO()
        columns = [f"probability of {name}" for name in spec.classes] if spec.multiple else ["probability"]
        csv.writer(text, lineterminator="\n").writerows([("id", "class", *columns), *rows])
        write_atomically(table, text.getvalue().encode())
