"""Masks of an image can be several files, gray levels, numbers of instances, or files of each class."""

from __future__ import annotations

import itertools
import struct
import zlib

import numpy as np
import pytest
import tifffile
from PIL import Image

from alkit.configuration import rebuild, written_form
from alkit.errors import ConfigurationError, LabelError
from alkit.oracles import MaskOracle

TWO, THREE = ("background", "nucleus"), ("background", "disc", "cup")


def save(path, array):
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(np.asarray(array)).save(path)


@pytest.mark.parametrize(("pattern", "form"), [("{id}/*.png", "a b/{}.png"), ("{id}_*.png", "a b_{}.png")])
def test_the_files_of_an_image_are_joined(tmp_path, pattern, form):
    parts = np.zeros((3, 4, 5), bool)
    parts[0, 1, 1:3] = parts[1, 3, 4] = parts[2, 1, 2] = True  # the last one overlaps the first
    for number, part in enumerate(parts):
        save(tmp_path / form.format(number), part.astype(np.uint8) * 255)
    save(tmp_path / form.format("9").replace("a b", "a c"), np.full((4, 5), 255, np.uint8))  # of another image
    mask = MaskOracle(tmp_path, TWO, pattern=pattern).read("a b")
    np.testing.assert_array_equal(mask, parts.any(0))


def test_a_file_cannot_be_a_mask_of_two_images(tmp_path):
    for name in ("a_0", "a_2_0"):
        save(tmp_path / f"{name}.png", np.zeros((2, 2), np.uint8))
    oracle = MaskOracle(tmp_path, TWO, pattern="{id}_*.png")
    oracle.check(["a_2"])
    with pytest.raises(LabelError, match=r"a_2_0\.png matches the pattern for two images: got 'a' and 'a_2'"):
        oracle.check(["a", "a_2"])


def test_a_file_cannot_be_a_mask_of_two_classes(tmp_path):
    save(tmp_path / "a_discs.png", np.ones((2, 2), np.uint8))
    with pytest.raises(LabelError, match=r"a_discs\.png matches the pattern for two classes"):
        MaskOracle(tmp_path, ("background", "discs", "disc"), pattern="{id}_{class}*.png").read("a")


def test_an_id_with_signs_of_patterns_finds_its_own_files_only(tmp_path):
    save(tmp_path / "a[1]" / "0.png", np.ones((2, 2), np.uint8))
    save(tmp_path / "a1" / "0.png", np.zeros((2, 2), np.uint8))
    assert MaskOracle(tmp_path, TWO, pattern="{id}/*.png").read("a[1]").tolist() == [[1, 1], [1, 1]]
    with pytest.raises(LabelError, match="has no mask"):
        MaskOracle(tmp_path, TWO, pattern="{id}/*.png").read("a*")


def test_files_of_an_image_must_have_one_size_and_not_contradict_each_other(tmp_path):
    save(tmp_path / "a" / "0.png", np.array([[0, 1, 1]], np.uint8))
    save(tmp_path / "a" / "1.png", np.array([[0, 2, 0]], np.uint8))
    with pytest.raises(LabelError, match=r"masks of image 'a' contradict each other in 1 pixels: got 1 .* 2 in 1\.png"):
        MaskOracle(tmp_path, THREE, pattern="{id}/*.png").read("a")
    save(tmp_path / "a" / "1.png", np.array([[0, 1]], np.uint8))
    with pytest.raises(LabelError, match=r"must have one size: got shape \(1, 3\) in 0\.png, \(1, 2\) in 1\.png"):
        MaskOracle(tmp_path, THREE, pattern="{id}/*.png").read("a")


def test_a_later_class_covers_an_earlier_one_and_a_class_without_a_file_is_not_in_the_image(tmp_path):
    save(tmp_path / "disc" / "a.png", np.array([[255, 255, 255, 0]], np.uint8))
    save(tmp_path / "cup" / "a.png", np.array([[0, 1, 0, 0]], np.uint8))
    save(tmp_path / "disc" / "b.png", np.array([[0, 1]], np.uint8))
    oracle = MaskOracle(tmp_path, THREE, pattern="{class}/{id}.png")
    assert [oracle.read(id).tolist() for id in "ab"] == [[[1, 2, 1, 0]], [[0, 1]]]
    with pytest.raises(LabelError, match=r"image 'c' has no mask: expected a file such as \S*disc/c\.png"):
        oracle.check(["a", "c"])
    save(tmp_path / "cup" / "b.png", np.array([[0, 7]], np.uint8))
    with pytest.raises(LabelError, match=r"cup/b\.png holds values outside its classes: got \[7\], .* 1 cup"):
        oracle.read("b")


def test_instances_of_each_class_lie_in_one_folder_and_undecided_pixels_stay(tmp_path):
    save(tmp_path / "a" / "disc-1.png", np.array([[1, 9, 0, 0]], np.uint8))
    save(tmp_path / "a" / "disc-2.png", np.array([[0, 0, 1, 9]], np.uint8))
    save(tmp_path / "a" / "cup-1.png", np.array([[0, 1, 9, 0]], np.uint8))
    oracle = MaskOracle(tmp_path, THREE, ignore=9, pattern="{id}/{class}-*.png")
    assert oracle.read("a").tolist() == [[1, 2, 1, 9]]


def test_label_maps_of_instances_have_one_class(tmp_path):
    instances = np.array([[0, 1, 255], [300, 0, 2]], np.uint16)
    save(tmp_path / "a.png", instances)
    tifffile.imwrite(tmp_path / "b.tif", instances.astype(np.int32))
    oracle = MaskOracle(tmp_path, TWO, pattern=("{id}.png", "{id}.tif"), instances=True)
    for id in "ab":
        assert oracle.read(id).tolist() == [[0, 1, 1], [1, 0, 1]]
    assert MaskOracle({"a": instances}, TWO, instances=True).read("a").tolist() == [[0, 1, 1], [1, 0, 1]]
    with pytest.raises(LabelError, match="must not have negative numbers of instances: got -1"):
        MaskOracle({"a": np.array([[-1, 2]])}, TWO, instances=True).read("a")


def test_patterns_are_alternatives_and_an_image_may_match_only_one(tmp_path):
    save(tmp_path / "a.png", np.ones((2, 2), np.uint8))
    save(tmp_path / "b_seg.tif", np.ones((2, 2), np.uint8))
    oracle = MaskOracle(tmp_path, TWO, pattern=["{id}.png", "{id}_seg.tif"])
    oracle.check(["a", "b"])
    assert oracle.read("b").all()
    save(tmp_path / "a_seg.tif", np.ones((2, 2), np.uint8))
    with pytest.raises(LabelError, match=r"image 'a' has masks of two patterns: got \S*a\.png and \S*a_seg\.tif"):
        oracle.read("a")


LEVELS = np.array([[0, 100, 128, 255], [3, 127, 200, 129]], np.uint8)


@pytest.mark.parametrize(
    ("suffix", "levels"),
    [
        ("png", LEVELS),
        ("png", np.stack([LEVELS] * 3, axis=-1)),
        ("png", LEVELS.astype(np.uint16)),
        ("tif", LEVELS.astype(np.float32)),
        ("bmp", LEVELS),
    ],
)
def test_a_threshold_divides_gray_levels(tmp_path, suffix, levels):
    save(tmp_path / f"a.{suffix}", levels)
    oracle = MaskOracle(tmp_path, TWO, pattern=f"{{id}}.{suffix}", threshold=128)
    assert oracle.read("a").tolist() == (LEVELS >= 128).astype(int).tolist()
    assert "threshold=128" in repr(oracle)


@pytest.mark.parametrize("bits", [2, 4])
def test_gray_levels_of_few_bits_are_those_that_one_sees(tmp_path, bits):
    white = 2**bits - 1
    rows = zlib.compress(bytes([0, int(f"{0:0{bits}b}{white:0{bits}b}{'0' * (8 - 2 * bits)}", 2)]))
    head = struct.pack(">IIBBBBB", 2, 1, bits, 0, 0, 0, 0)
    parts = [(b"IHDR", head), (b"IDAT", rows), (b"IEND", b"")]
    content = b"".join(
        struct.pack(">I", len(own)) + kind + own + struct.pack(">I", zlib.crc32(kind + own)) for kind, own in parts
    )
    (tmp_path / "a.png").write_bytes(b"\x89PNG\r\n\x1a\n" + content)
    assert MaskOracle(tmp_path, TWO, threshold=128).read("a").tolist() == [[0, 1]]
    assert MaskOracle(tmp_path, TWO, values=(0, white)).read("a").tolist() == [[0, 1]]


def test_a_threshold_refuses_values_that_are_not_finite(tmp_path):
    tifffile.imwrite(tmp_path / "a.tif", np.array([[0, np.nan]], np.float32), photometric="minisblack")
    with pytest.raises(LabelError, match="the mask of image 'a' has values that are not finite"):
        MaskOracle(tmp_path, TWO, pattern="{id}.tif", threshold=128).read("a")


def test_gray_levels_can_be_a_jpeg_but_not_colours(tmp_path):
    mask = np.kron(np.array([[0, 1], [1, 0]], np.uint8), np.ones((16, 16), np.uint8)) * 255
    for mode in ("L", "RGB"):
        Image.fromarray(mask).convert(mode).save(tmp_path / f"{mode}.jpg", quality=80)
        read = MaskOracle(tmp_path, TWO, pattern="{id}.jpg", threshold=128).read(mode)
        np.testing.assert_array_equal(read, mask == 255)
        with pytest.raises(LabelError, match="has a format that can change the values of a mask"):
            MaskOracle(tmp_path, TWO, pattern="{id}.jpg").read(mode)
    save(tmp_path / "c.png", np.random.default_rng(0).integers(0, 255, (4, 4, 3), np.uint8))
    with pytest.raises(LabelError, match=r"c\.png is a picture in colour"):
        MaskOracle(tmp_path, TWO, threshold=128).read("c")
    save(tmp_path / "t.png", np.full((4, 4, 4), 9, np.uint8))
    with pytest.raises(LabelError, match=r"t\.png has transparent pixels"):
        MaskOracle(tmp_path, TWO, threshold=128).read("t")


def test_a_threshold_never_turns_class_ids_into_background(tmp_path):
    save(tmp_path / "a.png", np.array([[0, 1]], np.uint8))
    with pytest.raises(LabelError, match="'a' has only the values 0 and 1, which are below the threshold: got 128"):
        MaskOracle(tmp_path, TWO, threshold=128).read("a")
    save(tmp_path / "b.png", np.array([[False, True]]))
    assert MaskOracle(tmp_path, TWO, threshold=128).read("b").tolist() == [[0, 1]]
    assert MaskOracle({"a": np.array([[0.2, 0.7]])}, TWO, threshold=0.5).read("a").tolist() == [[0, 1]]


def test_values_can_be_one_for_each_class(tmp_path):
    save(tmp_path / "a.png", np.array([[0, 60, 120, 255]], np.uint8))
    oracle = MaskOracle(tmp_path, THREE, 255, values=[0, 60, 120])
    assert oracle.read("a").tolist() == [[0, 1, 2, 255]]
    assert oracle.values == {0: 0, 60: 1, 120: 2, 255: 255}
    with pytest.raises(LabelError, match=r"values without a class id: got \[255\]"):
        MaskOracle(tmp_path, THREE, values=[0, 60, 120]).read("a")


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"values": [0, 1]}, "values must be one for each class, or a mapping .*: got 2 values, expected 3"),
        ({"values": [0, 1, 1]}, "values must be different for each class"),
        ({"values": {0: 0}, "threshold": 3}, "threshold must not be used with values"),
        ({"threshold": 3, "instances": True, "classes": TWO}, "instances must not be used with threshold"),
        ({"threshold": 3, "ignore": 255, "classes": TWO}, "threshold must not be used with an ignore value.*: got 255"),
        ({"instances": True}, "instances must be used with two classes, or with {class} in the pattern"),
        ({"threshold": 0, "classes": TWO}, "threshold must be a finite number > 0: got 0"),
        ({"pattern": ()}, "pattern must not be empty"),
        ({"pattern": ("{id}.png", "x.png")}, r"pattern must contain \{id\}: got 'x\.png'"),
        ({"pattern": ("{id}.png", "{class}/{id}.png")}, r"pattern must contain \{class\} in all patterns or in none"),
        (
            {"pattern": "{class}/{id}.png", "values": [0, 1, 2]},
            r"values must be None if the pattern contains \{class\}",
        ),
    ],
)
def test_meanings_that_contradict_each_other_are_refused(tmp_path, given, message):
    with pytest.raises(ConfigurationError, match=message):
        MaskOracle(tmp_path, **{"classes": THREE, **given})


@pytest.mark.parametrize(
    ("names", "pattern"),
    [
        (["001_mask.png", "002_mask.png", "x.png"], "{id}_mask.png"),
        (["mask-001.tif", "mask-002.tif"], "mask-{id}.tif"),
        (["001/0.png", "001/1.png", "002/0.png"], "{id}/*.png"),
        (["x.png"], "{id}_segmentation.png"),
    ],
)
def test_the_error_about_missing_masks_suggests_the_pattern_of_the_files_that_are_there(tmp_path, names, pattern):
    for name in names:
        save(tmp_path / name, np.zeros((2, 2), np.uint8))
    with pytest.raises(LabelError) as caught:
        MaskOracle(tmp_path, TWO).check(["ward/001", "ward/002"])
    assert f"Try: pattern={pattern!r} (it is '{{id}}.png')" in str(caught.value)


def test_an_oracle_of_several_files_can_be_written_into_a_record_and_built_again(tmp_path):
    for pattern, form in itertools.product(
        ("{id}.png", ("{id}.png", "{id}.tif")), ({"threshold": 9}, {"values": [3, 4]})
    ):
        oracle = MaskOracle(str(tmp_path), TWO, pattern=pattern, **form)
        assert rebuild(written_form(oracle)) == oracle


def test_an_id_may_contain_what_a_pattern_contains(tmp_path):
    for name, value in (("a", 0), ("a{class}", 1)):
        Image.fromarray(np.full((4, 4), value, np.uint8)).save(tmp_path / f"{name}.png")
    for pattern in ("{id}.png", "{id}.p*"):
        oracle = MaskOracle(tmp_path, ("skin", "lesion"), pattern=pattern)
        assert oracle.read("a{class}").all()
        assert not oracle.read("a").any()
