"""The campaign of :mod:`torture.campaign` by commands, each of which runs in a child of a process that is warm.

The record is created through Python. A plugin that is not installed but lies on the path registers the parts of the
campaign, so that the commands can build them from the record.
"""

from __future__ import annotations

import json
import os
import re
import sqlite3
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from alkit.cli import main
from alkit.errors import AlkitError

from . import campaign, shim
from .campaign import LONG_AGO, World, png

ENTRY_POINTS = """\
[alkit.learners]
mean = parts:MeanLearner
[alkit.features]
rows = torture.campaign:Rows
[alkit.strategies]
chooser = torture.campaign:Chooser
"""


def register(folder: Path) -> Path:
    """Write the metadata of a plugin into a folder, which is put on the path, and return it."""
    metadata = folder / "torture_parts-1.dist-info"
    metadata.mkdir(parents=True)
    (metadata / "METADATA").write_text("Metadata-Version: 2.1\nName: torture-parts\nVersion: 1\n")
    (metadata / "entry_points.txt").write_text(ENTRY_POINTS)
    sys.path.insert(0, str(folder))
    return folder


def preload() -> None:
    """Import what the commands use."""
    for name in ("tell", "records", "places", "tables", "status"):
        __import__(f"alkit.cli.{name}")
    __import__("alkit.report.next_step")
    __import__("alkit.report.progress")
    __import__("alkit.report.summary")
    __import__("alkit.stopping")
    __import__("alkit.oracles.formats.registry")


def run_cold(world: World, fault: shim.Fault, *arguments: object) -> subprocess.CompletedProcess[str]:
    """Run a command in a process of its own that imports everything, torch included; a fault happens to it."""
    environment = {
        **os.environ,
        "TORTURE": f"{world.root}\n{fault.number}\n{int(fault.action)}\n{fault.error}",
        "PYTHONPATH": os.pathsep.join([sys.path[0], os.environ["PYTHONPATH"]]),
    }
    if (temporary := world.root / "temporary").is_dir():  # of a repair
        environment["TMPDIR"] = str(temporary)
    command = [sys.executable, "-m", "alkit", *map(str, arguments)]
    return subprocess.run(command, env=environment, capture_output=True, text=True, check=False)


class RefusedError(AlkitError):
    """A command ended with exit code 1 and a message in one line, as it should."""


@dataclass
class Commands:
    """Runs commands on a campaign, and writes files as annotators do."""

    world: World
    say: Callable[[Any], None] = lambda word: None

    def __post_init__(self) -> None:
        os.environ["ALKIT_CACHE"] = str(self.world.root / "cache")
        os.environ["ALKIT_STATE"] = str(self.world.root / "state")

    def run(self, *arguments: object) -> str:
        """Run a command and return what it printed; raise an error unless it ends as a command must."""
        with _captured(self.world.outside) as (out, err):
            code: Any = 0
            try:
                main([str(argument) for argument in arguments])
            except SystemExit as end:
                code = end.code or 0
        printed, message = out(), err()
        if code == 0:
            assert "Traceback" not in message, message
            return printed
        assert code == 1, (code, message)
        lines = [line for line in message.splitlines() if line.startswith("alkit: ")]
        bad = "unexpected" in message or "Traceback" in message or (not lines and not printed.strip())
        assert not bad, f"the command ended with {message!r}"
        raise RefusedError((lines or printed.strip().splitlines())[-1])

    def ids(self, round: int) -> list[tuple[str, str]]:
        """Return the ids and the keys of the queries of a round by rank."""
        with shim.paused(), closing(sqlite3.connect(f"file:{self.world.store}?mode=ro", uri=True)) as connection:
            query = "SELECT id, rank FROM queries WHERE round = ? ORDER BY rank"
            return [(id, f"r{round:02}-{rank:04}-{id}") for id, rank in connection.execute(query, (round,))]

    def save(self, round: int, place: int, ending: str, content: Any, number: int) -> None:
        """Save a file as `ann` does."""
        with shim.paused():
            id, key = self.ids(round)[place]
            path = self.world.root / "exchange" / "ann" / f"{key}{ending}"
            path.parent.mkdir(parents=True, exist_ok=True)
            truth = self.world.truth()[id]
            path.write_bytes(png(content(truth)) if callable(content) else content)
            os.utime(path, (LONG_AGO + number,) * 2)


@contextmanager
def _captured(folder: Path) -> Iterator[tuple[Callable[[], str], Callable[[], str]]]:
    """Send what the process prints to two files in a folder, which can be read after the block."""
    with shim.paused():
        files = [tempfile.TemporaryFile(dir=folder) for _ in range(2)]  # noqa: SIM115
        kept = [os.dup(number) for number in (1, 2)]
        for number, file in enumerate(files, 1):
            os.dup2(file.fileno(), number)

    def reader(file: Any) -> Callable[[], str]:
        def read() -> str:
            file.seek(0)
            return str(file.read().decode(errors="replace"))

        return read

    try:
        yield reader(files[0]), reader(files[1])
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
        for number, copy in enumerate(kept, 1):
            os.dup2(copy, number)
            os.close(copy)


Step = Callable[[Commands], None]


def ask(play: Commands) -> None:
    images = "--images", play.world.outside / "images"  # the record was made in Python, so nobody has named them yet
    play.run("ask", play.world.store, "-n", campaign.BATCH, "--out", play.world.root / "exchange", *images)


def ask_with_coco(play: Commands) -> None:
    play.run("ask", play.world.store, "-n", campaign.BATCH, "--as", "coco")


def tell(play: Commands) -> None:
    said = json.loads(play.run("tell", play.world.store, "--json"))
    lines = [(one["id"], one["annotator"], one["revision"], one["kind"]) for one in said["taken"] + said["unchanged"]]
    play.say(("taken", lines))


def reject(play: Commands) -> None:
    id, key = play.ids(0)[0]
    if not any(campaign.names(play.world.store).values()):
        play.run("reject", play.world.store, key, "--reason", "sloppy", "--annotator", "ann")
    play.say(("rejected", [(id, "ann", LONG_AGO * 10**9)]))


def command(name: str, *more: str) -> Step:
    return lambda play: play.run(name, play.world.store, *more) and None


def predict(play: Commands) -> None:
    images, out = play.world.outside / "new", play.world.root / "out"
    play.run("predict", play.world.store, "--images", images, "--out", out, "--overwrite")


def repair(play: Commands) -> None:
    """Save the record as another one, which must not exist; its temporary copies are counted, too."""
    with shim.paused():
        temporary = play.world.root / "temporary"
        temporary.mkdir(exist_ok=True)
        for path in play.world.root.glob("repaired.db*"):
            path.rename(play.world.root / f"old-{os.urandom(4).hex()}-{path.name}")
    before, tempfile.tempdir = tempfile.tempdir, str(temporary)
    try:
        play.run("repair", play.world.store, "--out", play.world.root / "repaired.db")
    finally:
        tempfile.tempdir = before


def annotate(play: Commands) -> None:
    play.save(0, 0, ".png", lambda mask: np.roll(mask, 2), 0)
    play.save(0, 1, ".png", lambda mask: mask, 1)


def correct(play: Commands) -> None:
    play.save(0, 0, ".png", lambda mask: mask, 2)


def annotate_again(play: Commands) -> None:
    play.save(1, 0, ".png", lambda mask: mask, 3)
    play.save(1, 1, ".skip", b"hair", 4)
    play.save(1, 2, ".png", lambda mask: mask, 5)


STEPS: dict[str, Step] = {
    "create": lambda play: campaign.Play(play.world) and None,
    "alkit ask": ask,
    "annotate": annotate,
    "alkit tell": tell,
    "alkit reject": reject,
    "correct": correct,
    "alkit tell, corrected": tell,
    "alkit withdraw": command("withdraw"),
    "alkit fit": command("fit"),
    "alkit status": command("status"),
    "alkit ask --as coco": ask_with_coco,
    "annotate again": annotate_again,
    "alkit tell again": tell,
    "alkit fit again": command("fit"),
    "alkit predict": predict,
    "alkit check": command("check"),
    "alkit repair": repair,
}
"""The steps of the campaign, in order."""


def ending(world: World) -> dict[str, Any]:
    """Return what the campaign has come to, and what the commands say about it."""
    play = Commands(world)
    said = play.run("status", world.store, "--json")
    return {**campaign.state(world), "status": _without_times(said)}


def _without_times(said: str) -> str:
    return re.sub(r"\d{4}-\d\d-\d\dT[0-9:+.]+|\d+\.\d+(e-\d+)?", "N", said)
