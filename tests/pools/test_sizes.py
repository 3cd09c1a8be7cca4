"""The working size of a pool is one that an image can have."""

import nibabel
import numpy as np
import pytest
from PIL import Image

import alkit
from alkit.errors import ConfigurationError
from alkit.pools.sizes import MOST_SIDE


@pytest.fixture
def folder(tmp_path):
    Image.fromarray(np.zeros((40, 50), np.uint8)).save(tmp_path / "a.png")
    nibabel.save(nibabel.Nifti1Image(np.zeros((6, 5, 4), np.float32), np.eye(4)), tmp_path / "v.nii.gz")
    return tmp_path


@pytest.mark.parametrize("size", [MOST_SIDE + 1, (8, 10**9), 10**30], ids=["large", "wide", "absurd"])
def test_a_size_that_no_memory_holds_is_refused_by_its_name(folder, size):
    with pytest.raises(ConfigurationError, match=rf"^size must be at most {MOST_SIDE} pixels on each side"):
        alkit.ImagePool(folder, size=size, fit="pad", cache=folder / "cache")
    with pytest.raises(ConfigurationError, match=rf"^size must be at most {MOST_SIDE} pixels on each side"):
        alkit.VolumePool(folder, size=size, cache=folder / "cache")
    with pytest.raises(ConfigurationError, match=rf"^tile must be at most {MOST_SIDE} pixels on each side"):
        alkit.TilePool(folder, tile=size, cache=folder / "cache")
