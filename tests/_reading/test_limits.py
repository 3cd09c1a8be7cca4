"""No file takes the process or the machine down: sizes are checked before memory is used."""

import logging
import os
import subprocess
import sys
import textwrap
from contextlib import suppress
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from odd_files import ROWS, WIDTH, mutated, png, png_chunk, samples, saved, tiff, with_tags
from PIL import Image

import alkit
from alkit.errors import AlkitError, ConfigurationError, ImageError, LabelError
from alkit.labels import read_mask
from alkit.oracles import rle
from alkit.oracles.formats.coco import COCO
from alkit.oracles.formats.cvat import CVAT
from alkit.oracles.labelstudio.regions import mask_of
from alkit.pictures.files import image_file
from alkit.pools.decoding import decode

SPEC = alkit.LabelSpec(("skin", "lesion"))
HUGE = {
    "png": png(30_000, 30_000),
    "deep png": png(30_000, 30_000, depth=16),
    "bmp": saved(np.zeros((4, 4), np.uint8), "BMP").replace(b"\x04\0\0\0\x04\0\0\0", b"\x30\x75\0\0\x30\x75\0\0"),
    "tiff": with_tags(tiff(np.zeros((8, 8), np.uint8)), t256=30_000, t257=30_000),
    "tiff of a type that Pillow lacks": with_tags(tiff(np.zeros((8, 8), np.int64)), t256=400_000, t257=450_000),
    "tiff with a large strip": with_tags(
        tiff(np.zeros((8, 8), np.int64)), **{f"t{ROWS}": 2**31 - 1, f"t{WIDTH}": 2**31 - 1}
    ),
}


@pytest.mark.parametrize("kind", HUGE)
@pytest.mark.parametrize("read", [read_mask, lambda path: decode(path, (8, 8), True)], ids=["mask", "image"])
def test_a_header_that_claims_too_many_pixels_is_refused_with_the_way_out(kind, read, tmp_path):
    path = tmp_path / "a.tif"
    path.write_bytes(HUGE[kind])
    with pytest.raises((LabelError, ImageError), match=r"too many pixels.*ALKIT_MAX_PIXELS="):
        read(path)


def test_the_limit_can_be_lowered_and_raised(tmp_path, monkeypatch):
    Image.new("L", (30, 20)).save(tmp_path / "a.png")
    monkeypatch.setenv("ALKIT_MAX_PIXELS", "599")
    with pytest.raises(ImageError, match=r"got 30 x 20, expected at most 599. Try: .*ALKIT_MAX_PIXELS=600"):
        decode(tmp_path / "a.png", None, True)
    monkeypatch.setenv("ALKIT_MAX_PIXELS", "600")
    assert decode(tmp_path / "a.png", None, True)[1] == (20, 30)


def test_an_image_beyond_the_limit_of_pillow_is_read_once_the_limit_is_raised(tmp_path, monkeypatch):
    before = Image.MAX_IMAGE_PIXELS
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 100)
    Image.new("1", (5000, 5000)).save(tmp_path / "a.png")
    Image.new("1", (5000, 5000)).save(tmp_path / "a.tif")
    for name in ("a.png", "a.tif"):
        assert read_mask(tmp_path / name).shape == (5000, 5000)
    assert Image.MAX_IMAGE_PIXELS == 100 != before


@pytest.mark.parametrize("text", ["-1", "0", "many", "1e9", "\N{SUPERSCRIPT TWO}"])
def test_a_limit_that_is_not_a_positive_integer_is_an_error(text, tmp_path, monkeypatch):
    Image.new("L", (3, 2)).save(tmp_path / "a.png")
    monkeypatch.setenv("ALKIT_MAX_PIXELS", text)
    with pytest.raises(ConfigurationError, match="ALKIT_MAX_PIXELS must be an integer >= 1"):
        read_mask(tmp_path / "a.png")


@pytest.mark.parametrize("size", [(np.uint8(255), 2**63), (np.int64(2**32), np.int64(2**32))])
def test_sides_whose_product_would_overflow_are_too_many_pixels(size):
    with pytest.raises(LabelError, match="too many pixels"):
        alkit.labels.resize_mask(np.zeros((8, 8), np.uint8), size, alkit.LabelSpec(("skin", "lesion")))


def test_a_file_with_too_many_bytes_is_refused(tmp_path, monkeypatch):
    monkeypatch.setenv("ALKIT_MAX_BYTES", "60")
    Image.new("L", (3, 2)).save(tmp_path / "a.png")
    with pytest.raises(LabelError, match=r"too large: got \d+ bytes, expected at most 60. Try: .*ALKIT_MAX_BYTES=\d+"):
        read_mask(tmp_path / "a.png")
    for form in (COCO, CVAT):
        (tmp_path / "a").write_bytes(b" " * 61)
        with pytest.raises(AlkitError, match="a is too large: got 61 bytes"):
            list(form.read(tmp_path / "a", [], SPEC))


def test_compressed_parts_that_are_larger_than_the_file_says_are_refused_before_they_are_decompressed(tmp_path):
    bomb = with_tags(tiff(np.zeros((3000, 3000), np.int64), compression="zlib", rowsperstrip=3000), t256=8, t257=8)
    (tmp_path / "a.tif").write_bytes(bomb)
    with pytest.raises(LabelError, match="larger than its tile"):
        read_mask(tmp_path / "a.tif")


# Polygons and run-length encodings.


def test_a_polygon_with_many_far_corners_is_refused_and_does_not_end_the_process():
    code = """
    import numpy as np
    from alkit.errors import LabelError
    from alkit.oracles import rle
    points = np.random.default_rng(0).uniform(-12000, 12000, 600_000).tolist()
    try:
        rle.polygon(points, (3000, 4000))
    except LabelError as reason:
        print(reason)
    """
    done = subprocess.run([sys.executable, "-c", textwrap.dedent(code)], capture_output=True, text=True, check=True)
    assert "the outline of a polygon is too long: got 300000 corners" in done.stdout
    assert "ALKIT_MAX_PIXELS" in done.stdout


def test_a_polygon_along_the_edge_of_every_pixel_is_drawn():
    comb = [n for y in range(0, 400, 2) for n in (0, y, 400, y, 400, y + 1, 0, y + 1)]
    assert 0.2 < rle.polygon(comb, (400, 400)).mean() < 0.8


FAR = 3 * 10**8


@pytest.mark.parametrize("size", [(10**9, 10**9), (1, 10**9), (0, 5), (-1, 4)])
def test_the_size_of_an_image_is_checked_before_its_regions_are_drawn(size):
    for draw in (
        lambda: rle.polygon([0, 0, FAR, 0, FAR, FAR], size),
        lambda: rle.decode({"size": list(size), "counts": [0]}, size),
    ):
        with pytest.raises(LabelError, match=r"too many pixels|at least one pixel|close to it"):
            draw()


def region(kind, height, width, **value):
    value[f"{kind}labels"] = ["lesion"]
    return {"type": kind, "original_height": height, "original_width": width, "value": value}


@pytest.mark.parametrize(
    "drawn",
    [
        region("polygon", 10**9, 10**9, points=[[0, 0], [1, 1], [0, 1]]),
        region("brush", 10**9, 10**9, rle=[0] * 20),
        region("brush", 4, 4, rle=10**12),
        region("bitmask", 10**9, 10**9, imageDataURL="data:image/png;base64,"),
        region("polygon", 4, 4, points=[[0, 0], [1e308, 1], [0, 1]]),
        region("polygon", 4, 4, points=[[0, 0], [1e9, 1e9], [0, -1e9]]),
    ],
    ids=["polygon", "brush", "brush that is a number", "bitmask", "endless polygon", "far polygon"],
)
def test_regions_of_label_studio_are_checked_before_they_are_drawn(drawn):
    with pytest.raises(LabelError):
        mask_of([drawn], SPEC, (4, 4))


# Sound files with damaged parts.


def test_a_damaged_exif_block_does_not_spoil_a_sound_image(tmp_path, caplog):
    gray = np.arange(12, dtype=np.uint8).reshape(3, 4)
    lines = b"".join(b"\0" + row.tobytes() for row in gray)
    for number, block in enumerate([b"garbage", b"II*\0\xff\xff\xff\xff", b"MM\0*\0\0\0\x08\xff\xff", b""]):
        path = tmp_path / f"{number}.png"
        path.write_bytes(png(4, 3, lines=lines, extra=png_chunk(b"eXIf", block)))
        with caplog.at_level(logging.WARNING):
            pixels, _ = decode(path, None, True)
            np.testing.assert_array_equal(pixels[0], gray)
            np.testing.assert_array_equal(read_mask(path), gray)
    assert "the EXIF block" in caplog.text
    pool = alkit.ImagePool(tmp_path, grayscale=True, cache=tmp_path / "cache")
    assert image_file(pool, "0").content == (tmp_path / "0.png").read_bytes()


@pytest.mark.parametrize("order", ["<", ">"])
def test_signed_tiff_images_of_16_bits_are_read(tmp_path, order):
    gray = np.arange(0, 32_000, 1000).reshape(4, 8).astype(np.int16)
    (tmp_path / "a.tif").write_bytes(tiff(gray, byteorder=order))
    pixels, _ = decode(tmp_path / "a.tif", None, True)
    assert pixels.dtype == np.uint16
    np.testing.assert_array_equal(pixels[0], gray)
    (tmp_path / "b.tif").write_bytes(tiff(gray - 1024, byteorder=order))
    with pytest.raises(ImageError, match=r"b.tif has negative values: got -1024 to 29976, expected 0 or more"):
        decode(tmp_path / "b.tif", None, True)
    np.testing.assert_array_equal(read_mask(tmp_path / "b.tif"), gray - 1024)


# Anything at all.


def read_everything(path: Path):
    """Read a file as an image and as a mask; only alkit's errors may come out."""
    for read in (lambda: decode(path, (8, 8), True), lambda: decode(path, None, False), lambda: read_mask(path)):
        with suppress(ImageError, LabelError):
            read()


def mutate(folder, seed, count):
    rng = np.random.default_rng(seed)
    for name, content in samples(rng).items():
        for _ in range(count):
            path = folder / name
            path.write_bytes(mutated(content, rng))
            read_everything(path)


def test_mutated_images_are_read_or_refused(tmp_path):
    mutate(tmp_path, seed=0, count=25)


@pytest.mark.slow
def test_many_mutated_images_are_read_or_refused_with_little_memory(tmp_path):
    code = f"""
    import resource, sys
    from pathlib import Path
    sys.path[:0] = [".", "tests/support", "tests/_reading"]
    from test_limits import mutate
    resource.setrlimit(resource.RLIMIT_AS, (6 << 30, 6 << 30))
    mutate(Path({str(tmp_path)!r}), seed=1, count=1000)
    print("peak", resource.getrusage(resource.RUSAGE_SELF).ru_maxrss >> 10)
    """
    done = subprocess.run([sys.executable, "-c", textwrap.dedent(code)], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr[-2000:]
    assert int(done.stdout.split()[-1]) < 4000


ODD = [1e300, 10**30, -(10**9), float("inf"), float("nan"), 2**31]
NUMBERS = st.one_of(
    st.integers(-5, 40),
    st.floats(-50, 50),
    st.sampled_from([1e300, 10**30, -(10**9), float("inf"), float("nan"), 2**31]),
)


@given(st.lists(NUMBERS, max_size=40), st.tuples(st.integers(1, 20), st.integers(1, 20)))
@settings(deadline=None, max_examples=200)
def test_any_polygon_is_drawn_or_refused(points, size):
    with suppress(LabelError):
        assert rle.polygon(points, size).shape == size
    corners = [list(pair) for pair in zip(points[::2], points[1::2], strict=False)]
    with suppress(LabelError):
        assert mask_of([region("polygon", *size, points=corners)], SPEC, size).shape == size


@given(st.one_of(st.lists(NUMBERS, max_size=12), st.text(max_size=30), NUMBERS), st.tuples(NUMBERS, NUMBERS))
@settings(deadline=None, max_examples=200)
def test_any_run_length_encoding_is_decoded_or_refused(counts, size):
    with suppress(LabelError):
        plane = rle.decode({"size": list(size), "counts": counts}, (3, 4))
        assert plane.shape == (3, 4)
    for kind, name in (("brush", "rle"), ("bitmask", "imageDataURL")):
        with suppress(LabelError):
            mask_of([region(kind, *size, **{name: counts})], SPEC, (3, 4))


def test_a_truncated_exif_block_is_a_warning_that_names_the_file(tmp_path, caplog, recwarn):
    """Pillow only prints a warning of its own, which does not say which image it is about."""
    Image.new("L", (8, 8)).save(tmp_path / "a.jpg", exif=b"Exif\0\0MM\0*\0\0\0\x08\xff\xff\x01\x12")
    pool = alkit.ImagePool(tmp_path, grayscale=True, cache=tmp_path / "cache")
    assert pool.ids == ("a",)
    assert "a.jpg is damaged in part (Corrupt EXIF data" in caplog.text
    assert not recwarn.list


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="the system has no pipes")
@pytest.mark.parametrize("multiple", [False, True])
def test_a_table_that_is_a_pipe_or_a_device_neither_blocks_nor_ends(tmp_path, multiple):
    """A record names the table of the labels of its test set."""
    os.mkfifo(tmp_path / "labels.csv")
    for path in (tmp_path / "labels.csv", "/dev/zero"):
        with pytest.raises(AlkitError, match="it is not a regular file"):
            alkit.LabelOracle(path, classes=("cat", "dog"), multiple=multiple)
