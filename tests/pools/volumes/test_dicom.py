"""DICOM series: values in their unit, slices by position, and faults of a series by the names of its files."""

from __future__ import annotations

import re
import struct
from pathlib import Path

import numpy as np
import pydicom
import pytest
from odd_files import jpeg
from pydicom.data import get_testdata_file

from alkit import VolumePool
from alkit.errors import DataError, ImageError
from alkit.pools.volumes import dicom
from alkit.pools.volumes.dicom import find_series, is_dicom
from tests.support.volumes import LPS, change, ramp, write_enhanced, write_series


def found(folder):
    names = sorted(str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file())
    unusable: dict[str, ImageError] = {}
    series = find_series(folder, [name for name in names if is_dicom(folder, name)], unusable)
    return {id: part for id, (part, _) in series.items()}, {id: str(error) for id, error in unusable.items()}


def values(part):
    return np.stack(list(part.planes(0, range(part.geometry.shape[2]))), axis=-1)


def test_slices_are_sorted_by_position_and_not_by_name(tmp_path):
    write_series(tmp_path / "case1", ramp(), order=[3, 0, 4, 1, 2])
    (part,) = found(tmp_path)[0].values()
    np.testing.assert_array_equal(values(part), ramp())
    np.testing.assert_allclose(part.geometry.matrix, LPS @ np.diag([1.0, 2.0, 3.0, 1.0]))


def test_values_are_rescaled_slice_by_slice(tmp_path):
    write_series(tmp_path / "case1", ramp(), slope=[1, 2, 3, 4, 5], intercept=-1024)
    (part,) = found(tmp_path)[0].values()
    np.testing.assert_allclose(values(part), ramp() * np.array([1, 2, 3, 4, 5]) - 1024)


def test_the_affine_follows_orientation_and_position(tmp_path):
    directions, origin = (0, 1, 0, 0, 0, -1), (10.0, -20.0, 30.0)
    write_series(tmp_path / "case1", ramp(), directions=directions, origin=origin)
    (part,) = found(tmp_path)[0].values()
    # By the equation C.7.6.2.1-1 of DICOM, from column and row to millimetres to the left, the back and the head.
    column, row, slice = 2, 3, 4
    normal = np.cross(directions[:3], directions[3:])
    wanted = np.array(origin) + column * 1.0 * np.array(directions[:3]) + row * 2.0 * np.array(directions[3:])
    wanted = wanted + slice * 3.0 * normal
    np.testing.assert_allclose(LPS[:3, :3] @ (part.geometry.matrix @ [column, row, slice, 1])[:3], wanted)


def test_series_of_one_folder_are_told_apart(tmp_path):
    write_series(tmp_path / "case1", ramp(), series=2, name="a{}.dcm")
    write_series(tmp_path / "case1", ramp() + 5, series=11, name="b{}.dcm")
    write_series(tmp_path / "case2", ramp(), name="IM{}")
    write_series(tmp_path, ramp(), series=4)
    series, unusable = found(tmp_path)
    assert sorted(series) == ["case1/series-002", "case1/series-011", "case2", "series-004"]
    np.testing.assert_array_equal(values(series["case1/series-011"]), ramp() + 5)
    assert not unusable


def test_series_with_one_number_are_told_apart_by_their_uid(tmp_path):
    write_series(tmp_path / "case1", ramp(), uid="1.2.3", name="a{}.dcm")
    write_series(tmp_path / "case1", ramp(), uid="1.2.4", name="b{}.dcm")
    assert sorted(found(tmp_path)[0]) == ["case1/series-007-1.2.3", "case1/series-007-1.2.4"]


def fault(folder):
    series, unusable = found(folder)
    assert not series
    return unusable["case1"]


@pytest.mark.filterwarnings("ignore:Invalid value for VR UI")
@pytest.mark.parametrize("uid", ["../../evil", "/evil", "..", ".hidden"])
def test_a_uid_cannot_lead_to_another_folder(tmp_path, uid):
    """Predictions are written into a file with the name of the id."""
    write_series(tmp_path, ramp())
    for path in tmp_path.iterdir():
        data = pydicom.dcmread(path)
        data.SeriesInstanceUID = uid
        del data.SeriesNumber
        data.save_as(path)
    ((id,), unusable) = found(tmp_path)
    assert re.fullmatch("series-[0-9a-f]{10}", id)
    assert not unusable


def test_a_missing_slice_is_reported_with_its_neighbours(tmp_path):
    paths = write_series(tmp_path / "case1", ramp())
    paths[2].unlink()
    assert "slices of case1 are missing: got 6 mm between case1/01.dcm and case1/03.dcm" in fault(tmp_path)


def test_a_doubled_slice_is_reported(tmp_path):
    write_series(tmp_path / "case1", ramp(), positions=[0, 3, 3, 6, 9])
    assert "two slices of case1 lie at the same place: got case1/01.dcm and case1/02.dcm" in fault(tmp_path)


def test_uneven_distances_are_reported(tmp_path):
    write_series(tmp_path / "case1", ramp(), positions=[0, 3, 6, 10, 13])
    assert "the distances of the slices of case1 differ: got by 1 of 3 mm" in fault(tmp_path)


def test_slices_of_a_tilted_gantry_have_a_sheared_affine_which_is_exact(tmp_path):
    for number, path in enumerate(write_series(tmp_path / "case1", ramp(), order=[3, 0, 4, 1, 2])):
        change(path, ImagePositionPatient=[0, 0.5 * number, 3 * number])
    (part,) = found(tmp_path)[0].values()
    np.testing.assert_array_equal(values(part), ramp())
    for number in range(5):  # the place of the first pixel of each slice, to the left, the back and the head
        place = LPS @ part.geometry.matrix @ [0, 0, number, 1]
        np.testing.assert_allclose(place[:3], [0, 0.5 * number, 3 * number], atol=1e-12)
    shift = part.geometry.matrix[:3, :3] @ [2, 1, 0]
    np.testing.assert_allclose(LPS[:3, :3] @ shift, [2.0, 2.0, 0.0])


def test_a_tilted_series_can_be_cut_only_across_its_slices(tmp_path):
    for number, path in enumerate(write_series(tmp_path / "volumes" / "case1", ramp())):
        change(path, ImagePositionPatient=[0, 0.5 * number, 3 * number])
    pool = VolumePool(tmp_path / "volumes", window=(0, 60))
    assert pool.picture("case1/axial-0004").shape == (1, 4, 3)
    with pytest.raises(ImageError, match="sagittal slices would be distorted: got an angle of 80"):
        VolumePool(tmp_path / "volumes", axis="sagittal")


def test_slices_that_do_not_lie_on_a_line_are_reported(tmp_path):
    for number, path in enumerate(write_series(tmp_path / "case1", ramp())):
        change(path, ImagePositionPatient=[0, 0.9 * (number % 2), 3 * number])
    assert "slices of case1 are shifted against each other: got 0.9 mm from the line" in fault(tmp_path)


@pytest.mark.parametrize(
    ("elements", "what"),
    [
        ({"ImageOrientationPatient": [0, 1, 0, 1, 0, 0]}, "orientation"),
        ({"PixelSpacing": [2, 2]}, "spacing"),
        ({"Rows": 3, "Columns": 4}, "size"),
    ],
)
def test_slices_of_another_kind_are_reported(tmp_path, elements, what):
    change(write_series(tmp_path / "case1", ramp())[3], **elements)
    assert f"the slices of case1 differ in {what}" in fault(tmp_path)


@pytest.mark.parametrize(
    ("elements", "reason"),
    [
        ({"Rows": None}, "holds no image"),
        ({"NumberOfFrames": 2}, "has several frames, and does not state the place of each"),
        ({"Modality": "SEG"}, "holds a segmentation"),
        ({"PhotometricInterpretation": "RGB", "SamplesPerPixel": 3}, "must have gray values: got RGB"),
        ({"ImagePositionPatient": None}, "does not state its place in the patient: got no ImagePositionPatient"),
        ({"PixelSpacing": None}, "got no PixelSpacing"),
        ({"Rows": 60000, "Columns": 60000}, "too many pixels"),
        ({"BitsStored": 12}, "has its values in other bits: got HighBit 15, expected 11"),
    ],
)
def test_files_that_are_not_slices_are_left_out_by_name(tmp_path, elements, reason):
    write_series(tmp_path / "case1", ramp())
    other = write_series(tmp_path / "other", ramp((3, 4, 1)))[0]
    change(other, **elements)
    series, unusable = found(tmp_path)
    assert list(series) == ["case1"]
    assert reason in unusable["other/00.dcm"]


def test_one_slice_needs_a_thickness(tmp_path):
    (path,) = write_series(tmp_path / "case1", ramp((3, 4, 1)))
    assert found(tmp_path)[0]["case1"].geometry.spacing == (1.0, 2.0, 3.0)
    change(path, SliceThickness=None)
    assert "has one slice, which does not state its thickness" in fault(tmp_path)


def test_damaged_files_are_named(tmp_path):
    paths = write_series(tmp_path / "case1", ramp())
    paths[0].write_bytes(b"x" * 1000)
    paths[4].write_bytes(paths[4].read_bytes()[:200])
    series, unusable = found(tmp_path)
    assert set(unusable) == {"case1/00.dcm", "case1/04.dcm"}
    assert series["case1"].geometry.shape == (3, 4, 3)


def test_pixels_that_are_cut_off_are_an_error_that_names_the_file(tmp_path):
    paths = write_series(tmp_path / "case1", ramp())
    paths[1].write_bytes(paths[1].read_bytes()[:-10])
    (part,) = found(tmp_path)[0].values()
    with pytest.raises(ImageError, match=r"01\.dcm cannot be decoded"):
        values(part)


def test_a_file_that_changed_since_is_an_error(tmp_path):
    paths = write_series(tmp_path / "case1", ramp())
    (part,) = found(tmp_path)[0].values()
    change(paths[1], Rows=2, PixelData=bytes(12))
    with pytest.raises(ImageError, match=r"01\.dcm has changed since its header was read"):
        values(part)


def test_a_file_above_the_limit_is_not_read(tmp_path, monkeypatch):
    write_series(tmp_path / "case1", ramp())
    monkeypatch.setenv("ALKIT_MAX_BYTES", "100")
    assert "is too large" in found(tmp_path)[1]["case1/00.dcm"]


@pytest.mark.parametrize("name", ["MR_small.dcm", "MR_small_RLE.dcm", "MR_small_bigendian.dcm", "CT_small.dcm"])
def test_files_of_pydicom_are_read(tmp_path, name):
    (tmp_path / "case1").mkdir()
    source = Path(str(get_testdata_file(name)))
    (tmp_path / "case1" / name).write_bytes(source.read_bytes())
    data = pydicom.dcmread(source)
    (part,) = found(tmp_path)[0].values()
    wanted = data.pixel_array * float(data.get("RescaleSlope", 1)) + float(data.get("RescaleIntercept", 0))
    np.testing.assert_allclose(values(part)[:, :, 0].T, wanted)


def test_a_compressed_series_is_read_if_a_decoder_is_installed_and_named_otherwise(tmp_path, monkeypatch):
    from pydicom.pixels import get_decoder
    from pydicom.uid import JPEG2000Lossless

    (tmp_path / "case1").mkdir()
    source = Path(str(get_testdata_file("MR_small_jp2klossless.dcm")))
    (tmp_path / "case1" / "a.dcm").write_bytes(source.read_bytes())
    if get_decoder(JPEG2000Lossless).is_available:
        (part,) = found(tmp_path)[0].values()
        plain = pydicom.dcmread(str(get_testdata_file("MR_small.dcm"))).pixel_array
        np.testing.assert_array_equal(values(part)[:, :, 0].T, plain)
    monkeypatch.setattr("pydicom.pixels.decoders.base.Decoder.is_available", False)
    reason = found(tmp_path)[1]["case1/a.dcm"]
    assert "is compressed, and no decoder for it is installed: got JPEG 2000" in reason
    assert "pylibjpeg" in reason


def test_a_deflated_file_is_refused_before_it_is_unpacked(tmp_path):
    source = Path(str(get_testdata_file("image_dfl.dcm")))
    (tmp_path / "a.dcm").write_bytes(source.read_bytes())
    assert "is deflated as a whole" in found(tmp_path)[1]["a.dcm"]


def test_a_folder_without_volumes_is_an_error(tmp_path):
    from alkit.pools.volumes.scanning import find_volumes

    (tmp_path / "notes.txt").write_text("a")
    with pytest.raises(DataError, match="contains no volumes"):
        find_volumes(tmp_path, "**/*", (), {})


@pytest.mark.parametrize(
    ("slope", "intercept"), [(0, 0), (0, -1024), (2, None), (None, -1024), ("", 5), ("1e400", 0), (2, "1e400")]
)
@pytest.mark.filterwarnings("ignore:.*DS")
def test_a_scale_from_which_no_unit_follows_is_refused(tmp_path, slope, intercept):
    """Classic files had only one value, and enhanced ones were taken as stored, with a slope of 0."""
    write_series(tmp_path / "classic", ramp(), slope=slope, intercept=intercept)
    path = write_enhanced(tmp_path / "enhanced" / "a.dcm", ramp())
    data = pydicom.dcmread(path)
    for group in data.PerFrameFunctionalGroupsSequence:
        item = group.PixelValueTransformationSequence[0]
        for name, value in (("RescaleSlope", slope), ("RescaleIntercept", intercept)):
            setattr(item, name, value) if value is not None else delattr(item, name)
    data.save_as(path)
    series, unusable = found(tmp_path)
    assert not series
    assert {id.split("/")[0] for id in unusable} == {"classic", "enhanced"}
    assert all("does not state its unit: got RescaleSlope" in reason for reason in unusable.values())


@pytest.mark.parametrize("value", [None, ""])
def test_values_without_a_scale_are_those_that_are_stored(tmp_path, value):
    write_series(tmp_path / "classic", ramp(), slope=value, intercept=value)
    path = write_enhanced(tmp_path / "enhanced" / "a.dcm", ramp())
    data = pydicom.dcmread(path)
    for group in data.PerFrameFunctionalGroupsSequence:
        del group.PixelValueTransformationSequence
    data.save_as(path)
    for part in found(tmp_path)[0].values():
        np.testing.assert_array_equal(values(part), ramp())


def packed(*segments):
    """Return a stream of DICOM's RLE."""
    starts = np.cumsum([64, *map(len, segments)])
    return b"".join(int(number).to_bytes(4, "little") for number in (len(segments), *starts[:-1])).ljust(64, b"\0") + (
        b"".join(segments)
    )


RUN = bytes([129, 0])
"""128 zeros in RLE."""


def eight_bits(folder, frames, syntax):
    """Write a file of one slice, or of some frames, and return its path and its data, to be compressed."""
    if frames is None:
        (path,) = write_series(folder, ramp((32, 32, 1)))
    else:
        path = write_enhanced(folder / "a.dcm", ramp((32, 32, frames)))
    data = pydicom.dcmread(path)
    data.BitsAllocated = data.BitsStored = 8
    data.HighBit, data.PixelRepresentation = 7, 0
    data.file_meta.TransferSyntaxUID = syntax
    return path, data


@pytest.mark.parametrize("frames", [None, 2])
@pytest.mark.parametrize(
    ("stream", "is_refused"),
    [
        (packed(RUN * 8), False),
        (packed(RUN * 7 + bytes([127, *range(128)])), False),
        (packed(RUN * 8 + b"\x80\0"), False),  # an end that is filled up
        (packed(RUN * 1000), True),
        (packed(RUN * 8 + b"\x80" * 3000), True),
    ],
    ids=range(5),
)
def test_runs_of_compressed_slices_are_checked_before_they_are_decoded(tmp_path, frames, stream, is_refused):
    """20 MB took 1.4 GB, for a slice of 64 x 64 pixels."""
    path, data = eight_bits(tmp_path, frames, pydicom.uid.RLELossless)
    data.PixelData = pydicom.encaps.encapsulate([stream] * (frames or 1))
    data["PixelData"].VR = "OB"
    data.save_as(path)
    (part,) = found(tmp_path)[0].values()
    if is_refused:
        with pytest.raises(ImageError, match="a segment of more bytes than pixels, expected 1024"):
            values(part)
    else:
        assert not values(part)[:, :16].any()


@pytest.mark.parametrize("frames", [None, 2])
@pytest.mark.parametrize("is_extended", [False, True])
def test_frames_that_a_table_finds_elsewhere_are_checked_where_they_are(tmp_path, frames, is_extended):
    """pydicom decodes what the table of offsets says, and not the parts of the file in their order."""
    filled_up = b"\0" * (len(jpeg(32)) % 2)
    sound, bomb = jpeg(32) + filled_up, jpeg(32, 200) + filled_up
    hidden = b"\xfe\xff\x00\xe0" + len(bomb).to_bytes(4, "little") + bomb  # an item within an item
    path, data = eight_bits(tmp_path, frames, pydicom.uid.JPEGBaseline8Bit)
    outside = sound + hidden + b"\0" * (len(hidden) % 2)
    count = frames or 1
    item = len(outside) + 8
    places = [number * item + 8 + len(sound) for number in range(count)]
    table = b"" if is_extended else b"".join(place.to_bytes(4, "little") for place in places)
    content = b"\xfe\xff\x00\xe0" + len(table).to_bytes(4, "little") + table
    content += (b"\xfe\xff\x00\xe0" + len(outside).to_bytes(4, "little") + outside) * count
    data.PixelData = content + b"\xfe\xff\xdd\xe0\0\0\0\0"
    data["PixelData"].VR, data["PixelData"].is_undefined_length = "OB", True
    if is_extended:
        data.ExtendedOffsetTable = b"".join(place.to_bytes(8, "little") for place in places)
        data.ExtendedOffsetTableLengths = len(bomb).to_bytes(8, "little") * count
    data.save_as(path)
    (part,) = found(tmp_path)[0].values()
    if frames or is_extended:
        with pytest.raises(ImageError, match="more than 100 scans"):
            values(part)
    else:
        assert not values(part).any()  # a file of one frame is read in its order


@pytest.mark.parametrize("frames", [None, 2])
def test_streams_of_compressed_slices_are_checked_before_they_are_decoded(tmp_path, frames):
    for number, (stream, message) in enumerate(
        [(jpeg(32), None), (jpeg(32, 200), "more than 100 scans"), (jpeg(48), r"a stream of \(48, 48\)")]
    ):
        folder = tmp_path / str(number)
        path, data = eight_bits(folder, frames, pydicom.uid.JPEGBaseline8Bit)
        data.PixelData = pydicom.encaps.encapsulate([stream] * (frames or 1))
        data["PixelData"].VR = "OB"
        data.save_as(path)
        (part,) = found(folder)[0].values()
        if message is None:
            assert not values(part).any()
        else:
            with pytest.raises(ImageError, match=message):
                values(part)


def test_a_series_that_was_replaced_by_another_one_of_its_size_is_an_error(tmp_path):
    write_series(tmp_path / "case1", ramp())
    (part,) = found(tmp_path)[0].values()
    before = values(part)
    write_series(tmp_path / "case1", ramp()[::-1].copy())
    with pytest.raises(ImageError, match=r"00\.dcm has changed since its header was read"):
        values(part)
    (part,) = found(tmp_path)[0].values()
    assert (values(part) != before).any()


def test_a_scale_that_has_changed_since_is_an_error(tmp_path):
    paths = write_series(tmp_path / "case1", ramp(), slope=2, intercept=0)
    (part,) = found(tmp_path)[0].values()
    change(paths[0], RescaleSlope=3)
    with pytest.raises(ImageError, match=r"00\.dcm has changed since its header was read"):
        values(part)


ITEM, END = struct.pack("<HHI", 0xFFFE, 0xE000, 0), struct.pack("<HHI", 0xFFFE, 0xE0DD, 0)
PRIVATE, FRAMES, PLACE = (0x0009, 0x1010), (0x5200, 0x9230), (0x0020, 0x9113)
ELEMENT = struct.pack("<HH2sH", 0x0009, 0x1020, b"LO", 0)


def sequence(tag, content, *, known):
    """Return a sequence with this content, of a length that it states or not."""
    length, end = (len(content), b"") if known else (0xFFFFFFFF, END)
    return struct.pack("<HH2sHI", *tag, b"SQ", 0, length) + content + end


@pytest.mark.parametrize(
    "content",
    [
        sequence(PRIVATE, 2000 * ITEM, known=False),
        sequence(PRIVATE, 2000 * bytes(8), known=False),  # pydicom takes anything for an item
        sequence(FRAMES, 2000 * ITEM, known=False),
        sequence(FRAMES, 2000 * ITEM, known=True),
        sequence(FRAMES, ITEM[:4] + b"\xff" * 4 + sequence(PLACE, 2000 * ITEM, known=True) + END, known=False),
        2000 * ELEMENT,
    ],
    ids=["private", "no items", "frames", "frames of known length", "inside", "elements"],
)
def test_a_header_with_very_many_elements_is_refused(tmp_path, monkeypatch, content):
    """A file of 4 MB took a minute and 340 MB: the limit of a file would have taken an hour and 17 GB."""
    (path,) = write_series(tmp_path / "case1", ramp()[..., :1])
    whole = path.read_bytes()
    place = whole.index(struct.pack("<HH2s", 0x7FE0, 0x0010, b"OW"))
    monkeypatch.setattr(dicom, "MOST_PARTS", 1000)
    assert found(tmp_path)[1] == {}
    path.write_bytes(whole[:place] + content + whole[place:])
    assert found(tmp_path)[1] == {"case1/00.dcm": REFUSED.format(path)}


def test_the_pixels_of_a_file_are_no_elements_of_its_header(tmp_path, monkeypatch):
    monkeypatch.setattr(dicom, "MOST_PARTS", 1000)
    array = ramp((100, 100, 1))
    (path,) = write_series(tmp_path / "case1", array)
    (part,) = found(tmp_path)[0].values()
    np.testing.assert_array_equal(values(part), array)
    path.write_bytes(path.read_bytes() + 2000 * ELEMENT)
    (part,) = found(tmp_path)[0].values()
    with pytest.raises(ImageError, match="has too much in its header"):
        values(part)


REFUSED = "{} has too much in its header: got more than 1000 elements. Try: convert it to NIfTI."
