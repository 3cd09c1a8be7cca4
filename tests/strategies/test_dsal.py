"""DSAL queries the images with the least agreement, and pseudo-labels the most confident with the most agreement."""

from dataclasses import dataclass
from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import alkit
from alkit_baselines.dsal import DSAL, weak_labels


@dataclass(frozen=True)
class FakeView:
    """What DSAL may see, over an agreement and a confidence that are given."""

    agreement: dict[str, float]
    confidence: dict[str, float]
    round: int = 0

    def scores(self, score):
        if score is alkit.scores.head_disagreement:
            return {id: 1 - value for id, value in self.agreement.items()}
        assert score is alkit.scores.least_confidence
        return {id: 0.5 - value for id, value in self.confidence.items()}


def rng(seed=0):
    return np.random.default_rng(seed)


# Multiples of 1/64 are exact in floats, and so are their sums.
exact = st.integers(0, 64).map(lambda k: k / 64)
pools = st.dictionaries(
    st.text("abcdef", min_size=1, max_size=3), st.tuples(exact, exact.map(lambda c: c / 2)), max_size=40
)


def view_of(rows, round=5):
    return FakeView({id: a for id, (a, _) in rows.items()}, {id: c for id, (_, c) in rows.items()}, round)


def slow_weak(agreement, confidence, queried, n):
    """Bins by exact fractions, and one image at a time."""
    left = [id for id in agreement if id not in queried]
    if not left:
        return []
    exactly = {id: Fraction(confidence[id]) for id in left}
    low, high = min(exactly.values()), max(exactly.values())
    top = [id for id in left if exactly[id] >= low + (high - low) * 9 / 10]
    chosen = []
    for group in (top, [id for id in left if id not in top]):
        while group and len(chosen) < n:
            best = min(id for id in group if agreement[id] == max(agreement[other] for other in group))
            group.remove(best)
            chosen.append(best)
    return chosen


@given(pools, st.integers(4, 7), st.integers(0, 20), st.data())
def test_weak_labels_are_those_of_the_slow_description(rows, round, step, data):
    view = view_of(rows, round)
    n = data.draw(st.integers(0, len(rows)))
    selection = DSAL(pseudo_step=step).select(view, n, rng())
    wanted = {4: 0, 5: step, 6: 2 * step, 7: 3 * step}[round]
    expected = slow_weak(view.agreement, view.confidence, selection.ids, wanted)
    assert list(selection.pseudo_labels) == expected
    assert len(expected) == min(wanted, len(rows) - n)


@given(pools, st.data())
def test_the_lowest_agreement_is_queried_lowest_first_ties_by_id(rows, data):
    view = view_of(rows)
    n = data.draw(st.integers(0, len(rows)))
    selection = DSAL().select(view, n, rng())
    assert list(selection.ids) == sorted(rows, key=lambda id: (view.agreement[id], id))[:n]
    assert selection.scores == tuple(1 - view.agreement[id] for id in selection.ids)


@given(pools, st.randoms(use_true_random=False), st.data())
def test_the_selection_depends_neither_on_the_order_of_the_pool_nor_on_the_generator(rows, random, data):
    n = data.draw(st.integers(0, len(rows)))
    other = list(rows.items())
    random.shuffle(other)
    assert DSAL().select(view_of(dict(other)), n, rng(1)) == DSAL().select(view_of(rows), n, rng(2))


def test_the_generator_is_not_used():
    generator = rng(0)
    DSAL().select(view_of({"a": (0.5, 0.25), "b": (0.25, 0.5)}), 1, generator)
    assert generator.random() == rng(0).random()


def pool(n=300):
    random = rng(7)
    return {f"image{i:03d}": (float(a), float(c)) for i, (a, c) in enumerate(random.random((n, 2)) / (1, 2))}


@pytest.mark.parametrize(("round", "count"), [(0, 0), (4, 0), (5, 20), (6, 40), (7, 60), (8, 80), (9, 100)])
def test_weak_labels_begin_in_round_5_with_20_and_grow_by_20(round, count):
    assert len(DSAL().select(view_of(pool(), round), 35, rng()).pseudo_labels) == count


def test_confidence_is_not_computed_if_no_weak_label_is_wanted():
    class View:
        round = 4

        def scores(self, score):
            assert score is alkit.scores.head_disagreement
            return {"a": 0.5}

    assert DSAL().select(View(), 1, rng()).ids == ("a",)
    View.round = 9
    assert DSAL(pseudo_step=0).select(View(), 1, rng()).ids == ("a",)


def test_queried_images_get_no_weak_label_and_are_not_in_the_histogram():
    # "q" is by far the most confident; without it the last bin holds "a" and "b".
    disagreement = {"q": 0.9, "a": 0.3, "b": 0.2, "c": 0.1}
    doubt = {"q": 0.0, "a": 0.3, "b": 0.305, "c": 0.4}
    assert weak_labels(disagreement, doubt, ["q"], 1) == ("b",)
    assert weak_labels(disagreement, doubt, ["q"], 9) == ("b", "a", "c")
    assert weak_labels(disagreement, doubt, [], 1) == ("q",)


def test_the_last_of_ten_bins_begins_at_nine_tenths():
    doubt = {f"c{k:03d}": (128 - k) / 256 for k in range(121)}  # confidence 0 to 120 / 256: bins of 12 / 256
    disagreement = dict(zip(doubt, np.linspace(0, 1, 121), strict=True))
    first = weak_labels(disagreement, doubt, [], 13)
    assert first == tuple(f"c{k}" for k in range(108, 121))
    assert weak_labels(disagreement, doubt, [], 15) == (*first, "c000", "c001")


def test_with_equal_confidence_the_agreement_alone_decides():
    disagreement = {"a": 0.3, "b": 0.2, "c": 0.2}
    assert weak_labels(disagreement, dict.fromkeys("abc", 0.25), [], 2) == ("b", "c")


def test_more_images_than_candidates_is_an_error():
    with pytest.raises(alkit.errors.SelectionError, match="cannot select 3 images: only 2 candidates are left"):
        DSAL().select(view_of({"a": (0.5, 0.5), "b": (0.5, 0.5)}), 3, rng())


@pytest.mark.parametrize("arguments", [{"pseudo_from": -1}, {"pseudo_from": None}, {"pseudo_step": 1.5}])
def test_wrong_parameters_are_errors(arguments):
    with pytest.raises(alkit.errors.ConfigurationError):
        DSAL(**arguments)
