"""The official ISIC 2017 training archives, fetched, checked and decoded once to the working size.

The archive of images is several GB and its images reach 6748 pixels in width, so nothing is unpacked: members
are read out of the archive one at a time, resized, and kept as PNG. Every step goes on where a killed one
stopped.

What a folder holds, in the order it comes to be::

    <name>.zip.part     what has arrived of an archive
    <name>.zip          the whole archive; its MD5 is checked before it is used
    <name>.zip.damaged  an archive of the wrong MD5, moved aside and not used
    256.part/           the images and masks decoded so far, here for a size of 256
    256/images/*.png    all of them: once this folder is there, the archives may be deleted
    256/masks/*.png

Archives and checksums: ISIC Challenge 2017, part 1 (Codella et al., ISBI 2018), CC0.
"""

from __future__ import annotations

import hashlib
import http.client
import io
import re
import shutil
import time
import zipfile
import zlib
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from urllib.error import HTTPError, URLError
from urllib.request import Request, urlopen

import numpy as np
from filelock import FileLock
from PIL import Image

from alkit._files import write_atomically
from alkit.errors import AlkitError, ConfigurationError, DataError, ImageError, LabelError, StoreError
from alkit.labels.masks import resize_mask
from alkit.values import LabelSpec, Progress, Report, quiet

OFFICIAL = "https://isic-challenge-data.s3.amazonaws.com/2017/"

CHUNK = 1 << 20
"""Bytes read, written and reported at a time."""

TIMEOUT = 60.0
"""Seconds without a byte after which a connection counts as lost."""

PAUSES = (1.0, 2.0, 4.0, 8.0, 16.0)
"""Seconds to wait before each new try of a download, as long as none brings anything new."""


class DownloadError(AlkitError):
    """An archive cannot be had from where it should be."""


class _Lost(Exception):
    """The connection failed; another try may help."""


@dataclass(frozen=True, slots=True)
class Archive:
    """A file below the base address, and its MD5 in hexadecimal."""

    name: str
    md5: str


@dataclass(frozen=True, slots=True)
class Archives:
    """The two archives of one part of the challenge: photographs, and the outlines of their lesions."""

    images: Archive
    masks: Archive


TRAINING = Archives(
    images=Archive("ISIC-2017_Training_Data.zip", "a14a7e622c67a358797ae59abb8a0b0c"),
    masks=Archive("ISIC-2017_Training_Part1_GroundTruth.zip", "77fdbeb6fbec4139937224416b250f4c"),
)

# Superpixels, the metadata table and the resource files of some unpackers are not of these names.
IMAGE = re.compile(r"(ISIC_\d{7})\.jpg")
MASK = re.compile(r"(ISIC_\d{7})_[Ss]egmentation\.png")

CLASSES = LabelSpec(("skin", "lesion"))

UNREADABLE = (OSError, SyntaxError, ValueError)
"""What Pillow raises over a broken file."""


def fetch(
    folder: Path,
    *,
    size: int = 256,
    base: str = OFFICIAL,
    archives: Archives = TRAINING,
    report: Report = quiet,
    pauses: Sequence[float] = PAUSES,
) -> Path:
    """Fetch what is missing and return a folder of ``images/<id>.png`` and ``masks/<id>.png`` at the working size.

    Whole frames are squashed to ``size x size``, without a crop; the orientation a camera noted is not applied,
    as the masks are drawn on the stored pixels. Images: RGB, bicubic with antialiasing. Masks: 0 and 255; a pixel
    is lesion where lesion covers more than half of its area.

    Two processes may fetch into one folder: the second waits for the first. An archive that is already in
    `folder`, brought there by hand, is checked and used.

    Parameters
    ----------
    folder:
        Where archives and results are kept. One folder serves one pair of archives.
    size:
        Height and width of the results, in pixels.
    base:
        Address of the folder of archives.
    archives:
        What to fetch, with the MD5 expected.
    report:
        Told of stage ``download`` in bytes of the archive at hand, then of stage ``read`` in images.
    pauses:
        Seconds before each new try of a download; a try that brings something new starts them over.

    Raises
    ------
    DownloadError
        An archive is not there, or the connection kept failing. What has arrived is kept.
    ConfigurationError
        `size` is below 1.
    DataError
        An archive has another MD5 or is no archive, or an image lacks its mask or a mask its image.
    ImageError, LabelError
        An image or a mask cannot be decoded, or a mask holds other values than 0 and 255.
    StoreError
        There is no room, or `folder` cannot be written.

    Examples
    --------
    ``pool = alkit.ImagePool(fetch(Path("data")) / "images", size=256, grayscale=True)``
    """
    if size < 1:
        raise ConfigurationError("images need a size", got=size, expected="1 pixel or more")
    done, draft = folder / str(size), folder / f"{size}.part"
    if done.exists():
        return done
    with _writing(folder):
        folder.mkdir(parents=True, exist_ok=True)
        held = FileLock(folder / "fetch.lock").acquire()
    with held:
        if not done.exists():  # another process may have been first
            images, masks = (
                _verified(folder, base, archive, report, pauses) for archive in (archives.images, archives.masks)
            )
            decode(images, masks, draft, size, report)
            with _writing(done):
                for left_by_a_kill in draft.glob("*/.writing-*"):
                    left_by_a_kill.unlink()
                draft.rename(done)
    return done


def _verified(folder: Path, base: str, archive: Archive, report: Report, pauses: Sequence[float]) -> Path:
    """Return the whole archive, downloaded if need be, after checking its MD5."""
    path = folder / archive.name
    if not path.exists():
        download(base.rstrip("/") + "/" + archive.name, path, report, pauses)
    with path.open("rb") as file:
        md5 = hashlib.file_digest(file, lambda: hashlib.md5(usedforsecurity=False)).hexdigest()
    if md5 != archive.md5:
        aside = path.with_name(path.name + ".damaged")
        with _writing(aside):
            path.replace(aside)
        raise DataError(
            f"{archive.name} is damaged and was moved aside",
            got=f"MD5 {md5}",
            expected=f"MD5 {archive.md5}",
            hint=f"delete {aside} and start again",
        )
    return path


def download(url: str, path: Path, report: Report = quiet, pauses: Sequence[float] = PAUSES) -> None:
    """Bring `url` to `path`, going on after what lies in ``<path>.part`` if the server can.

    A server that cannot sends the whole again, and the part is begun anew. Content is not checked here.

    Raises
    ------
    DownloadError
        The server refuses, or none of the tries after `pauses` brought anything new.
    StoreError
        There is no room, or the folder cannot be written.
    """
    part = path.with_name(path.name + ".part")
    most, waits = _length(part), iter(pauses)
    while True:
        try:
            _receive(url, part, report)
            break
        except _Lost as lost:
            reason: object = lost
        if _length(part) > most:
            most, waits = _length(part), iter(pauses)
        pause = next(waits, None)
        if pause is None:
            raise DownloadError(
                f"the connection to {url} kept failing",
                got=f"{reason} after {_length(part)} bytes",
                hint=f"start again later, which goes on from there, or put the file at {path} yourself",
            )
        time.sleep(pause)
    with _writing(path):
        part.replace(path)


def _receive(url: str, part: Path, report: Report) -> None:
    """Receive what is missing of `part` over one connection; return when it is whole."""
    start = _length(part)
    request = Request(url, headers={"Range": f"bytes={start}-"} if start else {})
    try:
        response = urlopen(request, timeout=TIMEOUT)
    except HTTPError as refusal:
        with refusal:
            if refusal.code == 416:  # the server has nothing after `start`
                if refusal.headers.get("Content-Range") == f"bytes */{start}":
                    return
                part.unlink()
                raise _Lost("a part longer than the archive") from refusal
            if refusal.code >= 500 or refusal.code in (408, 429):
                raise _Lost(f"HTTP {refusal.code} {refusal.reason}") from refusal
            raise DownloadError(
                f"{url} cannot be had",
                got=f"HTTP {refusal.code} {refusal.reason}",
                hint=f"check the address, or put the file at {part.with_suffix('')} yourself",
            ) from refusal
    except URLError as reason:
        raise _Lost(reason.reason) from reason
    except (OSError, http.client.HTTPException) as reason:
        raise _Lost(reason) from reason

    with response:
        if response.status != 206:  # the whole, from its beginning
            start = 0
        elif not response.headers.get("Content-Range", "").startswith(f"bytes {start}-"):
            raise _Lost(f"an answer for other bytes, {response.headers.get('Content-Range')}")
        length = response.headers.get("Content-Length")
        if length is None:
            raise DownloadError(
                f"{url} comes without its length",
                expected="a Content-Length, without which a cut looks like the end",
                hint=f"put the file at {part.with_suffix('')} yourself",
            )
        total = start + int(length)
        with _writing(part):
            free = shutil.disk_usage(part.parent).free
            if total - start > free:
                raise StoreError(
                    f"no room for {url}",
                    got=f"{free} bytes free",
                    expected=f"{total - start}",
                    hint="free some, or choose another folder",
                )
            if not start:
                part.write_bytes(b"")
        report(Progress("download", start, total))
        for done in range(start, total, CHUNK):
            due = min(CHUNK, total - done)
            try:
                chunk = response.read(due)
            except (OSError, http.client.HTTPException) as reason:
                raise _Lost(reason) from reason
            with _writing(part), part.open("ab") as file:
                file.write(chunk)
            if len(chunk) < due:
                raise _Lost("the connection was cut")
            report(Progress("download", done + due, total))


def decode(images: Path, masks: Path, folder: Path, size: int, report: Report = quiet) -> None:
    """Decode two archives to ``images/<id>.png`` and ``masks/<id>.png`` in `folder`.

    Members are known by their file names alone: where an archive would have them put plays no part. What is
    already in `folder` is not decoded again.

    Raises
    ------
    DataError
        One of the two is no archive, holds no images, or holds an image twice; or an image lacks its mask or a
        mask its image.
    ImageError, LabelError
        A member cannot be decoded, or a mask holds other values than 0 and 255.
    StoreError
        There is no room, or `folder` cannot be written.
    """
    with _opened(images) as image_zip, _opened(masks) as mask_zip:
        image_members, mask_members = _members(image_zip, IMAGE), _members(mask_zip, MASK)
        for alone, other in (
            (image_members.keys() - mask_members.keys(), "images without a mask"),
            (mask_members.keys() - image_members.keys(), "masks without an image"),
        ):
            if alone:
                raise DataError(
                    f"{images.name} and {masks.name} do not belong together",
                    got=f"{len(alone)} {other}, {', '.join(sorted(alone)[:8])}",
                    expected="one mask for each image",
                )
        for done, id in enumerate(sorted(image_members)):
            report(Progress("read", done, len(image_members)))
            image, mask = folder / "images" / f"{id}.png", folder / "masks" / f"{id}.png"
            if not image.exists():
                write_atomically(image, _image(_read(image_zip, image_members[id]), id, size))
            if not mask.exists():
                write_atomically(mask, _mask(_read(mask_zip, mask_members[id]), id, size))
        report(Progress("read", len(image_members), len(image_members)))


def _opened(path: Path) -> zipfile.ZipFile:
    try:
        return zipfile.ZipFile(path)
    except zipfile.BadZipFile as reason:
        raise DataError(f"{path} is no zip archive", hint="delete it and start again") from reason


def _read(archive: zipfile.ZipFile, member: zipfile.ZipInfo) -> bytes:
    try:
        return archive.read(member)
    except (zipfile.BadZipFile, zlib.error) as reason:
        raise DataError(
            f"{archive.filename} is damaged at {member.filename}",
            got=reason,
            hint="delete it and start again",
        ) from reason


def _members(archive: zipfile.ZipFile, wanted: re.Pattern[str]) -> Mapping[str, zipfile.ZipInfo]:
    """Return the members whose file name is wanted, by the id in it."""
    found: dict[str, zipfile.ZipInfo] = {}
    for member in archive.infolist():
        if match := wanted.fullmatch(member.filename.rpartition("/")[2]):
            if match[1] in found:
                raise DataError(f"{archive.filename} holds {match[1]} twice", got=member.filename)
            found[match[1]] = member
    if not found:
        raise DataError(f"{archive.filename} holds nothing of use", expected=f"members named {wanted.pattern}")
    return found


def _image(stored: bytes, id: str, size: int) -> bytes:
    try:
        with Image.open(io.BytesIO(stored)) as image:
            resized = image.convert("RGB").resize((size, size), Image.Resampling.BICUBIC)
    except UNREADABLE as reason:
        raise ImageError(f"the image of {id!r} cannot be decoded ({reason})") from reason
    return _png(resized)


def _mask(stored: bytes, id: str, size: int) -> bytes:
    try:
        with Image.open(io.BytesIO(stored)) as image:
            mask = np.asarray(image.convert("L"))
    except UNREADABLE as reason:
        raise LabelError(f"the mask of {id!r} cannot be decoded ({reason})") from reason
    values = np.unique(mask)
    if not np.isin(values, (0, 255)).all():
        raise LabelError(
            f"the mask of {id!r} is not of two values",
            got=values[:8].tolist(),
            expected="0 for skin, 255 for lesion",
        )
    resized = resize_mask((mask // 255).astype(np.uint8), (size, size), CLASSES)
    return _png(Image.fromarray(resized * np.uint8(255)))


def _png(image: Image.Image) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, "PNG")
    return buffer.getvalue()


def _length(path: Path) -> int:
    return path.stat().st_size if path.exists() else 0


@contextmanager
def _writing(path: Path) -> Iterator[None]:
    """Turn the system's refusals to write `path` into a StoreError."""
    try:
        yield
    except OSError as reason:
        raise StoreError(
            f"cannot write {path} ({reason.strerror or reason})",
            hint="check that the folder exists, is writable and has room",
        ) from reason
