"""An experiment accepts answers from an exchange folder and notes why it refuses others."""

from __future__ import annotations

import threading
from pathlib import Path

import numpy as np
import pytest
from exchange import CLASSES, LONG_AGO, MASKS, POOL, answer, everything, oracle_in, query
from PIL import Image

from alkit.oracles import FolderOracle
from alkit.testing import OracleKit


def test_an_experiment_accepts_valid_answers_and_notes_beside_the_others_why_not(tmp_path, world):
    experiment = world.experiment(classes=CLASSES)
    ids = experiment.ask(4)
    asked = {one.id: one for one in experiment.queries()}
    oracle = oracle_in(tmp_path, images=world.pool)
    experiment.send(oracle)
    answer(tmp_path, asked[ids[0]], world.masks[ids[0]] * 255)
    answer(tmp_path, asked[ids[1]], np.full((16, 16), 7, np.uint8))
    answer(tmp_path, asked[ids[2]], "blurred", ".skip")
    answer(tmp_path, asked[ids[3]], np.arange(768, dtype=np.uint8).reshape(16, 16, 3))
    before = everything(tmp_path)
    receipt = experiment.collect(oracle)
    assert {one.id for one in receipt.taken} == {ids[0], ids[2]}
    notes = everything(tmp_path).keys() - before.keys()
    assert notes == {tmp_path / "ann" / f"{asked[id].key}.refused.txt" for id in (ids[1], ids[3])}
    assert "values outside its classes" in (tmp_path / "ann" / f"{asked[ids[1]].key}.refused.txt").read_text()
    assert "is a picture, not a label map" in (tmp_path / "ann" / f"{asked[ids[3]].key}.refused.txt").read_text()

    again = experiment.collect(oracle_in(tmp_path, images=world.pool))
    assert not again.taken
    assert {path: content for path, content in everything(tmp_path).items() if path in before} == before
    assert experiment.open_ids == (ids[1], ids[3])

    for id in (ids[1], ids[3]):
        answer(tmp_path, asked[id], world.masks[id], at=LONG_AGO + 1)
    experiment.collect(oracle_in(tmp_path))
    assert experiment.open_ids == ()
    assert everything(tmp_path).keys() == before.keys()
    assert experiment.fit().n_labels == 3


def test_an_unchanged_prelabel_is_refused_until_somebody_confirms_it(tmp_path, world):
    experiment = world.experiment(classes=CLASSES)
    experiment.tell({id: world.masks[id] for id in experiment.ask(3)})
    experiment.fit()
    (id,) = experiment.ask(1)
    (asked,) = experiment.queries()
    experiment.send(oracle_in(tmp_path, images=world.pool, prelabels=experiment.prelabels()))
    (tmp_path / "ann").mkdir()
    copy = tmp_path / "ann" / f"{asked.key}.png"
    copy.write_bytes((tmp_path / asked.key / "prelabel.png").read_bytes())
    receipt = experiment.collect(oracle_in(tmp_path))
    assert [reason for _, reason in receipt.refused if "pre-label, untouched" in reason]
    assert f"an empty file {asked.key}.confirmed" in (tmp_path / "ann" / f"{asked.key}.refused.txt").read_text()
    (tmp_path / "ann" / f"{asked.key}.confirmed").touch()
    assert [one.id for one in experiment.collect(oracle_in(tmp_path)).taken] == [id]
    assert not (tmp_path / "ann" / f"{asked.key}.refused.txt").exists()


class TestFolderOracle(OracleKit):
    at_once = 10.0  # the first contact sheet imports Matplotlib

    @pytest.fixture
    def oracle(self, tmp_path):
        """Return an oracle whose annotator answers each query at once with the thresholded image."""
        over = threading.Event()

        def annotate():
            while not over.wait(0.02):
                for folder in tmp_path.glob("out/*/query.json"):
                    if (place := tmp_path / "in" / "ann" / f"{folder.parent.name}.png").exists():
                        continue
                    place.parent.mkdir(parents=True, exist_ok=True)
                    image = np.asarray(Image.open(folder.parent / "image.png"))
                    Image.fromarray((image > image.mean()).astype(np.uint8)).save(place.parent / ".saving", "PNG")
                    (place.parent / ".saving").rename(place)

        thread = threading.Thread(target=annotate)
        thread.start()
        (tmp_path / "in").mkdir()
        yield FolderOracle(tmp_path / "out", tmp_path / "in", classes=CLASSES, images=POOL, settle=0.05)
        over.set()
        thread.join()

    @pytest.fixture
    def queries(self):
        return [query(0), query(1), query(2)]


class Tool(FolderOracle):
    """Annotators who accept every pre-label and export it."""

    def poll(self):
        for file in Path(self.outbox).glob("r00-c*/annotations.*"):
            (Path(self.outbox) / "ann").mkdir(exist_ok=True)
            (Path(self.outbox) / "ann" / file.name).write_bytes(file.read_bytes())
        yield from super().poll()


class ByFile(OracleKit):
    at_once = 10.0
    name = ""

    @pytest.fixture
    def oracle(self, tmp_path):
        prelabels = {f"{row:04}": mask for row, mask in enumerate(MASKS)}
        return Tool(tmp_path, classes=CLASSES, images=POOL, prelabels=prelabels, also=[self.name], settle=0)

    @pytest.fixture
    def queries(self):
        return [query(0), query(1), query(2)]


class TestCoco(ByFile):
    name = "coco"


class TestCvat(ByFile):
    name = "cvat"
