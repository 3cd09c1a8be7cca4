"""An overview shows hundreds of images with their proportions, outlines and captions on one picture."""

import time

import numpy as np
import pytest
from PIL import Image

import alkit
from alkit.errors import LabelError
from alkit.pictures.overviews import GAP, LINE, SIDE, overview

YELLOW = (240, 228, 66)


def cell(sheet, column, row=0, top=GAP):
    """Return the pixels of a cell in the first row of pictures."""
    left = GAP + column * (SIDE + GAP)
    return np.asarray(sheet)[top : top + SIDE, left : left + SIDE]


def drawn(pool, ids, masks=None, captions=None, title=(), columns=6):
    captions = dict.fromkeys(ids, "") | (captions or {})
    return overview(pool, ids, masks=masks or {}, captions=captions, title=title, columns=columns)


def is_yellow(pixels):
    return (pixels == YELLOW).all(axis=2)


def test_images_have_the_proportions_of_the_original_and_outlines_in_their_places(tmp_path):
    Image.new("L", (90, 30), 128).save(tmp_path / "a.png")
    pool = alkit.ImagePool(tmp_path, size=16, grayscale=True)
    mask = np.zeros((30, 90), np.uint8)
    mask[:, :45] = 1
    seen = cell(drawn(pool, ["a"], {"a": mask}), 0)
    rows = np.flatnonzero((seen != 255).any(axis=(1, 2)))
    assert (rows[0], rows[-1]) == (SIDE // 3, SIDE * 2 // 3 - 1)
    columns = np.flatnonzero(is_yellow(seen).any(axis=0))
    assert columns.tolist() == [SIDE // 2 - 1]


@pytest.mark.parametrize(("fit", "whole"), [("pad", True), ("crop", False)])
def test_the_content_of_a_frame_is_shown_in_its_place(tmp_path, fit, whole):
    Image.new("L", (60, 30), 128).save(tmp_path / "a.png")
    pool = alkit.ImagePool(tmp_path, size=16, fit=fit, grayscale=True, cache=tmp_path / "cache")
    mask = np.zeros((30, 60), np.uint8)
    mask[10:20, 25:35] = 1  # the middle
    (frame,) = pool.frames(["a"])
    working = alkit.labels.to_working(mask, frame, alkit.LabelSpec(("skin", "lesion")))
    for given in (mask, np.where(working == 255, 1, working)):
        seen = cell(drawn(pool, ["a"], {"a": given}), 0)
        assert np.ptp(np.flatnonzero((seen != 255).any(axis=(1, 2)))) + 1 == (SIDE // 2 if whole else SIDE)
        outline = np.argwhere(is_yellow(seen))
        assert np.abs((outline.min(axis=0) + outline.max(axis=0)) / 2 - SIDE / 2).max() < 6


@pytest.mark.parametrize("mask", [np.zeros((4, 4)), np.ones((4, 4))])
def test_empty_and_full_masks_have_no_outline(mask):
    pool = alkit.ArrayPool(np.zeros((1, 16, 16), np.uint8), ids=["a"])
    assert not is_yellow(cell(drawn(pool, ["a"], {"a": mask}), 0)).any()


def test_captions_of_any_length_stay_below_their_images():
    ids = ["W" * 60, "i" * 200, "a b"]
    pool = alkit.ArrayPool(np.zeros((3, 8, 8), np.uint8), ids=ids)
    sheet = drawn(pool, ids, captions={id: id for id in ids}, title=["one", "word " * 300], columns=2)
    pixels = np.asarray(sheet)
    assert (pixels[:, :GAP] == 255).all()
    assert (pixels[:, -GAP:] == 255).all()
    below = 2 * GAP + LINE * 40  # the title has fewer lines
    assert (pixels[below:, GAP + SIDE + 2 : 2 * GAP + SIDE - 2] == 255).all()  # between the columns
    assert len(pixels) > below


def test_a_mask_needs_two_dimensions():
    pool = alkit.ArrayPool(np.zeros((1, 16, 16), np.uint8), ids=["a"])
    with pytest.raises(LabelError, match="'a'"):
        drawn(pool, ["a"], {"a": np.zeros((2, 4, 4))})


@pytest.mark.slow
def test_three_hundred_images_take_less_than_two_seconds():
    images, masks = alkit.synthetic.lesions(300, size=128)
    pool = alkit.ArrayPool(images)
    drawn(pool, pool.ids[:2])  # which loads the font
    begun = time.process_time()
    drawn(pool, pool.ids, dict(zip(pool.ids, masks, strict=True)), columns=18)
    assert time.process_time() - begun < 2
