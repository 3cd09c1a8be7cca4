"""Play the tutorial of a campaign as it is written, and draw its figures: ``python docs/figures/campaign.py``."""

from __future__ import annotations

import os
import re
import shlex
import tempfile
import time
from collections.abc import Mapping
from pathlib import Path
from types import MappingProxyType

from PIL import Image

from alkit.cli import main

HERE = Path(__file__).parent
PAGE = HERE.parent / "tutorials" / "campaign.md"


def play(folder: Path, fewer: Mapping[str, str] = MappingProxyType({})) -> None:
    """Run every block of the page, one after the other, in `folder`.

    `fewer` replaces texts of the page by others, for a test that trains less.
    """
    before, names, page = Path.cwd(), dict[str, object](), PAGE.read_text()
    for as_written, smaller in fewer.items():
        assert as_written in page, as_written
        page = page.replace(as_written, smaller)
    os.chdir(folder)
    try:
        for language, block in re.findall(r"```(python|sh)\n(.*?)```", page, re.S):
            if language == "python":
                exec(block, names)  # noqa: S102 - the code of a page of this repository
                _wait()
            else:
                for command in block.replace("\\\n", " ").strip().splitlines():
                    run(command)
    finally:
        os.chdir(before)


def run(command: str) -> None:
    """Run an ``alkit`` command of the page in this process.

    It must succeed, or be a ``tell`` that refuses an answer.
    """
    program, *arguments = shlex.split(command)
    assert program == "alkit", command
    try:
        main(arguments)
    except SystemExit as end:
        if end.code not in (None, 0) and (end.code, arguments[0]) != (3, "tell"):
            raise RuntimeError(f"{command} ended with {end.code}") from end


def _wait() -> None:
    """Make files as old as they are when somebody has gone from the painting program to the terminal."""
    for path in Path("exchange").rglob("*"):
        if path.is_file() and (age := time.time() - path.stat().st_mtime) < 60:
            os.utime(path, (time.time(), time.time() - age - 60))


if __name__ == "__main__":
    with tempfile.TemporaryDirectory() as place:
        play(Path(place))
        for name, figure in (("contact-sheet", "exchange/for-ann/contact-sheet-r00.png"), ("curve", "curve.png")):
            with Image.open(Path(place) / figure) as picture:
                picture.thumbnail((1000, 1000))
                picture.convert("RGB").quantize(128).save(HERE / f"campaign-{name}.png", optimize=True)
