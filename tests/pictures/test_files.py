"""Annotators get image files unchanged if possible, and a browser gets files that it can show."""

from io import BytesIO

import numpy as np
import pytest
import tifffile
from PIL import Image

import alkit
from alkit.errors import ImageError
from alkit.pictures.files import browser_file, image_file

SIZE = (6, 8)


def test_images_with_files_are_shown_unchanged_and_others_at_the_working_size(tmp_path):
    Image.fromarray(np.full((*SIZE, 3), 40, np.uint8)).save(tmp_path / "0.png")
    pool = alkit.ImagePool(tmp_path, size=4)
    content = (tmp_path / "0.png").read_bytes()
    for images in (pool, pool.subset(pool.ids)):
        assert browser_file(images, "0") == (content, ".png")
    arrays = alkit.ArrayPool(np.full((1, 6, 8), 7, np.uint8))
    content, suffix = browser_file(arrays, "0000")
    (tmp_path / "shown").write_bytes(content)
    assert (np.asarray(Image.open(tmp_path / "shown")) == 7).all()
    assert suffix == ".png"


def test_images_a_browser_cannot_show_are_shown_as_png(tmp_path):
    deep = np.arange(48, dtype=np.uint16).reshape(SIZE) * 1000 + 7
    Image.fromarray(deep).save(tmp_path / "deep.png")
    Image.fromarray(deep.astype(np.uint8)).save(tmp_path / "gray.tif")
    shown = {}
    for id in ("deep", "gray"):
        content, suffix = browser_file(alkit.ImagePool(tmp_path, grayscale=True, pattern=f"{id}.*"), id)
        assert suffix == ".png"
        (tmp_path / "shown").write_bytes(content)
        shown[id] = np.asarray(Image.open(tmp_path / "shown").convert("L"))
    np.testing.assert_array_equal(shown["gray"], deep.astype(np.uint8))
    assert (shown["deep"].shape, shown["deep"].min(), shown["deep"].max()) == (SIZE, 0, 255)


@pytest.mark.parametrize("suffix", ["png", "tif"])
@pytest.mark.parametrize("orientation", range(1, 9))
def test_annotators_get_an_image_as_the_pool_reads_it_whatever_its_orientation(tmp_path, orientation, suffix):
    """Pillow turns a TIFF itself when it is loaded. Turned twice, a square image would get masks that do not fit."""
    exif = Image.Exif()
    exif[0x112] = orientation
    Image.fromarray(np.arange(48, dtype=np.uint8).reshape(SIZE)).save(tmp_path / f"0.{suffix}", exif=exif)
    pool = alkit.ImagePool(tmp_path, grayscale=True, scale="full")
    shown = np.asarray(Image.open(BytesIO(image_file(pool, "0").content)))
    np.testing.assert_array_equal(shown, np.rint(pool.read(["0"])[0, 0] * 255))
    assert shown.shape == pool.sizes(["0"])[0][0]


@pytest.mark.parametrize("suffix", ["png", "webp", "jpg"])
def test_a_browser_turns_jpegs_only(tmp_path, suffix):
    """Browsers differ for PNG and WebP. Turned by half, masks would fit, but of the wrong places."""
    exif = Image.Exif()
    exif[0x112] = 3
    pixels = np.repeat(np.arange(48, dtype=np.uint8).reshape(*SIZE, 1) * 5, 3, axis=2)
    options = {"lossless": True} if suffix == "webp" else {}
    Image.fromarray(pixels).save(tmp_path / f"0.{suffix}", exif=exif, **options)
    content, shown_as = browser_file(alkit.ImagePool(tmp_path), "0")
    if suffix == "jpg":
        assert (content, shown_as) == ((tmp_path / "0.jpg").read_bytes(), ".jpg")
    else:
        assert shown_as == ".png"
        np.testing.assert_array_equal(np.asarray(Image.open(BytesIO(content))), pixels[::-1, ::-1])


@pytest.mark.parametrize(("dtype", "kind"), [(np.int16, "minisblack"), (np.uint16, "miniswhite")])
def test_a_deep_image_that_is_not_upright_is_shown_as_the_pool_reads_it(tmp_path, dtype, kind):
    deep = np.arange(48, dtype=dtype).reshape(SIZE) * 500
    tifffile.imwrite(tmp_path / "0.tif", deep, photometric=kind, extratags=[(274, "H", 1, 6, True)])
    pool = alkit.ImagePool(tmp_path, grayscale=True, scale="full")
    shown = np.asarray(Image.open(BytesIO(image_file(pool, "0").content))).astype(float)
    np.testing.assert_allclose(shown / 65535, pool.read(["0"])[0, 0], atol=1e-6)
    np.testing.assert_array_equal(shown, np.rot90(65535 - deep if kind == "miniswhite" else deep, -1))


@pytest.mark.parametrize("suffix", ["png", "jpg", "tif"])
def test_a_file_with_a_gap_behind_its_image_is_not_read_to_its_end(tmp_path, monkeypatch, suffix):
    for name in ("a", "b"):
        Image.new("RGB", (8, 6), "navy").save(tmp_path / f"{name}.{suffix}")
    with (tmp_path / f"a.{suffix}").open("r+b") as file:
        file.truncate(2**40)  # it takes no room on the disk
    pool = alkit.ImagePool(tmp_path)
    if suffix == "tif":  # Pillow reads of it what it needs
        for shown in (image_file, browser_file):
            with pytest.raises(ImageError, match="too large for its pixels"):
                shown(pool, "a")
        return
    assert "too large for an image" in pool.unusable["a"]
    content = (tmp_path / f"b.{suffix}").read_bytes() + bytes(2 * 10**6)
    (tmp_path / f"b.{suffix}").write_bytes(content)
    assert image_file(pool, "b").content == content
    monkeypatch.setenv("ALKIT_MAX_BYTES", "1000000")
    with pytest.raises(ImageError, match="too large for its pixels"):
        image_file(pool, "b")


def test_a_tile_of_an_image_that_was_replaced_since_the_pool_was_opened_is_not_shown(tmp_path):
    """The tile is that of the former image, and its surroundings would be those of the new one."""
    pytest.importorskip("zarr")
    for value in (1, 2):
        tifffile.imwrite(
            tmp_path / "a.tif", np.full((64, 64), value, np.uint8), tile=(16, 16), photometric="minisblack"
        )
        if value == 1:
            pool = alkit.TilePool(tmp_path, tile=32, grayscale=True, cache=tmp_path / "cache")
            assert image_file(pool, pool.ids[0]).content
    with pytest.raises(ImageError, match=r"a\.tif has changed since the pool was opened"):
        image_file(pool, pool.ids[0])


@pytest.mark.parametrize("pages", [None, "frames"])
def test_a_file_that_was_replaced_since_the_pool_was_opened_is_not_shown(tmp_path, pages):
    def write(value):
        pixels = np.full((1 if pages is None else 2, 8, 8), value, np.uint8)
        tifffile.imwrite(tmp_path / "a.tif", pixels[0] if pages is None else pixels, photometric="minisblack")

    write(1)
    pool = alkit.ImagePool(tmp_path, grayscale=True, pages=pages, cache=tmp_path / "cache")
    for part in (pool, pool.subset(pool.ids)):
        write(1)  # only touched
        assert image_file(part, pool.ids[0]).content
        write(2)
        for make in (image_file, browser_file):
            with pytest.raises(ImageError, match=r"a\.tif has changed since the pool was opened"):
                make(part, pool.ids[0])
    (tmp_path / "a.tif").unlink()
    with pytest.raises(ImageError, match=r"a\.tif cannot be read"):
        image_file(pool, pool.ids[0])
