"""TIFF images that Pillow does not decode as viewers show them are decoded so, or refused."""

import numpy as np
import pytest
import tifffile

from alkit.errors import ImageError
from alkit.pools import ImagePool

DEEP = np.arange(120, dtype=np.uint16).reshape(12, 10) * 500
GRAY = (DEEP // 500).astype(np.uint8)


def write(folder, array, **options):
    tifffile.imwrite(folder / "a.tif", array, **options)


def pixels(folder, grayscale=True, top=255):
    return np.rint(ImagePool(folder, grayscale=grayscale, scale="full").read(["a"])[0].astype(np.float64) * top)


@pytest.fixture
def folder(tmp_path):
    path = tmp_path / "images"
    path.mkdir()
    return path


def test_an_image_in_which_0_is_white_is_inverted_with_16_bits_as_with_8(folder):
    write(folder, GRAY, photometric="miniswhite")
    np.testing.assert_array_equal(pixels(folder)[0], 255 - GRAY)
    write(folder, DEEP, photometric="miniswhite")
    np.testing.assert_array_equal(pixels(folder, top=65535)[0], 65535 - DEEP)


def test_a_tiff_of_a_type_that_pillow_does_not_support_is_not_said_to_be_something_else(folder):
    write(folder, DEEP, photometric="miniswhite", byteorder=">")
    with pytest.raises(ImageError, match=r"a\.tif cannot be decoded: got a TIFF whose values have an unknown format"):
        ImagePool(folder)


def test_signed_values_of_8_bits_are_read_and_negative_ones_are_an_error(folder):
    write(folder, GRAY.astype(np.int8))
    np.testing.assert_array_equal(pixels(folder)[0], GRAY)
    write(folder, GRAY.astype(np.int8) - np.int8(5))
    with pytest.raises(ImageError, match=r"a\.tif has negative values: got -5 to 114"):
        ImagePool(folder, grayscale=True)


@pytest.mark.parametrize("plane", ["contig", "separate"])
def test_16_bits_in_colour_are_read_in_one_plane_or_several(folder, plane):
    array = np.stack([DEEP, DEEP // 2, DEEP // 3], -1 if plane == "contig" else 0)
    write(folder, array, photometric="rgb", planarconfig=plane)
    expected = array if plane == "separate" else array.transpose(2, 0, 1)
    np.testing.assert_array_equal(pixels(folder, grayscale=False, top=65535), expected)


@pytest.mark.parametrize(("channels", "kind"), [(2, "minisblack"), (4, "rgb"), (5, "rgb")])
def test_channels_that_pillow_would_drop_are_read(folder, channels, kind):
    extra = {"extrasamples": [0] * (channels - 3)} if kind == "rgb" else {}
    array = np.stack([GRAY // (1 + channel) for channel in range(channels)], -1)
    write(folder, array, photometric=kind, planarconfig="contig", **extra)
    np.testing.assert_array_equal(pixels(folder, grayscale=False), array.transpose(2, 0, 1))


def test_planes_and_tiles_of_8_bits_are_read(folder):
    array = np.random.default_rng(0).integers(256, size=(3, 12, 10), dtype=np.uint8)
    write(folder, array, photometric="rgb", planarconfig="separate", tile=(16, 16), compression="zlib")
    np.testing.assert_array_equal(pixels(folder, grayscale=False), array)


def test_a_colour_map_of_8_bits_is_an_error_instead_of_a_black_image(folder):
    """TIFF demands colours of 16 bits, so Pillow shows smaller ones in black."""
    colours = np.random.default_rng(0).integers(0, 256, (3, 256)).astype(np.uint16)
    write(folder, GRAY, photometric="palette", colormap=colours * 257)
    np.testing.assert_array_equal(pixels(folder, grayscale=False), colours[:, GRAY])
    write(folder, GRAY, photometric="palette", colormap=colours)
    with pytest.raises(ImageError, match=r"a\.tif has a colour map of 8 bits"):
        ImagePool(folder)
    write(folder, GRAY, photometric="palette", colormap=colours * 0)
    assert not pixels(folder, grayscale=False).any()
