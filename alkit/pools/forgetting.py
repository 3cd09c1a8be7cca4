"""Delete the decoded pixels of an image from the caches of pools."""

from __future__ import annotations

import os

from alkit.pools.cache import _as_store_error, _lock
from alkit.pools.index import Index
from alkit.pools.rows import Rows
from alkit.pools.sources import file_name
from alkit.protocols import Pool


def forget_pixels(pool: Pool, id: str) -> int:
    """Overwrite the rows of an image in every cache that was made of its file, and return their number.

    Caches at other working sizes are recognised by the name of the file, its size and its times. A pool without a cache
    is left as it is.

    The entry of a part of a file, such as a slice, stays, because pools read all parts of a file. One that needs this
    part decodes it again.
    """
    while not isinstance(kept := getattr(pool, "_kept", None), Rows):
        if (inner := getattr(pool, "pool", None)) is None:
            return 0
        pool = inner
    (row,) = pool._rows_of([id])  # type: ignore[attr-defined]
    name, entry = kept.names[row], kept.entries[row]
    forgotten = 0
    for place in sorted(kept.index.folder.parent.iterdir()):
        if not (place / "index.json").is_file():
            continue
        with _lock(place), _as_store_error(place):
            index = Index.load(place)
            if index is None or (own := index.entries.get(name)) is None or own[:3] != entry[:3]:
                continue
            with (place / index.rows).open("r+b") as file:
                file.seek(own.row * index.row_bytes)
                file.write(bytes(index.row_bytes))
                file.flush()
                os.fsync(file.fileno())
            forgotten += 1
            if file_name(name) != name:
                continue
            entries = {other: found for other, found in index.entries.items() if other != name}
            Index(place, index.rows, index.count, index.shape, index.dtype, entries).save()
    return forgotten
