"""A call that records several settings records all of them or none, whenever it is killed and whatever is wrong."""

import shutil
from dataclasses import replace
from itertools import count

import pytest
from commandline import alkit as command
from parts import MeanLearner
from PIL import Image

import alkit
from alkit.errors import ConfigurationError
from alkit.record import Store
from alkit.record.database import Database
from alkit.values import People


class Killed(BaseException):
    """What ends a process."""


def killing(patch, after):
    """Kill this process before its next write of rows, after some of them."""
    numbers, work = count(), Database._count

    def counted(self, *args, **kwargs):
        if next(numbers) >= after:
            raise Killed
        return work(self, *args, **kwargs)

    patch.setattr(Database, "_count", counted)


def facts_of(path):
    """Return the facts of a record, but for those that are drawn or measured each time."""
    store = Store(path)
    facts = {name: store.fact(name) for name in store.names() if name not in ("campaign", "rehearsed")}
    for draw in (facts.get("audit") or {"draws": []})["draws"]:
        draw["at"] = ""
    for entry in facts.get("changes") or []:
        entry["at"] = ""
    store.close()
    return facts


def killed_at_any_write(monkeypatch, work, before=None):
    """Yield each record whose change by `work` was killed at one of its writes.

    Parameters
    ----------
    before:
        Record of which a copy is changed; None for a new record.
    """
    for after in count(0, 3):
        path = f"{after}.db"
        for end in ("", ".journal") if before else ():
            shutil.copy(f"{before}{end}", f"{path}{end}")
        with monkeypatch.context() as patch:
            killing(patch, after)
            try:
                assert work(path) in (0, None)
                return
            except Killed:
                pass
        yield path


def test_a_record_whose_creation_is_killed_has_all_settings_or_none(world, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
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
        replace(world, pool=pool).experiment(learner=MeanLearner(), store=path, **more)

    create("whole.db")
    whole, empty = facts_of("whole.db"), 0
    for path in killed_at_any_write(monkeypatch, create):
        if (tmp_path / path).stat().st_size:
            assert facts_of(path).keys() == {"schema"}
            empty += 1
        create(path)
        assert facts_of(path) == whole
    assert empty > 3


def test_a_wrong_setting_that_is_found_last_leaves_a_new_record_without_settings(world, tmp_path):
    with pytest.raises(ConfigurationError, match="audit must be at most"):
        world.experiment(store=tmp_path / "a.db", audit=1000, classes=world.oracle.spec)
    assert facts_of(tmp_path / "a.db").keys() == {"schema"}
    world.experiment(store=tmp_path / "a.db", audit=2, keep="all", classes=world.oracle.spec)
    before = facts_of(tmp_path / "a.db")
    with pytest.raises(ConfigurationError, match="audit must be at most"):
        world.experiment(store=tmp_path / "a.db", audit=1000, learner=MeanLearner(), classes=world.oracle.spec)
    assert facts_of(tmp_path / "a.db") == before


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


def test_a_campaign_whose_start_is_killed_has_all_settings_or_none(folders, monkeypatch, capsys):
    tested = "--test-images tests --test-masks masks --instructions note.txt --disputes third --audit 2".split()

    def start(path):
        return command("start", path, *SMALL, *tested)

    assert start("whole.db") == 0
    empty = 0
    for path in killed_at_any_write(monkeypatch, start):
        if Store(path).fact("schema") is not None:
            assert facts_of(path).keys() == {"schema"}
            assert command("status", path) == 0
            assert f"  alkit start {path}" in capsys.readouterr().out
            empty += 1
    assert empty > 2
    assert start(path) == 0
    assert facts_of(path) == facts_of("whole.db")


def test_a_run_whose_creation_is_killed_has_all_settings_or_none(folders, monkeypatch):
    def run(path):
        plan = "--masks masks --start 3 --batch 2 --rounds 0"
        return command("run", *SMALL, *plan.split(), "--store", path)

    assert run("whole.db") == 0
    names = {"declared", "options", "configuration", "threads"}
    for path in killed_at_any_write(monkeypatch, run):
        if Store(path).fact("classes") is not None:
            break
        assert not names & facts_of(path).keys() or names <= facts_of(path).keys()
    assert run(path) == 0
    assert [facts_of(path)[name] for name in names] == [facts_of("whole.db")[name] for name in names]


RULES = " --never 1 --audit 2 --keep all --disputes third --people ann,ben"

AGAIN = {
    "other settings": "start {} " + " ".join(SMALL).replace("lesion", "mole") + RULES,
    "other rules": "start {} " + " ".join(SMALL) + RULES + " --instructions note.txt",
    "change at any time": "change {} --metrics iou --instructions note.txt" + RULES,
    "change of the learner": "change {} --widths 4,4 --size 8",
    "words only": "change {} --keep best --instructions note.txt",
}


@pytest.mark.parametrize("again", AGAIN)
def test_settings_that_are_changed_by_one_command_are_all_changed_or_none(again, folders, monkeypatch):
    def work(path):
        return command(*AGAIN[again].format(path).split())

    assert command("start", "former.db", *SMALL) == 0
    for end in ("", ".journal"):
        shutil.copy(f"former.db{end}", f"whole.db{end}")
    assert work("whole.db") == 0
    former, whole, found = facts_of("former.db"), facts_of("whole.db"), 0
    assert former != whole
    for path in killed_at_any_write(monkeypatch, work, "former.db"):
        assert facts_of(path) == former
        found += 1
    assert found
    assert work(path) == 0
    assert facts_of(path) == whole
