"""A fixed test set in folders of its own, for simulations and campaigns."""

from __future__ import annotations

import json

import pytest
from commandline import alkit
from PIL import Image

from alkit import Experiment, synthetic
from alkit.record import described

SMALL = "--size 16 --widths 2,4 --steps 1,1 --recipe paper --grayscale --strategy random".split()


@pytest.fixture
def place(tmp_path, monkeypatch):
    """Return a folder with images and masks for the pool and for tests; their files have the same names."""
    images, masks = synthetic.lesions(18, size=24)
    for number, (image, mask) in enumerate(zip(images, masks, strict=True)):
        side, name = ("", number) if number < 12 else ("test-", number - 12)
        for folder, content in ((f"{side}images", image[0]), (f"{side}masks", mask * 255)):
            (tmp_path / folder).mkdir(exist_ok=True)
            Image.fromarray(content).save(tmp_path / folder / f"{name:02}.png")
    monkeypatch.chdir(tmp_path)
    return tmp_path


TEST = ["--test-images", "test-images", "--test-masks", "test-masks"]


def run(*more):
    own = "--images images --masks masks --classes skin,lesion --start 4 --batch 2 --rounds 1 --store r.db".split()
    return alkit("run", *own, *SMALL, *more)


def begin(*more):
    return alkit("start", "c.db", "--images", "images", "--classes", "skin,lesion", *SMALL, "--stop-set", "0", *more)


def test_a_run_measures_each_round_on_it_and_chooses_among_all_other_images(place, capfd):
    assert run(*TEST, "--json") == 0
    facts = json.loads(capfd.readouterr().out)
    assert facts["schedule"]["test"]["images"] == 6
    assert facts["measured_on"] == "test set"
    assert [round["labels"] for round in facts["rounds"]] == [4, 6]
    assert facts["left"] == 6
    assert run(*TEST, "--rounds", "2") == 0  # the same test set again
    assert alkit("status", "r.db", "--json") == 0
    said = capfd.readouterr().out
    assert json.loads(said[said.index("\n{") :])["rounds"][:2] == facts["rounds"]


def test_images_of_it_in_the_pool_are_refused_by_content(place, capfd):
    content = (place / "test-images/03.png").read_bytes()
    (place / "images/copy.png").write_bytes(content)
    (place / "masks/copy.png").write_bytes((place / "test-masks/03.png").read_bytes())
    for command in (run, begin):
        assert command(*TEST) == 1
        said = capfd.readouterr().err
        assert "contains 1 image of the pool: got '03', which is identical to 'copy'" in said
    assert not (place / "c.db").exists()


def test_a_campaign_measures_each_round_on_it(place, capfd):
    assert begin(*TEST, "--hold-out", "0") == 0
    assert alkit("import", "c.db", "--masks", "masks") == 0
    capfd.readouterr()
    assert alkit("fit", "c.db") == 0
    said = capfd.readouterr().out
    assert "trained on 12 labels, 12 of which nobody asked for, dice" in said
    assert "on the test set." in said
    assert alkit("status", "c.db", "--json") == 0
    facts = json.loads(capfd.readouterr().out)
    assert facts["measured_on"] == "test set"
    (round,) = facts["rounds"]
    test, oracle = _by_hand(place)
    assert Experiment.open("c.db").evaluate(test, oracle)["dice"] == pytest.approx(round["metrics"]["dice"])


def _by_hand(place):
    import alkit

    images = {path.stem: path for path in sorted((place / "test-images").iterdir())}
    for id, path in images.items():
        (place / "renamed").mkdir(exist_ok=True)
        (place / f"renamed/t{id}.png").write_bytes(path.read_bytes())
    test = alkit.ImagePool(place / "renamed", size=16, grayscale=True)
    masks = {f"t{id}": alkit.labels.read_mask(place / f"test-masks/{id}.png") for id in images}
    return test, alkit.MaskOracle(masks, classes=("skin", "lesion"))


def test_it_cannot_change_after_a_round_nor_silently(place, capfd):
    assert begin(*TEST, "--hold-out", "0") == 0
    assert alkit("import", "c.db", "--masks", "masks") == 0
    other = place / "test-images/00.png"
    before = other.read_bytes()
    Image.new("L", (24, 24), 7).save(other)
    capfd.readouterr()
    assert alkit("fit", "c.db") == 1
    assert "are not those that" in capfd.readouterr().err
    assert alkit("change", "c.db", "--size", "8") == 0
    assert alkit("fit", "c.db") == 1
    assert "are not those that" in capfd.readouterr().err
    other.write_bytes(before)
    assert alkit("change", "c.db", "--size", "16") == 0
    assert alkit("fit", "c.db") == 0
    Image.new("L", (24, 24), 7).save(other)
    capfd.readouterr()
    assert begin(*TEST, "--hold-out", "0") == 1
    assert "has a committed round, so its test set cannot change any more" in capfd.readouterr().err
    other.write_bytes(before)
    (place / "test-masks").rename(place / "elsewhere")
    assert alkit("import", "c.db", "--masks", "masks") == 0
    assert alkit("fit", "c.db") == 1
    assert "test-masks does not exist any more" in capfd.readouterr().err


def test_images_of_it_cannot_be_added_to_the_pool(place, capfd):
    assert begin(*TEST, "--hold-out", "0") == 0
    assert alkit("add", "c.db", "--images", "test-images") == 1
    assert "contains 6 images of the pool" in capfd.readouterr().err


@pytest.mark.parametrize(
    ("options", "reason"),
    [
        (TEST[:2], "--test-images and --test-masks must be given together: got no --test-masks"),
        (TEST[2:], "--test-images and --test-masks must be given together: got no --test-images"),
        ([*TEST, "--test-fraction", "0.2"], "--test-fraction and --test-images cannot be used together"),
        (["--test-images", "masks", "--test-masks", "images"], "has no mask|cannot be used|values"),
    ],
    ids=range(4),
)
def test_wrong_options_are_refused_in_one_line(place, capfd, options, reason):
    import re

    assert run(*options) == 1
    assert re.search(reason, capfd.readouterr().err)


def test_the_images_of_a_large_one_that_only_a_record_names_are_not_read(place, capfd, monkeypatch, tmp_path_factory):
    """A stranger's record could name the root of the disk."""
    assert begin(*TEST) == 0
    assert alkit("ask", "c.db", "-n", "2", "--out", "exchange") == 0
    monkeypatch.setenv("ALKIT_STATE", str(tmp_path_factory.mktemp("other")))
    for most, is_read in ((5, False), (6, True)):
        monkeypatch.setattr(described, "MOST_OTHERS", most)
        assert alkit("fit", "c.db", "--images", "images") == 1
        said = capfd.readouterr().err
        assert ("the folder of test images" in said and "was not named on this machine" in said) != is_read
