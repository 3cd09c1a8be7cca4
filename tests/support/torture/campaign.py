"""A short campaign through Python, which continues from wherever its record stands, and what it ends with.

It touches every kind of file: images and their cache, masks, models and clusters of a record, its backups, an exchange
folder with notes and contact sheets, and predictions. Nothing in it needs a gradient, so it takes a fraction of a
second.
"""

from __future__ import annotations

import hashlib
import os
import shutil
import sqlite3
from collections.abc import Callable, Iterator
from contextlib import closing
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
from parts import CLASSES, MeanLearner
from PIL import Image

import alkit
from alkit.oracles.folder import outbox
from alkit.record import Store
from alkit.record.check import check
from alkit.values import Progress, Selection, Withdrawal
from alkit_baselines.ssl_cluster import SSLCluster

from . import child, shim

IMAGES, SIZE, BATCH = 10, 16, 3
LONG_AGO = 1_700_000_000  # seconds since 1970: files from then are at rest


@dataclass(frozen=True)
class Rows:
    """The least feature extractor: the pixels of an image."""

    def fit(self, pool: Any, rng: np.random.Generator, report: Any) -> Rows:
        report(Progress("pretext", 1, 1))
        return self

    def features(self, images: Any) -> Any:
        return images.reshape(len(images), -1)


@dataclass(frozen=True)
class Chooser:
    """Chooses the candidates that are last by id, and asks for a pseudo-label of the first."""

    needs = ()
    starts_cold = False

    def select(self, view: Any, n: int, rng: np.random.Generator) -> Selection:
        candidates = sorted(view.candidates)
        return Selection(tuple(candidates[-n:]), pseudo_labels=tuple(candidates[:1]))


def draw(folder: Path) -> None:
    """Write the images, which stay outside of what is killed and damaged, and new ones to predict."""
    images, masks = alkit.synthetic.lesions(IMAGES + 1, size=SIZE, seed=0)
    for name in ("images", "new"):
        (folder / name).mkdir()
    for row, image in enumerate(images):
        Image.fromarray(image[0]).save(folder / ("images" if row < IMAGES else "new") / f"i{row:02}.png")
    np.savez(folder / "masks.npz", **{f"i{row:02}": mask for row, mask in enumerate(masks)})


@dataclass(frozen=True)
class World:
    """The folder of the images, which nothing changes, and the folder of the campaign."""

    outside: Path
    root: Path

    @property
    def store(self) -> Path:
        return self.root / "campaign" / "c.db"

    def truth(self) -> dict[str, Any]:
        with np.load(self.outside / "masks.npz") as masks:
            return dict(masks)

    def experiment(self) -> alkit.Experiment:
        os.environ["ALKIT_CACHE"] = str(self.root / "cache")
        return alkit.Experiment(
            alkit.ImagePool(str(self.outside / "images"), size=SIZE, grayscale=True),
            MeanLearner(),
            Chooser(),
            self.store,
            seed=3,
            initial=SSLCluster(Rows(), clusters=3),
            classes=CLASSES,
        )


def png(mask: Any) -> bytes:
    file = BytesIO()
    Image.fromarray(mask).save(file, "PNG")
    return file.getvalue()


Step = Callable[["Play"], None]


@dataclass
class Play:
    """One life of a process that takes steps of the campaign. A step may be repeated: what is done is not done again.

    Parameters
    ----------
    say:
        Called with what alkit has acknowledged.
    """

    world: World
    say: Callable[[Any], None] = lambda word: None

    def __post_init__(self) -> None:
        self.experiment = self.world.experiment()
        with shim.paused():
            self.truth = self.world.truth()

    def ids(self, round: int) -> list[str]:
        """Return the ids of the queries of a round by rank, withdrawn ones included."""
        with shim.paused(), closing(sqlite3.connect(f"file:{self.world.store}?mode=ro", uri=True)) as connection:
            return [
                id for (id,) in connection.execute("SELECT id FROM queries WHERE round = ? ORDER BY rank", (round,))
            ]

    def taken(self, *lines: tuple[str, str, int, str]) -> None:
        """Say that these answers were taken: from now on they must be in the record."""
        self.say(("taken", lines))

    def tell(self, label: Callable[[Any], Any], revision: int, **more: Any) -> None:
        """Tell an answer of `ann` to the first query, unless it is in the record."""
        id = self.ids(0)[0]
        if (id, "ann", revision, "label") not in set(names(self.world.store)):
            self.experiment.tell({id: label(self.truth[id])}, annotator="ann", **more)
        self.taken((id, "ann", revision, "label"))

    def oracle(self) -> alkit.FolderOracle:
        folder = self.world.root / "exchange"
        return alkit.FolderOracle(
            folder / "outbox",
            folder / "inbox",
            classes=self.experiment.spec,
            images=self.experiment.pool,
            prelabels=self.experiment.prelabels(),
            queries=self.experiment.queries(),
            campaign=self.experiment.campaign,
            settle=0,
        )

    def save(self, place: int, ending: str, content: bytes | None, number: int) -> None:
        """Save a file as `ann` does; None stands for a right mask."""
        with shim.paused():
            entry = [one for one in Store(self.experiment.path).asked() if one.query.round == 1][place]
            path = self.world.root / "exchange" / "inbox" / "ann" / f"{entry.query.key}{ending}"
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(png(self.truth[entry.query.id]) if content is None else content)
            os.utime(path, (LONG_AGO + number,) * 2)


def ask(round: int) -> Step:
    def step(play: Play) -> None:
        if not play.ids(round):
            play.experiment.ask(BATCH)

    return step


def fit(play: Play) -> None:
    play.experiment.fit()


def tell(*arguments: Any, **more: Any) -> Step:
    return lambda play: play.tell(*arguments, **more)


def receive(play: Play) -> None:
    """Right answers, one that is taken back, one of a wrong size, and one that belongs to no query."""
    _, id, _ = play.ids(0)
    truth = play.truth[id]
    answers = [
        alkit.Answer(id, alkit.SKIP, "ann", 1),
        alkit.Answer(id, truth[:3], "bob", 1),
        alkit.Answer(id, Withdrawal("by mistake"), "ann", 2),
        alkit.Answer(id, np.flipud(truth), "ann", 3),
        alkit.Answer(id, truth, "ann", 4),
        alkit.Answer("nobody's", alkit.SKIP, "bob", 1),
    ]
    receipt = play.experiment.receive(answers)
    assert len(receipt.refused) == 2, receipt
    kinds = {1: "skip", 2: "withdrawal", 3: "label", 4: "label"}
    play.taken((id, "bob", 1, "invalid"), *((id, "ann", revision, kind) for revision, kind in kinds.items()))


def reject(play: Play) -> None:
    first = play.ids(0)[0]
    if not any(names(play.world.store).values()):
        play.experiment.reject(first, "sloppy", "ann")
    play.say(("rejected", [(first, "ann", 1)]))


def withdraw(play: Play) -> None:
    play.experiment.withdraw()
    play.say(("withdrawn", [play.ids(0)[2]]))


def send(play: Play) -> None:
    play.experiment.send(play.oracle())


def save(*arguments: Any) -> Step:
    return lambda play: play.save(*arguments)


def save_prelabel(play: Play) -> None:
    """Save a mask that equals its pre-label: it is refused until it is confirmed."""
    with shim.paused():
        entry = [one for one in Store(play.experiment.path).asked() if one.query.round == 1][2]
        content = Store(play.experiment.path).content(str(entry.prelabel))
    play.save(2, ".png", content, 2)


def collect(play: Play) -> None:
    receipt = play.experiment.collect(play.oracle())
    play.taken(*((one.id, "ann", one.revision, kind_of(one)) for one in (*receipt.taken, *receipt.unchanged)))


def predict(play: Play) -> None:
    model = alkit.trained_model(play.experiment.path, learner=MeanLearner())
    alkit.predict_folder(model, play.world.outside / "new", play.world.root / "out", overwrite=True)


def nothing(play: Play) -> None:
    """Only open the record, which creates it the first time."""


STEPS: dict[str, Step] = {
    "create": nothing,
    "ask": ask(0),
    "tell a wrong mask": tell(lambda mask: np.roll(mask, 2), 1),
    "receive": receive,
    "reject": reject,
    "tell a better mask": tell(lambda mask: mask, 2, revise=True),
    "withdraw": withdraw,
    "fit": fit,
    "ask with pseudo-labels": ask(1),
    "send": send,
    "annotate": lambda play: [step(play) for step in ANNOTATE] and None,
    "collect": collect,
    "confirm": save(2, ".confirmed", b"", 3),
    "collect what was confirmed": collect,
    "fit again": fit,
    "predict": predict,
}
"""The steps of the campaign, in order."""

ANNOTATE = (save(0, ".png", None, 0), save(1, ".skip", b"hair", 1), save_prelabel)


def kind_of(answer: alkit.Answer) -> str:
    return "label" if isinstance(answer.label, np.ndarray) else "skip"


def names(store: Path) -> dict[tuple[str, str, int, str], str | None]:
    """Return the names of all answers of a record, and why each was sent back, without alkit."""
    if not store.exists():
        return {}
    query = "SELECT id, annotator, revision, kind, rejected FROM answers"
    with shim.paused(), closing(sqlite3.connect(f"file:{store}?mode=ro", uri=True)) as connection:
        try:
            return {(*row[:4],): row[4] for row in connection.execute(query)}
        except sqlite3.OperationalError as reason:
            if "no such table" in str(reason):  # killed before it was created
                return {}
            raise


NOT_COMPARED = {"digest", "asked_at", "sent_at", "told_at", "committed_at", "seconds"}
"""Columns that hold times, or depend on them."""

RANDOM_FACTS = ("campaign", "place")


def state(world: World) -> dict[str, Any]:
    """Return what is on the disk, without alkit: rows but for times, and digests of files outside the record."""
    found: dict[str, Any] = {}
    with closing(sqlite3.connect(world.store)) as connection:
        connection.text_factory = lambda text: text.decode("utf-8", "replace")
        tables = [name for (name,) in connection.execute("SELECT name FROM sqlite_master WHERE type = 'table'")]
        for table in sorted(set(tables) - {"totals", "journal"}):  # these depend on times
            cursor = connection.execute(f"SELECT * FROM {table}")
            columns = [name for name, *_ in cursor.description]
            rows = [
                tuple(value for name, value in zip(columns, row, strict=True) if name not in NOT_COMPARED)
                for row in cursor
            ]
            found[table] = sorted(row for row in rows if table != "facts" or row[0] not in RANDOM_FACTS)
        found["sent"] = connection.execute("SELECT round, rank FROM queries WHERE sent_at IS NOT NULL").fetchall()
    for folder in ("out", "exchange"):
        for path in sorted((world.root / folder).rglob("*")):
            if path.is_file() and not path.name.startswith(".writing-"):
                content = b"" if path.suffix in (".json", ".txt") else path.read_bytes()  # it may name the campaign
                found[str(path.relative_to(world.root))] = hashlib.sha256(content).hexdigest()
    return found


def ending(world: World) -> dict[str, Any]:
    """Return everything that a campaign has come to, except for times."""
    experiment = world.experiment()
    store = Store(experiment.path)
    known = store.snapshot().known
    last = store.last_model()
    digest = hashlib.sha256
    out = world.root / "out"
    return {
        "queries": [(one.query, one.withdrawn, one.prelabel, one.sent_at is not None) for one in store.asked()],
        "answers": [(one.number, *values(one)) for one in store.answers()],
        "states": [(one.query.key, one.state, one.missing) for one in experiment.standings()],
        "labels": {id: [experiment.label(one).tobytes() for one in own.labels] for id, own in known.items()},
        "rounds": [
            (r.round, r.ids, r.n_labels, r.n_pseudo, r.n_held_out, r.agreement, dict(r.metrics))
            for r in experiment.history
        ],
        "candidates": experiment.candidates,
        "model": digest(store.content(last[0])).hexdigest() if last else None,
        "pixels": digest(experiment.pool.read(list(experiment.pool.ids)).tobytes()).hexdigest(),
        "predictions": {
            str(path.relative_to(out)): digest(path.read_bytes()).hexdigest()
            for path in sorted(out.rglob("*"))
            if path.is_file() and not path.name.startswith(".writing-")
        },
        "outbox": sorted(
            str(path.relative_to(world.root))
            for path in (world.root / "exchange" / "outbox").rglob("*")
            if not path.name.startswith(".writing-")
        ),
        "damage": [*check_all(world.store)],
    }


def check_all(store: Path) -> Iterator[str]:
    found = check(store)
    yield from (*found.damage, *found.damaged_backups)


def values(one: Any) -> tuple[Any, ...]:
    return one.id, one.annotator, one.revision, one.kind, one.label, one.reason, one.rejected, one.seconds


def warm_up(world: World, steps: Any, live: Any) -> None:
    """Draw the contact sheets in a child, which needs matplotlib; this process and its other children reuse them.

    Then play the campaign here, too, so that everything that the children need is imported.
    """
    draw_sheet, drawn = outbox._sheet, dict[tuple[str, ...], bytes]()

    def sheet(images: Any, queries: Any, *others: Any) -> bytes:
        key = tuple(query.key for query in queries)
        if key not in drawn:
            drawn[key] = draw_sheet(images, queries, *others)
        return drawn[key]

    def play(say: child.Say) -> dict[tuple[str, ...], bytes]:
        life = live(world)
        for step in steps.values():
            step(life)
        return drawn

    outbox._sheet = sheet
    outcome = child.run(play, folder=world.root)
    assert outcome.end == "done", outcome
    drawn.update(outcome.value)
    _clear(world.root)
    play(print)
    _clear(world.root)


def _clear(folder: Path) -> None:
    shutil.rmtree(folder)
    folder.mkdir()
