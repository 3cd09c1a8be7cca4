"""A pool of the slices of volumes."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import InitVar, dataclass, field
from itertools import pairwise
from pathlib import Path

import numpy as np

from alkit._files import cache_folder, without_tilde
from alkit._logs import logger
from alkit.arguments.checked import checked, checked_except
from alkit.configuration.forms import runtime
from alkit.configuration.parameter_changes import changes
from alkit.errors import DataError, ImageError, nearest
from alkit.pools.base import whole_as
from alkit.pools.cache import cache_images
from alkit.pools.decoding import Pixels
from alkit.pools.groups import GroupsLike
from alkit.pools.kept import KeptPool
from alkit.pools.names import as_patterns
from alkit.pools.rows import InMemory, ReadsRows, Rows
from alkit.pools.scaling import Scale
from alkit.pools.sources import BETWEEN, file_name
from alkit.pools.unusable import unusable_text
from alkit.pools.volumes.geometry import Axis, Plane, slice_index
from alkit.pools.volumes.scanning import Volume, check_modalities, find_volumes
from alkit.pools.volumes.slices import Slices, check_cutting
from alkit.protocols import Pool
from alkit.values.frames import Fit, Frame
from alkit.values.label_spec import Images, Size
from alkit.values.progress import Report, quiet

log = logger(__name__)


@checked_except("axis", "size", "fit", "groups")
@changes(added={"exclude": ()})
@dataclass(frozen=True, repr=False)
class VolumePool(KeptPool):
    """The slices of the volumes in a folder: NIfTI files, DICOM series, NRRD and MetaImage files.

    Each slice is an image with an id such as ``"site1/case7/axial-0031"``: the id of its volume, the axis, and the
    number of the slice along it. The volume is its parent and, unless `groups` says otherwise, its group, so that a
    split keeps a volume on one side. The id of a volume is the path of its file without the suffix, or that of the
    folder of a DICOM series.

    Opening the pool reads the headers of all files, and volumes that are new or have changed since they were cached.
    Their slices are written to the cache one after another, so a volume may be larger than memory.

    A volume that cannot be used is left out as a whole with a warning, and listed in :attr:`unusable`: for example, it
    is damaged, has slices missing or doubled, has values that are not finite, or lacks a modality.

    Parameters
    ----------
    path:
        Folder of volumes: files that end in ``.nii``, ``.nii.gz``, ``.nrrd``, ``.mha`` or ``.mhd``, and DICOM files.
        Other files and hidden files are ignored.
    axis:
        Direction across the slices, see :data:`alkit.pools.Axis`: ``"axial"``, ``"coronal"`` or ``"sagittal"``,
        whatever the order in which a file stores its voxels; or 0, 1 or 2, an axis of the array as it is stored.
    window:
        Two values in the units of the files, such as Hounsfield units, which become 0 and 1; what lies outside is cut
        off. None: they are `percentiles` of each volume and channel.
    percentiles:
        Percentiles that become 0 and 1 if `window` is None. In volumes of more than four million voxels, they are
        computed from voxels that are evenly spaced.
    size:
        Working size: (height, width) in pixels, or one integer for both. None keeps the size of the slices, which must
        be the same in all volumes.
    fit:
        How slices become images of this size. ``"squash"`` resizes them whole. ``"pad"`` keeps their proportions in
        millimetres, and what is left mirrors the slice. ``"crop"`` keeps them, too, and cuts the borders off.
    spacing:
        Millimetres of a pixel with ``fit="pad"``, so that all volumes have one scale; slices that do not fit `size`
        then are shrunk. None: as many as in the finer direction of the slice.
    context:
        Number of neighbouring slices on each side that become channels, too, in the order of their numbers. At the ends
        of a volume the last slice is repeated.
    modalities:
        Names of the files of a volume, each of which becomes one channel or more, such as
        ``("{volume}_t1.nii.gz", "{volume}_t2.nii.gz")``, or one text with commas. A name without a folder matches in
        all folders. None: each file is a volume. A fourth axis of an array holds channels in any case. People are shown
        the first channel.
    pattern:
        Pattern that file names match, as in :func:`glob.glob`; ``**`` matches any folders. Default: all files.
    exclude:
        Patterns of files to leave out, see :class:`alkit.ImagePool`.
    groups:
        Groups of the volumes, such as patients, see :class:`alkit.ImagePool`. Ids are those of volumes or of slices.
    cache:
        Folder of the cache, see :class:`alkit.ImagePool`. It holds slices at the working size, with 16 bits.
    report:
        Called with the progress of stage ``read`` after each volume that is read.

    Raises
    ------
    DataError
        The folder does not exist or holds no volumes, or two volumes have the same id.
    ImageError
        No volume can be used, or slices differ in size while `size` is None.
    ConfigurationError
        A parameter is wrong.
    MissingDependencyError
        The package that reads a format is not installed: ``pip install "alkit[volumes]"``.
    StoreError
        The cache cannot be written.

    Examples
    --------
    >>> import tempfile
    >>> import nibabel
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     array = np.arange(60, dtype=np.int16).reshape(3, 4, 5)
    ...     nibabel.Nifti1Image(array, np.diag([1, 1, 5, 1])).to_filename(f"{folder}/case1.nii.gz")
    ...     pool = VolumePool(folder, axis="axial", window=(0, 59), cache=f"{folder}/cache")
    ...     pool.ids[1], pool.shape, pool.parents_of(pool.ids[:1])
    ('case1/axial-0001', (1, 4, 3), ['case1'])
    """

    path: str | Path
    axis: Axis | int = "axial"
    window: tuple[float, float] | None = None
    percentiles: tuple[float, float] = (0.5, 99.5)
    size: int | Size | None = None
    fit: Fit = "squash"
    spacing: float | None = None
    context: int = 0
    modalities: str | Sequence[str] | None = None
    pattern: str = "**/*"
    exclude: str | Sequence[str] = ()
    groups: GroupsLike | None = runtime(None)
    cache: str | Path | None = runtime(None)
    report: InitVar[Report] = quiet
    scale: Scale = field(init=False, default="full", repr=False, compare=False)
    ids: Sequence[str] = field(init=False, repr=False, compare=False)
    unusable: Mapping[str, str] = field(init=False, repr=False, compare=False)
    """The reason for each volume that is left out, by its id."""
    volumes: Mapping[str, Volume] = field(init=False, repr=False, compare=False)
    """The volumes by id: their geometry, and their files."""
    _source: Slices = field(init=False, repr=False, compare=False)
    _kept: Rows = field(init=False, repr=False, compare=False)
    _neighbours: np.ndarray[tuple[int, int], np.dtype[np.int64]] = field(init=False, repr=False, compare=False)

    def __post_init__(self, report: Report) -> None:
        folder = without_tilde(self.path)
        modalities, cutting = check_modalities(self.modalities), check_cutting(vars(self))
        hidden: dict[str, ImageError] = {}
        exclude = as_patterns(self.exclude)
        volumes = find_volumes(folder, self.pattern, modalities, hidden, exclude=exclude)
        choice = (self.pattern, *modalities, *(f"exclude={pattern}" for pattern in exclude))
        source = Slices(folder, choice, cutting, volumes)
        files = {id: volume.file for id, volume in volumes.items()}
        kept, failed = cache_images(files, source, root=cache_folder(self.cache), report=report)
        kept = _sorted(kept, source)
        unusable = {id: str(error) for id, error in hidden.items()} | failed
        if unusable:
            log.warning("%s", unusable_text(unusable, "volume"))
        ids = tuple(name.replace(BETWEEN, "/") for name in kept.names)
        channels, height, width = kept.shape
        # The absolute path, so that a record with this pool can be opened from any working directory.
        vars(self).update(path=str(folder.absolute()), **cutting._asdict())
        vars(self).update(
            modalities=modalities or None, exclude=exclude, ids=ids, _rows={id: row for row, id in enumerate(ids)}
        )
        vars(self).update(shape=((2 * self.context + 1) * channels, height, width), unusable=unusable)
        vars(self).update(volumes={id: volume for id, volume in volumes.items() if id not in failed})
        vars(self).update(_source=source, _kept=kept, _neighbours=_neighbours(kept.names, self.context))
        self._group(self.groups)

    @checked
    def place(self, id: str) -> tuple[Volume, int]:
        """Return the volume of a slice, and the position of the slice along the volume's array.

        Raises
        ------
        DataError
            The id is not in the pool.
        """
        name = self._kept.names[self._rows_of([id])[0]]
        volume = self.volumes[file_name(name)]
        return volume, self._source.plane(volume).number(slice_index(name), volume.geometry)

    @checked
    def plane(self, volume: str) -> Plane:
        """Return how the slices of a volume, by its id, are cut out of its array and turned."""
        if volume not in self.volumes:
            raise DataError("the pool has no volume with this id", got=repr(volume), hint=nearest(volume, self.volumes))
        return self._source.plane(self.volumes[volume])

    def _picture(self, row: int) -> Images | None:
        return self._source.picture(self._kept.names[row])[:1]

    def _pixels(self, rows: Sequence[int]) -> Pixels:
        if not self.context:
            return super()._pixels(rows)
        wanted = self._neighbours[list(rows)]
        once, places = np.unique(wanted, return_inverse=True)
        return self._kept.read(once.tolist())[places.reshape(wanted.shape)].reshape(len(rows), *self.shape)

    def _stored_rows(self, rows: Sequence[int]) -> ReadsRows:
        return InMemory(self._pixels(rows)) if self.context else super()._stored_rows(rows)

    def _pixel_digest(self, row: int) -> str:
        digests = [self._kept.entries[near].digest for near in self._neighbours[row].tolist()]
        return digests[0] if len(digests) == 1 else hashlib.sha256(" ".join(digests).encode()).hexdigest()

    def _frame(self, row: int) -> Frame:
        return self._source.frame(self.volumes[file_name(self._kept.names[row])])

    def _parent(self, row: int) -> str | None:
        return file_name(self._kept.names[row])


def _sorted(rows: Rows, source: Slices) -> Rows:
    """Return the rows with the slices of each volume in the order of their numbers."""
    numbers = {id: number for number, id in enumerate(source.volumes)}
    order = sorted(
        range(len(rows.names)), key=lambda row: (numbers[file_name(rows.names[row])], slice_index(rows.names[row]))
    )
    return Rows(rows.index, [rows.names[row] for row in order], [rows.entries[row] for row in order], source)


def _neighbours(names: Sequence[str], context: int) -> np.ndarray[tuple[int, int], np.dtype[np.int64]]:
    """Return, for each row, the rows of its neighbours within its volume and of itself, ``(n, 2 * context + 1)``."""
    rows = np.arange(len(names))
    files = [file_name(name) for name in names]
    starts = np.array([True, *(one != two for one, two in pairwise(files))])
    number = np.cumsum(starts) - 1
    first = np.flatnonzero(starts)
    last = np.append(first[1:], len(names)) - 1
    near = rows[:, None] + np.arange(-context, context + 1)
    found: np.ndarray[tuple[int, int], np.dtype[np.int64]] = near.clip(first[number][:, None], last[number][:, None])
    return found


def volumes_of(pool: Pool) -> VolumePool:
    """Return the pool of volumes that a pool is, or is a part of.

    Raises
    ------
    DataError
        It is another kind of pool.
    """
    return whole_as(pool, VolumePool, "slices of volumes")
