"""Slices are the same images in whatever order and direction a file stores its voxels."""

from __future__ import annotations

from itertools import permutations, product

import numpy as np
import pytest

from alkit.errors import ConfigurationError, ImageError
from alkit.pools.volumes.geometry import Geometry, check_axis, make_geometry, plane_of
from tests.support.volumes import oriented, ramp

ORDERS = ["".join(order) for pairs in product("RL", "AP", "SI") for order in permutations(pairs)]


def slices(array, affine, axis):
    geometry = make_geometry(array.shape, affine, "a.nii")
    plane = plane_of(geometry, axis, "a.nii")
    found = []
    for index in range(plane.count(geometry)):
        image = plane.turn(np.take(array, plane.number(index, geometry), plane.axis))
        assert image.shape == plane.size(geometry)
        found.append(image)
    return np.stack(found), plane.spacing(geometry)


def test_slices_look_as_radiologists_see_them():
    array = ramp()  # axes to the right, to the front, to the head
    axial, _ = slices(array, np.eye(4), "axial")
    assert axial[2, 0, 0] == array[-1, -1, 2]  # top left: right and front
    assert axial[2, -1, -1] == array[0, 0, 2]
    coronal, _ = slices(array, np.eye(4), "coronal")
    assert coronal[1, 0, 0] == array[-1, 1, -1]  # top left: right and head
    sagittal, _ = slices(array, np.eye(4), "sagittal")
    assert sagittal[1, 0, 0] == array[1, -1, -1]  # top left: front and head


@pytest.mark.parametrize("side", [1.0, 0.01, 5e-4, 1e-6])
def test_a_shift_by_one_voxel_is_another_place_however_small_voxels_are(side):
    affine, moved = np.diag([side, side, side, 1.0]), np.diag([side, side, side, 1.0])
    affine[:3, 3] = moved[:3, 3] = 20 * side
    moved[0, 3] += side
    rounded = affine.astype(np.float32).astype(np.float64)
    one, other, same = (make_geometry((8, 8, 8), each, "a.nii") for each in (affine, moved, rounded))
    assert "another place" in one.difference(other)
    assert one.difference(same) is None


@pytest.mark.parametrize("axis", ["axial", "coronal", "sagittal"])
def test_slices_do_not_depend_on_the_order_of_the_array(axis):
    wanted, spacing = slices(ramp(), np.diag([1.0, 2.0, 3.0, 1.0]), axis)
    for axes in ORDERS:
        array, affine = oriented(ramp(), axes, (1.0, 2.0, 3.0))
        found, own = slices(array, affine, axis)
        np.testing.assert_array_equal(found, wanted, err_msg=axes)
        assert own == spacing


@pytest.mark.parametrize("axis", ["axial", "coronal", "sagittal", 0, 1, 2])
def test_turning_back_undoes_turning(axis):
    for axes in ORDERS:
        array, affine = oriented(ramp(), axes)
        geometry = make_geometry(array.shape, affine, "a.nii")
        plane = plane_of(geometry, axis, "a.nii")
        cut = np.take(array, 1, plane.axis)
        np.testing.assert_array_equal(plane.turn_back(plane.turn(cut)), cut)


def test_an_axis_of_the_array_is_not_turned():
    array, affine = oriented(ramp(), "PIR")
    found, _ = slices(array, affine, 1)
    np.testing.assert_array_equal(found[2], array[:, 2, :].T)


def test_an_oblique_volume_is_cut_along_the_nearest_axis():
    angle = np.deg2rad(30)
    turn = np.eye(4)
    turn[:2, :2] = [[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]]
    array, affine = oriented(ramp(), "LPS")
    np.testing.assert_array_equal(slices(array, turn @ affine, "axial")[0], slices(array, affine, "axial")[0])


def test_a_volume_without_orientation_needs_an_axis_of_the_array():
    geometry = make_geometry((3, 4, 5), np.eye(4), "a.nii", is_oriented=False)
    with pytest.raises(ImageError, match=r"a\.nii does not state how it lies in the patient.*Try: axis=2"):
        plane_of(geometry, "axial", "a.nii")
    assert plane_of(geometry, 2, "a.nii").axis == 2


@pytest.mark.parametrize("affine", [np.zeros((4, 4)), np.full((4, 4), np.nan), np.diag([1, 1, 0, 1]), np.ones((4, 4))])
def test_an_affine_must_span_a_volume(affine):
    with pytest.raises(ImageError, match=r"a\.nii has an affine that does not span a volume"):
        make_geometry((3, 4, 5), affine, "a.nii")


def test_geometries_differ_by_shape_and_place_but_not_by_rounding():
    geometry = make_geometry((30, 40, 50), np.diag([0.7, 0.7, 3.0, 1.0]), "a")
    shifted = geometry.matrix + np.array([[0, 0, 0, 0.5]] * 3 + [[0, 0, 0, 0]])
    assert geometry.difference(geometry) is None
    rounded = make_geometry((30, 40, 50), geometry.matrix.astype(np.float32), "b")
    assert geometry.difference(rounded) is None
    assert (
        geometry.difference(make_geometry((30, 40, 51), geometry.matrix, "b"))
        == "30 x 40 x 51 voxels, not 30 x 40 x 50"
    )
    moved = Geometry(geometry.shape, tuple(map(tuple, shifted.tolist())))
    assert "moves a corner of the volume by 0.5 mm" in geometry.difference(moved)


@pytest.mark.parametrize("axis", ["Axial", "", 3, -1, True, 1.0, None])
def test_other_axes_are_refused(axis):
    with pytest.raises(ConfigurationError, match="axis must be 'axial', 'coronal', 'sagittal', 0, 1 or 2"):
        check_axis(axis)
