"""Whole slides and pyramids: colours as they are meant, and no memory or time by what a file only states."""

import numpy as np
import pytest
import tifffile
from odd_files import jpeg
from PIL import Image

from alkit.errors import ImageError, LabelError
from alkit.oracles.tile_masks import _open_mask
from alkit.pools.decoding import decode
from alkit.pools.tiles.large import open_large
from alkit.values.frames import Box

pytest.importorskip("zarr")
WHOLE = Box(0, 0, 64, 64)


def read(path, level=0, box=WHOLE):
    with open_large(path, False) as large:
        return large.read(level, box)


ABOUT = "Aperio Image Library v12.0.0\n64x64 [0,0 64x64] (32x32) |AppMag = 20|MPP = 0.5"
COLOURS = np.repeat(np.array([[20, 200, 40], [200, 60, 30]], np.uint8), 32, axis=0)[:, None].repeat(64, axis=1)


def write_slide(path, array, **given):
    tifffile.imwrite(path, array, **{"tile": (32, 32), "description": ABOUT, "metadata": None, **given})


def test_colours_of_slides_in_jpeg_2000_are_rgb(tmp_path):
    """tiffslide returns the YCbCr of Aperio's older slides as if it were RGB."""
    imagecodecs = pytest.importorskip("imagecodecs")
    pytest.importorskip("tiffslide")
    for compression, mode in ((33003, "YCbCr"), (33005, "RGB")):
        stored = np.asarray(Image.fromarray(COLOURS).convert(mode))
        parts = (stored[y : y + 32, x : x + 32] for y in (0, 32) for x in (0, 32))
        tiles = [imagecodecs.jpeg2k_encode(np.ascontiguousarray(part), codecformat="j2k", mct=False) for part in parts]
        write_slide(
            tmp_path / "s.svs",
            iter(tiles),
            shape=(64, 64, 3),
            dtype=np.uint8,
            photometric="rgb",
            compression=compression,
        )
        found = read(tmp_path / "s.svs").transpose(1, 2, 0)
        assert np.abs(found.astype(int) - COLOURS).max() <= 2


@pytest.mark.parametrize(
    ("change", "given", "message"),
    [
        (lambda pixels: np.dstack([pixels, pixels[..., :1]]), {"extrasamples": ["unassalpha"]}, "has other channels"),
        (
            lambda pixels: np.dstack([pixels, pixels]),
            {"photometric": "minisblack", "planarconfig": "contig"},
            ".6.",
        ),
        (lambda pixels: pixels[..., :2], {"photometric": "minisblack", "planarconfig": "contig"}, "has other channels"),
        (lambda pixels: pixels[..., 0], {"photometric": "miniswhite"}, "has values of another kind"),
        (lambda pixels: pixels, {"compression": "webp", "compressionargs": {"lossless": True}}, "in an unknown way"),
    ],
)
def test_slides_that_tiffslide_would_read_as_other_values_are_refused(tmp_path, change, given, message):
    pytest.importorskip("tiffslide")
    write_slide(tmp_path / "s.svs", change(COLOURS), **{"photometric": "rgb", **given})
    with pytest.raises(ImageError, match=message):
        read(tmp_path / "s.svs")


@pytest.mark.parametrize("suffix", ["svs", "tif"])
@pytest.mark.parametrize(
    ("tile", "message"),
    [
        (jpeg(32, 200, "RGB"), "more than 100 scans"),
        (jpeg(48, mode="RGB"), r"a tile of \(48, 48\), expected 32 x 32"),
    ],
)
def test_streams_in_tiles_are_checked_before_they_are_decoded(tmp_path, suffix, tile, message):
    if suffix != "tif":
        pytest.importorskip("tiffslide")
    given = {"shape": (64, 64, 3), "dtype": np.uint8, "photometric": "ycbcr", "compression": "jpeg"}
    write_slide(tmp_path / f"s.{suffix}", iter([tile] * 4), **given)
    with pytest.raises(ImageError, match=message):
        read(tmp_path / f"s.{suffix}")


STATED = (
    '<OME xmlns="http://www.openmicroscopy.org/Schemas/OME/2016-06"><Image ID="Image:0"><Pixels ID="Pixels:0" '
    'DimensionOrder="XYCZT" Type="uint8" SizeX="64" SizeY="64" SizeC="1" SizeZ="{z}" SizeT="1"><Channel ID="C" '
    'SamplesPerPixel="1"/><TiffData IFD="0" PlaneCount="{count}"/></Pixels></Image>{more}</OME>'
)
MODULO = (
    '<StructuredAnnotations><XMLAnnotation ID="A" Namespace="x/modulo"><Value><Modulo><ModuloAlongZ Type="other" '
    'Start="0" End="1e7" Step="0.1"/></Modulo></Value></XMLAnnotation></StructuredAnnotations>'
)
LEICA = (
    '<scn xmlns="x"><collection><image name="a"><pixels><dimension c="{c}" z="{z}" r="0" ifd="0"/>'
    '<dimension c="0" z="0" r="0" ifd="0"/></pixels></image></collection></scn>'
)


@pytest.mark.parametrize(
    "about",
    [
        STATED.format(z=10**7, count=1, more=""),
        STATED.format(z=1, count=10**7, more=""),
        STATED.format(z=1, count=1, more=MODULO),
        LEICA.format(c=10**7, z=0),
        LEICA.format(c=4000, z=4000),
    ],
)
def test_a_description_of_absurdly_many_planes_takes_no_memory(tmp_path, about):
    """tifffile takes memory for each plane that the description states."""
    write_slide(tmp_path / "a.tif", np.zeros((64, 64), np.uint8), photometric="minisblack", description=about)
    with pytest.raises(ImageError, match="a description of more planes than a file can have"):
        read(tmp_path / "a.tif")
    Image.fromarray(np.zeros((64, 64), np.uint8)).save(tmp_path / "b.png")
    (tmp_path / "b.tif").write_bytes((tmp_path / "a.tif").read_bytes())
    with pytest.raises(LabelError, match="a description of more planes"), _open_mask(tmp_path / "b.tif"):
        pass


def test_a_slide_that_states_an_absurd_size_is_refused(tmp_path):
    pytest.importorskip("tiffslide")
    levels = '<dimension sizeX="64" sizeY="64" r="0" ifd="{0}"/><dimension sizeX="32" sizeY="32" r="1" ifd="{1}"/>'
    view = '<view sizeX="{0}" sizeY="{0}" offsetX="{1}" offsetY="{1}"/>'
    about = (
        "<creationDate>2020</creationDate><device model='m' version='1'/><scanSettings><objectiveSettings><objective>20"
        "</objective></objectiveSettings><illuminationSettings><numericalAperture>0.4</numericalAperture>"
        "<illuminationSource>x</illuminationSource></illuminationSettings></scanSettings>"
    )
    for side, is_absurd in ((64_000, False), (10**12, True)):
        images = "".join(
            f"<image>{about}<pixels>{levels.format(ifd, ifd + 1)}</pixels>{view.format(*place)}</image>"
            for ifd, place in ((0, (side, 0)), (2, (32_000, 20_000)))
        )
        collection = f'<scn xmlns="x"><collection sizeX="{side}" sizeY="{side}">{images}</collection></scn>'
        with tifffile.TiffWriter(tmp_path / "s.scn", bigtiff=True) as file:
            for number, level in enumerate([COLOURS, COLOURS[::2, ::2]] * 2):
                about_all = None if number else collection
                file.write(level, tile=(32, 32), photometric="rgb", description=about_all, metadata=None)
        if is_absurd:
            with pytest.raises(ImageError, match="has too many pixels: got 2000000000 x 2000000000"):
                read(tmp_path / "s.scn")
        else:
            assert read(tmp_path / "s.scn", 0, Box(40, 40, 1, 1)).ravel().tolist() == [20, 200, 40]


@pytest.mark.parametrize(
    ("array", "given"),
    [
        (COLOURS, {"photometric": "ycbcr", "compression": "lzw"}),
        (COLOURS, {"photometric": "ycbcr"}),
        (COLOURS[..., 0] >> 4, {"photometric": "minisblack", "bitspersample": 4}),
        (COLOURS[..., 0] >> 6, {"photometric": "minisblack", "bitspersample": 2}),
        (COLOURS[..., 0], {"photometric": "miniswhite"}),
    ],
)
def test_values_that_mean_others_are_those_of_the_same_image_as_a_whole(tmp_path, array, given):
    write_slide(tmp_path / "a.tif", array, description=None, **given)
    whole, _ = decode(tmp_path / "a.tif", None, False)
    assert np.array_equal(read(tmp_path / "a.tif"), whole)


def test_levels_of_other_colours_are_not_read_as_if_they_were_rgb(tmp_path):
    with tifffile.TiffWriter(tmp_path / "a.tif") as file:
        file.write(COLOURS, photometric="rgb", tile=(32, 32), subifds=1, metadata=None)
        file.write(COLOURS[::2, ::2], photometric="ycbcr", tile=(32, 32), compression="lzw", metadata=None)
    with open_large(tmp_path / "a.tif", False) as large:
        assert large.levels == ((64, 64),)
        assert np.array_equal(large.read(0, WHOLE), COLOURS.transpose(2, 0, 1))
