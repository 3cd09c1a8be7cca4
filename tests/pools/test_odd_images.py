"""Files that Pillow decodes to other pixels than viewers show are decoded as viewers show them, or refused."""

import os
import struct
import time
import zlib
from io import BytesIO

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


def damaged_files():
    """Return files by name that no decoder can read, or that need not look the same to everybody."""
    frames = [Image.new("RGB", (8, 8), colour) for colour in ("red", "green", "blue")]

    def saved(kind, image=frames[0], **options):
        file = BytesIO()
        image.save(file, kind, **options)
        return file.getvalue()

    png, jpeg = saved("PNG"), saved("JPEG")
    header = struct.pack(">IIBBBBB", 100_000, 100_000, 8, 0, 0, 0, 0)
    return {
        "empty.png": b"",
        "cut.png": png[: len(png) // 2],
        "cut jpeg.jpg": jpeg[: len(jpeg) // 2],
        "start.png": png[:20],
        "text.png": b"hello",
        "page.jpg": b"<html>404</html>",
        "zeros.png": bytes(5000),
        "sum.png": png[:20] + b"x" + png[21:],
        "animated.png": saved("PNG", save_all=True, append_images=frames[1:]),
        "animated gif.png": saved("GIF", save_all=True, append_images=frames[1:]),
        "animated webp.webp": saved("WEBP", save_all=True, append_images=frames[1:]),
        "webp.webp": saved("WEBP")[:40],
        "transparent.png": saved("PNG", Image.new("RGBA", (8, 8), (1, 2, 3, 4))),
        "bomb.png": b"\x89PNG\r\n\x1a\n" + png_chunk(b"IHDR", header) + png_chunk(b"IDAT", zlib.compress(bytes(999))),
        "loop.tif": b"II*\0" + struct.pack("<IHHHIII", 8, 1, 256, 4, 1, 10, 8),
        "far.tif": b"II*\0" + struct.pack("<I", 0xFFFFFFF0),
        "script.png": b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 10 10\n",
    }


def test_odd_files_never_stop_a_pool_are_listed_and_come_in_once_repaired(tmp_path):
    folder = tmp_path / "images"
    folder.mkdir()
    sound = Image.new("RGB", (8, 8), "navy")
    exif = Image.Exif()
    exif[0x0112] = 99  # no orientation
    good = {
        "good.png": {},
        "Ünï çödé.png": {},
        "new\nline.png": {},
        "$x 'quoted'.png": {},
        "UPPER.PNG": {},
        "cmyk.jpg": {},
        "orientation.jpg": {"exif": exif},
    }
    for name, options in good.items():
        (sound.convert("CMYK") if name == "cmyk.jpg" else sound).save(folder / name, **options)
    for name, content in damaged_files().items():
        (folder / name).write_bytes(content)
    for name, target in (("nowhere.png", "gone"), ("itself.png", "itself.png"), ("loop", ".")):
        (folder / name).symlink_to(target)
    (folder / "folder.png").mkdir()
    if hasattr(os, "mkfifo"):
        os.mkfifo(folder / "pipe.png")
    pool = ImagePool(folder, size=8)
    assert set(pool.ids) == {name.rpartition(".")[0] for name in good}
    assert pool.unusable.keys() == {name.rpartition(".")[0] for name in damaged_files()} | {"nowhere", "itself"}
    for name in damaged_files():
        assert name in pool.unusable[name.rpartition(".")[0]]
        sound.save(folder / name, "TIFF" if name.endswith("tif") else "PNG")
    repaired = ImagePool(folder, size=8)
    assert len(repaired.ids) == len(good) + len(damaged_files())
    assert repaired.unusable.keys() == {"nowhere", "itself"}


def test_a_file_that_is_replaced_by_one_of_equal_size_and_time_is_noticed(tmp_path):
    (tmp_path / "images").mkdir()
    path, other = tmp_path / "images" / "a.bmp", tmp_path / "other.bmp"
    for place, value in ((path, 10), (other, 20)):
        Image.fromarray(np.full((8, 8), value, np.uint8)).save(place)

    def value():
        return round(float(ImagePool(tmp_path / "images", grayscale=True, scale="full").read(["a"]).mean()) * 255)

    assert value() == 10
    facts = path.stat()
    content = other.read_bytes()
    os.utime(other, ns=(facts.st_atime_ns, facts.st_mtime_ns))
    os.replace(other, path)  # as `cp -p` and synchronisation programs do
    assert path.stat()[6:9:2] == facts[6:9:2]  # size and time of the content
    assert value() == 20
    time.sleep(0.02)  # longer than the clock of file systems ticks
    path.write_bytes(content.replace(bytes([20]) * 8, bytes([30]) * 8))
    os.utime(path, ns=(facts.st_atime_ns, facts.st_mtime_ns))
    assert value() == 30
