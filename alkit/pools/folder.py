"""A pool of the image files in a folder."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from dataclasses import InitVar, dataclass, field
from pathlib import Path

from alkit._files import cache_folder, without_tilde
from alkit.arguments.checked import checked_except
from alkit.configuration.forms import runtime
from alkit.configuration.parameter_changes import changes
from alkit.errors import ImageError
from alkit.pools.base import PoolBase
from alkit.pools.cache import cache_images
from alkit.pools.decoding import Pixels, scan
from alkit.pools.fitting import check_size_for_fit, padded_size
from alkit.pools.groups import GroupsLike, read_rows
from alkit.pools.rows import Rows
from alkit.pools.scaling import Scale, check_scale
from alkit.pools.sizes import check_size
from alkit.pools.sources import ImageFiles
from alkit.pools.unusable import unusable_text
from alkit.values.frames import Fit, Frame
from alkit.values.label_spec import Size
from alkit.values.progress import Report, quiet

log = logging.getLogger(__name__)


@checked_except("size", "scale", "groups", "fit")
@changes(added={"fit": "squash", "exclude": ()})
@dataclass(frozen=True, repr=False)
class ImagePool(PoolBase):
    """A folder of images, which are decoded once into a cache. Reading a cached image takes microseconds.

    The id of an image is its path relative to the folder without the suffix, for example ``"ward3/0017"``. Opening the
    pool decodes images that are new or have changed since they were cached. A pool may be larger than memory: only the
    images that are read are loaded.

    An image that cannot be used is left out with a warning, and listed in :attr:`unusable`: it cannot be decoded, is
    transparent, or has several frames, negative values, or too many pixels, channels or bits. Such an image joins the
    pool once it is repaired.

    Parameters
    ----------
    path:
        Folder of images. Their names end in png, jpg, jpeg, tif, tiff, bmp or webp. Other files and hidden files are
        ignored.
    size:
        Working size: (height, width) in pixels, or one integer for both. Images are resized to it by a bicubic filter.
        None keeps the original size, which must be the same for all images; with ``fit="pad"`` it is the size in which
        all images fit, each side a multiple of 32.
    grayscale:
        Convert images to one channel (ITU-R 601-2 luma) instead of three. 16-bit gray images require it, and keep
        their 16 bits.
    scale:
        How stored values are mapped to [0, 1], see :data:`alkit.pools.Scale`. Default: ``"minmax"``.
    pattern:
        Pattern that file names match, as in :func:`glob.glob`; ``**`` matches any folders. Default: all files.
    cache:
        Folder of the cache, which holds uncompressed images at the working size. Default: ``$ALKIT_CACHE``, else
        ``$XDG_CACHE_HOME/alkit``, else ``~/.cache/alkit``.
    report:
        Called with the progress of stage ``read`` after each image that is decoded.
    groups:
        Which images belong together, such as those of one patient: a CSV file with the columns ``id`` and the group,
        and any others, which are metadata; a pattern of ids such as ``"{group}/*"``; or a mapping from ids to groups.
        Default: each image is its own group.
    fit:
        How images of other proportions become images of `size`, see :data:`alkit.values.Fit`: ``"squash"`` changes
        their proportions, ``"pad"`` keeps them and fills the rest with the mirrored image, ``"crop"`` keeps them and
        cuts the borders off. Padding does not count in training, scores and metrics, and predictions have the original
        size again.
    exclude:
        Patterns of files to leave out, such as ``"*_mask.*"``. One without a slash is matched with the names of files
        and of all folders above them; others as `pattern`.

    Raises
    ------
    DataError
        The folder does not exist or holds no images, two images have the same id, or groups cannot be used.
    ImageError
        No image can be used, or images differ in size or bits. The message names the file.
    ConfigurationError
        `size`, `scale` or `fit` is wrong, or ``fit="crop"`` has no size.
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
    groups: GroupsLike | None = runtime(None)
    fit: Fit = "squash"
    exclude: str | Sequence[str] = ()
    ids: Sequence[str] = field(init=False, repr=False, compare=False)
    unusable: Mapping[str, str] = field(init=False, repr=False, compare=False)
    """The reason for each image that is left out, by its id."""
    _kept: Rows = field(init=False, repr=False, compare=False)
    _names: Sequence[str] = field(init=False, repr=False, compare=False)

    def __post_init__(self, report: Report) -> None:
        check_scale(self.scale)
        if self.groups is not None:
            read_rows(self.groups)  # before the images, so that a wrong file is found at once
        size, folder = check_size(self.size), without_tilde(self.path)
        exclude = (self.exclude,) if isinstance(self.exclude, str) else tuple(self.exclude)
        hidden: dict[str, ImageError] = {}
        files = scan(folder, self.pattern, unusable=hidden, exclude=exclude)
        check_size_for_fit(size, self.fit)
        if size is None and self.fit == "pad":
            size = padded_size(folder / file.name for file in files.values())
        source = ImageFiles(folder, size, self.grayscale, self.pattern, self.fit, exclude)
        kept, failed = cache_images(files, source, root=cache_folder(self.cache), report=report)
        unusable = {id: str(error) for id, error in hidden.items()} | failed
        files = {id: file for id, file in files.items() if id not in failed}
        if unusable:
            log.warning("%s", unusable_text(unusable))
        rows = {id: row for row, id in enumerate(files)}
        # The absolute path, so that a record with this pool can be opened from any working directory.
        vars(self).update(
            path=str(folder.absolute()), size=size, ids=tuple(files), shape=kept.shape, _rows=rows, _kept=kept
        )
        vars(self).update(exclude=exclude)
        vars(self).update(_names=tuple(file.name for file in files.values()), unusable=unusable)
        self._group(self.groups)

    def _origin(self) -> str:
        return repr(self.path)

    def _pixels(self, rows: Sequence[int]) -> Pixels:
        return self._kept.read(rows)

    def _pixel_digest(self, row: int) -> str:
        return self._kept.entries[row].digest

    def _sizes(self, row: int) -> tuple[Size, ...]:
        entry = self._kept.entries[row]
        return tuple(dict.fromkeys([(entry.height, entry.width), self.shape[1:]]))

    def _frame(self, row: int) -> Frame:
        return Frame(self._sizes(row)[0], self.shape[1:], self.fit)

    def _file(self, row: int) -> Path | None:
        return Path(self.path, self._names[row])
