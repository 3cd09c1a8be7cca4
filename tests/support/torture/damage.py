"""Damaged files: a bit flipped, a file cut off, deleted, or a block of it zeroed.

Each damage is done to a copy of a campaign, and judged by what a process meets that checks the record, opens it, and
goes on with the campaign to an end. A damage may be noticed, or change nothing; anything else is a fault.
"""

from __future__ import annotations

import logging
import os
import random
import shutil
import signal
import sqlite3
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from alkit.errors import AlkitError
from alkit.record.check import check
from alkit.record.repairing import repair

from . import campaign, child
from .campaign import STEPS, Play, World

Tell = Callable[[int, int, int], None]
"""Called with how much is done, of how much, and the number of faults."""

KINDS = ("flip", "cut", "delete", "zero")


@dataclass(frozen=True)
class Patient:
    """A campaign at some moment.

    Parameters
    ----------
    name:
        Its name.
    files:
        A copy of its folder.
    ahead:
        The steps that are left; each may be one that is done already, and then changes nothing.
    right:
        The state to which they lead without damage.
    answers:
        Names of all answers at this moment, and why each was sent back.
    """

    name: str
    files: Path
    ahead: tuple[campaign.Step, ...]
    right: dict[str, Any]
    answers: dict[tuple[str, str, int, str], str | None]


def ask_more(play: Play) -> None:
    if not play.ids(2):
        play.experiment.ask(3)


def tell_more(play: Play) -> None:
    play.experiment.tell({id: play.truth[id] for id in play.ids(2)}, annotator="ann")


FURTHER = (campaign.collect, ask_more, tell_more, campaign.fit, campaign.predict)
"""What is done after the end of the campaign."""


def patients(world: World, place: Path) -> list[Patient]:
    """Return a finished campaign, one with answers in the write-ahead log only, and one before a collection."""
    names, found = list(STEPS), []
    for name, last in (("finished", "predict"), ("log", "tell a better mask"), ("exchange", "annotate")):
        _clear(world.root)
        for step in names[: names.index(last) + 1]:
            if name == "log" and step == last:
                _leave_in_log(world, step)
            else:
                STEPS[step](Play(world))
        files = place / name
        shutil.copytree(world.root, files, symlinks=True)
        answers = campaign.names(world.store)
        ahead = (*(STEPS[step] for step in names[names.index(last) + 1 :]), *FURTHER)
        play = Play(world)
        for one in ahead:
            one(play)
        found.append(Patient(name, files, ahead, campaign.state(world), answers))
    return found


def _leave_in_log(world: World, step: str) -> None:
    """Take a step in a process that is killed, while another one reads, so that nobody empties the write-ahead log."""

    def take(say: child.Say) -> None:
        reader = sqlite3.connect(world.store)
        reader.execute("SELECT count(*) FROM answers").fetchall()
        STEPS[step](Play(world))
        os.kill(os.getpid(), signal.SIGKILL)

    outcome = child.run(take, folder=world.root)
    assert outcome.end == "killed", outcome
    log = world.store.with_name(f"{world.store.name}-wal")
    assert log.stat().st_size, "nothing is left in the write-ahead log"


def kind_of_file(path: str) -> str:
    """Return what a file of a campaign is, by its path below the campaign's folder."""
    name = path.rpartition("/")[2]
    for ending, kind in {
        "-wal": "write-ahead log", "-shm": "shared memory", ".journal": "journal", ".lock": "lock", "/lock": "lock",
        ".model": "model", ".npz": "clusters", "index.json": "index of the image cache",
        ".bin": "rows of the image cache",
    }.items():  # fmt: skip
        if path.endswith(ending):
            return kind
    if ".db.backups/" in path:
        return "backup"
    if ".db.files/" in path:
        return "mask"
    if path.startswith("exchange/"):
        return "exchange folder"
    if path.startswith("out/"):
        return "prediction"
    return "database" if name.endswith(".db") else "other"


SKIPPED = ("prediction",)
"""Files that alkit writes and never reads."""


def damage(path: Path, kind: str, chance: random.Random) -> str:
    """Damage a file and return what was done, or an empty text if nothing could be."""
    content = bytearray(path.read_bytes())
    if kind == "delete":
        path.unlink()
        return "deleted"
    if not content:
        return ""
    if kind == "flip":
        place, bit = chance.randrange(len(content)), chance.randrange(8)
        content[place] ^= 1 << bit
        what = f"bit {bit} of byte {place} flipped"
    elif kind == "cut":
        length = chance.choice([0, chance.randrange(len(content)), len(content) - 1])
        del content[length:]
        what = f"cut to {length} bytes"
    else:
        size = chance.choice([16, 512, 4096])
        place = chance.randrange(len(content)) // size * size
        old = bytes(content[place : place + size])
        content[place : place + size] = bytes(len(old))
        if not any(old):
            return ""
        what = f"bytes from {place} zeroed"
    facts = path.stat()
    path.write_bytes(content)
    os.utime(path, ns=(facts.st_atime_ns, facts.st_mtime_ns))  # as when a disk decays
    return what


@dataclass
class Verdict:
    """What a process met at a damaged campaign."""

    noticed: list[str] = field(default_factory=list)
    state: dict[str, Any] | None = None
    repaired: dict[tuple[str, str, int, str], str | None] | None = None
    lost: tuple[str, ...] = ()
    unrepaired: str = ""


class _Listener(logging.Handler):
    def __init__(self, heard: list[str]) -> None:
        super().__init__(logging.WARNING)
        self.heard = heard

    def emit(self, record: logging.LogRecord) -> None:
        self.heard.append(record.getMessage())


def examine(world: World, patient: Patient, in_record: bool, say: child.Say) -> Verdict:
    """Repair a damaged campaign into another place, check it, and go on with it."""
    verdict = Verdict()
    logging.disable(logging.NOTSET)
    logging.getLogger("alkit").addHandler(_Listener(verdict.noticed))
    if in_record:
        _repair(world, patient, verdict)
        del verdict.noticed[:]
    try:
        found = check(world.store) if world.store.is_file() else None
        verdict.noticed += [*found.damage, *found.damaged_backups] if found else [f"{world.store} does not exist"]
        if found is None:  # a command says so; Experiment would create another record
            return verdict
        play = Play(world)
        for step in patient.ahead:
            step(play)
        unread = play.oracle().unread()
        verdict.noticed += [f"{path}: {why}" for path, why in unread.items()]
        verdict.noticed += [f"{one.id}: {one.reason}" for one in play.experiment.answers() if one.kind == "invalid"][2:]
        verdict.state = campaign.state(world)
    except AlkitError as reason:
        verdict.noticed.append(f"{type(reason).__name__}: {reason}")
    return verdict


def _repair(world: World, patient: Patient, verdict: Verdict) -> None:
    out = world.root / "repaired" / "c.db"
    try:
        result = repair(world.store, out)
    except AlkitError as reason:
        verdict.unrepaired = str(reason)
        return
    verdict.lost = (*result.lost, *result.unknown)
    verdict.repaired = campaign.names(out)


@dataclass
class Tally:
    """What was damaged and what was found."""

    counts: Counter[str] = field(default_factory=Counter)
    results: Counter[str] = field(default_factory=Counter)
    faults: list[str] = field(default_factory=list)


def targets(patient: Patient) -> dict[str, list[str]]:
    """Return the files of a campaign by kind."""
    found: dict[str, list[str]] = {}
    for path in sorted(patient.files.rglob("*")):
        if path.is_file():
            name = str(path.relative_to(patient.files))
            unread = patient.name == "exchange" and name.startswith("exchange/inbox/")  # alkit cannot know them yet
            if (kind := kind_of_file(name)) not in SKIPPED and not unread:
                found.setdefault(kind, []).append(name)
    return found


IN_RECORD = ("database", "write-ahead log", "shared memory", "journal", "backup", "mask", "model", "clusters")


def plan(found: list[Patient], number: int, seed: int) -> Iterator[tuple[Patient, list[tuple[str, str, str]]]]:
    """Yield patients and damages, each of one file, or for one in ten of two: kind of file, file, kind of damage.

    Kinds of files take turns, so each is damaged about as often.
    """
    chance = random.Random(seed)
    turns = [(patient, kind) for patient in found for kind in targets(patient) if kind != "lock"]
    for place in range(number):
        patient, kind = turns[place % len(turns)]
        own = [(kind, chance.choice(targets(patient)[kind]), chance.choice(KINDS))]
        if place % 10 == 9:
            kind = chance.choice([kind for one, kind in turns if one is patient and kind in IN_RECORD])
            own.append((kind, chance.choice(targets(patient)[kind]), chance.choice(KINDS)))
        yield patient, own


def run(world: World, found: list[Patient], number: int, seed: int, share: tuple[int, int], tell: Tell) -> Tally:
    """Damage campaigns `number` times, and judge what alkit makes of it."""
    tally = Tally()
    for place, (patient, damages) in enumerate(plan(found, number, seed)):
        if place % share[1] != share[0]:
            continue
        _clear(world.root)
        shutil.rmtree(world.root)
        shutil.copytree(patient.files, world.root)
        chance, done = random.Random(f"{seed} {place}"), []
        for kind, file, how in damages:
            path = world.root / file
            what = path.is_file() and (damage(path, how, chance) or damage(path, "flip", chance))
            if what:
                done.append(f"{file} {what}")
                tally.counts[f"{kind}: {how}"] += 1
        in_record = any(kind in IN_RECORD for kind, _, _ in damages)
        outcome = child.run(examine, world, patient, in_record, folder=world.root)
        where = f"number {place} ({patient.name}): {' and '.join(done)}"
        tell(place, number, len(tally.faults))
        judge(patient, outcome, [kind for kind, _, _ in damages], len(done), where, tally)
    return tally


def judge(patient: Patient, outcome: child.Outcome, kinds: list[str], n: int, where: str, tally: Tally) -> None:
    """Count what became of a damage, and note whatever is a fault."""
    if outcome.end != "done":
        tally.faults.append(f"{where}: {outcome.end}: {outcome.value}")
        return
    verdict: Verdict = outcome.value
    # Files of the exchange folder are copies for people. What matters is what the record makes of them.
    different = [
        part
        for part in patient.right
        if (verdict.state or {}).get(part) != patient.right[part] and not part.startswith("exchange/")
    ]
    equal = not different
    result = "harmless" if equal and not verdict.noticed else "noticed" if verdict.noticed else "silent"
    tally.results[f"{kinds[0]}: {result}"] += 1
    if result == "silent":
        tally.faults.append(f"{where}: silent: {different[:4]} differ")
    if verdict.unrepaired:
        tally.results["not repaired, and said so"] += 1
        if n == 1:
            tally.faults.append(f"{where}: repair refuses: {verdict.unrepaired}")
    if verdict.repaired is None:
        return
    missing = patient.answers.keys() - verdict.repaired.keys()
    back = [name for name, why in patient.answers.items() if why and verdict.repaired.get(name, why) != why]
    if back:
        tally.faults.append(f"{where}: repair brought back what was rejected: {back}")
    if missing and not verdict.lost:
        tally.faults.append(f"{where}: repair lost {sorted(missing)} and says that nothing is lost")
    elif missing and n == 1 and kinds[0] != "mask":
        tally.faults.append(
            f"{where}: repair lost {sorted(missing)}, although one file only is damaged: {verdict.lost}"
        )
    tally.results["repaired, all answers" if not missing else "repaired, losses named"] += 1


def _clear(folder: Path) -> None:
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
