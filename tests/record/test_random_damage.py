"""Random damage to the files of random campaigns: nothing is lost silently, and nothing that was taken back returns."""

import json
import random
import shutil
import sqlite3
import tempfile
from contextlib import closing
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path

import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

import alkit
from alkit.record import Recorded, Store
from alkit.record.repairing import repair

pytestmark = pytest.mark.sqlite

HISTORIES = 12
FEW = settings(
    max_examples=40,
    deadline=None,
    derandomize=True,
    suppress_health_check=list(HealthCheck),
    phases=[Phase.generate],
    database=None,
)
"""Examples are not shrunk: each is a copy of files on disk."""


@dataclass
class Campaign:
    """A record on disk, and what it said after each step."""

    folder: tempfile.TemporaryDirectory
    journal: bytes
    sizes: list[int] = field(default_factory=list)  # of the journal after each step
    counted: list[set] = field(default_factory=list)  # keys of the answers that counted after each step
    withdrawn: list[set] = field(default_factory=list)
    answers: dict = field(default_factory=dict)  # by number, at the end
    rounds: int = 0

    def taken_back(self, left):
        """Return the answers that were taken back by lines that the journal still has, damaged or not."""
        return {
            key
            for step, (before, after) in enumerate(zip(self.counted, self.counted[1:], strict=False), 1)
            for key in before - after
            if self.sizes[step] <= left
        }

    def withdrawn_by(self, left):
        return {
            key
            for step, (before, after) in enumerate(zip(self.withdrawn, self.withdrawn[1:], strict=False), 1)
            for key in after - before
            if self.sizes[step] <= left
        }


def counted(store):
    return {(one.id, one.annotator, one.revision) for own in store.snapshot().known.values() for one in own.counted}


def withdrawn(store):
    return {(entry.query.round, entry.query.rank) for entry in store.asked() if entry.withdrawn}


@cache
def campaign(seed):
    """Run a random campaign, and copy its files while another process has the database open, or after it closed."""
    chance, folder = random.Random(seed), tempfile.TemporaryDirectory()
    store = Store(Path(folder.name) / "live" / "r.db")
    found = Campaign(folder, b"")
    keeper = sqlite3.connect(":memory:")
    steps, ids, round, rank = chance.randint(8, 25), [f"image {n}" for n in range(40)], 0, 0
    close_from = chance.choice([None, *range(steps)])  # from then on, everything is in the write-ahead log only
    store.declare({"seed": seed, "clusters of 3 by it": store.keep(b"clusters", ".npz")})

    def ask():
        nonlocal rank
        new = [alkit.Query(ids.pop(), round, rank + n, ((4, 4),), wanted=chance.choice([1, 1, 2])) for n in range(3)]
        rank += 3
        store.add_queries(new)

    def answer(known=None):
        asked = [entry.query.id for entry in store.asked()]
        for id in chance.sample(asked, min(len(asked), chance.randint(1, 3))):
            kind = chance.choice(["label"] * 5 + ["skip", "withdrawal", "invalid"])
            file = store.keep(b"%d" % chance.randrange(9), ".txt") if kind == "label" else None
            by, number = chance.choice(["ann", "ben"]), len(store.answers()) + 1
            new = Recorded(id, by, number, kind, file, reason="" if kind == "label" else "a reason")
            store.add_answers({id}, lambda asked, known, new=new: [new], sent=chance.random() < 0.5)
            note()  # each answer is a transaction, and a journal may be cut between two of them

    def reject():
        there = [one.number for own in store.snapshot().known.values() for one in own.counted]
        store.reject(chance.sample(there, min(len(there), 2)), "not good")

    def withdraw():
        still = [entry.query.id for entry in store.snapshot().open]
        store.withdraw(chance.sample(still, min(len(still), 2)))

    def fit():
        nonlocal round, rank
        numbers = [one.number for own in store.snapshot().known.values() for one in own.counted]
        store.commit_round(alkit.RoundResult(round, (), len(numbers)), b"weights %d" % round, "stamp", numbers)
        round, rank = round + 1, 0

    def note():
        found.sizes.append(store.database.journal.path.stat().st_size)
        found.counted.append(counted(store))
        found.withdrawn.append(withdrawn(store))

    note()
    ask()
    note()
    for step in range(steps):
        if step == close_from:
            keeper = sqlite3.connect(store.path)
            keeper.execute("SELECT count(*) FROM answers").fetchone()
        chance.choice([ask, answer, answer, answer, reject, withdraw, fit] if len(ids) > 3 else [answer, reject])()
        note()
    found.answers = {one.number: one for one in store.answers()}
    found.rounds = len(store.rounds())
    found.journal = store.database.journal.path.read_bytes()
    shutil.copytree(store.path.parent, Path(folder.name) / "copy")
    with closing(keeper):
        store.close()
    return found


@dataclass(frozen=True)
class Damage:
    file: float  # which of the files
    place: float
    length: int
    kind: str

    def apply(self, files):
        path = files[int(self.file * len(files))]
        if not path.exists():
            return
        content = bytearray(path.read_bytes())
        place = int(self.place * len(content))
        if self.kind == "delete":
            path.unlink()
        elif self.kind == "cut":
            path.write_bytes(content[:place])
        elif content:
            end = min(len(content), place + (1 if self.kind == "flip" else self.length))
            content[place:end] = (
                bytes(byte ^ 0x10 for byte in content[place:end]) if self.kind == "flip" else bytes(end - place)
            )
            path.write_bytes(content)


DAMAGES = st.lists(
    st.builds(
        Damage,
        st.floats(0, 1, exclude_max=True),
        st.floats(0, 1, exclude_max=True),
        st.integers(2, 5000),
        st.sampled_from(["delete", "cut", "flip", "flip", "zeros"]),
    ),
    min_size=1,
    max_size=4,
)


def files_of(record):
    """Return the files of a record; the database and its journal are hit as often as all others together."""
    others = [path for path in sorted(record.parent.rglob("*")) if path.is_file() and path.suffix != ".lock"]
    main = [record, record.with_name("r.db-wal"), record.with_name("r.db.journal")]
    return main * max(1, len(others) // 3) + others


def check_damage(seed, damages):
    whole = campaign(seed)
    with tempfile.TemporaryDirectory() as folder:
        shutil.copytree(Path(whole.folder.name) / "copy", Path(folder) / "copy")
        record = Path(folder) / "copy" / "r.db"
        files = files_of(record)
        for damage in damages:
            damage.apply(files)
        check_repair(whole, record, Path(folder) / "new.db")
        check_opening(whole, record)


def check_repair(whole, record, out):
    journal = record.with_name("r.db.journal")
    left = journal.read_bytes() if journal.exists() else b""
    before = {path: path.read_bytes() for path in record.parent.rglob("*") if path.is_file()}
    try:
        repaired = repair(record, out)
    except alkit.errors.StoreError:
        assert not intact_answers(whole, left)
        return
    assert before == {path: path.read_bytes() for path in record.parent.rglob("*") if path.is_file()}
    store = Store(out)
    numbers, now = {one.number for one in store.answers()}, counted(store)
    assert intact_answers(whole, left) <= numbers
    assert now <= set().union(*whole.counted)
    assert not now & whole.taken_back(len(left))
    assert not (whole.withdrawn_by(len(left)) - withdrawn(store)) & {(q.round, q.rank) for q in store.queries()}
    if not repaired.unknown:
        assert numbers == set(whole.answers)
        assert withdrawn(store) == whole.withdrawn[-1]
        lost = whole.counted[-1] - now
        assert now <= whole.counted[-1]
        for id, annotator, _ in lost:
            assert any(f"a label of {id!r} by {annotator!r}" in line for line in repaired.lost)
        assert len(store.rounds()) == whole.rounds or any("the model of round" in line for line in repaired.lost)
        assert store.fact("clusters of 3 by it") or any("clusters" in line for line in repaired.lost)
    store.close()


def intact_answers(whole, left):
    """Return the numbers of the answers whose lines of the journal are intact, in complete transactions."""
    theirs, found = set(left.split(b"\n")[:-1]), {}
    for line in whole.journal.split(b"\n")[:-1]:
        _, last, kind, *rest = json.loads(line[:-33])
        found.setdefault(last, []).append((line, rest[1][0] if (kind, rest[0]) == ("insert", "answers") else None))
    return {
        number
        for lines in found.values()
        for line, number in lines
        if number is not None and all(other in theirs for other, _ in lines)
    }


def check_opening(whole, record):
    """The record is as it was, or damage is noticed when the damaged part is read."""
    if not record.exists() or not record.stat().st_size:
        return  # a new record; its journal, if there is one, prevents that
    try:
        store = Store(record)
        answers, now = {one.number: one for one in store.answers()}, counted(store)
    except (alkit.errors.StoreError, alkit.errors.ResumeError):
        return
    left = record.with_name("r.db.journal").stat().st_size
    if left < len(whole.journal):  # cut in a line that the database does not have: it looks like a crash
        assert now == whole.counted[max(step for step, size in enumerate(whole.sizes) if size <= left)]
    else:
        assert (answers, now) == (whole.answers, whole.counted[-1])


@FEW
@given(st.integers(0, HISTORIES - 1), DAMAGES)
def test_damage_is_noticed_and_a_repair_proves_what_it_claims(seed, damages):
    check_damage(seed, damages)


@pytest.mark.slow
@settings(FEW, max_examples=2000)
@given(st.integers(0, 10 * HISTORIES - 1), DAMAGES)
def test_damage_is_noticed_and_a_repair_proves_what_it_claims_in_many_tries(seed, damages):
    check_damage(seed, damages)
