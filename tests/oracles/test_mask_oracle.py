"""Masks are read as they were painted, resized by area, and answered once."""

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

from alkit.configuration import built, written
from alkit.errors import ConfigurationError, DataError, LabelError
from alkit.labels.masks import decode_mask, mask_png, read_mask, resize_mask
from alkit.oracles import MaskOracle
from alkit.protocols import Oracle
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
def test_a_tiff_of_any_integers_is_read_as_napari_writes_it(tmp_path, dtype, compression):
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
def test_a_tiff_of_a_kind_pillow_does_not_know_must_still_be_one_label_map(tmp_path, array, message):
    tifffile.imwrite(tmp_path / "a.tif", array, photometric="minisblack")
    with pytest.raises(LabelError, match=rf"a\.tif {message}"):
        read_mask(tmp_path / "a.tif")


def test_a_cut_tiff_of_64_bits_is_named_with_the_reason(tmp_path):
    tifffile.imwrite(tmp_path / "a.tif", np.zeros((64, 64), np.int64))
    content = (tmp_path / "a.tif").read_bytes()
    for length in (8, 100, 1000, len(content) - 8):
        (tmp_path / "a.tif").write_bytes(content[:length])
        with pytest.raises(LabelError, match=r"a\.tif (cannot be read as a mask|is empty or of no known format)"):
            read_mask(tmp_path / "a.tif")


def test_a_palette_image_gives_its_indices(tmp_path):
    image = Image.fromarray(MASK).convert("L")
    image.putpalette([9, 9, 9, 200, 0, 0, 0, 200, 0])
    image.save(tmp_path / "a.png")
    with Image.open(tmp_path / "a.png") as saved:
        assert saved.mode == "P"
    np.testing.assert_array_equal(read_mask(tmp_path / "a.png"), MASK)


@pytest.mark.parametrize(("depth", "packed"), [(2, 0b00_01_10_11), (4, 0x0F)])
def test_gray_values_of_2_and_4_bits_are_not_stretched(tmp_path, depth, packed):
    """Pillow reads them as if 3 and 15 were white, as in a photograph."""

    def chunk(name, content):
        return struct.pack(">I", len(content)) + name + content + struct.pack(">I", zlib.crc32(name + content))

    head = struct.pack(">IIBBBBB", 8 // depth, 1, depth, 0, 0, 0, 0)
    pixels = chunk(b"IDAT", zlib.compress(bytes([0, packed])))
    (tmp_path / "a.png").write_bytes(b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", head) + pixels + chunk(b"IEND", b""))
    assert read_mask(tmp_path / "a.png").tolist() == [[0, 1, 2, 3] if depth == 2 else [0, 15]]


@pytest.mark.parametrize("suffix", ["png", "tif"])
def test_a_mask_is_turned_as_its_exif_orientation_says(tmp_path, suffix):
    exif = Image.Exif()
    exif[0x0112] = 6
    np.testing.assert_array_equal(read_mask(save(tmp_path, f"a.{suffix}", MASK, exif=exif)), np.rot90(MASK, -1))


@pytest.mark.parametrize("mode", ["RGB", "RGBA", "LA", "F"])
def test_a_picture_is_no_mask_even_where_its_channels_are_equal(tmp_path, mode):
    Image.fromarray(MASK).convert(mode).save(tmp_path / "a.tif")
    with pytest.raises(LabelError, match=rf"a\.tif is a picture, not a label map.*\({mode}\).*save it as one channel"):
        read_mask(tmp_path / "a.tif")


@pytest.mark.parametrize("suffix", ["jpg", "webp", "gif"])
def test_a_format_that_may_change_values_is_refused(tmp_path, suffix):
    with pytest.raises(LabelError, match=rf"a\.{suffix} is of a format that may change.*export the masks as PNG"):
        read_mask(save(tmp_path, f"a.{suffix}", MASK))


def test_a_mask_of_several_frames_is_refused(tmp_path):
    frames = [Image.fromarray(MASK)] * 2
    frames[0].save(tmp_path / "a.tif", save_all=True, append_images=frames[1:])
    with pytest.raises(LabelError, match=r"a\.tif holds several frames"):
        read_mask(tmp_path / "a.tif")


@pytest.mark.parametrize("content", [b"", b"rubbish", "cut"])
def test_an_unreadable_mask_is_named_with_the_reason(tmp_path, content):
    path = save(tmp_path, "a.png", np.random.default_rng(0).integers(3, size=(64, 64), dtype=np.uint8))
    path.write_bytes(path.read_bytes()[:300] if content == "cut" else content)
    with pytest.raises(LabelError, match=r"a\.png (cannot be read as a mask: got |is empty or of no known format)"):
        read_mask(path)
    with pytest.raises(LabelError, match=r"nowhere\.png cannot be read"):
        read_mask(tmp_path / "nowhere.png")


masks = arrays.arrays(np.uint8, st.tuples(st.integers(1, 9), st.integers(1, 9)))


@given(masks)
def test_a_mask_comes_back_from_its_png_and_the_png_is_always_the_same(mask):
    content = mask_png(mask)
    np.testing.assert_array_equal(decode_mask(content), mask)
    assert decode_mask(content).dtype == np.uint8
    assert mask_png(np.asfortranarray(mask)) == content


@pytest.mark.parametrize("bad", [np.zeros((2, 2), int), np.zeros((2, 2, 3), np.uint8)])
def test_only_checked_masks_become_png(bad):
    with pytest.raises(LabelError, match=r"this is no mask.*expected \(h, w\), uint8"):
        mask_png(bad)


# Sizes.


def slowly_resized(mask, size, order):
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
def test_each_pixel_goes_to_the_class_of_the_greatest_area_and_ties_to_the_lower_id(data, size, ignore):
    order = [0, 1, 2] + ([] if ignore is None else [ignore])
    mask = data.draw(arrays.arrays(np.uint8, st.tuples(sides, sides), elements=st.sampled_from(order)))
    got = resize_mask(mask, size, LabelSpec(THREE, ignore))
    assert got.dtype == np.uint8
    np.testing.assert_array_equal(got, slowly_resized(mask, size, order))


def test_ties_go_to_the_lower_id_and_to_the_ignore_value_last():
    spec = LabelSpec(THREE, ignore=255)
    for tied, winner in (([1, 0], 0), ([2, 1], 1), ([255, 2], 2), ([255, 2, 1, 0], 0), ([255, 255, 1], 255)):
        assert resize_mask(np.array([tied], np.uint8), (1, 1), spec).tolist() == [[winner]]


@given(arrays.arrays(np.uint8, (12, 18), elements=st.integers(0, 1)))
def test_two_classes_are_an_area_average_and_a_threshold(mask):
    average = mask.reshape(4, 3, 3, 6).mean(axis=(1, 3))
    np.testing.assert_array_equal(resize_mask(mask, (4, 3), LabelSpec(TWO)), average > 0.5)


def test_a_mask_of_that_size_is_left_alone():
    assert resize_mask(MASK, (2, 3), LabelSpec(THREE)) is MASK


def test_a_large_mask_keeps_its_shape():
    rows, columns = np.mgrid[:1537, :2051]
    disc = ((rows - 700) ** 2 + (columns - 900) ** 2 < 500**2).astype(np.uint8)
    small = resize_mask(disc, (128, 128), LabelSpec(TWO))
    assert small.mean() == pytest.approx(disc.mean(), rel=0.01)


# The oracle.


def test_an_oracle_answers_each_query_once_at_the_next_poll_in_the_order_asked(tmp_path):
    for id in "abc":
        save(tmp_path, f"{id}.png", MASK)
    oracle = MaskOracle(tmp_path, THREE)
    assert isinstance(oracle, Oracle)
    assert oracle.spec == LabelSpec(THREE)
    assert list(oracle.poll()) == []
    oracle.ask([query("c"), query("a")])
    oracle.ask([query("c"), query("b")])
    answers = list(oracle.poll())
    assert [answer.id for answer in answers] == ["c", "a", "b"]
    np.testing.assert_array_equal(answers[0].label, MASK)
    assert list(oracle.poll()) == []
    oracle.ask([query("c")])
    assert [answer.id for answer in oracle.poll()] == ["c"]


def test_a_query_whose_mask_cannot_be_read_stays_open(tmp_path):
    save(tmp_path, "a.png", MASK)
    oracle = MaskOracle(tmp_path, THREE)
    oracle.ask([query("a"), query("b")])
    with pytest.raises(LabelError, match="no mask of 'b'"):
        list(oracle.poll())
    save(tmp_path, "b.png", MASK)
    assert [answer.id for answer in oracle.poll()] == ["b"]


def test_masks_are_found_by_the_pattern_also_in_folders(tmp_path):
    (tmp_path / "masks").mkdir()
    save(tmp_path / "masks" / "ward 3", "x_segmentation.png", MASK)
    np.testing.assert_array_equal(
        MaskOracle(str(tmp_path / "masks"), THREE, pattern="{id}_segmentation.png").read("ward 3/x"), MASK
    )


def test_a_missing_mask_names_the_id_the_path_and_the_pattern(tmp_path):
    with pytest.raises(LabelError) as caught:
        MaskOracle(tmp_path, TWO).read("x")
    for part in ("'x'", str(tmp_path / "x.png"), "pattern=", "{id}_segmentation.png", "it is '{id}.png'"):
        assert part in str(caught.value)


def test_a_missing_folder_and_a_pattern_without_an_id_are_refused(tmp_path):
    with pytest.raises(DataError, match=r"no such folder of masks: got .*nowhere"):
        MaskOracle(tmp_path / "nowhere", TWO)
    with pytest.raises(ConfigurationError, match=r"expected \{id\} in it"):
        MaskOracle(tmp_path, TWO, pattern="mask.png")


def test_masks_may_be_a_mapping():
    oracle = MaskOracle({"a": MASK}, THREE)
    np.testing.assert_array_equal(oracle.read("a"), MASK)
    with pytest.raises(LabelError, match="no mask of 'b': expected a key of the mapping"):
        oracle.read("b")


@pytest.mark.parametrize(
    ("classes", "ignore", "stored", "read"),
    [
        (TWO, None, [0, 255, 255], [0, 1, 1]),
        (TWO, None, [255, 255, 255], [1, 1, 1]),
        (TWO, None, [0, 0, 0], [0, 0, 0]),
        (TWO, None, [0, 1, 1], [0, 1, 1]),
        (TWO, None, [0, 1, 255], [0, 1, 255]),  # neither convention: LabelSpec.check refuses it
        (TWO, 255, [0, 255, 255], [0, 255, 255]),
        (TWO, 254, [0, 255, 255], [0, 1, 1]),
        (THREE, None, [0, 255, 255], [0, 255, 255]),
        (THREE, 255, [0, 2, 255], [0, 2, 255]),
    ],
)
def test_two_classes_may_be_stored_as_0_and_255_where_255_is_not_ignored(tmp_path, classes, ignore, stored, read):
    save(tmp_path, "a.png", np.array([stored], np.uint8))
    for masks in (tmp_path, {"a": np.array([stored])}):
        assert MaskOracle(masks, classes, ignore).read("a").tolist() == [read]


@pytest.mark.parametrize("classes", [TWO, THREE])
def test_a_mask_of_one_bit_is_0_and_1(tmp_path, classes):
    save(tmp_path, "a.png", MASK == 1)
    mask = MaskOracle(tmp_path, classes).read("a")
    checked = LabelSpec(classes).check(mask, id="a", sizes=[(2, 3)])
    np.testing.assert_array_equal(checked, MASK == 1)


def test_values_are_translated_to_class_ids(tmp_path):
    save(tmp_path, "a.png", np.array([[0, 128, 255], [64, 0, 128]], np.uint8))
    oracle = MaskOracle(tmp_path, THREE, ignore=200, values={0: 0, 128: 1, 255: 2, 64: 200})
    assert oracle.read("a").tolist() == [[0, 1, 2], [200, 0, 1]]
    assert MaskOracle({"a": MASK == 1}, TWO, values={0: 1, 1: 0}).read("a").tolist() == [[1, 0, 1], [1, 1, 0]]


def test_values_may_swap(tmp_path):
    save(tmp_path, "a.png", np.array([[0, 1, 255]], np.uint8))
    assert MaskOracle(tmp_path, TWO, ignore=255, values={0: 1, 1: 0, 255: 255}).read("a").tolist() == [[1, 0, 255]]


def test_a_value_nobody_named_is_listed(tmp_path):
    save(tmp_path, "a.png", np.array([[0, 128, 3, 4]], np.uint8))
    with pytest.raises(LabelError, match=r"mask of 'a' holds values nobody named: got \[3, 4\], expected 0 or 128"):
        MaskOracle(tmp_path, TWO, values={0: 0, 128: 1}).read("a")


def test_values_that_lead_to_no_class_are_refused():
    with pytest.raises(ConfigurationError, match=r"got \[2\], expected 0 skin, 1 lesion"):
        MaskOracle({}, TWO, values={0: 0, 255: 2})


@pytest.mark.parametrize("bad", [np.zeros((2, 3)), np.zeros((2, 3, 3), np.uint8)])
def test_arrays_that_are_no_masks_are_left_for_the_spec_to_refuse(bad):
    mask = MaskOracle({"a": bad}, TWO, values={0: 0}).read("a")
    with pytest.raises(LabelError, match="the mask of 'a' is"):
        LabelSpec(TWO).check(mask, id="a", sizes=[(2, 3)])


def test_an_oracle_is_a_value_that_is_written_and_built_again(tmp_path):
    save(tmp_path, "a.png", MASK * 100)
    oracle = MaskOracle(str(tmp_path), list(THREE), pattern="{id}.png", values={0: 0, 100: 1, 200: 2})
    oracle.ask([query("a")])
    again = built(written(oracle))
    assert again == MaskOracle(str(tmp_path), THREE, values={0: 0, 100: 1, 200: 2}) == oracle
    np.testing.assert_array_equal(again.read("a"), MASK)
    assert list(again.poll()) == []
