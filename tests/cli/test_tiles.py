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
        (["--tiles", "32", "--size", "16"], "--size cannot be used with --tiles"),
        (["--tiles", "32", "--stride", "40"], "--stride must be at most the size of a tile"),
        (["--tiles", "32", "--level", "3"], "has no level 3"),
    ],
)
def test_wrong_options_are_named(place, capfd, options, words):
    assert alkit("start", "c.db", "--images", "images", "--classes", "a,b", "--grayscale", *options) == 1
    assert words in " ".join(capfd.readouterr().err.split())
