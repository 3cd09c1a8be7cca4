"""Files of features with ids: arrays of NumPy and tables of Parquet. Nothing is unpickled."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from alkit._reading.arrays import check_elements, first_line, read_arrays
from alkit.errors import AlkitError, ConfigurationError, DataError
from alkit.features._parquet import read_parquet

Table = npt.NDArray[Any]
"""Features ``(n, d)`` of any real type."""


def sibling_of(path: Path) -> Path:
    """Return the file of ids beside a ``.npy`` file.

    Raises
    ------
    ConfigurationError
        There is none, or there are two.
    """
    places = [path.with_suffix(suffix) for suffix in (".ids.txt", ".ids.npy")]
    found = [place for place in places if place.exists()]
    if len(found) != 1:
        names = " or ".join(place.name for place in places)
        raise ConfigurationError(
            f"ids must be given for {path}",
            got=f"{names}, and both exist" if found else f"no file {names} beside it",
            hint="ids='FILE', with one id on each line",
        )
    return found[0]


def read_ids(path: Path) -> list[str]:
    """Return the ids in a file: the lines of a text, or an array of texts.

    Raises
    ------
    DataError
        The file cannot be read as such.
    """
    with _explained(path):
        with path.open("rb") as file:
            if file.read(6) != b"\x93NUMPY":
                lines = path.read_text("utf-8-sig").split("\n")
                return [line.removesuffix("\r") for line in (lines[:-1] if not lines[-1] else lines)]
        with path.open("rb") as file:
            check_elements(file, path.stat().st_size)
            file.seek(0)
            return _texts(np.load(file, allow_pickle=False), path)


def read_embeddings(path: Path, ids: Sequence[str] | None) -> tuple[Table, Sequence[str]]:
    """Return the features in a file, mapped into memory if that is possible, and the ids of the rows.

    Parameters
    ----------
    path:
        A ``.npy``, ``.npz`` or Parquet file. Its first bytes say which.
    ids:
        Ids of the rows of a ``.npy`` file.

    Raises
    ------
    DataError
        The file is damaged, or has another form.
    MissingDependencyError
        It is a Parquet file, and pyarrow is not installed.
    """
    with _explained(path):
        with path.open("rb") as file:
            start = file.read(6)
        if start == b"\x93NUMPY":
            table: Table = np.load(path, mmap_mode="r", allow_pickle=False)
            found = ids
        elif start[:2] == b"PK":
            with path.open("rb") as file:
                arrays = read_arrays(file, ("features", "ids"))
            if lacking := [name for name in ("features", "ids") if name not in arrays]:
                raise DataError(f"{path} must have the arrays features and ids", got=f"no {lacking[0]}")
            table, found = arrays["features"], _texts(arrays["ids"], path)
        elif start[:4] == b"PAR1":
            table, found = read_parquet(path)
        else:
            raise DataError(f"{path} must be a .npy, .npz or Parquet file", got=f"a file that begins with {start!r}")
    if table.ndim != 2 or 0 in table.shape or table.dtype.kind not in "fiu":
        raise DataError(
            f"the features in {path} must be an array (n, d) of real numbers",
            got=f"shape {table.shape} of type {table.dtype}",
        )
    if found is None:
        raise DataError(f"{path} has no ids", hint="ids='FILE', with one id on each line")
    return np.asarray(table), found


def _texts(array: Table, path: Path) -> list[str]:
    if array.ndim != 1 or array.dtype.kind != "U":
        raise DataError(
            f"the ids in {path} must be an array (n,) of texts",
            got=f"shape {array.shape} of type {array.dtype}",
            hint="np.array(ids, dtype=str)",
        )
    texts: list[str] = array.tolist()
    return texts


@contextmanager
def _explained(path: Path) -> Iterator[None]:
    """Turn errors of damaged files, which are of many types, into one that names the file."""
    try:
        yield
    except AlkitError:
        raise
    except Exception as reason:  # numpy and pyarrow raise errors of many types
        raise DataError(
            f"{path} cannot be read ({first_line(reason)})",
            hint="write it again, with np.save or np.savez of plain arrays" if path.suffix != ".parquet" else None,
        ) from reason
