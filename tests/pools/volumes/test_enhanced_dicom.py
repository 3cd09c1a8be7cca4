"""Enhanced DICOM files: frames by position, each in its unit, and refused if their places are not known or doubled."""

from __future__ import annotations

import pickle
import warnings

import numpy as np
import pydicom
import pytest
from pydicom.data import get_testdata_file

from alkit import VolumePool
from alkit.errors import ImageError
from alkit.pools.volumes.dicom import find_series, is_dicom
from tests.support.volumes import LPS, change, ramp, write_enhanced, write_series


def found(folder):
    names = sorted(str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file())
    unusable: dict[str, ImageError] = {}
    series = find_series(folder, [name for name in names if is_dicom(folder, name)], unusable)
    return {id: part for id, (part, _) in series.items()}, {id: str(error) for id, error in unusable.items()}


def values(part):
    return np.stack(list(part.planes(0, range(part.geometry.shape[2]))), axis=-1)


SCALES = [(1, -1024), (2, 0), (3, 5), (1, 0), (4, 1)]


@pytest.mark.parametrize("shared", [(), ("orientation", "measures")])
def test_frames_are_sorted_by_position_and_each_has_its_scale(tmp_path, shared):
    write_enhanced(tmp_path / "case1" / "a.dcm", ramp(), order=[3, 0, 4, 1, 2], scales=SCALES, shared=shared)
    (part,) = found(tmp_path)[0].values()
    slopes, intercepts = np.array(SCALES).T
    np.testing.assert_array_equal(values(part), ramp() * slopes + intercepts)
    np.testing.assert_allclose(part.geometry.matrix, LPS @ np.diag([1.0, 2.0, 3.0, 1.0]))
    np.testing.assert_array_equal(next(part.planes(0, [2])), ramp()[..., 2] * 3 + 5)
    assert pickle.loads(pickle.dumps(part)) == part


def test_a_file_is_the_same_volume_as_a_series_of_single_frames(tmp_path):
    write_enhanced(tmp_path / "volumes" / "one" / "a.dcm", ramp(), order=[1, 0, 2, 4, 3])
    write_series(tmp_path / "volumes" / "many", ramp())
    pool = VolumePool(tmp_path / "volumes", axis="coronal")
    assert not pool.unusable
    for number in range(4):
        np.testing.assert_array_equal(*pool.read([f"{case}/coronal-{number:04}" for case in ("one", "many")]))


def test_a_file_is_decoded_frame_by_frame(tmp_path, monkeypatch):
    from pydicom.pixels.decoders import base

    write_enhanced(tmp_path / "case1" / "a.dcm", ramp())
    (part,) = found(tmp_path)[0].values()
    monkeypatch.setattr(base.Decoder, "as_array", lambda *args, **kwargs: pytest.fail("decodes all frames"))
    assert len(list(part.planes(0, [1, 3]))) == 2


def test_a_tilted_file_has_a_sheared_affine(tmp_path):
    write_enhanced(tmp_path / "case1" / "a.dcm", ramp(), shift=0.5)
    (part,) = found(tmp_path)[0].values()
    np.testing.assert_allclose((LPS @ part.geometry.matrix @ [0, 0, 4, 1])[:3], [0, 2.0, 12.0], atol=1e-12)


def test_the_parts_of_a_series_in_several_files_are_one_volume(tmp_path):
    uid = pydicom.uid.generate_uid()
    for name, part in (("a", slice(0, 3)), ("b", slice(3, 5))):
        path = write_enhanced(tmp_path / "case1" / f"{name}.dcm", ramp()[..., part])
        data = pydicom.dcmread(path)
        data.SeriesInstanceUID = uid
        for number, group in enumerate(data.PerFrameFunctionalGroupsSequence):
            group.PlanePositionSequence[0].ImagePositionPatient = [0, 0, 3.0 * (number + part.start)]
        data.save_as(path)
    (part,) = found(tmp_path)[0].values()
    np.testing.assert_array_equal(values(part), ramp())
    assert [path.name for path in part.paths] == ["a.dcm", "b.dcm"]


def test_stacks_of_a_file_are_volumes_of_their_own(tmp_path):
    path = write_enhanced(tmp_path / "case1" / "a.dcm", ramp(), stacks=["1", "1", "1", "2", "2"])
    uid = pydicom.dcmread(path).SeriesInstanceUID
    series, unusable = found(tmp_path)
    assert {id: part.geometry.shape[2] for id, part in series.items()} == {
        f"case1/series-007-{uid}.stack-1": 3,
        f"case1/series-007-{uid}.stack-2": 2,
    }
    assert not unusable


def test_frames_at_one_place_are_refused_by_name(tmp_path):
    path = write_enhanced(tmp_path / "case1" / "a.dcm", ramp())
    data = pydicom.dcmread(path)
    data.PerFrameFunctionalGroupsSequence[3].PlanePositionSequence[0].ImagePositionPatient = [0, 0, 6.0]
    data.save_as(path)
    said = found(tmp_path)[1]["case1"]
    assert "two slices of case1 lie at the same place: got frame 3 of case1/a.dcm and frame 4 of case1/a.dcm" in said


@pytest.mark.parametrize(
    ("elements", "reason"),
    [
        ({"NumberOfFrames": 4}, "is damaged: got 5 functional groups for 4 frames"),
        ({"PerFrameFunctionalGroupsSequence": None}, "does not state the place of each: got 5 frames"),
        ({"SharedFunctionalGroupsSequence": None}, "got no ImageOrientationPatient"),
        ({"Modality": "SEG"}, "holds a segmentation"),
        ({"PhotometricInterpretation": "MONOCHROME1"}, "must have gray values"),
    ],
    ids=range(5),
)
def test_files_without_the_place_of_each_frame_are_left_out_by_name(tmp_path, elements, reason):
    path = write_enhanced(tmp_path / "case1" / "a.dcm", ramp(), shared=("orientation",))
    change(path, **elements)
    assert reason in found(tmp_path)[1]["case1/a.dcm"]


def test_a_file_that_has_changed_since_is_an_error(tmp_path):
    path = write_enhanced(tmp_path / "case1" / "a.dcm", ramp())
    (part,) = found(tmp_path)[0].values()
    write_enhanced(path, ramp((3, 4, 4)))
    with pytest.raises(ImageError, match="has changed since its header was read"):
        values(part)
    write_enhanced(path, ramp())
    path.write_bytes(path.read_bytes()[:-10])
    (part,) = found(tmp_path)[0].values()
    with pytest.raises(ImageError, match="cannot be decoded"):
        values(part)


@pytest.mark.parametrize(
    ("name", "reason"),
    [
        ("liver_1frame.dcm", "holds a segmentation"),
        ("rtdose.dcm", "does not state the place of each: got 15 frames without functional groups"),
        ("examples_ybr_color.dcm", "must have gray values"),
    ],
)
def test_other_multi_frame_files_of_pydicom_are_refused_with_the_reason(tmp_path, name, reason):
    source = get_testdata_file(name, download=False)
    (tmp_path / "case1").mkdir()
    with open(str(source), "rb") as file:
        (tmp_path / "case1" / name).write_bytes(file.read())
    assert reason in found(tmp_path)[1][f"case1/{name}"]


def test_a_file_that_another_program_has_converted_is_read(tmp_path):
    highdicom = pytest.importorskip("highdicom")
    single = [pydicom.dcmread(path) for path in sorted(_complete(tmp_path / "single"))]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        converted = highdicom.legacy.LegacyConvertedEnhancedCTImage(
            single, highdicom.UID(), 8, highdicom.UID(), 1, transfer_syntax_uid=single[0].file_meta.TransferSyntaxUID
        )
    (tmp_path / "case1").mkdir()
    converted.save_as(tmp_path / "case1" / "a.dcm")
    (part,) = found(tmp_path / "case1")[0].values()
    (many,) = found(tmp_path / "single")[0].values()
    np.testing.assert_array_equal(values(part), values(many))
    assert part.geometry.difference(many.geometry) is None


def _complete(folder):
    """Write a series with all that converters ask for; return its files."""
    paths = write_series(folder, ramp(), slope=2, intercept=-7)
    for number, path in enumerate(paths):
        change(path, **COMPLETE, InstanceNumber=number + 1)
    return paths


COMPLETE = {
    "PatientName": "Doe^Jane",
    "PatientID": "17",
    "PatientBirthDate": "19700101",
    "PatientSex": "O",
    "StudyInstanceUID": "1.2.3",
    "StudyDate": "20260101",
    "StudyTime": "120000",
    "StudyID": "1",
    "AccessionNumber": "1",
    "ReferringPhysicianName": "",
    "Modality": "CT",
    "Manufacturer": "none",
    "FrameOfReferenceUID": "1.2.4",
    "PositionReferenceIndicator": "",
    "ImageType": ["ORIGINAL", "PRIMARY", "AXIAL"],
    "AcquisitionNumber": 1,
    "ContentDate": "20260101",
    "ContentTime": "120000",
    "RescaleType": "HU",
    "KVP": 120,
}


def test_a_scale_that_only_the_whole_file_states_holds_for_its_frames(tmp_path):
    path = write_enhanced(tmp_path / "case1" / "a.dcm", ramp())
    data = pydicom.dcmread(path)
    for group in data.PerFrameFunctionalGroupsSequence:
        del group.PixelValueTransformationSequence
    data.RescaleSlope, data.RescaleIntercept = 2, -1024
    data.save_as(path)
    (part,) = found(tmp_path)[0].values()
    np.testing.assert_array_equal(values(part), ramp() * 2 - 1024)
