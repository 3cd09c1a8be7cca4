"""Where the images of a command are, and how they are read: the options of ``alkit start`` and ``alkit run``."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, cast

import typer

from alkit._files import without_tilde
from alkit.cli import options
from alkit.cli.tiles import Tiles
from alkit.cli.volumes import Volumes
from alkit.errors import ConfigurationError

if TYPE_CHECKING:
    from alkit.pools.decoding import File
    from alkit.pools.folder import ImagePool
    from alkit.pools.tiles.pool import TilePool
    from alkit.pools.volumes.pool import VolumePool
    from alkit.values.progress import Report


@dataclass(frozen=True)
class Source:
    """Options that choose a folder of images, of large images that are cut into tiles, or of volumes."""

    images: Annotated[Path | None, typer.Option(help="Folder of images.")] = None
    size: options.Size = None
    fit: options.Fit = "squash"
    pattern: options.Pattern = None
    exclude: options.Exclude = None
    pages: options.Pages = None
    grayscale: options.Grayscale = False
    groups: options.Groups = None
    volumes: Volumes = field(default_factory=Volumes)
    tiles: Tiles = field(default_factory=Tiles)

    @property
    def folder(self) -> Path:
        """The folder that is named."""
        return cast(Path, self.volumes.volumes if self.images is None else self.images)

    def check(self, **of_images: object) -> None:
        """Check that one kind of images is chosen, and only options that belong to it.

        Parameters
        ----------
        of_images:
            Values of options of the command that are for whole images alone, by their names; those that are true were
            given.

        Raises
        ------
        ConfigurationError
            None or two kinds are chosen, or an option of another kind is given.
        """
        from alkit.cli.places import refuse_options

        if (self.images is None) == (self.volumes.volumes is None):
            raise ConfigurationError(
                "either --images or --volumes must be given", got="both" if self.images is not None else "neither"
            )
        if self.images is None:
            given = {"--grayscale": self.grayscale, "--tiles": self.tiles.tiles, "--exclude": self.exclude}
            refuse_options({**given, "--pages": self.pages, **_flags(of_images)}, "with --images")
        elif changed := self.volumes.changed():
            raise ConfigurationError(f"--{changed[0]} can be used only with --volumes")
        if self.pattern is not None and "{id}" in self.pattern:
            raise ConfigurationError(
                "--pattern is for the names of images", got=repr(self.pattern), hint="--mask-pattern"
            )
        whole = {"size": self.size, "fit": self.fit != "squash", "exclude": self.exclude, "pages": self.pages}
        self.tiles.check_alone(**whole, **of_images)

    def files(self, *, masks: bool, asks: bool = True) -> dict[str, File]:
        """Return the files of whole images, by id; none of volumes and of large images.

        Parameters
        ----------
        masks:
            Whether the command takes masks.
        asks:
            Whether masks among the images are a question.

        Raises
        ------
        ConfigurationError
            There seem to be masks among the images.
        """
        from alkit.cli.images import EVERYTHING, check_no_masks
        from alkit.pools.decoding import scan

        if self.images is None or self.tiles.tiles is not None:
            return {}
        pattern, exclude = self.pattern or EVERYTHING, tuple(self.exclude or ())
        found = scan(without_tilde(self.images), pattern, "images", exclude=exclude)
        if asks:
            check_no_masks(found, self.images, self.pattern, masks=masks)
        return found

    def pool(self, report: Report) -> ImagePool | TilePool | VolumePool:
        """Open the pool."""
        import alkit
        from alkit.cli.images import EVERYTHING, check_pages

        pattern = self.pattern or EVERYTHING
        if self.images is None:
            return self.volumes.pool(self.size, report, fit=self.fit, pattern=pattern, groups=self.groups)
        if self.tiles.tiles is not None:
            return self.tiles.pool(self.images, report, grayscale=self.grayscale, pattern=pattern, groups=self.groups)
        return alkit.ImagePool(
            str(self.images),
            size=self.size,
            grayscale=self.grayscale,
            fit=self.fit,
            pattern=pattern,
            exclude=tuple(self.exclude or ()),
            groups=self.groups,
            pages=check_pages(self.pages),
            report=report,
        )

    def masks(
        self, pool: ImagePool | TilePool | VolumePool, masks: Path | None, labels: str | None, pattern: str
    ) -> Mapping[str, Any]:
        """Return the masks of tiles or of slices by id, from the masks of large images or the labels of volumes.

        Parameters
        ----------
        pool:
            The pool.
        masks, labels, pattern:
            Values of ``--masks``, ``--labels`` and ``--mask-pattern``.

        Raises
        ------
        LabelError
            An image or a volume has no labels, or they do not fit.
        """
        if self.images is None:
            return self.volumes.masks(cast("VolumePool", pool), None if labels is None else Path(labels), pattern)
        return self.tiles.masks(cast("TilePool", pool), cast(Path, masks), pattern)


@dataclass(frozen=True)
class TestSet:
    """Options that name a test set."""

    test_images: options.TestImages = None
    test_masks: options.TestMasks = None

    def folders(self) -> tuple[Path, Path] | None:
        """Return the folders of the images and of the masks; None without a test set.

        Raises
        ------
        ConfigurationError
            Only one of them is given.
        """
        if self.test_images is None and self.test_masks is None:
            return None
        if self.test_images is None or self.test_masks is None:
            missing = "--test-images" if self.test_images is None else "--test-masks"
            raise ConfigurationError("--test-images and --test-masks must be given together", got=f"no {missing}")
        return self.test_images, self.test_masks


def _flags(named: dict[str, object]) -> dict[str, object]:
    return {f"--{name.replace('_', '-')}": value for name, value in named.items()}
