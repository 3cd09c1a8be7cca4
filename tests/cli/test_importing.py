"""``alkit import``: labels that exist already, from folders, files of annotation tools, and tables."""

from __future__ import annotations

import json

import numpy as np
import pytest
from commandline import alkit
from PIL import Image

from alkit import Experiment, LabelSpec, Query, synthetic
from alkit.oracles.formats.registry import FORMATS

SMALL = "--size 16 --widths 2,4 --epochs 1,1 --pretext-epochs 1 --grayscale --hold-out 0.3 --stop-set 4".split()
SPEC = LabelSpec(("skin", "lesion"))


@pytest.fixture
def place(tmp_path, monkeypatch):
    images, masks = synthetic.lesions(12, size=24)
    for name in ("images", "old", "old/ward"):
        (tmp_path / name).mkdir()
    for number, (image, mask) in enumerate(zip(images, masks, strict=True)):
        Image.fromarray(image[0]).save(tmp_path / f"images/case {number:02}.png")
        if number < 4:
            Image.fromarray(mask * 255).save(tmp_path / f"old/case {number:02}.png")
    monkeypatch.chdir(tmp_path)
    assert alkit("start", "c.db", "--images", "images", "--classes", "skin,lesion", *SMALL, "--strategy", "random") == 0
    return dict(zip((f"case {number:02}" for number in range(12)), masks, strict=True))


def answers():
    experiment = Experiment.open("c.db")
    return {answer.id: (answer.source, answer.annotator, experiment.label(answer)) for answer in experiment.answers()}


def check_labels(place, ids, source, annotator=""):
    found = answers()
    assert list(found) == ids
    for id, (from_where, by, mask) in found.items():
        assert (from_where, by) == (source, annotator)
        assert np.array_equal(mask, place[id])


def test_masks_are_imported_once_and_trained_on_and_shown_apart(place, capfd):
    assert alkit("import", "c.db", "--masks", "old", "--annotator", "ann") == 0
    assert "Imported labels: 4, known before: 0." in capfd.readouterr().out
    ids = [f"case {number:02}" for number in range(4)]
    check_labels(place, ids, "old", "ann")
    assert alkit("import", "c.db", "--masks", "old", "--annotator", "ann") == 0
    assert "Imported labels: 0, known before: 4." in capfd.readouterr().out

    assert alkit("status", "c.db") == 0
    said = " ".join(capfd.readouterr().out.split())
    assert "0 labels, 0 skipped, 0 open, 8 of the pool left" in said
    assert "4 more images have labels that nobody asked for (old: 4)." in said
    assert "4 images are labelled without a query and not trained on yet" in said
    assert alkit("fit", "c.db") == 0
    assert "Round 0: trained on 3 labels, 3 of which nobody asked for, dice" in capfd.readouterr().out
    assert alkit("ask", "c.db", "-n", "2", "--out", "exchange") == 0
    capfd.readouterr()
    assert alkit("status", "c.db", "--json") == 0
    facts = json.loads(capfd.readouterr().out)
    assert (facts["labels"], facts["unasked"], facts["left"], len(facts["open"])) == (0, {"old": 4}, 6, 2)
    assert [(round["labels"], round["unasked"], round["held_out"]) for round in facts["rounds"]] == [(3, 3, 1)]
    assert facts["annotators"] == []  # of answers to queries
    assert not set(facts["open"]) & set(ids)


def test_bad_masks_are_refused_with_reasons_and_all_others_are_taken(place, tmp_path, capfd):
    (tmp_path / "old/case 00.png").write_bytes(b"damaged")
    Image.fromarray(np.zeros((5, 5), np.uint8)).save(tmp_path / "old/case 01.png")
    Image.fromarray(np.full((24, 24), 7, np.uint8)).save(tmp_path / "old/case 02.png")
    Image.fromarray(np.zeros((24, 24), np.uint8)).save(tmp_path / "old/ward/case 09.png")
    (tmp_path / "old/notes.txt").write_text("not a mask")
    assert alkit("import", "c.db", "--masks", "old", "--json") == 1
    found = json.loads(capfd.readouterr().out)
    assert found["taken"] == ["case 03"]
    reasons = {entry["id"]: entry["reason"] for entry in found["refused"]}
    assert sorted(reasons) == ["case 00", "case 01", "case 02", "ward/case 09.png"]
    assert "has an unknown format" in reasons["case 00"]
    assert "has another size than its image: got 5 x 5 pixels" in reasons["case 01"]
    assert "values outside its classes" in reasons["case 02"]
    assert reasons["ward/case 09.png"] == "no image of the pool has this mask"
    check_labels(place, ["case 03"], "old")


def test_a_pattern_says_which_file_is_the_mask_of_which_image(place, tmp_path):
    (tmp_path / "other").mkdir()
    Image.fromarray(place["case 07"] * 255).save(tmp_path / "other/case 07_mask.png")
    assert alkit("import", "c.db", "--masks", "other", "--mask-pattern", "{id}_mask.png", "--source", "study 7") == 0
    check_labels(place, ["case 07"], "study 7")


def test_gray_levels_are_classes_from_a_threshold_on(place, tmp_path):
    (tmp_path / "other").mkdir()
    Image.fromarray(place["case 07"] * 100 + 50).save(tmp_path / "other/case 07.png")
    assert alkit("import", "c.db", "--masks", "other", "--threshold", "128") == 0
    check_labels(place, ["case 07"], "other")


@pytest.mark.parametrize("form", ["coco", "cvat"])
def test_files_of_annotation_tools_are_imported(place, tmp_path, form, capfd):
    ids = ["case 02", "case 05"]
    queries = [Query(id, 0, rank, ((24, 24),)) for rank, id in enumerate(ids)]
    pool = Experiment.open("c.db").pool
    (path,) = FORMATS[form].write(tmp_path / "out", queries, pool, SPEC, {id: place[id] for id in ids})
    text = path.read_text()
    for query in queries:
        text = text.replace(query.key, query.id)
    text = text.replace("case 05", "strange") if form == "coco" else text
    (tmp_path / f"labels.{form}").write_text(text)
    code = alkit("import", "c.db", f"--{form}", f"labels.{form}", "--annotator", "bob")
    said = capfd.readouterr().out
    assert code == (1 if form == "coco" else 0)
    if form == "coco":
        assert "refused: labels.coco: images that are not in the pool have annotations: 'strange.png'" in said
    check_labels(place, ids[:1] if form == "coco" else ids, f"labels.{form}", "bob")


def test_a_table_names_masks_and_annotators(place, tmp_path, capfd):
    rows = "id,mask,annotator\ncase 00,old/case 00.png,ann\ncase 01,old/missing.png,bob\n,x.png,\ncase 03,,\n"
    (tmp_path / "labels.csv").write_text(rows)
    assert alkit("import", "c.db", "--csv", "labels.csv") == 1
    said = capfd.readouterr().out
    assert "refused: case 01: old/missing.png cannot be read" in said
    assert "refused: line 4 of labels.csv: line 4 of labels.csv lacks the id" in said
    assert "refused: case 03: line 5 of labels.csv lacks the mask" in said
    check_labels(place, ["case 00"], "labels.csv", "ann")


def test_a_table_cannot_read_masks_outside_of_its_folder(place, tmp_path, capfd):
    (tmp_path / "tables").mkdir()
    (tmp_path / "tables/link.png").symlink_to(tmp_path / "old/case 00.png")
    rows = f"id,mask\ncase 00,../old/case 00.png\ncase 01,{tmp_path}/old/case 01.png\ncase 02,link.png\n"
    (tmp_path / "tables/labels.csv").write_text(rows)
    assert alkit("import", "c.db", "--csv", "tables/labels.csv") == 1
    assert capfd.readouterr().out.count("masks in other folders are not read") == 3
    assert answers() == {}
    (tmp_path / "tables/labels.csv").write_text("id,mask\ncase 00,case 00.png\n")
    assert alkit("import", "c.db", "--csv", "tables/labels.csv", "--masks", "old") == 0
    check_labels(place, ["case 00"], "labels.csv")


def test_a_label_that_differs_from_an_answer_needs_revise(place, tmp_path, capfd):
    experiment = Experiment.open("c.db")
    (id,) = experiment.ask(1)
    experiment.tell({id: place[id]}, annotator="ann")
    (tmp_path / "other").mkdir()
    Image.fromarray(255 - place[id] * 255).save(tmp_path / f"other/{id}.png")
    assert alkit("import", "c.db", "--masks", "other") == 1
    said = capfd.readouterr().out
    assert f"'{id}' was asked for and has an answer of 'ann' already" in said
    assert "Try: alkit import --revise." in said
    assert alkit("import", "c.db", "--masks", "other", "--revise") == 0


@pytest.mark.parametrize(
    ("options", "reason"),
    [
        ([], "one of --masks, --coco, --cvat, --csv and --nifti must be given"),
        (["--coco", "a.json", "--csv", "a.csv"], "got --coco, --csv"),
        (["--masks", "nowhere"], "--masks must be an existing folder"),
        (["--masks", "images/case 00.png"], "--masks must be an existing folder"),
        (["--masks", "old", "--mask-pattern", "mask.png"], "--mask-pattern must contain {id}"),
        (["--masks", "old", "--source", "a\nb"], "--source must be text in one line"),
        (["--csv", "a.csv", "--threshold", "9"], "--threshold can be used only with --masks"),
        (["--coco", "nowhere.json"], "nowhere.json cannot be read"),
        (["--csv", "nowhere.csv"], "nowhere.csv cannot be read as a CSV file"),
        (
            ["--csv", "a.csv", "--empty-is-background"],
            "--empty-is-background can be used only with --coco, --cvat or --nifti",
        ),
    ],
    ids=range(10),
)
def test_wrong_options_are_refused_in_one_line(place, capfd, options, reason):
    assert alkit("import", "c.db", *options) == 1
    assert reason in capfd.readouterr().err
    assert answers() == {}
