"""Data and a runner for the ISIC benchmark's smoke profile."""

import json

import numpy as np
import pytest

import alkit


@pytest.fixture
def data(tmp_path):
    """Return a folder of synthetic images under the ids that the ISIC benchmark's smoke profile takes."""
    import isic2017
    from PIL import Image

    split, smoke = json.loads(isic2017.SPLIT.read_text()), isic2017.PROFILES["smoke"]
    ids = split["pool"][: smoke.pool] + split["test"][: smoke.test]
    images, masks = alkit.synthetic.lesions(len(ids), size=40)
    for folder in ("images", "masks"):
        (tmp_path / folder).mkdir()
    for id, image, mask in zip(ids, images[:, 0], masks, strict=True):
        Image.fromarray(np.stack([image] * 3, -1)).save(tmp_path / "images" / f"{id}.jpg")
        Image.fromarray(mask * 255).save(tmp_path / "masks" / f"{id}.png")
    return tmp_path


@pytest.fixture
def bench(data, tmp_path):
    """Run the ISIC benchmark's smoke profile in this process and return its rows."""
    import isic2017

    places = ["--data", data, "--out", tmp_path / "out", "--records", tmp_path / "records", "--profile", "smoke"]

    def bench(*more):
        isic2017.main([str(part) for part in [*places, "--jobs", 1, *more]])
        return isic2017.read_rows(tmp_path / "out")

    return bench
