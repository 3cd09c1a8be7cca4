"""Images padded or cropped to the working size, and the folders of them."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

import alkit
from alkit.errors import ConfigurationError, ImageError
from alkit.pools.fitting import fit_pixels
from alkit.values import Frame

SIDES = st.integers(1, 40)
SIZES = st.tuples(SIDES, SIDES)


@given(
    SIZES,
    SIZES,
    st.sampled_from(["pad", "crop"]),
    st.sampled_from([np.uint8, np.uint16, np.float32]),
    st.integers(0, 9),
)
def test_a_fitted_image_has_the_working_size_and_only_values_of_the_image(original, working, fit, kind, seed):
    pixels = np.random.default_rng(seed).integers(10, 200, (2, *original)).astype(kind)
    frame = Frame(original, working, fit)
    fitted = fit_pixels(pixels, frame)
    assert fitted.shape == (2, *working)
    assert fitted.dtype == pixels.dtype
    if frame.content.size == frame.source.size:
        assert np.array_equal(fitted[(slice(None), *frame.content.slices)], pixels[(slice(None), *frame.source.slices)])
        assert set(np.unique(fitted)) <= set(np.unique(pixels))


@given(SIZES, SIZES)
def test_padding_without_shrinking_keeps_every_pixel(original, more):
    frame = Frame(original, (original[0] + more[0], original[1] + more[1]), "pad")
    pixels = np.arange(original[0] * original[1], dtype=np.uint16).reshape(1, *original)
    assert np.array_equal(fit_pixels(pixels, frame)[(slice(None), *frame.content.slices)], pixels)


@pytest.fixture
def folder(tmp_path):
    made = tmp_path / "images"
    made.mkdir()
    rng = np.random.default_rng(0)
    for name, size in (("a", (20, 40)), ("b", (50, 30)), ("c", (33, 33))):
        Image.fromarray(rng.integers(0, 256, (*size, 3)).astype(np.uint8)).save(made / f"{name}.png")
    return made


def opened(folder, **more):
    return alkit.ImagePool(folder, cache=folder.parent / "cache", **more)


def test_a_pool_pads_images_of_any_size_to_the_largest_in_steps_of_32(folder):
    pool = opened(folder, fit="pad")
    assert pool.shape == (3, 64, 64)
    assert pool.size == (64, 64)  # which a record keeps
    (frame,) = pool.subset(["a"]).frames(["a"])
    assert (frame.original, frame.content) == ((20, 40), (22, 12, 20, 40))
    pixels = pool.stored(["a"])[0][0]
    original = np.asarray(Image.open(folder / "a.png")).transpose(2, 0, 1)
    assert np.array_equal(pixels[(slice(None), *frame.content.slices)], original)
    assert pool.sizes(["a"]) == [((20, 40), (64, 64))]
    again = opened(folder, fit="pad", size=pool.size)
    assert np.array_equal(again.read(["a", "b"]), pool.read(["a", "b"]))
    assert again == pool


def test_an_upright_size_counts_for_the_padding(folder):
    for path in folder.iterdir():
        path.unlink()
    turned = Image.Exif()
    turned[0x0112] = 6
    Image.new("RGB", (90, 10), "navy").save(folder / "turned.png", exif=turned)
    assert opened(folder, fit="pad").shape == (3, 96, 32)


def test_a_pool_shrinks_what_is_larger_and_crops_the_middle(folder):
    pool = opened(folder, fit="pad", size=32)
    assert [frame.content.size for frame in pool.frames(["a", "b", "c"])] == [(16, 32), (32, 19), (32, 32)]
    cropped = opened(folder, fit="crop", size=(16, 32))
    assert [frame.source.size for frame in cropped.frames(["a", "b", "c"])] == [(20, 40), (15, 30), (17, 33)]
    image = Image.open(folder / "b.png").crop((0, 17, 30, 32)).resize((32, 16), Image.Resampling.BICUBIC)
    assert np.array_equal(cropped.stored(["b"])[0][0], np.asarray(image).transpose(2, 0, 1))


def test_each_fit_has_a_cache_of_its_own_and_squashed_images_keep_theirs(folder):
    found = {fit: opened(folder, size=32, fit=fit).read(["a"]) for fit in ("squash", "pad", "crop", "squash")}
    assert np.array_equal(found["squash"], opened(folder, size=32).read(["a"]))
    assert not np.array_equal(found["squash"], found["pad"])
    assert not np.array_equal(found["pad"], found["crop"])
    assert len(list((folder.parent / "cache" / "images").iterdir())) == 3


def test_a_damaged_row_is_padded_again(folder):
    pool = opened(folder, size=32, fit="pad")
    before = pool.read(["a"])
    (rows,) = (folder.parent / "cache").rglob("rows-*.bin")
    with rows.open("r+b") as file:
        file.write(b"\0" * 100)
    assert np.array_equal(pool.read(["a"]), before)


@pytest.mark.parametrize(
    ("given_", "words"),
    [
        ({"fit": "stretch"}, "fit must be 'squash' or 'pad' or 'crop': got 'stretch'"),
        ({"fit": "crop"}, "size must be given for fit='crop': got None. Try: size=256"),
    ],
)
def test_a_wrong_fit_is_an_error_that_names_it(folder, given_, words):
    with pytest.raises(ConfigurationError, match=words):
        opened(folder, **given_)


def test_a_size_in_which_all_fit_is_checked_before_memory_is_taken(folder, monkeypatch):
    monkeypatch.setenv("ALKIT_MAX_PIXELS", "2000")
    with pytest.raises(ImageError, match="the size in which all images fit has too many pixels: got 64 x 64"):
        opened(folder, fit="pad")


def test_a_damaged_image_does_not_stop_the_padding(folder):
    (folder / "d.png").write_bytes(b"no image")
    pool = opened(folder, fit="pad")
    assert list(pool.ids) == ["a", "b", "c"]
    assert "d" in pool.unusable
