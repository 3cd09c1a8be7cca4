"""Images are decoded correctly and once, and the cache survives crashes, damage and changes."""

from __future__ import annotations

import hashlib
import json
import logging
import os
import pickle
import re
import shutil
import struct
import subprocess
import sys
import textwrap
import threading
import zlib
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from alkit.errors import DataError, ImageError, StoreError
from alkit.pools import ImagePool, sources
from alkit.pools import cache as imagecache
from alkit.pools.pieces import Shard

RNG = np.random.default_rng(0)


def gray(height=12, width=10, deep=False):
    top, kind = (65536, np.uint16) if deep else (256, np.uint8)
    return RNG.integers(top, size=(height, width)).astype(kind)


def colour(height=12, width=10, channels=3):
    return RNG.integers(256, size=(height, width, channels), dtype=np.uint8)


def save(path, array, **options):
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(array).save(path, **options)


@pytest.fixture
def folder(tmp_path):
    path = tmp_path / "images"
    path.mkdir()
    return path


@pytest.fixture
def decoded(monkeypatch):
    """Return the names of the files decoded, as they are decoded."""
    names, decode = [], sources.decode

    def counting(path, size, grayscale):
        names.append(path.name)
        return decode(path, size, grayscale)

    monkeypatch.setattr(sources, "decode", counting)
    return names


def fill(folder, n=5, **options):
    arrays = [gray(**options) for _ in range(n)]
    for number, array in enumerate(arrays):
        save(folder / f"{number}.png", array)
    return np.stack(arrays)


def png(width, height, depth, kind, lines):
    """Return a PNG of a kind that Pillow reads and does not write."""

    def chunk(name, content):
        return struct.pack(">I", len(content)) + name + content + struct.pack(">I", zlib.crc32(name + content))

    head = struct.pack(">IIBBBBB", width, height, depth, kind, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", head) + chunk(b"IDAT", zlib.compress(lines)) + chunk(b"IEND", b"")


def the_row_file(place):
    return next(place.rglob("rows-*.bin"))


# What is decoded.


@pytest.mark.parametrize("suffix", ["png", "PNG", "tif", "tiff", "bmp", "TIFF"])
def test_every_lossless_format_gives_the_pixels_that_were_saved(folder, suffix):
    gray_one, colour_one = gray(), colour()
    save(folder / f"gray.{suffix}", gray_one)
    save(folder / f"colour.{suffix}", colour_one)
    pixels = ImagePool(folder, scale="full").read(["gray", "colour"])
    np.testing.assert_allclose(pixels[0] * 255, np.broadcast_to(gray_one, (3, 12, 10)), atol=1e-4)
    np.testing.assert_allclose(pixels[1] * 255, colour_one.transpose(2, 0, 1), atol=1e-4)


@pytest.mark.parametrize("suffix", ["jpg", "JPEG", "webp"])
def test_lossy_formats_are_read_as_by_pillow(folder, suffix):
    save(folder / f"a.{suffix}", colour())
    with Image.open(folder / f"a.{suffix}") as image:
        expected = np.asarray(image.convert("RGB")).transpose(2, 0, 1)
    np.testing.assert_allclose(ImagePool(folder, scale="full").read(["a"])[0] * 255, expected, atol=1e-4)


def test_grayscale_is_the_luma_of_the_colours(folder):
    array = colour()
    save(folder / "a.png", array)
    luma = array @ np.array([0.299, 0.587, 0.114])
    pixels = ImagePool(folder, grayscale=True, scale="full").read(["a"])
    assert pixels.shape == (1, 1, 12, 10)
    np.testing.assert_allclose(pixels[0, 0] * 255, luma, atol=0.51)


def test_an_image_is_resized_whole_by_an_antialiasing_bicubic_filter(folder):
    array = gray(40, 60)
    save(folder / "a.png", array)
    expected = np.asarray(Image.fromarray(array).resize((20, 10), Image.Resampling.BICUBIC))
    pool = ImagePool(folder, size=(10, 20), grayscale=True, scale="full")
    np.testing.assert_allclose(pool.read(["a"])[0, 0] * 255, expected, atol=1e-4)
    assert pool.sizes(["a"]) == [((40, 60), (10, 20))]


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("suffix", ["png", "tif"])
def test_the_exif_orientation_is_applied(folder, orientation, suffix):
    array, exif = gray(), Image.Exif()
    exif[0x0112] = orientation
    save(folder / f"a.{suffix}", array, exif=exif)
    seen = {  # where a viewer puts the rows and columns of the file
        1: array,
        2: array[:, ::-1],
        3: array[::-1, ::-1],
        4: array[::-1],
        5: array.T,
        6: np.rot90(array, -1),
        7: np.rot90(array, 2).T,
        8: np.rot90(array),
    }[orientation]
    pool = ImagePool(folder, grayscale=True, scale="full")
    np.testing.assert_allclose(pool.read(["a"])[0, 0] * 255, seen, atol=1e-4)
    assert pool.sizes(["a"]) == [(seen.shape,)]


def test_the_palette_of_an_image_is_applied(folder):
    image = Image.new("P", (2, 1))
    image.putpalette([10, 20, 30, 200, 100, 0])
    image.putpixel((1, 0), 1)
    image.save(folder / "a.png")
    pixels = ImagePool(folder, scale="full").read(["a"])[0] * 255
    np.testing.assert_allclose(pixels[:, 0].T, [[10, 20, 30], [200, 100, 0]], atol=1e-4)


@pytest.mark.parametrize("grayscale", [True, False])
def test_an_image_of_one_bit_is_black_and_white_and_resized_smoothly(folder, grayscale):
    image = Image.fromarray(np.eye(16, dtype=bool))
    image.save(folder / "a.png")
    expected = np.asarray(image.convert("L").resize((6, 6), Image.Resampling.BICUBIC))
    pixels = ImagePool(folder, size=6, grayscale=grayscale, scale="full").read(["a"])[0] * 255
    np.testing.assert_allclose(pixels, np.broadcast_to(expected, pixels.shape), atol=1e-4)
    assert len(np.unique(expected)) > 2


@pytest.mark.parametrize("suffix", ["png", "tif"])
def test_gray_images_of_16_bits_keep_all_their_bits(folder, suffix):
    array = gray(deep=True)
    save(folder / f"a.{suffix}", array)
    pixels = ImagePool(folder, grayscale=True, scale="full").read(["a"])
    np.testing.assert_array_equal(np.rint(pixels[0, 0].astype(np.float64) * 65535), array)


def test_gray_images_of_16_bits_are_resized_with_all_their_bits_and_do_not_wrap_around(folder):
    array = np.where(np.arange(40) < 20, 65535, 300).astype(np.uint16)[None].repeat(40, 0)  # overshoots at the edge
    save(folder / "a.png", array)
    exact = np.asarray(Image.fromarray(array.astype(np.float32)).resize((16, 16), Image.Resampling.BICUBIC))
    pixels = ImagePool(folder, size=16, grayscale=True, scale="full").read(["a"])[0, 0].astype(np.float64) * 65535
    assert exact.max() > 65535
    assert exact.min() < 0
    np.testing.assert_allclose(pixels, exact.clip(0, 65535), atol=0.51)


def test_an_opaque_alpha_channel_is_dropped(folder):
    array = colour(channels=4)
    array[..., 3] = 255
    save(folder / "a.png", array)
    save(folder / "b.png", np.ascontiguousarray(array[..., :3]))
    first, second = ImagePool(folder).read(["a", "b"])
    np.testing.assert_array_equal(first, second)


# What is refused.


@pytest.mark.parametrize("kind", ["RGBA", "LA", "palette", "16 bits"])
def test_transparency_is_an_error(folder, kind):
    array = colour(channels=4)
    array[..., 3] = 255
    array[3, 4, 3] = 254
    image = Image.fromarray(array)
    if kind == "LA":
        image = image.convert("LA")
    if kind == "palette":
        image = Image.fromarray(array[..., 0] // 128).convert("P")
    if kind == "16 bits":
        image = Image.fromarray(gray(deep=True))
    image.save(folder / "a.png", **({"transparency": 1} if kind in ("palette", "16 bits") else {}))
    with pytest.raises(ImageError, match=r"a\.png has transparent pixels.*alpha"):
        ImagePool(folder, grayscale=True)


@pytest.mark.parametrize(("kind", "channels"), [(2, 3), (4, 2), (6, 4)])
def test_16_bits_in_colour_keep_their_bits_although_pillow_would_reduce_them_to_8(folder, kind, channels):
    content = b"\0" + struct.pack(f">{channels}H", *[1234] * (channels - (kind > 2)), *[65535] * (kind > 2))
    (folder / "a.png").write_bytes(png(1, 1, 16, kind, content))
    np.testing.assert_allclose(ImagePool(folder, scale="full").read(["a"]), 1234 / 65535, rtol=1e-6)


@pytest.mark.parametrize("dtype", [np.int32, np.float32])
def test_32_bits_are_read(folder, dtype):
    values = np.arange(16).reshape(4, 4).astype(dtype) * 70_000
    save(folder / "a.tif", values)
    np.testing.assert_array_equal(ImagePool(folder, grayscale=True, scale="full").read(["a"])[0, 0], values)


def test_16_bits_without_grayscale_are_read_as_colours(folder):
    fill(folder, 3, deep=True)
    gray_pool, pool = ImagePool(folder, grayscale=True), ImagePool(folder)
    assert pool.shape[0] == 3
    np.testing.assert_array_equal(pool.read(pool.ids)[:, :1], gray_pool.read(pool.ids))


def test_a_folder_of_8_and_16_bits_is_an_error_that_names_one_of_each(folder):
    save(folder / "flat.png", gray())
    save(folder / "very deep.png", gray(deep=True))
    for pattern in ("**/*", "*.png"):
        with pytest.raises(ImageError, match=r"flat\.png with 8 bits, very deep\.png with 16"):
            ImagePool(folder, grayscale=True, pattern=pattern)
    save(folder / "a.png", gray(deep=True))
    with pytest.raises(ImageError, match=r"flat\.png with 8 bits, a\.png with 16"):
        ImagePool(folder, grayscale=True)


def test_different_sizes_without_a_working_size_are_an_error_that_names_two(folder):
    save(folder / "a.png", gray(12, 10))
    save(folder / "b.png", gray(10, 12))
    with pytest.raises(ImageError, match=r"a\.png \(12, 10\) and b\.png \(10, 12\).*size=256"):
        ImagePool(folder)
    assert ImagePool(folder, size=8).sizes(["b", "a"]) == [((10, 12), (8, 8)), ((12, 10), (8, 8))]


def test_an_animation_is_an_error(folder):
    frames = [Image.fromarray(gray()) for _ in range(2)]
    frames[0].save(folder / "a.tif", save_all=True, append_images=frames[1:])
    with pytest.raises(ImageError, match=r"a\.tif has several frames"):
        ImagePool(folder)


@pytest.mark.parametrize("damage", ["cut", "rubbish", "empty"])
@pytest.mark.parametrize("suffix", ["png", "jpg", "tif"])
def test_an_unreadable_image_is_left_out_with_the_reason_until_it_is_repaired(folder, damage, suffix, decoded, caplog):
    fill(folder, height=64, width=64)
    bad = folder / f"2bad.{suffix}"
    save(bad, gray(64, 64))
    content = bad.read_bytes()
    bad.write_bytes({"cut": content[: len(content) // 2], "rubbish": b"rubbish" * 50, "empty": b""}[damage])
    pool = ImagePool(folder)
    assert re.search(rf"2bad\.{suffix} cannot be decoded: got .+Try: ", pool.unusable["2bad"])
    assert "1 image cannot be used and is left out: '2bad' (" in caplog.text
    assert pool.ids == ("0", "1", "2", "3", "4")
    assert pool.read(pool.ids).shape[0] == 5
    assert pool.subset(["0"]).unusable == pool.unusable
    decoded.clear()
    assert len(ImagePool(folder)) == 5
    assert decoded == [bad.name]
    bad.write_bytes(content)
    assert ImagePool(folder).ids == ("0", "1", "2", "2bad", "3", "4")
    assert ImagePool(folder).unusable == {}


def test_a_folder_without_a_readable_image_is_one_error(folder):
    for name in "xyz":
        (folder / f"{name}.png").write_bytes(b"no image")
    with pytest.raises(ImageError, match=r"^none of the 3 images can be used.*x\.png.*y\.png.*z\.png"):
        ImagePool(folder)
    fill(folder)
    assert list(ImagePool(folder).unusable) == ["x", "y", "z"]


def test_a_broken_link_is_left_out_and_named(folder):
    (folder / "lost.png").symlink_to(folder / "nowhere.png")
    with pytest.raises(ImageError, match=r"lost\.png cannot be read"):
        ImagePool(folder)
    fill(folder)
    pool = ImagePool(folder)
    assert "lost.png cannot be read" in pool.unusable["lost"]
    assert len(pool) == 5


# What is found.


def test_ids_are_relative_names_without_suffix_in_sorted_order(folder):
    for name in ("b.v2.png", "a-b.png", "a.jpg", "ward 3/x.TIF", "ward 3/deep/é.bmp"):
        save(folder / name, gray())
    for name in (".hidden.png", ".folder/z.png", "notes.txt", "table.csv", "b.v2.png.bak"):
        (folder / name).parent.mkdir(exist_ok=True)
        (folder / name).write_bytes(b"no image")
    (folder / "folder.png").mkdir()
    assert ImagePool(folder, size=8).ids == ("a", "a-b", "b.v2", "ward 3/deep/é", "ward 3/x")
    assert ImagePool(folder, size=8, pattern="*.png").ids == ("a-b", "b.v2")
    assert ImagePool(folder, size=8, pattern="ward*/**/*").ids == ("ward 3/deep/é", "ward 3/x")


def test_two_files_with_one_id_are_an_error_that_names_both(folder):
    save(folder / "x/a.png", gray())
    save(folder / "x/a.jpg", gray())
    with pytest.raises(DataError, match=r"x/a\.jpg and x/a\.png, both 'x/a'.*pattern="):
        ImagePool(folder)
    assert ImagePool(folder, pattern="**/*.png").ids == ("x/a",)


def test_a_missing_and_an_empty_folder_are_different_errors(folder):
    with pytest.raises(DataError, match=r"path must be an existing folder of images: got .*nowhere"):
        ImagePool(folder / "nowhere")
    with pytest.raises(DataError, match=r"the folder .*images contains no images that match the pattern '\*\.png'"):
        ImagePool(folder, pattern="*.png")


# What is kept.


def test_an_image_is_decoded_once_however_often_the_folder_is_opened(folder, decoded):
    fill(folder)
    first = ImagePool(folder, size=8).read(["3", "1"])
    second = ImagePool(str(folder), size=(8, 8), scale="full")
    assert sorted(decoded) == [f"{n}.png" for n in range(5)]
    np.testing.assert_array_equal(ImagePool(folder, size=8).read(["3", "1"]), first)
    assert second.read(["3"]).max() < first.max()
    assert len(decoded) == 5


def test_each_size_and_colour_has_its_own_cache(folder, decoded):
    fill(folder)
    pools = [ImagePool(folder, size, grayscale) for size, grayscale in ((8, True), (6, True), (6, False))]
    assert len(decoded) == 15
    assert [pool.shape for pool in pools] == [(1, 8, 8), (1, 6, 6), (3, 6, 6)]


def test_opening_a_complete_cache_writes_nothing_and_opens_only_its_index(folder, monkeypatch):
    fill(folder)
    ImagePool(folder)
    monkeypatch.setattr(Image, "open", None)
    monkeypatch.setattr(imagecache, "FileLock", None)
    monkeypatch.setattr("alkit.pools.index.write_atomically", None)
    assert len(ImagePool(folder)) == 5


def test_only_changed_and_new_images_are_decoded(folder, decoded):
    before = fill(folder)
    old = ImagePool(folder, grayscale=True, scale="full")
    seen = old.read(old.ids)
    save(folder / "2.png", 255 - before[2])
    save(folder / "new.png", before[0])
    (folder / "4.png").unlink()
    decoded.clear()
    new = ImagePool(folder, grayscale=True, scale="full")
    assert sorted(decoded) == ["2.png", "new.png"]
    assert new.ids == ("0", "1", "2", "3", "new")
    expected = np.stack([before[0], before[1], 255 - before[2], before[3], before[0]])
    np.testing.assert_allclose(new.read(new.ids)[:, 0] * 255, expected, atol=1e-4)
    np.testing.assert_array_equal(old.read(old.ids), seen)  # a pool that is open sees what it saw


def test_a_file_that_was_touched_is_decoded_again(folder, decoded):
    fill(folder)
    ImagePool(folder)
    decoded.clear()
    facts = (folder / "1.png").stat()
    os.utime(folder / "1.png", ns=(facts.st_atime_ns, facts.st_mtime_ns + 1))
    ImagePool(folder)
    assert decoded == ["1.png"]


def test_an_open_pool_reads_the_old_images_while_all_are_decoded_at_a_new_size(folder):
    before = fill(folder)
    old = ImagePool(folder, grayscale=True, scale="full")
    after = fill(folder, height=20, width=22)
    new = ImagePool(folder, grayscale=True, scale="full")
    np.testing.assert_allclose(old.read(old.ids)[:, 0] * 255, before, atol=1e-4)
    np.testing.assert_allclose(new.read(new.ids)[:, 0] * 255, after, atol=1e-4)


def test_decoding_continues_after_a_crash(folder, tmp_path, decoded):
    arrays = fill(folder, 20)
    program = f"""
        import os
        from alkit import pools
        from alkit.pools import cache as imagecache, sources
        imagecache.SAVE_EVERY = 5
        decode = sources.decode
        def killed(path, size, grayscale):
            if path.name == "9.png":
                os._exit(9)  # no clean-up of any kind
            return decode(path, size, grayscale)
        sources.decode = killed
        import joblib
        joblib.cpu_count = lambda: 1
        pools.ImagePool({str(folder)!r}, grayscale=True, scale="full", cache={str(tmp_path / "cache")!r})
    """
    assert subprocess.run([sys.executable, "-c", textwrap.dedent(program)], check=False).returncode == 9
    pool = ImagePool(folder, grayscale=True, scale="full", cache=tmp_path / "cache")
    assert 1 <= len(decoded) <= 9  # 15 of 20 were saved or more; names sort as 0, 1, 10, ... 19, 2, ...
    order = [int(id) for id in pool.ids]
    np.testing.assert_allclose(pool.read(pool.ids)[:, 0] * 255, arrays[order], atol=1e-4)


def test_the_index_is_written_less_often_the_larger_it_is(folder, monkeypatch):
    fill(folder, 100, height=4, width=4)
    saved = []
    monkeypatch.setattr(imagecache, "SAVE_EVERY", 1)
    monkeypatch.setattr(imagecache.Index, "save", lambda index: saved.append(len(index.entries)))
    ImagePool(folder)
    assert saved[:19] == list(range(1, 20))
    assert saved[-1] > 90
    assert len(saved) < 50


def test_an_interrupted_decode_keeps_every_row(folder, decoded):
    fill(folder, 10)

    def interrupted(progress):
        if progress.done == 4:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        ImagePool(folder, report=interrupted)
    decoded.clear()
    ImagePool(folder)
    assert len(decoded) == 6


def test_progress_starts_at_the_cached_images_and_reaches_the_end(folder):
    fill(folder, 3)
    ImagePool(folder)
    fill(folder / "more", 4)
    told = []
    ImagePool(folder, report=told.append)
    assert [(step.stage, step.done, step.total) for step in told] == [("read", done, 7) for done in (4, 5, 6, 7)]


def cut_rows(place):
    file = the_row_file(place)
    os.truncate(file, file.stat().st_size - 1)


def summed(content):
    return hashlib.sha256(content).hexdigest().encode() + b"\n" + content


DAMAGE = {
    "rows cut": cut_rows,
    "rows gone": lambda place: the_row_file(place).unlink(),
    "index is rubbish": lambda place: next(place.rglob("index.json")).write_bytes(b"\xff\x00{"),
    "index is cut": lambda place: os.truncate(next(place.rglob("index.json")), 50),
    "index lacks a part": lambda place: next(place.rglob("index.json")).write_bytes(summed(b'{"format": 2}')),
    "index is of another kind": lambda place: next(place.rglob("index.json")).write_bytes(summed(b"[1]")),
    "index is of another format": lambda place: next(place.rglob("index.json")).write_bytes(summed(b'{"format": 0}')),
    "index is of the first format": lambda place: next(place.rglob("index.json")).write_text('{"format": 1}'),
}


@pytest.mark.parametrize("damage", DAMAGE)
def test_a_damaged_cache_is_rebuilt_with_a_warning(folder, tmp_path, damage, decoded, caplog):
    fill(folder)
    before = ImagePool(folder, cache=tmp_path / "cache").read(["0", "4"])
    DAMAGE[damage](tmp_path / "cache")
    decoded.clear()
    with caplog.at_level(logging.WARNING):
        pool = ImagePool(folder, cache=tmp_path / "cache")
    assert len(decoded) == 5
    assert "damaged" in caplog.text
    np.testing.assert_array_equal(pool.read(["0", "4"]), before)
    assert len(list((tmp_path / "cache").rglob("rows-*"))) == 1


def test_a_flipped_bit_in_a_row_is_noticed_and_the_image_decoded_again(folder, tmp_path, decoded, caplog):
    arrays = fill(folder)
    pool = ImagePool(folder, grayscale=True, scale="full", cache=tmp_path / "cache")
    file = the_row_file(tmp_path / "cache")
    content = file.read_bytes()
    for bit in RNG.integers(8 * len(content), size=60):
        flipped = bytearray(content)
        flipped[bit // 8] ^= 1 << bit % 8
        file.write_bytes(flipped)
        caplog.clear()
        np.testing.assert_allclose(pool.read(pool.ids)[:, 0] * 255, arrays, atol=1e-4)
        assert f"{bit // 8 // 120}.png is damaged" in caplog.text
        assert file.read_bytes() == content


def test_any_change_of_the_index_is_noticed(folder, tmp_path, decoded, caplog):
    arrays = fill(folder)
    ImagePool(folder, grayscale=True, cache=tmp_path / "cache")
    content = next((tmp_path / "cache").rglob("index.json")).read_bytes()
    for bit in RNG.integers(8 * len(content), size=60):
        flipped = bytearray(next((tmp_path / "cache").rglob("index.json")).read_bytes())
        flipped[bit // 8] ^= 1 << bit % 8
        next((tmp_path / "cache").rglob("index.json")).write_bytes(flipped)
        caplog.clear()
        pool = ImagePool(folder, grayscale=True, scale="full", cache=tmp_path / "cache")
        np.testing.assert_allclose(pool.read(pool.ids)[:, 0] * 255, arrays, atol=1e-4)
        assert pool.sizes(["0"]) == [((12, 10),)]
        assert "checksum" in caplog.text


@pytest.mark.parametrize("left", [0, 120, 599])
def test_a_cache_that_is_cut_off_while_a_pool_is_open_is_noticed(folder, tmp_path, left):
    arrays = fill(folder)
    pool = ImagePool(folder, grayscale=True, scale="full", cache=tmp_path / "cache")
    os.truncate(the_row_file(tmp_path / "cache"), left)
    np.testing.assert_allclose(pool.read(pool.ids)[:, 0] * 255, arrays, atol=1e-4)
    assert the_row_file(tmp_path / "cache").stat().st_size == 600


def test_a_damaged_row_of_an_image_that_is_gone_or_has_changed_is_an_error(folder, tmp_path):
    fill(folder)
    pool = ImagePool(folder, grayscale=True, cache=tmp_path / "cache")
    the_row_file(tmp_path / "cache").write_bytes(bytes(600))
    (folder / "1.png").unlink()
    save(folder / "2.png", gray())
    with pytest.raises(ImageError, match=r"cached copy of .*1\.png is damaged, and the image cannot be decoded again"):
        pool.read(["1"])
    with pytest.raises(ImageError, match=r"cached copy of .*2\.png is damaged, and the image has changed"):
        pool.read(["2"])


def test_a_damaged_row_that_cannot_be_replaced_is_decoded_each_time(folder, tmp_path, caplog):
    arrays = fill(folder)
    pool = ImagePool(folder, grayscale=True, scale="full", cache=tmp_path / "cache")
    file = the_row_file(tmp_path / "cache")
    file.write_bytes(bytes(600))
    file.rename(tmp_path / "elsewhere")
    for _ in range(2):
        caplog.clear()
        np.testing.assert_allclose(pool.read(pool.ids)[:, 0] * 255, arrays, atol=1e-4)
        assert "cannot be repaired" in caplog.text


def test_a_disk_that_fills_up_is_a_store_error_and_the_cache_stays_sound(folder, tmp_path):
    arrays = fill(folder, 20)
    program = f"""
        import resource
        from alkit import ImagePool
        from alkit.errors import StoreError
        resource.setrlimit(resource.RLIMIT_FSIZE, (1000, 1000))
        try:
            ImagePool({str(folder)!r}, grayscale=True, cache={str(tmp_path / "cache")!r})
        except StoreError as reason:
            print(reason)
    """
    run = [sys.executable, "-c", textwrap.dedent(program)]
    done = subprocess.run(run, check=True, capture_output=True, text=True)
    assert "the image cache cannot be written" in done.stdout
    assert "ALKIT_CACHE" in done.stdout
    pool = ImagePool(folder, grayscale=True, scale="full", cache=tmp_path / "cache")
    np.testing.assert_allclose(pool.read(pool.ids)[:, 0] * 255, arrays[[int(id) for id in pool.ids]], atol=1e-4)


def test_rows_written_after_the_index_was_saved_are_ignored(folder, tmp_path):
    arrays = fill(folder)
    ImagePool(folder, grayscale=True, cache=tmp_path / "cache")
    with the_row_file(tmp_path / "cache").open("ab") as file:
        file.write(b"half a row")
    save(folder / "5.png", arrays[0][::-1])
    pool = ImagePool(folder, grayscale=True, scale="full", cache=tmp_path / "cache")
    np.testing.assert_allclose(pool.read(["5"])[0, 0] * 255, arrays[0][::-1], atol=1e-4)


def test_two_pools_opened_at_once_decode_a_folder_once(folder, decoded):
    fill(folder, 30)
    pools = []
    threads = [threading.Thread(target=lambda: pools.append(ImagePool(folder, size=8))) for _ in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(decoded) == 30
    np.testing.assert_array_equal(pools[0].read(pools[0].ids), pools[2].read(pools[2].ids))


def test_few_images_are_decoded_ahead(folder, monkeypatch):
    fill(folder, 40)
    monkeypatch.setattr("joblib.cpu_count", lambda: 2)
    begun, decode, ahead = [], sources.decode, []

    def counting(path, size, grayscale):
        begun.append(path)
        return decode(path, size, grayscale)

    monkeypatch.setattr(sources, "decode", counting)
    ImagePool(folder, report=lambda step: ahead.append(len(begun) - step.done))
    assert max(ahead) <= 4


def test_a_cache_that_cannot_be_written_is_an_error_that_names_the_variable_to_set(folder, tmp_path, monkeypatch):
    fill(folder)
    (tmp_path / "file").write_text("in the way")
    monkeypatch.setenv("ALKIT_CACHE", str(tmp_path / "file"))
    with pytest.raises(StoreError, match=r"image cache cannot be written.*set ALKIT_CACHE"):
        ImagePool(folder)


def test_a_full_disk_is_a_store_error_and_earlier_rows_are_kept(folder, tmp_path, monkeypatch, decoded):
    fill(folder)
    write, rows = imagecache._write, []

    def full(index, pixels):
        rows.append(index.count)
        if len(rows) == 4:
            raise OSError(28, "No space left on device")
        write(index, pixels)

    monkeypatch.setattr(imagecache, "_write", full)
    with pytest.raises(StoreError, match=r"No space left on device.*set ALKIT_CACHE"):
        ImagePool(folder)
    monkeypatch.setattr(imagecache, "_write", write)
    decoded.clear()
    assert len(ImagePool(folder)) == 5
    assert len(decoded) == 2


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs a device that is always full")
def test_a_row_that_does_not_fit_on_the_disk_is_an_error(tmp_path):
    (tmp_path / "rows").symlink_to("/dev/full")
    index = imagecache.Index(tmp_path, "rows", 0, (1, 2, 2), "|u1", {})
    with pytest.raises(OSError, match="No space"):
        imagecache._write(index, np.zeros((1, 2, 2), np.uint8))


def test_the_cache_folder_is_chosen_by_argument_and_environment(folder, tmp_path, monkeypatch):
    fill(folder)
    monkeypatch.delenv("ALKIT_CACHE")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "xdg"))
    ImagePool(folder)
    assert the_row_file(tmp_path / "xdg" / "alkit" / "images")
    monkeypatch.setenv("ALKIT_CACHE", str(tmp_path / "own"))
    ImagePool(folder)
    assert the_row_file(tmp_path / "own" / "images")
    ImagePool(folder, cache=tmp_path / "given")
    assert the_row_file(tmp_path / "given" / "images")


@pytest.mark.parametrize(
    "change",
    [
        {"rows": "../../victim"}, {"rows": "link"}, {"rows": "pipe"}, {"dtype": "|O"}, {"dtype": "(9,9)f8"},
        {"count": -1},
        {"count": 10**400}, {"shape": [10**9, 9, 9]}, {"shape": [-1, 12, 10]}, {"shape": [2**62, 4, 4]},
        {"entries": {"0": ["x"] * 8}},
        "[" * 100_000, "9" * 5000,
    ],
)  # fmt: skip
def test_an_index_of_a_stranger_names_no_other_file_and_no_other_type(folder, tmp_path, change):
    fill(folder)
    ImagePool(folder, cache=tmp_path / "cache")
    (place,) = (tmp_path / "cache" / "images").iterdir()
    victim = tmp_path / "cache" / "victim"
    victim.write_bytes(b"precious" * 10_000)
    if isinstance(change, dict) and change.get("rows") in ("link", "pipe"):
        name = place / "rows-00000000.bin"
        name.symlink_to(victim) if change["rows"] == "link" else os.mkfifo(name)
        change = {"rows": name.name}
    content = json.loads((place / "index.json").read_bytes().partition(b"\n")[2])
    content = change.encode() if isinstance(change, str) else json.dumps({**content, **change}).encode()
    (place / "index.json").write_bytes(hashlib.sha256(content).hexdigest().encode() + b"\n" + content)
    save(folder / "new.png", gray())
    pool = ImagePool(folder, cache=tmp_path / "cache")
    assert len(pool.read(pool.ids)) == 6
    assert victim.read_bytes() == b"precious" * 10_000


def test_a_pool_whose_row_file_was_replaced_cannot_be_unpickled(folder, tmp_path):
    fill(folder)
    pickled = pickle.dumps(ImagePool(folder, cache=tmp_path / "cache"))
    shutil.rmtree(tmp_path / "cache")
    fill(folder)
    ImagePool(folder, cache=tmp_path / "cache")
    with pytest.raises(StoreError, match="open the pool again"):
        pickle.loads(pickled)


@pytest.mark.parametrize("kind", ["pipe", "link to a device"])
def test_an_index_that_would_never_end_is_not_read(folder, tmp_path, kind):
    save(folder / "a.png", gray())
    pool = ImagePool(folder, 8, cache=tmp_path / "cache")
    index = next((tmp_path / "cache").rglob("index.json"))
    index.unlink()
    os.mkfifo(index) if kind == "pipe" else index.symlink_to("/dev/zero")
    with pytest.raises(StoreError, match="image cache cannot be written"):
        ImagePool(folder, 8, cache=tmp_path / "cache")
    index.unlink()
    assert ImagePool(folder, 8, cache=tmp_path / "cache").ids == pool.ids


@pytest.mark.skipif(not hasattr(os, "posix_fadvise"), reason="needs a system that takes advice")
def test_the_system_is_told_which_rows_are_read_next_in_few_calls(tmp_path, monkeypatch):
    for number in range(6):
        save(tmp_path / "images" / f"{number}.png", gray())
    pool, told = ImagePool(tmp_path / "images", cache=tmp_path / "cache"), []
    monkeypatch.setattr(os, "posix_fadvise", lambda file, start, length, advice: told.append((start, length)))
    row = pool.stored(["0"])[0].nbytes
    Shard(pool.subset(["5", "1", "2", "3"]), ["5", "1", "2"]).expect()
    assert told == [(row, 2 * row), (5 * row, row)]
