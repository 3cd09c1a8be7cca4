"""A folder of images as a pool."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import InitVar, dataclass, field
from pathlib import Path

from alkit._files import cache_folder
from alkit.configuration.forms import runtime
from alkit.errors import ConfigurationError
from alkit.pools import cache as imagecache
from alkit.pools.base import PoolBase
from alkit.pools.decoding import Pixels, scan
from alkit.pools.scaling import Scale, check_scale
from alkit.values.label_spec import Size
from alkit.values.progress import Report, quiet


@dataclass(frozen=True)
class ImagePool(PoolBase):
    """A folder of images, decoded once into a cache from which any of them is read in microseconds.

    An image's id is its name relative to the folder without the suffix, such as ``"ward3/0017"``. Opening the
    pool decodes what the cache does not hold yet: new and changed images. A pool may be larger than memory:
    reading touches only the rows asked for.

    Parameters
    ----------
    path:
        The folder. Images end in png, jpg, jpeg, tif, tiff, bmp or webp; other files and hidden ones are
        passed over.
    size:
        The working size: (height, width), or one number for both. The whole frame is squashed to it by a
        bicubic filter, without a crop. None keeps the images as they are, if they are all of one size.
    grayscale:
        One channel (ITU-R 601-2 luma) instead of three. Gray images of 16 bits keep them, and need this.
    scale:
        How values become [0, 1] when they are read: ``"minmax"`` of each image, or ``"full"`` range of the
        type.
    pattern:
        Which files, as :func:`glob.glob` reads it; ``**`` stands for any folders.
    cache:
        The folder of caches; by default ``$ALKIT_CACHE``, else ``$XDG_CACHE_HOME/alkit``, else
        ``~/.cache/alkit``. It holds uncompressed images at the working size.
    report:
        Told of each image decoded, as stage ``read``.

    Raises
    ------
    DataError
        No such folder, no image in it, or two images with one id.
    ImageError
        Images that cannot be decoded (the others are, and stay so), that are transparent in places, have
        several frames, 16 bits in colour or 32 bits, or that do not fit together. The message names the file.
    StoreError
        The cache cannot be written.

    Examples
    --------
    >>> import tempfile
    >>> from PIL import Image
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     Image.new("RGB", (60, 40), "navy").save(f"{folder}/a.png")
    ...     pool = ImagePool(folder, size=32, grayscale=True, cache=f"{folder}/cache")
    ...     pool.ids, pool.read(["a"]).shape, pool.sizes(["a"])
    (('a',), (1, 1, 32, 32), [((40, 60), (32, 32))])
    """

    path: str | Path
    size: int | Size | None = None
    grayscale: bool = False
    scale: Scale = "minmax"
    pattern: str = "**/*"
    cache: str | Path | None = runtime(None)
    report: InitVar[Report] = quiet
    ids: Sequence[str] = field(init=False, repr=False, compare=False)
    _kept: imagecache.Rows = field(init=False, repr=False, compare=False)
    _names: Sequence[str] = field(init=False, repr=False, compare=False)

    def __post_init__(self, report: Report) -> None:
        check_scale(self.scale)
        size, folder = _pair(self.size), Path(self.path).expanduser()
        files = scan(folder, self.pattern)
        kept = imagecache.cached(
            folder,
            files,
            size=size,
            grayscale=self.grayscale,
            pattern=self.pattern,
            root=cache_folder(self.cache),
            report=report,
        )
        rows = {id: row for row, id in enumerate(files)}
        # The absolute path, so that a record that names it can be opened from any folder.
        vars(self).update(
            path=str(folder.absolute()), size=size, ids=tuple(files), shape=kept.shape, _rows=rows, _kept=kept
        )
        vars(self).update(_names=tuple(file.name for file in files.values()))

    def _pixels(self, rows: Sequence[int]) -> Pixels:
        return self._kept.read(rows)

    def _pixel_digest(self, row: int) -> str:
        return self._kept.entries[row].digest

    def _sizes(self, row: int) -> tuple[Size, ...]:
        entry = self._kept.entries[row]
        return tuple(dict.fromkeys([(entry.height, entry.width), self.shape[1:]]))

    def _file(self, row: int) -> Path | None:
        return Path(self.path, self._names[row])


def _pair(size: int | Sequence[int] | None) -> Size | None:
    """Return `size` as (height, width)."""
    if size is None:
        return None
    pair = tuple(size) if isinstance(size, Sequence) else (size, size)
    if len(pair) != 2 or not all(isinstance(side, int) and side > 0 for side in pair):
        raise ConfigurationError("this is no size", got=size, expected="pixels, or (height, width) in pixels")
    return pair
