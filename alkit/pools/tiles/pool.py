"""A pool of the tiles of large images."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import InitVar, dataclass, field
from pathlib import Path

import numpy as np

from alkit._files import cache_folder, without_tilde
from alkit._logs import logger
from alkit.arguments.checked import checked_except
from alkit.checks import check_integer, check_number
from alkit.configuration.forms import runtime
from alkit.configuration.parameter_changes import changes
from alkit.errors import ConfigurationError, ImageError
from alkit.pools.base import whole_as, whole_pool
from alkit.pools.cache import cache_images
from alkit.pools.decoding import SUFFIXES, scan
from alkit.pools.groups import GroupsLike
from alkit.pools.kept import KeptPool
from alkit.pools.names import as_patterns
from alkit.pools.rows import Rows
from alkit.pools.scaling import Scale, check_scale, scale_pixels
from alkit.pools.sizes import check_size
from alkit.pools.sources import BETWEEN, file_name
from alkit.pools.tiles.grid import corner, tile_frame
from alkit.pools.tiles.large import SLIDES, open_large
from alkit.pools.tiles.overview import Foreground, Overview, overview_of
from alkit.pools.tiles.source import Tiles
from alkit.pools.unusable import unusable_text
from alkit.protocols import Pool
from alkit.values.frames import Box, Frame
from alkit.values.label_spec import Images, Size
from alkit.values.progress import Report, quiet
from alkit.values.surroundings import Surroundings

log = logger(__name__)

KEPT = 8
"""Number of overviews of images that are kept in memory."""


@checked_except("tile", "stride", "scale", "groups")
@changes(added={"exclude": ()})
@dataclass(frozen=True, repr=False)
class TilePool(KeptPool):
    """The tiles of the large images in a folder: TIFF and OME-TIFF pyramids, whole slides, and images of other formats.

    Each tile is an image with an id such as ``"ward3/slide7/y1024-x512"``: the id of its image, and its first row and
    column. The image is its parent and, unless `groups` says otherwise, its group, so that a split keeps an image on
    one side. Its mask has the size of the tile without the margin.

    Opening the pool cuts the tiles of images that are new or have changed, and writes them to the cache one after
    another. Tiled files are never read as a whole, so an image may be larger than memory. Images of other formats, and
    TIFF files without tiles, may have as many pixels as the environment variable ALKIT_MAX_PIXELS allows.

    Parameters
    ----------
    path:
        Folder of images, whose names end as those of :class:`alkit.ImagePool`, or in svs, ndpi, scn or bif.
    tile:
        Height and width of a tile in pixels, or one integer for both. The last tiles of a row or column end at the
        border of the image. An image that is smaller has one tile, which is mirrored at its borders to fill the size.
    stride:
        Distance between tiles: (down, across), or one integer for both, at most the size of a tile. Default: the size,
        so that tiles overlap only at the last row and column.
    margin:
        Pixels around a tile that the learner sees, too, but that have no label and do not count. At the border of the
        image they are mirrored.
    level:
        Level of the pyramid that tiles are cut from; 0 is the full resolution.
    mpp:
        Micrometres per pixel, in place of `level`: the level whose pixels are nearest to it, and at most a quarter
        larger or smaller. Images that do not state the size of their pixels are left out.
    foreground:
        Which tiles are kept, see :data:`alkit.pools.Foreground`.
    least:
        Least share of a tile that must be foreground, in [0, 1].
    grayscale:
        Convert images to one channel, see :class:`alkit.ImagePool`. 16-bit images require it.
    scale:
        How stored values are mapped to [0, 1], see :data:`alkit.pools.Scale`. Default: ``"full"``, so that tiles of one
        image stay comparable.
    pattern, exclude, groups, cache, report:
        See :class:`alkit.ImagePool`. Ids of groups are those of images or of tiles.

    Raises
    ------
    DataError
        The folder does not exist or holds no images, or two images have the same id.
    ImageError
        No image can be used, or images differ in bits.
    ConfigurationError
        A parameter is wrong.
    MissingDependencyError
        A package that reads a format is not installed: ``pip install "alkit[slides]"``.
    StoreError
        The cache cannot be written.

    Examples
    --------
    >>> import tempfile
    >>> from PIL import Image
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     Image.new("RGB", (100, 64), "navy").save(f"{folder}/a.png")
    ...     pool = TilePool(folder, tile=64, cache=f"{folder}/cache")
    ...     pool.ids, pool.parents_of(["a/y0-x36"]), pool.shape
    (('a/y0-x0', 'a/y0-x36'), ['a'], (3, 64, 64))
    """

    path: str | Path
    tile: int | Size = 512
    stride: int | Size | None = None
    margin: int = 0
    level: int = 0
    mpp: float | None = None
    foreground: Foreground = "all"
    least: float = 0.05
    grayscale: bool = False
    scale: Scale = "full"
    pattern: str = "**/*"
    exclude: str | Sequence[str] = ()
    groups: GroupsLike | None = runtime(None)
    cache: str | Path | None = runtime(None)
    report: InitVar[Report] = quiet
    ids: Sequence[str] = field(init=False, repr=False, compare=False)
    unusable: Mapping[str, str] = field(init=False, repr=False, compare=False)
    """The reason for each image that is left out, by its id."""
    _source: Tiles = field(init=False, repr=False, compare=False)
    _kept: Rows = field(init=False, repr=False, compare=False)
    _image_sizes: dict[Path, Size] = field(init=False, repr=False, compare=False)
    _overviews: dict[Path, Overview] = field(init=False, repr=False, compare=False)

    def __post_init__(self, report: Report) -> None:
        check_scale(self.scale)
        folder, source = without_tilde(self.path), checked_source(self)
        hidden: dict[str, ImageError] = {}
        files = scan(folder, self.pattern, unusable=hidden, suffixes=SUFFIXES.union(SLIDES), exclude=source.exclude)
        kept, failed = cache_images(files, source, root=cache_folder(self.cache), report=report)
        names = {file.name: id for id, file in files.items()}
        order = sorted(range(len(kept.names)), key=lambda row: _order(kept.names[row], names))
        kept = Rows(kept.index, [kept.names[row] for row in order], [kept.entries[row] for row in order], source)
        ids = tuple(f"{names[file_name(name)]}/{name.partition(BETWEEN)[2]}" for name in kept.names)
        unusable = {id: str(error) for id, error in hidden.items()} | failed
        if unusable:
            log.warning("%s", unusable_text(unusable))
        # The absolute path, so that a record with this pool can be opened from any working directory.
        vars(self).update(path=str(folder.absolute()), tile=source.tile, stride=source.stride, ids=ids)
        vars(self).update(exclude=source.exclude)
        vars(self).update(shape=kept.shape, _rows={id: row for row, id in enumerate(ids)}, unusable=unusable)
        vars(self).update(_source=source, _kept=kept, _image_sizes={}, _overviews={})
        self._group(self.groups)

    @checked_except("ids")
    def places_of(self, ids: Iterable[str]) -> list[Box]:
        """Return the place of each tile in its image, at the level that tiles are cut from."""
        return [self._place(row) for row in self._rows_of(ids)]

    @checked_except("id")
    def image_path(self, id: str) -> Path:
        """Return the file of the image of a tile."""
        return self._source.path(self._kept.names[self._rows_of([id])[0]])

    @checked_except("id")
    def image_size(self, id: str) -> Size:
        """Return the height and width of the image of a tile, at the level that tiles are cut from.

        Raises
        ------
        ImageError
            The image cannot be read any more.
        """
        path = self.image_path(id)
        if path not in self._image_sizes:
            with open_large(path, self.grayscale) as large:
                self._image_sizes[path] = large.levels[self._source.level_of(large, path)]
        return self._image_sizes[path]

    def _place(self, row: int) -> Box:
        entry = self._kept.entries[row]
        return Box(*corner(self._kept.names[row].partition(BETWEEN)[2]), entry.height, entry.width)

    def _frame(self, row: int) -> Frame:
        entry = self._kept.entries[row]
        return tile_frame((entry.height, entry.width), self._source.tile, self.margin)

    def _picture(self, row: int) -> Images | None:
        content = self._frame(row).content
        (shown,) = scale_pixels(self._kept.read([row])[(..., *content.slices)], "full")
        picture: Images = shown
        return picture

    def _surroundings(self, row: int) -> Surroundings:
        path, box = self._source.path(self._kept.names[row]), self._place(row)
        with open_large(path, self.grayscale) as large:
            level = self._source.level_of(large, path)
            high, wide = large.levels[level]
            top, left = max(0, box.top - box.height), max(0, box.left - box.width)
            bottom, right = min(high, box.top + 2 * box.height), min(wide, box.left + 2 * box.width)
            near = large.read(level, Box(top, left, bottom - top, right - left))
            if path not in self._overviews:
                while len(self._overviews) >= KEPT:
                    self._overviews.pop(next(iter(self._overviews)))
                self._overviews[path] = overview_of(large, level)
        overview, most = self._overviews[path], np.float32(np.iinfo(near.dtype).max)
        place = Box(box.top - top, box.left - left, box.height, box.width)
        shown, whole = (np.divide(pixels, most, dtype=np.float32) for pixels in (near, overview.pixels))
        return Surroundings(shown, place, whole, overview.place(box))

    def _parent(self, row: int) -> str | None:
        return self.ids[row].rpartition("/")[0]


def checked_source(pool: TilePool) -> Tiles:
    """Return the source of a pool's tiles, after a check of the parameters."""
    tile, stride = check_size(pool.tile, "tile"), check_size(pool.stride, "stride")
    if tile is None:
        raise ConfigurationError("tile must be an integer >= 1, or (height, width)", got="None", hint="tile=512")
    stride = stride or tile
    if stride[0] > tile[0] or stride[1] > tile[1]:
        raise ConfigurationError("stride must be at most the size of a tile", got=f"{stride} for tiles of {tile}")
    check_integer("margin", pool.margin, least=0, most=4096)
    check_integer("level", pool.level, least=0)
    check_number("least", pool.least, 0, 1)
    if pool.mpp is not None:
        check_number("mpp", pool.mpp, least=0, open_ends="(")
        if pool.level:
            raise ConfigurationError("level must be 0 if mpp is given", got=pool.level)
    folder = without_tilde(pool.path)
    cut = tile, stride, pool.margin, pool.level, pool.mpp
    exclude = as_patterns(pool.exclude)
    return Tiles(folder, pool.pattern, *cut, pool.grayscale, pool.foreground, pool.least, exclude)


def tiles_of(pool: Pool) -> TilePool:
    """Return the pool of tiles that a pool is, or is a part of.

    Raises
    ------
    DataError
        It is another kind of pool.
    """
    return whole_as(pool, TilePool, "tiles")


def is_tiled(pool: Pool) -> bool:
    """Return whether a pool consists of tiles."""
    return isinstance(whole_pool(pool), TilePool)


def _order(name: str, ids: Mapping[str, str]) -> tuple[str, int, int]:
    top, left = corner(name.partition(BETWEEN)[2])
    return ids[file_name(name)], top, left
