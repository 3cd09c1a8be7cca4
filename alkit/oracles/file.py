"""People who label in a tool that reads and writes files of annotations: COCO or CVAT."""

from __future__ import annotations

import logging
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import KW_ONLY, dataclass, field
from pathlib import Path
from typing import Any, Protocol

import numpy.typing as npt

from alkit.errors import ConfigurationError, StoreError
from alkit.exchange.regions import Empty, label_values
from alkit.files import write_atomically
from alkit.protocols import Pool
from alkit.types import Answer, LabelSpec, Query

log = logging.getLogger(__name__)


class Format(Protocol):
    """A format of annotation files: the modules :mod:`alkit.exchange.coco` and :mod:`alkit.exchange.cvat`."""

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
        """Yield the answers in a file."""


@dataclass(frozen=True)
class FileOracle:
    """Annotators whose tool takes and gives files of annotations.

    Parameters
    ----------
    format:
        The module :mod:`alkit.exchange.coco` or :mod:`alkit.exchange.cvat`.
    folder:
        Where queries are written.
    classes:
        Names of the classes, the background first, or a :class:`LabelSpec`, of masks.
    images:
        The pool; not needed by who only fetches answers.
    prelabels:
        By image id a mask, at the image's original size, that is handed over to be corrected.
    answers:
        By annotator the file that their tool wrote; such a file does not say whose it is.
    queries:
        All that were ever asked, to understand answers in another process; those asked here are known besides.
    empty:
        Whether an image listed without annotations is ``unanswered``, or all ``background``.

    Raises
    ------
    ConfigurationError
        Labels that are no masks, or a class that is called as ignored pixels are.

    Examples
    --------
    >>> import tempfile
    >>> import alkit
    >>> from alkit.exchange import coco
    >>> images, masks = alkit.synthetic.lesions(1, size=16)
    >>> query = Query("0000", round=0, rank=0, sizes=((16, 16),))
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     answers = {"ann": f"{folder}/coco-r00.json"}  # as if she had taken the pre-labels as they are
    ...     arguments = {"classes": ("skin", "lesion"), "images": alkit.ArrayPool(images), "answers": answers}
    ...     oracle = FileOracle(coco, folder, prelabels={"0000": masks[0]}, **arguments)
    ...     oracle.ask([query])
    ...     [(answer.id, answer.annotator) for answer in oracle.poll()]
    [('0000', 'ann')]
    """

    format: Format = field(repr=False)
    folder: str | Path
    _: KW_ONLY
    classes: LabelSpec | Sequence[str]
    images: Pool | None = field(default=None, repr=False)
    prelabels: Mapping[str, npt.NDArray[Any]] = field(default_factory=dict, repr=False)
    answers: Mapping[str, str | Path] = field(default_factory=dict)
    queries: Sequence[Query] = field(default=(), repr=False)
    empty: Empty = "unanswered"
    spec: LabelSpec = field(init=False, repr=False, compare=False)
    _asked: dict[str, Query] = field(init=False, repr=False, compare=False, default_factory=dict)
    _notes: dict[Path, list[str]] = field(init=False, repr=False, compare=False, default_factory=dict)

    def __post_init__(self) -> None:
        spec = self.classes if isinstance(self.classes, LabelSpec) else LabelSpec(tuple(self.classes))
        label_values(spec)
        vars(self).update(spec=spec)
        self._asked.update((query.key, query) for query in self.queries)

    def ask(self, queries: Sequence[Query]) -> None:
        """Write what is not there yet; see the format's ``write``.

        Raises
        ------
        ConfigurationError
            No pool was given.
        """
        if self.images is None:
            raise ConfigurationError("there is no pool to take the images from", hint="FileOracle(..., images=pool)")
        self.format.write(self.folder, queries, self.images, self.spec, self.prelabels)
        self._asked.update((query.key, query) for query in queries)

    def poll(self) -> Iterator[Answer]:
        """Yield all answers in the files; see the format's ``read``. Notes of what was refused are removed first."""
        for annotator, file in self.answers.items():
            note = _note(Path(file))
            self._notes.pop(note, None)
            with suppress(OSError):
                note.unlink()
            queries = tuple(self._asked.values())
            yield from self.format.read(file, queries, self.spec, annotator=annotator, empty=self.empty)

    def refused(self, answer: Answer, reason: str) -> None:
        """Say in a file beside an annotator's file which of its images were not taken, and why."""
        if answer.annotator not in self.answers:
            return  # it came from elsewhere
        note = _note(Path(self.answers[answer.annotator]))
        lines = self._notes.setdefault(note, [])
        lines.append(f"{answer.id}: {reason}\n")
        head = "These images were not taken. Correct them in your tool, and export them anew.\n\n"
        try:
            write_atomically(note, (head + "".join(lines)).encode())
        except StoreError as error:
            log.warning("nobody is told why the answer to %s was refused: %s", answer.id, error)


def _note(file: Path) -> Path:
    file = file.expanduser()
    return file.with_name(f"{file.name}.refused.txt")
