"""The options of tiles, which commands take beside a folder of images."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

from alkit.cli.naming import naming

if TYPE_CHECKING:
    from alkit.pools.tiles.pool import TilePool
    from alkit.values.progress import Report

PANEL = "Tiles of large images"
"""Heading under which the help lists these options."""

OPTIONS = {
    "path": "--images",
    "folder": "--masks",
    "tile": "--tiles",
    **{name: f"--{name}" for name in ("stride", "margin", "level", "mpp", "foreground", "least")},
}
"""Options for parameters of :class:`alkit.TilePool`."""


def _option(text: str) -> Any:
    return typer.Option(help=text, rich_help_panel=PANEL)


@dataclass(frozen=True)
class Tiles:
    """Options that cut images into tiles; see :class:`alkit.TilePool`."""

    tiles: Annotated[
        int | None, _option("Size of tiles in pixels: each tile of an image is labelled by itself. Default: no tiles.")
    ] = None
    stride: Annotated[int | None, _option("Distance between tiles in pixels; default: their size.")] = None
    margin: Annotated[
        int,
        _option(
            "Pixels around a tile that the network sees, too. Most networks need a multiple of 32 for a tile with both "
            "margins."
        ),
    ] = 0
    level: Annotated[int, _option("Level of the pyramid that tiles are cut from; 0 is the full resolution.")] = 0
    mpp: Annotated[float | None, _option("Micrometres per pixel, in place of --level.")] = None
    foreground: Annotated[
        Literal["all", "tissue", "bright"],
        _option("Tiles to keep: all, those with coloured or dark tissue, or those with bright objects."),
    ] = "all"
    least: Annotated[float, _option("Least share of a tile that is foreground.")] = 0.05

    def pool(self, images: Path, report: Report, **others: Any) -> TilePool:
        """Open the pool.

        Parameters
        ----------
        images, report, others:
            Parameters of :class:`alkit.TilePool` that other options give.

        Raises
        ------
        ConfigurationError
            An option is wrong.
        """
        import alkit

        with naming(OPTIONS):
            return alkit.TilePool(
                str(images),
                tile=self.tiles or 0,
                stride=self.stride,
                margin=self.margin,
                level=self.level,
                mpp=self.mpp,
                foreground=self.foreground,
                least=self.least,
                report=report,
                **others,
            )
