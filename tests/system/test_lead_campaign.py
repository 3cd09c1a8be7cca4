"""A lead's campaign with people who err, disagree, skip and vanish: what goes wrong is found, and nothing is hidden.

The pictures are like breast ultrasound; or those of nuclei, if ALKIT_DATA names the folder of the data sets.
"""

import json
import os
from datetime import timedelta
from pathlib import Path

import numpy as np
import pytest
from by_files import Crowd, Person
from commandline import alkit as run
from PIL import Image
from ultrasound import ultrasound

import alkit
from alkit.record import Store, assigning

pytestmark = pytest.mark.slow

IMAGES, AUDIT, BATCH, ROUNDS = 160, 30, 24, 4
NETWORK = ("--widths", "8,16,32", "--steps", "100,100", "--threads", "1", "--stop-set", "0")
LOG = os.environ.get("ALKIT_TEST_LOG")


def pictures(name):
    """Return images and masks."""
    if name == "ultrasound":
        return ultrasound(IMAGES, seed=7)
    if "ALKIT_DATA" not in os.environ:
        pytest.skip("ALKIT_DATA must be the folder of the data sets")
    folder = Path(os.environ["ALKIT_DATA"], "dsb2018-nuclei")
    names = [file.name for file in sorted((folder / "images").iterdir())][:IMAGES]
    return [tuple(gray(folder / kind / name) for kind in ("images", "masks")) for name in names]


def gray(file):
    with Image.open(file) as image:
        return np.asarray(image.convert("L"))


def dice(one, other):
    """Return the Dice of two masks; 1 if both are empty."""
    total = one.sum() + other.sum()
    return 2 * (one & other).sum() / total if total else 1.0


class Lead:
    """The lead of a campaign, with people whose mistakes are known."""

    def __init__(self, name, capsys, monkeypatch):
        Path("images").mkdir()
        self.truth, self.capsys, self.days = {}, capsys, 0
        for number, (image, mask) in enumerate(pictures(name)):
            Image.fromarray(image).save(f"images/case-{number:03}.png")
            self.truth[f"case-{number:03}"] = (mask > 0).astype(np.uint8)
        people = [
            Person("ann", skips=0.02),
            Person("ben", errs=0.25, skips=0.02),
            Person("cara", errs=0.05, skips=0.02, rounds=1),
        ]
        self.crowd = Crowd(Path("exchange"), people, self.truth.__getitem__)
        now = assigning.time_now
        monkeypatch.setattr(assigning, "time_now", lambda store: now(store) + timedelta(days=self.days))

    def run(self, command, *arguments, codes=(0,)):
        self.capsys.readouterr()
        code = run(command, "c.db", *arguments)
        found = self.capsys.readouterr()
        self.log(f"$ alkit {command} {arguments} -> {code}\n{found.out}{found.err}")
        assert code in codes, found.err
        return found.out

    def log(self, text):
        if LOG:
            with open(LOG, "a") as file:
                file.write(f"{text}\n")

    def true_dice(self):
        """Return the mean Dice of the last model on all images that it was not trained on."""
        self.run("predict", "--images", "images", "--out", "predicted", "--overwrite")
        experiment = alkit.Experiment.open("c.db")
        apart = set(experiment.history[-1].audit.ids)
        trained = {answer.id for answer in experiment.answers() if answer.label is not None} - apart
        ids = sorted(self.truth.keys() - trained)
        masks = {id: gray(f"predicted/masks/{id}.png") == 1 for id in ids}
        return float(np.mean([dice(masks[id], self.truth[id] == 1) for id in ids]))

    def status(self):
        return json.loads(self.run("status", "--json")), " ".join(self.run("status", "--all").split())

    def wrong(self, ids):
        """Return those of some images whose label, as models are trained on it, is plainly wrong."""
        self.run("export", "--labels", "masks", "--out", "labels", "--overwrite")
        masks = {id: gray(f"labels/masks/{id}.png") == 1 for id in ids if Path(f"labels/masks/{id}.png").exists()}
        return {id for id, mask in masks.items() if dice(mask, self.truth[id] == 1) < 0.5}


@pytest.mark.parametrize("name", ["ultrasound", "nuclei"])
def test_planted_errors_are_found_the_audit_is_right_and_every_state_is_seen(name, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("ALKIT_CACHE", str(tmp_path / "cache"))
    lead = Lead(name, capsys, monkeypatch)
    people = ("--people", "ann=2,ben=1,cara=1", "--deadline", 2, "--audit", AUDIT, "--audit-annotators", 2)
    images = ("--images", "images", "--classes", "tissue,lesion", "--size", 64, "--grayscale")
    lead.run("start", *images, "--strategy", "random", *people, *NETWORK)
    for _ in range(ROUNDS):
        lead.run("ask", "-n", BATCH, "--out", "exchange")
        lead.crowd.work()
        lead.run("tell", codes=(0, 3))
        lead.run("status")
        lead.days += 3
    lead.run("fit")
    lead.run("export", "--labels", "masks", "--out", "labels")
    labelled = {path.stem for path in Path("labels/masks").iterdir()}
    mistakes = lead.wrong(labelled)
    for _ in range(3):
        lead.run("review", "-n", 12, "--by", "ann")
        lead.crowd.work()
        lead.run("tell", codes=(0, 3))
    left = lead.wrong(labelled)
    lead.run("ask", "-n", 4)  # which gives the images of the person who vanished to others
    lead.crowd.work()
    lead.run("tell", codes=(0, 3))
    lead.run("fit")
    facts, shown = lead.status()
    lead.log(f"planted {lead.crowd.planted}\nmistakes {sorted(mistakes)} left {sorted(left)}\n{facts}")

    # The planted errors are found.
    assert len(mistakes) >= 5
    assert len(left) <= len(mistakes) / 4  # a model sends no label of the audit set back

    # The audit says how good the model is on the whole pool.
    audit = alkit.Experiment.open("c.db").history[-1].audit
    interval, truth = audit.figures["dice"], lead.true_dice()
    lead.log(f"{interval} truth {truth}")
    assert interval.low <= truth <= interval.high
    assert interval.high - interval.low < 0.4
    assert audit.drawn == AUDIT

    # No state is hidden.
    assert sum(facts["states"].values()) == len(Store("c.db").queries())
    assert all(state in shown for state in facts["states"])
    assert all(id in shown for id in facts["skipped"])
    assert "cannot be seen" in shown
    assert all(name in shown for name in ("ann", "ben", "cara"))
    waiting = {name for query in facts["open_queries"] for name in query["assigned"]}
    assert "cara" not in waiting or all(query["overdue"] for query in facts["open_queries"])
    lead.run("page", "--out", "page.html")
    assert all(person in Path("page.html").read_text() for person in ("ann", "ben", "cara"))
