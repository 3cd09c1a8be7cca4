"""A pool of the image files in a folder."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import InitVar, dataclass, field
from pathlib import Path

from alkit._files import cache_folder, without_tilde
from alkit._logs import logger
from alkit.arguments.checked import checked_except
from alkit.configuration.forms import runtime
from alkit.configuration.parameter_changes import changes
from alkit.errors import DataError, ImageError
from alkit.pools.cache import cache_images
from alkit.pools.decoding import scan
from alkit.pools.deep import Pages
from alkit.pools.fitting import check_size_for_fit, padded_size
from alkit.pools.groups import GroupsLike, read_rows
from alkit.pools.kept import KeptPool
from alkit.pools.names import as_patterns
from alkit.pools.rows import Rows
from alkit.pools.scaling import Scale, check_scale, picture_of
from alkit.pools.sizes import check_size
from alkit.pools.sources import BETWEEN, ImageFiles, file_name
from alkit.pools.unusable import unusable_text
from alkit.values.frames import Fit, Frame
from alkit.values.label_spec import Images, Size
from alkit.values.progress import Report, quiet

log = logger(__name__)


@checked_except("size", "scale", "groups", "fit")
@changes(added={"fit": "squash", "exclude": (), "pages": None})
@dataclass(frozen=True, repr=False)
class ImagePool(KeptPool):
    """A folder of images, which are decoded once into a cache. Reading a cached image takes microseconds.

    The id of an image is its path relative to the folder without the suffix, for example ``"ward3/0017"``. Opening the
    pool decodes images that are new or have changed since they were cached. A pool may be larger than memory: only the
    images that are read are loaded.

    An image that cannot be used is left out with a warning, and listed in :attr:`unusable`: it cannot be decoded, is
    transparent, has several frames, negative values or too many pixels, or differs from the others in its channels.
    Such an image joins the pool once it is repaired.

    Images may have any number of channels, and 8 bits, 16 bits or floating-point numbers. People are shown the first
    three channels as red, green and blue, or the first one of two, scaled from the lowest value to the highest unless
    they have 8 bits.

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
        Convert images to one channel (ITU-R 601-2 luma). Otherwise gray images get three equal channels, and all others
        keep theirs.
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
    pages:
        What the pages of a TIFF are: ``"channels"`` of one image, or ``"frames"``, each of which is an image of the
        pool with an id such as ``"name/0003"``, counted from 0, and the file as its parent. Default: files with several
        pages are left out.

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
    pages: Pages | None = None
    ids: Sequence[str] = field(init=False, repr=False, compare=False)
    unusable: Mapping[str, str] = field(init=False, repr=False, compare=False)
    """The reason for each image that is left out, by its id."""
    _kept: Rows = field(init=False, repr=False, compare=False)
    _source: ImageFiles = field(init=False, repr=False, compare=False)

    def __post_init__(self, report: Report) -> None:
        check_scale(self.scale)
        if self.groups is not None:
            read_rows(self.groups)  # before the images, so that a wrong file is found at once
        size, folder = check_size(self.size), without_tilde(self.path)
        exclude = as_patterns(self.exclude)
        hidden: dict[str, ImageError] = {}
        files = scan(folder, self.pattern, unusable=hidden, exclude=exclude)
        check_size_for_fit(size, self.fit)
        if size is None and self.fit == "pad":
            size = padded_size(folder / file.name for file in files.values())
        source = ImageFiles(folder, size, self.grayscale, self.pattern, self.fit, exclude, self.pages)
        kept, failed = cache_images(files, source, root=cache_folder(self.cache), report=report)
        unusable = {id: str(error) for id, error in hidden.items()} | failed
        if unusable:
            log.warning("%s", unusable_text(unusable))
        by_name = {file.name: id for id, file in files.items()}
        ids = [_id_of(name, by_name) for name in kept.names]
        if len(set(ids)) < len(ids):
            twice = next(id for id, number in Counter(ids).items() if number > 1)
            raise DataError("two images have the same id", got=f"a frame and {files[twice].name}, both {twice!r}")
        rows = {id: row for row, id in enumerate(ids)}
        # The absolute path, so that a record with this pool can be opened from any working directory.
        vars(self).update(path=str(folder.absolute()), size=size, exclude=exclude, ids=tuple(ids), shape=kept.shape)
        vars(self).update(_rows=rows, _kept=kept, _source=source, unusable=unusable)
        self._group(self.groups)

    def _frame(self, row: int) -> Frame:
        return Frame(self._sizes(row)[0], self.shape[1:], self.fit)

    def _file(self, row: int) -> Path | None:
        name = self._kept.names[row]
        return None if self._needs_picture or BETWEEN in name else Path(self.path, name)

    @property
    def _needs_picture(self) -> bool:
        """Whether usual viewers would not show the files as people are to see them."""
        bits = self._kept.index.dtype[-1]
        deep = bits not in "12" or (bits == "2" and not self.grayscale)
        return self.pages == "channels" or deep or self.shape[0] not in (1, 3)

    def _picture(self, row: int) -> Images | None:
        name = self._kept.names[row]
        if not (self._needs_picture or BETWEEN in name):
            return None
        pixels, _ = self._source.decode(name, None, self.grayscale)
        return picture_of(pixels)

    def _parent(self, row: int) -> str | None:
        return self.ids[row].rpartition("/")[0] if BETWEEN in self._kept.names[row] else None


def _id_of(name: str, by_name: Mapping[str, str]) -> str:
    """Return the id of an image, from the name of its item."""
    page = name.partition(BETWEEN)[2]
    return f"{by_name[file_name(name)]}/{page}" if page else by_name[name]
