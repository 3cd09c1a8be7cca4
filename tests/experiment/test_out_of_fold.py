"""Labels are compared with models that were not trained on them; finished folds are kept."""

import importlib
import sys
import time
from dataclasses import dataclass

import numpy as np
import pytest

import alkit
from alkit.configuration import start
from alkit.experiment import out_of_fold
from alkit.record.changing import QUALITIES

CLASSES = ("skin", "lesion")
_, MASKS = alkit.synthetic.lesions(12, size=16)
PIXELS = 200 - 150 * MASKS


TRAINED: list[tuple[str, ...]] = []
"""What the learner was trained on since a test began."""

FAIL_AT: list[int] = []
"""Number of trainings after which the learner is killed. An empty list is no setting of the learner's code."""


class Counting(alkit.testing.Brightness):
    """Notes what it is trained on, and can be killed."""

    def fit(self, labelled, rng, previous=None, report=lambda progress: None):
        if len(TRAINED) in FAIL_AT:
            raise KeyboardInterrupt
        TRAINED.append(tuple(labelled.ids))
        return super().fit(labelled, rng, previous, report)


def _experiment(store=None, wrong=("0003",), **more):
    pool = alkit.ArrayPool(PIXELS, groups={f"{n:04}": f"p{n // 2}" for n in range(12)})
    experiment = alkit.Experiment(pool, Counting(), alkit.strategy("random"), store, classes=CLASSES, **more)
    experiment.tell({id: 1 - MASKS[int(id)] if id in wrong else MASKS[int(id)] for id in experiment.ask(12)})
    TRAINED.clear()  # the rehearsal
    return experiment


def test_the_label_of_the_lowest_quality_is_the_wrong_one_and_no_model_sees_its_group():
    experiment = _experiment()
    quality = experiment.label_quality(folds=3)
    assert next(iter(quality)) == "0003"
    assert set(quality) == set(experiment.pool.ids)
    assert list(quality.values()) == sorted(quality.values())
    left_out = [set(experiment.pool.ids) - set(ids) for ids in TRAINED]
    assert set.union(*left_out) == set(experiment.pool.ids)
    assert all({f"{2 * (int(id) // 2):04}", f"{2 * (int(id) // 2) + 1:04}"} <= fold for fold in left_out for id in fold)


def test_folds_that_were_finished_before_a_kill_and_the_same_labels_are_not_trained_again(tmp_path):
    experiment = _experiment(tmp_path / "r.db")
    FAIL_AT.append(2)
    with pytest.raises(KeyboardInterrupt):
        experiment.label_quality(folds=3)
    FAIL_AT.clear()
    TRAINED.clear()
    resumed = alkit.Experiment.open(tmp_path / "r.db", pool=experiment.pool, learner=Counting())
    found = resumed.label_quality(folds=3)
    assert len(TRAINED) == 1
    assert resumed.label_quality(folds=3) == found
    assert len(TRAINED) == 1
    resumed.tell({"0003": MASKS[3]}, revise=True)
    assert resumed.label_quality(folds=3)["0003"] > found["0003"]
    assert len(TRAINED) == 4
    assert found == _experiment().label_quality(folds=3)


def test_figures_are_not_kept_if_groups_or_decisions_have_changed(tmp_path):
    def campaign(store, groups=None, **more):
        pool = alkit.ArrayPool(PIXELS, groups=groups)
        return alkit.Experiment(pool, Counting(), alkit.strategy("random"), store, classes=CLASSES, **more)

    masks = {f"{n:04}": mask for n, mask in enumerate(MASKS)}
    groups = [{id: f"p{int(id) // n}" for id in masks} for n in (1, 4)]
    first, fresh = (campaign(tmp_path / name, groups[at]) for at, name in enumerate("ab"))
    for experiment in (first, fresh):
        experiment.tell({id: masks[id] for id in experiment.ask(12)})
    before = first.label_quality(folds=3)
    again = campaign(tmp_path / "a", groups[1]).label_quality(folds=3)
    assert again == fresh.label_quality(folds=3) != before

    pair = campaign(tmp_path / "c", annotators=2, join="majority")
    other = np.where(np.arange(16)[:, None] < 8, 1 - masks["0003"], masks["0003"])  # they agree on half of the pixels
    told = [alkit.Answer(id, masks[id], "ann", 1) for id in pair.ask(12)]
    pair.receive([*told, *(alkit.Answer(id, other if id == "0003" else masks[id], "ben", 2) for id in masks)])
    before = pair.label_quality(folds=3)
    assert pair.review(1, random=0, folds=3) == ("0003",)
    pair.receive([alkit.Answer("0003", other, "ben", 3)])  # the same label, which counts alone now
    assert pair.label_quality(folds=3)["0003"] != before["0003"]


def test_figures_are_not_kept_if_the_code_of_the_learner_was_edited_or_cannot_be_told(tmp_path, monkeypatch):
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.setattr(start, "STARTED", time.time() + 3600)
    code = """
from dataclasses import dataclass
import alkit

@dataclass(frozen=True)
class Mine(alkit.testing.Brightness):
    def fit(self, *given):
        return super().fit(*given)
"""
    (tmp_path / "my_learner.py").write_text(code)
    found = []
    for text in (code, code, code.replace("return super", "print('edited')\n        return super")):
        (tmp_path / "my_learner.py").write_text(text)
        sys.modules.pop("my_learner", None)
        importlib.invalidate_caches()
        learner = importlib.import_module("my_learner").Mine()
        pool = alkit.ArrayPool(PIXELS)
        experiment = alkit.Experiment(pool, learner, alkit.strategy("random"), tmp_path / "r.db", classes=CLASSES)
        if not found:
            experiment.tell({id: MASKS[int(id)] for id in experiment.ask(12)})
        experiment.label_quality(folds=3)
        found.append(experiment._parts.store.fact(QUALITIES)["key"])
    assert found[0] == found[1] != found[2]
    monkeypatch.setattr(out_of_fold, "untold", lambda *forms: ["my_learner:Mine"])
    for _ in range(2):
        experiment = alkit.Experiment.open(tmp_path / "r.db", pool=pool, learner=learner)
        for _ in range(2):
            experiment.label_quality(folds=3)
            found.append(experiment._parts.store.fact(QUALITIES)["key"])
    assert len(set(found)) == 4
    assert found[-1] == found[-2]
    monkeypatch.setattr(sys.modules["my_learner"].Mine, "fit", lambda self, *given: None)  # as if it was defined again
    monkeypatch.setattr(out_of_fold, "_of_fold", lambda *given: {})
    experiment.label_quality(folds=3)
    assert experiment._parts.store.fact(QUALITIES)["key"] not in found


@dataclass(frozen=True)
class Started(alkit.testing.Brightness):
    start: str = ""


def test_figures_are_not_kept_if_a_file_that_the_learner_names_was_replaced(tmp_path):
    pool, place, found = alkit.ArrayPool(PIXELS), tmp_path / "start.bin", []
    experiment = alkit.Experiment(pool, Started(start=str(place)), alkit.strategy("random"), classes=CLASSES)
    experiment.tell({id: MASKS[int(id)] for id in experiment.ask(12)})
    for content in (b"a", b"a", b"b"):
        place.write_bytes(content)
        experiment.label_quality(folds=3)
        found.append(experiment._parts.store.fact(QUALITIES)["key"])
    assert found[0] == found[1] != found[2]


def test_labels_that_are_held_out_are_compared_and_never_trained_on():
    experiment = _experiment(hold_out=0.3)
    experiment.fit()
    held_out = set(experiment._parts.store.fact("sides")["held_out"])
    TRAINED.clear()
    quality = experiment.label_quality(folds=3)
    assert held_out and not held_out & {id for ids in TRAINED for id in ids}  # noqa: PT018
    assert held_out <= quality.keys()


def test_too_few_labels_and_wrong_folds_are_refused():
    experiment = alkit.Experiment(
        alkit.ArrayPool(PIXELS), alkit.testing.Brightness(), alkit.strategy("random"), classes=CLASSES
    )
    with pytest.raises(alkit.errors.QueryError, match="no label"):
        experiment.label_quality()
    experiment.tell({id: MASKS[int(id)] for id in experiment.ask(3)})
    with pytest.raises(alkit.errors.QueryError, match="3 groups of 3 images, folds=5"):
        experiment.label_quality()
    with pytest.raises(alkit.errors.ConfigurationError, match="folds must be an integer >= 2: got 1"):
        experiment.label_quality(folds=1)
    assert experiment.label_quality(folds=2).keys() <= set(experiment.pool.ids)
    assert experiment._parts.store.fact(QUALITIES)["folds"] == 2


def test_classes_of_images_have_the_probability_of_their_class_as_quality():
    from sklearn.linear_model import LogisticRegression

    rng = np.random.default_rng(0)
    pixels = np.stack([np.full((8, 8), 40 if n % 2 else 210) + rng.integers(-9, 9, (8, 8)) for n in range(16)])
    experiment = alkit.Experiment(
        alkit.ArrayPool(pixels.astype(np.uint8)),
        alkit.EstimatorLearner(LogisticRegression()),
        alkit.strategy("random"),
        classes=alkit.LabelSpec(("light", "dark"), per="image"),
    )
    experiment.tell({id: int(id) % 2 if id != "0005" else 0 for id in experiment.ask(16)})
    quality = experiment.label_quality(folds=4)
    assert next(iter(quality)) == "0005"
    assert max(quality.values()) <= 1


def test_the_quality_of_a_removed_image_is_forgotten(tmp_path):
    experiment = _experiment(tmp_path / "r.db")
    experiment.label_quality(folds=3)
    experiment.remove("0005", "consent withdrawn")
    assert "0005" not in experiment._parts.store.fact(QUALITIES)["qualities"]


def test_figures_are_not_kept_if_the_images_are_scaled_in_another_way(tmp_path):
    def opened(scale, **more):
        learner, strategy = alkit.testing.Brightness(), alkit.strategy("random")
        pool = alkit.ArrayPool(PIXELS.astype(np.uint8), scale=scale)
        return alkit.Experiment(pool, learner, strategy, tmp_path / "r.db", classes=CLASSES, **more)

    experiment = opened("full")
    experiment.tell({id: MASKS[int(id)] for id in experiment.ask(8)})
    before = experiment.label_quality(folds=2)
    again = opened("minmax", change=True)
    key = again._parts.store.fact(QUALITIES)["key"]
    assert before.keys() == again.label_quality(folds=2).keys()
    assert again._parts.store.fact(QUALITIES)["key"] != key
