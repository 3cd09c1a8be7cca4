"""CEAL: three groups by uncertainty, exact for every shape of the histogram, and pseudo-labels from its fullest bin."""

from collections import Counter
from dataclasses import dataclass
from fractions import Fraction

import numpy as np
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

import alkit
from alkit_baselines.ceal import CEAL, assign_bins, fill, groups, histogram, middle, most_certain, shuffle

NO_DETECTION, UNCERTAIN, MIDDLE, FILL = "no detection", "most uncertain", "middle of the histogram", "fill"


@dataclass(frozen=True)
class FakeView:
    """A view with given uncertainties."""

    uncertainty: dict[str, float]
    round: int = 0

    def scores(self, score, sampler, reduction):
        assert score is alkit.scores.edt_variance
        assert sampler == alkit.Dropout(20)
        assert reduction is alkit.scores.total
        return self.uncertainty


def rng(seed=0):
    return np.random.default_rng(seed)


def named(values):
    return {f"image{i:03d}": float(value) for i, value in enumerate(values)}


def in_bins(**counts):
    """U of as many images as each bin shall hold, such as ``b12=3``; the ids tell the bin. Bins 0 and 79 hold some."""
    values = {}
    for name, count in counts.items():
        place = int(name[1:])
        # Bins of width 1 from 1 to 81: their ends are exact, and the first and the last value span them.
        at = {0: 1.0, 79: 81.0}.get(place, 1.5 + place)
        values |= {f"{name}-{i:03d}": at for i in range(count)}
    assert {"b0", "b79"} <= counts.keys()
    return values


def bins_of(ids):
    return Counter(int(id.partition("-")[0][1:]) for id in ids)


def by_group(chosen):
    found = {NO_DETECTION: [], UNCERTAIN: [], MIDDLE: [], FILL: []}
    for id, group in chosen.items():
        found[group].append(id)
    return found


def slow_bins(u):
    """Bins by exact fractions."""
    positive = {id: Fraction(value) for id, value in u.items() if value > 0}
    if not positive:
        return {}
    low, high = min(positive.values()), max(positive.values())
    found = {}
    for id, value in positive.items():
        found[id] = 0
        for place in range(1, 80):
            if high > low and value >= low + (high - low) * place / 80:
                found[id] = place
    return found


def slow_modal(bins):
    counts = [list(bins.values()).count(place) for place in range(80)]
    return counts.index(max(counts))


def slow_groups(u, n):
    """The groups as the docstring describes them, one image at a time; `u` is already shuffled."""
    exact = [Fraction(n * share, 35) for share in (10, 10, 15)]
    shares = [share.numerator // share.denominator for share in exact]
    # What is left goes to the largest remainders; of equal ones the middle first, the largest group.
    for i in sorted(range(3), key=lambda i: (-(exact[i] - shares[i]), [1, 2, 0][i]))[: n - sum(shares)]:
        shares[i] += 1
    bins, left, chosen = slow_bins(u), list(u), {}

    def take(id, group):
        left.remove(id)
        chosen[id] = group

    for _ in range(shares[0]):
        take(next(id for id in left if u[id] == min(u[other] for other in left)), NO_DETECTION)

    counts = [list(bins.values()).count(place) for place in range(80)]
    turns = []
    for count in range(1, len(u) + 1):
        turns += [place for place in (79, 78, 77, 76, 75) if counts[place] == count]
    turns += range(74, -1, -1)
    wanted = shares[1]
    for place in turns:
        while wanted and (here := [id for id in left if bins.get(id) == place]):
            take(next(id for id in here if u[id] == max(u[other] for other in here)), UNCERTAIN)
            wanted -= 1

    if bins:
        first, last = slow_modal(bins) + 6, 47
        for _ in range(100):
            inside = [id for id in left if id in bins and bins[id] in range(first, last + 1)]
            if len(inside) >= shares[2]:
                break
            first, last = first - 1, last + 1
        for id in inside[: shares[2]]:
            take(id, MIDDLE)

    while len(chosen) < n:
        take(next(id for id in left if u[id] == max(u[other] for other in left)), FILL)
    return chosen


def slow_certain(u, queried, n):
    bins = slow_bins(u)
    return [id for id in u if bins and bins.get(id) == slow_modal(bins) and id not in queried][:n]


# Whole numbers, where the bins in floats are exact: few values, many values, mostly empty predictions, an outlier.
few = st.sampled_from([0, 1, 2, 3, 50, 75, 78, 80])
many = st.integers(1, 400)
empty = st.one_of(st.just(0), st.just(0), st.integers(0, 160))
outlier = st.one_of(st.integers(1, 40), st.integers(1, 40), st.just(10**12))
shapes = st.one_of(*(st.lists(values, max_size=90) for values in (few, many, empty, outlier)))


@given(shapes)
@example([5] * 40)
@example([1, 9] * 20)
@example([1, 2, 3] * 12 + [10**15])
@example([0] * 30 + list(range(1, 31)))
@example([0] * 40)
@example([])
def test_the_groups_are_those_of_the_slow_description_for_every_number(values):
    u = named(values)
    for n in {0, 1, 2, 3, 7, 35, len(u) // 2, len(u) - 1, len(u)} & set(range(len(u) + 1)):
        assert list(groups(u, n).items()) == list(slow_groups(u, n).items())


@given(shapes, st.integers(0, 30), st.data())
def test_pseudo_labels_are_those_of_the_slow_description(values, wanted, data):
    u = named(values)
    queried = groups(u, data.draw(st.integers(0, len(u))))
    assert most_certain(histogram(u), queried, wanted) == slow_certain(u, queried, wanted)


positive = st.floats(min_value=0, max_value=1e300, exclude_min=True)
wild = st.lists(st.one_of(st.just(0.0), st.floats(0, 10), positive), max_size=60)


@given(wild)
def test_bins_go_up_with_the_uncertainty_and_span_all_80_whatever_the_numbers(values):
    u = named(values)
    bins = histogram(u)
    assert bins.keys() == {id for id in u if u[id] > 0}
    order = sorted(bins, key=u.get)
    places = [bins[id] for id in order]
    assert places == sorted(places)
    if order:
        assert places[0] == 0
        assert places[-1] == (79 if u[order[-1]] > u[order[0]] else 0)


@given(wild, st.integers(0, 8), st.data())
def test_exactly_n_different_candidates_are_chosen_and_no_pseudo_label_is_among_them(values, round, data):
    u = named(values)
    n = data.draw(st.integers(0, len(u)))
    selection = CEAL().select(FakeView(u, round), n, rng())
    assert len(selection.ids) == len(set(selection.ids)) == n
    pseudo = selection.pseudo_labels
    assert set(selection.ids) | set(pseudo) <= u.keys()
    assert not set(selection.ids) & set(pseudo)
    assert len(set(pseudo)) == len(pseudo)
    assert all(u[id] > 0 for id in pseudo)


@pytest.mark.parametrize(
    ("n", "words"),
    [
        (-1, "n must be an integer >= 0: got -1"),
        (6, "cannot select 6 images: only 5 candidates are left"),
        (40, "cannot select 40 images: only 5 candidates are left"),
    ],
)
def test_a_number_of_images_out_of_range_is_the_same_error_as_that_of_highest(n, words):
    u = named(range(5))
    with pytest.raises(alkit.errors.SelectionError) as expected:
        alkit.highest(u, n)
    with pytest.raises(alkit.errors.SelectionError, match=words) as found:
        CEAL().select(FakeView(u), n, rng())
    assert str(found.value) == str(expected.value)


def test_a_batch_of_35_has_10_empty_predictions_10_from_the_top_and_15_from_the_middle():
    u = {f"e{i:02d}": 0.0 for i in range(30)} | in_bins(b0=3, b4=30, b10=9, b30=9, b47=9, b48=9, b75=9, b76=9, b79=2)
    found = by_group(groups(shuffle(u, rng()), 35))
    assert [len(ids) for ids in found.values()] == [10, 10, 15, 0]
    assert all(u[id] == 0 for id in found[NO_DETECTION])
    assert bins_of(found[UNCERTAIN]) == {79: 2, 76: 8}
    assert bins_of(found[MIDDLE]).keys() <= {10, 30, 47}


@pytest.mark.parametrize(("n", "expected"), [(35, (10, 10, 15)), (70, (20, 20, 30)), (700, (200, 200, 300))])
def test_larger_numbers_keep_the_proportions(n, expected):
    u = {f"e{i:03d}": 0.0 for i in range(400)} | in_bins(b0=1, b3=400, b20=400, b79=400)
    assert tuple(len(ids) for ids in by_group(groups(u, n)).values()) == (*expected, 0)


@pytest.mark.parametrize(("n", "expected"), [(1, (0, 0, 1)), (2, (1, 0, 1)), (3, (1, 1, 1)), (8, (2, 2, 4))])
def test_smaller_batches_are_divided_by_largest_remainder(n, expected):
    u = {f"e{i:03d}": 0.0 for i in range(9)} | in_bins(b0=1, b3=9, b20=9, b79=9)
    assert tuple(len(ids) for ids in by_group(groups(u, n)).values()) == (*expected, 0)


def test_the_least_full_of_the_last_five_bins_comes_first_and_the_highest_among_equal_ones():
    u = in_bins(b0=30, b74=1, b75=1, b76=3, b77=2, b78=2, b79=3)
    found = by_group(groups(u, 35))[UNCERTAIN]
    assert list(bins_of(found).items()) == [(75, 1), (78, 2), (77, 2), (79, 3), (76, 2)]


def test_the_most_uncertain_come_from_lower_bins_if_the_last_five_bins_hold_too_few():
    u = in_bins(b0=40, b60=40, b72=5, b73=2, b74=3, b75=1, b79=1)
    found = by_group(groups(u, 35))[UNCERTAIN]
    assert list(bins_of(found).items()) == [(79, 1), (75, 1), (74, 3), (73, 2), (72, 3)]


def test_inside_a_bin_the_higher_uncertainty_comes_first():
    u = {"low": 1.0} | {f"rest{i}": 1.0 for i in range(40)} | {"c": 80.4, "a": 80.2, "b": 80.9, "d": 81.0}
    assert by_group(groups(u, 11))[UNCERTAIN] == ["d", "b", "c"]


@pytest.mark.parametrize("modal", [0, 3, 20, 41])
def test_the_middle_begins_six_bins_above_the_fullest_and_ends_with_bin_47(modal):
    edges = {modal: 60, modal + 5: 20, modal + 6: 20, 47: 20, 48: 20, 79: 20}
    u = {f"e{i:02d}": 0.0 for i in range(30)} | in_bins(**{"b0": 1} | {f"b{at}": count for at, count in edges.items()})
    found = bins_of(by_group(groups(shuffle(u, rng()), 35))[MIDDLE])
    assert found.keys() == {modal + 6, 47}
    assert found.total() == 15


@pytest.mark.parametrize(
    ("around", "expected"),
    [
        ({"b25": 9, "b26": 9, "b47": 9, "b48": 9}, {26: 9, 47: 9}),  # wide enough as it is
        ({"b24": 20, "b25": 4, "b26": 4, "b47": 4, "b48": 5, "b49": 20}, {25: 4, 26: 4, 47: 4, 48: 5}),
        ({"b23": 20, "b24": 8, "b26": 4, "b47": 4, "b50": 20}, {24: 8, 26: 4, 47: 4}),
        ({"b23": 20, "b26": 4, "b47": 4, "b49": 8, "b50": 20}, {26: 4, 47: 4, 49: 8}),
    ],
)
def test_a_middle_with_too_few_grows_by_one_bin_at_either_end_at_a_time(around, expected):
    bins = histogram(in_bins(b0=1, b20=60, b79=60, **around))
    assert bins_of(middle(bins, (), sum(expected.values()))) == expected


def test_the_middle_can_grow_to_all_bins():
    bins = histogram(in_bins(b0=2, b79=3))
    assert len(middle(bins, (), 5)) == len(middle(bins, (), 9)) == 5


def test_the_middle_grows_between_bin_47_and_a_fullest_bin_near_the_top():
    # From bin 66 to bin 47: nothing, until both ends have met at 56 and 57.
    bins = histogram(in_bins(b0=5, b55=5, b56=5, b57=5, b58=5, b60=30, b79=5))
    assert bins_of(middle(bins, (), 1)).keys() <= {56, 57}
    assert bins_of(middle(bins, (), 11)).keys() <= {55, 56, 57, 58}
    assert bins_of(middle(bins, (), 10)) == {56: 5, 57: 5}


def test_the_middle_does_not_count_images_of_the_other_groups():
    u = in_bins(b0=30, b20=5, b47=5, b48=9, b79=1)
    bins = histogram(u)
    taken = [id for id in u if bins[id] == 20]
    assert bins_of(middle(bins, taken, 5)) == {47: 5}
    assert bins_of(middle(bins, taken, 7)) == {47: 5, 48: 2}


def test_empty_predictions_are_selected_at_random_and_get_no_pseudo_label():
    u = named([0] * 50)
    selection = CEAL().select(FakeView(u, round=9), 35, rng())
    assert selection.pseudo_labels == ()
    assert Counter(selection.stands_for) == {"no detection, U = 0": 10, "fill, U = 0": 25}
    assert selection.ids != tuple(sorted(selection.ids))


def test_a_batch_that_is_too_small_is_filled_by_descending_uncertainty_and_then_in_the_given_order():
    u = {"c": 0.0, "a": 3.0, "d": 0.0, "b": 5.0}
    assert fill(u, (), 4) == ["b", "a", "c", "d"]
    assert fill(u, ("b",), 2) == ["a", "c"]


def test_without_empty_predictions_the_lowest_uncertainty_takes_their_place_and_is_described_as_such():
    u = named(range(1, 81))
    selection = CEAL().select(FakeView(u), 7, rng())
    assert selection.ids[:2] == ("image000", "image001")
    assert selection.stands_for[:2] == ("least uncertain, U = 1", "least uncertain, U = 2")


def test_stands_for_gives_the_group_and_the_uncertainty_and_there_are_no_scores():
    u = {"empty": 0.0, "b": 12.3456, "c": 100.0, "d": 1.0, "e": 1.0, "f": 1.0}
    selection = CEAL().select(FakeView(u), 3, rng())
    assert dict(zip(selection.ids, selection.stands_for, strict=True)) == {
        "empty": "no detection, U = 0",
        "c": "most uncertain, U = 100",
        "b": "middle of the histogram, U = 12.35",
    }
    assert selection.scores is None


@given(shapes, st.integers(0, 8), st.randoms(use_true_random=False), st.data())
def test_the_same_generator_selects_the_same_whatever_the_order_of_the_pool(values, round, random, data):
    u = named(values)
    n = data.draw(st.integers(0, len(u)))
    other = list(u.items())
    random.shuffle(other)
    assert CEAL().select(FakeView(dict(other), round), n, rng(3)) == CEAL().select(FakeView(u, round), n, rng(3))


def counted(draw, times=3000):
    """How often each id comes in so many draws from one generator."""
    generator = rng(0)
    return Counter(id for _ in range(times) for id in draw(generator))


def test_ties_of_empty_predictions_the_middle_and_pseudo_labels_are_drawn_evenly():
    u = {f"e{i}": 0.0 for i in range(6)} | in_bins(b0=1, b10=10, b30=6, b79=1)
    view = FakeView(u, round=1)
    strategy = CEAL(pseudo_from=1, pseudo_step=5)

    def drawn(generator):
        selection = strategy.select(view, 7, generator)
        return [*selection.ids, *selection.pseudo_labels]

    times = counted(drawn)
    # Two of six empty ones; b79 and one of b30 as the most uncertain, three of the others of b30 as the middle; five
    # of ten in the fullest bin. Standard deviations are below 28.
    assert all(abs(times[f"e{i}"] - 1000) < 140 for i in range(6))
    assert times["b79-000"] == 3000
    highest = [times[f"b30-{i:03d}"] for i in range(6)]
    assert sum(highest) == 4 * 3000
    assert all(abs(count - 2000) < 140 for count in highest)
    assert all(abs(times[f"b10-{i:03d}"] - 1500) < 140 for i in range(10))


@pytest.mark.parametrize(("round", "count"), [(0, 0), (4, 0), (5, 20), (6, 40), (7, 60), (8, 80), (9, 100)])
def test_pseudo_labels_begin_in_round_5_with_20_and_grow_by_20(round, count):
    u = in_bins(b0=1, b2=200, b79=1)
    pseudo = CEAL().select(FakeView(u, round), 3, rng()).pseudo_labels
    assert bins_of(pseudo) == ({2: count} if count else {})


def test_there_are_at_most_as_many_pseudo_labels_as_unqueried_images_in_the_fullest_bin():
    # Three queried: the least uncertain (b0), the most (b79), and one of the middle, which grows down to the fullest.
    u = in_bins(b0=1, b2=8, b79=1)
    selection = CEAL().select(FakeView(u, 5), 3, rng())
    assert bins_of(selection.ids) == {0: 1, 79: 1, 2: 1}
    assert sorted([*selection.ids, *selection.pseudo_labels]) == sorted(u)
    assert bins_of(selection.pseudo_labels) == {2: 7}


def test_empty_predictions_get_no_pseudo_label_though_they_are_the_most_frequent():
    u = {f"e{i:03d}": 0.0 for i in range(200)} | in_bins(b0=1, b2=30, b79=1)
    assert bins_of(CEAL().select(FakeView(u, 5), 35, rng()).pseudo_labels).keys() == {2}


def test_pseudo_labels_come_from_the_lowest_among_equally_full_bins():
    u = in_bins(b0=1, b9=5, b4=5, b79=1)
    assert bins_of(CEAL().select(FakeView(u, 5), 0, rng()).pseudo_labels) == {4: 5}


def test_another_schedule_of_pseudo_labels_can_be_set():
    u = in_bins(b0=1, b2=50, b79=1)
    strategy = CEAL(pseudo_from=2, pseudo_step=3)
    counts = [len(strategy.select(FakeView(u, round), 0, rng()).pseudo_labels) for round in range(5)]
    assert counts == [0, 0, 3, 6, 9]
    assert CEAL(pseudo_step=0).select(FakeView(u, 9), 0, rng()).pseudo_labels == ()


def test_the_score_and_the_number_of_draws_can_be_set():
    class Asked:
        round = 0

        def scores(self, *question):
            self.question = question
            return {"a": 1.0}

    view = Asked()
    CEAL(draws=7, score=alkit.scores.edt_variance_both_sides).select(view, 1, rng())
    assert view.question == (alkit.scores.edt_variance_both_sides, alkit.Dropout(7), alkit.scores.total)


def test_a_score_function_with_a_name_is_stored_by_its_name():
    assert CEAL(score=alkit.scores.edt_variance) == CEAL()
    assert CEAL(score=alkit.scores.edt_variance_both_sides).score == "edt-variance-both-sides"
    assert CEAL(draws=1, score="entropy").draws == 1


def test_a_value_on_a_border_belongs_to_the_upper_bin_and_the_highest_to_the_last():
    u = {f"{k}": 1.0 + k for k in range(81)}
    assert assign_bins(u, 80) == {f"{k}": min(k, 79) for k in range(81)}
    assert assign_bins({"a": 4.0, "b": 4.0}, 10) == {"a": 0, "b": 0}
    assert assign_bins({}, 10) == {}


@pytest.mark.parametrize(
    "arguments",
    [
        {"draws": 0},
        {"draws": 2.5},
        {"draws": True},
        {"pseudo_from": -1},
        {"pseudo_step": -1},
        {"pseudo_step": "20"},
        {"score": "edt-varience"},
        {"draws": 1},
    ],
)
def test_wrong_parameters_are_errors(arguments):
    with pytest.raises(alkit.errors.ConfigurationError):
        CEAL(**arguments)
