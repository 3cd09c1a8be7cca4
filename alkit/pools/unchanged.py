"""Whether the file of an image still has the pixels that a pool has read."""

from __future__ import annotations

from alkit.errors import ImageError
from alkit.pools.base import whole_pool
from alkit.pools.digests import pixel_digest
from alkit.pools.rows import Rows
from alkit.pools.sources import ImageFiles
from alkit.pools.tiles.source import Tiles
from alkit.protocols import Pool


def check_unchanged(pool: Pool, id: str) -> None:
    """Refuse an image, or a tile, of a folder whose file has other pixels than when the pool was opened.

    People would label an image that no model sees, or see the surroundings of another tile. Volumes check that when
    they are read. A file that was only touched is decoded once more.

    Raises
    ------
    ImageError
        The file has other pixels, or cannot be decoded any more.
    """
    whole = whole_pool(pool)
    rows = getattr(whole, "_kept", None)
    if not isinstance(rows, Rows) or not isinstance(rows.source, ImageFiles | Tiles):
        return
    (row,) = whole._rows_of([id])
    name, entry = rows.names[row], rows.entries[row]
    path = rows.source.path(name)
    try:
        facts = path.stat()
    except OSError as reason:
        raise ImageError(f"{path} cannot be read", got=reason.strerror, hint="restore the file") from reason
    if (facts.st_size, facts.st_mtime_ns, facts.st_ctime_ns) == entry[:3]:
        return
    pixels, _ = rows.source.item(name)
    if pixel_digest(pixels) != entry.digest:
        raise ImageError(
            f"{path} has changed since the pool was opened, so people would label another image than the model sees",
            hint="restore the file, or open the pool again",
        )
