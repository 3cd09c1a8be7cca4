import numpy as np
from hypothesis import given
from hypothesis.extra.numpy import array_shapes, arrays

from alkit.oracles.labelstudio.polygon import fill, outlines


def pixel_by_pixel(polygon, size):
    """Return the pixels whose centres lie in a polygon: the slow, obvious way."""
    inside = np.zeros(size, bool)
    for row, column in np.ndindex(size):
        x, y, winding = column + 0.5, row + 0.5, 0
        for start, stop in zip(polygon, [*polygon[1:], polygon[0]], strict=True):
            (x0, y0), (x1, y1) = sorted([start, stop], key=lambda point: point[1])
            if y0 <= y < y1 and x0 + (y - y0) * ((x1 - x0) / (y1 - y0)) <= x:
                winding += 1 if start[1] < stop[1] else -1
        inside[row, column] = winding != 0
    return inside


@given(arrays(bool, array_shapes(min_dims=2, max_dims=2, max_side=12)))
def test_filled_outlines_are_the_painted_pixels(mask):
    total = np.zeros(mask.shape, int)
    for outline in outlines(mask):
        total += fill(outline, mask.shape)
    np.testing.assert_array_equal(total, mask)


def test_a_part_with_two_holes_is_one_polygon():
    mask = np.ones((7, 9), bool)
    mask[2, 2] = mask[4:6, 5:7] = False
    (outline,) = outlines(mask)
    np.testing.assert_array_equal(fill(outline, mask.shape), mask)


def test_an_empty_mask_has_no_outlines():
    assert outlines(np.zeros((3, 3), bool)) == []


@given(arrays(float, (7, 2), elements={"min_value": -3, "max_value": 12, "allow_nan": False}))
def test_a_polygon_is_filled_as_if_each_pixel_were_checked(corners):
    polygon = [tuple(corner) for corner in corners.tolist()]
    np.testing.assert_array_equal(fill(polygon, (8, 10)), pixel_by_pixel(polygon, (8, 10)))


def test_a_polygon_that_crosses_itself_is_filled_as_in_a_browser():
    star = [(5 + 5 * np.sin(t), 5 - 5 * np.cos(t)) for t in 2 * np.pi * np.array([0, 0.4, 0.8, 0.2, 0.6])]
    assert fill(star, (10, 10))[5, 5]
