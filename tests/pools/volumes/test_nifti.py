"""NIfTI files are read exactly and plane by plane, and damaged or hostile ones are refused before memory is taken."""

from __future__ import annotations

import gzip
from pathlib import Path

import nibabel
import numpy as np
import pytest
from nibabel.testing import data_path

import alkit
from alkit.errors import ImageError
from alkit.pools.volumes import blocks, nifti
from alkit.pools.volumes.nifti import open_nifti
from alkit.pools.volumes.writing import write_volume
from tests.support.volumes import ramp, write_nifti


def values(part):
    planes = [list(part.planes(channel, range(part.geometry.shape[2]))) for channel in range(part.channels)]
    return np.stack([np.stack(channel, axis=-1) for channel in planes], axis=-1)


@pytest.mark.parametrize("suffix", [".nii", ".nii.gz"])
@pytest.mark.parametrize("dtype", ["u1", "i1", "<i2", ">i2", "u2", "i4", "f4", ">f8"])
def test_values_equal_those_of_nibabel(tmp_path, suffix, dtype):
    array = ramp().astype(dtype)
    affine = np.array([[0, 2, 0, -7], [-3, 0, 0, 5], [0, 0, 4, 1], [0, 0, 0, 1.0]])
    part = open_nifti(write_nifti(tmp_path / f"a{suffix}", array, affine))
    np.testing.assert_array_equal(values(part)[..., 0], array)
    np.testing.assert_array_equal(part.geometry.matrix, affine)
    assert (part.geometry.shape, part.channels, part.geometry.is_oriented) == ((3, 4, 5), 1, True)


@pytest.mark.parametrize("name", ["anatomical.nii", "example4d.nii.gz", "example_nifti2.nii.gz", "functional.nii"])
def test_files_of_nibabel_are_read_as_nibabel_reads_them(name):
    image = nibabel.load(f"{data_path}/{name}")
    part = open_nifti(Path(data_path) / name)
    wanted = image.get_fdata()
    np.testing.assert_allclose(values(part), wanted.reshape(*wanted.shape[:3], -1), rtol=1e-6)
    np.testing.assert_allclose(part.geometry.matrix, image.affine, rtol=1e-6)


def test_slope_and_intercept_are_applied(tmp_path):
    image = nibabel.Nifti1Image(ramp(), np.eye(4))
    image.header.set_slope_inter(0.5, -1024)
    image.to_filename(tmp_path / "a.nii")
    found = values(open_nifti(tmp_path / "a.nii"))[..., 0]
    np.testing.assert_allclose(found, nibabel.load(tmp_path / "a.nii").get_fdata())


def test_a_fourth_axis_holds_channels_and_axes_of_length_one_are_dropped(tmp_path):
    array = ramp((3, 4, 5, 2))
    assert open_nifti(write_nifti(tmp_path / "a.nii", array)).channels == 2
    np.testing.assert_array_equal(values(open_nifti(tmp_path / "a.nii")), array)
    assert open_nifti(write_nifti(tmp_path / "b.nii", ramp((3, 4, 5, 1, 1)))).channels == 1
    with pytest.raises(ImageError, match=r"c\.nii must have three axes, or four with channels"):
        open_nifti(write_nifti(tmp_path / "c.nii", ramp((3, 4, 5, 1, 3))))


@pytest.mark.parametrize(
    ("dtype", "what"), [("c8", "complex values"), ([("R", "u1"), ("G", "u1"), ("B", "u1")], "colours")]
)
def test_colours_and_complex_values_are_refused(tmp_path, dtype, what):
    with pytest.raises(ImageError, match=rf"a\.nii has {what}"):
        open_nifti(write_nifti(tmp_path / "a.nii", np.zeros((3, 4, 5), dtype)))


def test_planes_are_read_in_any_ascending_order(tmp_path):
    part = open_nifti(write_nifti(tmp_path / "a.nii.gz", ramp()))
    found = list(part.planes(0, [1, 4]))
    np.testing.assert_array_equal(found[0], ramp()[:, :, 1])
    np.testing.assert_array_equal(found[1], ramp()[:, :, 4])


@pytest.mark.parametrize("suffix", [".nii", ".nii.gz"])
@pytest.mark.parametrize("kept", [0, 10, 347, 400])
def test_a_file_that_is_cut_off_is_named(tmp_path, suffix, kept):
    content = write_nifti(tmp_path / "whole.nii", ramp()).read_bytes()
    path = tmp_path / f"a{suffix}"
    path.write_bytes(gzip.compress(content[:kept]) if suffix.endswith("gz") else content[:kept])
    with pytest.raises(ImageError, match=r"a\.nii(\.gz)? (cannot be read as a volume|is cut off)"):
        values(open_nifti(path))


def test_a_gzip_file_that_is_damaged_is_named(tmp_path):
    path = write_nifti(tmp_path / "a.nii.gz", np.random.default_rng(0).integers(100, size=(20, 20, 20), dtype=np.int16))
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 255
    path.write_bytes(content)
    part = open_nifti(path)
    with pytest.raises(ImageError, match=r"a\.nii\.gz cannot be read as a volume"):
        values(part)


@pytest.mark.parametrize("suffix", [".nii", ".nii.gz"])
def test_a_header_that_declares_more_voxels_than_the_file_can_hold_is_refused(tmp_path, suffix):
    header = nibabel.Nifti1Header()
    header.set_data_shape((30000, 30000, 30000))
    header.set_data_dtype(np.float64)
    header["magic"], header["vox_offset"] = b"n+1", 352
    content = header.binaryblock + bytes(1000)
    path = tmp_path / f"a{suffix}"
    path.write_bytes(gzip.compress(content) if suffix.endswith("gz") else content)
    with pytest.raises(ImageError, match=r"too many pixels|is cut off"):
        open_nifti(path)


@pytest.mark.parametrize(("at", "value"), [(108, np.nan), (108, np.inf), (116, np.nan), (116, np.inf)])
def test_a_header_with_an_offset_or_an_intercept_that_is_not_finite_is_refused(tmp_path, at, value):
    path = write_nifti(tmp_path / "a.nii", ramp())
    content = bytearray(path.read_bytes())
    content[112:116] = np.float32(1).tobytes()
    content[at : at + 4] = np.float32(value).tobytes()
    path.write_bytes(bytes(content))
    with pytest.raises(ImageError, match=r"a\.nii cannot be read as a volume"):
        open_nifti(path)


def test_a_large_extension_is_not_read(tmp_path):
    header = nibabel.Nifti1Header()
    header.set_data_shape((3, 4, 5))
    header["magic"], header["vox_offset"] = b"n+1", 2e9
    path = tmp_path / "a.nii"
    path.write_bytes(header.binaryblock + b"\1\0\0\0" + (2**31 - 16).to_bytes(4, "little") + bytes(1000))
    with pytest.raises(ImageError, match=r"a\.nii is cut off"):
        open_nifti(path)


@pytest.mark.parametrize("content", [b"", b"text", b"\x5c\1\0\0" + bytes(344), bytes(348)])
def test_other_files_are_not_volumes(tmp_path, content):
    (tmp_path / "a.nii").write_bytes(content)
    with pytest.raises(ImageError, match=r"a\.nii cannot be read as a volume"):
        open_nifti(tmp_path / "a.nii")


def test_a_header_of_a_pair_of_files_is_refused(tmp_path):
    nibabel.Nifti1Pair(ramp(), np.eye(4)).to_filename(tmp_path / "a.hdr")
    (tmp_path / "a.hdr").rename(tmp_path / "a.nii")
    with pytest.raises(ImageError, match="its header belongs to another file"):
        open_nifti(tmp_path / "a.nii")


def test_a_file_of_many_channels_is_not_unpacked_again_for_each_of_them(tmp_path, monkeypatch):
    values = np.random.default_rng(0).integers(0, 9, (4, 5, 6, 7)).astype(np.int16)
    (tmp_path / "images").mkdir()
    nibabel.Nifti1Image(values, np.eye(4)).to_filename(tmp_path / "images" / "a.nii.gz")
    opened, usual = [], nifti.open_file
    monkeypatch.setattr(nifti, "open_file", lambda path: opened.append(path) or usual(path))
    monkeypatch.setattr(blocks, "ALONG", 4 * 7 * 4 * 5 * 2)
    pool = alkit.VolumePool(tmp_path / "images", axis=2, window=(0, 8), cache=tmp_path / "cache")
    assert len(opened) <= 3  # the header, and all slices
    found = pool.read(pool.ids)
    np.testing.assert_allclose(found, values.transpose(2, 3, 1, 0) / 8, atol=1e-4)


@pytest.mark.parametrize("slope", [0, np.nan])
def test_a_slope_of_zero_or_nan_means_that_values_are_those_that_are_stored(tmp_path, slope):
    path = write_nifti(tmp_path / "a.nii", ramp())
    content = bytearray(path.read_bytes())
    content[112:120] = np.array([slope, 5], np.float32).tobytes()
    path.write_bytes(bytes(content))
    np.testing.assert_array_equal(np.stack(list(open_nifti(path).planes(0, range(5))), axis=-1), ramp())


@pytest.mark.parametrize(("code", "unit"), [(0, None), (1, 1e3), (2, 1.0), (3, 1e-3), (3 + 8, 1e-3), (5, None)])
def test_lengths_are_in_the_unit_that_the_file_states(tmp_path, code, unit):
    affine = np.array([[0, 2, 0, -7], [-3, 0, 0, 5], [0, 0, 4, 1], [0, 0, 0, 1.0]])
    part = open_nifti(write_nifti(tmp_path / "a.nii", ramp(), affine, xyzt_units=code))
    np.testing.assert_allclose(part.geometry.matrix, np.vstack([affine[:3] * (unit or 1), affine[3:]]))
    assert part.geometry.unit == unit


def test_what_is_written_beside_a_volume_has_its_unit(tmp_path):
    affine = np.diag([2.0, 3.0, 4.0, 1.0])
    for forms in ((1, 0), (0, 1), (1, 1)):
        path = write_nifti(tmp_path / "a.nii", ramp(), affine, xyzt_units=3)
        image = nibabel.load(path)
        image.set_qform(affine, forms[0])
        image.set_sform(affine, forms[1])
        image.to_filename(tmp_path / "b.nii")
        part = open_nifti(tmp_path / "b.nii")
        write_volume(tmp_path / "c.nii", part, "|u1", part.planes(0, range(5)))
        written = nibabel.load(tmp_path / "c.nii")
        assert written.header.get_xyzt_units()[0] == "micron"
        np.testing.assert_allclose([written.get_qform(), written.get_sform()], [affine] * 2, atol=1e-6)
