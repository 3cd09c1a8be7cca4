"""Planted errors depend on the seed alone, and each kind differs from the true mask."""

import numpy as np

from benchmarks.review import KINDS, PLANTED, plant


def test_planted_errors_are_as_many_of_each_kind_and_repeat():
    rows, columns = np.mgrid[:32, :32]
    masks = np.stack([(rows - 16) ** 2 + (columns - 12) ** 2 < (4 + n % 5) ** 2 for n in range(40)]).astype(np.uint8)
    wrong, kinds = plant(masks, 3)
    again, same = plant(masks, 3)
    assert np.array_equal(wrong, again)
    assert kinds == same
    assert sorted(kinds.values()) == sorted(KINDS * (PLANTED // len(KINDS)))
    changed = {row for row in range(40) if not np.array_equal(wrong[row], masks[row])}
    assert {row for row, kind in kinds.items() if kind != "swapped"} <= changed <= kinds.keys()
    area = {
        kind: [int(wrong[row].sum()) - int(masks[row].sum()) for row in kinds if kinds[row] == kind] for kind in KINDS
    }
    assert min(area["dilated"]) > 0 > max(area["eroded"])
    assert area["shifted"] == [0, 0, 0]
    assert all(wrong[row].sum() == 0 for row, kind in kinds.items() if kind == "empty")
