"""Outputs of a batch beside those of each image alone."""

import torch

from alkit.networks.trial import close_rows


def probabilities(dtype):
    """Return the probabilities of an object, 0.9 inside and 0.1 outside."""
    rows = torch.full((2, 1, 64, 64), 0.1, dtype=dtype)
    rows[:, :, 16:48, 16:48] = 0.9
    return rows


def test_rounding_at_an_edge_does_not_count_if_numbers_are_rounded():
    for dtype, close in ((torch.float32, False), (torch.float16, True)):  # as TF32 on a GPU
        alone = probabilities(dtype)
        batch = alone.clone()
        batch[:, :, 16, 16:48] -= 0.05
        assert close_rows(batch, list(alone.split(1))) is close


def test_a_small_change_of_all_pixels_counts_in_each_type():
    for dtype in (torch.float32, torch.float16):
        alone = probabilities(dtype)
        assert not close_rows(alone * 0.96, list(alone.split(1)))


def test_nan_in_one_place_only_counts_in_each_type():
    for dtype in (torch.float32, torch.float16):
        alone = probabilities(dtype)
        batch = alone.clone()
        batch[0, 0, 0, 0] = float("nan")
        assert not close_rows(batch, list(alone.split(1)))
        assert close_rows(batch, list(batch.split(1)))
