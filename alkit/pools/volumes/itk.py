"""NRRD and MetaImage files, which SimpleITK reads as a whole. Files that name files elsewhere are refused."""

from __future__ import annotations

import atexit
import os
import re
import zlib
from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple, cast

import numpy as np
import numpy.typing as npt

from alkit._files import temporary_folder
from alkit._reading.damage import check_deflated
from alkit._reading.limits import BYTES, limit
from alkit._turn import Turn
from alkit.errors import ImageError, one_line
from alkit.pools.volumes._itk import ItkError, read_header, write_voxels
from alkit.pools.volumes.geometry import Geometry, make_geometry
from alkit.pools.volumes.parts import Facts, Plane2D, check_shape, facts_of, has_changed

SUFFIXES = (".nrrd", ".mha", ".mhd")

READERS = {".nrrd": "NrrdImageIO", ".mha": "MetaImageIO", ".mhd": "MetaImageIO"}
"""Readers of ITK by suffix: ITK would try others, too."""

FACTOR = 10
"""A file that unpacks to more than this multiple of :data:`~alkit._reading.limits.BYTES` is refused; one that is not
compressed may have eight times as many bytes."""

DATA_FILE = re.compile(rb"^ElementDataFile = *([^\r\n]+)\r?$", re.MULTILINE)
"""Line of a MetaImage header that names the file of its voxels."""

LONGEST_HEAD = 2**16
"""Greatest number of bytes of the text at the head of a file."""

SCALES = {b"elementtointensityfunctionslope": 1, b"elementtointensityfunctionoffset": 0}
"""Fields of a MetaImage header that say what stored values mean, with the value that leaves them as they are."""

OLD = (b"oldmin", b"oldmax")
"""Fields of a NRRD header that say what the least and the greatest value of its type stand for."""

AT_ONCE = 2**20
"""Bytes of text that are read at once."""


@dataclass(frozen=True)
class ItkFile:
    """A file that SimpleITK reads; see :class:`~alkit.pools.volumes.parts.Part`. Its voxels take `bytes`.

    The `facts` are those of all its :attr:`paths`.
    """

    path: Path
    geometry: Geometry
    channels: int
    bytes: int
    facts: tuple[Facts, ...]

    @property
    def paths(self) -> tuple[Path, ...]:
        """The file, and the file of its voxels if there is another one."""
        return (self.path, *_voxel_files(self.path))

    def planes(self, channel: int, numbers: Sequence[int]) -> Iterator[Plane2D]:
        """Yield planes; see :class:`~alkit.pools.volumes.parts.Part`."""
        values = _voxels(self.path, self.bytes, self.facts)
        # (k, j, i) or (k, j, i, c)
        values = values[..., None] if values.ndim == 3 else values
        if values.shape != (*self.geometry.shape[::-1], self.channels):
            raise has_changed(self.path)
        for number in numbers:
            yield values[number, ..., channel].T.astype(np.float32)


class _Kept(NamedTuple):
    """The voxels of a file, in a temporary file."""

    key: tuple[Any, ...]
    values: npt.NDArray[Any]
    folder: ExitStack


_kept: list[_Kept] = []
"""The file that was read last: its channels, blocks of its slices and its pictures are read one after another."""

_turn = Turn()


def _voxels(path: Path, size: int, before: tuple[Facts, ...]) -> npt.NDArray[Any]:
    """Return the voxels of a file that has the facts of `before`; they are read once until another file is."""
    files = _voxel_files(path)
    try:
        facts = [(each.stat().st_size, each.stat().st_mtime_ns, each.stat().st_ctime_ns) for each in (path, *files)]
    except OSError as reason:
        raise _damaged(path, reason) from reason
    if tuple(each[:2] for each in facts) != before:
        raise has_changed(path)
    key = (os.getpid(), path, facts)  # a forked process must not delete the folder of this one
    with _turn():
        if _kept and _kept[0].key == key:
            return _kept[0].values
        _forget()
        is_text = _check_stored(path, files, size)
        with ExitStack() as stack:
            folder = stack.enter_context(temporary_folder())
            try:
                write_voxels(path, READERS[path.suffix.lower()], folder / "voxels.npy")
                values = np.load(folder / "voxels.npy", mmap_mode="r", allow_pickle=False)
                if is_text is not None:
                    _check_text(path, *is_text, values)
            except (ItkError, OSError, ValueError) as reason:
                raise _damaged(path, reason) from reason
            _kept.append(_Kept(key, values, stack.pop_all()))
        return cast("npt.NDArray[Any]", values)


@atexit.register
def _forget() -> None:
    """Delete the voxels of the file that was read last, unless they belong to another process."""
    while _kept:
        kept = _kept.pop()
        if kept.key[0] == os.getpid():
            kept.folder.close()


def open_itk(path: Path) -> ItkFile:
    """Read the header of a NRRD or MetaImage file.

    Raises
    ------
    ImageError
        The file is damaged, names a file elsewhere, is too large, is not a volume of numbers, or says that its values
        stand for others, which most programs do not apply.
    MissingDependencyError
        SimpleITK is not installed.
    """
    files = _voxel_files(path)
    facts = tuple(facts_of(each.stat()) for each in (path, *files))
    _check_scale(path)
    try:
        header = read_header(path, READERS[path.suffix.lower()])
    except ItkError as reason:
        raise _damaged(path, reason) from reason
    shape, channels, name = tuple(header["size"]), header["channels"], header["pixel"]
    if len(shape) != 3:
        raise ImageError(f"{path} must have three axes", got=f"{len(shape)} axes")
    check_shape(shape, channels, str(path))
    if "complex" in name or "label" in name:
        raise ImageError(f"{path} must hold one number for each voxel and channel", got=name)
    size, most = int(np.prod(shape, dtype=object)) * header["bytes"], FACTOR * limit(BYTES)
    stored = sum(each.stat().st_size for each in (path, *files))
    if size > min(8 * most, max(most, stored), 1032 * stored):
        raise ImageError(
            f"{path} is too large to be read as a whole",
            got=f"{size} bytes of voxels in a file of {stored}",
            expected=f"at most {most} if they are compressed",
            hint=f"convert it to NIfTI, which is read slice by slice; or the environment variable {BYTES}",
        )
    directions = np.array(header["direction"]).reshape(3, 3)
    matrix = np.eye(4)
    matrix[:3, :3] = directions * np.array(header["spacing"])
    matrix[:3, 3] = header["origin"]
    # ITK counts to the left and to the back.
    geometry = make_geometry(shape, np.diag([-1.0, -1.0, 1.0, 1.0]) @ matrix, str(path))
    return ItkFile(path, geometry, channels, size, facts)


def _voxel_files(path: Path) -> tuple[Path, ...]:
    """Return the file beside a header that holds its voxels, if it is another file.

    Raises
    ------
    ImageError
        The header names a file elsewhere, or several files: a stranger could have any file read in this way.
    """
    try:
        head = _head(path)
    except OSError as reason:
        raise _damaged(path, reason) from reason
    if path.suffix.lower() == ".nrrd":
        if any(name == b"datafile" for name, _ in _nrrd_header(path, head)[0]):
            raise _detached(path)
        return ()
    found = DATA_FILE.search(head)
    if found is None or head[: found.end()].lower().count(b"elementdatafile") > 1:
        raise ImageError(f"{path} must name one file of voxels, or contain them", hint="save it as .mha")
    name = found[1].strip().decode("utf-8", "replace")
    if name == "LOCAL":
        return ()
    other = path.parent / name
    # ITK takes each name that begins with LIST for a list of files, and may know other words in small letters.
    word = name.upper().startswith(("LIST", "LOCAL"))
    plain = name == os.path.basename(name) and "%" not in name and name not in (".", "..") and not word
    if not plain or other.is_symlink() or not other.is_file():
        raise ImageError(
            f"{path} must name one file of voxels beside it", got=one_line(name, 100), hint="save it as .mha"
        )
    return (other,)


def _nrrd_header(path: Path, head: bytes) -> tuple[list[tuple[bytes, bytes]], int]:
    """Return the fields of a NRRD header, their names without spaces, and where it ends, as ITK takes it.

    ITK takes a carriage return alone for the end of a line, too. No program writes such lines.
    """
    blank = re.search(rb"(?:\r\n|\n|\r(?!\n)){2}", head)
    if blank is None:
        raise _detached(path)
    if re.search(rb"\r(?!\n)", head[: blank.end()]):
        raise ImageError(f"{path} has a header of another form", got="a carriage return within a line")
    pairs = (line.partition(b":") for line in head[: blank.start()].splitlines())
    return [(b"".join(name.lower().split()), value.strip().lower()) for name, _, value in pairs], blank.end()


def _detached(path: Path) -> ImageError:
    return ImageError(f"{path} must contain its voxels", hint="save it as one file")


def _head(path: Path) -> bytes:
    with path.open("rb") as file:
        return file.read(LONGEST_HEAD)


def _meta_header(path: Path, head: bytes) -> tuple[dict[bytes, bytes], int]:
    """Return the fields of a MetaImage header, their names in small letters, and where it ends.

    ITK reads lines that begin with spaces, and takes the last of two fields with one name.

    Raises
    ------
    ImageError
        The header has another form.
    """
    end = DATA_FILE.search(head)
    if end is None:
        raise has_changed(path)
    lines = head[: end.end()].splitlines()
    if not all(re.fullmatch(rb"\w+ ?=.*", line) for line in lines):
        raise ImageError(f"{path} has a header of another form", expected="a name, = and a value in each line")
    facts = {name.strip().lower(): value.strip() for name, _, value in (line.partition(b"=") for line in lines)}
    if len(facts) < len(lines):
        raise ImageError(f"{path} has a header with a name that occurs twice")
    return facts, end.end() + 1


def _check_scale(path: Path) -> None:
    """Refuse a header that says that stored values stand for others: ITK, like most programs, shows them as stored.

    Raises
    ------
    ImageError
        The header says so.
    """
    head = _head(path)
    if path.suffix.lower() == ".nrrd":
        stated = [name for name, _ in _nrrd_header(path, head)[0] if name in OLD]
    else:
        facts = _meta_header(path, head)[0]
        stated = [name for name, plain in SCALES.items() if _number(facts.get(name, b"%d" % plain)) != plain]
    if stated:
        raise ImageError(
            f"{path} can be read in two ways, because its header says that stored values stand for others",
            got=f"the field {stated[0].decode()}",
            hint="save the values that are meant, without this field",
        )


def _number(text: bytes) -> float | None:
    try:
        return float(text)
    except ValueError:
        return None


def _check_stored(path: Path, files: tuple[Path, ...], size: int) -> tuple[Path, int] | None:
    """Check the checksum of compressed voxels. ITK does not, and fills what it cannot unpack with any values.

    Returns
    -------
    text:
        The file that has the voxels as text, and where they begin; None if they are not stored as text.

    Raises
    ------
    ImageError
        The voxels are damaged, or do not take `size` bytes.
    """
    try:
        head = _head(path)
        if path.suffix.lower() == ".nrrd":
            fields, start = _nrrd_header(path, head)
            encodings = {value for field, value in fields if field == b"encoding"}
            is_packed, is_text = bool(encodings & {b"gz", b"gzip"}), bool(encodings & {b"txt", b"text", b"ascii"})
        else:
            facts, start = _meta_header(path, head)
            is_packed, is_text = _is_packed(path, facts, start, files), facts.get(b"binarydata", b"F")[:1] not in b"Tt1"
        source, start = (files[0], 0) if files else (path, start)
        if not is_packed:
            return (source, start) if is_text else None
        with source.open("rb") as file:
            file.seek(start)
            found = check_deflated(file.read(), size, str(path), ImageError)
    except (OSError, zlib.error) as reason:
        raise _damaged(path, reason) from reason
    if found != size:
        raise ImageError(f"{path} is damaged", got=f"{found} bytes of voxels", expected=size)
    return None


def _is_packed(path: Path, facts: dict[bytes, bytes], start: int, files: tuple[Path, ...]) -> bool:
    """Return whether a MetaImage header says that the voxels are compressed.

    ITK unpacks only as many bytes as the header says.
    """
    if facts.get(b"compresseddata", b"False")[:1] not in b"Tt1":
        return False
    size = files[0].stat().st_size if files else path.stat().st_size - start
    if b"headersize" in facts or facts.get(b"compresseddatasize", b"0") not in (b"0", str(size).encode()):
        raise ImageError(f"{path} is damaged", got="another size of its compressed voxels than in its header")
    return True


def _check_text(path: Path, source: Path, start: int, values: npt.NDArray[Any]) -> None:
    """Check that voxels that are stored as text are numbers of their type, of which ITK takes any others for one.

    Raises
    ------
    ImageError
        A number is not one of the type, or there are more or fewer of them than voxels.
    """
    kind = np.iinfo(values.dtype) if values.dtype.kind in "iu" else np.finfo(values.dtype)
    count = 0
    with source.open("rb") as file:
        file.seek(start)
        rest = b""
        while content := file.read(AT_ONCE):
            words = (rest + content).replace(b",", b" ")
            cut = len(words) if len(content) < AT_ONCE else max(words.rfind(b" "), words.rfind(b"\n")) + 1
            words, rest = words[:cut], words[cut:]
            numbers = np.array([float(word) for word in words.split()])
            wrong = (numbers < float(kind.min)) | (numbers > float(kind.max))
            if values.dtype.kind in "iu":
                wrong |= numbers != np.rint(numbers)
            if wrong.any():
                raise ImageError(
                    f"{path} has values that its type {values.dtype} cannot hold",
                    got=f"{numbers[wrong][0]:g}",
                    expected=f"{kind.min} to {kind.max}",
                    hint="save it with a larger type",
                )
            count += len(numbers)
    if rest or count != values.size:
        raise ImageError(f"{path} is damaged", got=f"{count} values as text", expected=values.size)


def _damaged(path: Path, reason: Exception) -> ImageError:
    lines = [line.strip() for line in str(reason).splitlines() if line.strip()]
    return ImageError(f"{path} cannot be read as a volume", got=one_line(lines[-1] if lines else "", 300))
