import json

import isic2017
import numpy as np
import pytest
from PIL import Image

import alkit


@pytest.fixture
def data(tmp_path):
    """Return synthetic images under the ids the smoke profile takes from the committed split."""
    split, smoke = json.loads(isic2017.SPLIT.read_text()), isic2017.PROFILES["smoke"]
    ids = split["pool"][: smoke.pool] + split["test"][: smoke.test]
    images, masks = alkit.synthetic.lesions(len(ids), size=40)
    for folder in ("images", "masks"):
        (tmp_path / folder).mkdir()
    for id, image, mask in zip(ids, images[:, 0], masks, strict=True):
        Image.fromarray(np.stack([image] * 3, -1)).save(tmp_path / "images" / f"{id}.jpg")
        Image.fromarray(mask * 255).save(tmp_path / "masks" / f"{id}.png")
    return tmp_path


def places(folder):
    return ["--data", folder, "--out", folder / "out", "--records", folder / "records", "--profile", "smoke"]


@pytest.fixture
def bench(data, tmp_path):
    """Run the benchmark in this process and return its rows."""
    out = tmp_path / "out"

    def bench(*more):
        isic2017.main([str(part) for part in [*places(data), "--jobs", 1, *more]])
        return isic2017.read_rows(out)

    return bench
