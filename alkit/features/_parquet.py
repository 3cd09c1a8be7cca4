"""Parquet files of features, read in a separate process: a crafted one ends the process or takes any memory.

pyarrow believes what a file says about its parts. So the process may take only some memory, which follows from the size
of the file; Windows and macOS do not enforce that.
"""

from __future__ import annotations

import importlib.util
import json
import os
import sys
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import IO, Any

import numpy as np
import numpy.typing as npt

from alkit._files import temporary_folder
from alkit._reading.apart import Apart
from alkit._reading.arrays import MOST_PACKED, SMALL, first_line
from alkit.errors import AlkitError, DataError, MissingDependencyError
from alkit.features.gathered import IN_MEMORY, Rows, map_rows

AT_ONCE = 1024
"""Rows that are read at once."""

FEW = 10**6
"""Number of rows that a file of any size may have."""

BESIDES = 2**28
"""Bytes that the process may take besides those that follow from the size of a file."""

_worker = Apart("alkit.features._parquet")


def read_parquet(path: Path) -> tuple[Rows, list[Any]]:
    """Return the features in a Parquet file, ``(n, d)``, and the ids of the rows.

    Raises
    ------
    DataError
        The file is damaged, has another form, or unpacks to far more than its size.
    MissingDependencyError
        pyarrow is not installed.
    """
    if importlib.util.find_spec("pyarrow") is None:
        raise MissingDependencyError(
            f"{path} needs pyarrow, which is not installed", hint='pip install "alkit[parquet]"'
        )
    with temporary_folder() as folder:
        try:
            with _worker.pipes() as (requests, answers):
                requests.write(json.dumps([os.path.abspath(path), str(folder)]).encode() + b"\n")
                requests.flush()
                if not (line := answers.readline()):
                    raise OSError("pyarrow ended while it read the file")
                found = json.loads(line)
        except (OSError, ValueError) as reason:
            raise DataError(f"{path} cannot be read as a Parquet file ({reason})") from reason
        if "error" in found:
            raise DataError(found["error"])
        texts, places = json.loads((folder / "ids.json").read_bytes())
        rows, width = found["shape"]
        table = map_rows(folder / "features.bin", (rows, width))
        if table.nbytes <= IN_MEMORY:
            table = table.copy()
    return table, [texts[place] for place in places]


def _serve(requests: IO[bytes], answers: IO[bytes]) -> None:
    os.environ["ARROW_DEFAULT_MEMORY_POOL"] = "system"
    import pyarrow

    pyarrow.set_cpu_count(1)
    null = os.open(os.devnull, os.O_WRONLY)
    os.dup2(null, 2)  # what pyarrow says before it ends the process
    for line in requests:
        path, folder = map(Path, json.loads(line))
        try:
            _bound(BESIDES + 2 * _most(path))
            found: dict[str, Any] = {"shape": _unpack(path, folder)}
        except AlkitError as reason:
            found = {"error": str(reason)}
        except MemoryError:
            found = {"error": str(_too_large(path, f"more than {_most(path)}"))}
        except Exception as reason:  # pyarrow raises errors of many types
            found = {"error": f"{path} cannot be read as a Parquet file ({first_line(reason)})"}
        answers.write(json.dumps(found).encode() + b"\n")
        answers.flush()


def _most(path: Path) -> int:
    """Return the greatest number of bytes to which a file may unpack."""
    return SMALL + MOST_PACKED * path.stat().st_size


def _bound(more: int) -> None:
    """Let this process take so many more bytes of memory, and no more, where the system can do that."""
    with suppress(ImportError, AttributeError, OSError, ValueError, IndexError):
        import resource

        pages = int(Path("/proc/self/statm").read_text("ascii").split()[5])
        _, hard = resource.getrlimit(resource.RLIMIT_DATA)
        resource.setrlimit(resource.RLIMIT_DATA, (pages * os.sysconf("SC_PAGE_SIZE") + more, hard))


def _unpack(path: Path, folder: Path) -> tuple[int, int]:
    """Write the features and the ids in a file to two files, and return the shape of the features."""
    from pyarrow import parquet

    with parquet.ParquetFile(path) as file:
        names = file.schema_arrow.names
        if "id" not in names or len(names) < 2 or len(set(names)) < len(names):
            raise DataError(
                f"{path} must have a column id, and a column features or one column for each feature",
                got=f"the columns {', '.join(map(repr, names[:9]))}",
            )
        columns = ["features"] if "features" in names else [name for name in names if name != "id"]
        _check_columns(file, columns, path)
    number: dict[Any, int] = {}  # equal ids as one text: a file can have a long one in many rows
    places: list[int] = []
    width, most = None, _most(path)
    with parquet.ParquetFile(path, read_dictionary=["id"]) as file, (folder / "features.bin").open("wb") as out:
        for batch in file.iter_batches(AT_ONCE, columns=["id", *columns], use_threads=False):
            own = _ids(batch.column("id"))
            rows = _columns(batch, columns, own, width, path)
            places += [number.setdefault(id, len(number)) for id in own]
            width = rows.shape[1]
            if 4 * len(places) * width > most:
                raise _too_large(path, f"more than {most}")
            out.write(np.ascontiguousarray(rows, "<f4").data)
    (folder / "ids.json").write_text(json.dumps([list(number), places], default=repr), "ascii")
    return len(places), width or 0


def _too_large(path: Path, bytes: object) -> DataError:
    return DataError(f"{path} unpacks to {bytes} bytes", got=f"{path.stat().st_size} bytes", hint="write it as .npy")


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
        raise _too_large(path, bytes)


def _ids(column: Any) -> list[Any]:
    """Return the ids in a column, equal ones as one object: a file can have a long one in many rows."""
    if not hasattr(column, "dictionary"):
        found: list[Any] = column.to_pylist()
        return found
    texts = column.dictionary.to_pylist()
    return [None if place is None else texts[place] for place in column.indices.to_pylist()]


def _columns(
    batch: Any, columns: Sequence[str], ids: Sequence[object], width: int | None, path: Path
) -> npt.NDArray[np.float32]:
    """Return the features in some rows of a Parquet file, float32."""
    if columns == ["features"]:
        from pyarrow import compute

        lists = batch.column("features")
        lengths = compute.list_value_length(lists).fill_null(0).to_numpy(zero_copy_only=False)
        for id, length in zip(ids, lengths.tolist(), strict=True):
            if length != (width := length if width is None else width):
                raise DataError(f"{path} must have features of one length", got=f"{length} of {id!r}, {width} before")
        flat: npt.NDArray[Any] = lists.flatten().to_numpy(zero_copy_only=False)
        return flat.astype(np.float32).reshape(len(lists), -1)
    return np.stack([batch.column(name).to_numpy(zero_copy_only=False).astype(np.float32) for name in columns], axis=1)


if __name__ == "__main__":
    _serve(sys.stdin.buffer, sys.stdout.buffer)
