"""No group is on two sides: of the pool and a test set, of the labels trained on and held out, of the stop set."""

from __future__ import annotations

import logging
from contextlib import suppress
from dataclasses import dataclass, field

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from parts import CLASSES, MeanLearner

import alkit
from alkit.errors import DataError, ResumeError
from alkit.evaluation.stability import Stability
from alkit.experiment import committing
from alkit.experiment.holding_out import draw_sides
from alkit.record import Store
from alkit.rng import Stream

MASK = np.eye(16, dtype=np.uint8)


def noise(n, seed=0):
    return np.random.default_rng(seed).integers(0, 256, (n, 16, 16)).astype(np.uint8)


def pool_of(groups, images=None):
    images = noise(len(groups)) if images is None else images
    return alkit.ArrayPool(dict(zip(groups, images, strict=True)), groups=groups)


@dataclass(frozen=True)
class Watching(MeanLearner):
    """A learner that keeps the ids that it is trained on."""

    seen: list = field(default_factory=list, compare=False, metadata={"runtime": True})

    def fit(self, labelled, rng, previous=None, report=None):
        self.seen.append(set(labelled.ids))
        return super().fit(labelled, rng, previous)


@dataclass(frozen=True)
class Trusting:
    """Selects at random, and gives the next three of its candidates a pseudo-label."""

    needs = ("pseudo-labels",)

    def select(self, view, n, rng):
        ids = [view.candidates[place] for place in rng.permutation(len(view.candidates))]
        return alkit.Selection(ids[:n], pseudo_labels=ids[n : n + 3] if view.round else ())


class Oracle:
    """Labels any image, so that a test may draw any ids."""

    spec = alkit.LabelSpec(CLASSES)

    def __init__(self):
        self.asked = []

    def ask(self, queries):
        self.asked += [query.id for query in queries]

    def poll(self):
        asked, self.asked = self.asked, []
        return [alkit.Answer(id, MASK) for id in asked]


@given(
    sizes=st.lists(st.integers(1, 6), min_size=4, max_size=9),
    share=st.sampled_from([0.2, 0.4]),
    pairs=st.lists(st.tuples(st.integers(0, 50), st.integers(0, 50)), max_size=4),
    seed=st.integers(0, 50),
)
@settings(max_examples=5)
def test_no_group_is_on_two_sides_whatever_is_drawn(sizes, share, pairs, seed):
    groups = {f"i{place}{unit}": f"p{unit}" for unit, size in enumerate(sizes) for place in range(size)}
    images = noise(len(groups))
    for one, other in pairs:  # near-duplicates, of one group or of two
        images[one % len(images)] = images[other % len(images)]
    pool, test = pool_of(groups, images).split(0.25, seed)
    compared = []

    def watched(predictor, previous, whole, ids, spec, *how):
        compared.append(set(ids))
        return Stability(1.0)

    learner = Watching()
    campaign = alkit.Experiment(
        pool, learner, Trusting(), seed=seed, classes=CLASSES, hold_out=share, stop_set=max(1, len(pool) // 3)
    )
    store = Store(campaign.path)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(committing, "stability", watched)
        while len(campaign.candidates) > 2:
            asked = campaign.ask(2)
            campaign.tell(dict.fromkeys(asked, MASK))
            if not campaign.learnable:
                continue
            with suppress(alkit.errors.QueryError):  # every label is held out
                campaign.fit()
    held = {groups[id] for id in store.fact("sides")["held_out"]}
    of_test = {groups[id] for id in test.ids}
    assert not held & {groups[id] for seen in learner.seen for id in seen}
    assert not of_test & {groups[id] for id in pool.ids}
    for ids in compared:
        assert {id for id in pool.ids if groups[id] in {groups[id] for id in ids}} == ids
    with pytest.raises(DataError, match=r"test shares \d+ groups? with the pool|test shares \d+ images with the pool"):
        campaign.run(Oracle(), test=pool_of(groups).subset(sorted(pool.ids)[:1]), start=2, batch=2, rounds=0)


def test_a_pseudo_label_beside_a_held_out_image_is_not_trained_on():
    groups = {f"i{row}": f"p{row // 4}" for row in range(24)}
    for seed in range(4):
        learner = Watching()
        campaign = alkit.Experiment(pool_of(groups), learner, Trusting(), seed=seed, classes=CLASSES, hold_out=0.4)
        store, dropped = Store(campaign.path), 0
        for _ in range(4):
            campaign.tell(dict.fromkeys(campaign.ask(4), MASK))
            dropped += len(store.pseudo_labels(len(campaign.history))) - campaign.fit().n_pseudo
        held = {groups[id] for id in store.fact("sides")["held_out"]}
        assert held
        assert not held & {groups[id] for seen in learner.seen for id in seen}
        if dropped:
            return
    raise AssertionError("no pseudo-label was dropped, so the test shows nothing")


# The hold-out.


def test_new_images_have_the_side_of_their_group_and_groups_are_drawn_whole():
    groups = {"a": "p", "b": "p", "c": "q", "d": "q", "e": "r"}
    pool = pool_of(groups)
    assert draw_sides(pool, {"a": True}, ["b"], 1, Stream(0), groups, {"p": True}) == {"b"}
    assert draw_sides(pool, {"a": False}, ["b"], 2, Stream(0), groups, {"p": False}) == set()
    for seed in range(5):
        drawn = draw_sides(pool, {}, list(groups), 2, Stream(seed), groups)
        assert drawn in ({"a", "b"}, {"c", "d"}, {"e"})


def test_a_group_and_its_near_duplicates_are_on_one_side():
    images = noise(5)
    images[2] = images[1]
    groups = {"a": "p", "b": "p", "c": "q", "d": "q", "e": "r"}  # b and c are identical
    pool = pool_of(groups, images)
    for seed in range(5):
        assert draw_sides(pool, {}, list(groups), 4, Stream(seed), groups) in ({"a", "b", "c", "d"}, {"e"})
    assert draw_sides(pool, {"b": True}, ["c", "d"], 1, Stream(0), groups, {"p": True}) == {"c", "d"}


def test_near_duplicates_of_two_groups_with_different_sides_are_reported():
    images = noise(4)
    images[3] = images[0]
    groups = {"a": "p", "b": "p", "c": "q", "d": "q"}
    notes = []
    draw_sides(
        pool_of(groups, images), {"a": True, "c": False}, ["d"], 1, Stream(0), groups, {"p": True, "q": False}, notes
    )
    assert notes == [
        "1 of the images that are held out are nearly identical to images of other groups that are trained on, such as "
        "'a' and 'd': the groups may be wrong."
    ]


# Test sets.


def run(pool, test, store=None, **schedule):
    campaign = alkit.Experiment(pool, MeanLearner(), alkit.strategy("random"), store)
    return campaign.run(Oracle(), test=test, **{"start": 2, "batch": 1, "rounds": 1, **schedule})


def test_a_test_set_that_shares_a_patient_with_the_pool_is_refused():
    groups = {"a": "p1", "b": "p1", "c": "p2", "d": "p3"}
    whole = pool_of(groups)
    message = "test shares 1 group with the pool: got 'p1', with 'b' in the test set and 'a' in the pool"
    with pytest.raises(DataError, match=message):
        run(whole.subset(["a", "c", "d"]), whole.subset(["b"]))
    campaign = alkit.Experiment(whole.subset(["a", "c", "d"]), MeanLearner(), alkit.strategy("random"), classes=CLASSES)
    campaign.tell(dict.fromkeys(campaign.ask(2), MASK))
    campaign.fit()
    with pytest.raises(DataError, match=message):
        campaign.evaluate(whole.subset(["b"]), Oracle())
    assert run(whole.subset(["a", "b", "d"]), whole.subset(["c"]))[-1].warnings == ()


def test_a_test_set_without_groups_beside_a_pool_with_groups_is_a_warning(caplog):
    pool = pool_of({"a": "p1", "b": "p1", "c": "p2", "d": "p3"})
    with caplog.at_level(logging.WARNING):
        result = run(pool, alkit.ArrayPool(noise(2, seed=1), ["x", "y"]))[-1]
    text = "The pool has groups and the test set has none, so it may share patients with the pool."
    assert text in caplog.text
    assert text in result.warnings


def test_near_duplicates_across_a_split_are_a_warning_without_groups(caplog):
    images = noise(8)
    images[6] = images[1]
    pool = alkit.ArrayPool(images)
    with caplog.at_level(logging.WARNING):
        result = run(pool.subset(pool.ids[:5]), pool.subset(pool.ids[5:]))[-1]
    (warning,) = result.warnings
    assert warning == (
        "1 images of the test set are nearly identical to images of the pool, such as '0006' to '0001', so the metrics "
        "may be too good. Try: groups=, which keeps images of one patient on one side."
    )
    assert caplog.text.count("nearly identical") == 1


# Groups of a record.


def test_a_record_opens_without_the_file_of_groups(tmp_path):
    file = tmp_path / "groups.csv"
    rows = [f"{row:04},p{row // 3},{'AB'[row % 2]}" for row in range(12)]
    file.write_text("\n".join(["id,patient,site", *rows]))
    images = noise(12)
    store, rules = tmp_path / "r.db", alkit.SelectionRules(only="site=A")
    strategy, learner = alkit.strategy("random"), MeanLearner()
    with_file = alkit.ArrayPool(images, groups=file)
    alkit.Experiment(with_file, learner, strategy, store, classes=CLASSES, hold_out=0.4, rules=rules).ask(4)
    file.unlink()
    again = alkit.Experiment.open(store, pool=alkit.ArrayPool(images), learner=learner)
    assert again.pool.groups_of(["0004", "0000"]) == ["p1", "p0"]
    assert again.pool.metadata_of(["0004"]) == [{"patient": "p1", "site": "A"}]
    assert all(int(id) % 2 == 0 for id in (*again.open_ids, *again.candidates))
    assert Store(store).fact("changes") is None
    _, test = again.pool.split(3, seed=0)
    assert len(test) == 3
    assert len(set(test.groups_of(test.ids))) == 1


def test_groups_of_a_test_set_are_recorded_so_that_the_split_is_drawn_again(tmp_path):
    groups = {f"i{row}": f"p{row // 3}" for row in range(12)}
    pool, test = pool_of(groups).split(3, seed=0)
    run(pool, test, tmp_path / "r.db")
    recorded = {id: group for id, (group, _) in Store(tmp_path / "r.db").fact("groups").items()}
    assert recorded == groups


def test_other_groups_are_taken_until_a_group_would_be_on_both_sides(tmp_path):
    images = noise(12)
    ids = [f"i{row:02}" for row in range(12)]
    groups = {id: f"p{row // 3}" for row, id in enumerate(ids)}

    def opened(groups):
        pool = alkit.ArrayPool(images, ids, groups=groups)
        return alkit.Experiment(
            pool, MeanLearner(), alkit.strategy("random"), tmp_path / "r.db", classes=CLASSES, hold_out=0.3
        )

    campaign = opened(groups)
    campaign.tell(dict.fromkeys(campaign.ask(12), MASK))
    campaign.fit()
    sides = Store(tmp_path / "r.db").fact("sides")
    one, other = sides["held_out"][0], sides["trained"][0]
    with pytest.raises(ResumeError, match="groups must not put images on both sides of the hold-out"):
        opened({**groups, one: "new", other: "new"})
    assert {id: group for id, (group, _) in Store(tmp_path / "r.db").fact("groups").items()} == groups
    opened({**groups, one: "new"})
    (entry,) = Store(tmp_path / "r.db").fact("changes")
    assert entry["changed"] == [f"groups: other ones of 1 image, such as {one!r}: recorded {groups[one]}, now new"]


def test_groups_that_come_late_must_fit_the_sides_that_were_drawn(tmp_path):
    images, store = noise(6), tmp_path / "r.db"
    plain = alkit.ArrayPool(images)
    strategy = alkit.strategy("random")
    campaign = alkit.Experiment(plain, MeanLearner(), strategy, store, classes=CLASSES, hold_out=0.5)
    campaign.tell(dict.fromkeys(campaign.ask(6), MASK))
    campaign.fit()
    for groups, fits in ((dict.fromkeys(plain.ids, "p"), False), ({id: f"of {id}" for id in plain.ids}, True)):
        pool = alkit.ArrayPool(images, groups=groups)
        arguments = (pool, MeanLearner(), strategy, store)
        if fits:
            alkit.Experiment(*arguments, classes=CLASSES, hold_out=0.5)
            (entry,) = Store(store).fact("changes")
            assert entry["changed"][0].startswith("groups: other ones of 6 images, such as '0000'")
        else:
            with pytest.raises(ResumeError, match="groups must not put images on both sides"):
                alkit.Experiment(*arguments, classes=CLASSES, hold_out=0.5)


def test_without_groups_a_record_keeps_none(tmp_path):
    campaign = alkit.Experiment(alkit.ArrayPool(noise(4)), MeanLearner(), alkit.strategy("random"), tmp_path / "r.db")
    assert Store(campaign.path).fact("groups") is None
    assert not campaign.rules
