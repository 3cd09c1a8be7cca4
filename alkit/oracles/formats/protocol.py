"""What a format of annotation files must offer."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Protocol

import numpy.typing as npt

from alkit.oracles.formats.regions import Empty
from alkit.protocols import Pool
from alkit.values.answers import Answer
from alkit.values.label_spec import LabelSpec
from alkit.values.queries import Query


class Format(Protocol):
    """A format of annotation files: the modules :mod:`.coco` and :mod:`.cvat`."""

    def write(
        self,
        folder: str | Path,
        queries: Sequence[Query],
        images: Pool,
        spec: LabelSpec,
        prelabels: Mapping[str, npt.NDArray[Any]] | None = None,
    ) -> tuple[Path, ...]:
        """Write what is not there yet of the queries' images and annotations; return the files of annotations."""

    def read(
        self,
        path: str | Path,
        queries: Sequence[Query],
        spec: LabelSpec,
        *,
        annotator: str = "",
        empty: Empty = "unanswered",
    ) -> Iterator[Answer]:
        """Yield the answers in a file, which is read and checked as a whole before the first."""
