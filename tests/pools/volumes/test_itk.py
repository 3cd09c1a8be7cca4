"""NRRD and MetaImage files: read in the place that SimpleITK states, and never a file that a header names elsewhere."""

from __future__ import annotations

from contextlib import suppress
from pathlib import Path

import numpy as np
import pytest

from alkit import VolumePool
from alkit.errors import ImageError
from alkit.pools.volumes import blocks, itk
from alkit.pools.volumes._itk import write_voxels
from alkit.pools.volumes.itk import open_itk
from tests.support.simpleitk import needs_simpleitk, write_itk
from tests.support.volumes import LPS, ramp

pytestmark = needs_simpleitk

PLACE = ((1.0, 2.0, 3.0), (10.0, 20.0, 30.0), (0, 0, 1, 1, 0, 0, 0, 1, 0))


def write(path, array, vector=False):
    return write_itk(path, np.moveaxis(array, range(3), (2, 1, 0)), vector=vector, place=PLACE)


def values(part):
    planes = [list(part.planes(channel, range(part.geometry.shape[2]))) for channel in range(part.channels)]
    return np.stack([np.stack(channel, axis=-1) for channel in planes], axis=-1)


@pytest.mark.parametrize("suffix", [".nrrd", ".mha", ".mhd"])
def test_values_and_affine_are_those_of_the_file(tmp_path, suffix):
    part = open_itk(write(tmp_path / f"a{suffix}", ramp()))
    np.testing.assert_array_equal(values(part)[..., 0], ramp())
    direction = np.array([[0, 0, 1], [1, 0, 0], [0, 1, 0]])
    wanted = np.eye(4)
    wanted[:3, :3], wanted[:3, 3] = direction * [1, 2, 3], [10, 20, 30]
    np.testing.assert_allclose(part.geometry.matrix, LPS @ wanted)
    assert len(part.paths) == (2 if suffix == ".mhd" else 1)


@pytest.mark.parametrize("suffix", [".nrrd", ".mha"])
def test_several_values_of_a_voxel_are_channels(tmp_path, suffix):
    array = ramp((3, 4, 5, 2))
    part = open_itk(write(tmp_path / f"a{suffix}", array, vector=True))
    np.testing.assert_array_equal(values(part), array)


def test_a_file_is_read_once_for_all_its_channels_blocks_and_pictures(tmp_path, monkeypatch):
    reads = []

    def counted(path, *others):
        reads.append(path.name)
        return write_voxels(path, *others)

    monkeypatch.setattr(itk, "write_voxels", counted)
    monkeypatch.setattr(blocks, "ACROSS", 1)
    (tmp_path / "volumes").mkdir()
    for name in "ab":
        write(tmp_path / "volumes" / f"{name}.nrrd", ramp((3, 4, 5, 2)) + ord(name), vector=True)
    pool = VolumePool(tmp_path / "volumes", axis=0)
    for id in ("a/axis0-0000", "a/axis0-0002", "b/axis0-0001"):
        pool.picture(id)
    assert reads == ["a.nrrd", "b.nrrd", "a.nrrd", "b.nrrd"]
    folder = Path(itk._kept[0].values.filename).parent
    write(tmp_path / "volumes" / "b.nrrd", ramp((3, 4, 5, 2)), vector=True)  # another content
    np.testing.assert_array_equal(values(open_itk(tmp_path / "volumes" / "b.nrrd")), ramp((3, 4, 5, 2)))
    assert not folder.exists()


@pytest.mark.parametrize(
    "name", ["/etc/hostname", "../secret.raw", "LIST", "a%02d.raw 1 3 1", "missing.raw", ".", "sub/secret.raw"]
)
def test_a_header_cannot_name_a_file_elsewhere(tmp_path, name):
    path = write(tmp_path / "case" / "a.mhd" if (tmp_path / "case").mkdir() is None else "", ramp())
    (tmp_path / "secret.raw").write_bytes(bytes(1000))
    path.write_bytes(path.read_bytes().replace(b"a.raw", name.encode()))
    with pytest.raises(ImageError, match=r"a\.mhd must name one file of voxels"):
        open_itk(path)


@pytest.mark.parametrize("end", [b"\n\n", b"\r\n\r\n", b"\r\r\n\n", b"\n\r\n"])
@pytest.mark.parametrize("before", [b"\n", b"\r\n", b"\r", b"\n#\r", b"\ncontent: x\r", b"\n "])
def test_a_nrrd_header_cannot_name_a_file_elsewhere(tmp_path, before, end):
    """ITK takes a carriage return alone for the end of a line."""
    (tmp_path / "secret.raw").write_bytes(bytes(60))
    fields = b"NRRD0004\ntype: uint8\ndimension: 3\nsizes: 3 4 5\nencoding: raw"
    path = tmp_path / "a.nrrd"
    for separator in (b"\n", b"\r", b"\r\n"):
        named = before + b"data file: " + str(tmp_path / "secret.raw").encode()
        path.write_bytes(fields.replace(b"\n", separator) + named + end + bytes(60))
        with pytest.raises(ImageError, match=r"a\.nrrd (must contain its voxels|has a header of another form)"):
            open_itk(path)


@pytest.mark.parametrize("name", ["LIST 3D", "LISTx", "Local"])
def test_a_file_whose_name_itk_takes_for_a_word_is_refused(tmp_path, name):
    """ITK read the files that the following lines name, or gave voxels from anywhere in memory."""
    path = write(tmp_path / "a.mhd", ramp())
    (tmp_path / "a.raw").rename(tmp_path / name)
    path.write_bytes(path.read_bytes().replace(b"a.raw", name.encode()))
    with pytest.raises(ImageError, match=r"a\.mhd must name one file of voxels beside it"):
        open_itk(path)


def test_voxels_are_checked_however_the_header_says_that_they_are_compressed(tmp_path):
    write_itk(tmp_path / "a.nrrd", ramp(), compress=True)
    content, right = (tmp_path / "a.nrrd").read_bytes(), values(open_itk(tmp_path / "a.nrrd"))
    encoding = next(line for line in content.split(b"\n") if line.startswith(b"encoding: "))
    for other in (b"encoding: \tgzip", b"Encoding: GZ", b"encoding: gzip\nencoding:=raw", encoding + b"\r"):
        (tmp_path / "a.nrrd").write_bytes(content.replace(encoding, other))
        np.testing.assert_array_equal(values(open_itk(tmp_path / "a.nrrd")), right)
        (tmp_path / "a.nrrd").write_bytes(content.replace(encoding, other)[:-1])
        with pytest.raises(ImageError, match=r"a\.nrrd is damaged"):
            values(open_itk(tmp_path / "a.nrrd"))


@pytest.mark.parametrize("suffix", [".nrrd", ".mha", ".mhd"])
def test_no_flipped_bit_of_compressed_voxels_changes_a_value(tmp_path, suffix):
    path = tmp_path / f"a{suffix}"
    write_itk(path, ramp(), compress=True)
    stored = path if suffix != ".mhd" else tmp_path / "a.zraw"
    content, right = stored.read_bytes(), values(open_itk(path))
    start = {".nrrd": content.find(b"\n\n") + 2, ".mha": content.find(b"LOCAL\n") + 6, ".mhd": 0}[suffix]
    for at in range(start, len(content), 7):
        changed = bytearray(content)
        changed[at] ^= 1 << at % 8
        stored.write_bytes(bytes(changed))
        with suppress(ImageError):
            np.testing.assert_array_equal(values(open_itk(path)), right)  # the time in the head of a gzip file
    stored.write_bytes(content[:-1])
    with pytest.raises(ImageError, match=rf"a\{suffix} is damaged"):
        values(open_itk(path))


@pytest.mark.parametrize("suffix", [".nrrd", ".mha", ".mhd"])
def test_a_file_that_was_replaced_by_another_one_of_its_size_is_an_error(tmp_path, suffix):
    path = tmp_path / f"a{suffix}"
    write_itk(path, ramp())
    part = open_itk(path)
    before = values(part)
    write_itk(path, ramp()[::-1].copy())
    with pytest.raises(ImageError, match="has changed since its header was read"):
        values(part)
    assert (values(open_itk(path)) != before).any()


@pytest.mark.parametrize(
    ("before", "after", "message"),
    [
        (b"CompressedData = True", b" CompressedData = True", "has a header of another form"),
        (b"CompressedDataSize = ", b"CompressedDataSize = 5\nComment = ", "another size of its compressed voxels"),
        (b"CompressedData = True", b"CompressedData = True\nHeaderSize = 3", "another size of its compressed voxels"),
        (b"CompressedData = True", b"CompressedData = True\nNDims = 3", "has a header with a name that occurs twice"),
    ],
)
def test_a_header_by_which_itk_would_unpack_other_bytes_is_refused(tmp_path, before, after, message):
    path = tmp_path / "a.mha"
    write_itk(path, ramp(), compress=True)
    assert before in path.read_bytes()
    path.write_bytes(path.read_bytes().replace(before, after))
    with pytest.raises(ImageError, match=message):
        values(open_itk(path))


def test_a_link_beside_a_header_is_not_followed(tmp_path):
    path = write(tmp_path / "a.mhd", ramp())
    (tmp_path / "a.raw").rename(tmp_path / "b.raw")
    (tmp_path / "a.raw").symlink_to(tmp_path / "b.raw")
    with pytest.raises(ImageError, match="must name one file of voxels beside it"):
        open_itk(path)


def test_two_names_of_voxel_files_are_refused(tmp_path):
    path = write(tmp_path / "a.mha", ramp())
    path.write_bytes(b"Comment = x\relementdatafile = /etc/hostname\n" + path.read_bytes())
    with pytest.raises(ImageError, match="must name one file of voxels"):
        open_itk(path)


@pytest.mark.parametrize("line", ["data file: /etc/hostname", "datafile: other.raw", "Data File:x", " data file: LIST"])
def test_an_nrrd_file_must_contain_its_voxels(tmp_path, line):
    path = write(tmp_path / "a.nrrd", ramp())
    head, _, body = path.read_bytes().partition(b"\n\n")
    path.write_bytes(head + b"\n" + line.encode() + b"\n\n" + body)
    with pytest.raises(ImageError, match=r"a\.nrrd must contain its voxels"):
        open_itk(path)


@pytest.mark.parametrize("suffix", [".nrrd", ".mha"])
def test_damaged_files_are_named(tmp_path, suffix):
    path = write(tmp_path / f"a{suffix}", np.random.default_rng(0).integers(9999, size=(20, 20, 20), dtype=np.int16))
    content = path.read_bytes()
    path.write_bytes(content[: len(content) // 2])
    with pytest.raises(ImageError, match=rf"a{suffix} "):
        values(open_itk(path))
    path.write_bytes(b"x" * 100)
    with pytest.raises(ImageError, match=rf"a{suffix} "):
        open_itk(path)


def test_a_header_that_declares_more_voxels_than_fit_is_refused(tmp_path):
    path = write(tmp_path / "a.mha", ramp((3, 4, 4096)))
    path.write_bytes(path.read_bytes().replace(b"DimSize = 3 4 4096", b"DimSize = 9999 9999 9999"))
    with pytest.raises(ImageError, match="too large to be read as a whole"):
        open_itk(path)


@pytest.mark.parametrize("suffix", [".nrrd", ".mha"])
def test_a_file_that_unpacks_to_too_much_is_refused(tmp_path, suffix, monkeypatch):
    """The limit is of bytes, whatever the type of a voxel; what a file has uncompressed, it has."""
    array = np.zeros((16, 16, 16), np.float64)  # 32,768 bytes
    packed = write_itk(tmp_path / f"a{suffix}", array, compress=True)
    plain = write_itk(tmp_path / f"b{suffix}", array)
    for most, is_refused in ((3277, False), (3276, True)):
        monkeypatch.setenv("ALKIT_MAX_BYTES", str(most))
        assert not values(open_itk(plain)).any()
        if is_refused:
            with pytest.raises(ImageError, match="is too large to be read as a whole: got 32768 bytes of voxels"):
                open_itk(packed)
        else:
            assert not values(open_itk(packed)).any()


def test_two_axes_are_refused(tmp_path):
    write_itk(tmp_path / "a.mha", np.zeros((4, 5), np.uint8))
    with pytest.raises(ImageError, match=r"a\.mha must have three axes: got 2 axes"):
        open_itk(tmp_path / "a.mha")


NRRD = "NRRD0004\ntype: {type}\ndimension: 3\nsizes: 1 2 2\nencoding: {encoding}\n\n{text}"
META = (
    "ObjectType = Image\nNDims = 3\nBinaryData = False\nDimSize = 1 2 2\nElementType = {type}\n"
    "ElementDataFile = {place}\n{text}"
)


def write_text(folder, kind, text, type="uint8"):
    path = folder / f"a.{kind.split('-')[0]}"
    if kind.startswith("nrrd"):
        path.write_text(NRRD.format(type=type, encoding=kind.partition("-")[2], text=text))
    else:
        name = {"uint8": "MET_UCHAR", "int16": "MET_SHORT", "float": "MET_FLOAT"}[type]
        place = "LOCAL" if kind == "mha" else "a.txt"
        path.write_text(META.format(type=name, place=place, text=text if kind == "mha" else ""))
        (folder / "a.txt").write_text(text)
    return path


TEXTS = ["nrrd-ascii", "nrrd-text", "nrrd-TXT", "mha", "mhd"]


@pytest.mark.parametrize("kind", TEXTS)
def test_voxels_that_are_stored_as_text_are_read(tmp_path, kind):
    np.testing.assert_array_equal(
        values(open_itk(write_text(tmp_path, kind, "0 7 128\n255\n"))).ravel(), [0, 128, 7, 255]
    )
    found = values(open_itk(write_text(tmp_path, kind, "0 -1.5 1e3 2.5\n", "float")))
    np.testing.assert_array_equal(found.ravel(), [0, 1e3, -1.5, 2.5])


@pytest.mark.parametrize("kind", TEXTS)
@pytest.mark.parametrize(
    ("type", "text"), [("uint8", "0 999 1 2"), ("uint8", "0 -1 1 2"), ("uint8", "0 1.5 1 2"), ("int16", "40000 0 1 2")]
)
def test_numbers_in_a_text_that_its_type_cannot_hold_are_refused(tmp_path, kind, type, text):
    """ITK read 999 as 231."""
    with pytest.raises(ImageError, match=rf"a\.\w+ has values that its type {type} cannot hold: got "):
        values(open_itk(write_text(tmp_path, kind, text + "\n", type)))


@pytest.mark.parametrize("kind", TEXTS)
@pytest.mark.parametrize("text", ["0 1 2", "0 1 2 3 4", "0 1 x 3", "0 1 0x3 3", ""])
def test_a_text_of_other_words_than_one_number_for_each_voxel_is_refused(tmp_path, kind, text):
    with pytest.raises(ImageError, match=r"a\.\w+ (is damaged|cannot be read as a volume)"):
        values(open_itk(write_text(tmp_path, kind, text + "\n")))


@pytest.mark.parametrize("suffix", ["nrrd", "mha", "mhd"])
def test_a_header_that_says_that_values_stand_for_others_is_refused(tmp_path, suffix):
    path = write(tmp_path / f"a.{suffix}", ramp())
    content = path.read_bytes()
    before, fields = {
        "nrrd": (b"dimension: 3\n", (b"old min: 0\n", b"oldmax: 1000\n")),
    }.get(
        suffix,
        (
            b"NDims = 3\n",
            (
                b"ElementToIntensityFunctionSlope = 2\n",
                b"ElementToIntensityFunctionOffset = -1024\n",
                b"ElementToIntensityFunctionSlope = x\n",
            ),
        ),
    )
    for field in fields:
        path.write_bytes(content.replace(before, before + field))
        with pytest.raises(ImageError, match=rf"a\.{suffix} can be read in two ways, because its header says"):
            open_itk(path)
    if suffix != "nrrd":
        plain = b"ElementToIntensityFunctionSlope = 1.0\nElementToIntensityFunctionOffset = 0\n"
        path.write_bytes(content.replace(before, before + plain))
        np.testing.assert_array_equal(values(open_itk(path))[..., 0], ramp())
