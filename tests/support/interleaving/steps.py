"""The steps: everything that reads or writes a record, through Python and by commands.

Each opens the record, as the process of a command does, and returns what its caller is told.
"""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

import alkit
from alkit.record.check import check
from alkit.record.repairing import repair
from alkit.values import Disputes, People, SelectionRules, Skip, Withdrawal

from .parts import Briefer
from .worlds import IDS, MASKS, NEW, RefusedError, World, mask


@dataclass(frozen=True)
class Step:
    """A step.

    Parameters
    ----------
    scenes:
        The scenes in which it can be taken.
    removes:
        The role of the image that it removes.
    tells:
        Whether what it says is about one moment. Commands that change a record also say what is open after that, files
        that two processes read are new to one of them, and a repair of a copy cannot know whether a change follows.
    """

    do: Callable[[World], Any]
    scenes: tuple[str, ...]
    removes: str = ""
    tells: bool = True


LONG_AGO = 1_700_000_000  # seconds since 1970: a file from then is at rest

ALL = ("masks", "classes", "new")
BEGUN = ("masks", "classes")
STEPS: dict[str, Step] = {}


def step(name: str, *scenes: str, tells: bool = True) -> Callable[[Callable[[World], Any]], Callable[[World], Any]]:
    def keep(do: Callable[[World], Any]) -> Callable[[World], Any]:
        STEPS[name] = Step(do, scenes or ALL, tells=tells)
        return do

    return keep


def with_experiment(name: str, *scenes: str, removes: str = "") -> Callable[[Callable[..., Any]], None]:
    """Make a step of a function of the world and its experiment."""

    def keep(do: Callable[[World, alkit.Experiment], Any]) -> None:
        def opened(world: World) -> Any:
            with world.opened() as experiment:
                return do(world, experiment)

        STEPS[name] = Step(opened, scenes or ALL, removes)

    return keep


def command(name: str, *words: str | Callable[[World], object], scenes: tuple[str, ...] = ALL, then: str = "") -> None:
    """Make a step of a command; it is the step `then`, or has the name of the command."""

    def do(world: World) -> Any:
        more = [word(world) if callable(word) else word for word in words]
        return world.run(name, world.store, *more)

    full = then or f"alkit {' '.join([name, *(word for word in words if isinstance(word, str))])}"
    STEPS[full] = Step(do, scenes, tells=name in ("status", "check", "export"))


def receipt(found: alkit.values.Receipt) -> Any:
    """Return what a receipt says."""
    lists = {name: [one.id for one in getattr(found, name)] for name in ("taken", "unchanged", "outdated")}
    return {**lists, "refused": [(one.id, why) for one, why in found.refused]}


def role(name: str) -> Callable[[World], str]:
    return lambda world: world.roles[name]


# Asking.


@with_experiment("ask", "new")
def _(world: World, one: alkit.Experiment) -> Any:
    return one.ask(2)


@with_experiment("top_up")
def _(world: World, one: alkit.Experiment) -> Any:
    return one.top_up(3)


@with_experiment("review", *BEGUN)
def _(world: World, one: alkit.Experiment) -> Any:
    return one.review(2, random=1, folds=2, by="ben")


@with_experiment("label_quality", *BEGUN)
def _(world: World, one: alkit.Experiment) -> Any:
    return dict(one.label_quality(2))


@with_experiment("send")
def _(world: World, one: alkit.Experiment) -> Any:
    return [query.id for query in one.send(world.oracle(one))]


@with_experiment("prelabels", "masks")
def _(world: World, one: alkit.Experiment) -> Any:
    return {id: label.tolist() for id, label in one.prelabels().items()}


# Answers.


def tell(name: str, which: str, *scenes: str, by: str = "", **more: Any) -> None:
    @with_experiment(name, *scenes)
    def _(world: World, one: alkit.Experiment) -> Any:
        id = world.roles[which]
        return one.tell({id: world.label(id, 7)}, annotator=f"who-{id}{by}", **more)


tell("tell an answer", "open", *BEGUN, by="-7")
tell("tell another answer", "trained", *BEGUN, revise=True)
tell("tell nobody asked", "free", unasked=True, source="elsewhere")


@with_experiment("tell to a review", "masks")
def _(world: World, one: alkit.Experiment) -> Any:
    id = world.roles["reviewed"]
    return one.tell({id: mask(id, 5)}, annotator="ben")


@with_experiment("receive", *BEGUN)
def _(world: World, one: alkit.Experiment) -> Any:
    ids = [world.roles[name] for name in ("open", "trained")]
    answers = [alkit.Answer(id, world.label(id, 9), f"who-{id}-3") for id in ids]
    wrong = alkit.Answer(ids[0], np.zeros((1, 2, 3), np.uint8), f"who-{ids[0]}-4")
    return receipt(one.receive([*answers, wrong]))


@with_experiment("receive a skip and a withdrawal", *BEGUN)
def _(world: World, one: alkit.Experiment) -> Any:
    answered, id = world.roles["trained"], world.roles["open"]
    skip = alkit.Answer(id, Skip(f"why-{id}"), f"who-{id}")
    return receipt(one.receive([skip, alkit.Answer(answered, Withdrawal(f"why-{answered}"), f"who-{answered}")]))


@with_experiment("skip a review", "masks")
def _(world: World, one: alkit.Experiment) -> Any:
    id = world.roles["reviewed"]
    return receipt(one.receive([alkit.Answer(id, Skip(f"why-{id}"), f"who-{id}-9")]))


@with_experiment("dispute", "masks")
def _(world: World, one: alkit.Experiment) -> Any:
    id = world.roles["open"]
    return one.tell({id: 1 - mask(id)}, annotator="ann")


@step("collect", *BEGUN, tells=False)
def _(world: World) -> Any:
    with world.opened() as one:
        oracle = world.oracle(one)
        queries = [*one.queries()]
        for query in queries[:2]:
            path = world.root / "exchange" / f"who-{query.id}" / f"{query.key}.skip"
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(f"why-{query.id}")
            os.utime(path, (LONG_AGO, LONG_AGO))
        return receipt(one.collect(oracle))


@with_experiment("reject", *BEGUN)
def _(world: World, one: alkit.Experiment) -> Any:
    id = world.roles["trained"]
    return one.reject(id, f"why-{id} again")


@with_experiment("withdraw all", *BEGUN)
def _(world: World, one: alkit.Experiment) -> Any:
    return one.withdraw()


@with_experiment("withdraw one", *BEGUN)
def _(world: World, one: alkit.Experiment) -> Any:
    return one.withdraw([world.roles["open"]])


# People.


@with_experiment("assign", *BEGUN)
def _(world: World, one: alkit.Experiment) -> Any:
    id = world.roles["open"]
    return [query.assigned for query in one.assign([id], [f"who-{id}-5"], annotators=2, days=2)]


@with_experiment("assign one with an answer", *BEGUN)
def _(world: World, one: alkit.Experiment) -> Any:
    id = world.roles["trained"]
    return [query.assigned for query in one.assign([id], [f"who-{id}-6"], annotators=3)]


@step("hand on", "masks")
def _(world: World) -> Any:
    from datetime import UTC, datetime

    from alkit.record.assigning import hand_on

    with world.record() as store:
        return [(one.query.id, one.before, one.after) for one in hand_on(store, datetime(2099, 1, 1, tzinfo=UTC))]


for how in ("third", "ignore"):

    @with_experiment(f"decide disputes: {how}", "masks")
    def _(world: World, one: alkit.Experiment, how: Any = how) -> Any:
        return one.decide_disputes(Disputes(how, below=0.9))


# Learning.


@with_experiment("fit", *BEGUN)
def _(world: World, one: alkit.Experiment) -> Any:
    found = one.fit(wait_for_answers=False)
    return found.round, found.n_labels, dict(found.metrics)


def test_set(world: World) -> Any:
    labels = {id: mask(id) for id in ("t0", "t1")}
    return world.pool("test"), alkit.MaskOracle(labels, classes=MASKS)


@with_experiment("fit with a test set", "masks")
def _(world: World, one: alkit.Experiment) -> Any:
    test, oracle = test_set(world)
    found = one.fit(test=test, oracle=oracle, wait_for_answers=False)
    return found.round, found.n_labels, dict(found.metrics)


@with_experiment("evaluate", "masks")
def _(world: World, one: alkit.Experiment) -> Any:
    return dict(one.evaluate(*test_set(world)))


@with_experiment("predict", "masks")
def _(world: World, one: alkit.Experiment) -> Any:
    return [[found.ids, float(np.asarray(found.probabilities).sum())] for found in one.predict(world.pool("test"))]


# Removal and growth.

for name in ("trained", "open", "free", "audit", "reviewed", "unasked", "rejected"):
    there = {"trained": BEGUN, "open": BEGUN, "free": ALL, "rejected": ("classes",)}.get(name, ("masks",))

    @with_experiment(f"remove {name}", *there, removes=name)
    def _(world: World, one: alkit.Experiment, name: str = name) -> Any:
        found = one.remove(world.roles[name], "consent withdrawn")
        return found.answers, [query.id for query in found.queries], found.trained, found.last_model


def grown(world: World) -> alkit.ImagePool:
    """Return the pool after new images were saved in its folder."""
    for id in NEW:
        shutil.copy(world.outside / "grown" / f"{id}.png", world.root / "images")
    return world.pool(groups=str(world.outside / "groups.csv"))


@with_experiment("grow")
def _(world: World, one: alkit.Experiment) -> Any:
    return one.grow(grown(world)).ids


@with_experiment("grow, clusters updated", "masks")
def _(world: World, one: alkit.Experiment) -> Any:
    return one.grow(grown(world), clusters="update").ids


# Opening with other settings, as a script does.


def script(name: str, *scenes: str, of: Callable[[World], dict[str, Any]]) -> None:
    @step(f"open {name}", *scenes)
    def _(world: World) -> Any:
        more = of(world)
        if "masks" in scenes:
            more = {"annotators": 2, "join": "majority", "hold_out": 0.25, "stop_set": 2, **more}
        one = world.create(**more)
        try:
            return len(one.pool.ids)
        finally:
            one._parts.store.close()


KINDS = {id: f"kind-{id} again" for id in (*IDS, "t0", "t1")}
for scene in ALL:
    script(f"as it is ({scene})", scene, of=lambda world: {})
    script(
        f"with other groups ({scene})",
        scene,
        of=lambda world: {"pool": world.pool(groups={id: f"patient-{id} again" for id in IDS})},
    )
script("with other kinds (masks)", "masks", of=lambda world: {"metrics": [alkit.evaluation.PerGroup("dice", KINDS)]})
script("with another metric (new)", "new", of=lambda world: {"metrics": ["iou"]})
script("with people (masks)", "masks", of=lambda world: {"people": People({"ann": 1, "cid": 1}, days=9)})
script("with people (new)", "new", of=lambda world: {"people": People({"ann": 1, "cid": 1}, days=9)})
script("with rules (classes)", "classes", of=lambda world: {"rules": SelectionRules(never=(IDS[1],))})
script("with an audit set (new)", "new", of=lambda world: {"audit": 3})
script("with a larger audit set (masks)", "masks", of=lambda world: {"audit": 3})
script("with keep (masks)", "masks", of=lambda world: {"keep": "last"})
script("with another learner (classes)", "classes", of=lambda world: {"learner": Briefer(), "change": True})
script("with another learner (new)", "new", of=lambda world: {"learner": Briefer()})
script("at another size (classes)", "classes", of=lambda world: {"pool": world.pool(size=4), "change": True})
script("at another size (new)", "new", of=lambda world: {"pool": world.pool(size=4)})


# Commands.

command("change", "--people", "ann=1,dan=3", scenes=("masks", "new"))
command("change", "--deadline", "5", scenes=("masks", "new"))
command("change", "--never", IDS[2])
command("change", "--max-per-group", "3")
command("change", "--disputes", "ignore", scenes=("masks",))
command("change", "--dispute-below", "0.5", scenes=("masks",))
command("change", "--keep", "best", scenes=("masks",))
command("change", "--audit", "3", scenes=("masks", "new"))
command("change", "--groups", lambda world: world.outside / "other-groups.csv", then="alkit change --groups")
command("change", "--kinds", "kind", scenes=("masks", "new"))
command(
    "change", "--instructions", lambda world: world.outside / "instructions.txt", then="alkit change --instructions"
)
command("change", "--metrics", "iou,dice", scenes=("masks", "new"))
command("ask", "-n", "4")
command("tell", "--json", scenes=BEGUN)
command("fit", scenes=BEGUN)
command("review", "-n", "1", scenes=BEGUN)
command("assign", role("open"), "--to", "cid", scenes=BEGUN, then="alkit assign")
command("withdraw", scenes=BEGUN)
command("reject", role("trained"), "--reason", "sloppy", scenes=BEGUN, then="alkit reject")
command("remove", role("open"), "--reason", "consent withdrawn", scenes=BEGUN, then="alkit remove")
STEPS["alkit remove"] = replace(STEPS["alkit remove"], removes="open")


@step("alkit status --json")
def _(world: World) -> Any:
    said = world.run("status", world.store, "--json")
    if "not_compared" in said:  # it says why
        raise RefusedError("labels could not be read")
    return said


command("check")
command("page", "--out", lambda world: world.root / "page.html", then="alkit page")
command("export", "--labels", "masks", "--out", lambda world: world.out, scenes=("masks",), then="alkit export")


@step("alkit add")
def _(world: World) -> Any:
    grown(world)
    return world.run("add", world.store, "--images", world.root / "images", "--groups", world.outside / "groups.csv")


# Reading.


@with_experiment("export", *BEGUN)
def _(world: World, one: alkit.Experiment) -> Any:
    one.export_labels(world.out, "csv", per_annotator=True)
    return sorted((path.name, path.read_bytes().hex()) for path in world.out.rglob("*.png")), _table(world)


def _table(world: World) -> list[Any]:
    return [{k: v for k, v in row.items() if "at" not in k} for row in _rows(world.out.rglob("manifest.json"))]


def _rows(paths: Iterable[Any]) -> list[dict[str, Any]]:
    return [row for path in paths for row in json.loads(path.read_text()).get("labels", [])]


for name, look in {
    "standings": lambda one: [(entry.query.id, str(entry.state), entry.missing) for entry in one.standings()],
    "agreement": lambda one: str(one.agreement()),
    "reviews": lambda one: [(found.id, found.outcome, found.first) for found in one.reviews()],
    "doubts": lambda one: [(found.id, found.annotator) for found in one.doubts()],
}.items():

    @with_experiment(name, "masks")
    def _(world: World, one: alkit.Experiment, look: Callable[[alkit.Experiment], Any] = look) -> Any:
        return look(one)


@step("check")
def _(world: World) -> Any:
    with world.record(read_only=True) as store:
        found = check(world.store, files=store.contents)
    return found.damage, found.damaged_backups


@step("repair a copy", tells=False)
def _(world: World) -> Any:
    new = world.root / "copy" / "new.db"
    found = repair(world.store, new)
    return found.lost, found.unknown
