"""Masks of tiles, cut out of masks of large images."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from alkit._files import without_tilde
from alkit._reading.damage import UNPREDICTED, check_pages
from alkit._reading.images import ORIENTATION, TIFF, refuse_damage
from alkit._reading.limits import check_pixels
from alkit._reading.tiffs import series_of
from alkit.arguments.checked import checked
from alkit.errors import AlkitError, ConfigurationError, DataError, LabelError
from alkit.labels.masks import COMPRESSIONS, read_mask
from alkit.oracles.mask_files import SUFFIXES
from alkit.oracles.simulated import MaskOracle
from alkit.pools.base import Subset
from alkit.pools.names import check_folder, check_inside
from alkit.pools.tiles.large import check_complete, leads_elsewhere, region_array
from alkit.pools.tiles.pool import TilePool, tiles_of
from alkit.values.answers import Answer, Invalid
from alkit.values.frames import Box
from alkit.values.label_spec import Size, size_text

FIELD = "{image}"
"""Stands for the id of an image in the name of its mask."""

NAMES = ("{image}.png", "{image}.tif", "{image}.tiff")
"""Names of masks that are tried if none is given."""

FEW = 5
"""Most reasons that a message lists."""


@checked
class TileMasks(Mapping[str, npt.NDArray[Any]]):
    """The masks of tiles by id, cut out of the masks of their images.

    A mask file has the size of the level that tiles are cut from. Tiled TIFF files are never read as a whole. The files
    of a few images are kept open.

    Parameters
    ----------
    pool:
        The tiles: an :class:`alkit.TilePool`, or a subset of one.
    folder:
        Folder of the masks, as :class:`alkit.MaskOracle` reads them.
    pattern:
        File name of the mask of an image, with ``{image}`` for its id, such as ``"{image}_mask.tif"``. None: the id
        with the suffix png, tif or tiff, of which one must exist.

    Raises
    ------
    DataError
        The folder does not exist, or `pool` does not consist of tiles.
    ConfigurationError
        `pattern` does not contain ``{image}``, or leads out of the folder.
    LabelError
        An image has no mask, or several. When a mask is read: it has another size than its image, or cannot be read.

    Examples
    --------
    >>> import tempfile
    >>> from PIL import Image
    >>> import alkit
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     for name in ("images", "masks"):
    ...         Path(folder, name).mkdir()
    ...         Image.new("L", (100, 64)).save(f"{folder}/{name}/a.png")
    ...     pool = alkit.TilePool(f"{folder}/images", tile=64, cache=f"{folder}/cache")
    ...     TileMasks(pool, f"{folder}/masks")["a/y0-x36"].shape
    (64, 64)
    """

    def __init__(self, pool: TilePool | Subset, folder: str | Path, pattern: str | None = None) -> None:
        place = without_tilde(folder)
        check_folder(place, "folder", "masks")
        if pattern is not None and FIELD not in pattern:
            raise ConfigurationError("pattern must contain {image}", got=repr(pattern), hint="'{image}.png'")
        self._pool, self._ids = tiles_of(pool), dict.fromkeys(pool.ids)
        names = NAMES if pattern is None else (pattern,)
        check_inside(names[0])
        self._files: dict[str, Path] = {}
        missing: list[str] = []
        for image in dict.fromkeys(self._pool.parents_of(list(self._ids))):
            paths = [place / name.replace(FIELD, image) for name in names]
            found = [path for path in paths if path.is_file()]
            if len(found) > 1:
                missing.append(f"{image} has several masks, {' and '.join(map(str, found))}: keep one of them")
            elif found:
                self._files[image] = found[0]
            else:
                missing.append(f"{image} has no mask: expected a file such as {paths[0]}")
        if missing:
            listed = "; ".join(missing[:FEW]) + ("; ..." if len(missing) > FEW else "")
            raise LabelError(listed if len(missing) == 1 else f"{len(missing)} images do not have one mask: {listed}")
        self._open: tuple[tuple[str, int, int, int], ExitStack, Any] | None = None

    def __getitem__(self, id: str) -> npt.NDArray[Any]:
        if id not in self._ids:
            raise KeyError(id)
        (image,), (box,) = self._pool.parents_of([id]), self._pool.places_of([id])
        return self._read(image, box, self._pool.image_size(id))

    def _read(self, image: str, box: Box, size: Size) -> npt.NDArray[Any]:
        key = image, *self._facts(image)
        opened = self._open  # another thread may open another file meanwhile
        if opened is None or opened[0] != key:
            self._open = None  # without a call of close(): the last thread that reads the former file lets go of it
            stack = ExitStack()
            opened = self._open = key, stack, stack.enter_context(_open_mask(self._files[image]))
        mask = opened[2]
        if mask.shape != size:
            raise LabelError(
                f"{self._files[image]} must have the size of its image",
                got=size_text(mask.shape),
                expected=size_text(size),
                hint="save the mask at the level that tiles are cut from",
            )
        check_pixels(box.size, f"a tile of {self._files[image]}", LabelError)
        try:
            return np.asarray(mask[box.slices])
        except Exception as error:  # decoders raise errors of many types
            raise LabelError(f"{self._files[image]} cannot be read", got=error) from error

    def _facts(self, image: str) -> tuple[int, int, int]:
        """Return what tells whether the mask of an image was saved again."""
        try:
            found = self._files[image].stat()
        except OSError as error:
            raise LabelError(f"{self._files[image]} cannot be read", got=error.strerror) from error
        return found.st_size, found.st_mtime_ns, found.st_ctime_ns

    def __iter__(self) -> Iterator[str]:
        return iter(self._ids)

    def __len__(self) -> int:
        return len(self._ids)

    def __contains__(self, id: object) -> bool:
        return id in self._ids

    def __repr__(self) -> str:
        return f"TileMasks({len(self._ids)} tiles of {len(self._files)} images)"


def masks_of_images(
    pool: TilePool | Subset, folder: Path, pattern: str, make: Callable[[TileMasks], MaskOracle], annotator: str
) -> Iterator[Answer]:
    """Yield an answer for each tile of the images that have a mask, and then one for each file that belongs to none.

    Parameters
    ----------
    pool:
        The tiles.
    folder, pattern:
        Folder of the masks of whole images, and the name of a mask with ``{image}`` in it.
    make:
        Makes the oracle that reads the masks of tiles.
    annotator:
        Name of the annotator.

    Raises
    ------
    DataError
        No image has a mask.
    """
    root = without_tilde(folder)
    named = {image: root / pattern.replace(FIELD, image) for image in dict.fromkeys(pool.parents_of(pool.ids))}
    own = [id for id, image in zip(pool.ids, pool.parents_of(pool.ids), strict=True) if named[image].is_file()]
    if not own:
        raise DataError(f"{root} contains no mask of an image", expected=f"files such as {next(iter(named.values()))}")
    oracle = make(TileMasks(pool.subset(own), root, pattern))
    for id in own:
        try:
            yield Answer(id, oracle.read(id), annotator)
        except AlkitError as reason:
            yield Answer(id, Invalid(str(reason)), annotator)
    files = {path for path in root.rglob("*") if path.suffix.lower() in SUFFIXES and path.is_file()}
    for path in sorted(files - set(named.values())):
        yield Answer(path.relative_to(root).as_posix(), Invalid("no image of the pool has this mask"), annotator)


@contextmanager
def _open_mask(path: Path) -> Iterator[Any]:
    """Open a mask as an array ``(h, w)``; a tiled TIFF is read by regions, any other file as a whole.

    Raises
    ------
    LabelError
        The file cannot be read as a mask.
    """
    import tifffile

    with path.open("rb") as opened:
        if is_tiff := opened.read(4) in TIFF:
            check_pages(opened, str(path), LabelError)
    if is_tiff:
        with refuse_damage(partial(_damaged_mask, path)), tifffile.TiffFile(path, _multifile=False) as file:
            page = file.pages.first
            found = [] if leads_elsewhere(file) else series_of(file, path, LabelError)
            series = found[0] if len(found) == 1 else None
            if series is not None and page.is_tiled and series.axes == "YX" and _is_plain(page):
                if series.dtype is None or not np.issubdtype(series.dtype, np.integer):
                    raise LabelError(f"{path} must have integers", got=series.dtype)
                check_pixels((page.tilelength, page.tilewidth), f"a tile of {path}", LabelError)
                check_complete(series.levels[0], path, LabelError)
                yield region_array(series, 0, path)
                return
    yield read_mask(path)


def _is_plain(page: Any) -> bool:
    """Return whether the values of a TIFF are read as they are: others are for :func:`alkit.labels.masks.read_mask`."""
    predicted = page.predictor == 1 or page.compression not in UNPREDICTED
    upright = page.tags.valueof(ORIENTATION, 1) == 1
    return bool(page.photometric == 1 and upright and predicted and page.compression in COMPRESSIONS)


def _damaged_mask(path: Path, error: Exception) -> LabelError:
    return LabelError(f"{path} cannot be read as a mask", got=error)
