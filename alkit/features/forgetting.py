"""Delete the features of an image from the tables on disk."""

from __future__ import annotations

import json
import os
from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path

import numpy as np
from filelock import FileLock

from alkit._files import write_atomically
from alkit.features.row_index import ENTRY, ERASED, image_digests
from alkit.pools.checks import image_shape
from alkit.protocols import HasDigests, Pool


def forget_features(pool: Pool, id: str, roots: Iterable[Path]) -> int:
    """Overwrite the rows of an image in all tables in some folders, and return their number.

    Copies of tables in another order are deleted; they are made again when they are needed.
    """
    there = [root for root in roots if root.is_dir()]
    if not isinstance(pool, HasDigests) or not there:
        return 0
    (image,) = image_digests(image_shape(pool), getattr(pool, "scale", None), [pool.digests()[id]])
    folders = [folder for root in there for folder in sorted(root.iterdir()) if (folder / "about.json").is_file()]
    return sum(_forget(folder, bytes(image)) for folder in folders)


def _forget(folder: Path, image: bytes) -> int:
    with FileLock(folder / "lock"):
        try:
            about = json.loads((folder / "about.json").read_bytes())
            rows, index = folder / f"{about['rows']}.bin", folder / f"{about['rows']}.index"
            width = int(about["width"])
            raw = index.read_bytes()
        except (OSError, KeyError, TypeError, ValueError):
            return 0  # a damaged table is computed again, as a whole
        entries = np.frombuffer(raw, ENTRY, count=len(raw) // ENTRY.itemsize)
        places = np.flatnonzero(entries["image"] == image).tolist()
        if not places:
            return 0
        for path, length in ((rows, 4 * width), (index, ENTRY.itemsize)):
            with path.open("r+b") as file:
                for place in places:
                    file.seek(place * length)
                    file.write(b"\xff" * length if path is index else bytes(length))
                file.flush()
                os.fsync(file.fileno())
        for copy in folder.glob("order-*.bin"):
            with suppress(OSError):
                copy.unlink()
        write_atomically(folder / ERASED, b"")  # last: who has the rows mapped reads them again
        return len(places)
