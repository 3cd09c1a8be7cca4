"""A record whose creation was killed lacks settings. Every call says so until the same call completes it."""

import shutil
from contextlib import suppress
from dataclasses import replace
from itertools import count

import pytest
from commandline import alkit as command
from parts import MeanLearner
from PIL import Image

import alkit
from alkit.errors import StoreError
from alkit.record import Store
from alkit.record.begun import BEGUN
from alkit.record.database import Database
from alkit.values import People


class Killed(BaseException):
    """What ends a process."""


def killing(patch, after):
    """Kill this process when it begins its next transaction, after some of them."""
    numbers, work = count(), Database.transaction

    def transaction(self, *args, **kwargs):
        if next(numbers) >= after:
            raise Killed
        return work(self, *args, **kwargs)

    patch.setattr(Database, "transaction", transaction)


def facts_of(path):
    """Return the facts of a record, but for those that are drawn or measured each time."""
    store = Store(path)
    facts = {name: store.fact(name) for name in store.names() if name not in ("campaign", "rehearsed")}
    for draw in (facts.get("audit") or {"draws": []})["draws"]:
        draw["at"] = ""
    return facts


def test_a_record_whose_creation_was_killed_at_any_transaction_says_so_until_it_is_complete(
    world, tmp_path, monkeypatch
):
    groups = {id: str(number // 2) for number, id in enumerate(world.pool.ids)}
    pool = alkit.ArrayPool(world.pool.read(world.pool.ids), world.pool.ids, groups=groups)
    more = {
        "rules": alkit.SelectionRules(max_per_group=1),
        "people": People({"ann": 1, "bob": 2}),
        "metrics": ["dice"],
        "keep": "best",
        "audit": 2,
        "hold_out": 0.25,
        "classes": world.oracle.spec,
    }

    def create(path):
        return replace(world, pool=pool).experiment(learner=MeanLearner(), store=path, **more)

    create(tmp_path / "whole.db")
    whole, seen = facts_of(tmp_path / "whole.db"), 0
    for after in count(1):
        path = tmp_path / f"{after}.db"
        with monkeypatch.context() as patch:
            killing(patch, after)
            try:
                create(path)
                break
            except Killed:
                pass
        if Store(path).fact("configuration") is not None:
            seen += 1
            with pytest.raises(StoreError, match=r"begun by Experiment\(.*Try: the same call again"):
                alkit.Experiment.open(path)
        create(path)
        assert facts_of(path) == whole
        alkit.Experiment.open(path, pool=pool, learner=world.learner)
    assert seen > 5


@pytest.fixture
def folders(tmp_path, monkeypatch):
    """Be in a folder with images, images of a test set, and their masks."""
    monkeypatch.chdir(tmp_path)
    images, masks = alkit.synthetic.lesions(12, size=16)
    for name in ("images", "tests", "masks"):
        (tmp_path / name).mkdir()
    for number, (image, mask) in enumerate(zip(images, masks, strict=True)):
        Image.fromarray(image[0]).save(tmp_path / ("images" if number < 9 else "tests") / f"{number}.png")
        Image.fromarray(mask * 255).save(tmp_path / f"masks/{number}.png")
    (tmp_path / "note.txt").write_text("Draw the border.")


SMALL = (
    "--images images --classes skin,lesion --size 16 --grayscale --strategy random --widths 2,4 --epochs 1,1".split()
)


def killed_at_any_transaction(monkeypatch, work):
    """Yield each record whose creation by `work` was killed while the record says that it was begun."""
    for after in count(1):
        path = f"{after}.db"
        with monkeypatch.context() as patch:
            killing(patch, after)
            try:
                assert work(path) == 0
                return
            except Killed:
                pass
        if Store(path).fact(BEGUN) is not None:
            yield path
        elif Store(path).fact("configuration") is not None:
            return


def test_a_campaign_whose_start_was_killed_at_any_transaction_says_so_until_it_is_complete(
    folders, monkeypatch, capsys
):
    tested = "--test-images tests --test-masks masks --instructions note.txt --disputes third".split()

    def start(path):
        return command("start", path, *SMALL, *tested)

    assert start("whole.db") == 0
    found = []
    for path in killed_at_any_transaction(monkeypatch, start):
        found.append(path)
        assert (command("ask", path, "-n", "2"), command("status", path)) == (1, 0)
        said = capsys.readouterr()
        assert "begun by alkit start" in said.err
        assert f"  alkit start {path}" in said.out
        with suppress(alkit.AlkitError):  # in Python, which does not know the test set and other options of the command
            pool = alkit.ImagePool("images", size=16)
            learner = alkit.testing.Brightness()
            alkit.Experiment(pool, learner, alkit.strategy("random"), classes=("skin", "lesion"), store=path)
        assert Store(path).fact(BEGUN) == "alkit start"
        assert start(path) == 0
        assert facts_of(path) == facts_of("whole.db")
    assert len(found) > 4


def test_a_run_whose_creation_was_killed_at_any_transaction_is_completed_by_the_same_run(folders, monkeypatch):
    def run(path):
        plan = "--masks masks --start 3 --batch 2 --rounds 0"
        return command("run", *SMALL, *plan.split(), "--store", path)

    assert run("whole.db") == 0
    found = []
    for path in killed_at_any_transaction(monkeypatch, run):
        found.append(path)
        assert run(path) == 0
        names = ("declared", "options", "configuration")
        assert [facts_of(path)[name] for name in names] == [facts_of("whole.db")[name] for name in names]
    assert len(found) > 2


def test_a_campaign_that_is_started_again_with_other_options_is_never_half_of_both(folders, monkeypatch):
    def again(path):
        more = "--classes skin,mole --never 1 --audit 2 --keep all --disputes third --people ann,ben"
        return command("start", path, *SMALL, *more.split())

    assert command("start", "former.db", *SMALL) == 0
    shutil.copy("former.db", "whole.db")
    shutil.copy("former.db.journal", "whole.db.journal")
    assert again("whole.db") == 0
    found = []
    for after in count(1):
        path = f"{after}.db"
        shutil.copy("former.db", path)
        shutil.copy("former.db.journal", f"{path}.journal")
        with monkeypatch.context() as patch:
            killing(patch, after)
            try:
                assert again(path) == 0
                break
            except Killed:
                pass
        if Store(path).fact(BEGUN) is None:
            assert facts_of(path) in (facts_of("former.db"), facts_of("whole.db"))
        else:
            found.append(path)
        assert again(path) == 0
        assert facts_of(path) == facts_of("whole.db")
    assert len(found) > 3
