"""Campaigns on real data by command line: labels that exist, images that come later, one that goes, labels that go out.

ALKIT_DATA names the folder with the data sets.
"""

import os
import shutil
from collections import Counter
from functools import cache
from pathlib import Path

import nibabel
import numpy as np
import pytest
from campaigns import SMALL, Campaign, VolumeCampaign, assert_equal_labels
from commandline import alkit
from PIL import Image

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif("ALKIT_DATA" not in os.environ, reason="ALKIT_DATA must be the folder of the data sets"),
]


def data(name):
    return Path(os.environ["ALKIT_DATA"], name)


def pixels(file):
    with Image.open(file) as image:
        return np.asarray(image)


def size(file):
    with Image.open(file) as image:
        return image.size


def copy(files, folder):
    folder.mkdir(parents=True)
    for file in files:
        shutil.copy(file, folder)


def test_nuclei_of_mixed_sizes_with_padding(tmp_path):
    source = data("dsb2018-nuclei")
    images = sorted((source / "images").iterdir())
    by_size = {}
    for file in images:
        by_size.setdefault(size(file), []).append(file)
    chosen = [file for files in by_size.values() for file in files[:3]]
    now, later = chosen[::2], chosen[1::2]
    copy(now, tmp_path / "images")
    copy(later, tmp_path / "later")
    last_year = [source / "masks" / file.name for file in now[:4]]
    copy(last_year, tmp_path / "last-year")

    @cache
    def truth(id):
        return pixels(source / "masks" / f"{Path(id).name}.png").astype(np.uint8)

    campaign = Campaign(tmp_path / "nuclei.db", tmp_path / "exchange", truth)
    classes = ("--classes", "background,nucleus")
    campaign.run("start", "--images", tmp_path / "images", *classes, "--size", 64, "--fit", "pad", *SMALL)
    campaign.run("import", "--masks", tmp_path / "last-year", "--annotator", "bea")
    first = campaign.round(4)
    assert not {path.stem for path in last_year} & set(first)

    campaign.run("add", "--images", tmp_path / "later")
    second = campaign.round(6)
    assert {f"later/{path.stem}" for path in later} & set(second)

    gone = first[0]
    campaign.run("remove", gone, "--reason", "consent withdrawn")
    labels = campaign.labels()
    assert gone not in labels
    assert len(labels) == 4 + 4 + 6 - 1
    campaign.run("fit")

    campaign.run("export", "--labels", "masks", "--out", tmp_path / "labels")
    whole = tmp_path / "whole"
    copy([file for file in now if file.stem != gone], whole)
    copy(later, whole / "later")
    again = Campaign(tmp_path / "again.db", tmp_path / "again", truth)
    again.run("start", "--images", whole, *classes, "--size", 64, "--fit", "pad", *SMALL)
    again.run("import", "--masks", tmp_path / "labels" / "masks")
    assert_equal_labels(again.labels(), labels)
    again.run("fit")

    campaign.run("predict", "--images", whole, "--out", tmp_path / "predicted", "--no-overlays")
    for file in whole.rglob("*.png"):
        predicted = tmp_path / "predicted" / "masks" / file.relative_to(whole)
        assert size(predicted) == size(file)
    assert alkit("check", campaign.record) == 0


def test_slices_of_volumes_through_nifti(tmp_path):
    source = data("msd-hippocampus")
    volumes = sorted((source / "images").glob("*.nii.gz"))[:8]
    now, later, last_year = volumes[:5], volumes[5:], volumes[:1]
    copy(now, tmp_path / "volumes")
    copy(later, tmp_path / "later")
    copy([source / "labels" / file.name for file in last_year], tmp_path / "last-year")
    campaign = VolumeCampaign(tmp_path / "hippocampus.db", tmp_path / "exchange", None, volumes=source / "labels")
    start = ("--classes", "background,anterior,posterior", "--axis", "coronal", "--size", 32, "--fit", "pad", *SMALL)
    campaign.run("start", "--volumes", tmp_path / "volumes", *start, "--max-per-parent", 2)
    campaign.run("import", "--nifti", tmp_path / "last-year", "--annotator", "bea")
    imported = campaign.labels()
    assert imported
    assert {Path(id).parent.name for id in imported} == {"hippocampus_001"}
    first = campaign.round(6)
    assert len(first) == 6

    campaign.run("add", "--volumes", tmp_path / "later")
    campaign.round(6)
    labels = campaign.labels()
    assert any(id.startswith("later/") for id in labels)

    gone = next(id for id in labels if id not in imported)
    campaign.run("remove", gone, "--reason", "consent withdrawn")
    labels = campaign.labels()
    assert gone not in labels
    campaign.run("fit")

    campaign.run("export", "--labels", "nifti", "--out", tmp_path / "labels")
    copy(now, tmp_path / "all")
    copy(later, tmp_path / "all" / "later")
    again = Campaign(tmp_path / "again.db", tmp_path / "again", None)
    again.run("start", "--volumes", tmp_path / "all", *start)
    again.run("import", "--nifti", tmp_path / "labels" / "volumes")
    assert_equal_labels(again.labels(), labels)
    again.run("fit")

    campaign.run("predict", "--volumes", tmp_path / "all", "--out", tmp_path / "predicted")
    for file in volumes:
        image, predicted = nibabel.load(file), nibabel.load(next((tmp_path / "predicted").rglob(file.name)))
        assert predicted.shape == image.shape
        assert np.allclose(predicted.affine, image.affine)
        assert set(np.unique(predicted.dataobj)) <= {0, 1, 2}
    assert alkit("check", campaign.record) == 0


def test_tiles_of_large_images(tmp_path):
    source = data("dsb2018-nuclei")
    files = [file for file in sorted((source / "images").iterdir()) if size(file) == (256, 256)][:48]

    def large(kind, parts):
        arrays = [pixels(source / kind / part.name) for part in parts]
        return Image.fromarray(np.vstack([np.hstack(arrays[:4]), np.hstack(arrays[4:])]))

    for number in range(6):
        parts, later = files[8 * number : 8 * number + 8], number >= 4
        for place in ("later", "all/later") if later else ("slides", "all"):
            (tmp_path / place).mkdir(exist_ok=True)
            large("images", parts).convert("RGB").save(tmp_path / place / f"slide{number}.png")
        (tmp_path / "masks").mkdir(exist_ok=True)
        large("masks", parts).save(tmp_path / "masks" / f"slide{number}.png")
    (tmp_path / "last-year").mkdir()
    shutil.copy(tmp_path / "masks" / "slide0.png", tmp_path / "last-year")

    @cache
    def truth(id):
        _, slide, place = f"/{id}".rsplit("/", 2)
        top, left = (int(part[1:]) for part in place.split("-"))
        whole = pixels(tmp_path / "masks" / f"{slide}.png").astype(np.uint8)
        return np.ascontiguousarray(whole[top : top + 128, left : left + 128])

    campaign = Campaign(tmp_path / "slides.db", tmp_path / "exchange", truth)
    start = ("--classes", "background,nucleus", "--tiles", 128, *SMALL)
    campaign.run("start", "--images", tmp_path / "slides", *start, "--max-per-parent", 3)
    campaign.run("import", "--masks", tmp_path / "last-year", "--mask-pattern", "{image}.png", "--annotator", "bea")
    imported = campaign.labels()
    assert len(imported) == 32
    first = campaign.round(6)
    assert max(Counter(id.partition("/")[0] for id in first).values()) <= 3

    campaign.run("add", "--images", tmp_path / "later")
    second = campaign.round(8)
    assert any(id.startswith("later/") for id in second)

    campaign.run("remove", first[0], "--reason", "consent withdrawn")
    labels = campaign.labels()
    assert first[0] not in labels
    campaign.run("fit")

    campaign.run("export", "--labels", "masks", "--out", tmp_path / "labels")
    again = Campaign(tmp_path / "again.db", tmp_path / "again", truth)
    again.run("start", "--images", tmp_path / "all", *start)
    again.run("import", "--masks", tmp_path / "labels" / "masks")
    assert_equal_labels(again.labels(), labels)
    again.run("fit")

    campaign.run("predict", "--images", tmp_path / "all", "--out", tmp_path / "predicted", "--no-overlays")
    for name in [*(f"slide{number}" for number in range(4)), "later/slide4", "later/slide5"]:
        assert size(tmp_path / "predicted" / "masks" / f"{name}.tif") == (1024, 512)
    assert alkit("check", campaign.record) == 0
