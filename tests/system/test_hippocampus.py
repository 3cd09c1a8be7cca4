"""A campaign on slices of real volumes by command line: labels go out and come back through NIfTI."""

from __future__ import annotations

import json
import os
import shutil
from pathlib import Path

import nibabel
import numpy as np
import pytest

from tests.support.commandline import alkit

CLASSES = ("--classes", "background,anterior,posterior")
SMALL = ("--recipe", "paper", "--widths", "8,16,32", "--axis", "coronal", "--size", 64, "--spacing", 1)
LONG_AGO = 1_700_000_000


@pytest.fixture
def folder(tmp_path, monkeypatch):
    data = Path(os.environ.get("ALKIT_DATA", "nowhere")) / "msd-hippocampus"
    if not data.is_dir():
        pytest.skip("ALKIT_DATA must be a folder with msd-hippocampus")
    monkeypatch.chdir(tmp_path)
    names = sorted(path.name for path in (data / "images").glob("*.nii.gz"))[:40]
    for place, some in (("images", names[:34]), ("labels", names), ("new", names[34:])):
        Path(place).mkdir()
        for name in some:
            shutil.copy(data / ("labels" if place == "labels" else "images") / name, place)
    Path("old").mkdir()
    for name in names[:3]:
        shutil.copy(data / "labels" / name, "old")
    return tmp_path


def label(exchange: Path) -> None:
    """Save the true labels of the asked slices of the last query, in a volume of its own for each file."""
    (exchange / "ann").mkdir(exist_ok=True)
    manifest = sorted(exchange.glob("r*-nifti/volumes.json"))[-1]
    for entry in json.loads(manifest.read_text())["volumes"]:
        truth = nibabel.load(f"labels/{entry['volume']}.nii.gz")
        labels = np.zeros(truth.shape, np.uint8)
        for one in entry["slices"]:
            place = [slice(None)] * 3
            place[entry["axis"]] = one["number"]
            labels[tuple(place)] = np.asarray(truth.dataobj)[tuple(place)]
        path = exchange / "ann" / f"{entry['file']}.nii.gz"
        nibabel.Nifti1Image(labels, truth.affine).to_filename(path)
        confirmation = path.with_name(f"{path.name}.confirmed")  # some predictions are right
        confirmation.touch()
        os.utime(path, (LONG_AGO, LONG_AGO))
        os.utime(confirmation, (LONG_AGO + 1, LONG_AGO + 1))


def dice(one, other):
    scores = [2 * (one == k)[other == k].sum() / ((one == k).sum() + (other == k).sum()) for k in (1, 2)]
    return float(np.mean(scores))


@pytest.mark.slow
def test_a_campaign_on_slices_of_real_volumes(folder, capsys):
    assert alkit("start", "c.db", "--volumes", "images", *CLASSES, *SMALL, "--steps", "120,160", "--stop-set", 5) == 0
    assert alkit("import", "c.db", "--nifti", "old", "--annotator", "earlier", "--empty-is-background") == 0
    for number in (60, 60):
        assert alkit("ask", "c.db", "-n", number, "--out", "exchange", "--as", "nifti") == 0
        label(Path("exchange"))
        assert alkit("tell", "c.db", "--empty-is-background") == 0
    assert alkit("fit", "c.db") == 0
    capsys.readouterr()
    assert alkit("status", "c.db", "--json") == 0
    status = json.loads(capsys.readouterr().out)
    assert status["rounds"][-1]["metrics"]["dice"] > 0.3

    assert alkit("predict", "c.db", "--volumes", "new", "--out", "predicted") == 0
    found = []
    for path in Path("new").iterdir():
        image, mask = nibabel.load(path), nibabel.load(Path("predicted/masks") / path.name)
        assert mask.shape == image.shape
        np.testing.assert_array_equal(mask.affine, image.affine)
        truth = nibabel.load(Path("labels") / path.name)
        found.append(dice(np.asarray(mask.dataobj), np.asarray(truth.dataobj)))
    assert np.mean(found) > 0.3

    assert alkit("export", "c.db", "--labels", "nifti", "--out", "out") == 0
    manifest = json.loads(Path("out/manifest.json").read_text())
    held = {}
    for row in manifest["labels"]:
        held.setdefault(row["id"].partition("/")[0], set()).add(row["held_out"])
    assert all(len(sides) == 1 for sides in held.values())  # a volume is held out as a whole, or not at all
    assert alkit("start", "again.db", "--volumes", "images", *CLASSES, *SMALL, "--stop-set", 20) == 0
    assert alkit("import", "again.db", "--nifti", "out/volumes") == 0
    assert alkit("export", "again.db", "--labels", "nifti", "--out", "again") == 0
    for path in Path("out/volumes").iterdir():
        assert path.read_bytes() == (Path("again/volumes") / path.name).read_bytes()
