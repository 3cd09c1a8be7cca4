"""A name does not stand for two metrics in one curve or comparison."""

from functools import partial

import pytest

from alkit.errors import ConfigurationError
from alkit.evaluation import PerGroup, SurfaceDice
from alkit.record import Store
from alkit.record.database import Database
from alkit.report import compare
from alkit.testing import Brightness

SCHEDULE = {"start": 3, "batch": 2, "rounds": 0}


def half(predicted, truth):
    return 0.5


def exact(predicted, truth):
    return float((predicted == truth).all())


def near(predicted, truth, by):
    return float(abs((predicted == 1).sum() - (truth == 1).sum()) <= by)


def measured(world, store, metrics, rounds=0, **arguments):
    experiment = world.experiment(store, learner=Brightness(), metrics=metrics, **arguments)
    return experiment.run(world.oracle, test=world.test, **{**SCHEDULE, "rounds": rounds})


def test_records_that_measure_other_things_by_one_name_are_not_compared(world, tmp_path):
    measured(world, tmp_path / "a.db", [SurfaceDice(0)])
    measured(world, tmp_path / "b.db", ["surface_dice", "dice"], seed=1)
    with pytest.raises(ConfigurationError) as caught:
        compare([tmp_path / "a.db", tmp_path / "b.db"])
    assert "'surface_dice' must be the same metric in all records: got surface_dice with tolerance 0 in" in str(
        caught.value
    )
    measured(world, tmp_path / "c.db", [SurfaceDice(0), "dice"], seed=2)
    measured(world, tmp_path / "d.db", None, seed=3)
    assert compare([tmp_path / "a.db", tmp_path / "c.db"]).metric == "surface_dice"
    assert compare([tmp_path / f"{name}.db" for name in "bcd"], metric="dice").metric == "dice"


@pytest.mark.parametrize(
    ("first", "second"),
    [
        ([SurfaceDice(0)], ["surface_dice"]),
        (None, {"dice": "iou"}),
        (["dice"], {"dice": half}),
        ({"mine": half}, {"mine": exact}),
        ({"mine": partial(near, by=1)}, {"mine": partial(near, by=2)}),
        ([partial(near, by=1)], [partial(near, by=2)]),
        ([PerGroup(SurfaceDice(2), {"groups": ""})], [PerGroup("surface_dice", {"groups": ""})]),
    ],
    ids=["tolerance", "default", "function", "another function", "other arguments", "partial", "groups"],
)
def test_a_name_keeps_its_meaning_in_all_rounds(world, tmp_path, first, second):
    def filled(metrics):
        own = dict.fromkeys(world.test.ids, "all")
        return [PerGroup(part.metric, own) if isinstance(part, PerGroup) else part for part in metrics]

    first, second = (filled(metrics) if isinstance(metrics, list) else metrics for metrics in (first, second))
    store = tmp_path / "e.db"
    before = measured(world, store, first)
    with pytest.raises(ConfigurationError, match=r"in the rounds of .*, so metrics cannot give this name to"):
        measured(world, store, second)
    measured(world, store, ["ece"], rounds=1)  # in between, the name does not occur
    with pytest.raises(ConfigurationError, match="so metrics cannot give this name to"):
        measured(world, store, second)
    again = measured(world, store, first or ["dice", "iou"], rounds=2)
    assert again[0] == before[0]
    assert list(again[2].metrics) == list(before[0].metrics)


def test_before_the_first_round_a_name_is_free(world, tmp_path):
    world.experiment(tmp_path / "e.db", learner=Brightness(), metrics=[SurfaceDice(0)])
    assert "surface_dice" in measured(world, tmp_path / "e.db", ["surface_dice"])[0].metrics


def test_several_rounds_with_one_number_of_labels_are_noted(world, tmp_path):
    experiment = world.experiment(tmp_path / "e.db", learner=Brightness(), classes=("skin", "lesion"))
    ids = experiment.ask(3)
    experiment.tell({id: world.masks[id] for id in ids})
    experiment.fit()
    experiment.evaluate(world.test, world.oracle)
    experiment.tell({ids[0]: 1 - world.masks[ids[0]]}, revise=True)
    experiment.fit()
    experiment.evaluate(world.test, world.oracle)
    (note,) = [note for note in compare([tmp_path / "e.db"]).notes if "several rounds" in note]
    assert note.endswith("e.db: several rounds have 3 labels, and the last of them counts.")


def test_a_form_that_alkit_does_not_write_has_no_meanings():
    from alkit.evaluation.meanings import meanings

    for form in (3, {"items": 3}, [[]], [{"is": "alkit.evaluation:SurfaceDice"}], {"items": [["a"]]}, True):
        assert meanings(form) == {}


def test_a_record_knows_which_metrics_fall_while_a_model_improves(world, tmp_path):
    def wrong(predicted, truth):
        return float((predicted != truth).mean())

    wrong.higher_is_better = False
    paths = [tmp_path / f"{seed}.db" for seed in range(3)]
    for seed, path in enumerate(paths):
        wrong.higher_is_better = seed == 2
        measured(world, path, {"mine": wrong, "far": "hd95", "dice": "dice"}, seed=seed)
    assert [compare(paths[:2], metric=name).lower for name in ("mine", "far", "dice")] == [True, True, False]
    with pytest.raises(ConfigurationError, match=r"'mine' must fall or rise .*: got it falls in .*, and rises in"):
        compare(paths, metric="mine")
    assert compare(paths, metric="mine", lower=True).lower


def test_metrics_and_what_they_mean_are_recorded_in_one_step(world, tmp_path, monkeypatch):
    world.experiment(tmp_path / "e.db", learner=Brightness(), metrics=[SurfaceDice(0)])
    steps = []
    write = Database._write_journal
    with monkeypatch.context() as patch:
        patch.setattr(Database, "_write_journal", lambda self, one: steps.append(write(self, one)) or steps[-1])
        world.experiment(tmp_path / "e.db", learner=Brightness(), metrics=[SurfaceDice(5)])
    assert len([step for step in steps if step is not None]) == 1
    assert Store(tmp_path / "e.db").fact("meanings") == {"surface_dice": "surface_dice with tolerance 5"}
