"""The hold-out: an exact share after each round, stable, by the seed, with near-duplicates on one side."""

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from parts import CLASSES, MeanLearner

import alkit
from alkit.experiment.holding_out import draw_sides, group_duplicates
from alkit.record import Store
from alkit.record.facts import HELD_OUT_LABELS
from alkit.record.terms import FEWEST_TRAINED, Terms
from alkit.record.testsets import OTHER_HELD_OUT
from alkit.report.audit import changes, comparable_history
from alkit.report.truth import truth_in_words
from alkit.rng import Stream

MASK = np.eye(16, dtype=np.uint8)


def noise(n, seed=0):
    return np.random.default_rng(seed).integers(0, 256, (n, 16, 16)).astype(np.uint8)


def campaign(images, store=None, share=0.2, seed=0):
    pool = alkit.ArrayPool(images)
    strategy = alkit.strategy("random")
    return alkit.Experiment(pool, MeanLearner(), strategy, store, seed, classes=CLASSES, hold_out=share)


def label(experiment, n):
    experiment.tell(dict.fromkeys(experiment.ask(n), MASK), revise=True)
    return experiment.fit()


def sides(experiment):
    return Store(experiment.path).fact("sides")


@pytest.mark.parametrize(
    ("share", "batches", "expected"),
    [(0.2, (8, 8, 8), (2, 3, 5)), (0.2, (1,) * 8, (0, 0, 0, 1, 1, 1, 1, 2)), (0.5, (3, 3, 3), (0, 3, 4))],
    ids=["batches", "one by one", "half"],
)
def test_the_share_is_exact_after_each_round_and_no_image_changes_side(share, batches, expected):
    experiment, before, counts = campaign(noise(30), share=share), {"held_out": [], "trained": []}, []
    for n in batches:
        result = label(experiment, n)
        counts.append(result.n_held_out)
        now = sides(experiment)
        assert set(before["held_out"]) <= set(now["held_out"])
        assert set(before["trained"]) <= set(now["trained"])
        assert len(now["held_out"]) == result.n_held_out
        assert len(now["trained"]) == result.n_labels
        before = now
    assert tuple(counts) == expected


def test_the_seed_decides_which_images_are_held_out():
    found = []
    for seed in (0, 0, 1, 2):
        experiment = campaign(noise(10), seed=seed)
        label(experiment, 10)
        found.append(sides(experiment)["held_out"])
    assert found[0] == found[1]
    assert len({tuple(held) for held in found}) > 1
    assert all(len(held) == 2 for held in found)


def test_a_label_that_is_taken_back_and_given_again_stays_on_its_side(tmp_path):
    experiment = campaign(noise(20), tmp_path / "c.db", share=0.5)
    label(experiment, 8)
    before = sides(experiment)
    some = before["held_out"][0]
    experiment.tell({some: alkit.values.Withdrawal()}, revise=True)
    experiment.withdraw()
    label(experiment, 4)
    experiment.tell({some: MASK}, revise=True)
    result = experiment.fit()
    assert some in sides(experiment)["held_out"]
    assert result.n_held_out == len(sides(experiment)["held_out"])
    again = alkit.Experiment.open(tmp_path / "c.db", pool=experiment.pool, learner=MeanLearner())
    assert again.fit().n_held_out == result.n_held_out


def near(images, rows, amount=1):
    """Return copies with noise: their correlation with the originals is above .999."""
    changed = images[rows].astype(int) + np.random.default_rng(1).integers(-amount, amount + 1, images[rows].shape)
    return np.clip(changed, 0, 255).astype(np.uint8)


@pytest.mark.parametrize("seed", range(4))
def test_near_duplicates_stay_on_one_side_within_and_between_rounds(seed):
    images = noise(12)
    images = np.concatenate([images, near(images, range(12))])
    assert np.corrcoef(images[0].ravel(), images[12].ravel())[0, 1] > 0.999
    experiment = campaign(images, share=0.3, seed=seed)
    for n in (7, 7, 10):
        result = label(experiment, n)
        known = {id: side for side, ids in sides(experiment).items() for id in ids}
        pairs = [(f"{row:04}", f"{row + 12:04}") for row in range(12)]
        if n != 10:
            pairs = [pair for pair in pairs if set(pair) <= known.keys()]
        assert all(known[one] == known[other] for one, other in pairs)
    assert 5 <= result.n_held_out <= 9, "24 labels, a share of 7.2 in pairs"


def test_duplicates_are_found_through_a_chain_and_join_the_side_of_the_most_similar_known_image():
    images = noise(3)
    chain = np.stack([images[0], near(images, [0])[0], images[1], near(images, [1])[0], images[2]])
    pool = alkit.ArrayPool(chain, ids=list("abcde"))
    groups, like = group_duplicates(pool, ["a"], ["b", "c", "d", "e"])
    assert dict(zip(groups, like, strict=True)) == {("b",): "a", ("c", "d"): None, ("e",): None}
    assert draw_sides(pool, {"a": True}, ["b", "e"], 1, Stream(0)) == {"b"}
    assert draw_sides(pool, {"a": False}, ["b"], 1, Stream(0)) == set()


def test_images_of_one_colour_are_no_duplicates_of_each_other():
    groups, _ = group_duplicates(alkit.ArrayPool(np.zeros((4, 8, 8), np.uint8)), [], ["0000", "0001", "0002"])
    assert len(groups) == 3


def test_large_images_are_compared_at_a_reduced_size():
    images = np.random.default_rng(0).integers(0, 256, (2, 1, 130, 200)).astype(np.uint8)
    pool = alkit.ArrayPool(np.concatenate([images, images[:1]]))
    assert group_duplicates(pool, [], ["0000", "0001", "0002"])[0] == [("0000", "0002"), ("0001",)]


@given(share=st.floats(0, 0.99), n=st.integers(0, 400))
@settings(max_examples=50)
def test_the_number_held_out_is_the_share_by_largest_remainder(share, n):
    held = Terms(hold_out=share).count_held_out(n)
    assert abs(held - share * n) <= 0.5 + 1e-9 or held == max(0, n - FEWEST_TRAINED) < share * n


@pytest.mark.parametrize(("n", "held", "half"), [(3, 0, 0), (5, 1, 2), (10, 2, 5)])
def test_the_hold_out_never_starves_the_training_of_a_few_labels(n, held, half):
    assert Terms(hold_out=0.2).count_held_out(n) == held
    assert Terms(hold_out=0.5).count_held_out(n) == half
    result = label(campaign(noise(30), share=0.999), n)
    assert (result.n_labels, result.n_held_out) == (3, n - 3)


def test_a_record_of_the_old_rule_keeps_it(tmp_path):
    experiment = campaign(noise(20), tmp_path / "c.db", share=0.4, seed=3)
    ids = experiment.ask(12)
    store = Store(tmp_path / "c.db")
    store.revise("sides", lambda before: None)
    experiment.tell(dict.fromkeys(ids, MASK))
    expected = sum(Terms(hold_out=0.4).holds_out(id, Stream(3)) for id in ids)
    assert experiment.fit().n_held_out == expected
    assert store.fact("sides") is None


def test_labels_of_a_group_that_is_held_out_are_forecast_as_held_out():
    images = np.random.default_rng(0).integers(0, 256, (12, 8, 8), dtype=np.uint8)
    ids = [f"{row:04}" for row in range(12)]
    groups = {id: "p" if row < 4 else id for row, id in enumerate(ids)}
    experiment = alkit.Experiment(
        alkit.ArrayPool(images, ids=ids, groups=groups),
        alkit.testing.Brightness(),
        alkit.strategy("random"),
        classes=("skin", "lesion"),
        hold_out=0.5,
    )
    mask = np.zeros((8, 8), np.uint8)
    experiment.tell(dict.fromkeys(ids[:4], mask), unasked=True)
    store = experiment._parts.store
    assert experiment.learnable
    store.revise("sides", lambda before: {"held_out": ids[:1], "trained": []})
    assert not experiment.learnable  # all four labels are of the group of the first
    assert all(map(experiment._parts.settings.held_out(ids[:4]), ids[:4]))
    experiment.tell(dict.fromkeys(ids[4:7], mask), unasked=True)
    assert experiment.learnable
    assert experiment.fit().n_held_out == 4


def test_rounds_by_other_labels_of_the_same_held_out_images_are_not_compared():
    experiment = campaign(noise(40), share=0.5)
    for n in (8, 8):
        assert OTHER_HELD_OUT not in label(experiment, n).warnings
    held = sides(experiment)["held_out"][0]
    experiment.tell({held: np.eye(16, dtype=np.uint8)[::-1].copy()}, revise=True)
    assert OTHER_HELD_OUT in experiment.fit().warnings
    assert OTHER_HELD_OUT not in label(experiment, 8).warnings
    history = experiment.history
    assert changes(history, "dice")[2] is None
    assert None not in (changes(history, "dice")[1], changes(history, "dice")[3])
    whole = [replace(result, n_held_out=20) for result in history]
    assert [bool(result.metrics) for result in comparable_history(whole, tested=False)] == [False, False, True, True]
    assert list(truth_in_words(history)) == [
        "Before round 2, the held-out labels were other ones, so metrics before and after cannot be compared."
    ]


def test_a_removed_image_leaves_no_digest_of_its_held_out_label(tmp_path):
    experiment = campaign(noise(20), tmp_path / "a.db", share=0.5)
    label(experiment, 8)
    held = sides(experiment)["held_out"][0]
    assert held in Store(experiment.path).fact(HELD_OUT_LABELS)
    experiment.remove(held, "consent")
    assert held not in Store(experiment.path).fact(HELD_OUT_LABELS)
