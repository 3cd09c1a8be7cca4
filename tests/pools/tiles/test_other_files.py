"""Large images that name further files, hold several images, or whose levels have odd sizes."""

import json
import struct

import numpy as np
import pytest
import tifffile
from PIL import Image

import alkit
from alkit.errors import ImageError, LabelError
from alkit.oracles import TileMasks
from alkit.pools.tiles.large import open_large
from alkit.values.frames import Box

pytest.importorskip("zarr")
OME = (
    '<?xml version="1.0"?><OME xmlns="http://www.openmicroscopy.org/Schemas/OME/2016-06"><Image ID="Image:0">'
    '<Pixels ID="P:0" DimensionOrder="XYCZT" Type="uint8" SizeX="64" SizeY="64" SizeC="1" SizeZ="1" SizeT="1">'
    '<Channel ID="C:0" SamplesPerPixel="1"/><TiffData IFD="0" PlaneCount="1"><UUID FileName="../private/s.tif">'
    "urn:uuid:1</UUID></TiffData></Pixels></Image></OME>"
)


@pytest.fixture
def folder(tmp_path):
    """Return a folder of images, beside another one with an image that belongs to somebody else."""
    (tmp_path / "private").mkdir()
    tifffile.imwrite(
        tmp_path / "private/s.tif", np.full((64, 64), 77, np.uint8), tile=(64, 64), photometric="minisblack"
    )
    (tmp_path / "images").mkdir()
    return tmp_path / "images"


WHOLE = Box(0, 0, 64, 64)


def read(path, level=0, box=WHOLE):
    with open_large(path, False) as large:
        return large.read(level, box)


@pytest.mark.parametrize("suffix", ["svs", "scn", "bif", "tif"])
def test_metadata_of_ome_lead_to_no_other_file(folder, suffix):
    pytest.importorskip("tiffslide")
    black = np.zeros((64, 64), np.uint8)
    given = {"metadata": None, "tile": (64, 64), "photometric": "minisblack"}
    tifffile.imwrite(folder / f"a.{suffix}", black, description=OME, **given)
    assert not read(folder / f"a.{suffix}").any()


def test_an_index_of_micro_manager_leads_to_no_other_file(folder):
    pixels, summary = np.full((64, 64), 5, np.uint8).tobytes(), struct.pack("<IIII", 483729, 2, 2355492, 2) + b"{}"
    start = 8 + len(summary)
    about, end = start + len(pixels), start + len(pixels) + 8
    tags = [(256, 64), (257, 64), (258, 8), (259, 1), (262, 1), (277, 1), (322, 64), (323, 64), (324, start)]
    entries = [(tag, 4, 1, value) for tag, value in [*tags, (325, len(pixels))]] + [(51123, 2, 8, about)]
    content = b"II*\0" + struct.pack("<I", end) + summary + pixels + b"{}\0\0\0\0\0\0" + struct.pack("<H", len(entries))
    content += b"".join(struct.pack("<HHII", *entry) for entry in entries) + bytes(9000)
    (folder / "a.tif").write_bytes(content)
    (folder.parent / "private/t.tif").write_bytes((folder.parent / "private/s.tif").read_bytes())
    index = b""
    for channel, name in enumerate(["a.tif", "../private/s.tif", "../private/t.tif"]):
        axes = json.dumps({"channel": channel}).encode()
        index += struct.pack("<I", len(axes)) + axes + struct.pack("<I", len(name)) + name.encode()
        index += struct.pack("<IiiiiIii", 0, 64, 64, 0, 0, 0, 0, 0)
    (folder / "NDTiff.index").write_bytes(index)
    with tifffile.TiffFile(folder / "a.tif", _multifile=False) as file:
        assert file.series[0].axes == "CYX"  # tifffile would read all three
    assert (read(folder / "a.tif") == 5).all()


def test_levels_of_slides_are_read_at_the_pixel(folder):
    pytest.importorskip("tiffslide")
    rng = np.random.default_rng(0)
    slide, half = (rng.integers(256, size=size, dtype=np.uint8) for size in ((331, 447, 3), (82, 111, 3)))
    given = {"photometric": "rgb", "metadata": None}
    about = "Aperio Image Library v12.0.0\n447x331 [0,0 447x331] (64x64) |AppMag = 20|MPP = 0.5"
    with tifffile.TiffWriter(folder / "s.svs") as file:
        file.write(slide, description=about, tile=(64, 64), **given)
        file.write(slide[::8, ::8], description="Aperio Image Library v12.0.0\nthumbnail", **given)
        file.write(half, description=about, tile=(64, 64), **given)
    for top in range(0, 82 - 16, 5):
        for left in range(0, 111 - 16, 5):
            found = read(folder / "s.svs", 1, Box(top, left, 16, 16))
            assert np.array_equal(found, half[top : top + 16, left : left + 16].transpose(2, 0, 1)), (top, left)


def test_a_file_with_several_large_images_is_refused(folder):
    images = np.random.default_rng(0).integers(256, size=(2, 64, 64, 3), dtype=np.uint8)
    for name, first in (("same", images[0]), ("smaller", images[0][:32])):
        with tifffile.TiffWriter(folder / f"{name}.tif") as file:
            file.write(first, photometric="rgb", tile=(16, 16))
            file.write(images[1], photometric="rgb", tile=(16, 16))
        with pytest.raises(ImageError, match=r"has several images: got 2, of which the first is not the largest"):
            read(folder / f"{name}.tif")
    with tifffile.TiffWriter(folder / "thumbnail.tif") as file:
        file.write(images[1], photometric="rgb", tile=(16, 16))
        file.write(images[0][:16, :16], photometric="rgb")
    assert np.array_equal(read(folder / "thumbnail.tif"), images[1].transpose(2, 0, 1))


def test_two_masks_of_one_image_are_refused(folder):
    Image.fromarray(np.zeros((16, 16), np.uint8)).save(folder / "a.png")
    masks = folder.parent / "masks"
    masks.mkdir()
    for suffix, value in (("png", 0), ("tif", 1)):
        Image.fromarray(np.full((16, 16), value, np.uint8)).save(masks / f"a.{suffix}")
    pool = alkit.TilePool(folder, tile=16, cache=folder.parent / "cache")
    with pytest.raises(LabelError, match=r"a has several masks, .*a.png and .*a.tif: keep one of them"):
        TileMasks(pool, masks)
