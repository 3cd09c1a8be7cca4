"""Draw the page of a campaign, as a browser shows it: ``python docs/figures/campaign_page.py``.

A campaign of 160 synthetic images is played by three simulated people over nine days. Chromium takes the pictures.
"""

from __future__ import annotations

import os
import random
import re
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from functools import partial
from pathlib import Path
from unittest import mock

import numpy as np
from PIL import Image

import alkit
from alkit.cli import main

HERE = Path(__file__).parent
PEOPLE = ("Anna", "Ben", "Cem")
PICTURES = {"campaign-page": ("", 1280, 1250), "campaign-page-map": ("Map of the pool", 1280, 1150)}
"""By name of the picture the section that it begins with, and the width and height of the window."""


@contextmanager
def clock(now: list[datetime]) -> Iterator[None]:
    """Let the record have the time `now[0]` inside the block."""
    with mock.patch("alkit.record.sqlite.SQLite.now", side_effect=lambda connection: now[0].isoformat("T", "seconds")):
        yield


def play(folder: Path) -> None:
    """Make the record of the campaign, ``lesions.db``."""
    images, masks = alkit.synthetic.lesions(160, size=64, seed=1)
    (folder / "images").mkdir()
    for number, image in enumerate(images):
        Image.fromarray(image.squeeze()).save(folder / "images" / f"lesion-{number:03}.png")
    pool = alkit.ImagePool(folder / "images")
    truth = dict(zip(sorted(pool.ids), masks, strict=True))
    learner = alkit.SegmentationLearner(partial(alkit.UNet, widths=(8, 16, 32)), steps=(600, 300), lr=3e-3)
    strategy = alkit.strategy("maxherding", features=alkit.features.Pretrained())
    experiment = alkit.Experiment(
        pool, learner, strategy, store=folder / "lesions.db", classes=("skin", "lesion"), audit=30, seed=1
    )
    rng, now = random.Random(0), [datetime.now(UTC) - timedelta(days=9)]
    with clock(now):
        for number in range(4):
            ids = experiment.top_up(22)
            for place, id in enumerate(ids if number < 3 else ids[:9]):
                now[0] += timedelta(minutes=rng.choice((20, 60, 300)))
                names = rng.sample(PEOPLE, 2 if place % 6 == 0 else 1)
                for name in names:
                    experiment.receive([answer(id, truth[id], name, rng, now[0])])
            if number < 3:
                experiment.fit(wait_for_answers=False)


def answer(id: str, mask: np.ndarray, name: str, rng: random.Random, now: datetime) -> alkit.Answer:
    """Return what a person says about an image: a mask that is moved a little, or rarely that there is none."""
    revision = int(now.timestamp())
    if rng.random() < 0.04:
        return alkit.Answer(id, alkit.values.Skip(rng.choice(("hair", "out of focus"))), name, revision=revision)
    moved = np.roll(mask, rng.choice((0, 1, 2, 6)), axis=PEOPLE.index(name) % 2)
    return alkit.Answer(id, moved, name, revision=revision, seconds=rng.gauss(45, 12))


def photograph(page: Path, folder: Path) -> None:
    """Let Chromium take the pictures of a page."""
    for name, (title, width, height) in PICTURES.items():
        shown, shot = folder / f"{name}.html", folder / f"{name}.png"
        shown.write_text(section(page.read_text(), title) if title else page.read_text())
        command = [str(shutil.which("chromium")), "--headless", "--no-sandbox", "--hide-scrollbars", "--disable-gpu"]
        command += [f"--user-data-dir={folder / 'profile'}", f"--screenshot={shot}", f"--window-size={width},{height}"]
        subprocess.run([*command, shown.as_uri()], check=True, capture_output=True)
        with Image.open(shot) as picture:
            picture.convert("RGB").quantize(256).save(HERE / f"{name}.png", optimize=True)


def section(page: str, title: str) -> str:
    """Return the page with only the section of this title."""
    head, _, _ = page.partition("<header>")
    (own,) = (part for part in re.findall("<section.+?</section>", page, re.S) if f"<h2>{title}</h2>" in part)
    return f"{head}<main>{own}</main></body></html>"


def write_page(folder: Path) -> Path:
    """Write the page of the campaign as the command does, and return its path."""
    before = Path.cwd()
    os.chdir(folder)
    try:
        main(["page", "lesions.db"])
    except SystemExit as end:
        if end.code:
            raise RuntimeError(f"alkit page ended with {end.code}") from end
    finally:
        os.chdir(before)
    return folder / "lesions.html"


if __name__ == "__main__":
    with tempfile.TemporaryDirectory() as place:
        play(Path(place))
        photograph(write_page(Path(place)), Path(place))
