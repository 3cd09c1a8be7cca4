"""A contact sheet shows images with captions, and the outlines of their masks."""

from itertools import pairwise

import numpy as np
import pytest
from PIL import Image

import alkit
from alkit.errors import ConfigurationError, LabelError
from alkit.labels import to_working
from alkit.pictures import contact_sheet


def shown(cell):
    return np.asarray(cell.images[0].get_array())


def test_a_contact_sheet_shows_images_in_the_order_of_the_ids_with_the_outlines_of_masks():
    images, masks = alkit.synthetic.lesions(5, size=16, seed=3)
    pool = alkit.ArrayPool(images, ids=list("abcde"))
    sheet = contact_sheet(pool, ["d", "a", "b"], masks={"a": masks[0]}, captions={"d": "first"}, columns=2)
    cells = sheet.axes
    assert len(cells) == 4
    for cell, id in zip(cells, "dab", strict=False):
        assert np.array_equal(shown(cell), pool.read([id])[0, 0])
    assert [cell.get_xlabel() for cell in cells[:3]] == ["first", "a", "b"]
    outlined = [bool(cell.collections) for cell in cells[:3]]
    assert outlined == [False, True, False]


def test_an_outline_follows_a_mask_of_any_size():
    pool = alkit.ArrayPool(np.zeros((1, 16, 24), np.uint8), ids=["a"])
    mask = np.zeros((64, 96), np.uint8)
    mask[32:, :24] = 1  # below the middle, the left quarter
    (cell,) = contact_sheet(pool, ["a"], masks={"a": mask}).axes
    points = np.concatenate([path.vertices for path in cell.collections[0].get_paths()])
    assert points[:, 0].max() == pytest.approx(6, abs=0.3)
    assert points[:, 1].min() == pytest.approx(8, abs=0.3)
    assert list(cell.images[0].get_extent()) == [0, 24, 16, 0]  # the first row is on top
    assert cell.get_ylim() == (16, 0)


def test_captions_stand_below_their_images_and_never_overlap():
    ids = [f"patient_003{number}_slice_0012_contrast_T2w.nii.gz" for number in range(2)] + [r"$\bad$", "<script>"]
    pool = alkit.ArrayPool(np.zeros((4, 8, 16), np.uint8), ids=ids)
    sheet = contact_sheet(pool, ids, captions={"<script>": "one\ntwo"})
    sheet.draw_without_rendering()
    cells = [(cell.get_window_extent(), cell.xaxis.label.get_window_extent()) for cell in sheet.axes]
    for image, caption in cells:
        assert caption.y1 <= image.y0
        assert image.x0 <= (caption.x0 + caption.x1) / 2 <= image.x1
    for (_, left), (_, right) in pairwise(cells):
        assert left.x1 < right.x0
    assert [cell.get_xlabel().replace("\n", "") for cell in sheet.axes] == [*ids[:3], "onetwo"]


@pytest.mark.parametrize("mask", [np.zeros((4, 4)), np.ones((4, 4))])
def test_empty_and_full_masks_have_no_outline(mask):
    pool = alkit.ArrayPool(np.zeros((1, 16, 16), np.uint8), ids=["a"])
    assert not contact_sheet(pool, ["a"], masks={"a": mask}).axes[0].collections


def test_a_sheet_needs_ids_and_masks_of_two_dimensions():
    pool = alkit.ArrayPool(np.zeros((1, 16, 16), np.uint8), ids=["a"])
    with pytest.raises(ConfigurationError, match="ids must contain at least one id"):
        contact_sheet(pool, [])
    with pytest.raises(LabelError, match="'a'"):
        contact_sheet(pool, ["a"], masks={"a": np.zeros((2, 4, 4))})


def test_images_have_the_proportions_of_the_original_and_not_of_the_working_size(tmp_path):
    Image.new("L", (90, 30), 128).save(tmp_path / "a.png")
    pool = alkit.ImagePool(tmp_path, size=16, grayscale=True)
    mask = np.zeros((30, 90), np.uint8)
    mask[:, :45] = 1
    (cell,) = contact_sheet(pool, ["a"], masks={"a": mask}).axes
    assert shown(cell).shape == (16, 16)
    assert list(cell.images[0].get_extent()) == [0, 90, 30, 0]
    assert cell.get_aspect() == 1
    points = np.concatenate([path.vertices for path in cell.collections[0].get_paths()])
    assert points[:, 0].max() == pytest.approx(45, abs=0.6)


@pytest.mark.parametrize(
    ("fit", "shape", "box"), [("pad", (8, 16), [0, 60, 30, 0]), ("crop", (16, 16), [15, 45, 30, 0])]
)
def test_a_sheet_shows_the_content_of_a_frame_in_its_place(tmp_path, fit, shape, box):
    Image.fromarray(np.random.default_rng(0).integers(0, 255, (30, 60)).astype(np.uint8)).save(tmp_path / "a.png")
    pool = alkit.ImagePool(tmp_path, size=16, fit=fit, grayscale=True, cache=tmp_path / "cache")
    drawn = np.zeros((30, 60), np.uint8)
    drawn[10:20, 25:35] = 1
    (frame,) = pool.frames(["a"])
    working = to_working(drawn, frame, alkit.LabelSpec(("skin", "lesion")))
    for mask in (drawn, np.where(working == 255, 1, working)):
        (cell,) = contact_sheet(pool, ["a"], masks={"a": mask}, columns=1).axes
        assert cell.images[0].get_array().shape == shape
        assert list(cell.images[0].get_extent()) == box
        (outline,) = cell.collections[0].get_paths()
        middle = outline.vertices.min(axis=0) / 2 + outline.vertices.max(axis=0) / 2
        assert np.abs(middle - (30, 15)).max() < 1.5
