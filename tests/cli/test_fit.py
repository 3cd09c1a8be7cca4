"""``--fit``: images of several sizes on the command line, from the start to masks at their original sizes."""

import numpy as np
import pytest
from commandline import alkit
from PIL import Image

from alkit import synthetic

SIZES = {"a": (40, 24), "b": (24, 40), "c": (30, 30), "d": (16, 44), "e": (40, 40), "f": (24, 24)}


@pytest.fixture
def folders(tmp_path):
    raw, masks = synthetic.lesions(len(SIZES), size=44, seed=2)
    for name in ("images", "masks"):
        (tmp_path / name).mkdir()
    for (id, (height, width)), image, mask in zip(SIZES.items(), raw[:, 0], masks, strict=True):
        Image.fromarray(image[:height, :width]).save(tmp_path / "images" / f"{id}.png")
        Image.fromarray(mask[:height, :width]).save(tmp_path / "masks" / f"{id}.png")
    return tmp_path


@pytest.mark.parametrize(("fit", "size"), [("pad", ()), ("crop", ("--size", "24"))])
def test_a_run_on_images_of_several_sizes_predicts_masks_of_these_sizes(folders, fit, size):
    store = str(folders / "r.db")
    command = (
        *("run", "--images", folders / "images", "--masks", folders / "masks", "--store", store, "--fit", fit, *size),
        *("--strategy", "random", "--recipe", "paper", "--widths", "4,8", "--epochs", "1,1", "--grayscale"),
        *("--start", "2", "--batch", "1", "--rounds", "1", "--test-fraction", "0.3"),
    )
    assert alkit(*command) == 0
    assert alkit("predict", store, "--images", folders / "images", "--out", folders / "out") == 0
    for id, shape in SIZES.items():
        assert np.asarray(Image.open(folders / "out" / "masks" / f"{id}.png")).shape == shape
        assert np.asarray(Image.open(folders / "out" / "overlays" / f"{id}.jpg")).shape[:2] == shape
