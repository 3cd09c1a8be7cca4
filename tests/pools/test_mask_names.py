"""Masks among images are noticed by their names."""

import pytest

from alkit.pools.mask_names import find_pairs


@pytest.mark.parametrize(
    ("names", "exclude", "pattern"),
    [
        (["x.png", "x_mask.png"], "*_mask.*", "{id}_mask.png"),
        (["a/x.jpg", "a/x_segmentation.png", "a/y.jpg"], "*_segmentation.*", "{id}_segmentation.png"),
        (["x.png", "mask-x.tif"], "mask-*.*", "mask-{id}.tif"),
        (["images/x.jpg", "masks/x.png"], "masks", "masks/{id}.png"),
        (["Images/a/x.jpg", "Labels/a/x.png"], "Labels", "Labels/{id}.png"),
        (["x.png", "gt/x.png"], "gt", "gt/{id}.png"),
        (["train/images/x.png", "train/masks/x.png"], "masks", "masks/{id}.png"),
    ],
)
def test_a_mask_beside_its_image_is_noticed(names, exclude, pattern):
    found = find_pairs(names)
    assert (found.found, found.exclude, found.pattern) == (1, exclude, pattern)


@pytest.mark.parametrize(
    "names",
    [
        ["x.png", "y_mask.png"],
        ["unmasked.png", "un.png"],
        ["mask.png", "label.png"],
        ["cat/1.png", "dog/1.png"],
        ["masks/1.png", "labels/1.png"],
        ["images/x.png", "masks/y.png"],
        ["a/images/x.png", "b/masks/x.png"],
    ],
)
def test_other_names_are_not(names):
    assert find_pairs(names) is None


def test_the_most_frequent_form_is_named():
    names = [f"{n}.png" for n in range(5)] + [f"{n}_mask.png" for n in range(4)] + ["4-gt.png"]
    assert (find_pairs(names).found, find_pairs(names).exclude) == (4, "*_mask.*")
