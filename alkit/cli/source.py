"""Where the images of a command are, and how they are read: the options of ``alkit start`` and ``alkit run``."""

from __future__ import annotations

import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, cast

import typer

from alkit._files import without_tilde
from alkit.cli import options
from alkit.cli.expanding import changed_options, option_name
from alkit.cli.tiles import Tiles
from alkit.cli.volumes import Volumes
from alkit.errors import ConfigurationError

if TYPE_CHECKING:
    from alkit.pools.decoding import File
    from alkit.pools.folder import ImagePool
    from alkit.pools.tiles.pool import TilePool
    from alkit.pools.volumes.pool import VolumePool
    from alkit.values.progress import Report


REFUSED: Mapping[str, Mapping[str, tuple[str, str | None]]] = {
    "--volumes": {
        "--grayscale": ("slices have no colours", None),
        "--pages": ("a file is one volume", None),
        "--masks": ("their labels are volumes", "--labels FOLDER"),
        "--tiles": ("slices are not cut further", None),
    },
    "--tiles": {
        "--size": ("tiles are read at their own size", "--tiles for the size, and --level or --mpp for the scale"),
        "--fit": ("each tile fills its size", None),
        "--pages": ("a large image has one page", None),
        "--labels": ("it has a class for each image", "--masks FOLDER"),
    },
}
"""By kind of images the options that it cannot use, each with the reason, and what to use in its place."""

MANY = 500
"""Number of images from which on a process of its own decodes images earlier than this one could."""


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
            Values of options of the command that :data:`REFUSED` names, by their names; those that are true were given.

        Raises
        ------
        ConfigurationError
            None or two kinds are chosen, or an option of another kind is given.
        """
        if (self.images is None) == (self.volumes.volumes is None):
            raise ConfigurationError(
                "either --images or --volumes must be given", got="both" if self.images is not None else "neither"
            )
        kind = "--volumes" if self.images is None else "--images" if self.tiles.tiles is None else "--tiles"
        given = {option_name(name): value for name, value in {**vars(self), **of_images}.items()}
        given |= {"--fit": self.fit != "squash", "--tiles": self.tiles.tiles is not None}
        for option, (reason, hint) in REFUSED.get(kind, {}).items():
            if given.get(option):
                raise ConfigurationError(f"{option} cannot be used with {kind}, because {reason}", hint=hint)
        for option, group in (("--volumes", self.volumes), ("--tiles", self.tiles)):
            if option != kind and (changed := changed_options(group)):
                hint = "--tiles 512" if option == "--tiles" else None
                raise ConfigurationError(f"{changed[0]} can be used only with {option}", hint=hint)
        if self.pattern is not None and "{id}" in self.pattern:
            raise ConfigurationError(
                "--pattern is for the names of images", got=repr(self.pattern), hint="--mask-pattern"
            )

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
        from alkit.cli.images import EVERYTHING

        chosen: dict[str, Any] = {"pattern": self.pattern or EVERYTHING, "exclude": tuple(self.exclude or ())}
        chosen["groups"] = self.groups
        if self.images is None:
            return self.volumes.pool(self.size, report, fit=self.fit, **chosen)
        if self.tiles.tiles is not None:
            return self.tiles.pool(self.images, report, grayscale=self.grayscale, **chosen)
        return alkit.ImagePool(**self._of_images(), groups=self.groups, report=report)

    def _of_images(self) -> dict[str, Any]:
        """Return arguments of :class:`alkit.ImagePool`."""
        from alkit.cli.images import EVERYTHING, check_pages

        pages = check_pages(self.pages)
        chosen = {"size": self.size, "grayscale": self.grayscale, "fit": self.fit, "pages": pages}
        return {
            "path": str(self.images),
            "pattern": self.pattern or EVERYTHING,
            "exclude": tuple(self.exclude or ()),
            **chosen,
        }

    @contextmanager
    def decoded_ahead(self) -> Iterator[None]:
        """Decode the images of a folder in another process inside the block, in which this process imports torch.

        Nothing happens if that process would take longer to start than the images take: if there are few of them, or
        if torch is imported already. Errors are left to :meth:`files` and :meth:`pool`.
        """
        from alkit.errors import AlkitError

        try:
            many = "torch" not in sys.modules and len(self.files(masks=False)) >= MANY
            arguments = self._of_images() if many else {}
        except AlkitError:
            arguments = {}
        if not arguments:
            yield
            return
        from alkit.pools.ahead import decoded_ahead

        with decoded_ahead(arguments):
            yield


@dataclass(frozen=True)
class TestSet:
    """Options that name a test set."""

    test_images: options.TestImages = None
    test_volumes: options.TestVolumes = None
    test_masks: options.TestMasks = None
    test_labels: options.TestLabels = None

    def places(self, *, volumes: bool, per: str) -> tuple[Path, str] | None:
        """Return the folder of the images, and where their masks or labels are; None without a test set.

        Parameters
        ----------
        volumes:
            Whether the pool of the command is one of volumes.
        per:
            What has a class: ``pixel`` or ``image``.

        Raises
        ------
        ConfigurationError
            Only one of them is given, or an option that does not fit the pool.
        """
        given = {option_name(name): value for name, value in vars(self).items() if value is not None}
        images = "--test-volumes" if volumes else "--test-images"
        labels = "--test-labels" if volumes or per == "image" else "--test-masks"
        if not given:
            return None
        if wrong := [option for option in given if option not in (images, labels)]:
            what = "volumes" if volumes else "classes of images" if per == "image" else "images with masks"
            raise ConfigurationError(
                f"a test set of {what} must be given by {images} and {labels}", got=" and ".join(wrong)
            )
        if missing := [option for option in (images, labels) if option not in given]:
            raise ConfigurationError(f"{images} and {labels} must be given together", got=f"no {missing[0]}")
        return Path(given[images]), str(given[labels])
