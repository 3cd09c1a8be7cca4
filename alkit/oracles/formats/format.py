"""A format of annotation files. It writes queries as a file beside a folder of images, and reads answers from a file.

::

    r02-coco/annotations.json
             images/r02-0004-ward_3_0017.png
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import numpy.typing as npt

from alkit._files import without_tilde, write_atomically
from alkit._reading.inside import leads_out, read_inside
from alkit._reading.limits import read_file
from alkit.errors import ConfigurationError, DataError, StoreError
from alkit.oracles.annotations import Content, Empty
from alkit.oracles.formats.answers import answers, unannotated
from alkit.oracles.times import revision_of
from alkit.pictures.files import image_file
from alkit.pools.sizes import mask_sizes
from alkit.protocols import Pool
from alkit.values.answers import Answer
from alkit.values.label_spec import LabelSpec, Mask, Size
from alkit.values.queries import Query


class AnnotationFormat(Protocol):
    """What an exchange folder asks of a format; see :class:`Format`."""

    def check_labels(self, spec: LabelSpec) -> None:
        """Raise a :class:`ConfigurationError` if the format cannot hold labels of this kind."""

    def check_readable(self, spec: LabelSpec) -> None:
        """Raise a :class:`ConfigurationError` if labels of this kind cannot be read from the format."""

    def write(
        self,
        folder: str | Path,
        queries: Sequence[Query],
        images: Pool,
        spec: LabelSpec,
        prelabels: Mapping[str, npt.NDArray[Any]] | None = None,
    ) -> tuple[Path, ...]:
        """Write the queries that were not written before, and return the files of these rounds."""

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
        """Yield an answer for each queried image with annotations; raise a :class:`DataError` if it is not read."""

    def unannotated(
        self, path: str | Path, queries: Sequence[Query], spec: LabelSpec, *, inside: Path | None = None
    ) -> tuple[str, ...]:
        """Return the ids of the queried images in a file that have no annotation."""


@dataclass(frozen=True, slots=True, eq=False)
class Page:
    """An image in an annotation file to be written: its file's name, its size, its pre-label, if any, and for whom."""

    name: str
    size: Size
    prelabel: Mask | None = None
    people: tuple[str, ...] = ()


def people_of(pages: Sequence[Page]) -> list[str]:
    """Return the people whom all of these images are assigned to, sorted."""
    return sorted(set.intersection(*(set(page.people) for page in pages))) if pages else []


@dataclass(frozen=True, slots=True)
class Format:
    """A format of annotation files.

    Parameters
    ----------
    name:
        Name of the format.
    suffix:
        Suffix of its files.
    encode:
        Function that returns the content of a file with these images.
    decode:
        Function that returns the content of a file; the path is for messages. Regions are decoded later,
        one image at a time.
    per:
        Kinds of labels that it can hold, as in :class:`LabelSpec`.
    decode_sets:
        Function in place of `decode` if an image can have several classes; None for the same one. A format with it can
        be read, even if it cannot hold queries for such labels.
    """

    name: str
    suffix: str
    encode: Callable[[Sequence[Page], LabelSpec], bytes]
    decode: Callable[[Path, bytes], Content]
    per: tuple[str, ...] = ("pixel",)
    decode_sets: Callable[[Path, bytes, LabelSpec], Content] | None = None

    def check_labels(self, spec: LabelSpec) -> None:
        """Raise a :class:`ConfigurationError` if the format cannot hold labels of this kind."""
        if spec.per not in self.per:
            what, other = ("masks", "classes") if spec.per == "pixel" else ("classes of images", "masks")
            raise ConfigurationError(
                f"the format {self.name} cannot hold {what}",
                got=f"labels of one class per {spec.per}",
                expected=f"{other}",
                hint="the format coco or cvat" if spec.per == "pixel" else "the format csv or cvat",
            )

    def check_readable(self, spec: LabelSpec) -> None:
        """Raise a :class:`ConfigurationError` if labels of this kind cannot be read from the format."""
        if not spec.multiple or self.decode_sets is None:
            self.check_labels(spec)

    def write(
        self,
        folder: str | Path,
        queries: Sequence[Query],
        images: Pool,
        spec: LabelSpec,
        prelabels: Mapping[str, npt.NDArray[Any]] | None = None,
    ) -> tuple[Path, ...]:
        """Write a folder for each round, such as ``r02-coco``, with ``images`` and a file of annotations.

        The file name of an image is the key of its query. Nothing is overwritten: queries that no existing file of
        their round contains go to another folder, such as ``r02-coco-2``.

        Parameters
        ----------
        folder:
            Folder in which the folders are made.
        queries:
            The queries.
        images:
            The pool.
        spec:
            The classes.
        prelabels:
            Masks at the original size, by image id. They become annotations, exact to the pixel.

        Returns
        -------
        paths:
            The files of annotations of these rounds, existing ones included.

        Raises
        ------
        LabelError
            A pre-label does not fit its image.
        ImageError
            An image's file cannot be read.
        StoreError
            The folder cannot be written.

        Examples
        --------
        >>> import tempfile
        >>> import alkit
        >>> from alkit.oracles.formats.coco import COCO
        >>> images, masks = alkit.synthetic.lesions(1, size=16)
        >>> spec, query = alkit.LabelSpec(("skin", "lesion")), Query("0000", round=0, rank=0, sizes=((16, 16),))
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     (path,) = COCO.write(folder, [query], alkit.ArrayPool(images), spec, {"0000": masks[0]})
        ...     [answer] = COCO.read(path, [query], spec, annotator="ann")
        >>> answer.annotator, bool((answer.label == masks[0]).all())
        ('ann', True)
        """
        self.check_labels(spec)
        known = prelabels or {}
        drafts = {
            query.id: spec.check(known[query.id], id=query.id, sizes=query.sizes[:1])
            for query in queries
            if query.id in known
        }
        paths: list[Path] = []
        for round in sorted({query.round for query in queries}):
            own = sorted((query for query in queries if query.round == round), key=lambda query: query.rank)
            number, listed = 1, set[str]()
            while (path := self._path(Path(folder), round, number)).exists():
                listed |= self._keys(path, Path(folder))
                paths.append(path)
                number += 1
            if new := [query for query in own if listed.isdisjoint(query.keys)]:
                if leads_out(path.parent / "images", Path(folder)):
                    found = f"a symbolic link that leads out of {folder}"
                    raise StoreError(f"{path.parent} must be a folder", got=found)
                names = [_write_image(path.parent / "images", query, images) for query in new]
                pages = [
                    Page(name, (query.sizes or [image_size(images, query.id)])[0], drafts.get(query.id), query.assigned)
                    for name, query in zip(names, new, strict=True)
                ]
                write_atomically(path, self.encode(pages, spec))  # last: if it exists, all its images do
                paths.append(path)
        return tuple(paths)

    def read(
        self,
        path: str | Path,
        queries: Sequence[Query],
        spec: LabelSpec,
        *,
        annotator: str = "",
        empty: Empty = "unanswered",
        inside: Path | None = None,
        imported: bool = False,
    ) -> Iterator[Answer]:
        """Yield an answer for each queried image with annotations, after the whole file was read.

        An answer is invalid, with the reason, if its image occurs twice, has a label that is not a class or a size that
        its query does not allow, or cannot be decoded. Images that were never asked for, and other items that belong to
        no queried image, are listed in invalid answers whose id is the name of the file. An image that is tagged or
        labelled ``unusable``, ``skip`` or ``skipped`` is a skip.

        The revision of the answers is the time at which the file was changed, or that of the export if the file states
        an earlier one: a copy of an older export is not newer than its original.

        Parameters
        ----------
        path:
            Path of the file.
        queries:
            All queries of the campaign, answered ones included.
        spec:
            The classes.
        annotator:
            Name of the annotator, which the file does not contain.
        empty:
            Meaning of an image without annotations: ``unanswered``, or ``background`` everywhere.
        inside:
            Folder that the file must not lead out of by symbolic links. None: no such folder.
        imported:
            Whether nobody asked for these labels, and the queries stand for all images of the pool.

        Raises
        ------
        DataError
            The file does not have this format, or no image in it can be read.
        """
        self.check_readable(spec)
        path = without_tilde(path)
        changed = revision_at(path)  # before the content is read: a later change then has a later time
        content = self._content(path, inside, spec)
        revision = changed if content.exported is None else min(changed, content.exported)
        yield from answers(path, revision, content, queries, spec, annotator=annotator, empty=empty, imported=imported)

    def unannotated(
        self, path: str | Path, queries: Sequence[Query], spec: LabelSpec, *, inside: Path | None = None
    ) -> tuple[str, ...]:
        """Return the ids of the queried images in a file that have no annotation; parameters as in :meth:`read`."""
        self.check_readable(spec)
        return unannotated(self._content(without_tilde(path), inside, spec), queries, spec)

    def names(self, path: Path, inside: Path | None = None) -> list[str]:
        """Return the names of the images in a file; `inside` as in :meth:`read`."""
        return [image.name for image in self._content(path, inside).images]

    def _content(self, path: Path, inside: Path | None, spec: LabelSpec | None = None) -> Content:
        return self.content_of(path, read_content(path, inside), spec)

    def content_of(self, path: Path, content: bytes, spec: LabelSpec | None = None) -> Content:
        """Return the images in the content of a file; `path` is for messages. Raises the errors of :meth:`read`."""
        if self.decode_sets is not None and spec is not None and spec.multiple:
            return self.decode_sets(path, content, spec)
        return self.decode(path, content)

    def _path(self, folder: Path, round: int, number: int) -> Path:
        place = f"r{round:02}-{self.name}{'' if number == 1 else f'-{number}'}"
        return folder / place / f"annotations{self.suffix}"

    def _keys(self, path: Path, folder: Path) -> set[str]:
        """Return the keys of the queries in a file; none if it is damaged, so they are written again beside it."""
        try:
            return {Path(name).stem for name in self.names(path, folder)}
        except DataError:
            return set()


def image_size(images: Pool, id: str) -> Size:
    """Return the original height and width of an image."""
    return mask_sizes(images, [id])[0][0]


def read_content(path: Path, inside: Path | None) -> bytes:
    """Return the content of a file, which must not lead out of the folder `inside` by symbolic links."""
    try:
        return read_file(path) if inside is None else read_inside(path, inside)
    except OSError as reason:
        raise DataError(f"{path} cannot be read ({reason.strerror})", hint="check the path") from reason


def revision_at(path: Path) -> int:
    """Return the revision that the time of a file means."""
    try:
        return revision_of(path.stat().st_mtime_ns)
    except OSError as reason:
        raise DataError(f"{path} cannot be read ({reason.strerror})", hint="check the path") from reason


def _write_image(folder: Path, query: Query, images: Pool) -> str:
    """Write an image, unless it exists, and return the name of its file."""
    content, suffix = image_file(images, query.id)
    path = folder / f"{query.key}{suffix}"
    if not path.exists():
        write_atomically(path, content)
    return path.name
