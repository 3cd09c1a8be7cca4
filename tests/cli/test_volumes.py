"""Volumes on the command line: simulated and labelled by people, resumed, moved, and wrong options by their names."""

from __future__ import annotations

import json
import os

import nibabel
import numpy as np
import pytest

from alkit import Experiment
from tests.support.commandline import alkit
from tests.support.volumes import write_nifti

SMALL = ("--strategy", "random", "--recipe", "paper", "--widths", "2,4", "--steps", "2,1", "--size", "8")
LONG_AGO = 1_700_000_000
CLASSES = ("--classes", "background,organ")


@pytest.fixture
def folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for number in range(5):
        noise = np.random.default_rng(number).integers(100, size=(10, 12, 4))
        labels = np.zeros((10, 12, 4), np.uint8)
        labels[2:7, 3:8] = 1
        write_nifti(tmp_path / "images" / f"p{number}.nii.gz", (noise + 500.0 * labels).astype(np.int16))
        write_nifti(tmp_path / "labels" / f"p{number}.nii.gz", labels)
    return tmp_path


def run(*arguments):
    start = ("--start", 4, "--batch", 2, "--rounds", 1, "--test-fraction", 0.2)
    return alkit("run", "--volumes", "images", "--store", "r.db", *SMALL, *start, *arguments)


def test_a_simulation_on_volumes_resumes(folder, capsys):
    assert run("--labels", "labels", *CLASSES, "--window", "0,600", "--context", 1) == 0
    capsys.readouterr()
    assert run("--labels", "labels", *CLASSES, "--window", "0,600", "--context", 1, "--json") == 0
    first = json.loads(capsys.readouterr().out)
    assert [row["labels"] for row in first["rounds"]] == [4, 6]
    assert run("--labels", "labels", *CLASSES, "--window", "0,600", "--context", 1, "--rounds", 2, "--json") == 0
    assert len(json.loads(capsys.readouterr().out)["rounds"]) == 3


def test_another_window_is_another_pool(folder, capsys):
    assert run("--labels", "labels", *CLASSES, "--window", "0,600") == 0
    assert run("--labels", "labels", *CLASSES, "--window", "0,500") == 1
    assert "changed: 'p" in capsys.readouterr().err


def test_labels_with_other_names_and_values(folder):
    for path in (folder / "labels").glob("*.nii.gz"):
        path.rename(path.with_name(path.name.replace(".nii", "-seg.nii")))
    options = ("--mask-pattern", "{volume}-seg.nii.gz", "--values", "0=background,1=organ")
    assert run("--labels", "labels", *CLASSES, *options) == 0


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("--images", "images"), "either --images or --volumes must be given: got both"),
        ((), "the labels of the volumes are missing. Try: --labels FOLDER"),
        (("--labels", "nowhere"), "--labels must be an existing folder of labels: got nowhere"),
        (
            ("--labels", "labels", "--masks", "labels"),
            "--masks cannot be used with --volumes, because their labels are volumes. Try: --labels FOLDER",
        ),
        (("--labels", "labels", "--axis", "up"), "--axis must be 'axial'"),
        (("--labels", "labels", "--window", "1%,3"), "--window must be two values or two percentiles: got '1%,3'"),
        (("--labels", "labels", "--window", "5%,3%"), "--window must be two finite numbers, the lower first"),
        (("--labels", "labels", "--spacing", -1), "--spacing must be"),
        (("--labels", "labels", "--modalities", "t1"), "--modalities must be file names with {volume}"),
        (("--labels", "labels", "--mask-pattern", "{id}_seg.png"), "--mask-pattern must contain {volume}"),
    ],
)
def test_wrong_options_are_named(folder, capsys, arguments, message):
    assert run(*arguments, *CLASSES) == 1
    assert message in " ".join(capsys.readouterr().err.split())


def test_options_of_volumes_need_volumes(folder, capsys):
    assert alkit("start", "c.db", "--images", "images", *CLASSES, "--axis", "coronal") == 1
    assert "--axis can be used only with --volumes" in capsys.readouterr().err
    assert alkit("start", "c.db", *CLASSES) == 1
    assert "either --images or --volumes must be given: got neither" in capsys.readouterr().err


def test_people_label_slices_as_pictures(folder, capsys):
    from PIL import Image

    assert alkit("start", "c.db", "--volumes", "images", *CLASSES, *SMALL, "--axis", "coronal", "--stop-set", 0) == 0
    assert "60 images, read at 8 x 8 pixels" in capsys.readouterr().out
    assert alkit("ask", "c.db", "-n", 3, "--out", "out") == 0
    pictures = sorted(folder.glob("out/r00-*/image.png"))
    assert len(pictures) == 3
    for path in pictures:
        with Image.open(path) as picture:
            assert picture.size == (10, 4)  # 10 voxels to the left, 4 to the head
        answer = folder / "out" / "ann" / f"{path.parent.name}.png"
        answer.parent.mkdir(exist_ok=True)
        Image.fromarray(np.eye(4, 10, dtype=np.uint8)).save(answer)
        os.utime(answer, (LONG_AGO, LONG_AGO))
    (folder / "images").rename(folder / "moved")
    assert alkit("tell", "c.db") == 0
    assert alkit("fit", "c.db") == 1
    assert "moved" not in capsys.readouterr().out
    assert alkit("fit", "c.db", "--volumes", "moved") == 0


def test_people_label_slices_in_whole_volumes(folder, capsys):
    assert alkit("start", "c.db", "--volumes", "images", *CLASSES, *SMALL, "--hold-out", 0, "--stop-set", 0) == 0
    assert alkit("ask", "c.db", "-n", 3, "--out", "out", "--as", "nifti") == 0
    sent = sorted(folder.glob("out/r00-nifti/labels/*.nii.gz"))
    (folder / "out" / "ann").mkdir()
    for path in sent:
        truth = nibabel.load(folder / "labels" / path.name.removeprefix("r00-").partition("-")[2])
        labels = np.asarray(truth.dataobj).copy()
        labels[:, :, 1::2] = 0
        nibabel.Nifti1Image(labels, truth.affine).to_filename(folder / "out" / "ann" / path.name)
        os.utime(folder / "out" / "ann" / path.name, (LONG_AGO, LONG_AGO))
    capsys.readouterr()
    assert alkit("tell", "c.db", "--json") in (0, 3)
    told = json.loads(capsys.readouterr().out)
    asked = [json.loads(path.read_text())["image"] for path in folder.glob("out/r00-0*/query.json")]
    labelled = {id for id in asked if id.endswith(("axial-0000", "axial-0002"))}
    assert {answer["id"] for answer in told["taken"]} == labelled
    assert set().union(*told["unannotated"].values()) == set(asked) - labelled
    strange = [answer for answer in told["refused"] if "not asked for" in answer["reason"]]
    assert len(strange) == len(sent)
    assert alkit("tell", "c.db", "--empty-is-background") in (0, 3)
    assert alkit("fit", "c.db") == 0
    capsys.readouterr()
    assert alkit("predict", "c.db", "--volumes", "images", "--out", "predicted") == 0
    assert "5 volumes predicted" in capsys.readouterr().out
    for path in (folder / "images").iterdir():
        found, image = nibabel.load(folder / "predicted" / "masks" / path.name), nibabel.load(path)
        assert found.shape == image.shape
        np.testing.assert_array_equal(found.affine, image.affine)
    assert alkit("predict", "c.db", "--images", "images", "--out", "others") == 1
    assert "alkit predict --volumes" in capsys.readouterr().err
    assert alkit("predict", "c.db", "--out", "others") == 1
    assert "either --images or --volumes must be given" in capsys.readouterr().err


def started(name):
    return alkit("start", name, "--volumes", "images", *CLASSES, *SMALL, "--hold-out", 0, "--stop-set", 0)


def as_json(capsys, *arguments, code=0):
    capsys.readouterr()
    assert alkit(*arguments, "--json") == code
    return json.loads(capsys.readouterr().out)


def test_labels_that_exist_are_imported_and_exported_as_volumes(folder, capsys):
    for path in (folder / "labels").iterdir():
        image = nibabel.load(path)
        labels = np.asarray(image.dataobj).copy()
        labels[:, :, 2] = 0
        nibabel.Nifti1Image(labels, image.affine).to_filename(path)
    (folder / "labels" / "p4.nii.gz").unlink()
    assert started("a.db") == 0
    told = as_json(capsys, "import", "a.db", "--nifti", "labels", "--annotator", "ann")
    assert sorted(told["taken"]) == [f"p{n}/axial-000{index}" for n in range(4) for index in (0, 1, 3)]
    told = as_json(capsys, "import", "a.db", "--nifti", "labels", "--annotator", "ann", "--empty-is-background")
    assert sorted(told["taken"]) == [f"p{n}/axial-0002" for n in range(4)]
    assert alkit("export", "a.db", "--labels", "nifti", "--out", "out") == 0
    for path in (folder / "labels").iterdir():
        one, other = nibabel.load(path), nibabel.load(folder / "out" / "volumes" / path.name)
        np.testing.assert_array_equal(one.dataobj, other.dataobj)
        np.testing.assert_array_equal(one.affine, other.affine)
    assert "--nifti OUT/volumes" in (folder / "out" / "DATACARD.md").read_text()
    assert started("b.db") == 0
    told = as_json(capsys, "import", "b.db", "--nifti", "out/volumes")
    assert len(told["taken"]) == 16  # all of those that are background, too
    assert alkit("export", "b.db", "--labels", "nifti", "--out", "again") == 0
    for path in (folder / "out" / "volumes").iterdir():
        assert path.read_bytes() == (folder / "again" / "volumes" / path.name).read_bytes()
    assert alkit("export", "a.db", "--labels", "nifti", "--out", "apart", "--per-annotator") == 0
    assert (folder / "apart" / "volumes" / "ann" / "p0.nii.gz").is_file()
    assert started("c.db") == 0
    assert len(as_json(capsys, "import", "c.db", "--nifti", "apart/volumes/ann")["taken"]) == 16


def test_segmentations_need_volumes(folder, capsys):
    assert alkit("predict", "r.db", "--images", "images", "--out", "out", "--dicom-seg") == 1
    assert "--dicom-seg can be used only with --volumes" in capsys.readouterr().err


def test_labels_that_fit_no_volume_are_listed(folder, capsys):
    (folder / "labels" / "p1.nii.gz").rename(folder / "labels" / "other.nii.gz")
    write_nifti(folder / "labels" / "p2.nii.gz", np.zeros((10, 12, 5), np.uint8))
    (folder / "labels" / "p3.nii.gz").write_text("text")
    assert started("a.db") == 0
    told = as_json(capsys, "import", "a.db", "--nifti", "labels", code=1)
    assert {id.partition("/")[0] for id in told["taken"]} == {"p0", "p4"}
    reasons = {entry["id"]: entry["reason"] for entry in told["refused"]}
    assert set(reasons) == {"other.nii.gz", "p2", "p3"}
    assert "10 x 12 x 5 voxels, not 10 x 12 x 4" in reasons["p2"]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("--nifti", "nowhere"), "--nifti must be an existing folder of labels"),
        (("--nifti", "empty"), "empty contains no volume of labels. Try: --mask-pattern '{volume}_seg.nii.gz'"),
        (("--masks", "labels"), "labels contains no mask: expected files that end in"),
        (("--masks", "labels"), "Try: --nifti, which reads volumes of labels"),
        (("--nifti", "labels", "--mask-pattern", "{id}.nii"), "--mask-pattern must contain {volume}"),
        (("--nifti", "labels", "--masks", "labels"), "one of --masks, --coco, --cvat, --csv and --nifti must be given"),
    ],
)
def test_wrong_options_of_an_import_are_named(folder, capsys, arguments, message):
    (folder / "empty").mkdir()
    assert started("a.db") == 0
    capsys.readouterr()
    assert alkit("import", "a.db", *arguments) == 1
    assert message in " ".join(capsys.readouterr().err.split())


def test_volumes_are_added(folder):
    late = folder / "images" / "p4.nii.gz"
    (folder / "new").mkdir()
    late.rename(folder / "new" / late.name)
    assert started("a.db") == 0
    assert alkit("ask", "a.db", "-n", 2, "--out", "exchange") == 0
    before = Experiment.open("a.db").pool
    assert alkit("add", "a.db", "--volumes", "new") == 0
    after = Experiment.open("a.db").pool
    assert set(before.ids) < set(after.ids)
    assert set(after.parents_of(after.ids)) - set(before.parents_of(before.ids)) == {"new/p4"}
