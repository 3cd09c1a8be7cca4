"""Download the official ISIC 2017 training archives, check them, and decode them once to the working size.

The archive of images has several GB, and its images are up to 6748 pixels wide, so it is not unpacked: members are read
one at a time, resized, and saved as PNG. Every step resumes after a kill.

Files in the folder, in the order in which they appear::

    <name>.zip.part     an archive, downloaded in part
    <name>.zip          the whole archive; its MD5 is checked before use
    <name>.zip.damaged  an archive with a wrong MD5; it is not used
    256.part/           images and masks decoded so far, for a size of 256
    256/images/*.png    all images and masks; once this folder exists, the archives may be deleted
    256/masks/*.png

Archives and checksums: ISIC Challenge 2017, part 1 (Codella et al., ISBI 2018), CC0.
"""

from __future__ import annotations

import hashlib
import io
import re
import zipfile
import zlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from filelock import FileLock
from PIL import Image

from alkit._files import write_atomically
from alkit.checks import check_integer
from alkit.errors import DataError, ImageError, LabelError
from alkit.labels import resize_mask
from alkit.values import LabelSpec, Progress, Report, quiet
from benchmarks.isic2017.download import PAUSES, download, store_errors

OFFICIAL = "https://isic-challenge-data.s3.amazonaws.com/2017/"


@dataclass(frozen=True, slots=True)
class Archive:
    """A file below the base address, and its MD5 in hexadecimal."""

    name: str
    md5: str


@dataclass(frozen=True, slots=True)
class Archives:
    """The two archives of one part of the challenge: photographs, and masks of their lesions."""

    images: Archive
    masks: Archive


TRAINING = Archives(
    images=Archive("ISIC-2017_Training_Data.zip", "a14a7e622c67a358797ae59abb8a0b0c"),
    masks=Archive("ISIC-2017_Training_Part1_GroundTruth.zip", "77fdbeb6fbec4139937224416b250f4c"),
)

# Superpixels, the metadata table and the resource files of some unpackers have other names.
IMAGE = re.compile(r"(ISIC_\d{7})\.jpg")
MASK = re.compile(r"(ISIC_\d{7})_[Ss]egmentation\.png")

CLASSES = LabelSpec(("skin", "lesion"))

UNREADABLE = (OSError, SyntaxError, ValueError)
"""Errors that Pillow raises for a broken file."""


def fetch(
    folder: Path,
    *,
    size: int = 256,
    base: str = OFFICIAL,
    archives: Archives = TRAINING,
    report: Report = quiet,
    pauses: Sequence[float] = PAUSES,
) -> Path:
    """Download what is missing and return a folder with ``images/<id>.png`` and ``masks/<id>.png`` at the working size.

    Whole frames are resized to ``size x size``, without a crop. The orientation in the camera's metadata is ignored,
    because the masks are drawn on the stored pixels. Images: RGB, bicubic with antialiasing. Masks: 0 and 255; a pixel
    is lesion if lesion covers more than half of its area.

    Two processes may fetch into one folder: the second waits for the first. An archive that you put into `folder`
    yourself is checked and used.

    Parameters
    ----------
    folder:
        Folder of the archives and the results. It serves one pair of archives.
    size:
        Height and width of the results, in pixels.
    base:
        Address of the folder of archives.
    archives:
        Names and MD5 of the archives.
    report:
        Called with stage ``download`` in bytes of the current archive, then with stage ``read`` in images.
    pauses:
        Seconds before each further attempt of a download. They start over after an attempt that brought new data.

    Raises
    ------
    DownloadError
        An archive is missing at its address, or the connection kept failing. Received data is kept.
    ConfigurationError
        `size` is below 1.
    DataError
        An archive has a wrong MD5 or is not a zip file, or an image lacks its mask or a mask its image.
    ImageError, LabelError
        An image or a mask cannot be decoded, or a mask has other values than 0 and 255.
    StoreError
        The disk is full, or `folder` cannot be written.

    Examples
    --------
    ``pool = alkit.ImagePool(fetch(Path("data")) / "images", size=256, grayscale=True)``
    """
    check_integer("size", size, least=1)
    done, draft = folder / str(size), folder / f"{size}.part"
    if done.exists():
        return done
    with store_errors(folder):
        folder.mkdir(parents=True, exist_ok=True)
        lock = FileLock(folder / "fetch.lock").acquire()
    with lock:
        if not done.exists():  # another process may have finished meanwhile
            images, masks = (
                _fetch_archive(folder, base, archive, report, pauses) for archive in (archives.images, archives.masks)
            )
            decode(images, masks, draft, size, report)
            with store_errors(done):
                for left_by_a_kill in draft.glob("*/.writing-*"):
                    left_by_a_kill.unlink()
                draft.rename(done)
    return done


def _fetch_archive(folder: Path, base: str, archive: Archive, report: Report, pauses: Sequence[float]) -> Path:
    """Return the path of a whole archive, after downloading it if necessary and checking its MD5."""
    path = folder / archive.name
    if not path.exists():
        download(base.rstrip("/") + "/" + archive.name, path, report, pauses)
    with path.open("rb") as file:
        md5 = hashlib.file_digest(file, lambda: hashlib.md5(usedforsecurity=False)).hexdigest()
    if md5 != archive.md5:
        aside = path.with_name(path.name + ".damaged")
        with store_errors(aside):
            path.replace(aside)
        raise DataError(
            f"{archive.name} is damaged and was renamed",
            got=f"MD5 {md5}",
            expected=f"MD5 {archive.md5}",
            hint=f"delete {aside} and start again",
        )
    return path


def decode(images: Path, masks: Path, folder: Path, size: int, report: Report = quiet) -> None:
    """Decode two archives to ``images/<id>.png`` and ``masks/<id>.png`` in `folder`.

    Members are recognised by their file names alone; their folders in the archive are ignored. Files that exist in
    `folder` are not decoded again.

    Raises
    ------
    DataError
        A file is not a zip archive, has no images, or has an image twice; or an image lacks its mask or a mask its
        image.
    ImageError, LabelError
        A member cannot be decoded, or a mask has other values than 0 and 255.
    StoreError
        The disk is full, or `folder` cannot be written.
    """
    with _open(images) as image_zip, _open(masks) as mask_zip:
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


def _open(path: Path) -> zipfile.ZipFile:
    try:
        return zipfile.ZipFile(path)
    except zipfile.BadZipFile as error:
        raise DataError(f"{path} is not a zip archive", hint="delete it and start again") from error


def _read(archive: zipfile.ZipFile, member: zipfile.ZipInfo) -> bytes:
    try:
        return archive.read(member)
    except (zipfile.BadZipFile, zlib.error) as error:
        raise DataError(
            f"{archive.filename} is damaged at {member.filename}",
            got=error,
            hint="delete it and start again",
        ) from error


def _members(archive: zipfile.ZipFile, names: re.Pattern[str]) -> Mapping[str, zipfile.ZipInfo]:
    """Return the members whose file name matches, by the id in the name."""
    found: dict[str, zipfile.ZipInfo] = {}
    for member in archive.infolist():
        if match := names.fullmatch(member.filename.rpartition("/")[2]):
            if match[1] in found:
                raise DataError(f"{archive.filename} contains {match[1]} twice", got=member.filename)
            found[match[1]] = member
    if not found:
        raise DataError(
            f"{archive.filename} does not contain the files of this archive",
            expected=f"members named {names.pattern}",
        )
    return found


def _image(stored: bytes, id: str, size: int) -> bytes:
    try:
        with Image.open(io.BytesIO(stored)) as image:
            resized = image.convert("RGB").resize((size, size), Image.Resampling.BICUBIC)
    except UNREADABLE as error:
        raise ImageError(f"the image of {id!r} cannot be decoded ({error})") from error
    return _png(resized)


def _mask(stored: bytes, id: str, size: int) -> bytes:
    try:
        with Image.open(io.BytesIO(stored)) as image:
            mask = np.asarray(image.convert("L"))
    except UNREADABLE as error:
        raise LabelError(f"the mask of {id!r} cannot be decoded ({error})") from error
    values = np.unique(mask)
    if not np.isin(values, (0, 255)).all():
        raise LabelError(
            f"the mask of {id!r} has other values than 0 and 255",
            got=values[:8].tolist(),
            expected="0 for skin, 255 for lesion",
        )
    resized = resize_mask((mask // 255).astype(np.uint8), (size, size), CLASSES)
    return _png(Image.fromarray(resized * np.uint8(255)))


def _png(image: Image.Image) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, "PNG")
    return buffer.getvalue()
