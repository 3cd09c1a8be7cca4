"""The folder of images that a command gets: which files of it are images, and a question about masks among them."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from pathlib import Path
from typing import cast, get_args

import typer

from alkit.cli.printing import quote
from alkit.errors import ConfigurationError
from alkit.pools.decoding import File
from alkit.pools.deep import Pages
from alkit.pools.mask_names import Pairs, find_pairs

EVERYTHING = "**/*"
"""Pattern of all files."""


def check_no_masks(files: Mapping[str, File], folder: Path, pattern: str | None, *, masks: bool) -> None:
    """Ask whether masks are meant as images, if files pair up by their names; without a terminal, refuse them.

    Parameters
    ----------
    files:
        The files that will be images, by id.
    folder:
        Their folder.
    pattern:
        Value of ``--pattern``. Whoever names the images is not asked.
    masks:
        Whether the command takes ``--masks``.

    Raises
    ------
    ConfigurationError
        Masks are among the images, and nobody says that they are meant.
    """
    if pattern is not None or (pairs := find_pairs([file.name.replace("\\", "/") for file in files.values()])) is None:
        return
    told = (
        f"{folder} holds images and masks: {pairs.mask} looks like the mask of {pairs.image}, and so do "
        f"{pairs.found} of {len(files)} files"
    )
    fix = _fix(pairs, folder, masks)
    if sys.stdin.isatty() and sys.stderr.isatty():
        question = f"{told}. {fix} leaves them out. Use all files as images nevertheless?"
        if typer.confirm(question, default=False, err=True):
            return
    raise ConfigurationError(told, hint=f"{fix}; or --pattern '{EVERYTHING}' if all of them are images")


def _fix(pairs: Pairs, folder: Path, masks: bool) -> str:
    """Return the options that leave the masks out, and name them if the command takes masks."""
    if "/" not in pairs.pattern:
        named = f" --masks {quote(folder)} --mask-pattern {quote(pairs.pattern)}" if masks else ""
        return f"--exclude {quote(pairs.exclude)}{named}"
    images, own = pairs.image.split("/"), pairs.mask.split("/")
    if own[0] != pairs.exclude:  # deeper, perhaps in several folders
        return f"--exclude {quote(pairs.exclude)}"
    beside = len(images) == len(own)
    shown = f"--images {quote(folder / images[0])}" if beside else f"--exclude {quote(pairs.exclude)}"
    return f"{shown} --masks {quote(folder / own[0])}" if masks else shown


def check_pages(pages: str | None) -> Pages | None:
    """Return the value of ``--pages``."""
    if pages not in (None, *get_args(Pages)):
        raise ConfigurationError(f"--pages must be {' or '.join(get_args(Pages))}", got=repr(pages))
    return cast("Pages | None", pages)
