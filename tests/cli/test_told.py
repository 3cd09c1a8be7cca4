"""What ``alkit tell`` says about images without annotations, masks of ignored pixels, and people without a name."""

import json
import os
from pathlib import Path

import numpy as np
import pytest
from commandline import alkit
from PIL import Image

from alkit import Answer, Experiment, FolderOracle, LabelSpec, synthetic
from alkit.cli.told import about_ignored

LONG_AGO = 1_700_000_000
START = "--classes skin,lesion --size 16 --widths 2,4 --epochs 1,1 --grayscale --strategy random --ignore 255".split()


@pytest.fixture
def place(tmp_path, monkeypatch):
    """Return a folder with images at 24 pixels."""
    (tmp_path / "images").mkdir()
    for number, image in enumerate(synthetic.lesions(8, size=24)[0]):
        Image.fromarray(image[0]).save(tmp_path / f"images/{number}.png")
    monkeypatch.chdir(tmp_path)
    return tmp_path


def printed(capfd, *arguments):
    capfd.readouterr()
    assert alkit(*arguments) == 0
    return capfd.readouterr().out


def annotated(path, folder=Path("exchange")):
    """Write a COCO file in which the first image has a region; return the keys of all queries, the first one first."""
    content = json.loads((folder / "r00-coco" / "annotations.json").read_text())
    first = {"id": 1, "image_id": 1, "category_id": 1, "segmentation": [[2, 2, 9, 2, 9, 9]]}
    path.write_text(json.dumps(content | {"annotations": [first]}))
    os.utime(path, (LONG_AGO, LONG_AGO))
    return [Path(image["file_name"]).stem for image in content["images"]]


def test_tell_says_which_images_have_no_annotation_and_who_has_no_name(place, capfd):
    assert "alkit ask c.db -n 8" in printed(capfd, "start", "c.db", "--images", "images", *START)
    printed(capfd, "ask", "c.db", "-n", 3, "--out", "exchange", "--as", "coco")
    assert printed(capfd, "start", "c.db", "--images", "images", *START).rstrip().endswith("Next: alkit tell c.db")
    _, *others = annotated(Path("file.json"))
    said = printed(capfd, "tell", "c.db", "--from", "file.json")
    assert f"file.json lists 2 images without annotations, which stay open: {', '.join(others)}." in said
    assert "--empty-is-background labels them as background" in said
    assert "unnamed" not in said
    found = json.loads(printed(capfd, "tell", "c.db", "--from", "file.json", "--json"))
    assert {len(ids) for ids in found["unannotated"].values()} == {2}

    named = printed(capfd, "tell", "c.db", "--from", "file.json", "--annotator", "bob")
    assert "1 image has answers by an unnamed annotator and by bob, who count as different people" in named

    mask = np.zeros((24, 24), np.uint8)
    mask[4:9, 4:9] = 255
    folder = Path("exchange/ann")
    folder.mkdir()
    annotated(folder / "file.json")
    Image.fromarray(mask).save(folder / f"{others[0]}.png")
    os.utime(folder / f"{others[0]}.png", (LONG_AGO, LONG_AGO))
    said = printed(capfd, "tell", "c.db", "--from", "exchange")
    assert f"file.json lists 1 image without annotations, which stays open: {others[1]}." in said
    assert f"1 of the new masks has ignored pixels (255) and no pixel of 'lesion' (1): {others[0]}." in said

    said = printed(capfd, "tell", "c.db", "--from", "file.json", "--annotator", "bob", "--empty-is-background")
    assert "without annotations" not in said
    assert "images still open: 0" in said


@pytest.mark.parametrize(
    ("mask", "spec", "said"),
    [
        ([[0, 255]], LabelSpec(("skin", "lesion"), ignore=255), True),
        ([[1, 255]], LabelSpec(("skin", "lesion"), ignore=255), False),
        ([[0, 0]], LabelSpec(("skin", "lesion"), ignore=255), False),
        ([[0, 7]], LabelSpec(("skin", "lesion"), ignore=7), False),
        ([[0, 255]], LabelSpec(("skin", "lesion", "hair"), ignore=255), False),
    ],
)
def test_only_masks_in_which_255_can_mean_the_second_class_are_named(mask, spec, said):
    answer = Answer("a", np.array(mask, np.uint8))
    assert bool(list(about_ignored([answer], spec, {"a": "r00-0000-a"}))) is said


def test_the_round_says_if_all_masks_have_only_ignored_pixels(place, capfd):
    printed(capfd, "start", "c.db", "--images", "images", "--hold-out", 0, *START)
    experiment = Experiment.open("c.db")
    mask = np.zeros((24, 24), np.uint8)
    mask[4:9, 4:9] = 255
    experiment.tell(dict.fromkeys(experiment.ask(2), mask))
    assert "No mask has a pixel of 'lesion' (1), and 2 of 2 have ignored pixels" in " ".join(experiment.fit().warnings)
    mask[0:4] = 1
    experiment.tell(dict.fromkeys(experiment.ask(2), mask))
    assert not any("No mask has" in warning for warning in experiment.fit().warnings)


def test_a_folder_says_which_of_its_files_list_images_without_annotations(place, capfd):
    printed(capfd, "start", "c.db", "--images", "images", *START)
    printed(capfd, "ask", "c.db", "-n", 3, "--out", "exchange", "--as", "coco")
    (place / "exchange/ann").mkdir()
    annotated(place / "exchange/ann/file.json")
    (place / "exchange/bob").mkdir()
    (place / "exchange/bob/file.json").write_text("{")
    experiment = Experiment.open("c.db")
    oracle = FolderOracle("exchange", classes=experiment.spec, queries=experiment.queries(), settle=0)
    assert oracle.unannotated() == {
        Path("exchange/ann/file.json"): tuple(query.id for query in experiment.queries()[1:])
    }
