"""`--pattern` and `--exclude` choose the images of a folder, and masks among them are noticed."""

import sys

import numpy as np
import pytest
import tifffile
import typer
from commandline import alkit
from PIL import Image

FAST = "--size", "16", "--widths", "2,4", "--steps", "1,1", "--strategy", "random"


@pytest.fixture
def mixed(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "all").mkdir()
    rng = np.random.default_rng(0)
    for number in range(8):
        pixels = rng.integers(0, 255, (16, 16), np.uint8)
        Image.fromarray(pixels).save(f"all/{number}.png")
        Image.fromarray((pixels > 99).astype(np.uint8) * 255).save(f"all/{number}_mask.png")
    return tmp_path


def start(*more):
    return alkit("start", "c.db", "--images", "all", "--classes", "skin,lesion", "--stop-set", "0", *FAST, *more)


def test_without_a_terminal_masks_among_images_are_an_error_with_the_fix(mixed, capfd):
    assert start() == 1
    assert (
        "all holds images and masks: 0_mask.png looks like the mask of 0.png, and so do 8 of 16 files. "
        "Try: --exclude '*_mask.*'; or --pattern '**/*' if all of them are images."
    ) in capfd.readouterr().err
    assert not (mixed / "c.db").exists()


@pytest.mark.parametrize(
    ("options", "count"),
    [(("--exclude", "*_mask.*"), 8), (("--pattern", "**/*"), 16), (("--pattern", "[0-3].png"), 4)],
)
def test_options_choose_the_images(mixed, capfd, options, count):
    assert start(*options) == 0
    assert f"c.db: {count} images" in capfd.readouterr().out


def test_on_a_terminal_it_is_a_question(mixed, capfd, monkeypatch):
    for stream in (sys.stdin, sys.stderr):
        monkeypatch.setattr(stream, "isatty", lambda: True, raising=False)
    asked = []
    monkeypatch.setattr(typer, "confirm", lambda text, **more: bool(asked.append(text)) or len(asked) == 2)
    assert start() == 1
    assert start() == 0
    assert "c.db: 16 images" in capfd.readouterr().out
    assert asked[0].endswith("--exclude '*_mask.*' leaves them out. Use all files as images nevertheless?")


def test_a_run_names_the_masks_that_it_found(mixed, capfd):
    run = "run", "--images", "all", "--store", "r.db", *FAST, "--start", "3", "--rounds", "0"
    assert alkit(*run, "--masks", "all") == 1
    said = capfd.readouterr().err
    fix = "--exclude '*_mask.*' --masks all --mask-pattern '{id}_mask.png'"
    assert f"Try: {fix}; or" in said
    assert alkit(*run, *fix.replace("'", "").split()) == 0


def test_two_sub_folders_are_named(tmp_path, monkeypatch, capfd):
    monkeypatch.chdir(tmp_path)
    for name in ("images", "labels"):
        (tmp_path / "all" / name).mkdir(parents=True)
        Image.fromarray(np.zeros((16, 16), np.uint8)).save(f"all/{name}/1.png")
    assert start() == 1
    assert "Try: --images all/images; or" in capfd.readouterr().err
    assert alkit("run", "--images", "all", "--masks", "all", "--store", "r.db", *FAST) == 1
    assert "Try: --images all/images --masks all/labels; or" in capfd.readouterr().err


def test_a_campaign_on_frames_of_many_channels_runs_to_its_predictions(tmp_path, monkeypatch, capfd):
    monkeypatch.chdir(tmp_path)
    rng = np.random.default_rng(0)
    (tmp_path / "stacks").mkdir()
    (tmp_path / "masks").mkdir()
    for number in range(3):
        frames = rng.random((4, 16, 16, 5), np.float32)
        tifffile.imwrite(f"stacks/s{number}.tif", frames, photometric="minisblack", planarconfig="contig")
        (tmp_path / "masks" / f"s{number}").mkdir()
        for frame in range(4):
            Image.fromarray((frames[frame, ..., 4] > 0.5).astype(np.uint8)).save(f"masks/s{number}/{frame:04}.png")
    more = "--features", "reconstruction", "--pretext-epochs", "1", *FAST, "--start", "3", "--batch", "2"
    stacks = "--images", "stacks", "--pages", "frames"
    assert (
        alkit(
            "run", *stacks, "--masks", "masks", "--mask-pattern", "{id}.png", "--store", "r.db", *more, "--rounds", "1"
        )
        == 0
    )
    assert "5 labels" in capfd.readouterr().out
    assert alkit("predict", "r.db", "--images", "stacks", "--out", "predicted") == 0
    assert "12 images predicted" in capfd.readouterr().out
    assert (tmp_path / "predicted" / "masks" / "s2" / "0003.png").is_file()
    with Image.open("predicted/overlays/s0/0000.jpg") as image:
        assert (image.size, image.mode) == ((16, 16), "RGB")
    assert alkit("export", "r.db", "--out", "model") == 0
    assert "(batch, 5, 16, 16)" in (tmp_path / "model" / "CARD.md").read_text()
    start = "--classes", "a,b", "--stop-set", "0", *FAST
    assert alkit("start", "c.db", *stacks, *start) == 0
    assert alkit("ask", "c.db", "-n", "2", "--out", "ex") == 0
    (shown, _) = sorted((tmp_path / "ex").glob("r00-*/image.png"))
    with Image.open(shown) as image:
        assert image.mode == "RGB"
    assert alkit("start", "d.db", "--images", "stacks", "--pages", "pictures", *start) == 1
    assert "--pages must be channels or frames: got 'pictures'" in capfd.readouterr().err
