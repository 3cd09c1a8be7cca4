"""``--tiles``: large images cut into tiles on the command line, from the start to stitched masks."""

import numpy as np
import pytest
import tifffile
from commandline import alkit
from PIL import Image

from alkit import Experiment, oracles, synthetic

pytest.importorskip("zarr")
FAST = "--recipe paper --widths 4,8 --grayscale --tiles 32 --margin 4".split()


@pytest.fixture
def place(tmp_path, monkeypatch):
    images, masks = synthetic.lesions(3, size=90, seed=2)
    for name in ("images", "masks"):
        (tmp_path / name).mkdir()
    for id, image, mask in zip("abc", images[:, 0], masks, strict=True):
        tifffile.imwrite(tmp_path / "images" / f"{id}.tif", image[:, :70], tile=(16, 16), compression="zlib")
        tifffile.imwrite(tmp_path / "masks" / f"{id}.tif", mask[:, :70], tile=(16, 16), compression="zlib")
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_a_run_on_tiles_keeps_an_image_on_one_side_and_predicts_whole_masks(place, capfd):
    run = ["run", "--images", "images", "--masks", "masks", "--store", "r.db", "--strategy", "random", "--stride", "24"]
    assert alkit(*run, *FAST, "--start", "3", "--batch", "2", "--rounds", "1", "--epochs", "2,1") == 0
    experiment = Experiment.open("r.db")
    assert len(experiment.pool.ids) == 24  # 4 x 3 tiles of each of two images
    assert len({id.partition("/")[0] for id in experiment.pool.ids}) == 2
    assert alkit("predict", "r.db", "--images", "images", "--out", "out", "--stride", "16") == 0
    for id in "abc":
        mask = tifffile.imread(f"out/masks/{id}.tif")
        assert (mask.shape, mask.dtype) == ((90, 70), np.uint8)
        assert set(np.unique(mask)) <= {0, 1}
        assert np.asarray(Image.open(f"out/overlays/{id}.jpg")).shape == (90, 70, 3)
    assert alkit("predict", "r.db", "--images", "images", "--out", "out") == 1  # the files exist
    assert alkit("predict", "r.db", "--images", "images", "--out", "out", "--stride", "33", "--overwrite") == 1
    assert "--stride must be at most the size of a tile" in capfd.readouterr().err


def test_a_campaign_of_tiles_shows_people_the_tile_and_takes_its_mask(place, capfd):
    classes = ["--classes", "skin,lesion", "--strategy", "random", "--epochs", "1,1", "--hold-out", "0"]
    assert alkit("start", "c.db", "--images", "images", *FAST, *classes) == 0
    assert "27 images, read at 40 x 40 pixels" in capfd.readouterr().out
    assert alkit("ask", "c.db", "-n", "2", "--out", "exchange") == 0
    shown = sorted((place / "exchange").rglob("image.png"))
    assert [np.asarray(Image.open(path)).shape for path in shown] == [(32, 32), (32, 32)]
    experiment = Experiment.open("c.db")
    masks = oracles.TileMasks(experiment.pool, "masks")
    experiment.tell({id: masks[id] for id in experiment.open_ids})
    assert alkit("fit", "c.db") == 0
    assert alkit("predict", "c.db", "--images", "images", "--out", "out", "--no-overlays") == 0
    assert sorted(path.name for path in (place / "out").rglob("*.*")) == ["a.tif", "b.tif", "c.tif"]


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (["--stride", "8"], "--stride can be used only with --tiles"),
        (["--tiles", "32", "--size", "16"], "--size cannot be used with --tiles, because tiles are read at their own"),
        (["--tiles", "32", "--fit", "pad"], "--fit cannot be used with --tiles, because each tile fills its size"),
        (["--tiles", "32", "--pages", "frames"], "--pages cannot be used with --tiles, because a large image has one"),
        (["--tiles", "32", "--exclude", "*.tif"], "and are not excluded by '*.tif'"),
        (["--tiles", "32", "--stride", "40"], "--stride must be at most the size of a tile"),
        (["--tiles", "32", "--level", "3"], "has no level 3"),
    ],
)
def test_wrong_options_are_named(place, capfd, options, words):
    assert alkit("start", "c.db", "--images", "images", "--classes", "a,b", "--grayscale", *options) == 1
    assert words in " ".join(capfd.readouterr().err.split())


def test_masks_of_whole_images_are_imported_as_those_of_their_tiles(place, capfd):
    classes = ["--classes", "skin,lesion", "--strategy", "random", "--epochs", "1,1", "--hold-out", "0"]
    assert alkit("start", "c.db", "--images", "images", *FAST, *classes) == 0
    (place / "masks" / "c.tif").rename(place / "masks" / "strange.tif")
    assert alkit("import", "c.db", "--masks", "masks", "--mask-pattern", "{image}.tif") == 1
    said = " ".join(capfd.readouterr().out.split())
    assert "Imported labels: 18, known before: 0." in said
    assert "refused: strange.tif: no image of the pool has this mask" in said
    experiment = Experiment.open("c.db")
    whole = tifffile.imread("masks/a.tif")
    found = {answer.id: experiment.label(answer) for answer in experiment.answers()}
    assert np.array_equal(found["a/y32-x38"], whole[32:64, 38:70])

    assert alkit("export", "c.db", "--labels", "masks", "--out", "labels") == 0
    assert alkit("start", "d.db", "--images", "images", *FAST, *classes) == 0
    assert alkit("import", "d.db", "--masks", "labels/masks") == 0
    again = Experiment.open("d.db")
    assert {answer.id for answer in again.answers()} == set(found)
    for answer in again.answers():
        assert np.array_equal(again.label(answer), found[answer.id])


def test_images_are_added_to_tiles_and_to_padded_images(place, capfd):
    (place / "new").mkdir()
    (place / "images" / "c.tif").rename(place / "new" / "c.tif")
    classes = ["--classes", "skin,lesion", "--strategy", "random", "--epochs", "1,1", "--hold-out", "0"]
    assert alkit("start", "c.db", "--images", "images", *FAST, *classes) == 0
    assert alkit("ask", "c.db", "-n", "2", "--out", "exchange") == 0
    assert alkit("add", "c.db", "--images", "new") == 0
    pool = Experiment.open("c.db").pool
    assert len(pool.ids) == 27
    assert set(pool.parents_of(pool.ids)) == {"a", "b", "new/c"}

    tifffile.imwrite("new/larger.tif", np.zeros((100, 150), np.uint8))
    padded = ["--recipe", "paper", "--widths", "4,8", "--grayscale", "--fit", "pad"]
    assert alkit("start", "p.db", "--images", "images", *padded, *classes) == 0
    assert alkit("ask", "p.db", "-n", "2", "--out", "exchange2") == 0
    assert alkit("add", "p.db", "--images", "new") == 0
    pool = Experiment.open("p.db").pool
    assert "new/larger" in pool.ids
    assert pool.shape == (1, 96, 96)  # the size of the record stays, and the larger image is shrunk
