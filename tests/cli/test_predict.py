"""What people see of ``alkit predict`` and ``alkit export``."""

import shutil
import sys

import numpy as np
import pytest
from commandline import alkit
from PIL import Image

FAST = "--size 16 --widths 2,4 --epochs 2,1 --start 4 --batch 2 --grayscale --strategy random".split()


@pytest.fixture
def campaign(folders, capfd):
    """Return a folder with a record r.db that has a model, and new images in new/."""
    places = "--images", folders / "images", "--masks", folders / "masks", "--store", folders / "r.db"
    assert alkit("run", *places, *FAST, "--rounds", "0") == 0
    shutil.move(folders / "images", folders / "new")
    for path in sorted((folders / "new").iterdir())[3:]:
        path.unlink()
    capfd.readouterr()
    return folders


def predict(campaign, *more):
    return alkit("predict", campaign / "r.db", "--images", campaign / "new", "--out", campaign / "out", *more)


def test_new_images_are_predicted_and_existing_files_are_overwritten_only_with_overwrite(campaign, capfd):
    assert predict(campaign) == 0
    said = capfd.readouterr()
    assert "3 images predicted" in said.out
    assert sorted(path.name for path in (campaign / "out").rglob("*.*")) == [
        f"00{n}.{kind}" for n in range(3) for kind in ("jpg", "png")
    ]
    assert set(np.unique(Image.open(campaign / "out" / "masks" / "000.png"))) <= {0, 1}
    assert predict(campaign) == 1
    (line,) = capfd.readouterr().err.splitlines()
    assert "6 of the files" in line
    assert predict(campaign, "--overwrite", "--no-overlays", "--pattern", "00[12].png") == 0
    assert "2 images predicted" in capfd.readouterr().out


def test_an_image_that_cannot_be_read_is_reported_and_the_others_are_predicted(campaign, capfd):
    (campaign / "new" / "001.png").write_bytes(b"")
    assert predict(campaign, "--no-overlays") == 1
    said = capfd.readouterr()
    assert "2 images predicted" in said.out
    first, last = said.err.splitlines()
    assert "001.png cannot be decoded" in first
    assert "1 of 3 images could not be predicted" in last
    assert sorted(path.name for path in (campaign / "out").rglob("*.*")) == ["000.png", "002.png"]


def test_an_image_that_cannot_be_read_any_more_does_not_keep_an_earlier_prediction(campaign):
    assert predict(campaign) == 0
    (campaign / "new" / "001.png").write_bytes(b"")
    (campaign / "new" / "002.png").unlink()
    (campaign / "new" / "002.png").symlink_to("nothing")
    assert predict(campaign, "--overwrite") == 1
    assert sorted(path.name for path in (campaign / "out").rglob("*.*")) == ["000.jpg", "000.png"]


@pytest.mark.parametrize(
    ("more", "words"),
    [
        (["--images", "nowhere"], "--images must be an existing folder of images: got nowhere"),
        (["--pattern", "*.bmp"], "no images"),
        (["--device", "abacus"], "abacus"),
    ],
)
def test_an_error_is_one_line_and_nothing_is_written(campaign, capfd, more, words):
    assert predict(campaign, *more) == 1
    (line,) = capfd.readouterr().err.splitlines()
    assert line.startswith("alkit: ")
    assert words in line
    assert not (campaign / "out").exists()


def test_without_a_record_or_a_model_the_next_command_is_named(folders, capfd):
    places = "--images", folders / "images", "--out", folders / "out"
    assert alkit("predict", folders / "r.db", *places) == 1
    assert "does not exist" in capfd.readouterr().err
    start = "--classes", "skin,lesion", "--size", 16, "--strategy", "random", "--grayscale"
    assert alkit("start", folders / "r.db", "--images", folders / "images", *start) == 0
    assert alkit("predict", folders / "r.db", *places) == 1
    assert "alkit fit" in capfd.readouterr().err


def test_ctrl_c_says_that_written_files_are_complete(campaign, capfd, monkeypatch):
    from alkit.trained import folder as prediction

    def interrupted(*_):
        raise KeyboardInterrupt

    monkeypatch.setattr(prediction, "overlay", interrupted)
    assert predict(campaign) == 130
    assert "--overwrite starts again" in capfd.readouterr().err


@pytest.mark.parametrize("command", ["predict", "export"])
def test_help_shows_an_example(capfd, command):
    assert alkit(command, "--help") == 0
    assert f"alkit {command}" in capfd.readouterr().out.split("Example")[1]


def test_the_model_is_exported_with_its_card(campaign, capfd):
    assert alkit("export", campaign / "r.db", "--out", campaign / "model") == 0
    assert "model.safetensors, model.pt2, card.json, CARD.md" in capfd.readouterr().out
    assert "# A model of background, object" in (campaign / "model" / "CARD.md").read_text()
    assert alkit("export", campaign / "r.db", "--out", campaign / "model") == 1
    (line,) = capfd.readouterr().err.splitlines()
    assert "already exist" in line
    assert alkit("export", campaign / "r.db", "--out", campaign / "model", "--overwrite") == 0


def test_an_export_that_fails_is_one_line(campaign, capfd, monkeypatch):
    monkeypatch.setitem(sys.modules, "onnxscript", None)
    assert alkit("export", campaign / "r.db", "--out", campaign / "model", "--format", "both") == 1
    (line,) = capfd.readouterr().err.splitlines()
    assert 'pip install "alkit[onnx]"' in line
    assert alkit("export", campaign / "none.db", "--out", campaign / "model") == 1
    assert "does not exist" in capfd.readouterr().err
    assert not (campaign / "model").exists()
