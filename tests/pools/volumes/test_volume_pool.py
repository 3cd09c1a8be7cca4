"""A pool of slices: windowed, resized by millimetres, with context and modalities; faults are listed by volume."""

from __future__ import annotations

import logging
import pickle
import subprocess
import sys
import tracemalloc

import nibabel
import numpy as np
import pytest

from alkit import LabelSpec, VolumePool
from alkit.configuration.construct import build
from alkit.configuration.forms import written_form
from alkit.errors import ConfigurationError, DataError, ImageError
from alkit.labels import to_original, to_working
from alkit.pools import frames_of, groups_of, parents_of
from alkit.pools.volumes import blocks
from alkit.testing import PoolKit
from tests.support.peak import PEAK
from tests.support.volumes import oriented, ramp, write_nifti, write_series


@pytest.fixture
def folder(tmp_path):
    for number in range(3):
        array = np.random.default_rng(number).integers(-1000, 1000, size=(6, 8, 4 + number), dtype=np.int16)
        write_nifti(tmp_path / "volumes" / f"p{number}" / "ct.nii.gz", array)
    return tmp_path / "volumes"


def values(pool, id):
    return pool.read([id])[0]


def test_items_are_slices_and_a_volume_is_parent_and_group(folder):
    pool = VolumePool(folder)
    assert pool.ids[:5] == (*(f"p0/ct/axial-{index:04}" for index in range(4)), "p1/ct/axial-0000")
    assert (len(pool), pool.shape) == (15, (1, 8, 6))
    assert parents_of(pool, pool.ids[3:5]) == ["p0/ct", "p1/ct"] == groups_of(pool, pool.ids[3:5])
    rest, test = pool.split(test=0.3, seed=0)
    assert not set(parents_of(pool, rest.ids)) & set(parents_of(pool, test.ids))


class TestPool(PoolKit):
    """The pool keeps the protocols of pools."""

    @pytest.fixture
    def pool(self, folder):
        return VolumePool(folder, size=(5, 7), fit="pad", context=1)


def test_groups_can_be_those_of_volumes(folder, tmp_path):
    table = tmp_path / "patients.csv"
    table.write_text("id,patient,site\np0/ct,a,x\np1/ct,a,x\np2/ct,b,y\n")
    pool = VolumePool(folder, groups=table)
    assert groups_of(pool, ["p0/ct/axial-0001", "p1/ct/axial-0001", "p2/ct/axial-0001"]) == ["a", "a", "b"]


def test_a_window_is_in_the_units_of_the_file(folder):
    pool = VolumePool(folder, window=(-200, 300))
    volume = nibabel.load(folder / "p1" / "ct.nii.gz").get_fdata()
    wanted = np.clip((volume[::-1, ::-1, 2].T + 200) / 500, 0, 1)
    np.testing.assert_allclose(values(pool, "p1/ct/axial-0002")[0], wanted, atol=1 / 65535)


def test_percentiles_are_those_of_the_whole_volume(folder):
    pool = VolumePool(folder, percentiles=(10, 90))
    volume = nibabel.load(folder / "p1" / "ct.nii.gz").get_fdata()
    low, high = np.percentile(volume, (10, 90))
    wanted = np.clip((volume[::-1, ::-1, 2].T - low) / (high - low), 0, 1)
    np.testing.assert_allclose(values(pool, "p1/ct/axial-0002")[0], wanted, atol=1e-4)


def test_a_constant_volume_is_black(tmp_path):
    write_nifti(tmp_path / "volumes" / "a.nii", np.full((3, 4, 5), 7, np.int16))
    assert VolumePool(tmp_path / "volumes").read(["a/axial-0000"]).max() == 0


@pytest.mark.parametrize("axis", ["axial", "coronal", "sagittal"])
def test_slices_do_not_depend_on_how_a_file_stores_them(tmp_path, axis):
    for axes in ("RAS", "LPI", "SAR", "PIL"):
        array, affine = oriented(ramp((6, 8, 10)), axes, (1.0, 2.0, 3.0))
        write_nifti(tmp_path / "volumes" / f"{axes}.nii.gz", array, affine)
    pool = VolumePool(tmp_path / "volumes", axis=axis, size=12, fit="pad", window=(0, 479))
    count = len(pool) // 4
    stacks = pool.read(pool.ids).reshape(4, count, 1, 12, 12)
    for other in stacks[1:]:
        np.testing.assert_array_equal(other, stacks[0])


def test_an_axis_of_the_array_needs_no_orientation(tmp_path, caplog):
    write_nifti(tmp_path / "volumes" / "a.nii", ramp(), oriented=False)
    write_nifti(tmp_path / "volumes" / "b.nii", ramp())
    assert VolumePool(tmp_path / "volumes", axis=1).ids[:2] == ("a/axis1-0000", "a/axis1-0001")
    pool = VolumePool(tmp_path / "volumes")
    assert parents_of(pool, pool.ids[:1]) == ["b"]
    assert "does not state how it lies in the patient" in pool.unusable["a"]


def test_padding_keeps_the_proportions_in_millimetres(tmp_path):
    write_nifti(tmp_path / "volumes" / "a.nii", ramp((20, 20, 10)), np.diag([1.0, 1.0, 4.0, 1.0]))
    pool = VolumePool(tmp_path / "volumes", axis="coronal", size=40, fit="pad")
    (frame,) = frames_of(pool, pool.ids[:1])
    assert (frame.original, frame.content) == ((10, 20), (0, 10, 40, 20))  # 40 mm x 20 mm
    coarse = VolumePool(tmp_path / "volumes", axis="coronal", size=40, fit="pad", spacing=2)
    assert frames_of(coarse, coarse.ids[:1])[0].content == (10, 15, 20, 10)
    squashed = VolumePool(tmp_path / "volumes", axis="coronal", size=40)
    assert frames_of(squashed, squashed.ids[:1])[0].fills


def test_cropping_keeps_the_proportions_in_millimetres_and_predictions_fit_back(tmp_path):
    write_nifti(tmp_path / "volumes" / "a.nii", ramp((20, 20, 10)), np.diag([1.0, 1.0, 4.0, 1.0]))
    pool = VolumePool(tmp_path / "volumes", axis="coronal", size=10, fit="crop", window=(0, 4000))
    (frame,) = frames_of(pool, pool.ids[:1])
    assert (frame.original, frame.source, frame.content) == ((10, 20), (2, 0, 5, 20), (0, 0, 10, 10))  # 20 mm x 20 mm
    flat = VolumePool(tmp_path / "volumes", axis="coronal", size=(10, 20), fit="crop", window=(0, 4000))
    assert frames_of(flat, flat.ids[:1])[0].source == (4, 0, 2, 20)  # 8 mm x 20 mm, the nearest to 10 x 20
    seen = pool.picture(pool.ids[3])[0, 2:7]
    np.testing.assert_allclose(pool.read([pool.ids[3]]).mean(), seen.mean(), atol=0.01)
    whole = to_original(np.stack([np.zeros((10, 10)), np.ones((10, 10))]).astype(np.float32), frame)
    assert whole[1].sum(axis=1).tolist() == [0, 0, 20, 20, 20, 20, 20, 0, 0, 0]
    mask = np.zeros((10, 20), np.uint8)
    mask[2:7] = 1
    assert to_working(mask, frame, LabelSpec(("background", "organ"))).all()


def test_excluded_files_are_no_volumes(folder):
    assert len(VolumePool(folder, exclude="p1").volumes) == 2
    assert [*VolumePool(folder, exclude=("p1", "**/p2/*.nii.gz")).volumes] == ["p0/ct"]
    with pytest.raises(DataError, match=r"contains no volumes that match '\*\*/\*' and are not excluded by 'ct\.\*'"):
        VolumePool(folder, exclude="ct.*")


def test_padding_mirrors_the_slice(tmp_path):
    write_nifti(tmp_path / "volumes" / "a.nii", ramp((4, 4, 2)), np.eye(4))
    image = values(VolumePool(tmp_path / "volumes", size=(4, 10), fit="pad"), "a/axial-0000")[0]
    np.testing.assert_array_equal(image, np.pad(image[:, 3:7], ((0, 0), (3, 3)), mode="symmetric"))


def test_context_is_the_neighbouring_slices_of_the_same_volume(folder):
    plain, pool = VolumePool(folder), VolumePool(folder, context=2)
    assert pool.shape == (5, 8, 6)
    ids = ["p1/ct/axial-0000", "p1/ct/axial-0003", "p0/ct/axial-0003"]
    for id, near in zip(ids, [(0, 0, 0, 1, 2), (1, 2, 3, 4, 4), (1, 2, 3, 3, 3)], strict=True):
        wanted = [plain.read([f"{id[:-4]}{index:04}"])[0, 0] for index in near]
        np.testing.assert_array_equal(values(pool, id), wanted)
    assert pool.digest() != plain.digest()
    assert len(set(pool.digests().values())) == len(pool)


def test_modalities_are_channels(tmp_path):
    for case in ("x/one", "two"):
        write_nifti(tmp_path / "volumes" / f"{case}_t1.nii.gz", ramp())
        write_nifti(tmp_path / "volumes" / f"{case}_t2.nii.gz", ramp() * 2)
    pool = VolumePool(tmp_path / "volumes", modalities="{volume}_t1.nii.gz, {volume}_t2.nii.gz", window=(0, 118))
    assert (list(pool.volumes), pool.shape) == (["two", "x/one"], (2, 4, 3))
    image = values(pool, "x/one/axial-0003")
    np.testing.assert_allclose(np.minimum(image[0] * 2, 1), image[1], atol=1e-4)


def test_a_fourth_axis_holds_channels(tmp_path):
    array = ramp((3, 4, 5, 2))
    write_nifti(tmp_path / "volumes" / "a.nii.gz", array)
    pool = VolumePool(tmp_path / "volumes", axis=0, window=(0, 119))
    np.testing.assert_allclose(values(pool, "a/axis0-0001") * 119, array[1].T.swapaxes(0, 0), atol=0.01)


def test_volumes_that_cannot_be_used_are_left_out_by_name(folder, caplog):
    write_nifti(folder / "nan.nii", np.full((6, 8, 4), np.nan, np.float32))
    write_nifti(folder / "four.nii", ramp((6, 8, 4, 4)))
    (folder / "text.nii.gz").write_text("text")
    write_series(folder / "dicom", ramp((6, 8, 5)))[1].unlink()
    with caplog.at_level(logging.WARNING):
        pool = VolumePool(folder)
    assert len(pool) == 15
    assert set(pool.unusable) == {"nan", "four", "text", "dicom"}
    assert "4 volumes cannot be used and are left out" in caplog.text
    assert "not finite" in pool.unusable["nan"]
    assert "slices of dicom are missing" in pool.unusable["dicom"]


def test_a_missing_or_shifted_modality_leaves_out_its_volume(tmp_path):
    for case in "abc":
        write_nifti(tmp_path / "volumes" / f"{case}_t1.nii.gz", ramp())
    write_nifti(tmp_path / "volumes" / "b_t2.nii.gz", ramp())
    write_nifti(tmp_path / "volumes" / "c_t2.nii.gz", ramp(), np.diag([2.0, 3.0, 4.5, 1.0]))
    pool = VolumePool(tmp_path / "volumes", modalities=("{volume}_t1.nii.gz", "{volume}_t2.nii.gz"))
    assert list(pool.volumes) == ["b"]
    assert pool.unusable["a"] == "the volume a lacks a_t2.nii.gz"
    assert "c_t2.nii.gz does not fit c_t1.nii.gz: got another place" in pool.unusable["c"]


def test_slices_of_several_sizes_need_a_size(tmp_path):
    write_nifti(tmp_path / "volumes" / "a.nii", ramp((3, 4, 5)))
    write_nifti(tmp_path / "volumes" / "b.nii", ramp((4, 4, 5)))
    with pytest.raises(ImageError, match=r"all images must have the same size, or be resized.*size=256"):
        VolumePool(tmp_path / "volumes")
    assert VolumePool(tmp_path / "volumes", size=4).sizes(["b/axial-0000"]) == [((4, 4),)]


def test_two_files_of_one_volume_are_an_error(folder):
    write_nifti(folder / "p0" / "ct.nii", ramp())
    with pytest.raises(DataError, match=r"two volumes have the same id.*p0/ct\.nii"):
        VolumePool(folder)


def test_volumes_are_read_once(folder, monkeypatch):
    first = VolumePool(folder, window=(-200, 300))
    monkeypatch.setattr(blocks, "cut", None)
    again = VolumePool(folder, window=(-200, 300))
    assert again.digest() == first.digest()
    np.testing.assert_array_equal(pickle.loads(pickle.dumps(again)).read(first.ids), first.read(first.ids))


def test_a_damaged_row_is_read_from_its_volume_again(folder, tmp_path):
    pool = VolumePool(folder, cache=tmp_path / "own", axis="sagittal", size=9)
    wanted = pool.read(pool.ids)
    (path,) = (tmp_path / "own" / "images").glob("*/rows-*.bin")
    path.write_bytes(bytes(len(path.read_bytes())))
    np.testing.assert_array_equal(pool.read(pool.ids), wanted)


def test_a_picture_is_the_slice_at_its_original_size(folder):
    small, whole = VolumePool(folder, size=4, context=1), VolumePool(folder)
    id = "p1/ct/axial-0003"
    np.testing.assert_allclose(small.subset([id]).picture(id), whole.read([id])[0], atol=1e-4)


def test_the_place_of_a_slice_in_its_array(tmp_path):
    array, affine = oriented(ramp(), "LPI")
    write_nifti(tmp_path / "volumes" / "a.nii", array, affine)
    pool = VolumePool(tmp_path / "volumes")
    volume, number = pool.place("a/axial-0001")
    assert (volume.id, number) == ("a", 3)
    assert pool.picture("a/axial-0001").shape == (1, 4, 3)


def test_a_record_can_build_the_pool_again(folder):
    pool = VolumePool(
        folder, axis="coronal", window=(-1, 2), size=8, fit="pad", spacing=1.5, context=1, modalities="{volume}.nii.gz"
    )
    again = build(written_form(pool), "pool")
    assert again == pool
    assert again.digest() == pool.digest()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"axis": "up"}, "axis must be 'axial'"),
        ({"window": (3, 3)}, "window must be two finite numbers"),
        ({"percentiles": (-1, 50)}, r"percentiles must be in \[0, 100\]"),
        ({"fit": "stretch", "size": 4}, "fit must be 'squash' or 'pad' or 'crop'"),
        ({"fit": "crop"}, "size must be given for fit='crop'"),
        ({"spacing": 1.0}, "spacing needs fit='pad'"),
        ({"spacing": 0, "fit": "pad", "size": 4}, "spacing must be"),
        ({"context": -1}, "context must be an integer from 0 to 100"),
        ({"modalities": "t1.nii"}, r"modalities must be file names with \{volume\}"),
        ({"modalities": "{volume}.nii,{volume}.nii"}, "modalities must differ"),
    ],
)
def test_wrong_parameters_are_refused(folder, arguments, message):
    with pytest.raises(ConfigurationError, match=message):
        VolumePool(folder, **arguments)


def sparse(path, shape):
    """Write a NIfTI file of zeros that takes no room on the disk."""
    header = nibabel.Nifti1Header()
    header.set_data_shape(shape)
    header.set_data_dtype(np.int16)
    header.set_sform(np.eye(4), 1)
    header["magic"], header["vox_offset"] = b"n+1", 352
    with path.open("wb") as file:
        file.write(header.binaryblock + bytes(4))
        file.truncate(352 + 2 * int(np.prod(shape, dtype=np.int64)))


@pytest.mark.parametrize("axis", [0, 2])
def test_memory_does_not_grow_with_the_volume(tmp_path, monkeypatch, axis):
    (tmp_path / "volumes").mkdir()
    monkeypatch.setattr(blocks, "ALONG", 2**20)
    monkeypatch.setattr(blocks, "ACROSS", 2**21)
    monkeypatch.setattr(blocks, "SAMPLED", 2**14)
    sparse(tmp_path / "volumes" / "a.nii", (256, 256, 128))  # 16 MB, and twice as many as float32
    tracemalloc.start()
    try:
        assert len(VolumePool(tmp_path / "volumes", axis=axis, size=8)) == (128 if axis == 2 else 256)
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert peak < 9 * 2**20


@pytest.mark.slow
def test_a_volume_of_10_gb_needs_little_memory(tmp_path):
    (tmp_path / "volumes").mkdir()
    sparse(tmp_path / "volumes" / "a.nii", (2048, 2048, 1280))
    program = f"""
        import alkit
        alkit.VolumePool
        from alkit.pools.volumes.pool import VolumePool
        before = {PEAK}
        pool = VolumePool({str(tmp_path / "volumes")!r}, size=64, cache={str(tmp_path / "cache")!r})
        print(len(pool), {PEAK} - before)
    """
    run = subprocess.run(
        [sys.executable, "-c", "\n".join(line.strip() for line in program.splitlines())],
        check=True,
        capture_output=True,
        text=True,
    )
    count, megabytes = map(int, run.stdout.split())
    assert count == 1280
    assert megabytes < 400
