"""Image files that Pillow reads as other pixels than they mean are refused."""

from __future__ import annotations

import io
import struct
import zlib

import numpy as np
import pytest
import tifffile
from PIL import Image
from PIL.TiffImagePlugin import TiffImageFile

from alkit._reading import damage
from alkit.errors import AlkitError, LabelError
from alkit.labels.masks import mask_values
from alkit.pools.decoding import decode

MASK = np.random.default_rng(0).integers(0, 3, (24, 24)).astype(np.uint8)


def as_png(pixels, **options):
    file = io.BytesIO()
    Image.fromarray(pixels).save(file, "PNG", **options)
    return file.getvalue()


def as_tiff(pixels, **options):
    file = io.BytesIO()
    tifffile.imwrite(file, pixels, photometric="minisblack", **options)
    return file.getvalue()


def flipped(content, at, bit):
    changed = bytearray(content)
    changed[at] ^= 1 << bit
    return bytes(changed)


def read(tmp_path, content):
    (tmp_path / "a.png").write_bytes(content)
    return decode(tmp_path / "a.png", None, True)[0][0]


def test_no_flipped_bit_of_a_png_changes_a_mask_or_an_image(tmp_path):
    content = as_png(MASK)
    pixels = content.index(b"IDAT")
    for number, at in enumerate(range(pixels, len(content), 3)):
        with pytest.raises(LabelError, match=r"a (cannot be read as a mask|is empty)"):
            mask_values(flipped(content, at, number % 8), "a")
    for number, at in enumerate(range(pixels, len(content), 40)):
        with pytest.raises(AlkitError, match="cannot be decoded"):
            read(tmp_path, flipped(content, at, number % 8))


def test_a_png_without_its_end_is_damaged():
    for cut in (1, 9, 12):
        with pytest.raises(LabelError, match="a cannot be read as a mask: got a file without its end"):
            mask_values(as_png(MASK)[:-cut], "a")


@pytest.mark.parametrize("kind", [b"PLTE", b"ABcD"])
def test_a_png_with_two_palettes_or_an_unknown_critical_part_is_refused(tmp_path, kind):
    """Programs differ in the palette that they take, and cannot know what the part means."""
    image, file = Image.fromarray(MASK % 2), io.BytesIO()
    image.putpalette([0, 0, 0, 200, 100, 0])
    image.save(file, "PNG")
    content = file.getvalue()
    assert read(tmp_path, content).shape == MASK.shape
    own, at = bytes([9, 9, 9, 1, 2, 3]), content.index(b"IDAT") - 4
    part = len(own).to_bytes(4, "big") + kind + own + zlib.crc32(kind + own).to_bytes(4, "big")
    with pytest.raises(AlkitError, match="got two palettes, or a part without which it cannot be read"):
        read(tmp_path, content[:at] + part + content[at:])
    with pytest.raises(LabelError, match="a cannot be read as a mask"):
        mask_values(content[:at] + part + content[at:], "a")


@pytest.mark.parametrize("interlaced", [0, 1])
@pytest.mark.parametrize("size", [(1, 1), (8, 8), (9, 5), (3, 17)])
def test_a_png_with_fewer_rows_than_its_size_needs_is_refused(tmp_path, size, interlaced):
    """Pillow makes the rest black, which is class 0."""
    width, height = size
    head = width.to_bytes(4, "big") + height.to_bytes(4, "big") + bytes([8, 0, 0, 0, interlaced])
    rows = bytes(damage._png_bytes(head))

    def made(*parts):
        chunks = ((b"IHDR", head), *((b"IDAT", part) for part in parts), (b"IEND", b""))
        return damage.SIGNATURE + b"".join(
            len(own).to_bytes(4, "big") + kind + own + zlib.crc32(kind + own).to_bytes(4, "big") for kind, own in chunks
        )

    whole = zlib.compress(rows)
    assert mask_values(made(whole[:5], whole[5:]), "a").shape == (height, width)
    assert read(tmp_path, made(whole)).shape == (height, width)
    short = zlib.compress(rows[:-1] if len(rows) == 2 else rows[: len(rows) // 2])
    with pytest.raises(LabelError, match="a cannot be read as a mask"):
        mask_values(made(short), "a")
    with pytest.raises(AlkitError, match="cannot be decoded"):
        read(tmp_path, made(short))


@pytest.mark.parametrize("dtype", [np.uint8, np.int64])
def test_a_tiff_with_a_wrong_checksum_is_refused(tmp_path, dtype):
    content = as_tiff(MASK.astype(dtype), compression="zlib", rowsperstrip=8)
    with tifffile.TiffFile(io.BytesIO(content)) as file:
        ends = [
            start + length
            for start, length in zip(file.pages.first.dataoffsets, file.pages.first.databytecounts, strict=True)
        ]
    for end in ends:
        with pytest.raises(LabelError, match="a cannot be read as a mask"):
            mask_values(flipped(content, end - 1, 0), "a")
    if dtype is np.uint8:
        with pytest.raises(AlkitError, match="cannot be decoded"):
            read(tmp_path, flipped(content, ends[-1] - 1, 0))
        np.testing.assert_array_equal(read(tmp_path, content), MASK)


def test_parts_of_a_tiff_are_bounded():
    part = zlib.compress(bytes(10_000))
    assert damage.check_deflated(part, 10_000, "a", LabelError) == 10_000
    with pytest.raises(LabelError, match="a is damaged: got a part that is larger than its tile, expected 9999 bytes"):
        damage.check_deflated(part, 9_999, "a", LabelError)
    with pytest.raises(LabelError, match="a is damaged: got a part without its end"):
        damage.check_deflated(part[:-1], 10_000, "a", LabelError)


@pytest.mark.parametrize("compression", [None, "zlib", "lzw"])
def test_a_tiff_that_leaves_out_a_part_is_refused(tmp_path, compression):
    file = io.BytesIO(as_tiff(np.ones((32, 32), np.uint8), compression=compression, tile=(16, 16)))
    with tifffile.TiffFile(file, mode="r+b") as tiff:
        for tag in (324, 325):
            found = tiff.pages.first.tags[tag]
            found.overwrite((found.value[0], 0, *found.value[2:]))
        content = file.getvalue()
    for fails in (lambda: read(tmp_path, content), lambda: mask_values(content, "a")):
        with pytest.raises(AlkitError, match=r"lacks parts of its pixels\. Try: save it again, without sparse parts"):
            fails()


@pytest.mark.parametrize(
    ("options", "tag", "value"),
    [
        ({}, 257, 64),
        ({"rowsperstrip": 8}, 257, 64),
        ({"tile": (16, 16)}, 256, 64),
        ({"tile": (16, 16), "dtype": np.int64}, 257, 64),
        ({"tile": (16, 16), "dtype": np.int64, "compression": "zlib"}, 257, 64),
        ({"rowsperstrip": 32}, 278, 16),
    ],
)
def test_a_tiff_with_fewer_parts_than_its_size_needs_is_refused(tmp_path, options, tag, value):
    """Pillow and tifffile fill the rest with zeros, which are class 0."""
    pixels, more = np.ones((32, 32), options.get("dtype", np.uint8)), {**options, "dtype": None}
    content = as_tiff(pixels, **more)
    np.testing.assert_array_equal(mask_values(content, "a"), pixels)
    file = io.BytesIO(content)
    with tifffile.TiffFile(file, mode="r+b") as tiff:
        tiff.pages.first.tags[tag].overwrite(value)
        content = file.getvalue()
    with pytest.raises(LabelError, match="a lacks parts of its pixels"):
        mask_values(content, "a")
    if pixels.dtype == np.uint8:
        with pytest.raises(AlkitError, match="lacks parts of its pixels"):
            read(tmp_path, content)


@pytest.mark.parametrize(
    ("options", "tag", "value"), [({}, 256, 64), ({"rowsperstrip": 8}, 278, 16), ({"tile": (16, 16)}, 322, 32)]
)
def test_a_tiff_whose_jpeg_parts_are_too_small_is_refused(tmp_path, options, tag, value):
    pytest.importorskip("imagecodecs")
    content = as_tiff(np.full((32, 32), 200, np.uint8), compression="jpeg", **options)
    assert read(tmp_path, content).min() > 190
    file = io.BytesIO(content)
    with tifffile.TiffFile(file, mode="r+b") as tiff:
        tiff.pages.first.tags[tag].overwrite(value)
        content = file.getvalue()
    with pytest.raises(AlkitError, match=r"is damaged: got a part of|lacks parts of its pixels"):
        read(tmp_path, content)


@pytest.mark.parametrize("compression", ["zlib", "lzw", "packbits"])
def test_signed_values_of_a_compressed_big_endian_tiff_are_not_swapped(tmp_path, compression):
    """Pillow would read 256 as 1."""
    values = np.array([[0, 1, 256], [300, 20, 2]], np.int16)
    for dtype in (np.int16, np.int32):
        content = as_tiff(values.astype(dtype), compression=compression, byteorder=">")
        np.testing.assert_array_equal(mask_values(content, "a"), values)
    with pytest.raises(AlkitError, match="a compressed big-endian TIFF of signed values, which Pillow reads wrongly"):
        read(tmp_path, as_tiff(values, compression=compression, byteorder=">"))
    np.testing.assert_array_equal(read(tmp_path, as_tiff(values, byteorder=">")), values)


@pytest.mark.parametrize("dtype", [np.uint8, np.uint32])
def test_a_predictor_that_programs_read_differently_is_refused(tmp_path, dtype):
    content = as_tiff(MASK.astype(dtype), compression="packbits", predictor=True)
    with pytest.raises(LabelError, match="a can be read in two ways, because it has a predictor"):
        mask_values(content, "a")
    if dtype is np.uint8:
        with pytest.raises(AlkitError, match="can be read in two ways, because it has a predictor"):
            read(tmp_path, content)


def test_a_gif_whose_frame_does_not_cover_it_is_refused(tmp_path):
    file = io.BytesIO()
    Image.fromarray(np.full((8, 8), 3, np.uint8)).save(file, "GIF")
    content = bytearray(file.getvalue())
    assert read(tmp_path, bytes(content)).shape == (8, 8)
    content[6:10] = bytes([16, 0, 16, 0])
    with pytest.raises(AlkitError, match="has pixels outside of its only frame, which are transparent"):
        read(tmp_path, bytes(content))


def test_a_jpeg_with_very_many_scans_is_refused_before_it_is_decoded(tmp_path):
    file = io.BytesIO()
    Image.fromarray(MASK * 100).save(file, "JPEG", progressive=True)
    content = file.getvalue()
    start, end = content.rindex(b"\xff\xda"), content.rindex(b"\xff\xd9")
    read(tmp_path, content + content[start:end] * 200)  # a film or a preview may follow the image
    for before in (b"", b"\xff\x01", b"\xff\x02\xff\xff"):  # markers without a length, which would hide what follows
        with pytest.raises(AlkitError, match="more than 100 scans"):
            read(tmp_path, content[:end] + before + content[start:end] * 200 + content[end:])


def test_a_jpeg_with_very_many_segments_is_refused_before_they_are_joined(tmp_path):
    """Pillow joins those of EXIF, and copies each again with the next one: 4 MB took 19 s, 64 MB more than an hour."""
    file = io.BytesIO()
    Image.fromarray(MASK * 100).save(file, "JPEG")
    content, one = file.getvalue(), b"\xff\xe1\0\x12Exif\0\0" + bytes(10)
    first, pixels = content.index(b"\xff\xdb"), content.index(b"\xff\xda")
    assert read(tmp_path, content[:2] + one * 990 + content[2:]).shape == MASK.shape
    read(tmp_path, content[:pixels] + b"\xff" * 100_000 + content[pixels:] + one * 1001)
    # Markers without a length, and what is between segments, hide nothing.
    without = (b"", b"\xff\xd8\xff\xff", b"\xff\xf0\xff\xf0", b"\xff\xc8\xf0\xf0")
    for before in (*without, *(b"a" * (2**16 - most) for most in range(1, 24))):
        for place in (first, pixels):
            with pytest.raises(AlkitError, match="more than 1000 segments"):
                read(tmp_path, content[:place] + before + one * 1001 + content[place:])


def test_a_tiff_whose_tile_is_far_larger_than_its_image_is_refused_before_it_is_decoded(tmp_path):
    """A tile is decoded as a whole: 49 KB took 1.5 GB."""
    for side, is_refused in ((4096, False), (4112, True)):
        tile = b"\x81\x00" * (side * side // 128)  # PackBits
        tags = [(256, 16), (257, 16), (258, 8), (259, 32773), (262, 1), (277, 1), (322, side), (323, side), (324, 8)]
        entries = b"".join(struct.pack("<HHII", tag, 4, 1, value) for tag, value in [*tags, (325, len(tile))])
        head = struct.pack("<H", len(tags) + 1) + entries + bytes(4)
        content = b"II*\0" + struct.pack("<I", 8 + len(tile)) + tile + head
        if is_refused:
            with pytest.raises(
                AlkitError, match=f"got tiles of {side} x {side} pixels, expected the size of the image"
            ):
                read(tmp_path, content)
        else:
            assert read(tmp_path, content).shape == (16, 16)


def test_the_frames_of_a_file_are_not_counted(tmp_path, monkeypatch):
    """Pillow takes minutes for a TIFF with very many of them."""
    monkeypatch.setattr(TiffImageFile, "n_frames", property(lambda image: pytest.fail("counts the frames")))
    content = as_tiff(np.stack([MASK, MASK]))
    with pytest.raises(AlkitError, match="has several frames"):
        read(tmp_path, content)
    with pytest.raises(AlkitError, match="holds several frames"):
        mask_values(content, "a.tif")
    np.testing.assert_array_equal(mask_values(as_tiff(MASK), "a.tif"), MASK)


@pytest.mark.parametrize("kind", ["GIF", "WEBP", "PNG", "TIFF"])
def test_several_frames_of_any_format_are_refused(tmp_path, kind):
    file = io.BytesIO()
    first, second = (Image.fromarray(MASK * factor) for factor in (100, 50))
    first.save(file, kind, save_all=True, append_images=[second])
    with pytest.raises(AlkitError, match="has several frames"):
        read(tmp_path, file.getvalue())
