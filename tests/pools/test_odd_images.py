"""Files that Pillow decodes to other pixels than viewers show are decoded as viewers show them, or refused."""

import struct

import numpy as np
import pytest
from odd_files import png, png_chunk
from PIL import Image
from PIL.PngImagePlugin import PngInfo

from alkit.errors import ImageError
from alkit.pools import ImagePool


def pixels(folder):
    return np.rint(ImagePool(folder, scale="full").read(["a"])[0] * 255)


@pytest.mark.parametrize(("bits", "row", "factor"), [(1, 0b01100101, 255), (2, 0b01100001, 85), (4, 0b00010010, 17)])
def test_a_gray_of_few_bits_that_is_declared_transparent_is_noticed(tmp_path, bits, row, factor):
    """Pillow stretches the pixels of 2 and 4 bits to 0 to 255, but not the gray that is transparent."""
    width, transparent = 8 // bits, png_chunk(b"tRNS", struct.pack(">H", 1))
    (tmp_path / "a.png").write_bytes(png(width, 1, bits, 0, bytes([0, row]), transparent))
    with pytest.raises(ImageError, match=r"a\.png has transparent pixels"):
        ImagePool(tmp_path)
    (tmp_path / "a.png").write_bytes(png(width, 1, bits, 0, bytes([0, 0]), transparent))
    assert not pixels(tmp_path).any()
    (tmp_path / "a.png").write_bytes(png(width, 1, bits, 0, bytes([0, row])))
    values = [row >> shift & (1 << bits) - 1 for shift in range(8 - bits, -1, -bits)]
    np.testing.assert_array_equal(pixels(tmp_path)[0, 0], np.array(values) * factor)


def test_pixels_that_the_palette_lacks_are_an_error(tmp_path):
    """Pillow shows them in black."""
    colours = png_chunk(b"PLTE", bytes([10, 20, 30, 40, 50, 60]))
    (tmp_path / "a.png").write_bytes(png(3, 1, 8, 3, bytes([0, 0, 1, 1]), colours))
    np.testing.assert_array_equal(pixels(tmp_path)[:, 0].T, [[10, 20, 30], [40, 50, 60], [40, 50, 60]])
    (tmp_path / "a.png").write_bytes(png(3, 1, 8, 3, bytes([0, 0, 1, 2]), colours))
    with pytest.raises(ImageError, match=r"a\.png is damaged: got colour 2 of a palette of 2 colours"):
        ImagePool(tmp_path)


def test_a_bmp_with_16_bits_for_three_channels_is_read(tmp_path):
    body = struct.pack("<HH", 0b11111_000000_00000, 0b00000_111111_11111)  # red; green and blue
    header = struct.pack("<IiiHHIIiiII3I", 40, 2, 1, 1, 16, 3, len(body), 0, 0, 0, 0, 0xF800, 0x7E0, 0x1F)
    start = 14 + len(header)
    (tmp_path / "a.bmp").write_bytes(b"BM" + struct.pack("<IHHI", start + len(body), 0, 0, start) + header + body)
    np.testing.assert_array_equal(pixels(tmp_path)[:, 0].T, [[255, 0, 0], [0, 255, 255]])


@pytest.mark.parametrize("kind", ["png", "jpg", "webp", "tif"])
def test_an_orientation_that_only_xmp_states_is_ignored_as_viewers_do(tmp_path, kind):
    """Pillow takes it for that of EXIF. A browser does not, so labels drawn in it would lie on other pixels."""
    xmp, path = b'<x:xmpmeta tiff:Orientation="6"/>', tmp_path / f"a.{kind}"
    image = Image.fromarray(np.kron(np.array([[0, 255, 90]], np.uint8), np.ones((8, 8), np.uint8)))
    if kind == "png":
        text = PngInfo()
        text.add_itxt("XML:com.adobe.xmp", xmp.decode())
        image.save(path, pnginfo=text)
    elif kind == "tif":
        image.save(path, tiffinfo={700: xmp})
    else:
        image.save(path, xmp=xmp)
    with Image.open(path) as file:
        assert file.getexif()[274] == 6
    assert pixels(tmp_path).shape == (3, 8, 24)
    turn = Image.Exif()
    turn[274] = 3
    if kind in ("jpg", "webp"):
        image.save(path, xmp=xmp, exif=turn)
        assert pixels(tmp_path)[0, 4, 12:].mean() < pixels(tmp_path)[0, 4, :16].mean()
