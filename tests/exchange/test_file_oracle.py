"""Tools that read and write files of annotations take part in an experiment as any annotator does."""

from __future__ import annotations

import os

import numpy as np
import pytest

import alkit
from alkit.errors import ConfigurationError, DataError
from alkit.exchange import coco, cvat
from alkit.oracles.file import FileOracle
from alkit.protocols import Oracle
from alkit.testing import OracleKit
from alkit.types import Answer, LabelSpec, Query

CLASSES = ("skin", "lesion")
IMAGES, MASKS = alkit.synthetic.lesions(6, size=16, seed=3)
POOL = alkit.ArrayPool(IMAGES)
PRELABELS = {f"{row:04}": mask for row, mask in enumerate(MASKS)}
every_format = pytest.mark.parametrize("form", [coco, cvat], ids=["coco", "cvat"])


@every_format
def test_answers_of_several_annotators_are_read_in_another_process(form, tmp_path):
    query = Query("0002", 1, 0, ((16, 16),))
    oracle = FileOracle(form, tmp_path, classes=CLASSES, images=POOL, prelabels=PRELABELS)
    assert isinstance(oracle, Oracle)
    oracle.ask([query])
    oracle.ask([query])
    (written,) = tmp_path.glob("*r01*")
    files = {name: tmp_path / f"{name} export" for name in ("ann", "ben")}
    for file in files.values():
        file.write_bytes(written.read_bytes())
    later = FileOracle(form, "nowhere", classes=CLASSES, answers=files, queries=[query])
    answers = list(later.poll())
    assert [(one.id, one.annotator) for one in answers] == [("0002", "ann"), ("0002", "ben")]
    np.testing.assert_array_equal(answers[1].label, MASKS[2])


@every_format
def test_an_experiment_is_told_by_files_and_says_beside_them_what_it_did_not_take(form, tmp_path, world):
    experiment = world.experiment(classes=CLASSES)
    ids = experiment.ask(3)
    queries = experiment.queries()
    experiment.send(FileOracle(form, tmp_path / "out", classes=CLASSES, images=world.pool))
    wrong = np.full((16, 16), 2, np.uint8)
    masks = {ids[0]: world.masks[ids[0]], ids[1]: wrong, ids[2]: world.masks[ids[2]]}
    (export,) = form.write(tmp_path / "tool", queries, world.pool, LabelSpec((*CLASSES, "hair")), masks)
    with pytest.raises(alkit.LabelError, match="labels that are no classes: got 'hair'"):
        experiment.collect(FileOracle(form, tmp_path, classes=CLASSES, answers={"ann": export}, queries=queries))

    masks = {ids[0]: world.masks[ids[0]], ids[1]: world.masks[ids[1]][:8, :8]}
    small = [Query(one.id, one.round, one.rank, (masks[one.id].shape,)) for one in queries[:2]]
    (export,) = form.write(tmp_path / "again", small, world.pool, LabelSpec(CLASSES), masks)
    oracle = FileOracle(form, tmp_path, classes=CLASSES, answers={"ann": export}, queries=queries)
    receipt = experiment.collect(oracle)
    assert [one.id for one in receipt.taken] == [ids[0]]
    note = export.with_name(export.name + ".refused.txt")
    assert note.read_text().count(ids[1]) >= 1
    assert "is 8 x 8, not 16 x 16" in note.read_text()
    before = note.read_text()
    assert not experiment.collect(oracle).taken
    assert note.read_text() == before

    export.unlink()
    form.write(tmp_path / "again", queries, world.pool, LabelSpec(CLASSES), world.masks)
    os.utime(export)
    assert {one.id for one in experiment.collect(oracle).taken} >= {ids[1], ids[2]}
    assert not note.exists()
    assert experiment.open_ids == ()


def test_an_answer_from_elsewhere_has_no_note(tmp_path):
    oracle = FileOracle(coco, tmp_path, classes=CLASSES)
    oracle.refused(Answer("a", MASKS[0], "ann"), "why")
    assert list(tmp_path.iterdir()) == []


def test_what_cannot_work_is_refused(tmp_path):
    with pytest.raises(ConfigurationError, match="no pool to take the images from"):
        FileOracle(coco, tmp_path, classes=CLASSES).ask([])
    with pytest.raises(DataError, match=r"nowhere\.json cannot be read"):
        list(FileOracle(coco, tmp_path, classes=CLASSES, answers={"ann": tmp_path / "nowhere.json"}).poll())
    with pytest.raises(ConfigurationError, match="these files hold masks"):
        FileOracle(coco, tmp_path, classes=LabelSpec(CLASSES, per="image"))


class Filed(OracleKit):
    """The tool's user finds the pre-labels right as they are."""

    form = None

    @pytest.fixture
    def oracle(self, tmp_path):
        class Tool(FileOracle):
            def poll(self):
                if files := list(tmp_path.glob("*r00*")):
                    self.answers["ann"] = files[0]
                yield from super().poll()

        return Tool(self.form, tmp_path, classes=CLASSES, images=POOL, prelabels=PRELABELS)

    @pytest.fixture
    def queries(self):
        return [Query(f"{row:04}", 0, row, ((16, 16),)) for row in range(3)]


class TestCoco(Filed):
    form = coco


class TestCvat(Filed):
    form = cvat
