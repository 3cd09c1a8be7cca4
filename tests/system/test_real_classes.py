"""A campaign on real slices that can show several parts of the hippocampus, or none.

ALKIT_DATA names the folder with the data sets.
"""

import os
import shutil
from functools import partial
from pathlib import Path

import nibabel
import numpy as np
import pytest
from commandline import alkit as command
from PIL import Image

import alkit
from alkit.networks import Classifier

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif("ALKIT_DATA" not in os.environ, reason="ALKIT_DATA must be the folder of the data sets"),
]

CLASSES = ("anterior", "posterior")


@pytest.fixture(scope="module")
def slices(tmp_path_factory):
    """A folder of coronal slices by volume, and which parts each of them shows."""
    source, folder = Path(os.environ["ALKIT_DATA"], "msd-hippocampus"), tmp_path_factory.mktemp("slices")
    shown = {}
    for file in sorted((source / "images").glob("*.nii.gz"))[:24]:
        image = np.asarray(nibabel.load(file).dataobj, np.float32)
        labels = np.asarray(nibabel.load(source / "labels" / file.name).dataobj)
        image = np.clip(255 * image / np.percentile(image, 99.5), 0, 255).astype(np.uint8)
        volume = file.name.removesuffix(".nii.gz")
        (folder / volume).mkdir()
        for number in range(0, image.shape[1], 2):
            Image.fromarray(image[:, number].T).save(folder / volume / f"{number:02}.png")
            present = [int((labels[:, number] == value).sum() >= 5) for value in (1, 2)]
            shown[f"{volume}/{number:02}"] = np.array(present, np.uint8)
    return folder, shown


def test_a_model_learns_which_parts_a_slice_shows(slices, tmp_path):
    folder, shown = slices
    kinds = {tuple(label) for label in np.stack(list(shown.values())).tolist()}
    assert kinds == {(0, 0), (1, 0), (0, 1), (1, 1)}, "slices with one part, with both and with none"
    groups = {id: id.partition("/")[0] for id in shown}
    everything = alkit.ImagePool(folder, size=48, fit="pad", grayscale=True, groups=groups)
    pool, test = everything.split(test=0.25, seed=0)
    network = partial(Classifier, partial(alkit.UNet, widths=(8, 16, 32)), dropout=0.3)
    learner = alkit.learners.strong(network, per="image", steps=250)
    oracle = alkit.LabelOracle(shown, CLASSES, multiple=True)
    strategy = alkit.strategy("mc-dropout", score="bald")
    metrics = ["f1", "exact_match", "auroc", "average_precision"]
    experiment = alkit.Experiment(pool, learner, strategy, store=tmp_path / "r.db", metrics=metrics)
    history = experiment.run(oracle, test=test, start=60, batch=60, rounds=1)
    assert history[-1].metrics["auroc"] > 0.85
    assert history[-1].metrics["average_precision"] > 0.7


def test_slices_are_labelled_by_command_line(slices, tmp_path, monkeypatch):
    folder, shown = slices
    monkeypatch.chdir(tmp_path)
    every = sorted({id.partition("/")[0] for id in shown})
    now, later = every[:8], every[8:10]
    for place, volumes in (("slices", now), ("later", later)):
        for volume in volumes:
            shutil.copytree(folder / volume, Path(place, volume))

    def said(id):
        return "|".join(name for name, value in zip(CLASSES, shown[id], strict=True) if value) or "none"

    known = [id for id in shown if id.startswith(now[0])]
    Path("known.csv").write_text("id,class\n" + "".join(f"{id},{said(id)}\n" for id in known))
    small = "--size 32 --fit pad --grayscale --widths 4,8 --steps 20,20 --strategy random --hold-out 0".split()
    start = ["--per", "image", "--multiple", "--classes", ",".join(CLASSES)]
    assert command("start", "c.db", "--images", "slices", *start, *small) == 0
    assert command("import", "c.db", "--csv", "known.csv") == 0
    assert command("add", "c.db", "--images", "later") == 0
    assert command("ask", "c.db", "-n", "20", "--out", "exchange", "--as", "csv") == 0
    keys = {one.query.key: one.query.id for one in alkit.Experiment.open("c.db").standings()}
    true = {key: said(id.removeprefix("later/")) for key, id in keys.items()}
    Path("exchange/ann").mkdir()
    table = Path("exchange/ann/answers.csv")
    table.write_text("image,class\n" + "".join(f"{key},{label}\n" for key, label in true.items()))
    os.utime(table, (1_700_000_000, 1_700_000_000))
    assert command("tell", "c.db") == 0
    assert command("fit", "c.db") == 0
    gone = next(iter(keys.values()))
    assert command("remove", "c.db", gone, "--reason", "consent withdrawn") == 0
    assert command("export", "c.db", "--labels", "csv", "--out", "labels") == 0
    for volume in (*now, *(f"later/{volume}" for volume in later)):
        shutil.copytree(folder / Path(volume).name, Path("whole", volume))
    Path("whole", f"{gone}.png").unlink()
    assert command("start", "again.db", "--images", "whole", *start, *small) == 0
    assert command("import", "again.db", "--csv", "labels/labels.csv") == 0
    assert command("export", "again.db", "--labels", "csv", "--out", "again") == 0
    first, second = (sorted(Path(place, "labels.csv").read_text().splitlines()) for place in ("labels", "again"))
    assert [line.rpartition(",")[0] for line in first] == [line.rpartition(",")[0] for line in second]
    assert len(first) == 1 + len(known) + 20 - 1
    assert command("check", "c.db") == 0
