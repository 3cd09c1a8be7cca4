"""The size of the foreground and the length of the borders of masks."""

import numpy as np
import pytest

from alkit.labels.outlines import outline_of


def test_a_square_has_its_area_and_its_border():
    mask = np.zeros((20, 20), np.uint8)
    mask[5:15, 5:15] = 1
    assert outline_of(mask) == (0.25, 2.0)
    assert outline_of(np.kron(mask, np.ones((4, 4), np.uint8))) == pytest.approx((0.25, 2.0))


def test_empty_and_full_masks_have_no_border():
    assert outline_of(np.zeros((4, 4), np.uint8)) == (0, 0)
    assert outline_of(np.ones((4, 4), np.uint8)) == (1, 0)


def test_a_border_between_two_foreground_classes_counts_once_and_ignored_pixels_do_not():
    mask = np.array([[1, 1, 2, 2]] * 4, np.uint8)
    assert outline_of(mask) == (1, 1)
    mask[:, 2] = 255
    assert outline_of(mask, ignore=255) == (0.75, 0)
