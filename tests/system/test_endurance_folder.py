"""Annotators who work by files, while those who fetch and those who train are killed again and again."""

import os
import random
import time
from dataclasses import dataclass, field
from io import BytesIO
from pathlib import Path

import numpy as np
import pytest
from deaths import Mortals, start
from endurance import BATCH, START, ending, make_world, world
from PIL import Image

from alkit.oracles import FolderOracle
from alkit.record import Store

ANNOTATORS = ("ann", "bob")
BEGUN = 1_700_000_000  # seconds since 1970; step n of a script is saved n minutes later
SETTLE = 300.0  # seconds; what is saved under a time long gone is at rest at once


def png(mask):
    file = BytesIO()
    Image.fromarray(mask).save(file, "PNG")
    return file.getvalue()


@dataclass(frozen=True)
class Step:
    """What an annotator does next: saves a file, perhaps only after a note said why the last one was refused."""

    ending: str
    content: bytes
    after_note: bool = False
    removes: str = ""
    half: bool = False  # only half of the file gets written for now


def script(key, annotator, truth, prelabel):
    """Return an annotator's steps for a query, drawn from its key alone; the last is what is meant."""
    chance = random.Random(f"{key} {annotator}")
    right = [png(np.roll(truth, chance.randint(-2, 2), axis=chance.randint(0, 1))) for _ in range(2)]
    manners = {
        "plain": [Step(".png", right[0])],
        "corrected": [Step(".png", right[0]), Step(".png", right[1])],
        "too small": [Step(".png", png(truth[:5])), Step(".png", right[0], after_note=True)],
        "wrong class": [Step(".png", png(truth + 3)), Step(".png", right[0], after_note=True)],
        "saved slowly": [Step(".png", right[0], half=True), Step(".png", right[0])],
        "saved in part": [Step(".png", right[0][:40]), Step(".png", right[0], after_note=True)],
        "not at all a picture": [Step(".png", b"hello"), Step(".skip", b"blurred", True, ".png")],
        "skipped": [Step(".skip", b"hair")],
        "skipped at first": [Step(".skip", b"hair"), Step(".png", right[0], removes=".skip")],
        "taken back": [
            Step(".png", right[0]),
            Step(".withdrawn", b"", removes=".png"),
            Step(".png", right[1], removes=".withdrawn"),
        ],
    }
    if prelabel is not None:
        manners["confirmed"] = [Step(".png", prelabel), Step(".confirmed", b"", after_note=True)]
        manners["confirmed too"] = manners["confirmed"]
    return chance.choice([*manners.values()])


@dataclass
class Desk:
    """Where annotators sit: they look at the outbox, and save into the inbox."""

    folder: Path
    truth: dict
    done: dict = field(default_factory=dict)  # steps by key and annotator
    notes: set = field(default_factory=set)  # of the answers that were refused

    def scripts(self):
        """By key and annotator all steps for the queries that were handed over whole."""
        found = {}
        for path in sorted(self.folder.glob("outbox/r*/query.json")):
            key, before = path.parent.name, path.with_name("prelabel.png")
            prelabel = before.read_bytes() if before.exists() else None
            truth = self.truth[key.rpartition("-")[2]]
            found.update({(key, name): script(key, name, truth, prelabel) for name in ANNOTATORS})
        return found

    def work(self):
        """Everybody takes the next step, unless they wait for a note."""
        for (key, annotator), steps in self.scripts().items():
            number = self.done.get((key, annotator), 0)
            place = self.folder / "inbox" / annotator
            note = place / f"{key}.refused.txt"
            if note.exists():
                self.notes.add((key, annotator))
            if number == len(steps) or (steps[number].after_note and not note.exists()):
                continue
            self._save(place, key, number, steps[number])
            self.done[key, annotator] = number + 1

    def _save(self, place, key, number, step):
        place.mkdir(parents=True, exist_ok=True)
        path = place / f"{key}{step.ending}"
        if step.half:
            path.write_bytes(step.content[: len(step.content) // 2])
            return
        hidden = place / f".{path.name}"
        hidden.write_bytes(step.content)
        os.utime(hidden, (BEGUN + 60 * number,) * 2)
        if step.removes:
            (place / f"{key}{step.removes}").unlink()
        hidden.replace(path)

    def settled(self, experiment):
        """Whether what everybody meant in the end is in the record."""
        found = {
            (standing.query.key, answer.annotator): answer.revision
            for standing in experiment.standings()
            for answer in standing.answers
            if answer.counts
        }
        scripts = self.scripts()
        meant = {name: (BEGUN + 60 * (len(steps) - 1)) * 10**9 for name, steps in scripts.items()}
        return found == meant


def oracle_of(experiment, folder):
    return FolderOracle(
        folder / "outbox",
        folder / "inbox",
        classes=experiment.spec,
        images=experiment.pool,
        prelabels=experiment.prelabels(),
        settle=SETTLE,
    )


def conduct(experiment, folder, truth, rounds, say, meanwhile):
    desk = Desk(folder, truth)
    while (number := len(experiment.history)) < rounds:
        asked = [entry for entry in Store(experiment.path).asked() if entry.query.round == number]
        if not asked:
            say("ask")
            experiment.ask(BATCH if number else START)
            continue
        if any(entry.sent_at is None for entry in asked):
            say("send")
            experiment.send(oracle_of(experiment, folder))
        while not desk.settled(experiment):
            meanwhile()
        say("fit")
        experiment.fit()


def play_undisturbed(folder, rounds, events):
    experiment, truth = world(folder / "r.db", "majority")
    desk = Desk(folder, truth)

    def meanwhile():
        desk.work()
        experiment.collect(FolderOracle(folder / "outbox", folder / "inbox", classes=experiment.spec, settle=SETTLE))

    conduct(experiment, folder, truth, rounds, lambda step: None, meanwhile)
    events.send(("end", None))


def lead(folder, rounds, life, events):
    def say(step):
        events.send((step, None))

    experiment, truth = world(folder / "r.db", "majority", report=lambda progress: say(progress.stage))
    conduct(experiment, folder, truth, rounds, say, pause)
    say("end")


def fetch(folder, rounds, life, events):
    experiment, _ = world(folder / "r.db", "majority")
    while len(experiment.history) < rounds:
        pause()
        if (folder / "inbox").is_dir():
            events.send(("collect", None))
            oracle = FolderOracle(folder / "outbox", folder / "inbox", classes=experiment.spec, settle=SETTLE)
            experiment.collect(oracle)
    events.send(("end", None))


def pause():
    time.sleep(0.02)


@pytest.mark.slow
def test_annotators_who_work_by_files_lose_nothing_when_the_processes_die(tmp_path):
    rounds, folders = 3, [tmp_path / "whole", tmp_path / "torn"]
    for folder in folders:
        folder.mkdir()
        make_world(folder)
    child, events = start(play_undisturbed, folders[0], rounds)
    with np.load(folders[1] / "world.npz") as images:
        truth = {f"{row:04}": mask for row, mask in enumerate(images["masks"])}
    desk = Desk(folders[1], truth)
    mortals = Mortals({"lead": lead, "one": fetch, "other": fetch}, (folders[1], rounds), 0).run(300, desk.work)
    child.join()
    events.close()
    assert child.exitcode == 0
    assert sum(mortals.deaths.values()) >= 5, mortals.deaths  # how many there are, a slow machine has a say in
    expected, found = (ending(folder / "r.db", "majority") for folder in folders)
    for ended in (expected, found):
        ended["states"] = [state[:3] for state in ended["states"]]
        ended["counting"] = effective(ended.pop("answers"))  # of a file saved twice, nobody may have seen the first
    for part in expected:
        assert found[part] == expected[part], part
    wrong = {name for name, steps in desk.scripts().items() if any(step.after_note for step in steps)}
    assert desk.notes == wrong != set()
    assert_the_same_folder_twice_changes_nothing(folders[1])


def effective(answers):
    """Those of the latest revision."""
    last = {answer[:2]: answer for answer in answers if answer[3] != "invalid"}
    return sorted(last.values())


def assert_the_same_folder_twice_changes_nothing(folder):
    experiment, truth = world(folder / "r.db", "majority")
    answers = experiment.answers()
    for _ in range(2):
        oracle = FolderOracle(folder / "outbox", folder / "inbox", classes=experiment.spec, settle=SETTLE)
        receipt = experiment.collect(oracle)
        assert (receipt.taken, receipt.refused) == ((), ())
        assert len(receipt.unchanged) == len(Desk(folder, truth).scripts())
    assert experiment.answers() == answers
    assert not list(folder.glob("inbox/*/*.refused.txt"))
