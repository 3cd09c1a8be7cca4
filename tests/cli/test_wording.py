"""Error messages name options on the command line, and parameters in Python."""

import numpy as np
import pytest
from PIL import Image

import alkit
from alkit.cli import main
from alkit.errors import ImageError


@pytest.fixture
def images(tmp_path, monkeypatch):
    """A folder of images of different sizes."""
    monkeypatch.setenv("ALKIT_CACHE", str(tmp_path / "cache"))
    folder = tmp_path / "images"
    folder.mkdir()
    for number, size in enumerate([8, 12]):
        Image.fromarray(np.zeros((size, size), np.uint8)).save(folder / f"{number}.png")
    return folder


def test_the_fix_of_an_error_is_given_in_the_words_of_the_interface_in_use(images, tmp_path, capfd):
    with pytest.raises(ImageError, match="Try: size=256 to resize them"):
        alkit.ImagePool(images)
    with pytest.raises(SystemExit):
        main(["start", str(tmp_path / "c.db"), "--images", str(images), "--classes", "skin,lesion"])
    (line,) = capfd.readouterr().err.splitlines()
    assert line.endswith("Try: --size 256 to resize them.")


def test_a_step_that_is_missing_is_named_as_a_command(images, tmp_path, capfd):
    store, options = str(tmp_path / "c.db"), ["--images", str(images), "--size", "8", "--grayscale"]
    with pytest.raises(SystemExit):
        main(["start", store, *options, "--classes", "skin,lesion", "--strategy", "random"])
    with pytest.raises(SystemExit):
        main(["fit", store])
    (line,) = capfd.readouterr().err.splitlines()
    assert "alkit ask and alkit tell" in line
