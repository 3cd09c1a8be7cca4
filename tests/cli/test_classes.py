"""`alkit run` and `alkit start` classify images, from class folders, tables and answers in tables."""

import csv
import json
import os

import numpy as np
import pytest
from commandline import alkit
from PIL import Image

NAMES = ("cat", "dog", "fox")
FAST = "--size", "16", "--widths", "2,4", "--steps", "2,2", "--features", "reconstruction", "--pretext-epochs", "1"


@pytest.fixture
def photos(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    rng = np.random.default_rng(0)
    with open("labels.csv", "w") as table:
        table.write("id,class\n")
        for number in range(24):
            name = NAMES[number % 3]
            pixels = rng.integers(0, 40, (18, 20, 3), np.uint8)
            pixels[..., number % 3] += 150
            for folder, own in ((f"folders/{name}", number), ("flat", number)):
                os.makedirs(folder, exist_ok=True)
                Image.fromarray(pixels).save(f"{folder}/{own}.png")
            table.write(f"{number}.png,{name}\n")
    return tmp_path


def test_a_run_on_class_folders_and_one_on_a_table_measure_classes(photos, capfd):
    more = "--strategy", "random", "--start", "6", "--batch", "3", "--rounds", "1", "--json", *FAST
    assert alkit("run", "--images", "folders", "--labels", "folders", "--store", "a.db", *more) == 0
    rounds = json.loads(capfd.readouterr().out)["rounds"]
    assert [entry["labels"] for entry in rounds] == [6, 9]
    assert {"accuracy", "balanced_accuracy", "f1"} <= set(rounds[0]["metrics"])
    assert alkit("run", "--images", "flat", "--labels", "labels.csv", "--store", "b.db", *more) == 0
    assert [entry["labels"] for entry in json.loads(capfd.readouterr().out)["rounds"]] == [6, 9]


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ((), "images must have either --masks or --labels: got neither"),
        (("--labels", "folders", "--masks", "m"), "images must have either --masks or --labels: got both"),
        (("--labels", "folders"), "24 of 24 images are in no folder with the name of a class"),
        (("--labels", "none.csv"), "--labels must be a CSV file that can be read"),
        (("--labels", "short.csv"), "23 images have no label"),
        (("--labels", "labels.csv", "--classes", "cat,dog"), "must be a class: got 'fox'"),
        (("--labels", "labels.csv", "--threshold", "3"), "--threshold can be used only with --masks"),
        (("--labels", "labels.csv", "--recipe", "paper"), "--recipe is for the learner segmentation"),
        (("--labels", "other.csv"), "--labels must give the images two or more classes: got none of their ids"),
    ],
)
def test_labels_that_do_not_fit_are_an_error_before_any_image_is_read(photos, capfd, options, words):
    (photos / "short.csv").write_text("id,class\n0,cat\nx,dog\n")
    (photos / "other.csv").write_text("id,class\nx,cat\ny,dog\n")
    if "short.csv" in options:
        options = (*options, "--classes", "cat,dog")
    assert alkit("run", "--images", "flat", "--store", "a.db", *options, *FAST) == 1
    assert words in capfd.readouterr().err
    assert not (photos / "a.db").exists()


def test_a_campaign_asks_people_for_classes_and_its_model_predicts_them(photos, capfd):
    start = "--images", "flat", "--per", "image", "--classes", ",".join(NAMES), "--strategy", "random", *FAST
    assert alkit("start", "c.db", *start, "--hold-out", "0", "--stop-set", "0") == 0
    assert "a classifier without a pre-trained encoder" in capfd.readouterr().out
    assert alkit("ask", "c.db", "-n", "6", "--out", "ex", "--as", "csv") == 0
    with open("ex/r00-csv/annotations.csv", encoding="utf-8-sig") as file:
        (header, *rows) = list(csv.reader(file))
    with open("labels.csv") as file:
        known = dict(csv.reader(file))
    os.makedirs("ex/ann")
    with open("ex/ann/answers.csv", "w") as file:
        classes = [known[name.split("-")[-1]] for name, _ in rows]
        csv.writer(file).writerows([header, *zip([name for name, _ in rows], [*classes[:-1], "skip"], strict=True)])
    os.utime("ex/ann/answers.csv", (1_700_000_000, 1_700_000_000))
    capfd.readouterr()
    assert alkit("tell", "c.db") == 0
    assert "New answers: 6, known before: 0, images still open: 0." in capfd.readouterr().out
    assert alkit("tell", "c.db", "--from", "ex/ann/answers.csv", "--annotator", "ann") == 0
    assert "New answers: 0, known before: 6" in capfd.readouterr().out
    assert alkit("fit", "c.db") == 0
    capfd.readouterr()
    assert alkit("status", "c.db", "--json") == 0
    assert [entry["labels"] for entry in json.loads(capfd.readouterr().out)["rounds"]] == [5]
    assert alkit("predict", "c.db", "--images", "flat", "--out", "predicted") == 0
    lines = (photos / "predicted" / "classes.csv").read_text().splitlines()
    assert len(lines) == 25
    assert all(line.split(",")[1] in NAMES for line in lines[1:])
    assert alkit("export", "c.db", "--out", "model") == 0
    assert (photos / "model" / "model.pt2").exists()
