"""A campaign by command line, with an annotator who answers by files from masks that are known."""

import json
import os
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import nibabel
import numpy as np
import numpy.typing as npt
from commandline import alkit
from PIL import Image

from alkit import Experiment

SMALL = ("--widths", "4,8", "--steps", "5,5", "--threads", "1", "--stop-set", "0")
"""Options of a small network that trains for a moment."""

SETTLED = 60
"""Seconds after which a file is certainly complete."""


@dataclass
class Campaign:
    """The record of a campaign, its exchange folder, and the masks that its annotator knows."""

    record: Path
    exchange: Path
    truth: Callable[[str], npt.NDArray[np.uint8]]
    form: str = "files"
    telling: tuple[str, ...] = ()

    def run(self, command: str, *arguments: object, code: int = 0) -> None:
        """Run a command on the record."""
        assert alkit(command, self.record, *arguments) == code

    def answer(self) -> list[str]:
        """Answer all queries in the exchange folder that have no answer; return the ids."""
        inbox = self.exchange / "ann"
        inbox.mkdir(exist_ok=True)
        answered = []
        for place in sorted(self.exchange.glob("*/query.json")):
            query = json.loads(place.read_text())
            file = inbox / f"{query['query']}.png"
            if not file.exists() and not (place.parent / "withdrawn.txt").exists():
                Image.fromarray(self.truth(query["image"])).save(file)
                file.with_suffix(".confirmed").touch()
                for path in (file, file.with_suffix(".confirmed")):
                    os.utime(path, (time.time() - SETTLED,) * 2)
                answered.append(query["image"])
        return answered

    def round(self, n: int) -> list[str]:
        """Ask for `n` images, answer, and train; return their ids."""
        self.run("ask", "-n", n, "--out", self.exchange, "--as", self.form)
        ids = self.answer()
        assert len(ids) == n
        self.run("tell", *self.telling)
        self.run("fit")
        return ids

    def labels(self) -> dict[str, npt.NDArray[np.uint8]]:
        """Return the labels that count, by id."""
        experiment = Experiment.open(self.record)
        counting = [answer for answer in experiment.answers() if answer.label is not None and not answer.rejected]
        return {answer.id: experiment.label(answer) for answer in counting}


@dataclass
class VolumeCampaign(Campaign):
    """A campaign whose annotator labels slices in NIfTI volumes; `volumes` holds the labels of whole volumes."""

    form: str = "nifti"
    telling: tuple[str, ...] = ("--empty-is-background",)
    volumes: Path = Path()

    def answer(self) -> list[str]:
        """Label the asked slices of all volumes in the exchange folder; return the keys of the queries."""
        inbox = self.exchange / "ann"
        inbox.mkdir(exist_ok=True)
        answered = []
        for manifest in sorted(self.exchange.glob("r*-nifti*/volumes.json")):
            for sent in json.loads(manifest.read_text())["volumes"]:
                file = inbox / f"{sent['file']}.nii.gz"
                if file.exists():
                    continue
                draft = nibabel.load(manifest.parent / "labels" / file.name)
                known = np.asarray(nibabel.load(self.volumes / f"{Path(sent['volume']).name}.nii.gz").dataobj)
                labels = np.zeros(draft.shape, np.uint8)
                for part in sent["slices"]:
                    place = (slice(None),) * sent["axis"] + (part["number"],)
                    labels[place] = known[place]
                nibabel.Nifti1Image(labels, draft.affine, draft.header).to_filename(file)
                confirmed = file.with_name(f"{file.name}.confirmed")
                confirmed.touch()
                for path in (file, confirmed):
                    os.utime(path, (time.time() - SETTLED,) * 2)
                answered += [part["query"] for part in sent["slices"]]
        return answered


def assert_equal_labels(one: dict[str, npt.NDArray[np.uint8]], other: dict[str, npt.NDArray[np.uint8]]) -> None:
    """Check that two records have equal labels."""
    assert sorted(one) == sorted(other)
    for id, label in one.items():
        assert np.array_equal(label, other[id]), id
