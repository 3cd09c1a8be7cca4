"""The formats of annotation files by name, and by the suffixes of their files."""

from __future__ import annotations

import re

from alkit.oracles.formats.coco import COCO
from alkit.oracles.formats.csv_table import CSV
from alkit.oracles.formats.cvat import CVAT

FORMATS = {form.name: form for form in (COCO, CVAT, CSV)}
SUFFIXES = {form.suffix: form.name for form in FORMATS.values()}

FOLDER = re.compile(rf"r\d{{2,}}-({'|'.join(FORMATS)})(-\d+)?$")
"""Names of the folders that :meth:`~alkit.oracles.formats.format.Format.write` makes."""
