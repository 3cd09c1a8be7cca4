"""Archives from a server on loopback: fetched, checked and decoded."""

from __future__ import annotations

import hashlib
import io
import os
import shutil
import signal
import subprocess
import sys
import threading
import zipfile
from pathlib import Path

import numpy as np
import pytest
from faulty_server import FaultyServer
from PIL import Image

from alkit.errors import ConfigurationError, DataError, ImageError, LabelError, StoreError
from alkit.values import Progress
from benchmarks.isic2017.archive import OFFICIAL, TRAINING, Archive, Archives, decode, fetch

ROOT = Path(__file__).parents[2]


def picture(seed: int, height: int = 30, width: int = 40) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 256, (height, width, 3), np.uint8)


def outline(seed: int, height: int = 30, width: int = 40) -> np.ndarray:
    return np.random.default_rng(seed).choice(np.array([0, 255], np.uint8), (height, width))


def encode(pixels: np.ndarray, format: str) -> bytes:
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, format)
    return buffer.getvalue()


def zip_of(members: dict[str, bytes]) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        for name, content in members.items():
            archive.writestr(name, content)
    return buffer.getvalue()


def image_members(n: int) -> dict[str, bytes]:
    return {f"Data/ISIC_{i:07}.jpg": encode(picture(i), "JPEG") for i in range(n)}


def mask_members(n: int) -> dict[str, bytes]:
    """Return masks under both spellings of the official archives."""
    word = ("segmentation", "Segmentation")
    return {f"Truth/ISIC_{i:07}_{word[i % 2]}.png": encode(outline(i), "PNG") for i in range(n)}


def archives_of(images: bytes, masks: bytes) -> Archives:
    def archive(name: str, content: bytes) -> Archive:
        return Archive(name, hashlib.md5(content, usedforsecurity=False).hexdigest())

    return Archives(archive("data.zip", images), archive("truth.zip", masks))


def serve(server: FaultyServer, images: dict[str, bytes], masks: dict[str, bytes]) -> Archives:
    server.files = {"data.zip": zip_of(images), "truth.zip": zip_of(masks)}
    return archives_of(server.files["data.zip"], server.files["truth.zip"])


def tree(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def pixels(path: Path) -> np.ndarray:
    with Image.open(path) as image:
        return np.asarray(image)


def test_the_result_is_every_image_and_mask_at_the_working_size_and_nothing_else(server, tmp_path):
    extra = {
        "Data/ISIC_0000000_superpixels.png": encode(picture(9), "PNG"),
        "Data/ISIC-2017_Training_Data_metadata.csv": b"image_id,age\n",
        "__MACOSX/Data/._ISIC_0000001.jpg": b"\0",
    }
    archives = serve(server, image_members(3) | extra, mask_members(3))
    folder = fetch(tmp_path / "new" / "data", size=16, base=server.base, archives=archives)
    ids = [f"ISIC_{i:07}" for i in range(3)]
    assert sorted(tree(folder)) == [f"{kind}/{id}.png" for kind in ("images", "masks") for id in ids]
    for id in ids:
        assert pixels(folder / "images" / f"{id}.png").shape == (16, 16, 3)
        mask = pixels(folder / "masks" / f"{id}.png")
        assert mask.shape == (16, 16)
        assert set(np.unique(mask)) <= {0, 255}
    assert server.asked == [None, None]


def test_existing_results_are_used_even_without_the_archives(server, tmp_path):
    archives = serve(server, image_members(2), mask_members(2))
    first = fetch(tmp_path, size=8, base=server.base, archives=archives)
    before = tree(first)
    for archive in tmp_path.glob("*.zip"):
        archive.unlink()
    assert fetch(tmp_path, size=8, base=server.base, archives=archives) == first
    assert tree(first) == before
    assert len(server.asked) == 2


def test_another_size_makes_another_folder_from_the_same_archives(server, tmp_path):
    archives = serve(server, image_members(1), mask_members(1))
    small = fetch(tmp_path, size=8, base=server.base, archives=archives)
    large = fetch(tmp_path, size=12, base=server.base, archives=archives)
    assert pixels(small / "images" / "ISIC_0000000.png").shape == (8, 8, 3)
    assert pixels(large / "images" / "ISIC_0000000.png").shape == (12, 12, 3)
    assert len(server.asked) == 2


def test_the_base_address_may_end_without_a_slash(server, tmp_path):
    archives = serve(server, image_members(1), mask_members(1))
    assert fetch(tmp_path, size=8, base=server.base.rstrip("/"), archives=archives).is_dir()


def test_a_size_of_0_is_refused_before_any_download(server, tmp_path):
    with pytest.raises(ConfigurationError, match="size must be an integer >= 1: got 0"):
        fetch(tmp_path, size=0, base=server.base)
    assert server.asked == []


def test_the_official_archives_are_the_training_part(tmp_path):
    assert OFFICIAL == "https://isic-challenge-data.s3.amazonaws.com/2017/"
    assert (TRAINING.images.name, TRAINING.images.md5) == (
        "ISIC-2017_Training_Data.zip",
        "a14a7e622c67a358797ae59abb8a0b0c",
    )
    assert (TRAINING.masks.name, TRAINING.masks.md5) == (
        "ISIC-2017_Training_Part1_GroundTruth.zip",
        "77fdbeb6fbec4139937224416b250f4c",
    )


def test_a_folder_that_cannot_be_created_is_a_store_error(server, tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(StoreError, match="cannot write"):
        fetch(tmp_path / "file" / "data", base=server.base)


def test_an_archive_with_a_wrong_md5_is_renamed_and_not_used(server, tmp_path):
    archives = serve(server, image_members(1), mask_members(1))
    sound = server.files["data.zip"]
    server.files["data.zip"] = damaged = sound[:-1] + b"?"
    got = hashlib.md5(damaged, usedforsecurity=False).hexdigest()
    with pytest.raises(DataError, match=f"got MD5 {got}, expected MD5 {archives.images.md5}.*delete .*start again"):
        fetch(tmp_path, size=8, base=server.base, archives=archives)
    assert (tmp_path / "data.zip.damaged").read_bytes() == damaged
    assert not (tmp_path / "data.zip").exists()
    assert not (tmp_path / "8").exists()

    server.files["data.zip"] = sound
    assert fetch(tmp_path, size=8, base=server.base, archives=archives).is_dir()


def test_an_archive_put_there_by_hand_is_checked_and_used(server, tmp_path):
    archives = serve(server, image_members(1), mask_members(1))
    (tmp_path / "data.zip").write_bytes(server.files["data.zip"])
    (tmp_path / "truth.zip").write_bytes(b"something else")
    with pytest.raises(DataError, match=r"truth\.zip is damaged"):
        fetch(tmp_path, size=8, base=server.base, archives=archives)
    (tmp_path / "truth.zip").write_bytes(server.files["truth.zip"])
    assert fetch(tmp_path, size=8, base=server.base, archives=archives).is_dir()
    assert server.asked == []


def decode_members(tmp_path: Path, images: dict[str, bytes], masks: dict[str, bytes], size: int = 8) -> Path:
    (tmp_path / "data.zip").write_bytes(zip_of(images))
    (tmp_path / "truth.zip").write_bytes(zip_of(masks))
    decode(tmp_path / "data.zip", tmp_path / "truth.zip", tmp_path / "out", size)
    return tmp_path / "out"


@pytest.mark.parametrize(("height", "width", "size"), [(16, 24, 8), (30, 41, 8), (17, 50, 13), (5, 6, 16), (1, 9, 4)])
def test_a_mask_pixel_is_lesion_where_lesion_covers_more_than_half_of_it(tmp_path, height, width, size):
    stored = outline(height, height, width)
    out = decode_members(tmp_path, image_members(1), {"ISIC_0000000_segmentation.png": encode(stored, "PNG")}, size)
    fine = np.kron(
        stored // 255, np.ones((size, size), int)
    )  # each target pixel is a block of (height, width) of these
    share = fine.reshape(size, height, size, width).mean(axis=(1, 3))
    assert np.array_equal(pixels(out / "masks" / "ISIC_0000000.png") == 255, share > 0.5)


def test_an_image_is_the_whole_frame_resized_bicubically_and_saved_without_loss(tmp_path):
    members = image_members(1)
    out = decode_members(tmp_path, members, mask_members(1), size=16)
    with Image.open(io.BytesIO(members["Data/ISIC_0000000.jpg"])) as stored:
        wanted = np.asarray(stored.resize((16, 16), Image.Resampling.BICUBIC))
        blurred = np.asarray(stored.resize((16, 16), Image.Resampling.BILINEAR))
    got = pixels(out / "images" / "ISIC_0000000.png")
    assert np.array_equal(got, wanted)
    assert not np.array_equal(got, blurred)


def test_members_cannot_leave_the_folder(tmp_path):
    images = {"../../../ISIC_0000000.jpg": encode(picture(0), "JPEG"), "/tmp/../../evil.jpg": b"x"}
    inside = tmp_path / "a" / "b"
    inside.mkdir(parents=True)
    out = decode_members(inside, images, mask_members(1))
    assert sorted(tree(out)) == ["images/ISIC_0000000.png", "masks/ISIC_0000000.png"]
    assert sorted(tree(tmp_path)) == sorted(f"a/b/{name}" for name in tree(inside))


def test_images_without_a_mask_are_named(tmp_path):
    masks = mask_members(5)
    del masks["Truth/ISIC_0000001_Segmentation.png"], masks["Truth/ISIC_0000004_segmentation.png"]
    with pytest.raises(DataError, match="got 2 images without a mask, ISIC_0000001, ISIC_0000004, expected one mask"):
        decode_members(tmp_path, image_members(5), masks)
    assert not (tmp_path / "out").exists()


def test_masks_without_an_image_are_named(tmp_path):
    with pytest.raises(DataError, match="got 1 masks without an image, ISIC_0000002"):
        decode_members(tmp_path, image_members(2), mask_members(3))


def test_an_id_in_an_archive_twice_is_refused(tmp_path):
    masks = mask_members(1) | {"Other/ISIC_0000000_Segmentation.png": encode(outline(3), "PNG")}
    with pytest.raises(DataError, match="contains ISIC_0000000 twice"):
        decode_members(tmp_path, image_members(1), masks)


def test_an_archive_with_other_files_is_refused(tmp_path):
    with pytest.raises(DataError, match=r"data\.zip does not contain the files of this archive"):
        decode_members(tmp_path, {"ISIC_0000000_superpixels.png": b"", "readme.txt": b""}, mask_members(1))


def test_a_file_that_is_not_an_archive_is_refused(tmp_path):
    (tmp_path / "data.zip").write_bytes(b"<html>")
    with pytest.raises(DataError, match="is not a zip archive"):
        decode(tmp_path / "data.zip", tmp_path / "data.zip", tmp_path / "out", 8)


def test_a_damaged_member_names_its_archive(tmp_path):
    members = image_members(1)
    broken = zip_of(members).replace(members["Data/ISIC_0000000.jpg"][-64:], bytes(64))
    (tmp_path / "data.zip").write_bytes(broken)
    (tmp_path / "truth.zip").write_bytes(zip_of(mask_members(1)))
    with pytest.raises(DataError, match=r"data\.zip is damaged at Data/ISIC_0000000\.jpg"):
        decode(tmp_path / "data.zip", tmp_path / "truth.zip", tmp_path / "out", 8)


def test_a_picture_that_cannot_be_decoded_is_named(tmp_path):
    with pytest.raises(ImageError, match="image of 'ISIC_0000000' cannot be decoded"):
        decode_members(tmp_path, {"ISIC_0000000.jpg": b"no picture"}, mask_members(1))
    shutil.rmtree(tmp_path / "out", ignore_errors=True)
    cut = encode(outline(0), "PNG")[:-40]
    with pytest.raises(LabelError, match="mask of 'ISIC_0000000' cannot be decoded"):
        decode_members(tmp_path, image_members(1), {"ISIC_0000000_segmentation.png": cut})


def test_a_mask_of_more_than_two_values_is_refused(tmp_path):
    grey = np.array([[0, 255], [128, 255]], np.uint8)
    with pytest.raises(
        LabelError, match=r"has other values than 0 and 255: got \[0, 128, 255\], expected 0 for skin, 255 for lesion"
    ):
        decode_members(tmp_path, image_members(1), {"ISIC_0000000_segmentation.png": encode(grey, "PNG")})


def test_progress_of_decoding_is_reported_per_image(tmp_path):
    steps: list[Progress] = []
    (tmp_path / "data.zip").write_bytes(zip_of(image_members(3)))
    (tmp_path / "truth.zip").write_bytes(zip_of(mask_members(3)))
    decode(tmp_path / "data.zip", tmp_path / "truth.zip", tmp_path / "out", 8, steps.append)
    assert [(step.stage, step.done, step.total) for step in steps] == [("read", done, 3) for done in range(4)]


KILLED = """
import os, signal, sys
from pathlib import Path
from benchmarks.isic2017.archive import Archive, Archives, fetch

def killer(progress):
    if progress.stage == "read" and progress.done == 2:
        os.kill(os.getpid(), signal.SIGKILL)

folder, data, truth = sys.argv[1:]
archives = Archives(Archive("data.zip", data), Archive("truth.zip", truth))
fetch(Path(folder), size=8, archives=archives, report=killer)
"""


def test_a_killed_decode_resumes_and_ends_like_one_never_killed(server, tmp_path):
    archives = serve(server, image_members(5), mask_members(5))
    killed, never = tmp_path / "killed", tmp_path / "never"
    for folder in (killed, never):
        folder.mkdir()
        for name, content in server.files.items():
            (folder / name).write_bytes(content)

    run = subprocess.run(
        [sys.executable, "-c", KILLED, str(killed), archives.images.md5, archives.masks.md5],
        env=os.environ | {"PYTHONPATH": str(ROOT)},
        check=False,
    )
    assert run.returncode == -signal.SIGKILL
    draft = killed / "8.part"
    before = {path: path.stat().st_mtime_ns for path in sorted(draft.rglob("*.png"))}
    assert [path.name for path in before] == ["ISIC_0000000.png", "ISIC_0000001.png"] * 2
    (draft / "masks" / "ISIC_0000001.png").unlink()  # as if killed between an image and its mask,
    (draft / "masks" / ".writing-abc").write_bytes(b"half")  # while the mask was being written
    del before[draft / "masks" / "ISIC_0000001.png"]

    done = fetch(killed, size=8, base=server.base, archives=archives)
    assert tree(done) == tree(fetch(never, size=8, base=server.base, archives=archives))
    assert {path: (done / path.relative_to(draft)).stat().st_mtime_ns for path in before} == before
    assert not draft.exists()
    assert server.asked == []


def test_processes_that_fetch_at_once_share_one_download(server, tmp_path):
    archives = serve(server, image_members(4), mask_members(4))
    results: list[Path] = []
    threads = [
        threading.Thread(target=lambda: results.append(fetch(tmp_path, size=8, base=server.base, archives=archives)))
        for _ in range(3)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert results == [tmp_path / "8"] * 3
    assert server.asked == [None, None]
