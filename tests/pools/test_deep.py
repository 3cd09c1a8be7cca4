"""Images with any number of channels, 16 bits in colour, floating-point numbers and several pages are read exactly."""

from __future__ import annotations

import struct
import zlib
from io import BytesIO

import numpy as np
import pytest
import tifffile
from PIL import Image

import alkit
from alkit.errors import DataError, ImageError
from alkit.labels import read_mask
from alkit.pictures.files import browser_file, image_file

RNG = np.random.default_rng(0)
COLOURS = RNG.integers(0, 65536, (12, 10, 3), np.uint16)


@pytest.fixture
def folder(tmp_path):
    (tmp_path / "images").mkdir()
    return tmp_path / "images"


def pool_of(folder, **options):
    return alkit.ImagePool(folder, **{"scale": "full", **options})


def png(array):
    """Return a PNG of 16 bits, ``(h, w)`` or ``(h, w, c)``, which Pillow cannot write."""
    height, width = array.shape[:2]
    kind = {1: 0, 2: 4, 3: 2, 4: 6}[1 if array.ndim == 2 else array.shape[2]]
    rows = b"".join(b"\0" + row.astype(">u2").tobytes() for row in array)

    def chunk(name, content):
        return struct.pack(">I", len(content)) + name + content + struct.pack(">I", zlib.crc32(name + content))

    header = struct.pack(">IIBBBBB", width, height, 16, kind, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + b"".join(
        chunk(*it) for it in ((b"IHDR", header), (b"IDAT", zlib.compress(rows)), (b"IEND", b""))
    )


@pytest.mark.parametrize("plane", ["contig", "separate"])
@pytest.mark.parametrize("compression", [None, "zlib", "lzw", "packbits"])
def test_16_bits_in_colour_are_read_from_a_tiff(folder, plane, compression):
    array = COLOURS if plane == "contig" else np.ascontiguousarray(COLOURS.transpose(2, 0, 1))
    tifffile.imwrite(folder / "a.tif", array, photometric="rgb", planarconfig=plane, compression=compression)
    expected = COLOURS.transpose(2, 0, 1) / np.float32(65535)
    np.testing.assert_allclose(pool_of(folder).read(["a"])[0], expected, rtol=1e-6)
    gray = pool_of(folder, grayscale=True).read(["a"])[0, 0] * 65535
    np.testing.assert_allclose(gray, COLOURS @ np.array([0.299, 0.587, 0.114]), atol=0.51)


def test_a_predictor_that_programs_read_differently_is_refused(folder):
    tifffile.imwrite(folder / "a.tif", COLOURS, photometric="rgb", compression="packbits", predictor=True)
    with pytest.raises(DataError, match="can be read in two ways, because it has a predictor"):
        pool_of(folder)


def test_16_bits_in_colour_are_read_from_a_png_and_transparent_pixels_are_refused(folder):
    (folder / "a.png").write_bytes(png(COLOURS))
    opaque = np.concatenate([COLOURS, np.full((12, 10, 1), 65535, np.uint16)], axis=2)
    (folder / "b.png").write_bytes(png(opaque))
    opaque[3, 4, 3] = 7
    (folder / "c.png").write_bytes(png(opaque))
    pool = pool_of(folder)
    assert pool.ids == ("a", "b")
    assert "transparent pixels" in pool.unusable["c"]
    for image in pool.read(["a", "b"]):
        np.testing.assert_allclose(image, COLOURS.transpose(2, 0, 1) / np.float32(65535), rtol=1e-6)


def test_gray_of_16_bits_gets_three_equal_channels_in_a_pool_of_colours(folder):
    Image.fromarray(COLOURS[..., 0]).save(folder / "a.png")
    (image,) = pool_of(folder).read(["a"])
    assert image.shape == (3, 12, 10)
    np.testing.assert_allclose(image, np.stack([COLOURS[..., 0]] * 3) / np.float32(65535), rtol=1e-6)


@pytest.mark.parametrize("channels", [2, 4, 5, 13])
@pytest.mark.parametrize("dtype", [np.uint8, np.uint16, np.float32])
def test_any_number_of_channels_is_read(folder, channels, dtype):
    array = (RNG.random((32, 32, channels)) * 200).astype(dtype)
    tifffile.imwrite(folder / "a.tif", array, photometric="minisblack", planarconfig="contig")
    pool = alkit.ImagePool(folder)
    assert pool.shape == (channels, 32, 32)
    expected = (array - array.min()) / (array.max() - array.min())
    np.testing.assert_allclose(pool.read(["a"])[0], expected.transpose(2, 0, 1), atol=1e-6)
    with pytest.raises(ImageError, match=rf"a\.tif has {channels} channels: expected 1 or 3 for grayscale"):
        alkit.ImagePool(folder, grayscale=True)


@pytest.mark.parametrize("dtype", [np.float16, np.float32, np.float64, np.int32, np.uint32, np.int64])
def test_numbers_are_read_as_they_are(folder, dtype):
    array = (RNG.random((12, 10)) * 1000).astype(dtype)
    if np.issubdtype(dtype, np.signedinteger) or np.issubdtype(dtype, np.floating):
        array[0, 0] = -500
    tifffile.imwrite(folder / "a.tif", array)
    np.testing.assert_array_equal(pool_of(folder, grayscale=True).read(["a"])[0, 0], array.astype(np.float32))
    resized = pool_of(folder, grayscale=True, size=(6, 5)).read(["a"])
    assert resized.min() < resized.max()


@pytest.mark.parametrize(
    ("array", "message"),
    [
        (np.array([[0, np.nan]], np.float32), "has values that are not finite numbers"),
        (np.array([[0, 1e300]]), "has values that are not finite numbers"),
        (np.array([[0, 2**30]], np.int32), "has values that 32-bit floating-point numbers cannot hold exactly"),
        (np.array([[0, 1j]], np.complex64), "has values of an unknown type|cannot be decoded"),
    ],
)
def test_numbers_that_cannot_be_used_are_refused(folder, array, message):
    tifffile.imwrite(folder / "a.tif", array)
    with pytest.raises(ImageError, match=message):
        pool_of(folder, grayscale=True)


PAGES = RNG.integers(0, 255, (4, 12, 10), np.uint8)


def test_pages_are_refused_channels_or_frames_by_choice(folder):
    tifffile.imwrite(folder / "stack.tif", PAGES, photometric="minisblack")
    Image.fromarray(PAGES[0]).save(folder / "single.png")
    pool = pool_of(folder, grayscale=True)
    assert pool.ids == ("single",)
    assert "has several frames" in pool.unusable["stack"]
    assert "pages='frames', or pages='channels'" in pool.unusable["stack"]
    frames = pool_of(folder, grayscale=True, pages="frames")
    assert frames.ids == ("single", "stack/0000", "stack/0001", "stack/0002", "stack/0003")
    assert frames.parents_of(["single", "stack/0002"]) == ["single", "stack"]
    np.testing.assert_array_equal(np.rint(frames.read(frames.ids[1:])[:, 0] * 255), PAGES)
    assert [frames.file(id) for id in ("single", "stack/0001")] == [folder / "single.png", None]
    shown = Image.open(BytesIO(image_file(frames, "stack/0001").content))
    np.testing.assert_array_equal(np.asarray(shown), PAGES[1])
    channels = pool_of(folder, pages="channels", exclude="single*")
    np.testing.assert_array_equal(np.rint(channels.read(["stack"])[0] * 255), PAGES)
    again = pool_of(folder, grayscale=True, pages="frames")  # from the cache
    np.testing.assert_array_equal(again.read(again.ids), frames.read(frames.ids))


def test_a_frame_and_a_file_with_the_same_id_are_an_error(folder):
    tifffile.imwrite(folder / "a.tif", PAGES, photometric="minisblack")
    (folder / "a").mkdir()
    Image.fromarray(PAGES[0]).save(folder / "a" / "0001.png")
    with pytest.raises(DataError, match="two images have the same id"):
        pool_of(folder, grayscale=True, pages="frames")


def test_a_damaged_row_of_a_frame_is_decoded_again(folder):
    tifffile.imwrite(folder / "a.tif", PAGES, photometric="minisblack")
    pool = pool_of(folder, grayscale=True, pages="frames")
    rows = pool._kept.index.folder / pool._kept.index.rows
    rows.write_bytes(bytes(rows.stat().st_size))
    np.testing.assert_array_equal(np.rint(pool.read(["a/0002"])[0, 0] * 255), PAGES[2])


def test_people_see_the_first_three_channels_or_the_first_one_of_two(folder):
    for channels in (2, 5):
        array = RNG.integers(0, 65536, (12, 10, channels), np.uint16)
        tifffile.imwrite(folder / "a.tif", array, photometric="minisblack", planarconfig="contig")
        pool = alkit.ImagePool(folder)
        for make in (image_file, browser_file):
            shown = np.asarray(Image.open(BytesIO(make(pool, "a").content)))
            first = array[..., :3] if channels == 5 else array[..., 0]
            expected = (first - float(first.min())) / (float(first.max()) - first.min()) * 255
            np.testing.assert_allclose(shown, expected, atol=0.51)


def test_an_image_that_differs_from_the_others_in_channels_or_numbers_is_left_out(folder):
    for name in "abd":
        Image.fromarray((COLOURS // 256).astype(np.uint8)).save(folder / f"{name}.png")
    tifffile.imwrite(folder / "c.tif", np.zeros((12, 10, 5), np.uint8), photometric="minisblack", planarconfig="contig")
    tifffile.imwrite(folder / "e.tif", np.zeros((12, 10), np.float32))
    pool = pool_of(folder)
    assert pool.ids == ("a", "b", "d")
    assert "c.tif has 5 channels: expected 3, as a.png has" in pool.unusable["c"]
    assert "e.tif has values of the type float32: expected uint8, as a.png has" in pool.unusable["e"]
    (folder / "c.tif").rename(folder / "0.tif")
    with pytest.raises(ImageError, match=r"a\.png has 3 channels: expected 5, as 0\.tif has"):
        alkit.ImagePool(folder, scale="full", cache=folder.parent / "cache")


def test_a_file_that_says_it_is_larger_than_the_limit_or_lacks_pixels_is_refused_before_memory_is_taken(
    folder, monkeypatch
):
    tifffile.imwrite(folder / "a.tif", np.zeros((300, 300, 5), np.uint16), compression="zlib", planarconfig="contig")
    monkeypatch.setenv("ALKIT_MAX_PIXELS", "50000")
    with pytest.raises(ImageError, match="has too many pixels"):
        pool_of(folder)
    monkeypatch.delenv("ALKIT_MAX_PIXELS")
    content = (folder / "a.tif").read_bytes()
    (folder / "a.tif").write_bytes(content[: len(content) - 20])
    with pytest.raises(ImageError, match=r"a\.tif"):
        pool_of(folder)


def test_a_chain_of_pages_that_leads_back_to_itself_ends(folder):
    tifffile.imwrite(folder / "a.tif", np.zeros((8, 8), np.float32), metadata=None)
    content = bytearray((folder / "a.tif").read_bytes())
    (first,) = struct.unpack_from("<I", content, 4)
    (entries,) = struct.unpack_from("<H", content, first)
    struct.pack_into("<I", content, first + 2 + 12 * entries, first)
    (folder / "a.tif").write_bytes(content)
    for pages in (None, "frames", "channels"):
        with pytest.raises(ImageError, match=r"a\.tif"):
            pool_of(folder, grayscale=True, pages=pages)


def tags_of(*entries):
    """Return a page of a TIFF with these tags: numbers of 32 bits, or where several are."""
    return struct.pack("<H", len(entries)) + b"".join(struct.pack("<HHII", *entry) for entry in entries)


def test_a_file_with_a_chain_of_pages_that_overlap_is_left_out_quickly(folder):
    first = tags_of(*((tag, 4, 1, n) for tag, n in ((256, 4), (257, 4), (258, 8), (259, 1), (262, 1), (273, 8))))
    count, pages, start = 4000, 3000, 8 + len(first) + 4
    region = bytearray(struct.pack("<HH", count, count) * (pages + 3 * count + 2))
    for page in range(pages):
        following = start + 4 * (page + 1) if page < pages - 1 else 0
        struct.pack_into("<I", region, 4 * page + 2 + 12 * count, following)
    (folder / "a.tif").write_bytes(struct.pack("<2sHI", b"II", 42, 8) + first + struct.pack("<I", start) + region)
    Image.new("L", (4, 4)).save(folder / "b.png")
    assert "pages that overlap" in pool_of(folder, grayscale=True).unusable["a"]
    with pytest.raises(DataError, match="pages that overlap"):
        alkit.TilePool(folder, tile=4, pattern="*.tif", cache=folder / "cache")


@pytest.mark.parametrize("bits", [32, 64])
def test_a_file_whose_tiles_overlap_or_are_tiny_is_refused_quickly(folder, bits):
    side, packed = 128, zlib.compress(bytes(bits // 8))
    many = side * side
    where = 8 + 2 + 11 * 12 + 4

    def write(name, count, rest):
        facts = {256: side, 257: side, 258: bits, 259: 8, 262: 1, 277: 1, 322: 1, 323: 1, 339: 2}
        entries = [*((tag, 4, 1, value) for tag, value in facts.items()), (324, 4, many, where)]
        head = tags_of(*sorted([*entries, (325, 4, many, where + 4 * many)])) + bytes(4)
        places = np.full(many, where + 8 * many, "<u4").tobytes() + np.full(many, count, "<u4").tobytes()
        (folder / name).write_bytes(struct.pack("<2sHI", b"II", 42, 8) + head + places + packed + bytes(rest))

    write("a.tif", len(packed) + 300_000, 300_000)
    write("b.tif", len(packed), 0)
    for name, why in (("a.tif", "parts that are longer"), ("b.tif", "tiles that are too small: got 1 x 1")):
        with pytest.raises(DataError, match=why):
            read_mask(folder / name)
        with pytest.raises(DataError, match=why):
            pool_of(folder, pattern=name)
