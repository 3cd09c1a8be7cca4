"""Masks are read as they were painted and resized by area."""

from __future__ import annotations

import itertools
import struct
import zlib
from fractions import Fraction

import numpy as np
import pytest
import tifffile
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays
from PIL import Image

from alkit.errors import LabelError
from alkit.labels.masks import decode_mask, mask_png, read_mask, resize_mask
from alkit.values import LabelSpec, Query

TWO, THREE = ("skin", "lesion"), ("skin", "lesion", "hair")
MASK = np.array([[0, 1, 2], [2, 0, 1]], np.uint8)


def query(id, rank=0):
    return Query(id, round=0, rank=rank, sizes=((2, 3),))


def save(folder, name, array, **options):
    folder.mkdir(exist_ok=True)
    Image.fromarray(np.asarray(array)).save(folder / name, **options)
    return folder / name


# Files.


@pytest.mark.parametrize(
    ("dtype", "suffix"),
    [*itertools.product([np.uint8, bool], ["png", "tif", "bmp"]), (np.uint16, "png"), (np.uint16, "tif")],
)
def test_a_mask_file_is_read_as_it_was_saved(tmp_path, dtype, suffix):
    values = (MASK.astype(int) * 1000 if dtype == np.uint16 else MASK).astype(dtype)
    read = read_mask(save(tmp_path, f"a.{suffix}", values))
    np.testing.assert_array_equal(read, values)
    assert read.dtype == dtype


@pytest.mark.parametrize("dtype", [np.int8, np.int16, np.int32, np.uint32, np.int64, np.uint64])
@pytest.mark.parametrize("compression", [None, "zlib"])
def test_a_tiff_of_any_integer_type_is_read_as_napari_writes_it(tmp_path, dtype, compression):
    tifffile.imwrite(tmp_path / "a.tif", MASK.astype(dtype), compression=compression)
    np.testing.assert_array_equal(read_mask(tmp_path / "a.tif"), MASK)


@pytest.mark.parametrize(
    ("array", "message"),
    [
        (np.zeros((2, 3, 3), np.int64), "holds several frames"),
        (np.zeros((2, 3), np.float64), "is a picture, not a label map: got shape .2, 3., float64"),
        (np.zeros((2, 3, 3), np.complex64)[0], "is a picture, not a label map"),
    ],
)
def test_a_tiff_of_a_type_that_pillow_does_not_support_must_still_be_one_label_map(tmp_path, array, message):
    tifffile.imwrite(tmp_path / "a.tif", array, photometric="minisblack")
    with pytest.raises(LabelError, match=rf"a\.tif {message}"):
        read_mask(tmp_path / "a.tif")


def test_the_error_about_a_truncated_64_bit_tiff_names_the_file_and_the_reason(tmp_path):
    tifffile.imwrite(tmp_path / "a.tif", np.zeros((64, 64), np.int64))
    content = (tmp_path / "a.tif").read_bytes()
    for length in (8, 100, 1000, len(content) - 8):
        (tmp_path / "a.tif").write_bytes(content[:length])
        with pytest.raises(
            LabelError, match=r"a\.tif (cannot be read as a mask|is empty or has an unknown format|is damaged)"
        ):
            read_mask(tmp_path / "a.tif")


def test_a_palette_image_is_read_as_its_indices(tmp_path):
    image = Image.fromarray(MASK).convert("L")
    image.putpalette([9, 9, 9, 200, 0, 0, 0, 200, 0])
    image.save(tmp_path / "a.png")
    with Image.open(tmp_path / "a.png") as saved:
        assert saved.mode == "P"
    np.testing.assert_array_equal(read_mask(tmp_path / "a.png"), MASK)


@pytest.mark.parametrize(("depth", "packed"), [(2, 0b00_01_10_11), (4, 0x0F)])
def test_gray_values_of_2_and_4_bits_are_not_stretched(tmp_path, depth, packed):
    """Pillow reads them as if 3 and 15 meant white."""

    def chunk(name, content):
        return struct.pack(">I", len(content)) + name + content + struct.pack(">I", zlib.crc32(name + content))

    head = struct.pack(">IIBBBBB", 8 // depth, 1, depth, 0, 0, 0, 0)
    pixels = chunk(b"IDAT", zlib.compress(bytes([0, packed])))
    (tmp_path / "a.png").write_bytes(b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", head) + pixels + chunk(b"IEND", b""))
    assert read_mask(tmp_path / "a.png").tolist() == [[0, 1, 2, 3] if depth == 2 else [0, 15]]


@pytest.mark.parametrize("suffix", ["png", "tif"])
def test_the_exif_orientation_is_applied_to_a_mask(tmp_path, suffix):
    exif = Image.Exif()
    exif[0x0112] = 6
    np.testing.assert_array_equal(read_mask(save(tmp_path, f"a.{suffix}", MASK, exif=exif)), np.rot90(MASK, -1))


@pytest.mark.parametrize("mode", ["RGB", "RGBA", "LA", "F"])
def test_a_picture_is_refused_as_a_mask_even_if_its_channels_are_equal(tmp_path, mode):
    Image.fromarray(MASK).convert(mode).save(tmp_path / "a.tif")
    with pytest.raises(LabelError, match=rf"a\.tif is a picture, not a label map.*\({mode}\).*save it as one channel"):
        read_mask(tmp_path / "a.tif")


def test_a_tiff_with_a_compression_that_can_change_values_is_refused(tmp_path):
    """Pillow reads class 1 at the edges of these squares of class 2, which the rest of alkit cannot notice."""
    squares = np.kron(np.eye(4), np.full((9, 9), 2)).astype(np.uint8)
    path = save(tmp_path, "a.tif", squares, compression="jpeg", quality=75)
    with pytest.raises(LabelError, match=r"a\.tif has a compression that can change.*export the masks as PNG"):
        read_mask(path)
    for compression in ("tiff_lzw", "tiff_deflate", "packbits", "lzma"):
        path = save(tmp_path, f"{compression}.tif", squares, compression=compression)
        np.testing.assert_array_equal(read_mask(path), squares)


@pytest.mark.parametrize("suffix", ["jpg", "webp", "gif"])
def test_a_format_that_can_change_values_is_refused(tmp_path, suffix):
    with pytest.raises(LabelError, match=rf"a\.{suffix} has a format that can change.*export the masks as PNG"):
        read_mask(save(tmp_path, f"a.{suffix}", MASK))


def test_a_mask_of_several_frames_is_refused(tmp_path):
    frames = [Image.fromarray(MASK)] * 2
    frames[0].save(tmp_path / "a.tif", save_all=True, append_images=frames[1:])
    with pytest.raises(LabelError, match=r"a\.tif holds several frames"):
        read_mask(tmp_path / "a.tif")


@pytest.mark.parametrize("content", [b"", b"rubbish", "cut"])
def test_the_error_about_an_unreadable_mask_names_the_file_and_the_reason(tmp_path, content):
    path = save(tmp_path, "a.png", np.random.default_rng(0).integers(3, size=(64, 64), dtype=np.uint8))
    path.write_bytes(path.read_bytes()[:300] if content == "cut" else content)
    with pytest.raises(LabelError, match=r"a\.png (cannot be read as a mask: got |is empty or has an unknown format)"):
        read_mask(path)
    with pytest.raises(LabelError, match=r"nowhere\.png cannot be read"):
        read_mask(tmp_path / "nowhere.png")


masks = arrays.arrays(np.uint8, st.tuples(st.integers(1, 9), st.integers(1, 9)))


@given(masks)
def test_a_png_of_a_mask_returns_the_mask_and_always_has_the_same_bytes(mask):
    content = mask_png(mask)
    np.testing.assert_array_equal(decode_mask(content), mask)
    assert decode_mask(content).dtype == np.uint8
    assert mask_png(np.asfortranarray(mask)) == content


@pytest.mark.parametrize("bad", [np.zeros((2, 2), int), np.zeros((2, 2, 3), np.uint8)])
def test_only_label_maps_of_uint8_are_written_as_png(bad):
    with pytest.raises(LabelError, match=r"mask must be a label map.*expected \(h, w\), uint8"):
        mask_png(bad)


# Sizes.


def resize_slowly(mask, size, order):
    """Sum, for each pixel wanted, the exact area of each class under it."""
    out = np.empty(size, np.uint8)
    (h, w), (height, width) = size, mask.shape
    for row, column in itertools.product(range(h), range(w)):
        area = dict.fromkeys(order, Fraction(0))
        for y, x in itertools.product(range(height), range(width)):
            tall = min(Fraction((row + 1) * height, h), y + 1) - max(Fraction(row * height, h), y)
            wide = min(Fraction((column + 1) * width, w), x + 1) - max(Fraction(column * width, w), x)
            area[int(mask[y, x])] += max(tall, Fraction(0)) * max(wide, Fraction(0))
        out[row, column] = max(order, key=lambda value: area[value])  # the first of equals
    return out


sides = st.integers(1, 6)


@given(st.data(), st.tuples(sides, sides), st.sampled_from([None, 255, 7]))
def test_each_pixel_gets_the_class_of_the_greatest_area_and_ties_go_to_the_lower_id(data, size, ignore):
    order = [0, 1, 2] + ([] if ignore is None else [ignore])
    mask = data.draw(arrays.arrays(np.uint8, st.tuples(sides, sides), elements=st.sampled_from(order)))
    got = resize_mask(mask, size, LabelSpec(THREE, ignore))
    assert got.dtype == np.uint8
    np.testing.assert_array_equal(got, resize_slowly(mask, size, order))


def test_ties_go_to_the_lower_id_and_to_the_ignore_value_last():
    spec = LabelSpec(THREE, ignore=255)
    for tied, winner in (([1, 0], 0), ([2, 1], 1), ([255, 2], 2), ([255, 2, 1, 0], 0), ([255, 255, 1], 255)):
        assert resize_mask(np.array([tied], np.uint8), (1, 1), spec).tolist() == [[winner]]


@given(arrays.arrays(np.uint8, (12, 18), elements=st.integers(0, 1)))
def test_resizing_two_classes_equals_an_area_average_and_a_threshold(mask):
    average = mask.reshape(4, 3, 3, 6).mean(axis=(1, 3))
    np.testing.assert_array_equal(resize_mask(mask, (4, 3), LabelSpec(TWO)), average > 0.5)


def test_a_mask_that_already_has_the_size_is_returned_unchanged():
    assert resize_mask(MASK, (2, 3), LabelSpec(THREE)) is MASK


def test_a_large_mask_keeps_its_shape():
    rows, columns = np.mgrid[:1537, :2051]
    disc = ((rows - 700) ** 2 + (columns - 900) ** 2 < 500**2).astype(np.uint8)
    small = resize_mask(disc, (128, 128), LabelSpec(TWO))
    assert small.mean() == pytest.approx(disc.mean(), rel=0.01)


# Masks that can be meant in two ways.


def two_colours(first, second):
    image = Image.fromarray((MASK == 1).astype(np.uint8)).convert("P")
    image.putpalette([*first, *second])
    return image


@pytest.mark.parametrize("suffix", ["png", "bmp"])
def test_a_palette_that_shows_class_0_brighter_is_refused_because_it_may_mean_what_one_sees(tmp_path, suffix):
    """Programs that reduce a black and white picture to two colours number them in any order."""
    message = "can be read in two ways, because its palette shows lower class ids brighter"
    for first in [(255, 255, 255), (255, 0, 0)]:
        two_colours(first, (0, 0, 0)).save(tmp_path / f"a.{suffix}")
        with pytest.raises(LabelError, match=message):
            read_mask(tmp_path / f"a.{suffix}")
    for pair in [((0, 0, 0), (254, 254, 254)), ((255, 255, 255), (200, 0, 0))]:
        two_colours(*pair).save(tmp_path / f"b.{suffix}")
        np.testing.assert_array_equal(read_mask(tmp_path / f"b.{suffix}"), MASK == 1)


def test_a_bmp_of_two_colours_and_8_bits_is_refused_because_pillow_reads_it_as_1_bit(tmp_path):
    two_colours((0, 0, 0), (255, 255, 255)).save(tmp_path / "a.bmp")
    with pytest.raises(LabelError, match=r"a\.bmp has a palette that Pillow reads wrongly.*Try: save it as PNG"):
        read_mask(tmp_path / "a.bmp")


def test_a_tiff_in_which_0_is_white_is_refused_unless_it_is_a_fax(tmp_path):
    """tifffile writes a boolean array in this way, and means True as it is; viewers and Pillow invert it."""
    tifffile.imwrite(tmp_path / "bool.tif", MASK.astype(bool))
    tifffile.imwrite(tmp_path / "white.tif", MASK.astype(np.uint16), photometric="miniswhite")
    for name in ("bool.tif", "white.tif"):
        with pytest.raises(LabelError, match=f"{name} can be read in two ways, because it says that 0 is white"):
            read_mask(tmp_path / name)
    Image.fromarray(MASK == 1).save(tmp_path / "fax.tif", compression="group4")
    np.testing.assert_array_equal(read_mask(tmp_path / "fax.tif"), MASK == 1)


def test_a_tiff_of_two_channels_is_refused_because_pillow_reads_the_first_only(tmp_path):
    tifffile.imwrite(tmp_path / "a.tif", np.stack([MASK, MASK], -1), photometric="minisblack", planarconfig="contig")
    with pytest.raises(LabelError, match="a picture, not a label map: got 2 channels"):
        read_mask(tmp_path / "a.tif")


@pytest.mark.parametrize("dtype", [np.int8, np.int16, np.int32, np.int64])
def test_a_negative_value_in_a_tiff_stays_negative(tmp_path, dtype):
    """Pillow takes signed values of 8 bits for unsigned, so that -1 would be 255: class 1, or ignored."""
    tifffile.imwrite(tmp_path / "a.tif", -MASK.astype(dtype))
    np.testing.assert_array_equal(read_mask(tmp_path / "a.tif"), -MASK.astype(int))


@pytest.mark.parametrize("orientation", range(1, 9))
def test_a_tiff_of_a_type_that_pillow_does_not_support_is_turned_as_others_are(tmp_path, orientation):
    tag = [(274, 3, 1, orientation, True)]
    for dtype in (np.uint8, np.int64):
        tifffile.imwrite(tmp_path / f"{dtype.__name__}.tif", MASK.astype(dtype), extratags=tag)
    np.testing.assert_array_equal(read_mask(tmp_path / "int64.tif"), read_mask(tmp_path / "uint8.tif"))


def test_a_tiff_of_a_type_that_pillow_does_not_support_is_refused_if_0_is_white(tmp_path):
    tifffile.imwrite(tmp_path / "a.tif", MASK.astype(np.uint64), photometric="miniswhite")
    with pytest.raises(LabelError, match=r"a\.tif can be read in two ways"):
        read_mask(tmp_path / "a.tif")


def test_a_tiff_palette_of_8_bits_is_checked_like_one_of_16(tmp_path):
    """Pillow shows its colours in black, in which no index is brighter than another."""
    ids, up = np.array([[0, 1, 2]], np.uint8), np.tile(np.arange(256, dtype=np.uint16), (3, 1))
    for scale in (1, 257):
        tifffile.imwrite(tmp_path / "a.tif", ids, photometric="palette", colormap=up * scale)
        np.testing.assert_array_equal(read_mask(tmp_path / "a.tif"), ids)
        tifffile.imwrite(tmp_path / "a.tif", ids, photometric="palette", colormap=up[:, ::-1] * scale)
        with pytest.raises(LabelError, match="its palette shows lower class ids brighter"):
            read_mask(tmp_path / "a.tif")


def test_a_size_of_small_numbers_of_numpy_is_a_size():
    mask = np.eye(4, dtype=np.uint8)
    small, plain = (resize_mask(mask, size, LabelSpec(("a", "b"))) for size in ((np.uint8(200), 255), (200, 255)))
    assert np.array_equal(small, plain)
