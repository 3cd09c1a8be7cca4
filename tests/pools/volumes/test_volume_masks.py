"""Labels of volumes are cut like the images, and those of another shape or place are refused by name."""

from __future__ import annotations

import os

import numpy as np
import pytest

import alkit
from alkit.errors import DataError, ImageError, LabelError
from alkit.pools import VolumeMasks
from alkit.pools.volumes import masks
from tests.support.volumes import oriented, ramp, write_nifti


@pytest.fixture
def folder(tmp_path):
    for number, axes in enumerate(("RAS", "LPI", "SAR")):
        array, affine = oriented(ramp((6, 8, 10)) + number, axes, (1.0, 2.0, 3.0))
        write_nifti(tmp_path / "images" / f"p{number}" / "ct.nii.gz", array, affine)
        write_nifti(tmp_path / "labels" / f"p{number}" / "ct.nii.gz", (array % 3).astype(np.uint8), affine)
    return tmp_path


@pytest.mark.parametrize("axis", ["axial", "coronal", "sagittal", 0, 1, 2])
def test_labels_lie_where_the_images_lie(folder, axis):
    pool = alkit.VolumePool(folder / "images", axis=axis, size=16, window=(0, 1000))
    masks = VolumeMasks(pool, folder / "labels")
    assert list(masks) == list(pool.ids)
    for id in (*pool.ids, *pool.ids[::5]):
        image = np.rint(pool.picture(id)[0] * 1000).astype(int)
        np.testing.assert_array_equal(masks[id], image % 3)


def test_a_part_of_the_pool_needs_labels_of_its_volumes_only(folder):
    pool = alkit.VolumePool(folder / "images", size=16)
    (folder / "labels" / "p1" / "ct.nii.gz").unlink()
    with pytest.raises(LabelError, match=r"the volume p1/ct has no labels: expected a file such as .*p1/ct\.nii\.gz"):
        VolumeMasks(pool, folder / "labels")
    part = pool.subset([id for id in pool.ids if not id.startswith("p1")])
    assert "p1/ct/axial-0000" not in VolumeMasks(part, folder / "labels")


def test_a_pattern_names_the_files(folder):
    (folder / "labels").rename(folder / "others")
    for number in range(3):
        (folder / "others" / f"p{number}" / "ct.nii.gz").rename(folder / "others" / f"p{number}" / "ct-seg.nii.gz")
    pool = alkit.VolumePool(folder / "images", size=16)
    assert len(VolumeMasks(pool, folder / "others", "{volume}-seg.nii.gz")) == len(pool)
    with pytest.raises(LabelError, match="3 volumes have no labels"):
        VolumeMasks(pool, folder / "others")


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda a, m: (a[:-1], m), "5 x 8 x 10 voxels, not 6 x 8 x 10"),
        (lambda a, m: (a, m + np.eye(4)[3] * [0, 0, 0, 0.1] * np.ones((4, 1)) * [[1], [0], [0], [0]]), "by 0.1 mm"),
        (lambda a, m: (a[::-1], m @ np.diag([-1, 1, 1, 1])), "another place"),
        (lambda a, m: (np.stack([a, a], -1), m), "must have one label for each voxel: got 2 channels"),
    ],
    ids=["shape", "shift", "flip", "channels"],
)
def test_labels_of_another_shape_or_place_are_refused_by_name(folder, change, message):
    array, affine = oriented(ramp((6, 8, 10)) % 3, "RAS", (1.0, 2.0, 3.0))
    write_nifti(folder / "labels" / "p0" / "ct.nii.gz", *change(array, affine))
    with pytest.raises(LabelError, match=rf"p0/ct\.nii\.gz .*{message}"):
        VolumeMasks(alkit.VolumePool(folder / "images", size=16), folder / "labels")


def test_labels_must_be_integers(folder):
    array, affine = oriented(ramp((6, 8, 10)) / 2, "RAS", (1.0, 2.0, 3.0))
    write_nifti(folder / "labels" / "p0" / "ct.nii.gz", array.astype(np.float32), affine)
    masks = VolumeMasks(alkit.VolumePool(folder / "images", size=16), folder / "labels")
    with pytest.raises(LabelError, match=r"the labels of 'p0/ct/axial-0003' in .*ct\.nii\.gz must be integers: got \["):
        masks["p0/ct/axial-0003"]


def test_labels_of_floats_that_are_integers_count(folder):
    array, affine = oriented(ramp((6, 8, 10)) % 3, "RAS", (1.0, 2.0, 3.0))
    pool = alkit.VolumePool(folder / "images", size=16)
    before = VolumeMasks(pool, folder / "labels")["p0/ct/axial-0003"]
    write_nifti(folder / "labels" / "p0" / "ct.nii.gz", array.astype(np.float32), affine)
    np.testing.assert_array_equal(VolumeMasks(pool, folder / "labels")["p0/ct/axial-0003"], before)


def test_an_oracle_answers_from_them(folder):
    pool = alkit.VolumePool(folder / "images", size=16)
    oracle = alkit.MaskOracle(VolumeMasks(pool, folder / "labels"), classes=("a", "b", "c"))
    oracle.check_labels(pool)
    oracle.ask([alkit.Query(pool.ids[3], 0, 0, ((8, 6),))])
    (answer,) = oracle.poll()
    assert answer.label.shape == (8, 6)


def test_other_pools_and_folders_are_refused(folder):
    with pytest.raises(DataError, match="folder must be an existing folder of labels"):
        VolumeMasks(alkit.VolumePool(folder / "images", size=16), folder / "nowhere")
    with pytest.raises(DataError, match="the pool must consist of slices of volumes"):
        VolumeMasks(alkit.ArrayPool(np.zeros((3, 8, 8), np.uint8)).subset(["0001"]), folder / "labels")


def test_damage_behind_the_first_block_is_noticed_in_all_of_them(folder, monkeypatch):
    pool = alkit.VolumePool(folder / "images", axis=2, size=16)
    monkeypatch.setattr(masks, "ALONG", 1)  # one slice a block
    assert VolumeMasks(pool, folder / "labels")[pool.ids[0]].any()
    path = folder / "labels/p0/ct.nii.gz"
    content = bytearray(path.read_bytes())
    content[-8] ^= 1  # of the checksum
    path.write_bytes(content)
    with pytest.raises(LabelError, match="CRC check failed"):
        VolumeMasks(pool, folder / "labels")[pool.ids[0]]


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="needs pipes")
@pytest.mark.parametrize("suffix", ["nii.gz", "nii", "mha"])
def test_a_pipe_among_the_labels_does_not_block(folder, suffix):
    pool = alkit.VolumePool(folder / "images", window=(0, 60))
    (folder / "pipes" / "p0").mkdir(parents=True)
    os.mkfifo(folder / "pipes" / "p0" / f"ct.{suffix}")
    with pytest.raises(LabelError, match=rf"ct\.{suffix} is not a file"):
        VolumeMasks(pool, folder / "pipes")


@pytest.mark.parametrize(("unit", "factor"), [(0, 1.0), (3, 1.0), (2, 1e-3)])
def test_labels_of_a_volume_in_micrometres_may_state_its_unit_another_one_or_none(tmp_path, unit, factor):
    affine = np.diag([20.0, 20, 30, 1])
    write_nifti(tmp_path / "images" / "a.nii", ramp(), affine, xyzt_units=3)
    write_nifti(tmp_path / "labels" / "a.nii", ramp() % 3, np.diag([*np.diag(affine)[:3] * factor, 1]), xyzt_units=unit)
    pool = alkit.VolumePool(tmp_path / "images", size=16, fit="pad", spacing=0.01)
    assert pool.frames(pool.ids[:1])[0].content.size == (8, 6)  # voxels of 0.02 mm
    masks = alkit.pools.VolumeMasks(pool, tmp_path / "labels")
    np.testing.assert_array_equal(np.sort(masks[pool.ids[0]].ravel()), np.sort((ramp() % 3)[:, :, 0].ravel()))
    write_nifti(tmp_path / "labels" / "a.nii", ramp() % 3, affine, xyzt_units=2)
    with pytest.raises(LabelError, match="another place"):
        alkit.pools.VolumeMasks(pool, tmp_path / "labels")


def test_labels_that_are_saved_again_are_read_again(folder):
    pool = alkit.VolumePool(folder / "images", size=16, pattern="p0/*")
    masks = VolumeMasks(pool, folder / "labels")
    id = pool.ids[0]
    assert masks[id].any()
    array, affine = oriented(ramp((6, 8, 10)), "RAS", (1.0, 2.0, 3.0))
    write_nifti(folder / "labels" / "p0" / "ct.nii.gz", np.full_like(array, 2, dtype=np.int16), affine)  # another type
    assert (masks[id] == 2).all()
    write_nifti(folder / "labels" / "p0" / "ct.nii.gz", np.full_like(array, 2)[1:], affine)
    with pytest.raises(LabelError, match="5 x 8 x 10 voxels, not 6 x 8 x 10"):
        masks[id]
    (folder / "labels" / "p0" / "ct.nii.gz").unlink()
    with pytest.raises(LabelError, match="cannot be read"):
        masks[id]


def test_a_volume_that_is_saved_again_is_not_read_by_its_former_header(folder):
    pool = alkit.VolumePool(folder / "images", size=16, pattern="p0/*")
    array, affine = oriented(ramp((6, 8, 10)), "RAS", (1.0, 2.0, 3.0))
    write_nifti(folder / "images" / "p0" / "ct.nii.gz", array.astype(np.int32), affine)
    with pytest.raises(ImageError, match="has changed since its header was read"):
        pool.picture(pool.ids[0])
