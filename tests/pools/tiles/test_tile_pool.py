"""Tiles of large images: where they lie, what they hold, which are kept, and how little memory they need."""

import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from io import BytesIO

import numpy as np
import pytest
import tifffile
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

import alkit
from alkit.errors import ConfigurationError, ImageError
from alkit.pictures.surroundings import surroundings_file
from alkit.pools import seam_disagreements
from alkit.pools.tiles.grid import boxes
from alkit.pools.tiles.large import open_large
from alkit.pools.tiles.overview import foreground_of, otsu, overview_of
from alkit.testing import PoolKit
from tests.support.peak import PEAK

pytest.importorskip("zarr")
SIDES = st.integers(1, 60)
FULL = np.random.default_rng(0).integers(0, 255, (90, 130, 3)).astype(np.uint8)


def write_pyramid(path, image=FULL, **more):
    given_ = {"tile": (32, 32), "photometric": "rgb", "compression": "deflate", **more}
    with tifffile.TiffWriter(path) as file:
        file.write(image, subifds=1, resolution=(20000, 20000), resolutionunit="CENTIMETER", **given_)
        file.write(image[::2, ::2], subfiletype=1, **given_)


@pytest.fixture
def folder(tmp_path):
    made = tmp_path / "images"
    made.mkdir()
    write_pyramid(made / "a.tif")
    Image.fromarray(FULL[:40, :40]).save(made / "b.png")
    return made


def opened(folder, **more):
    return alkit.TilePool(folder, **{"tile": 48, "cache": folder.parent / "cache", **more})


class TestTilePool(PoolKit):
    @pytest.fixture
    def pool(self, folder):
        return opened(folder, margin=3, stride=40)


def test_excluded_images_have_no_tiles(folder):
    assert {id.partition("/")[0] for id in opened(folder, exclude="*.png").ids} == {"a"}
    assert opened(folder).exclude == ()


@given(st.tuples(SIDES, SIDES), st.tuples(SIDES, SIDES), st.floats(0.05, 1))
def test_tiles_cover_an_image_and_stay_inside(image, tile, share):
    stride = tuple(max(1, round(share * side)) for side in tile)
    covered = np.zeros(image, int)
    found = list(boxes(image, tile, stride))
    for box in found:
        assert box.size == (min(image[0], tile[0]), min(image[1], tile[1]))
        assert covered[box.slices].shape == box.size
        covered[box.slices] += 1
    assert covered.min() >= 1
    assert len(set(found)) == len(found)


def test_a_tile_holds_its_part_of_the_image_and_its_surroundings(folder):
    pool = opened(folder, margin=4, stride=40)
    assert pool.shape == (3, 56, 56)
    assert pool.ids[:4] == ("a/y0-x0", "a/y0-x40", "a/y0-x80", "a/y0-x82")
    pixels, scale = pool.stored(["a/y40-x40"])
    assert scale == "full"
    assert np.array_equal(pixels[0][:, :54], FULL[36:90, 36:92].transpose(2, 0, 1))
    assert np.array_equal(pixels[0][:, 54:], pixels[0][:, 53:51:-1])  # mirrored at the border of the image
    (frame,) = pool.frames(["a/y40-x40"])
    assert (frame.original, frame.content) == ((48, 48), (4, 4, 48, 48))
    assert np.array_equal(np.rint(pool.picture("a/y40-x40") * 255), FULL[40:88, 40:88].transpose(2, 0, 1))
    assert pool.places_of(["a/y42-x82"]) == [(42, 82, 48, 48)]
    assert pool.parents_of(["a/y40-x40", "b/y0-x0"]) == ["a", "b"]
    assert pool.groups_of(["a/y40-x40"]) == ["a"]
    assert pool.sizes(["b/y0-x0"]) == [((40, 40), (56, 56))]
    assert pool.file("a/y0-x0") is None


def test_tiles_of_a_level_and_of_a_size_of_pixels(folder):
    pool = opened(folder, level=1, pattern="a.tif")
    assert pool.image_size(pool.ids[0]) == (45, 65)
    assert np.array_equal(pool.stored(["a/y0-x17"])[0][0][:, :45], FULL[::2, ::2].transpose(2, 0, 1)[:, :, 17:])
    again = opened(folder, mpp=1.0)
    assert again.image_size("a/y0-x17") == (45, 65)
    assert "does not say how large its pixels are" in again.unusable["b"]
    with pytest.raises(ImageError, match=r"no level of 3 micrometres per pixel: got 0\.5, 1"):
        opened(folder, mpp=3.0, pattern="a.tif")
    with pytest.raises(ImageError, match="has no level 5"):
        opened(folder, level=5, pattern="a.tif")


def test_an_ome_file_says_how_large_its_pixels_are_and_leads_to_no_other_file(folder):
    metadata = {"axes": "YX", "PhysicalSizeX": 0.25, "PhysicalSizeXUnit": "µm"}
    tifffile.imwrite(folder / "c.ome.tif", FULL[..., 0], tile=(32, 32), ome=True, metadata=metadata)
    with open_large(folder / "c.ome.tif", True) as large:
        assert large.mpp == 0.25
        assert np.array_equal(large.read(0, (*boxes((90, 130), (48, 48), (48, 48)),)[1]), FULL[None, :48, 48:96, 0])


def test_gray_tiles_equal_those_that_pillow_makes(folder):
    pixels = opened(folder, grayscale=True).stored(["a/y0-x0"])[0][0, 0]
    assert np.array_equal(pixels, np.asarray(Image.fromarray(FULL).convert("L"))[:48, :48])


def test_only_tiles_with_foreground_are_kept_and_the_same_each_time(folder):
    slide = np.full((100, 200, 3), 240, np.uint8)
    slide[60:, 120:] = (200, 40, 120)
    write_pyramid(folder / "slide.tif", slide)
    pool = opened(folder, pattern="slide.tif", foreground="tissue", least=0.2)
    assert pool.ids == (
        "slide/y48-x96",
        "slide/y48-x144",
        "slide/y48-x152",
        "slide/y52-x96",
        "slide/y52-x144",
        "slide/y52-x152",
    )
    dark = opened(folder, pattern="slide.tif", foreground="bright", grayscale=True, least=0.2)
    assert "slide/y0-x0" in dark.ids
    assert "slide/y52-x152" not in dark.ids
    assert opened(folder, pattern="slide.tif", foreground="tissue", least=0.2).ids == pool.ids
    write_pyramid(folder / "slide.tif", np.full((100, 200, 3), 240, np.uint8))
    with pytest.raises(ImageError, match="no tile with enough foreground"):
        opened(folder, pattern="slide.tif", foreground="tissue")


def test_otsus_threshold_equals_a_slow_reference():
    rng = np.random.default_rng(0)
    values = np.concatenate([rng.normal(20, 5, 500), rng.normal(90, 20, 300)]).astype(np.float32)

    def within(threshold):
        low, high = values[values <= threshold], values[values > threshold]
        return len(low) * low.var() + len(high) * high.var()

    edges = np.histogram_bin_edges(values, 256)[1:-1]
    assert within(otsu(values)) <= min(map(within, edges)) * 1.001
    assert otsu(np.full(9, 3, np.float32)) == 3


def test_an_overview_is_an_average_read_in_bands(folder, monkeypatch):
    from alkit.pools.tiles import overview

    monkeypatch.setattr(overview, "LONG", 33)
    monkeypatch.setattr(overview, "BAND", 1000)
    with open_large(folder / "a.tif", False) as large:
        found = overview_of(large, 0)
    small = FULL[::2, ::2].astype(np.float32)
    assert found.pixels.shape == (3, 23, 33)
    assert found.pixels[:, 0, 0] == pytest.approx(small[:2, :2].mean(axis=(0, 1)))
    assert found.pixels[:, -1, -1] == pytest.approx(small[44:, 64:].mean(axis=(0, 1)))
    assert foreground_of(found, "all").all()


def test_a_damaged_row_is_cut_again_and_a_damaged_image_is_left_out(folder):
    (folder / "c.tif").write_bytes((folder / "a.tif").read_bytes()[:300])
    pool = opened(folder)
    assert "c" in pool.unusable
    before = pool.read(["a/y0-x48"])
    (rows,) = (folder.parent / "cache").rglob("rows-*.bin")
    content = bytearray(rows.read_bytes())
    content[:] = bytes(len(content))
    rows.write_bytes(content)
    assert np.array_equal(pool.read(["a/y0-x48"]), before)


def test_the_size_of_a_strip_is_checked_before_memory_is_taken(folder, monkeypatch):
    monkeypatch.setenv("ALKIT_MAX_PIXELS", "2000")
    tifffile.imwrite(folder / "a.tif", FULL, photometric="rgb", rowsperstrip=90)
    assert "a.tif has too many pixels: got 130 x 90, expected at most 2000" in opened(folder).unusable["a"]


@pytest.mark.parametrize(
    ("given_", "words"),
    [
        ({"tile": 0}, "size must be|tile must be"),
        ({"stride": 49}, "stride must be at most the size of a tile"),
        ({"margin": -1}, "margin must be"),
        ({"level": 1, "mpp": 1.0}, "level must be 0 if mpp is given"),
        ({"mpp": 0.0}, "mpp must be"),
        ({"least": 2.0}, "least must be"),
        ({"foreground": "white"}, "foreground must be"),
    ],
)
def test_a_wrong_parameter_is_named(folder, given_, words):
    with pytest.raises(ConfigurationError, match=words):
        opened(folder, **given_)


def test_masks_of_tiles_are_cut_out_of_masks_of_images(folder):
    masks = folder.parent / "masks"
    masks.mkdir()
    whole = (FULL[..., 0] > 99).astype(np.uint8)
    tifffile.imwrite(masks / "a.tif", whole, tile=(32, 32), compression="deflate")
    pool = opened(folder, stride=40)
    with pytest.raises(Exception, match=r"b has no mask: expected a file such as .*b\.png"):
        alkit.oracles.TileMasks(pool, masks)
    with pytest.raises(ConfigurationError, match="pattern must name files in the folder or below"):
        alkit.oracles.TileMasks(pool, masks, "../{image}.png")
    Image.fromarray(whole[:40, :40]).save(masks / "b.png")
    cut = alkit.oracles.TileMasks(pool, masks)
    assert len(cut) == len(pool)
    assert np.array_equal(cut["a/y40-x82"], whole[40:88, 82:130])
    assert np.array_equal(cut["b/y0-x0"], whole[:40, :40])
    oracle = alkit.MaskOracle(cut, classes=("skin", "lesion"))
    oracle.check_labels(pool)
    known = {id: cut[id].astype(np.uint8) for id in pool.ids}
    spec = alkit.LabelSpec(("skin", "lesion"))
    assert seam_disagreements(pool, known, spec) == []
    known["a/y0-x40"] = 1 - known["a/y0-x40"]
    found = seam_disagreements(pool, known, spec)
    assert {pair.one for pair in found} | {pair.other for pair in found} >= {"a/y0-x0", "a/y0-x40"}
    assert found[0].pixels == found[0].shared
    Image.fromarray(whole[:30, :40]).save(masks / "b.png")
    with pytest.raises(alkit.errors.LabelError, match="must have the size of its image"):
        alkit.oracles.TileMasks(pool, masks)["b/y0-x0"]


def leave_out_a_tile(path):
    with tifffile.TiffFile(path, mode="r+b") as file:
        for number in (324, 325):
            tag = file.pages.first.tags[number]
            tag.overwrite((0, *tag.value[1:]))


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"compression": "jpeg"}, "has a compression that can change the values of a mask"),
        ({"compression": "packbits", "predictor": True}, "can be read in two ways"),
    ],
)
def test_a_tiled_mask_that_no_other_mask_could_be_is_refused(folder, options, message):
    pytest.importorskip("imagecodecs")
    (folder / "b.png").unlink()
    masks, whole = folder.parent / "masks", (FULL[..., 0] > 99).astype(np.uint8)
    masks.mkdir()
    tifffile.imwrite(masks / "a.tif", whole, tile=(32, 32), **options)
    with pytest.raises(alkit.errors.LabelError, match=message):
        alkit.oracles.TileMasks(opened(folder), masks)["a/y0-x0"]


def test_a_tiled_mask_is_turned_as_any_mask_and_must_have_all_its_tiles(folder):
    (folder / "b.png").unlink()
    masks, whole = folder.parent / "masks", (FULL[..., 0] > 99).astype(np.uint8)
    masks.mkdir()
    pool = opened(folder)
    tifffile.imwrite(masks / "a.tif", whole, tile=(32, 32), extratags=[(274, "H", 1, 3, True)])
    assert np.array_equal(alkit.oracles.TileMasks(pool, masks)["a/y0-x0"], whole[::-1, ::-1][:48, :48])
    tifffile.imwrite(masks / "a.tif", whole, tile=(32, 32), compression="deflate")
    leave_out_a_tile(masks / "a.tif")
    with pytest.raises(alkit.errors.LabelError, match="a part of its pixels is missing"):
        alkit.oracles.TileMasks(pool, masks)["a/y0-x0"]
    leave_out_a_tile(folder / "a.tif")
    with pytest.raises(ImageError, match="a part of its pixels is missing"):
        opened(folder)


def test_a_record_of_tiles_opens_again_and_trains_on_the_core(folder, tmp_path):
    pool = opened(folder, margin=4, stride=40)
    whole = (FULL[..., 0] > 99).astype(np.uint8)
    places = dict(zip(pool.ids, pool.places_of(pool.ids), strict=True))
    oracle = alkit.MaskOracle({id: whole[box.slices] for id, box in places.items()}, classes=("skin", "lesion"))
    experiment = alkit.Experiment(
        pool, alkit.testing.Brightness(), alkit.strategy("random"), tmp_path / "r.db", hold_out=0.0
    )
    experiment.run(oracle, start=3, batch=2, rounds=1)
    again = alkit.Experiment.open(tmp_path / "r.db", learner=alkit.testing.Brightness())
    assert again.pool.ids == pool.ids
    assert len(again.history) == 2


@pytest.mark.slow
def test_memory_stays_flat_for_an_image_of_20000_by_20000_pixels(tmp_path):
    (tmp_path / "images").mkdir()

    def tiles():
        rng = np.random.default_rng(0)
        noise = rng.integers(0, 40, (512, 512, 3)).astype(np.uint8)
        white = np.full((512, 512, 3), 255, np.uint8)
        for number in range(40 * 40):
            yield noise if number % 400 in (3, 4) else white

    tifffile.imwrite(
        tmp_path / "images" / "big.tif",
        tiles(),
        shape=(20000, 20000, 3),
        dtype=np.uint8,
        tile=(512, 512),
        photometric="rgb",
        compression="deflate",
    )
    images, cache = str(tmp_path / "images"), str(tmp_path)
    code = f"""
import alkit
pool = alkit.TilePool({images!r}, tile=512, foreground="tissue", grayscale=True, cache={cache!r})
assert 0 < len(pool) < 40, len(pool)
pool.read(pool.ids[:2])
print({PEAK})
"""
    said = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
    assert int(said) < 700, said  # the image alone has 1144 MiB


def test_people_see_a_tile_with_its_surroundings_and_its_place_in_the_image(folder, tmp_path):
    pool = opened(folder)
    found = pool.subset(["a/y42-x48"]).surroundings("a/y42-x48")
    assert np.array_equal(np.rint(found.near * 255), FULL[:, :].transpose(2, 0, 1)[:, :, :130])
    assert found.place == (42, 48, 48, 48)
    assert found.overview.shape == (3, 90, 130)
    assert found.place_in_overview == (42, 48, 48, 48)
    content = surroundings_file(pool, "a/y42-x48")
    picture = np.asarray(Image.open(BytesIO(content)))
    assert picture.shape == (768, 2 * round(130 * 768 / 90) + 12, 3)
    top = round(42 * 768 / 90) - 2
    line = picture[top : top + 2, round(60 * 768 / 90)]
    assert np.abs(line.astype(int) - (240, 228, 66)).max() < 60
    assert surroundings_file(alkit.ArrayPool(np.zeros((1, 8, 8), np.uint8)), "0000") is None

    oracle = alkit.FolderOracle(tmp_path / "exchange", classes=("skin", "lesion"), images=pool)
    oracle.ask([alkit.Query("a/y0-x0", 0, 0, ((48, 48),))])
    (where,) = (path.parent for path in (tmp_path / "exchange").rglob("query.json"))
    assert np.asarray(Image.open(where / "image.png")).shape == (48, 48, 3)
    assert (where / "surroundings.jpg").is_file()
    assert list(oracle.poll()) == []
    assert oracle.unread() == {}


def test_a_round_says_which_neighbouring_tiles_have_other_labels_where_they_overlap(folder):
    pool = opened(folder, stride=40, margin=2)
    experiment = alkit.Experiment(
        pool, alkit.testing.Brightness(), alkit.strategy("random"), classes=("skin", "lesion"), hold_out=0.0
    )
    masks = {id: np.zeros(pool.sizes([id])[0][0], np.uint8) for id in experiment.ask(len(pool))}
    masks["a/y0-x0"][:, 40:] = 1
    experiment.tell(masks)
    (warning,) = [one for one in experiment.fit().warnings if "neighbouring" in one]
    assert "Labels of 5 pairs of neighbouring tiles differ on" in warning
    assert "'a/y0-x0' and 'a/y0-x40'" in warning


def test_a_jpeg_stream_that_states_another_size_than_its_tile_is_not_decoded(folder):
    pytest.importorskip("imagecodecs")
    smooth = np.add.outer(np.arange(96), np.arange(96)).astype(np.uint8)[..., None].repeat(3, 2)
    tifffile.imwrite(folder / "c.tif", smooth, tile=(32, 32), photometric="rgb", compression="jpeg")
    pixels = opened(folder, pattern="c.tif").stored(["c/y48-x48"])[0][0]
    assert np.abs(pixels.astype(int) - smooth[48:, 48:].transpose(2, 0, 1)).mean() < 4
    large = BytesIO()
    Image.new("RGB", (2000, 2000)).save(large, "JPEG")
    tiles = iter([large.getvalue()] * 9)
    tifffile.imwrite(
        folder / "d.tif", tiles, shape=(96, 96, 3), dtype=np.uint8, tile=(32, 32), photometric="rgb", compression="jpeg"
    )
    with pytest.raises(ImageError, match=r"d.tif is damaged: got a tile of \(2000, 2000\), expected 32 x 32"):
        opened(folder, pattern="d.tif")


def test_a_whole_slide_is_read_by_tiffslide(folder):
    pytest.importorskip("tiffslide")
    slide = np.random.default_rng(1).integers(0, 255, (300, 400, 3)).astype(np.uint8)
    given_ = {"tile": (64, 64), "photometric": "rgb", "compression": "deflate", "metadata": None}
    about = "Aperio Image Library v12.0.0\n400x300 [0,0 400x300] (64x64) |AppMag = 20|MPP = 0.5"
    with tifffile.TiffWriter(folder / "s.svs", bigtiff=False) as file:
        file.write(slide, description=about, **given_)
        file.write(
            slide[::4, ::4], photometric="rgb", description="Aperio Image Library v12.0.0\nthumbnail", metadata=None
        )
        file.write(slide[::2, ::2], description="Aperio Image Library v12.0.0\n400x300 -> 200x150", **given_)
    pool = opened(folder, pattern="*.svs", margin=2)
    assert pool.unusable == {}
    assert np.array_equal(pool.stored(["s/y48-x96"])[0][0], slide[46:98, 94:146].transpose(2, 0, 1))
    half = opened(folder, pattern="*.svs", mpp=1.0)
    assert half.image_size(half.ids[0]) == (150, 200)
    assert np.array_equal(half.stored(["s/y96-x96"])[0][0], slide[::2, ::2][96:144, 96:144].transpose(2, 0, 1))


def test_a_mask_that_is_saved_again_is_read_again(tmp_path):
    for name in ("images", "masks"):
        (tmp_path / name).mkdir()
        Image.new("L", (40, 40)).save(tmp_path / name / "a.png")
    pool = alkit.TilePool(tmp_path / "images", tile=20, foreground="all", cache=tmp_path / "cache")
    masks = alkit.oracles.TileMasks(pool, tmp_path / "masks")
    assert not masks[pool.ids[0]].any()
    Image.new("L", (40, 40), 1).save(tmp_path / "new.png")
    (tmp_path / "new.png").replace(tmp_path / "masks" / "a.png")
    assert masks[pool.ids[0]].all()
    (tmp_path / "masks" / "a.png").unlink()
    with pytest.raises(alkit.errors.LabelError, match=r"a\.png cannot be read"):
        masks[pool.ids[0]]


def test_several_threads_read_masks_of_tiles(tmp_path):
    for name in ("images", "masks"):
        (tmp_path / name).mkdir()
        for image in range(4):
            values = np.full((64, 64), image, np.uint8)
            tifffile.imwrite(tmp_path / name / f"{image}.tif", values, tile=(16, 16))
    pool = alkit.TilePool(tmp_path / "images", tile=16, grayscale=True, foreground="all", cache=tmp_path / "cache")
    masks = alkit.oracles.TileMasks(pool, tmp_path / "masks")
    ids = np.random.default_rng(0).permutation([*pool.ids] * 4).tolist()
    with ThreadPoolExecutor(4) as threads:
        found = list(threads.map(lambda id: np.unique(masks[id]).tolist(), ids))
    assert found == [[int(id[0])] for id in ids]
