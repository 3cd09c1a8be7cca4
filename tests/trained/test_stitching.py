"""Predictions of tiles are stitched into masks of whole images, from the top to the bottom."""

import tracemalloc

import numpy as np
import pytest
import tifffile
from hypothesis import given
from hypothesis import strategies as st

from alkit.pools.tiles.grid import boxes
from alkit.pools.tiles.large import LargeImage
from alkit.trained.stitching import stitched_rows, weights
from alkit.trained.tiles import write_mask

SIDES = st.integers(1, 24)


class Local:
    """Predicts a pixel from its value, and from how far it is from the border of the tile."""

    def probabilities(self, images):
        lesion = images[:, 0] * np.linspace(0.4, 1, images.shape[3], dtype=np.float32)
        return np.stack([1 - lesion, lesion], axis=1)


def large(pixels):
    return LargeImage((pixels.shape[1:],), None, lambda level, box: pixels[(slice(None), *box.slices)])


@given(st.tuples(SIDES, SIDES), st.tuples(SIDES, SIDES), st.floats(0.1, 1), st.integers(0, 3), st.integers(0, 99))
def test_bands_equal_a_slow_stitching_of_the_whole_image(size, tile, share, margin, seed):
    stride = max(1, round(share * tile[0])), max(1, round(share * tile[1]))
    pixels = np.random.default_rng(seed).integers(0, 256, (1, *size)).astype(np.uint8)
    cut = {"tile": tile, "stride": stride, "margin": margin}
    bands = list(stitched_rows(large(pixels), 0, Local(), 2, scale="full", **cut))
    sums, total = np.zeros((2, *size)), np.zeros(size)
    padded = np.pad(pixels, ((0, 0), (margin, margin + tile[0]), (margin, margin + tile[1])), "symmetric")
    for box in boxes(size, tile, stride):
        height, width = tile[0] + 2 * margin, tile[1] + 2 * margin
        seen = padded[:, box.top : box.top + height, box.left : box.left + width] / np.float32(255)
        found = Local().probabilities(seen[None])[0][:, margin : margin + box.height, margin : margin + box.width]
        sums[(slice(None), *box.slices)] += found * weights(box.size)
        total[box.slices] += weights(box.size)
    mean = sums / total
    wanted, mask = mean.argmax(axis=0), np.concatenate(bands)
    assert mask.shape == size
    near = np.abs(mean[0] - mean[1]) < 1e-5
    assert np.array_equal(mask[~near], wanted[~near])


def test_where_tiles_do_not_overlap_each_pixel_is_that_of_its_tile():
    pixels = np.random.default_rng(0).integers(0, 256, (1, 16, 16)).astype(np.uint8)
    mask = np.concatenate(
        list(stitched_rows(large(pixels), 0, Local(), 2, tile=(8, 8), stride=(8, 8), margin=0, scale="full"))
    )
    for box in boxes((16, 16), (8, 8), (8, 8)):
        alone = Local().probabilities(pixels[None][(..., *box.slices)] / np.float32(255))[0].argmax(axis=0)
        assert np.array_equal(mask[box.slices], alone)


@pytest.mark.parametrize("size", [(5, 7), (512, 512), (700, 1100)])
def test_a_mask_is_written_band_by_band_and_read_again(tmp_path, size):
    mask = np.random.default_rng(0).integers(0, 4, size).astype(np.uint8)
    bands = [mask[begin : begin + 97] for begin in range(0, size[0], 97)]
    write_mask(tmp_path / "sub" / "a.tif", bands, size)
    assert np.array_equal(tifffile.imread(tmp_path / "sub" / "a.tif"), mask)
    assert [path.name for path in (tmp_path / "sub").iterdir()] == ["a.tif"]


def test_a_prediction_that_fails_leaves_no_file(tmp_path):
    def bands():
        yield np.zeros((4, 8), np.uint8)
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        write_mask(tmp_path / "a.tif", bands(), (8, 8))
    assert not list(tmp_path.iterdir())


def test_memory_does_not_grow_with_the_height_of_an_image():
    def peak(height):
        def read(level, box):
            return np.full((1, *box.size), 99, np.uint8)

        image = LargeImage(((height, 300),), None, read)
        tracemalloc.start()
        try:
            cut = {"tile": (64, 64), "stride": (48, 48), "margin": 8}
            rows = sum(map(len, stitched_rows(image, 0, Local(), 2, scale="full", **cut)))
            assert rows == height
            return tracemalloc.get_traced_memory()[1]
        finally:
            tracemalloc.stop()

    peak(300)
    assert peak(3000) < 1.2 * peak(600)
