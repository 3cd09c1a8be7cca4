"""Where cached pixels come from: files that give one item, such as an image, or several, such as slices of a volume.

A source is a frozen dataclass. A pool gives it to :func:`alkit.pools.cache.cache_images` with its files.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Protocol

from alkit._reading.images import refuse_damage
from alkit.errors import ImageError
from alkit.pools.decoding import File, Pixels, decode
from alkit.pools.deep import Pages, count_frames, finish, read_frames
from alkit.pools.fitting import decode_fitted
from alkit.values.frames import Fit
from alkit.values.label_spec import Size

LAYOUT = 3
"""Version of the row file and of the decoder of images. It is part of the name of their caches' folders."""

BETWEEN = "//"
"""Stands between the names of a file and of its item. The name of a file cannot contain it."""


class Source(Protocol):
    """What a cache asks of the source of its pixels.

    Items are named as the index lists them: by the name of their file if it is the only one, otherwise by
    :func:`item_name`.
    """

    @property
    def key(self) -> str:
        """A text that differs between sources of different pixels. It identifies the cache."""

    @property
    def is_parallel(self) -> bool:
        """Whether several files may be decoded at the same time, and a few of them be kept in memory."""

    def items(self, file: File) -> Iterator[tuple[str, Pixels, Size]]:
        """Yield the name of each item of a file, its pixels ``(c, h, w)``, and its original height and width.

        Raises
        ------
        ImageError
            The file cannot be used. It is left out with all its items.
        """

    def item(self, name: str) -> tuple[Pixels, Size]:
        """Return the pixels of one item, and its original height and width, to replace a damaged row.

        Raises
        ------
        ImageError
            It cannot be decoded.
        """

    def path(self, name: str) -> Path:
        """Return the path of the file of an item."""

    def check(self, name: str, pixels: Pixels) -> None:
        """Refuse pixels of a type with which the pool cannot be opened at all.

        Raises
        ------
        ImageError
            They have such a type.
        """


@dataclass(frozen=True)
class ImageFiles:
    """Image files of a folder, each of which is one item, or several pages; see :class:`alkit.ImagePool`."""

    folder: Path
    size: Size | None
    grayscale: bool
    pattern: str
    fit: Fit = "squash"
    exclude: tuple[str, ...] = ()
    pages: Pages | None = None

    @property
    def is_parallel(self) -> bool:
        """Whether files have one image, so that a few of them can be in memory."""
        return self.pages != "frames"

    @property
    def key(self) -> str:
        """The layout, folder, size, colour and pattern; and what differs from the default of further fields."""
        further: list[str] = [] if self.fit == "squash" else [self.fit]  # caches of earlier versions have none
        if self.exclude:
            further.append(repr(self.exclude))
        if self.pages is not None:
            further.append(f"pages={self.pages}")
        return repr((LAYOUT, os.fspath(self.folder.resolve()), self.size, self.grayscale, self.pattern, *further))

    def names(self, file: File) -> list[str]:
        """Return the names of the items of a file, without decoding it.

        Raises
        ------
        ImageError
            The file cannot be read.
        """
        if self.pages != "frames":
            return [file.name]
        with refuse_damage(lambda error: ImageError(f"{self.path(file.name)} cannot be decoded", got=error)):
            number = count_frames(self.path(file.name))
        return [item_name(file.name, f"{page:04}") for page in range(number)] or [file.name]

    def items(self, file: File) -> Iterator[tuple[str, Pixels, Size]]:
        """Yield the image, or each page of a file if pages are frames."""
        number = -1
        for number, planes in enumerate(self._frames(file.name)):  # the file is opened once for all of them
            read = partial(self._finished, file.name, planes)
            yield item_name(file.name, f"{number:04}"), *decode_fitted(read, self.size, self.fit)
        if number < 0:
            yield file.name, *self.item(file.name)

    def _frames(self, name: str) -> Iterator[Pixels]:
        if self.pages == "frames":
            with refuse_damage(lambda error: ImageError(f"{self.path(name)} cannot be decoded", got=error)):
                yield from read_frames(self.path(name))

    def _finished(self, name: str, planes: Pixels, size: Size | None) -> tuple[Pixels, Size]:
        return finish(planes, size, self.grayscale, self.path(name)), (planes.shape[1], planes.shape[2])

    def item(self, name: str) -> tuple[Pixels, Size]:
        """Decode the image."""
        return decode_fitted(lambda size: self.decode(name, size, self.grayscale), self.size, self.fit)

    def decode(self, name: str, size: Size | None, grayscale: bool) -> tuple[Pixels, Size]:
        """Decode the image, squashed to a size, or at its own size for None."""
        page = name.partition(BETWEEN)[2]
        try:
            if self.pages is None:
                return decode(self.path(name), size, grayscale)
            return decode(self.path(name), size, grayscale, self.pages, int(page) if page else None)
        except OSError as reason:
            raise ImageError(f"{self.path(name)} cannot be read", got=reason) from reason

    def path(self, name: str) -> Path:
        """Return the path of the image."""
        return self.folder / file_name(name)

    def check(self, name: str, pixels: Pixels) -> None:
        """Accept all pixels."""


def item_name(file: str, item: str) -> str:
    """Return the name of one of several items of a file.

    >>> item_name("a.nii.gz", "axial-0003")
    'a.nii.gz//axial-0003'
    """
    return f"{file}{BETWEEN}{item}"


def file_name(name: str) -> str:
    """Return the name of the file of an item.

    >>> file_name("a.nii.gz//axial-0003"), file_name("b.png")
    ('a.nii.gz', 'b.png')
    """
    return name.partition(BETWEEN)[0]
