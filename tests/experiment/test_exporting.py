"""Exported labels: what they say, and that a new record that imports them trains on the same."""

from __future__ import annotations

import csv
import json
from functools import partial

import numpy as np
import pytest
from commandline import alkit as run
from parts import CLASSES
from PIL import Image

import alkit
from alkit.errors import ConfigurationError, QueryError
from alkit.experiment.exported import file_name

LEARNER = alkit.SegmentationLearner(partial(alkit.UNet, widths=(2, 4)), steps=(1, 1))


@pytest.fixture
def place(tmp_path, monkeypatch):
    """Return a folder with images of different sizes, read at 16 pixels."""
    rng = np.random.default_rng(0)
    (tmp_path / "images/ward 3").mkdir(parents=True)
    for number in range(8):
        size = int(rng.integers(12, 40)), int(rng.integers(12, 40))
        pixels = rng.integers(256, size=size, dtype=np.uint8)
        Image.fromarray(pixels).save(tmp_path / f"images/{'ward 3/' if number % 2 else ''}{number}.png")
    monkeypatch.chdir(tmp_path)
    return tmp_path


def campaign(store, fit="squash", **more):
    pool = alkit.ImagePool("images", size=16, grayscale=True, fit=fit)
    more = {"classes": CLASSES, **more}
    return alkit.Experiment(pool, LEARNER, alkit.strategy("random"), store, **more)


def mask(experiment, id, seed, working=False):
    original, *rest = experiment.pool.sizes([id])[0]
    size = rest[0] if working and rest else original
    found = np.zeros(size, np.uint8)
    top, left = (int(np.random.default_rng(seed).integers(side // 2)) for side in size)
    found[top : top + size[0] // 2, left : left + size[1] // 2] = 1
    return found


def filled(store, **more):
    """Return a campaign with imported labels, answers, a skip, and a label at the working size."""
    experiment = campaign(store, **more)
    ids = experiment.pool.ids
    experiment.tell({id: mask(experiment, id, row) for row, id in enumerate(ids[:2])}, unasked=True, source="2025")
    asked = experiment.ask(5)
    labels = {id: mask(experiment, id, row, working=row == 0) for row, id in enumerate(asked[:4])}
    experiment.tell(labels, annotator="ann")
    experiment.tell({asked[4]: alkit.SKIP}, annotator="ann")
    return experiment, asked


def labels_of(experiment, seen):
    """Return the labels that the learner of an experiment is given, by id."""
    experiment.fit()
    given = seen[-1]
    return dict(zip(given.ids, given.labels(given.ids), strict=True)), given.spec


def check_same(one, other):
    assert one[0].keys() == other[0].keys()
    for id, label in one[0].items():
        assert np.array_equal(label, other[0][id]), id


IMPORTS = {
    "masks": ["--masks", "out/masks"],
    "csv": ["--csv", "out/labels.csv"],
    "coco": ["--coco", "out/annotations.json", "--empty-is-background"],
}


@pytest.mark.parametrize("fit", ["squash", "pad", "crop"])
@pytest.mark.parametrize("form", ["masks", "csv", "coco"])
def test_importing_them_into_a_new_record_gives_the_same_training_set(place, seen, form, fit):
    experiment, _ = filled("a.db", fit=fit)
    experiment.export_labels("out", form)
    expected = labels_of(experiment, seen)
    campaign("b.db", fit=fit)
    assert run("import", "b.db", "--images", "images", *IMPORTS[form]) == 0
    check_same(labels_of(campaign("b.db", fit=fit), seen), expected)


@pytest.mark.parametrize("join", ["one", "majority", "staple"])
def test_joined_and_apart_they_give_the_same_training_set(place, seen, join):
    people = {"annotators": 3, "join": join, "classes": alkit.LabelSpec(CLASSES, 255)}
    experiment = campaign("a.db", **people)
    asked = experiment.ask(3)
    for row, name in enumerate(("ann", "bob", "c/d")):
        labels = {id: mask(experiment, id, row, working=row == 1) for id in asked}
        experiment.tell(labels, annotator=name)
    experiment.export_labels("out")
    experiment.export_labels("apart", per_annotator=True)
    expected = labels_of(experiment, seen)
    for store, source in (("joined.db", "out/labels.csv"), ("apart.db", "apart/labels.csv")):
        campaign(store, **people)
        assert run("import", store, "--images", "images", "--csv", source) == 0
        check_same(labels_of(campaign(store, **people), seen), expected)
    assert {path.name for path in (place / "apart/masks").iterdir()} >= {"ann", "bob"}


def test_the_manifest_says_who_when_and_whether_it_was_asked_for(place):
    experiment, asked = filled("a.db", hold_out=0.3)
    experiment.fit()
    experiment.export_labels("out")
    found = json.loads((place / "out/manifest.json").read_text())
    assert found["counts"] == {"images": 6, "labels": 6, "asked": 4, "not_asked": 2, "held_out": 2}
    assert found["annotators"] == {"": 2, "ann": 4}
    assert found["sources"] == {"2025": 2}
    rows = {row["id"]: row for row in found["labels"]}
    with (place / "out/manifest.csv").open() as file:
        assert [row["id"] for row in csv.DictReader(file)] == sorted(rows)
    for rank, id in enumerate(asked[:4]):
        row = rows[id]
        assert (row["asked"], row["round"], row["rank"], row["source"]) == (True, 0, rank, "")
        assert (row["annotators"], row["image"], row["file"]) == (["ann"], f"{id}.png", f"masks/{id}.png")
        assert row["told_at"].startswith("20")
        size = row["height"], row["width"]
        assert row["original_size"] == (size == experiment.pool.sizes([id])[0][0])
        assert row["original_size"] or rank == 0  # the label at the working size, which has more pixels
    for id in experiment.pool.ids[:2]:
        assert (rows[id]["asked"], rows[id]["round"], rows[id]["source"]) == (False, None, "2025")
    assert sum(row["held_out"] for row in rows.values()) == experiment.history[-1].n_held_out
    card = (place / "out/DATACARD.md").read_text()
    assert "6 labels of 6 images, out of a pool of 8." in card
    assert "4 images were selected by a strategy (Random); 2 were labelled before." in card
    assert "alkit import campaign.db --masks OUT/masks" in card


def test_a_label_whose_image_is_missing_is_left_out_with_the_reason(place):
    _, asked = filled("a.db")
    (place / f"images/{asked[1]}.png").unlink()
    campaign("a.db").export_labels("out")
    found = json.loads((place / "out/manifest.json").read_text())
    assert found["left_out"] == {asked[1]: "its image cannot be used: it is missing"}
    assert asked[1] not in {row["id"] for row in found["labels"]}
    assert "1 labelled images are left out" in (place / "out/DATACARD.md").read_text()


def test_classes_of_images_are_written_as_a_table(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    images = np.random.default_rng(0).integers(256, size=(6, 8, 8), dtype=np.uint8)
    spec = alkit.LabelSpec(("cat", "dog"), per="image")
    experiment = alkit.Experiment(
        alkit.ArrayPool(images), alkit.testing.Brightness(), alkit.strategy("random"), "a.db", classes=spec
    )
    experiment.tell({"0000": 1, "0001": 0}, unasked=True)
    experiment.export_labels("out", "csv")
    assert (tmp_path / "out/labels.csv").read_text() == "id,label,annotator\n0000,dog,\n0001,cat,\n"
    with pytest.raises(ConfigurationError, match="classes of images can be written only as a table"):
        experiment.export_labels("other", "coco")
    assert not (tmp_path / "other").exists()


def test_the_command_writes_them_and_refuses_to_write_over_files(place, capfd):
    filled("a.db")
    assert run("export", "a.db", "--labels", "coco", "--out", "out") == 0
    assert "out: 6 labels of 6 images, 2 of them not asked for." in capfd.readouterr().out
    assert run("export", "a.db", "--labels", "coco", "--out", "out") == 1
    assert "--overwrite" in capfd.readouterr().err
    assert run("export", "a.db", "--labels", "coco", "--out", "out", "--overwrite") == 0
    assert run("export", "a.db", "--labels", "masks", "--out", "images/labels") == 1
    assert "--out must be outside the folder of images" in capfd.readouterr().err
    assert run("export", "a.db", "--per-annotator", "--out", "model") == 1
    assert "--per-annotator can be used only with --labels" in capfd.readouterr().err


def test_a_record_without_labels_has_nothing_to_export(place):
    with pytest.raises(QueryError, match="no label to train on yet"):
        campaign("a.db").export_labels("out")
    assert not (place / "out").exists()


@pytest.mark.parametrize("id", ["../x", "/etc/passwd", "a//b", "a\\b", "x" * 300, "a\x00b", "."])
def test_no_id_leads_out_of_the_folder(tmp_path, id):
    name = file_name(id, ".png")
    path = (tmp_path / name).resolve()
    assert path.is_relative_to(tmp_path)
    assert len(name) < 250
    path.write_bytes(b"")


@pytest.mark.parametrize("form", ["masks", "coco", "csv"])
def test_overwriting_an_earlier_export_leaves_no_label_that_does_not_count(place, form):
    experiment, asked = filled("a.db")
    experiment.export_labels("out", per_annotator=True)
    experiment.export_labels("out", overwrite=True)
    assert not (place / "out/masks/ann").exists()
    experiment.reject(asked[0], "the border is missing")
    experiment.remove(asked[1], "consent withdrawn")
    experiment.export_labels("out", form, overwrite=True)
    rows = json.loads((place / "out/manifest.json").read_text())["labels"]
    masks = {path.relative_to(place / "out").as_posix() for path in place.glob("out/masks/**/*.png")}
    assert {row["id"] for row in rows} == {*asked[2:4], *experiment.pool.ids[:2]}
    assert masks == (set() if form == "coco" else {row["file"] for row in rows})
    assert (place / "out/labels.csv").exists() == (form != "coco")


def test_an_export_that_dies_is_not_taken_for_complete_and_the_same_call_completes_it(place, monkeypatch):
    experiment, asked = filled("a.db")
    experiment.export_labels("out")
    experiment.reject(asked[0], "the border is missing")
    with monkeypatch.context() as patched:
        patched.setattr("alkit.experiment.exporting.label_card", lambda *_, **__: 1 / 0)
        with pytest.raises(ZeroDivisionError):
            experiment.export_labels("out", overwrite=True)
    assert not (place / "out/manifest.json").exists()
    experiment.reject(asked[2], "this one, too")
    experiment.export_labels("out", overwrite=True)
    files = {row["file"] for row in json.loads((place / "out/manifest.json").read_text())["labels"]}
    assert {path.relative_to(place / "out").as_posix() for path in place.glob("out/masks/**/*.png")} == files
    assert not list(place.glob("out/manifest.unf*"))


def test_masks_of_unknown_origin_are_neither_deleted_nor_taken_for_exported_ones(place):
    experiment, _ = filled("a.db")
    other = place / "out/masks/mine.png"
    other.parent.mkdir(parents=True)
    other.write_bytes(b"mine")
    (place / "elsewhere.png").write_bytes(b"mine")
    listed = {"labels": [{"file": "../elsewhere.png"}, {"file": "masks/../../elsewhere.png"}, {"file": 3}, "x"]}
    (place / "out/manifest.json").write_text(json.dumps(listed))
    with pytest.raises(ConfigurationError, match=r"labels of another origin.*got masks/mine\.png in out"):
        experiment.export_labels("out", overwrite=True)
    experiment.export_labels("out", "coco", overwrite=True)  # its file holds all labels
    assert other.read_bytes() == (place / "elsewhere.png").read_bytes() == b"mine"


def test_each_annotator_and_each_image_has_a_file_of_its_own(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    ids = ["a:b", file_name("a:b", ""), "x", "X", "../x"]
    images = np.random.default_rng(0).integers(256, size=(len(ids), 8, 8), dtype=np.uint8)
    pool = alkit.ArrayPool(images, ids)
    experiment = alkit.Experiment(pool, LEARNER, alkit.strategy("random"), "a.db", classes=CLASSES)
    experiment.ask(len(ids))
    people = ["a/b", "a\\b", "Ann", "ann", "", "unnamed", "Unnamed"]
    for number, person in enumerate(people):
        experiment.tell({id: np.full((8, 8), number % 2, np.uint8) for id in ids}, annotator=person)
    experiment.export_labels("out", per_annotator=True)
    rows = csv.DictReader((tmp_path / "out/manifest.csv").read_text().splitlines())
    assert len({row["file"].casefold() for row in rows}) == len(people) * len(ids)
    experiment.export_labels("coco", "coco", per_annotator=True)
    assert len({path.name.casefold() for path in (tmp_path / "coco").glob("annotations*")}) == len(people)


def test_undecided_and_unseen_pixels_are_declared_and_are_never_read_as_class_1(place, seen):
    experiment = campaign("a.db", annotators=2, join="majority")
    (id,) = experiment.ask(1)
    for name, top in (("ann", 1), ("bob", 8)):
        drawn = np.zeros(experiment.pool.sizes([id])[0][0], np.uint8)
        drawn[top : top + 3, 1:4] = 1  # they share no pixel, so that no pixel of class 1 is left
        experiment.tell({id: drawn}, annotator=name)
    experiment.export_labels("out")
    expected, spec = labels_of(experiment, seen)
    written = np.asarray(Image.open(place / "out/masks" / f"{id}.png"))
    assert np.unique(written).tolist() == [0, 254]
    assert json.loads((place / "out/manifest.json").read_text())["ignore"] == 254
    assert "--ignore 254" in (place / "out/DATACARD.md").read_text()
    campaign("b.db")
    assert run("import", "b.db", "--images", "images", "--masks", "out/masks") != 0
    assert not campaign("b.db").answers()
    campaign("c.db", classes=alkit.LabelSpec(CLASSES, 254))
    assert run("import", "c.db", "--images", "images", "--masks", "out/masks") == 0
    found, other = labels_of(campaign("c.db", classes=alkit.LabelSpec(CLASSES, 254)), seen)
    assert np.array_equal(found[id] == other.ignore, expected[id] == spec.ignore)
    assert not (found[id] == 1).any()


@pytest.mark.parametrize("per_annotator", [False, True])
def test_what_a_cropped_image_does_not_show_is_declared(tmp_path, monkeypatch, per_annotator):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "images").mkdir()
    Image.fromarray(np.random.default_rng(0).integers(256, size=(16, 32), dtype=np.uint8)).save("images/a.png")
    Image.fromarray(np.random.default_rng(1).integers(256, size=(16, 32), dtype=np.uint8)).save("images/b.png")
    experiment = campaign("a.db", fit="crop")
    experiment.ask(2)
    experiment.tell({id: np.zeros((16, 16), np.uint8) for id in "ab"}, annotator="ann")  # of what is seen
    experiment.export_labels("out", per_annotator=per_annotator)
    written = np.asarray(Image.open(next((tmp_path / "out/masks").rglob("a.png"))))
    assert np.unique(written[:, :8]).tolist() == [254]
    assert not written[:, 8:24].any()
    assert json.loads((tmp_path / "out/manifest.json").read_text())["ignore"] == 254


def test_labels_of_each_annotator_do_not_promise_the_training_set(place):
    experiment, asked = filled("a.db", annotators=2, hold_out=0.3)
    experiment.tell({asked[1]: 1 - mask(experiment, asked[1], 1)}, annotator="bob")
    experiment.fit(wait_for_answers=False)
    experiment.export_labels("joined")
    experiment.export_labels("apart", per_annotator=True)
    joined, apart = (" ".join((place / name / "DATACARD.md").read_text().split()) for name in ("joined", "apart"))
    assert "this gives the labels that the campaign trains on. It may also train on those that" in joined
    assert "this gives the labels of each annotator." in apart
    assert "the labels that the campaign trains on" not in apart
