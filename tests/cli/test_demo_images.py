import numpy as np

from alkit.cli.demo_images import SHARES, draw_cells


def test_the_images_of_the_demo_have_one_common_and_three_rare_kinds():
    drawn = draw_cells(200, 16)
    counts = {kind: drawn.kinds.count(kind) for kind in SHARES}
    assert counts["fluorescence"] > 140
    assert min(counts.values()) >= 5
    assert drawn.masks.any((1, 2)).all()
    few = draw_cells(3, 16)
    np.testing.assert_array_equal(few.images, drawn.images[:3])
    np.testing.assert_array_equal(few.masks, drawn.masks[:3])
