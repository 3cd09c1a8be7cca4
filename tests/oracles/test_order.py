"""An older answer never replaces a newer one silently, whatever the clocks and the times of files say."""

import os
import shutil
import time
from datetime import UTC, datetime
from unicodedata import normalize
from unittest.mock import patch

import numpy as np
import pytest
from parts import CLASSES
from PIL import Image

import alkit
from alkit import Answer
from alkit.oracles.folder import layout
from alkit.oracles.formats.coco import COCO
from alkit.oracles.formats.cvat import CVAT
from alkit.record import Store
from alkit.record.answers import Answers
from alkit.record.disputes import change_disputes
from alkit.record.label_files import LabelFiles
from alkit.record.settings import Settings
from alkit.values import SKIP, Invalid, Skip, Withdrawal

SECOND, DAY = 10**9, 86400 * 10**9
START = time.time_ns() // SECOND * SECOND - 10 * DAY


class Campaign:
    """A campaign with one query, and a clock of its own."""

    def __init__(self, world, tmp_path):
        self.experiment = world.experiment(tmp_path / "r.db", classes=CLASSES)
        (self.id,) = self.experiment.ask(1)
        self.query = self.experiment.queries()[0]
        self.time = START
        store = Store(tmp_path / "r.db")
        self.answers = Answers(store, Settings(store), LabelFiles(store), now=lambda: self.time)
        mask = world.masks[self.id]
        self.old, self.new, self.other = mask, np.roll(mask, 1), np.roll(mask, 2)

    def tell(self, label, revision, **facts):
        """Tell one answer; return how it was taken."""
        receipt = self.answers.receive([Answer(self.id, label, "ann", revision, **facts)])
        return next(name for name in ("taken", "unchanged", "outdated", "refused") if getattr(receipt, name))

    def why(self, label, revision, **facts):
        (refused,) = self.answers.receive([Answer(self.id, label, "ann", revision, **facts)]).refused
        return refused[1]

    @property
    def current(self):
        """The name of the label that counts."""
        (answer,) = self.answers.store.snapshot().known[self.id].counted
        found = self.answers.files.read(answer.label)
        return next(name for name in ("old", "new", "other") if np.array_equal(found, getattr(self, name)))

    @property
    def rows(self):
        return [answer for answer in self.answers.store.answers() if answer.kind != "invalid"]


@pytest.fixture
def campaign(world, tmp_path):
    return Campaign(world, tmp_path)


def test_a_revision_from_the_future_is_recorded_with_the_time_at_which_it_was_received(campaign):
    assert campaign.tell(campaign.old, START + 365 * DAY) == "taken"
    assert [answer.revision for answer in campaign.rows] == [START]
    campaign.time += 60 * SECOND
    assert campaign.tell(campaign.old, START + 365 * DAY) == "unchanged"  # the file is read again at each poll
    assert len(campaign.rows) == 1
    assert campaign.tell(campaign.new, START + 30 * SECOND) == "taken"  # by a clock that is right
    assert campaign.current == "new"
    campaign.time += 60 * SECOND
    assert campaign.tell(campaign.old, START + 365 * DAY) == "outdated"  # the first file is still there
    assert campaign.current == "new"
    assert len(campaign.rows) == 2


def test_corrections_by_a_clock_that_runs_ahead_count_in_the_order_of_their_arrival(campaign):
    for label in (campaign.old, campaign.new, campaign.other):
        assert campaign.tell(label, campaign.time + DAY) == "taken"
        campaign.time += SECOND
    assert campaign.current == "other"
    assert [answer.revision for answer in campaign.rows] == [START, START + SECOND, START + 2 * SECOND]


def test_an_invalid_answer_from_the_future_is_recorded_once_and_blocks_nothing(campaign):
    for _ in range(3):
        assert campaign.tell(Invalid("cut off"), START + DAY) == "refused"
        campaign.time += SECOND
    assert len(campaign.answers.store.answers()) == 1
    assert campaign.tell(campaign.new, START + 2 * SECOND) == "taken"
    (standing,) = campaign.experiment.standings()
    assert [answer.kind for answer in standing.answers] == ["label"]


@pytest.mark.parametrize("told", [START, START + 2000 * DAY], ids=["a right clock", "a wrong clock"])
def test_an_answer_that_is_recorded_with_a_future_time_does_not_block_a_correction(campaign, told, monkeypatch):
    at = datetime.fromtimestamp(told // SECOND, UTC).isoformat(timespec="seconds")
    monkeypatch.setattr("alkit.record.database.Database.now", lambda self, connection: at)
    campaign.time = START + 2000 * DAY  # as an earlier alkit recorded it, which did not know of this
    assert campaign.tell(campaign.old, START + 1999 * DAY) == "taken"
    campaign.time = START + 60 * SECOND
    assert campaign.tell(campaign.other, START - DAY) == ("outdated" if told == START else "taken")
    assert campaign.tell(campaign.new, START + 30 * SECOND) == "taken"
    assert campaign.current == "new"


def test_counters_are_not_times(campaign):
    assert campaign.tell(campaign.old, 2) == "taken"
    assert campaign.tell(campaign.new, 5) == "taken"
    assert campaign.tell(campaign.old, 7) == "taken"
    assert [answer.revision for answer in campaign.rows] == [2, 5, 7]
    assert "is recorded with another answer" in campaign.why(campaign.new, 7)


def test_two_different_labels_with_the_same_time_count_in_the_order_of_their_arrival(campaign):
    at = START - DAY
    assert campaign.tell(campaign.old, at) == "taken"
    assert campaign.tell(campaign.new, at) == "taken"  # a program that keeps the time of the file it replaces
    for _ in range(2):
        assert campaign.tell(campaign.new, at) == "unchanged"
        assert campaign.tell(campaign.old, at) == "outdated"
    assert campaign.current == "new"
    assert [answer.revision for answer in campaign.rows] == [at, at + 1]
    assert campaign.tell(campaign.other, at + SECOND) == "taken"
    assert campaign.tell(campaign.new, at) == "outdated"


def test_an_older_export_with_a_later_time_is_refused_until_it_is_confirmed(campaign):
    assert campaign.tell(campaign.old, START - 3 * DAY, exported=True) == "taken"
    assert campaign.tell(campaign.new, START - 2 * DAY) == "taken"
    assert (
        "has been corrected since, and is read again with a later time. Try: a file with the correction; or confirm"
        in (campaign.why(campaign.old, START - DAY, exported=True))
    )
    assert campaign.current == "new"
    assert len(campaign.answers.store.answers()) == 2
    assert campaign.tell(campaign.other, START - DAY, exported=True) == "taken"  # a further correction
    assert campaign.tell(campaign.old, START, exported=True, confirmed=True) == "taken"
    assert campaign.current == "old"


def test_an_older_export_is_refused_also_if_it_arrived_after_the_correction(campaign):
    assert campaign.tell(campaign.new, START - 2 * DAY) == "taken"
    assert campaign.tell(campaign.old, START - 3 * DAY, exported=True) == "outdated"
    assert "has been corrected since" in campaign.why(campaign.old, START - DAY, exported=True)
    assert campaign.current == "new"
    assert campaign.tell(campaign.old, START, exported=True, confirmed=True) == "taken"


@pytest.mark.parametrize("exported", [True, False], ids=["export", "mask"])
def test_a_label_in_a_copied_file_does_not_replace_that_of_another_annotator(campaign, exported):
    def counts():
        return campaign.answers.store.snapshot().known[campaign.id].labels[-1].annotator

    assert campaign.tell(campaign.old, START - 3 * DAY, exported=exported) == "taken"
    campaign.experiment.receive([Answer(campaign.id, campaign.new, "lead", START - 2 * DAY)])
    assert campaign.tell(campaign.old, START - DAY, exported=exported) == "unchanged"
    # People who correct pre-labels confirm all that they save, and all that they export.
    assert campaign.tell(campaign.old, START - DAY, exported=exported, confirmed=True) == "unchanged"
    assert counts() == "lead"
    campaign.experiment.reject(campaign.id, "wrong", "lead")
    assert counts() == "ann"


@pytest.mark.parametrize("places", [(0, 1), (1, 0)])
def test_answers_that_are_read_at_once_count_by_their_times_in_whatever_order_files_are_read(campaign, places):
    assert campaign.tell(campaign.old, START - 3 * DAY) == "taken"
    both = [
        Answer(campaign.id, campaign.old, "ann", START - DAY),
        Answer(campaign.id, campaign.new, "ann", START - 2 * DAY, exported=True),
    ]
    campaign.answers.receive([both[place] for place in places])
    assert campaign.current == "old"


@pytest.mark.parametrize("between", [Withdrawal(), "sent back"])
def test_a_label_counts_again_after_it_was_taken_back_or_the_correction_was_sent_back(campaign, between):
    assert campaign.tell(campaign.old, START - 3 * DAY, exported=True) == "taken"
    if between == "sent back":
        assert campaign.tell(campaign.new, START - 2 * DAY) == "taken"
        campaign.experiment.reject(campaign.id, "wrong")
    else:
        assert campaign.tell(between, START - 2 * DAY) == "taken"
    assert campaign.tell(campaign.old, START - DAY, exported=True) == "taken"


def test_a_skip_and_a_label_alternate(campaign):
    for at, label in enumerate([SKIP, campaign.old, SKIP, campaign.new]):
        assert campaign.tell(label, START - 9 * SECOND + at) == "taken"


@pytest.mark.parametrize("form", ["NFC", "NFD"])
def test_one_name_in_two_forms_of_unicode_is_one_person(campaign, form):
    first, second = (normalize(one, "Zoë") for one in (form, "NFD" if form == "NFC" else "NFC"))

    def receive(label, name, revision, **facts):
        return campaign.answers.receive([Answer(campaign.id, label, name, revision, **facts)])

    store = campaign.answers.store
    with patch("alkit.record.people.normalize", lambda form, name: name):  # as earlier versions recorded names
        receive(campaign.old, first, START - 3 * DAY)
    assert receive(campaign.new, second, START - 2 * DAY).taken
    assert campaign.current == "new"
    assert {answer.annotator for answer in campaign.rows} == {first}
    refused = Answer(campaign.id, campaign.old[:3], second, START - DAY)
    assert campaign.answers.receive([refused]).refused[0][0] is refused
    campaign.experiment.tell({campaign.id: campaign.other}, annotator=second, revise=True)
    assert {answer.annotator for answer in store.answers()} == {first}


def test_a_name_in_another_form_of_unicode_is_that_to_whom_a_query_is_assigned(campaign):
    campaign.experiment.assign([campaign.id], ["Zoë"])
    campaign.answers.receive([Answer(campaign.id, campaign.old, normalize("NFD", "Zoë"), START)])
    assert {answer.annotator for answer in campaign.rows} == {"Zoë"}


def test_a_name_in_another_form_of_unicode_is_that_of_the_senior(campaign):
    senior = normalize("NFD", "Zoë")
    change_disputes(campaign.answers.store, alkit.values.Disputes("senior", senior=senior))
    campaign.answers.receive([Answer(campaign.id, campaign.old, normalize("NFC", "Zoë"), START)])
    assert {answer.annotator for answer in campaign.rows} == {senior}


# Files.


@pytest.fixture
def exchange(campaign, world, tmp_path):
    """Return a function that reads the inbox, and the folder of an annotator in it."""
    outbox, ann = tmp_path / "outbox", tmp_path / "inbox" / "ann"
    ann.mkdir(parents=True)

    def poll():
        oracle = alkit.FolderOracle(
            outbox, tmp_path / "inbox", classes=CLASSES, images=world.pool, queries=[campaign.query], settle=0
        )
        campaign.time = time.time_ns()
        return campaign.answers.collect(oracle), oracle

    return poll, ann


@pytest.mark.parametrize("form", [COCO, CVAT], ids=["coco", "cvat"])
def test_an_export_that_is_copied_does_not_replace_a_correction(campaign, world, exchange, form, tmp_path):
    poll, ann = exchange
    spec = alkit.LabelSpec(CLASSES)

    def export(mask, name, days):
        (path,) = form.write(tmp_path / name, [campaign.query], world.pool, spec, {campaign.id: mask})
        os.utime(path, ns=(START - days * DAY,) * 2)
        return path

    first, second = export(campaign.old, "first", 3), export(campaign.new, "second", 2)
    place = ann / f"masks{form.suffix}"
    shutil.copy2(first, place)
    assert poll()[0].taken
    shutil.copy2(second, place)
    assert poll()[0].taken
    shutil.copy2(first, place)  # keeps its time
    assert poll()[0].outdated
    shutil.copyfile(first, place)  # has the time of now
    receipt, _ = poll()
    assert "has been corrected since" in receipt.refused[0][1]
    assert campaign.current == "new"
    assert "has been corrected since" in (ann / f"masks{form.suffix}.refused.txt").read_text()
    confirmation = ann / f"masks{form.suffix}.confirmed"
    confirmation.touch()
    assert poll()[0].taken
    assert campaign.current == "old"

    shutil.copyfile(second, place)  # a correction
    os.utime(place, ns=(time.time_ns(),) * 2)
    receipt, oracle = poll()
    assert "has been corrected since" in receipt.refused[0][1]
    assert "is newer, and this confirms an earlier version" in oracle.unread()[confirmation]
    confirmation.touch()
    receipt, oracle = poll()
    assert receipt.taken
    assert not oracle.unread()
    assert campaign.current == "new"

    shutil.copyfile(first, place)  # an earlier export replaces the confirmed file
    os.utime(place, ns=(time.time_ns(),) * 2)
    assert poll()[0].refused
    shutil.copy2(first, place)  # and keeps its time, which is before that of the confirmation
    assert poll()[0].outdated
    assert campaign.current == "new"


def test_a_skip_in_an_older_export_with_a_later_time_is_refused_until_it_is_confirmed(campaign):
    skip = Skip("marked 'unusable'")
    assert campaign.tell(skip, START - 3 * DAY, exported=True) == "taken"
    assert campaign.tell(campaign.new, START - 2 * DAY, exported=True) == "taken"
    why = campaign.why(skip, START - DAY, exported=True)
    assert "this skip of" in why
    assert "has been corrected since" in why
    assert campaign.current == "new"
    assert campaign.tell(skip, START, exported=True, confirmed=True) == "taken"


def test_a_cvat_file_counts_with_the_time_of_its_export(campaign, world, exchange, tmp_path):
    poll, ann = exchange
    (path,) = CVAT.write(
        tmp_path / "a", [campaign.query], world.pool, alkit.LabelSpec(CLASSES), {campaign.id: campaign.old}
    )
    text = path.read_text().replace("<meta>", "<meta><dumped>2026-01-02 03:04:05.678901+02:00</dumped>")
    (ann / "new copy.xml").write_text(text)
    assert poll()[0].taken
    assert campaign.rows[0].revision == 1_767_315_845_678_000_000
    assert campaign.tell(campaign.new, START) == "taken"
    assert poll()[0].outdated
    (ann / "new copy.xml").write_text(text.replace("+02:00", "").replace("2026", "not a time"))  # then that of the file
    assert poll()[0].refused


def test_a_mask_that_is_replaced_by_one_of_equal_size_and_time_is_read(campaign, exchange):
    poll, ann = exchange
    path = ann / f"{campaign.query.key}.png"
    at = (START - DAY,) * 2
    for mask in (campaign.old, campaign.new):
        Image.fromarray(mask.astype(np.uint8)).save(
            path, compress_level=0
        )  # so that all masks have the same number of bytes
        os.utime(path, ns=at)
        assert poll()[0].taken, mask
    assert campaign.current == "new"
    assert poll()[0].unchanged


def test_a_version_shows_a_change_within_one_tick_of_the_clock(tmp_path, monkeypatch):
    path = tmp_path / "a.png"
    path.write_bytes(b"one")
    facts = path.stat()
    now = facts.st_mtime_ns + SECOND
    before = layout.version_of(path, now)
    path.write_bytes(b"two")
    monkeypatch.setattr(type(path), "stat", lambda self: facts)  # as if both changes had the same times
    assert layout.version_of(path, now) != before
    assert layout.version_of(path, now + 2 * SECOND).digest == ""  # a file at rest is not read


def test_a_file_that_changes_while_it_is_read_has_the_earlier_time(campaign, world, tmp_path, monkeypatch):
    (path,) = COCO.write(
        tmp_path / "a", [campaign.query], world.pool, alkit.LabelSpec(CLASSES), {campaign.id: campaign.old}
    )
    os.utime(path, ns=(START, START))
    decode = COCO.decode

    def late(place, content):
        os.utime(path, ns=(START + DAY, START + DAY))
        return decode(place, content)

    slow = alkit.oracles.formats.format.Format(COCO.name, COCO.suffix, COCO.encode, late)
    (answer,) = slow.read(path, [campaign.query], alkit.LabelSpec(CLASSES))
    assert answer.revision == START
