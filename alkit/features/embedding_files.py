"""Files of features with ids: arrays of NumPy and tables of Parquet. Nothing is unpickled."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from alkit._reading.arrays import MOST_PACKED, SMALL, check_elements, first_line, read_arrays
from alkit.errors import AlkitError, ConfigurationError, DataError, MissingDependencyError
from alkit.features.gathered import Gathered

Table = npt.NDArray[Any]
"""Features ``(n, d)`` of any real type."""

AT_ONCE = 1024
"""Rows of a Parquet file that are read at once."""

FEW = 10**6
"""Number of rows that a Parquet file of any size may have."""


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
            table, found = _read_parquet(path)
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


def _read_parquet(path: Path) -> tuple[Table, list[str]]:
    try:
        from pyarrow import ArrowException, parquet
    except ImportError as reason:
        raise MissingDependencyError(
            f"{path} needs pyarrow, which is not installed", hint='pip install "alkit[parquet]"'
        ) from reason
    ids: list[str] = []
    gathered = Gathered()
    try:
        with parquet.ParquetFile(path) as file:
            names = file.schema_arrow.names
            if "id" not in names or len(names) < 2 or len(set(names)) < len(names):
                raise DataError(
                    f"{path} must have a column id, and a column features or one column for each feature",
                    got=f"the columns {', '.join(map(repr, names[:9]))}",
                )
            columns = ["features"] if "features" in names else [name for name in names if name != "id"]
            _check_columns(file, columns, path)
        width = None
        with parquet.ParquetFile(path, read_dictionary=["id"]) as file:
            for batch in file.iter_batches(AT_ONCE, columns=["id", *columns]):
                own = _ids(batch.column("id"))
                rows = _columns(batch, columns, own, width, path)
                ids += own
                width = rows.shape[1]
                gathered.append(rows)
    except ArrowException as reason:
        raise DataError(f"{path} cannot be read as a Parquet file ({first_line(reason)})") from reason
    return gathered.array(), ids


def _check_columns(file: Any, columns: Sequence[str], path: Path) -> None:
    """Check the types of the columns of features, and that there are not more rows than different ids can take."""
    from pyarrow import types

    for name in columns:
        declared = file.schema_arrow.field(name).type
        inner = declared
        if name == "features":
            lists = (types.is_list, types.is_large_list, types.is_fixed_size_list)
            inner = declared.value_type if any(is_one(declared) for is_one in lists) else None
        if inner is None or not any(
            is_one(inner) for is_one in (types.is_floating, types.is_integer, types.is_decimal)
        ):
            raise DataError(
                f"the column {name} in {path} must hold {'lists of ' * (name == 'features')}real numbers",
                got=f"the type {str(declared)[:100]}",
            )
    rows, size = file.metadata.num_rows, path.stat().st_size
    if rows > FEW + 10 * size:
        raise DataError(f"{path} must have one row for each image", got=f"{rows} rows in {size} bytes")
    groups = [file.metadata.row_group(number) for number in range(file.metadata.num_row_groups)]
    every = [group.column(place) for group in groups for place in range(group.num_columns)]
    parts = [part for part in every if part.path_in_schema.partition(".")[0] in ("id", *columns)]
    bytes = sum(max(part.total_uncompressed_size, 4 * part.num_values) for part in parts)
    if bytes > SMALL + MOST_PACKED * size:  # equal numbers take no place in a file
        raise DataError(f"{path} unpacks to {bytes} bytes", got=f"{size} bytes", hint="write it as .npy")


def _ids(column: Any) -> list[Any]:
    """Return the ids in a column, equal ones as one object: a file can have a long one in many rows."""
    if not hasattr(column, "dictionary"):
        found: list[Any] = column.to_pylist()
        return found
    texts = column.dictionary.to_pylist()
    return [None if place is None else texts[place] for place in column.indices.to_pylist()]


def _columns(batch: Any, columns: Sequence[str], ids: Sequence[object], width: int | None, path: Path) -> Table:
    """Return the features in some rows of a Parquet file, float32."""
    if columns == ["features"]:
        from pyarrow import compute

        lists = batch.column("features")
        lengths = compute.list_value_length(lists).fill_null(0).to_numpy(zero_copy_only=False)
        for id, length in zip(ids, lengths.tolist(), strict=True):
            if length != (width := length if width is None else width):
                raise DataError(f"{path} must have features of one length", got=f"{length} of {id!r}, {width} before")
        flat: Table = lists.flatten().to_numpy(zero_copy_only=False)
        return flat.astype(np.float32).reshape(len(lists), -1)
    return np.stack([batch.column(name).to_numpy(zero_copy_only=False).astype(np.float32) for name in columns], axis=1)


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
