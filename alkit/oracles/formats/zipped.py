"""Zip archives, as tools export them: the files of annotations in one are read, without unpacking it.

Nothing is written, so names such as ``../a.xml`` lead nowhere. Sizes are checked before memory is used: all files of
annotations together have at most ``ALKIT_MAX_BYTES``, and a file that unpacks to more than the archive says is refused.
Images and other files in the archive are not read.
"""

from __future__ import annotations

import zipfile
import zlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path, PurePosixPath
from typing import Any

import numpy.typing as npt

from alkit._files import without_tilde
from alkit._reading.limits import BYTES, limit, too_large
from alkit.errors import ConfigurationError, DataError
from alkit.oracles.annotations import Content, Empty
from alkit.oracles.formats.answers import answers, unannotated
from alkit.oracles.formats.format import Format, read_content, revision_at
from alkit.protocols import Pool
from alkit.values.answers import Answer
from alkit.values.label_spec import LabelSpec
from alkit.values.queries import Query

MOST = 100_000
"""Greatest number of files in an archive: zipfile makes an object for each."""

ENTRY = b"PK\x01\x02"
"""Mark of each entry in the list of files, at the end of an archive."""

DAMAGE = (zipfile.BadZipFile, zlib.error, OSError, EOFError, ValueError, RuntimeError, NotImplementedError)
"""Errors of damaged and encrypted archives, and of unknown compressions."""

METHODS = (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED)
"""Compressions that are read: others unpack without a limit on the memory that a call takes."""


@dataclass(frozen=True, slots=True)
class ZippedFormat:
    """Archives with files of some formats, by their suffixes, which are read like these files."""

    formats: Mapping[str, Format]

    def check_labels(self, spec: LabelSpec) -> None:
        """Accept labels of each kind: the files in an archive decide."""

    def check_readable(self, spec: LabelSpec) -> None:
        """Accept labels of each kind: the files in an archive decide."""

    def write(
        self,
        folder: str | Path,
        queries: Sequence[Query],
        images: Pool,
        spec: LabelSpec,
        prelabels: Mapping[str, npt.NDArray[Any]] | None = None,
    ) -> tuple[Path, ...]:
        """Raise a :class:`ConfigurationError`: queries are not written in archives."""
        raise ConfigurationError("queries are not written in archives", hint=", ".join(self.formats))

    def read(
        self,
        path: str | Path,
        queries: Sequence[Query],
        spec: LabelSpec,
        *,
        annotator: str = "",
        empty: Empty = "unanswered",
        inside: Path | None = None,
    ) -> Iterator[Answer]:
        """Yield an answer for each queried image with annotations; see :meth:`Format.read`."""
        path = without_tilde(path)
        changed = revision_at(path)  # before the content is read: a later change then has a later time
        content = self.content_of(path, read_content(path, inside), spec)
        revision = changed if content.exported is None else min(changed, content.exported)
        yield from answers(path, revision, content, queries, spec, annotator=annotator, empty=empty)

    def unannotated(
        self, path: str | Path, queries: Sequence[Query], spec: LabelSpec, *, inside: Path | None = None
    ) -> tuple[str, ...]:
        """Return the ids of the queried images in an archive that have no annotation."""
        path = without_tilde(path)
        return unannotated(self.content_of(path, read_content(path, inside), spec), queries, spec)

    def content_of(self, path: Path, content: bytes, spec: LabelSpec) -> Content:
        """Return the images in all files of annotations in an archive; `path` is for messages.

        Raises
        ------
        DataError
            The file is not an archive, has no files of annotations, or none of them can be read.
        """
        if content.count(ENTRY) > MOST:
            raise DataError(f"{path} holds too many files", expected=f"at most {MOST}", hint="unpack it")
        try:
            with zipfile.ZipFile(BytesIO(content)) as archive:
                members = [one for one in archive.infolist() if _suffix(one) in self.formats]
                if not members:
                    found = ", ".join(repr(one.filename[:80]) for one in archive.infolist()[:3]) or "no file"
                    expected = f"a file that ends in {', '.join(self.formats)}"
                    raise DataError(
                        f"{path} holds no file of annotations", got=found, expected=expected, hint="unpack it"
                    )
                if (size := sum(one.file_size for one in members)) > limit(BYTES):
                    raise too_large(f"{path}, unpacked,", size)
                return _joined(path, [(one.filename, _unpacked(path, archive, one)) for one in members], self, spec)
        except DataError:
            raise
        except DAMAGE as reason:
            raise DataError(f"{path} is not an archive that can be read", got=reason, hint="unpack it") from reason


def _suffix(member: zipfile.ZipInfo) -> str:
    """Return the suffix of a file; nothing for folders, and files that systems hide."""
    path = PurePosixPath(member.filename)
    if member.is_dir() or any(part.startswith((".", "__MACOSX")) and part != ".." for part in path.parts):
        return ""
    return path.suffix.lower()


def _unpacked(path: Path, archive: zipfile.ZipFile, member: zipfile.ZipInfo) -> bytes:
    if member.flag_bits & 1 or member.compress_type not in METHODS:
        raise DataError(f"{path} is encrypted, or packed in an unknown way", got=member.filename, hint="unpack it")
    with archive.open(member) as file:  # it ends after the size that the archive says, and the checksum must hold then
        return file.read(member.file_size)


def _joined(path: Path, files: Sequence[tuple[str, bytes]], form: ZippedFormat, spec: LabelSpec) -> Content:
    contents: list[Content] = []
    faults: list[str] = []
    for name, content in files:
        own = form.formats[PurePosixPath(name).suffix.lower()]
        try:
            own.check_readable(spec)
            contents.append(own.content_of(Path(name), content, spec))
        except (ConfigurationError, DataError) as reason:
            faults.append(str(reason))
    if not contents:
        raise DataError(f"{path} holds no file of annotations that can be read", got=faults[0])
    return Content(
        tuple(image for one in contents for image in one.images),
        (*faults, *(stray for one in contents for stray in one.strays)),
        min((one.exported for one in contents if one.exported is not None), default=None),
    )
