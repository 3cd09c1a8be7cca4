"""People who label by files: careful ones, careless ones, and one who vanishes; they skip and disagree."""

from __future__ import annotations

import json
import os
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import numpy.typing as npt
from PIL import Image
from scipy.ndimage import binary_dilation, binary_erosion

Mask = npt.NDArray[np.uint8]

SETTLED = 60
"""Seconds after which a file is certainly complete."""


@dataclass
class Person:
    """Somebody who labels images.

    Parameters
    ----------
    name:
        Name of the person's folder.
    errs:
        Share of the labels that are plain mistakes: empty, of another place, or inverted.
    skips:
        Share of the images that the person skips.
    rounds:
        Number of times that the person works before vanishing.
    """

    name: str
    errs: float = 0.0
    skips: float = 0.0
    rounds: int = 10**6


@dataclass
class Crowd:
    """People who share an exchange folder. What they do depends on the seed only.

    Parameters
    ----------
    exchange:
        The folder.
    people:
        The people. Each works on the folders ``for-NAME`` of the exchange.
    truth:
        True mask by id of the image.
    planted:
        By id and name the kind of each mistake.
    """

    exchange: Path
    people: list[Person]
    truth: Callable[[str], Mask]
    seed: int = 0
    planted: dict[tuple[str, str], str] = field(default_factory=dict)
    sessions: int = 0

    def work(self) -> int:
        """Let everybody answer what is open and assigned to them; return the number of new files."""
        self.sessions += 1
        return sum(self._work(person) for person in self.people if self.sessions <= person.rounds)

    def _work(self, person: Person) -> int:
        inbox, done = self.exchange / person.name, 0
        inbox.mkdir(exist_ok=True)
        for place in sorted(self.exchange.glob(f"for-{person.name}/*/query.json")):
            query = json.loads(place.read_text())
            answer = inbox / f"{query['query']}.png"
            left = (place.parent / "withdrawn.txt").exists()
            if left or answer.exists() or answer.with_suffix(".skip").exists():
                continue
            self._answer(person, query["image"], answer, again=query["query"])
            done += 1
        return done

    def _answer(self, person: Person, id: str, answer: Path, again: str) -> None:
        rng = np.random.default_rng([self.seed, *f"{person.name} {again}".encode()])
        mask = self.truth(id)
        if rng.random() < person.skips:
            answer.with_suffix(".skip").write_text("cannot be seen")
            _settle(answer.with_suffix(".skip"))
            return
        if rng.random() < person.errs and mask.any():
            kind = str(rng.choice(["empty", "elsewhere", "inverted"]))
            self.planted[id, person.name] = kind
            moved = np.roll(mask, (mask.shape[0] // 2, mask.shape[1] // 2), (0, 1))
            mask = {"empty": np.zeros_like(mask), "elsewhere": moved, "inverted": 1 - mask}[kind]
        elif mask.any():  # nobody draws the same outline twice
            self.planted.pop((id, person.name), None)
            shape = (binary_dilation, binary_erosion)[int(rng.integers(2))](mask)
            mask = shape.astype(np.uint8) if shape.any() and rng.random() < 0.5 else mask
        Image.fromarray(mask * 255).save(answer)
        answer.with_suffix(".confirmed").touch()
        for path in (answer, answer.with_suffix(".confirmed")):
            _settle(path)


def _settle(path: Path) -> None:
    os.utime(path, (time.time() - SETTLED,) * 2)
