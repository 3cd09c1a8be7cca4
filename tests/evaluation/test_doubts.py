"""Masks that may be mistakes."""

import numpy as np
import pytest

import alkit
from alkit.evaluation.doubts import reasons_for_doubt

SPEC = alkit.LabelSpec(("skin", "lesion"), ignore=255)
LESION = np.array([[0, 0, 0, 0], [0, 1, 1, 255]], np.uint8)
ELSEWHERE = np.array([[1, 1, 0, 0], [0, 0, 0, 0]], np.uint8)


@pytest.mark.parametrize(
    ("mask", "others", "words"),
    [
        (LESION, {}, []),
        (LESION, {"bob": LESION, "cid": ELSEWHERE}, []),
        (0 * LESION, {}, ["is empty: all of it is 'skin'"]),
        (np.maximum(1, LESION), {}, ["is full: all of it is 'lesion'"]),
        (np.full((2, 4), 255, np.uint8), {}, []),
        (0 * LESION, {"bob": LESION}, ["is empty", "is far from that of bob (Dice 0.00)"]),
        (LESION, {"bob": ELSEWHERE, "the model": 0 * LESION}, ["is far from that of bob (Dice 0.00)"]),
        (
            np.where(LESION == 255, 255, 1 - np.minimum(LESION, 1)),
            {"bob": LESION},
            ["inverted: with 'lesion' in place of 'skin'"],
        ),
    ],
)
def test_what_is_unusual_about_a_mask_is_said(mask, others, words):
    said = list(reasons_for_doubt(mask.astype(np.uint8), others, SPEC))
    assert len(said) == len(words)
    for sentence, part in zip(said, words, strict=True):
        assert part in sentence


def test_masks_of_three_classes_are_never_called_inverted():
    spec = alkit.LabelSpec(("skin", "lesion", "hair"))
    assert list(reasons_for_doubt(ELSEWHERE, {"bob": 1 - ELSEWHERE}, spec)) == [
        "the mask is far from that of bob (Dice 0.00)"
    ]
