"""A model that is not fit to choose by is told of in the record, when a strategy chooses by it, and by the commands."""

from functools import partial

import numpy as np
from PIL import Image

import alkit
from alkit.experiment import committing
from tests.support import commandline
from tests.support.parts import Blind

IMAGES, MASKS = alkit.synthetic.lesions(12, size=16, seed=1)
POOL = alkit.ArrayPool(IMAGES)
LABELS = dict(zip(POOL.ids, MASKS, strict=True))
ORACLE = alkit.MaskOracle(LABELS, classes=("skin", "lesion"))
UNTRAINED = alkit.SegmentationLearner(partial(alkit.UNet, widths=(2, 4)), epochs=(1, 1), lr=1e-6)


def run(strategy, path, learner=UNTRAINED):
    experiment = alkit.Experiment(POOL, learner, strategy, path)
    experiment.run(ORACLE, start=4, batch=2, rounds=1)
    return experiment


def test_the_record_keeps_the_warning_and_a_strategy_that_chooses_by_the_model_repeats_it(tmp_path, caplog):
    experiment = run(alkit.strategies.Uncertainty("entropy"), tmp_path / "r.db")
    first, _ = alkit.Experiment.open(tmp_path / "r.db", pool=POOL).history
    (warning,) = first.warnings
    assert warning.startswith(("The model predicts", "The model has not learnt its labels"))
    assert "Try: epochs=(2, 2)" in warning
    told = [record.getMessage() for record in caplog.records]
    what = warning.partition(" Try: ")[0]
    assert told == [f"Uncertainty chose images by the model of round 0, which is not fit to choose by. {what}"]
    assert experiment.history[0] == first


def test_a_strategy_that_does_not_ask_the_model_says_nothing(tmp_path, caplog):
    run(alkit.strategy("random"), tmp_path / "r.db")
    assert not caplog.records


def test_the_check_changes_no_result(tmp_path, monkeypatch):
    strategy = alkit.strategies.Uncertainty("bald", alkit.Dropout(3))
    one = run(strategy, tmp_path / "a.db")
    monkeypatch.setattr(committing, "warnings_about", lambda *_: ())
    other = run(strategy, tmp_path / "b.db")
    assert [result.ids for result in one.history] == [result.ids for result in other.history]
    (found,), (expected,) = ([*made.predict(POOL)] for made in (one, other))
    assert np.array_equal(found.probabilities, expected.probabilities)


def test_a_learner_of_somebody_else_is_judged_by_its_predictions(tmp_path):
    (first, _) = run(alkit.strategy("random"), tmp_path / "r.db", Blind(0.5)).history
    (warning,) = first.warnings
    assert "predicts 'skin' for every pixel of all 4 images" in warning
    assert "Try: a longer training, a larger lr=, or more labels." in warning


def test_the_commands_show_the_warning_in_their_own_words(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    for id in POOL.ids:
        for name, pixels in (("images", IMAGES[int(id), 0]), ("masks", LABELS[id])):
            (tmp_path / name).mkdir(exist_ok=True)
            Image.fromarray(pixels).save(tmp_path / name / f"{id}.png")
    given = ["run", "--images", "images", "--masks", "masks", "--store", "r.db", "--strategy", "random"]
    given += ["--size", "16", "--start", "4", "--batch", "1", "--rounds", "0", "--widths", "2,4", "--lr", "1e-6"]
    assert commandline.alkit(*given, "--epochs", "3,1", "--recipe", "paper") == 0
    by_run = " ".join(capsys.readouterr().out.split())
    assert commandline.alkit("status", "r.db") == 0
    for shown in (by_run, " ".join(capsys.readouterr().out.split())):
        assert "The model " in shown
        assert "Try: --epochs 6,2 of alkit run" in shown


def test_a_campaign_says_how_to_keep_its_labels_if_other_settings_are_the_remedy(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    for id in POOL.ids[:6]:
        for name, pixels in (("images", IMAGES[int(id), 0]), ("masks", LABELS[id])):
            (tmp_path / name).mkdir(exist_ok=True)
            Image.fromarray(pixels).save(tmp_path / name / f"{id}.png")
    given = ["start", "c.db", "--images", "images", "--classes", "skin,lesion", "--strategy", "random"]
    given += [
        "--hold-out",
        "0",
        "--size",
        "16",
        "--widths",
        "2,4",
        "--lr",
        "1e-6",
        "--epochs",
        "3,1",
        "--recipe",
        "paper",
    ]
    assert commandline.alkit(*given) == 0
    assert commandline.alkit("import", "c.db", "--masks", "masks") == 0
    capsys.readouterr()
    assert commandline.alkit("fit", "c.db") == 0
    shown = " ".join(capsys.readouterr().out.split())
    assert "of alkit start" in shown
    assert "bring the labels there with alkit export --labels masks and alkit import." in shown
