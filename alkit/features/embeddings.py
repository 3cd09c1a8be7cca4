"""Features that were computed elsewhere, read from a file by the ids of the images."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from mmap import mmap
from pathlib import Path
from typing import Any, NoReturn

import numpy as np
import numpy.typing as npt

from alkit._files import without_tilde
from alkit._logs import logger
from alkit.arguments.checked import checked
from alkit.configuration.named_files import find_by_content, is_content_name, name_by_content
from alkit.errors import ConfigurationError, DataError
from alkit.features import gathered
from alkit.features.embedding_files import read_embeddings, read_ids, sibling_of
from alkit.features.gathered import Gathered, Rows
from alkit.protocols import Pool
from alkit.values.ids import check_ids
from alkit.values.label_spec import Images
from alkit.values.progress import Report, quiet
from alkit.values.shown import short_repr

log = logger(__name__)

FEW = 5
"""Number of ids that a message names."""

BLOCK = 2**22
"""Bytes of rows that are checked or copied at once."""

SUFFIXES = (".npy", ".npz", ".parquet")


@checked
@dataclass(frozen=True)
class Embeddings:
    """Features computed elsewhere: a file with one row for each image, and the ids of the images.

    Parameters
    ----------
    path:
        The file, one of these:

        - ``.npy``: an array ``(n, d)``. A large one is mapped into memory and never read whole, so it suits large
          pools. It must not be written again meanwhile;
        - ``.npz``: the arrays ``features``, ``(n, d)``, and ``ids``. It is read into memory;
        - ``.parquet``: a column ``id`` and a column ``features`` of lists of one length, or one column for each
          feature. It needs ``pip install "alkit[parquet]"``, and its rows are copied to a temporary file.
    ids:
        Ids of the rows, for a ``.npy`` file: a sequence, or a file, which has one id on each line (``.txt``) or is an
        array of texts (``.npy``). Default: the file beside `path` with the same name and ``.ids.txt`` or ``.ids.npy``
        in place of ``.npy``.

    Raises
    ------
    ConfigurationError
        The file cannot be read or has another ending, or ids are missing.

    Notes
    -----
    An experiment's record names the file by its SHA-256 and never by its path, because a record may come from a
    stranger. Where the file lies on this machine is remembered outside the record. If the content changes, the record
    refuses it: make a new experiment, or restore the file. A sequence of ids is part of the record, so write the ids of
    large pools to a file.

    Every image of the pool must have a row. Rows of other images, such as those of a test set, are left out with a
    warning. Values are converted to float32.

    Examples
    --------
    >>> from tempfile import TemporaryDirectory
    >>> import alkit
    >>> with TemporaryDirectory() as folder:
    ...     path = Path(folder) / "clip.npz"
    ...     np.savez(path, ids=["b", "a"], features=np.eye(2))
    ...     fitted = Embeddings(path).fit(alkit.ArrayPool(np.zeros((2, 4, 4)), ids=["a", "b"]), np.random.default_rng())
    >>> fitted.rows(["a", "b"]).tolist()
    [[0.0, 1.0], [1.0, 0.0]]
    """

    path: str | os.PathLike[str]
    ids: str | os.PathLike[str] | Sequence[str] | None = None

    __repr__ = short_repr

    def __post_init__(self) -> None:
        ids = self.ids if self.ids is None or isinstance(self.ids, str | os.PathLike) else check_ids(self.ids)
        given = os.fspath(self.path)
        if not is_content_name(given):
            if Path(given).suffix not in SUFFIXES:
                raise ConfigurationError(f"path must end in {', '.join(SUFFIXES)}", got=repr(given))
            if ids is None and given.endswith(".npy"):
                ids = sibling_of(without_tilde(given))
            elif ids is not None and not given.endswith(".npy"):
                raise ConfigurationError(
                    f"ids must be left out for {given}, because they are in the file", got=repr(self.ids)
                )
            object.__setattr__(self, "path", name_by_content("path", given))
        if isinstance(ids, str | os.PathLike) and not is_content_name(os.fspath(ids)):
            ids = name_by_content("ids", ids)
        object.__setattr__(self, "ids", ids)

    @checked
    def fit(self, pool: Pool, rng: np.random.Generator, report: Report = quiet) -> FittedEmbeddings:
        """Read the file, and check that it has a row for each image of `pool`.

        Raises
        ------
        DataError
            The file is damaged or has another form, an id occurs twice, or an image of the pool has no row. The message
            names the file and the ids.
        ConfigurationError
            The file is not on this machine, or its content has changed.
        MissingDependencyError
            The file is a parquet file, and pyarrow is not installed.
        """
        file = find_by_content("embeddings", os.fspath(self.path), "alkit.features.Embeddings(FILE)")
        place, ids = file, None
        if isinstance(self.ids, str | os.PathLike):
            place = find_by_content("ids of embeddings", os.fspath(self.ids), "alkit.features.Embeddings(FILE, IDS)")
            ids = read_ids(place)
        elif self.ids is not None:
            ids = list(self.ids)
        facts = _facts(file)
        table, found = read_embeddings(file, ids)
        try:
            known = check_ids(found)
        except DataError as reason:
            raise DataError(f"{place}: {reason}") from None
        if len(known) != len(table):
            raise DataError(
                f"{file} must have one row for each id", got=f"{len(table)} rows and {len(known)} ids in {place}"
            )
        rows = {id: row for row, id in enumerate(known)}
        wanted = list(pool.ids)
        missing = [id for id in wanted if id not in rows]
        others = len(rows) - len(wanted) + len(missing)
        if missing:
            strangers = sorted(rows.keys() - set(wanted))[:FEW]
            beside = f"; {others} ids are of no image of the pool, such as {_list(strangers)}" if others else ""
            raise DataError(
                f"{place} has no features for {len(missing)} of the {len(wanted)} images of the pool",
                got=f"no row for {_list(missing[:FEW])}{beside}",
                hint="one row for each image, with the ids of the pool",
            )
        if others:
            strangers = sorted(rows.keys() - set(wanted))[:FEW]
            log.warning("%s has rows of %d images that the pool does not have, such as %s; they are left out",
                        place, others, _list(strangers))  # fmt: skip
        return FittedEmbeddings(file, table, rows, facts)


@dataclass(frozen=True, eq=False)
class FittedEmbeddings:
    """The rows of a file by id, and the facts of the file when it was opened."""

    file: Path
    table: npt.NDArray[np.generic]
    places: dict[str, int]
    facts: tuple[int, ...] = ()

    def check_unchanged(self) -> None:
        """Check that a file that is mapped into memory is still the one that was opened.

        Raises
        ------
        ConfigurationError
            It was written again: its rows would be those of other content, or the program would end.
        """
        if _is_mapped(self.table) and self.facts and _facts(self.file) != self.facts:
            raise ConfigurationError(
                f"{self.file} has changed since it was opened",
                hint="write features to a file of another name, and start this program again",
            )

    def features(self, images: Images) -> NoReturn:
        """Raise a :class:`ConfigurationError`: the rows of images are known by their ids only."""
        raise ConfigurationError(
            f"the features in {self.file} are known by the ids of the images, and cannot be computed from pixels",
            hint="another feature extractor here, such as alkit.features.Pretrained()",
        )

    def rows(self, ids: Sequence[str]) -> Rows:
        """Return the rows of these images, float32, read-only; mapped into memory if they are many.

        Raises
        ------
        DataError
            A row is not finite in float32.
        """
        self.check_unchanged()
        places = np.fromiter((self.places[id] for id in ids), np.intp, len(ids))
        width = self.table.shape[1]
        in_order = bool((np.diff(places) == 1).all())
        # Few rows are copied, so that they stay when the file is written again.
        is_large = 4 * len(ids) * width > gathered.IN_MEMORY
        as_it_is = is_large and in_order and self.table.dtype == np.float32 and self.table.flags.c_contiguous
        copied = Gathered()
        for begin, block in self._blocks(places):
            if not (finite := np.isfinite(block).all(axis=1)).all():
                id = ids[begin + int(np.argmin(finite))]
                raise DataError(
                    f"{self.file} must have finite features, in the range of float32", got=f"others of {id!r}"
                )
            if not as_it_is:
                copied.append(block)
        self.check_unchanged()  # while it was read, too
        if not as_it_is:
            return copied.array()
        rows: Rows = self.table[places[0] : places[-1] + 1].astype(np.float32, copy=False).reshape(len(ids), width)
        rows.flags.writeable = False
        return rows

    def _blocks(self, places: npt.NDArray[np.intp]) -> Iterator[tuple[int, Rows]]:
        at_once = max(1, BLOCK // (self.table.dtype.itemsize * self.table.shape[1]))
        for begin in range(0, len(places), at_once):
            with np.errstate(over="ignore"):  # it becomes infinite, which is an error
                yield begin, self.table[places[begin : begin + at_once]].astype(np.float32)


def check_form(arguments: Mapping[str, Any]) -> None:
    """Check the arguments of an :class:`Embeddings` from a record or a strategy file: no path.

    Raises
    ------
    ConfigurationError
        The file or that of the ids is named by a path.

    Examples
    --------
    >>> check_form({"path": "sha256:" + 64 * "0", "ids": None})
    >>> check_form({"path": "/home/somebody/clip.npz"})
    Traceback (most recent call last):
    alkit.errors.ConfigurationError: path must be sha256: and the digest of a file, because a record or a strategy ...
    """
    for name in ("path", "ids"):
        value = arguments.get(name)
        plain = name == "ids" and (value is None or (isinstance(value, list) and all(type(id) is str for id in value)))
        if not plain and not (isinstance(value, str) and is_content_name(value)):
            raise ConfigurationError(
                f"{name} must be sha256: and the digest of a file, because a record or a strategy file cannot name a "
                "path",
                got=repr(value)[:200],
            )


def _is_mapped(table: npt.NDArray[np.generic]) -> bool:
    """Return whether an array is the content of a file that others can write to."""
    base: object = table
    while isinstance(base, np.ndarray):
        if isinstance(base, np.memmap):
            return True
        base = base.base
    return isinstance(base, mmap)


def _facts(file: Path) -> tuple[int, ...]:
    """Return facts of a file that differ after it was written again; none if it is gone."""
    try:
        found = file.stat()
    except OSError:
        return ()
    return found.st_size, found.st_mtime_ns, found.st_ctime_ns, found.st_ino


def _list(ids: Sequence[str]) -> str:
    return ", ".join(map(repr, ids))
