"""Small records on which the steps run: in the middle of a campaign of masks, before its first round, and new ones."""

from __future__ import annotations

import io
import os
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager, redirect_stderr, redirect_stdout
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

import alkit
from alkit.cli import main
from alkit.cli.named_places import check_images, check_place
from alkit.cli.places import Delivery, FolderPlace, save_place
from alkit.errors import AlkitError
from alkit.record import Store
from alkit.values import Disputes, People, Skip
from alkit_baselines.ssl_cluster import SSLCluster

from .parts import Brief, Last, Rows

SIDE = 8
IDS = [f"i{number}" for number in range(10)]
NEW = ["j0", "j1"]
MASKS = ("skin", "lesion")
CLASSES = ("benign", "malignant", "unclear")


class RefusedError(AlkitError):
    """A command ended with exit code 1 and a message, as it should."""


def draw(folder: Path) -> None:
    """Write the images of the pool, those of a later one, and those of a test set."""
    rng = np.random.default_rng(0)
    pixels = {id: rng.integers(256, size=(SIDE, SIDE), dtype=np.uint8) for id in (*IDS, *NEW, "t0", "t1")}
    for name, ids in (("images", IDS), ("grown", [*IDS, *NEW]), ("test", ["t0", "t1"])):
        (folder / name).mkdir(parents=True)
        for id in ids:
            Image.fromarray(pixels[id]).save(folder / name / f"{id}.png")
    for name, word in (("groups", "patient"), ("other-groups", "patient-new")):
        rows = "".join(f"{id},{word}-{id},kind-{id}\n" for id in (*IDS, *NEW))
        (folder / f"{name}.csv").write_text(f"id,group,kind\n{rows}")
    (folder / "instructions.txt").write_text("Draw around the whole lesion.")


def mask(id: str, number: int = 0) -> np.ndarray:
    """Return a mask that nobody else draws."""
    found = np.random.default_rng([*id.encode(), number]).integers(2, size=(SIDE, SIDE), dtype=np.uint8)
    return np.asarray(found)


@dataclass
class World:
    """The folder of the images, which nothing changes, and the folder of a record.

    Parameters
    ----------
    elsewhere:
        Whether the labels and models are in another folder.
    roles:
        Images by what has happened to them.
    """

    outside: Path
    root: Path
    elsewhere: bool = False
    classes: bool = False
    roles: dict[str, str] = field(default_factory=dict)

    @property
    def store(self) -> Path:
        return self.root / "record" / "c.db"

    @property
    def out(self) -> Path:
        return self.root / "out"

    def label(self, id: str, number: int = 0) -> Any:
        """Return an answer to an image."""
        return number % 2 if self.classes else mask(id, number)

    def pool(self, name: str = "images", **more: Any) -> alkit.ImagePool:
        return alkit.ImagePool(
            str((self.root if name == "images" else self.outside) / name), grayscale=True, **{"size": SIDE, **more}
        )

    def create(self, **more: Any) -> alkit.Experiment:
        """Open the record as a script does that states everything."""
        every: dict[str, Any] = {
            "pool": self.pool(groups=str(self.outside / "groups.csv")),
            "learner": Brief(),
            "strategy": Last(),
            "store": self.store,
            "seed": 3,
            "initial": SSLCluster(Rows(), clusters=2),
            "classes": alkit.LabelSpec(CLASSES, per="image") if self.classes else MASKS,
        }
        if self.elsewhere:
            every["files"] = str(self.root / "files")
        return alkit.Experiment(**{**every, **more})

    @contextmanager
    def opened(self) -> Iterator[alkit.Experiment]:
        """Open the record as a command does, and close it at the end, as the end of a process does."""
        experiment = alkit.Experiment.open(self.store)
        try:
            yield experiment
        finally:
            experiment._parts.store.close()

    @contextmanager
    def record(self, **more: Any) -> Iterator[Store]:
        store = Store(self.store, **more)
        try:
            yield store
        finally:
            store.close()

    def oracle(self, experiment: alkit.Experiment) -> alkit.FolderOracle:
        """Return the exchange folder of the record."""
        delivery = Delivery(experiment.spec, experiment.campaign, experiment.queries(), experiment.pool, {}, "")
        return FolderPlace(str(self.root / "exchange")).oracle(delivery)

    def run(self, *arguments: object) -> str:
        """Run a command, and return what it printed."""
        out, err = io.StringIO(), io.StringIO()
        code: Any = 0
        with redirect_stdout(out), redirect_stderr(err):
            try:
                main([str(argument) for argument in arguments])
            except SystemExit as end:
                code = end.code or 0
        if code in (0, 3):
            return out.getvalue()
        message = err.getvalue() or out.getvalue()
        assert code == 1, (code, message)
        assert "Traceback" not in message, message
        assert "unexpected" not in message, message
        raise RefusedError(message.strip().splitlines()[-1])


def name_places(world: World, store: Store) -> None:
    """Name the folders of the images and of the exchange, as somebody does who types them."""
    place = FolderPlace(str(world.root / "exchange"))
    save_place(store, place)
    check_images(store, str(world.root / "images"), named=True)
    check_place(store, place, named=True, option="--out")


def masks(world: World) -> None:
    """Two annotators, one round; a dispute, a review, an open query with an answer, one without, and a free image."""
    kinds = {id: f"kind-{id}" for id in (*IDS, "t0", "t1")}
    one = world.create(
        annotators=2,
        join="majority",
        hold_out=0.25,
        stop_set=2,
        audit=2,
        people=People({"ann": 2, "ben": 1, "cid": 1}, days=3),
        keep="all",
        rules=alkit.values.SelectionRules(never=(IDS[0],)),
        metrics=["dice", alkit.evaluation.PerGroup("dice", kinds)],
    )
    first = one.ask(5)
    for id in first:
        one.tell({id: mask(id)}, annotator=f"who-{id}")
        one.tell({id: mask(id, int(id == first[0]))}, annotator="ann")
    one.receive([alkit.Answer(first[1], mask(first[1])[:3], f"who-{first[1]}")])
    one.reject(first[1], f"why-{first[1]}", "ann")
    one.tell({first[1]: mask(first[1], 2)}, annotator="ann", revise=True)
    one.tell({IDS[0]: mask(IDS[0])}, annotator=f"who-{IDS[0]}", unasked=True, source=f"why-{IDS[0]}")
    one.decide_disputes(Disputes("third", below=0.3))
    one.fit()
    audit = [id for id in one.audit if id in first]
    (reviewed,) = one.review(1, random=1, folds=2)
    opened = one.top_up(2)
    one.tell({opened[0]: mask(opened[0])}, annotator=f"who-{opened[0]}")
    one.receive([alkit.Answer(opened[0], Skip(f"why-{opened[0]}"), f"who-{opened[0]}-2")])
    one.tell({opened[1]: mask(opened[1])}, annotator=f"who-{opened[1]}")
    one.prelabels()
    store = one._parts.store
    name_places(world, store)
    one.send(world.oracle(one))
    trained = next(id for id in first if id not in (*audit, reviewed))
    world.roles = {"trained": trained, "reviewed": reviewed, "open": opened[1], "unasked": IDS[0]}
    world.roles |= {"free": one.candidates[0], "audit": audit[0] if audit else trained}
    store.close()


def classes(world: World) -> None:
    """One annotator and classes, whose files several images share; no round, so that the settings may change."""
    world.classes = True
    one = world.create()
    first = one.ask(5)
    for number, id in enumerate(first[:4]):
        one.tell({id: number % 2}, annotator=f"who-{id}")
    one.reject(first[3], f"why-{first[3]}")
    store = one._parts.store
    name_places(world, store)
    one.send(world.oracle(one))
    world.roles = {"trained": first[0], "open": first[4], "free": one.candidates[0], "rejected": first[3]}
    store.close()


def new(world: World) -> None:
    """A record of which only the settings are known."""
    one = world.create(metrics=["dice"])
    store = one._parts.store
    name_places(world, store)
    world.roles = {"free": IDS[3]}
    store.close()


SCENES: dict[str, Callable[[World], None]] = {"masks": masks, "classes": classes, "new": new}


@dataclass(frozen=True)
class Scene:
    """A record before the steps, and a copy of its folder."""

    name: str
    world: World
    kept: Path

    def restore(self) -> None:
        """Put the record back."""
        shutil.rmtree(self.world.root, ignore_errors=True)
        shutil.copytree(self.kept, self.world.root)


def build(name: str, folder: Path, *, elsewhere: bool = False) -> Scene:
    """Return a scene in a folder; the record is always at the same place in it."""
    outside, root, kept = folder / "outside", folder / "root", folder / f"kept-{name}"
    if not outside.exists():
        draw(outside)
    shutil.rmtree(root, ignore_errors=True)
    root.mkdir()
    shutil.copytree(outside / "images", root / "images")
    os.environ["ALKIT_CACHE"], os.environ["ALKIT_STATE"] = str(root / "cache"), str(root / "state")
    if elsewhere:
        os.environ["ALKIT_FILES"] = str(root / "files")
    world = World(outside, root, elsewhere)
    SCENES[name](world)
    (root / "exchange").mkdir(exist_ok=True)
    shutil.copytree(root, kept)
    return Scene(name, world, kept)
