"""DICOM segmentations: read back by pydicom and highdicom, and compared with the labels voxel by voxel."""

from __future__ import annotations

import nibabel
import numpy as np
import pydicom
import pytest

import alkit
from alkit.errors import ConfigurationError, ImageError, MissingDependencyError
from alkit.pools.volumes import segmentations
from alkit.pools.volumes.dicom import find_series, is_dicom
from alkit.pools.volumes.segmentations import write_segmentation
from alkit.pools.volumes.writing import write_volume
from alkit.testing import Brightness
from alkit.trained import predict_volumes
from tests.support.volumes import LPS, change, ramp, write_enhanced, write_nifti, write_series

NEEDED = {"StudyInstanceUID": "1.2.3", "FrameOfReferenceUID": "1.2.4", "Modality": "CT"}
SPEC = alkit.LabelSpec(("background", "liver", "tumour"), ignore=255)
OBLIQUE = (0.8, 0.6, 0.0, 0.0, 0.0, -1.0)


@pytest.fixture
def highdicom():
    return pytest.importorskip("highdicom")


def labels_of(shape):
    """Return labels with both classes, and a slice without any."""
    labels = np.random.default_rng(0).integers(0, 3, shape).astype(np.uint8)
    labels[..., 2] = 0
    return labels


def series_in(folder):
    names = sorted(str(path.relative_to(folder)) for path in folder.rglob("*") if is_dicom(folder, path.name))
    unusable: dict[str, ImageError] = {}
    found = find_series(folder, names, unusable)
    assert not unusable
    ((part, _),) = found.values()
    return part


def written(folder, series, labels, maker="model", spec=SPEC):
    write_segmentation(folder / "a.seg.dcm", series, list(np.moveaxis(labels, 2, 0)), spec, maker)
    return pydicom.dcmread(folder / "a.seg.dcm")


def voxels(data):
    """Yield the segment and the place, in millimetres of NIfTI, of each voxel of a segmentation: pydicom alone."""
    shared = data.SharedFunctionalGroupsSequence[0]
    spacing = [float(value) for value in shared.PixelMeasuresSequence[0].PixelSpacing]
    directions = np.array(shared.PlaneOrientationSequence[0].ImageOrientationPatient, float)
    frames = np.atleast_3d(data.pixel_array) if data.NumberOfFrames > 1 else data.pixel_array[None]
    for frame, group in zip(frames, data.PerFrameFunctionalGroupsSequence, strict=True):
        position = np.array(group.PlanePositionSequence[0].ImagePositionPatient, float)
        identified = group.get("SegmentIdentificationSequence") or shared.SegmentIdentificationSequence
        segment = int(identified[0].ReferencedSegmentNumber)
        for row, column in zip(*np.nonzero(frame), strict=True):
            place = position + column * spacing[1] * directions[:3] + row * spacing[0] * directions[3:]
            yield segment, LPS[:3, :3] @ place


def as_labels(data, affine, shape):
    """Return the voxels of a segmentation in the array with an affine."""
    found, back = np.zeros(shape, np.uint8), np.linalg.inv(affine)
    for segment, place in voxels(data):
        index = back @ [*place, 1]
        np.testing.assert_allclose(index[:3], index[:3].round(), atol=1e-3)
        spot = tuple(index[:3].round().astype(int))
        assert found[spot] == 0
        found[spot] = segment
    return found


def tilted(folder):
    paths = write_series(folder, ramp())
    for number, path in enumerate(paths):
        change(path, ImagePositionPatient=[0, 0.5 * number, 3 * number])
    return paths


def without_thickness(folder):
    paths = write_series(folder, ramp())
    for path in paths:
        change(path, SliceThickness=None)
    return paths


MAKERS = {
    "without thickness": without_thickness,
    "upright": lambda folder: write_series(folder, ramp(), origin=(5.0, 6.0, 7.0)),
    "unordered": lambda folder: write_series(folder, ramp(), order=[3, 0, 4, 1, 2]),
    "oblique": lambda folder: write_series(folder, ramp(), directions=OBLIQUE, order=[4, 3, 2, 1, 0]),
    "tilted": tilted,
    "enhanced": lambda folder: [write_enhanced(folder / "a.dcm", ramp(), order=[3, 0, 4, 1, 2])],
}


@pytest.mark.parametrize("kind", MAKERS)
def test_each_voxel_has_its_label_in_its_place(tmp_path, highdicom, kind):
    for path in MAKERS[kind](tmp_path / "case1"):
        change(path, **NEEDED)
    series, labels = series_in(tmp_path / "case1"), labels_of((3, 4, 5))
    write_volume(tmp_path / "a.nii.gz", series, "|u1", iter(np.moveaxis(labels, 2, 0)))
    data = written(tmp_path, series, labels)
    nifti = nibabel.load(tmp_path / "a.nii.gz")
    np.testing.assert_array_equal(as_labels(data, nifti.affine, nifti.shape), nifti.dataobj)
    sources = {pydicom.dcmread(path, stop_before_pixels=True).SOPInstanceUID for path in series.paths}
    (referenced,) = data.ReferencedSeriesSequence
    assert {item.ReferencedSOPInstanceUID for item in referenced.ReferencedInstanceSequence} == sources
    assert data.StudyInstanceUID == "1.2.3"
    assert data.SeriesNumber == 1007


def test_each_frame_refers_to_the_image_of_its_slice(tmp_path, highdicom):
    for path in write_series(tmp_path / "case1", ramp(), order=[3, 0, 4, 1, 2]):
        change(path, **NEEDED)
    series, labels = series_in(tmp_path / "case1"), labels_of((3, 4, 5))
    written(tmp_path, series, labels)
    found = highdicom.seg.segread(tmp_path / "a.seg.dcm")
    uids = [pydicom.dcmread(path, stop_before_pixels=True).SOPInstanceUID for path in series.paths]
    pixels = found.get_pixels_by_source_instance(uids, combine_segments=True, assert_missing_frames_are_empty=True)
    np.testing.assert_array_equal(pixels, labels.transpose(2, 1, 0))


def test_segments_are_the_classes_and_say_who_made_them(tmp_path, highdicom):
    for path in write_series(tmp_path / "case1", ramp()):
        change(path, **NEEDED)
    series, labels = series_in(tmp_path / "case1"), labels_of((3, 4, 5))
    for maker, kind in (("model", "AUTOMATIC"), ("people", "MANUAL")):
        segments = written(tmp_path, series, labels, maker).SegmentSequence
        assert [(item.SegmentNumber, item.SegmentLabel) for item in segments] == [(1, "liver"), (2, "tumour")]
        assert {item.SegmentAlgorithmType for item in segments} == {kind}
        assert {item.SegmentedPropertyTypeCodeSequence[0].CodeMeaning for item in segments} == {"Tissue"}
    before = (tmp_path / "a.seg.dcm").read_bytes()
    uid = written(tmp_path, series, labels, "people").SOPInstanceUID
    assert uid == pydicom.dcmread(tmp_path / "a.seg.dcm").SOPInstanceUID
    assert len(before) == len((tmp_path / "a.seg.dcm").read_bytes())
    labels[0, 0, 0] = 1 - labels[0, 0, 0] % 2
    assert written(tmp_path, series, labels, "people").SOPInstanceUID != uid


def test_ignored_pixels_are_a_segment_and_no_object_is_no_error(tmp_path, highdicom, caplog):
    for path in write_series(tmp_path / "case1", ramp()):
        change(path, **NEEDED)
    series, labels = series_in(tmp_path / "case1"), labels_of((3, 4, 5))
    labels[2, 3, 2] = 255
    data = written(tmp_path, series, labels.copy())
    assert [item.SegmentLabel for item in data.SegmentSequence] == ["liver", "tumour", "ignored"]
    labels[2, 3, 2] = 3
    np.testing.assert_array_equal(as_labels(data, series.geometry.matrix, labels.shape), labels)
    empty = written(tmp_path, series, np.zeros((3, 4, 5), np.uint8))
    assert not list(voxels(empty))
    assert not caplog.records
    assert len(empty.SegmentSequence) == 2


def test_names_in_all_scripts_are_kept(tmp_path, highdicom):
    for path in write_series(tmp_path / "a", ramp()):
        change(path, **NEEDED, SpecificCharacterSet=["", "ISO 2022 IR 87"], PatientName="Yamada^Tarou=山田^太郎")
    series, spec = series_in(tmp_path / "a"), alkit.LabelSpec(("background", "Größe – λ", "腫瘍"))
    data = written(tmp_path, series, labels_of(series.geometry.shape), spec=spec)
    assert [segment.SegmentLabel for segment in data.SegmentSequence] == ["Größe – λ", "腫瘍"]
    assert (data.SpecificCharacterSet, data.PatientName) == ("ISO_IR 192", "Yamada^Tarou=山田^太郎")
    assert "腫瘍".encode() in (tmp_path / "a.seg.dcm").read_bytes()


@pytest.mark.parametrize("names", [("a\\b", "c"), ("x" * 64 + "1", "x" * 64 + "2"), ("ignored", "c")])
def test_names_that_dicom_cannot_hold_are_refused(tmp_path, highdicom, names):
    for path in write_series(tmp_path / "a", ramp()):
        change(path, **NEEDED)
    series, spec = series_in(tmp_path / "a"), alkit.LabelSpec(("background", *names), ignore=255)
    labels = labels_of(series.geometry.shape)
    labels[0, 0, 0] = 255
    with pytest.raises(ImageError, match=r"a\.seg\.dcm cannot be written.*the class"):
        written(tmp_path, series, labels, spec=spec)
    assert not (tmp_path / "a.seg.dcm").exists()


def test_what_the_images_lack_is_named(tmp_path, highdicom):
    write_series(tmp_path / "case1", ramp())
    series = series_in(tmp_path / "case1")
    with pytest.raises(
        ImageError, match=r"00\.dcm lacks .*: got no StudyInstanceUID and no FrameOfReferenceUID and no"
    ):
        written(tmp_path, series, labels_of((3, 4, 5)))
    assert not (tmp_path / "a.seg.dcm").exists()


def test_without_the_package_the_message_names_the_extra(monkeypatch):
    monkeypatch.setitem(__import__("sys").modules, "highdicom", None)
    with pytest.raises(MissingDependencyError, match=r"DICOM segmentations need highdicom.*alkit\[dicom-seg\]"):
        segmentations.check_writer()


@pytest.fixture
def campaign(tmp_path):
    for number in range(3):
        for path in write_series(tmp_path / "images" / f"p{number}", np.roll(ramp((6, 8, 4)), 40 * number)):
            change(path, **NEEDED)
    pool = alkit.VolumePool(tmp_path / "images", window=(0, 191))
    classes = ("background", "organ")
    experiment = alkit.Experiment(
        pool, Brightness(), alkit.strategy("random"), tmp_path / "r.db", classes=classes, hold_out=0.0
    )
    experiment.tell({id: (pool.picture(id)[0] < 0.4).astype(np.uint8) for id in experiment.ask(9)})
    experiment.fit()
    return experiment


def test_predictions_and_exported_labels_have_segmentations_beside_them(tmp_path, highdicom, campaign):
    model = alkit.trained_model(tmp_path / "r.db", learner=Brightness())
    write_nifti(tmp_path / "images" / "other.nii.gz", ramp((6, 8, 4)))
    outcome = predict_volumes(model, tmp_path / "images", tmp_path / "out", dicom_seg=True)
    assert outcome.done == ("other", "p0", "p1", "p2")
    assert sorted(path.name for path in (tmp_path / "out").rglob("*.dcm")) == [f"p{n}.seg.dcm" for n in range(3)]
    campaign.export_labels(tmp_path / "labels", "dicom-seg")
    for folder in (tmp_path / "out" / "masks", tmp_path / "labels" / "volumes"):
        for path in folder.glob("p*.nii.gz"):
            nifti = nibabel.load(path)
            data = pydicom.dcmread(folder / path.name.replace(".nii.gz", ".seg.dcm"))
            np.testing.assert_array_equal(as_labels(data, nifti.affine, nifti.shape), nifti.dataobj)
    campaign.export_labels(tmp_path / "labels", "dicom-seg", overwrite=True)
    assert len(list((tmp_path / "labels").rglob("*.seg.dcm"))) == len(list((tmp_path / "labels").rglob("*.nii.gz")))
    assert "volumes/*.seg.dcm" in (tmp_path / "labels" / "DATACARD.md").read_text()
    with pytest.raises(ConfigurationError, match="of the files to write already exist"):
        predict_volumes(model, tmp_path / "images", tmp_path / "out", dicom_seg=True)
    campaign.export_labels(tmp_path / "labels", "nifti", overwrite=True)
    predict_volumes(model, tmp_path / "images", tmp_path / "out", overwrite=True)
    assert not [*(tmp_path / "labels").rglob("*.dcm"), *(tmp_path / "out").rglob("*.dcm")]  # of earlier labels
    with pytest.raises(ConfigurationError, match="dicom_seg needs DICOM series"):
        predict_volumes(model, tmp_path / "images", tmp_path / "new", pattern="*.nii.gz", dicom_seg=True)
