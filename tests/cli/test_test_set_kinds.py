"""A fixed test set of slices of volumes, of tiles of large images, and of classes of images."""

from __future__ import annotations

import json
import shutil

import nibabel
import numpy as np
import pytest
from commandline import alkit
from PIL import Image

from alkit import Experiment

FAST = "--recipe paper --widths 2,4 --strategy random --seed 3".split()
ROUNDS = "--start 4 --batch 2 --rounds 1 --json".split()


def round_of(capfd, command, *options):
    assert alkit(command, *options) == 0
    said = capfd.readouterr().out
    facts = json.loads(said[said.index("{\n") :])
    assert facts["measured_on"] == "test set"
    return facts


def volumes(place, name, numbers, empty=0):
    for number in numbers:
        values = np.random.default_rng(number).integers(1, 100, size=(10, 12, 4))
        values[..., :empty] = 0
        labels = np.zeros((10, 12, 4), np.int16)
        labels[2:7, 3:8] = 1
        for kind, array in (("", (values + 500 * labels * (values > 0)).astype(np.int16)), ("-labels", labels)):
            (place / f"{name}{kind}").mkdir(exist_ok=True)
            image = nibabel.Nifti1Image(array, np.diag([-1, 1, 3, 1]))
            image.to_filename(place / f"{name}{kind}" / f"p{number}.nii.gz")


OF_VOLUMES = "--volumes pool --size 8 --steps 2,1 --classes background,organ --window 0,600".split()
TEST_VOLUMES = "--test-volumes test --test-labels test-labels".split()


@pytest.fixture
def place(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.mark.slow
def test_slices_of_test_volumes_are_measured_and_empty_ones_may_occur_in_both(place, capfd):
    volumes(place, "pool", range(3), empty=1)
    volumes(place, "test", range(3, 5), empty=1)
    facts = round_of(
        capfd, "run", *OF_VOLUMES, "--labels", "pool-labels", *TEST_VOLUMES, *FAST, *ROUNDS, "--store", "r.db"
    )
    assert facts["schedule"]["test"]["images"] == 8  # the slices of two volumes
    assert facts["left"] == 12 - 6
    assert alkit("start", "c.db", *OF_VOLUMES, *FAST, *TEST_VOLUMES, "--hold-out", "0") == 0
    assert alkit("import", "c.db", "--nifti", "pool-labels", "--empty-is-background") == 0
    assert alkit("fit", "c.db") == 0
    assert "on the test set." in capfd.readouterr().out
    assert len(Experiment.open("c.db").history[-1].metrics) > 0
    shutil.rmtree("test-labels")
    assert alkit("import", "c.db", "--nifti", "pool-labels", "--empty-is-background", "--annotator", "other") == 0
    assert alkit("fit", "c.db") == 1
    assert "the folder of test masks" in (said := capfd.readouterr().err)
    assert "test-labels does not exist any more" in said


def test_a_volume_of_the_pool_in_the_test_set_is_refused(place, capfd):
    volumes(place, "pool", range(3))
    volumes(place, "test", range(2, 4))
    (place / "test/p2.nii.gz").rename(place / "test/q2.nii.gz")
    (place / "test-labels/p2.nii.gz").rename(place / "test-labels/q2.nii.gz")
    assert alkit("start", "c.db", *OF_VOLUMES, *FAST, *TEST_VOLUMES) == 1
    assert "test contains 4 images of the pool: got 'q2/axial-0000', which is identical to" in capfd.readouterr().err


@pytest.mark.slow
def test_tiles_of_large_test_images_are_measured_each_for_itself(place, capfd):
    for name, seeds in (("pool", (0, 1)), ("test", (2,))):
        for seed in seeds:
            for kind in ("", "-masks"):
                (place / f"{name}{kind}").mkdir(exist_ok=True)
                values = np.random.default_rng(seed).integers(0, 256, (40, 48), np.uint8)
                Image.fromarray(values if not kind else (values > 100).view(np.uint8)).save(f"{name}{kind}/{seed}.png")
    own = "--images pool --tiles 16 --margin 8 --grayscale --steps 2,1 --classes skin,lesion".split()
    test = "--test-images test --test-masks test-masks".split()
    facts = round_of(capfd, "run", *own, "--masks", "pool-masks", *test, *FAST, *ROUNDS, "--store", "r.db")
    assert facts["schedule"]["test"]["images"] == 9  # 3 x 3 tiles
    assert alkit("start", "c.db", *own, *test, *FAST, "--hold-out", "0") == 0
    assert alkit("import", "c.db", "--masks", "pool-masks", "--mask-pattern", "{image}.png") == 0
    assert alkit("fit", "c.db") == 0
    assert "on the test set." in capfd.readouterr().out


@pytest.mark.slow
def test_classes_of_test_images_come_from_folders_or_a_table(place, capfd):
    names = ("cat", "dog")
    for number in range(16):
        folder = place / ("pool" if number < 12 else "test") / names[number % 2]
        folder.mkdir(parents=True, exist_ok=True)
        values = np.random.default_rng(number).integers(0, 90, (16, 16, 3), np.uint8)
        values[..., number % 2] += 150
        Image.fromarray(values).save(folder / f"{number}.png")
    (place / "test.csv").write_text(
        "id,class\n" + "".join(f"{names[n % 2]}/{n}.png,{names[n % 2]}\n" for n in range(12, 16))
    )
    own = "--images pool --size 16 --widths 2,4 --steps 2,1 --strategy random".split()
    told = {}
    for labels in ("folders", "test.csv"):
        test = ["--test-images", "test", "--test-labels", labels]
        facts = round_of(capfd, "run", *own, "--labels", "folders", *test, *ROUNDS, "--store", f"{labels}.db")
        told[labels] = [entry["metrics"] for entry in facts["rounds"]]
    assert told["folders"] == told["test.csv"]
    test = "--test-images test --test-labels test.csv".split()
    assert alkit("start", "c.db", *own, "--per", "image", "--classes", "cat,dog", *test, "--hold-out", "0") == 0
    (place / "known.csv").write_text("id,label\n" + "".join(f"{names[n % 2]}/{n},{names[n % 2]}\n" for n in range(12)))
    assert alkit("import", "c.db", "--csv", "known.csv") == 0
    (place / "test.csv").rename(place / "moved.csv")
    assert alkit("fit", "c.db") == 1
    assert "the table of test labels" in capfd.readouterr().err
    (place / "moved.csv").rename(place / "test.csv")
    assert alkit("fit", "c.db") == 0
    assert "accuracy" in (said := capfd.readouterr().out)
    assert "on the test set." in said


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (
            ("--volumes", "x", "--test-images", "x", "--test-masks", "y"),
            "of volumes must be given by --test-volumes and --test-labels: got --test-images and --test-masks",
        ),
        (("--images", "x", "--test-labels", "y"), "must be given by --test-images and --test-masks: got --test-labels"),
        (
            ("--images", "x", "--per", "image", "--test-images", "y"),
            "--test-images and --test-labels must be given together: got no --test-labels",
        ),
    ],
    ids=range(3),
)
def test_options_of_another_kind_of_test_set_are_named(place, capfd, options, words):
    assert alkit("start", "c.db", "--classes", "a,b", *options) == 1
    assert words in " ".join(capfd.readouterr().err.split())
