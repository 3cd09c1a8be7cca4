"""The curve of a record is measured on one test set, by the latest labels of its images."""

import numpy as np
import pytest
from parts import CLASSES

import alkit
from alkit.errors import ResumeError
from alkit.experiment import committing
from alkit.record.database import Database
from alkit.report import compare
from alkit.report.best import best_round


def fitted(world, n, **arguments):
    experiment = world.experiment(classes=CLASSES, **arguments)
    experiment.tell({id: world.masks[id] for id in experiment.ask(n)})
    experiment.fit()
    return experiment


def test_rounds_by_hand_are_measured_on_the_first_test_set(world):
    experiment = fitted(world, 3)
    a, b = world.test.subset(world.test.ids[:8]), world.test.subset(world.test.ids[8:])
    first = experiment.evaluate(a, world.oracle)
    experiment.tell({id: world.masks[id] for id in experiment.ask(3)})
    experiment.fit()
    other = experiment.evaluate(b, world.oracle)
    assert [result.metrics for result in experiment.history] == [first, {}]
    second = experiment.evaluate(a, world.oracle)
    assert second != other
    assert [result.metrics for result in experiment.history] == [first, second]
    with pytest.raises(ResumeError, match="are measured on another test set, so test cannot be a new one"):
        experiment.run(world.oracle, test=b, start=3, batch=3, rounds=2)
    more = experiment.run(world.oracle, test=a, start=3, batch=3, rounds=2)
    assert [result.metrics for result in more[:2]] == [first, second]


def test_a_test_set_that_is_read_in_another_way_than_the_pool_is_named(world, caplog):
    experiment = fitted(world, 3)
    images = world.test.read(world.test.ids)
    other = alkit.ArrayPool(np.uint8(images * 255), ids=world.test.ids, channels="first", scale="minmax")
    list(experiment.predict(world.test))
    experiment.tell({id: world.masks[id] for id in experiment.ask(3)})
    assert not any("scale" in told for told in experiment.fit(test=world.test, oracle=world.oracle).warnings)
    assert "scale" not in caplog.text
    list(experiment.predict(other))
    assert "The images of the pool that is predicted are scaled by scale='minmax' and those of the pool" in caplog.text


def test_a_round_on_a_test_set_of_another_scale_says_so(world):
    experiment = fitted(world, 3)
    experiment.tell({id: world.masks[id] for id in experiment.ask(3)})
    images = np.uint8(world.test.read(world.test.ids) * 255)
    other = alkit.ArrayPool(images, ids=world.test.ids, channels="first", scale="minmax")
    assert any(
        "of the test set are scaled" in told for told in experiment.fit(test=other, oracle=world.oracle).warnings
    )


def test_labels_of_the_test_set_that_have_changed_are_a_warning(world, caplog):
    experiment = world.experiment(classes=CLASSES)
    masks = dict(world.masks)

    def measured():
        experiment.tell({id: world.masks[id] for id in experiment.ask(2)})
        result = experiment.fit(test=world.test, oracle=alkit.MaskOracle(masks, CLASSES))
        return [text for text in result.warnings if "labels of the test set have changed" in text]

    assert measured() == measured() == []
    masks[world.test.ids[0]] = 1 - masks[world.test.ids[0]]
    assert len(measured()) == 1
    assert measured() == []
    experiment.evaluate(world.test, alkit.MaskOracle(dict(world.masks), CLASSES))
    assert "labels of the test set have changed" in caplog.text


def test_another_test_set_can_follow_if_none_was_recorded(world):
    experiment = fitted(world, 3)
    a, b = world.test.subset(world.test.ids[:8]), world.test.subset(world.test.ids[8:])
    experiment.evaluate(a, world.oracle, metrics=["hd95"])
    assert experiment.history[-1].metrics == {}
    assert experiment.evaluate(b, world.oracle) == experiment.history[-1].metrics


def test_a_curve_on_held_out_labels_does_not_go_on_on_a_test_set(world):
    experiment = fitted(world, 2, hold_out=0.2)  # too few labels, so none is held out yet
    assert experiment.history[-1].n_held_out == 0
    experiment.evaluate(world.test, world.oracle)
    assert experiment.history[-1].metrics == {}
    experiment.tell({id: world.masks[id] for id in experiment.ask(8)})
    assert experiment.fit().n_held_out == 2
    with pytest.raises(ResumeError, match="are measured on labels held out from training"):
        experiment.run(world.oracle, test=world.test, start=2, batch=8, rounds=2)


def test_records_by_hand_are_compared_only_on_one_test_set(world, tmp_path):
    for name, ids in (("random", world.test.ids[:8]), ("ssl-cluster", world.test.ids[8:])):
        strategy = alkit.strategy("random") if name == "random" else lambda view, n, rng: list(view.candidates)[:n]
        experiment = fitted(world, 3, store=tmp_path / f"{name}.db", strategy=strategy)
        experiment.evaluate(world.test.subset(ids), world.oracle)
    with pytest.raises(alkit.errors.ConfigurationError, match="must have the same test set to be compared"):
        compare([tmp_path / "random.db", tmp_path / "ssl-cluster.db"])


class Repeating:
    """Gives an old answer for each image after the latest one."""

    spec = alkit.LabelSpec(CLASSES)

    def __init__(self, masks):
        self.masks, self.asked = masks, []

    def ask(self, queries):
        self.asked += [query.id for query in queries]

    def poll(self):
        for id in self.asked:
            yield alkit.Answer(id, self.masks[id], "ann", revision=5)
            yield alkit.Answer(id, 1 - self.masks[id], "ann", revision=3)


def test_the_latest_revision_of_a_test_label_counts(world):
    experiment = fitted(world, 3)
    expected = experiment.evaluate(world.test, world.oracle)
    assert experiment.evaluate(world.test, Repeating(world.masks)) == expected


class Correcting:
    """Gives each answer once, and a correction of the first one in the second round."""

    spec = alkit.LabelSpec(CLASSES)

    def __init__(self, masks):
        self.masks, self.asked, self.first = masks, [], None

    def ask(self, queries):
        self.asked = [query.id for query in queries]

    def poll(self):
        found = [alkit.Answer(id, self.masks[id], "ann", revision=1) for id in self.asked]
        if self.asked and self.first is None:
            self.first = self.asked[0]
        elif self.asked and self.first:
            found.insert(0, alkit.Answer(self.first, np.ones((16, 16), np.uint8), "ann", revision=2))
            self.first = ""
        self.asked = []
        return found


def test_a_correction_that_comes_while_a_round_is_labelled_is_taken(world):
    experiment = world.experiment()
    results = experiment.run(Correcting(world.masks), start=3, batch=2, rounds=2)
    answers = experiment.answers()
    assert len(answers) == 8
    corrected = answers[3]
    assert (corrected.id, corrected.revision) == (results[0].ids[0], 2)
    assert experiment.label(corrected).all()
    assert [standing.state.value for standing in experiment.standings()] == ["consumed"] * 7


def test_what_a_model_is_measured_by_is_recorded_in_one_step(world, monkeypatch):
    experiment, masks = fitted(world, 3), dict(world.masks)
    small = world.test.subset(world.test.ids[:8])
    experiment.evaluate(small, alkit.MaskOracle(masks, CLASSES))
    first, ends = experiment.history[-1], 0
    for id in small.ids:
        masks[id] = 1 - masks[id]
    end = Database._write_journal

    def count(database, connection):
        nonlocal ends
        found = end(database, connection)
        ends += found is not None
        return found

    monkeypatch.setattr(Database, "_write_journal", count)
    experiment.evaluate(small, alkit.MaskOracle(masks, CLASSES))
    assert ends == 1
    last = experiment.history[-1]
    assert last.metrics["dice"] == last.intervals["dice"].value != first.metrics["dice"]
    experiment.tell({id: world.masks[id] for id in experiment.ask(3)})
    ends = 0
    experiment.fit(test=small, oracle=alkit.MaskOracle(world.masks, CLASSES))
    assert ends == 1


def test_metrics_by_other_labels_of_the_test_set_are_not_compared(world, tmp_path):
    oracle = alkit.MaskOracle(dict(world.masks), CLASSES)
    wrong = alkit.MaskOracle({id: 1 - mask for id, mask in world.masks.items()}, CLASSES)
    experiment = fitted(world, 3, keep="best")
    for now in (oracle, oracle, wrong, wrong):
        experiment.evaluate(world.test, now)
        experiment.tell({id: world.masks[id] for id in experiment.ask(3)})
        experiment.fit()
    experiment.evaluate(world.test, wrong)
    rounds = experiment.history
    changed = ["labels of the test set have changed" in " ".join(result.warnings) for result in rounds]
    assert changed == [False, False, True, False, False]
    dice = [result.metrics["dice"] for result in rounds]
    alike = [2, 3, 4]
    assert best_round(rounds) == max(alike, key=lambda number: (dice[number], -number))
    earlier, later = max([0, 1], key=dice.__getitem__), max([2, 3], key=dice.__getitem__)
    assert experiment._parts.store.models().keys() >= {earlier, 4}
    assert later in experiment._parts.store.models() or dice[4] >= dice[later]


def test_labels_of_the_test_set_that_were_corrected_are_read_again_in_the_same_process(world):
    masks = dict(world.masks)
    oracle = alkit.MaskOracle(masks, CLASSES)
    experiment = fitted(world, 3)
    before = experiment.evaluate(world.test, oracle)
    for id in world.test.ids:
        masks[id] = 1 - masks[id]
    after = experiment.evaluate(world.test, oracle)
    assert after != before
    assert after == experiment.evaluate(world.test, alkit.MaskOracle(masks, CLASSES))
    experiment.tell({id: world.masks[id] for id in experiment.ask(3)})
    masks |= world.masks
    fit = experiment.fit(test=world.test, oracle=oracle)
    assert fit.metrics == experiment.evaluate(world.test, alkit.MaskOracle(dict(world.masks), CLASSES))
    assert any("labels of the test set have changed" in text for text in fit.warnings)


def test_a_test_set_with_the_ids_of_another_one_is_compared_with_the_pool_again(world):
    experiment = fitted(world, 3)
    ids, images = list(world.test.ids)[:2], world.pool.read(list(world.pool.ids)[:2])
    experiment.evaluate(world.test.subset(ids), world.oracle)
    assert not experiment._parts.compared[next(iter(experiment._parts.compared))]
    experiment.evaluate(alkit.ArrayPool(images * np.float32(0.5), ids=ids), world.oracle, metrics=["dice"])
    *_, found = experiment._parts.compared.values()
    assert "2 images of the test set are nearly identical to images of the pool" in found[0]


def test_a_fit_that_failed_has_not_chosen_the_test_set(world, monkeypatch):
    experiment = fitted(world, 3)
    a, b = world.test.subset(world.test.ids[:8]), world.test.subset(world.test.ids[8:])
    experiment.tell({id: world.masks[id] for id in experiment.ask(3)})
    monkeypatch.setattr(committing, "note_edits", interrupt)
    with pytest.raises(KeyboardInterrupt):
        experiment.fit(test=a, oracle=world.oracle)
    monkeypatch.undo()
    assert experiment._parts.store.fact("test") is None
    assert experiment.fit(test=b, oracle=world.oracle).n_tested == len(b.ids)


def interrupt(parts):
    raise KeyboardInterrupt


def test_without_new_labels_a_round_is_measured_again_by_corrected_labels_of_its_test_set(world):
    masks = dict(world.masks)
    oracle = alkit.MaskOracle(masks, CLASSES)
    experiment = world.experiment(classes=CLASSES)
    experiment.tell({id: world.masks[id] for id in experiment.ask(3)})
    before = experiment.fit(test=world.test, oracle=oracle)
    assert experiment.fit(test=world.test, oracle=oracle) == before
    for id in world.test.ids:
        masks[id] = 1 - masks[id]
    after = experiment.fit(test=world.test, oracle=oracle)
    assert after.round == 0
    assert after.metrics == experiment.evaluate(world.test, oracle) != before.metrics


def test_without_new_labels_a_round_is_not_measured_on_another_test_set(world):
    a, b = world.test.subset(world.test.ids[:8]), world.test.subset(world.test.ids[8:])
    experiment = world.experiment(classes=CLASSES)
    experiment.tell({id: world.masks[id] for id in experiment.ask(3)})
    experiment.fit()
    on_a = experiment.fit(test=a, oracle=world.oracle)  # it was not measured until now
    assert (on_a.round, on_a.n_tested, on_a.metrics) == (0, 8, experiment.evaluate(a, world.oracle))
    with pytest.raises(ResumeError, match="are measured on another test set, so test cannot be a new one"):
        experiment.fit(test=b, oracle=world.oracle)


def test_after_a_schedule_rounds_are_not_measured_on_another_test_set(world):
    a, b = world.test.subset(world.test.ids[:8]), world.test.subset(world.test.ids[8:])
    for test in (a, None):
        experiment = world.experiment()
        experiment.run(world.oracle, test=test, start=3, batch=2, rounds=0)
        experiment.tell({id: world.masks[id] for id in experiment.ask(3)})
        assert experiment.fit(test=a, oracle=world.oracle).n_tested == 8
        experiment.tell({id: world.masks[id] for id in experiment.ask(3)})
        with pytest.raises(ResumeError, match="are measured on another test set, so test cannot be a new one"):
            experiment.fit(test=b, oracle=world.oracle)


@pytest.mark.parametrize("arguments", [{}, {"hold_out": 0.3}])
def test_a_schedule_that_is_done_is_measured_again_by_corrected_labels_of_its_test_set(world, tmp_path, arguments):
    def run(masks, rounds=1):
        experiment = world.experiment(tmp_path / "c.db", **arguments)
        oracle, corrected = world.oracle, alkit.MaskOracle(masks, CLASSES)
        schedule = {"start": 4, "batch": 2, "rounds": rounds}
        return experiment.run(oracle, test=world.test, test_oracle=corrected, **schedule), experiment

    first, _ = run(world.masks)
    assert run(world.masks)[0] == first
    flipped = {id: 1 - mask for id, mask in world.masks.items()}
    assert run(flipped, rounds=0)[0] == first[:1]  # its model is gone
    again, experiment = run(flipped)
    assert again == experiment.history
    assert again[0] == first[0]
    assert again[1].metrics == experiment.evaluate(world.test, alkit.MaskOracle(flipped, CLASSES)) != first[1].metrics
    assert any("labels of the test set have changed" in text for text in again[1].warnings)


def test_a_round_is_measured_again_if_its_test_set_has_ids_of_the_pool(world):
    ids = list(world.pool.ids)[: len(world.test.ids)]
    test = alkit.ArrayPool(world.test.read(list(world.test.ids)), ids=ids)
    masks = {new: world.masks[id] for new, id in zip(ids, world.test.ids, strict=True)}
    oracle = alkit.MaskOracle(masks, CLASSES)
    experiment = world.experiment(classes=CLASSES, hold_out=0.3)
    experiment.tell({id: world.masks[id] for id in experiment.ask(4)})
    before = experiment.fit(test=test, oracle=oracle)
    for id in ids:
        masks[id] = 1 - masks[id]
    after = experiment.fit(test=test, oracle=oracle)
    assert (after.round, after.n_tested) == (0, len(ids))
    assert after.metrics != before.metrics


@pytest.mark.parametrize(("apart", "on"), [({"hold_out": 0.3}, "labels held out"), ({"audit": 5}, "the audit set")])
def test_a_round_that_stays_measured_on_labels_of_the_pool_is_named(world, caplog, apart, on):
    experiment = world.experiment(classes=CLASSES, **apart)
    for test in ({"test": world.test, "oracle": world.oracle}, {}):
        experiment.tell({id: world.masks[id] for id in experiment.ask(12)})
        result = experiment.fit(**test)
    caplog.clear()
    assert experiment.fit(test=world.test, oracle=world.oracle) == result
    assert f"round {result.round} stays measured on {on}, because there are no new labels" in caplog.text


def test_the_interval_of_a_small_test_set_counts_each_group_once(tmp_path):
    images, masks = alkit.synthetic.lesions(20, size=16)
    ids = [f"p{row // 6}_{row % 6}" for row in range(20)]
    whole = alkit.ArrayPool(images, ids, groups="{group}_*")
    oracle = alkit.MaskOracle(dict(zip(ids, masks, strict=True)), CLASSES)
    pool, test = whole.subset(ids[12:]), whole.subset(ids[:12])
    experiment = alkit.Experiment(
        pool, alkit.testing.Brightness(), alkit.strategy("random"), tmp_path / "r.db", classes=CLASSES
    )
    asked = experiment.ask(4)
    experiment.tell({id: masks[ids.index(id)] for id in asked})
    fitted = experiment.fit(test=test, oracle=oracle)
    experiment.evaluate(test, oracle)
    for result in (fitted, experiment.history[-1]):
        found = result.intervals["dice"]
        assert (found.n, found.clusters) == (12, 2)
