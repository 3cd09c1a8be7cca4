"""The formats of annotation files by name, and by the suffixes of their files."""

from __future__ import annotations

import re
from pathlib import Path

from alkit.oracles.formats.coco import COCO
from alkit.oracles.formats.csv_table import CSV
from alkit.oracles.formats.cvat import CVAT
from alkit.oracles.formats.format import AnnotationFormat
from alkit.oracles.formats.zipped import ZippedFormat

FORMATS = {form.name: form for form in (COCO, CVAT, CSV)}
SUFFIXES = {form.suffix: form.name for form in FORMATS.values()}

NIFTI = "nifti"
"""Name of the format of volumes, see :mod:`alkit.oracles.formats.nifti`; its files are compared with those sent."""

ZIP = "zip"
"""Name of archives with files of annotations, which are read and not written."""

NAMES = (*FORMATS, NIFTI)
"""Names of all formats in which queries can be written."""

ENDINGS = {**SUFFIXES, ".zip": ZIP, ".nii.gz": NIFTI, ".nii": NIFTI}
"""Names of all formats by the endings of their files."""

FOLDER = re.compile(rf"r\d{{2,}}-({'|'.join(NAMES)})(-\d+)?$")
"""Names of the folders that queries in a format are written to."""


def format_name(file: str) -> str | None:
    """Return the name of the format of a file by its ending; None if it has another one.

    >>> format_name("a.JSON"), format_name("b.nii.gz"), format_name("c.png")
    ('coco', 'nifti', None)
    """
    lower = file.lower()
    return next((name for ending, name in ENDINGS.items() if lower.endswith(ending)), None)


def format_of(name: str, outbox: Path) -> AnnotationFormat:
    """Return a format by its name; `outbox` is the folder that queries are written to."""
    if name in FORMATS:
        return FORMATS[name]
    if name == ZIP:
        return ZippedFormat({form.suffix: form for form in FORMATS.values()})
    from alkit.oracles.formats.nifti import NiftiFormat

    return NiftiFormat(outbox)
