"""Orders of ids: exact shares, nested budgets, and ties that do not depend on the order of the pool."""

import math
import time
from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from alkit.errors import ConfigurationError, SelectionError
from alkit.strategies import check_n, cluster_order, highest, largest_remainder, stands_for, top_k
from alkit.strategies.ordering import ranks, shares
from alkit.values import Clusters


@st.composite
def clusterings(draw, most=60):
    """Clusters of any sizes, empty ones too, with many equal distances and ids in no order."""
    k = draw(st.integers(1, 6))
    labels = draw(st.lists(st.integers(0, k - 1), max_size=most))
    distances = draw(st.lists(st.sampled_from([0.0, 0.25, 0.5, 3.0]), min_size=len(labels), max_size=len(labels)))
    ids = draw(st.permutations([f"{i:02d}" for i in range(len(labels))]))
    return Clusters(tuple(ids), np.array(labels, dtype=np.int64), np.array(distances, dtype=np.float64), k)


def slow_order(clusters):
    """The same order, with fractions and loops."""
    sizes, items = clusters.sizes.tolist(), []
    for label in range(clusters.k):
        members = sorted(
            (distance, id)
            for id, own, distance in zip(clusters.ids, clusters.labels, clusters.distances, strict=True)
            if own == label
        )
        items += [(Fraction(r, sizes[label]), -sizes[label], label, id) for r, (_, id) in enumerate(members)]
    return tuple(id for *_, id in sorted(items))


def quota(budget, sizes):
    """The paper's number of images of each cluster, ceil(C N_i / N), with exact fractions."""
    total = int(sum(sizes))
    return [math.ceil(Fraction(budget * int(size), total)) if total else 0 for size in sizes]


def of_sizes(sizes):
    """Clusters of these sizes, whose ids give the label and the rank."""
    pairs = [(label, rank) for label, size in enumerate(sizes) for rank in range(size)]
    return Clusters(
        tuple(f"{label}-{rank}" for label, rank in pairs),
        np.array([label for label, _ in pairs]),
        np.array([rank for _, rank in pairs], dtype=np.float64),
        len(sizes),
    )


@given(clusterings())
def test_the_cluster_order_is_that_of_exact_fractions(clusters):
    assert cluster_order(clusters) == slow_order(clusters)


@given(st.lists(st.integers(0, 300), min_size=1, max_size=5))
@settings(deadline=None)
def test_the_cluster_order_is_that_of_exact_fractions_for_large_clusters(sizes):
    assert cluster_order(of_sizes(sizes)) == slow_order(of_sizes(sizes))


@given(clusterings(), st.data())
def test_no_cluster_gives_more_than_its_quota_and_all_within_the_quotas_come_before_the_rest(clusters, data):
    n = len(clusters.ids)
    budget = data.draw(st.integers(0, n))
    order, label = cluster_order(clusters), dict(zip(clusters.ids, clusters.labels.tolist(), strict=True))
    rank = dict(zip(clusters.ids, ranks(clusters).tolist(), strict=True))
    quotas = quota(budget, clusters.sizes)
    chosen = [label[id] for id in order[:budget]]
    assert len(chosen) == budget
    assert all(chosen.count(cluster) <= most for cluster, most in enumerate(quotas))
    # Exactly quota[i] members of cluster i have r / N_i < C / N, and those are the beginning of the order.
    within = [id for id in order if rank[id] * n < budget * clusters.sizes[label[id]]]
    assert [sum(label[id] == cluster for id in within) for cluster in range(clusters.k)] == quotas
    assert tuple(within) == order[: len(within)]
    assert len(within) >= budget


@given(clusterings())
def test_the_cluster_order_holds_every_id_once(clusters):
    assert sorted(cluster_order(clusters)) == sorted(clusters.ids)


@given(clusterings(), st.randoms(use_true_random=False))
def test_permuting_the_pool_changes_neither_the_order_nor_the_descriptions(clusters, random):
    order = random.sample(range(len(clusters.ids)), len(clusters.ids))
    shuffled = Clusters(
        tuple(clusters.ids[i] for i in order), clusters.labels[order], clusters.distances[order], clusters.k
    )
    assert cluster_order(shuffled) == cluster_order(clusters)
    assert stands_for(shuffled) == stands_for(clusters)


def test_ties_go_to_the_larger_cluster_then_to_the_lower_number():
    order = cluster_order(of_sizes([2, 4, 2]))
    assert order == ("1-0", "0-0", "2-0", "1-1", "1-2", "0-1", "2-1", "1-3")


def test_ranks_are_by_distance_then_by_id():
    clusters = Clusters(("d", "c", "b", "a"), np.array([0, 0, 0, 1]), np.array([0.1, 0.5, 0.5, 9.0]), 2)
    assert ranks(clusters).tolist() == [0, 2, 1, 0]


def test_ids_that_numpy_would_compare_as_equal_are_distinguished():
    clusters = Clusters(("a\0", "a"), np.array([0, 0]), np.zeros(2), 1)
    assert cluster_order(clusters) == ("a", "a\0")
    assert top_k(["a\0", "a"], [1.0, 1.0], 2) == ("a", "a\0")


@pytest.mark.parametrize("a", [1_000, 30_000, 99_991])
def test_the_closest_fractions_of_large_clusters_are_distinguished(a):
    sizes = [a, a - 1]  # r / a and (r - 1) / (a - 1) differ by less and less, at last by 1 / (a (a - 1))
    labels = np.repeat([0, 1], sizes)
    position = np.concatenate([np.arange(a), np.arange(a - 1)])
    clusters = Clusters(tuple(map(str, range(2 * a - 1))), labels, position.astype(np.float64), 2)
    order = np.array(cluster_order(clusters), dtype=np.int64)
    r, size = (
        position[order].astype(object),
        np.array(sizes, dtype=object)[labels[order]],
    )  # Python's integers
    left, right = r[:-1] * size[1:], r[1:] * size[:-1]
    assert (left <= right).all()
    assert (labels[order][:-1][left == right] == 0).all()
    assert int((left == right).sum()) == 1  # only 0 / a and 0 / (a - 1) are equal


def test_pools_of_more_than_two_million_do_not_overflow():
    n = 2_200_000  # the cube of it is beyond 64 bits
    clusters = Clusters(tuple(map(str, range(n + 3))), np.repeat([0, 1], [n, 3]), np.arange(n + 3.0), 2)
    order = cluster_order(clusters)
    where = {id: place for place, id in enumerate(order) if int(id) >= n}
    # 0/3, 1/3, 2/3 among r / 2,200,000: after 1, after all r < n / 3, after all r < 2 n / 3.
    assert [where[str(n + i)] for i in range(3)] == [1, 733_334 + 1, 1_466_667 + 2]


def test_a_hundred_thousand_images_are_ordered_in_less_than_a_second():
    random = np.random.default_rng(0)
    clusters = Clusters(
        tuple(f"image{i}" for i in random.permutation(100_000)),
        random.integers(100, size=100_000),
        random.exponential(size=100_000),
        100,
    )
    start = time.process_time()
    cluster_order(clusters)
    assert time.process_time() - start < 1


def test_stands_for_describes_the_cluster_of_each_image():
    words = stands_for(of_sizes([113, 1]))
    assert words["0-0"] == "cluster 1 of 2, 113 images, 1st nearest to its centre"
    assert words["1-0"] == "cluster 2 of 2, 1 image, 1st nearest to its centre"
    ordinals = {
        rank: words[f"0-{rank - 1}"].split()[-5]
        for rank in (2, 3, 4, 10, 11, 12, 13, 20, 21, 22, 23, 101, 111, 112, 113)
    }
    assert " ".join(ordinals.values()) == "2nd 3rd 4th 10th 11th 12th 13th 20th 21st 22nd 23rd 101st 111th 112th 113th"


def test_the_cluster_order_is_exact_for_a_budget_of_the_paper_at_which_floats_are_wrong():
    assert math.ceil(440 / 1600 * 200) == 56  # the result with floats; 440 * 200 / 1600 is 55
    assert largest_remainder(440, [200, 1400]) == [55, 385]
    order = cluster_order(of_sizes([1400, 200]))
    assert sum(id.startswith("1-") for id in order[:440]) == 55


def test_sizes_of_small_numpy_types_do_not_overflow():
    assert largest_remainder(150, np.array([200, 50], dtype=np.uint8)) == [120, 30]


@given(st.lists(st.integers(0, 500), min_size=1, max_size=12), st.data())
def test_largest_remainders_sum_to_the_budget_and_stay_next_to_the_exact_share(sizes, data):
    budget = data.draw(st.integers(0, sum(sizes)))
    found = largest_remainder(budget, sizes)
    exact = [Fraction(budget * size, sum(sizes)) if sum(sizes) else Fraction(0) for size in sizes]
    assert sum(found) == budget
    assert all(math.floor(e) <= share <= math.ceil(e) for share, e in zip(found, exact, strict=True))
    assert all(share <= size for share, size in zip(found, sizes, strict=True))
    up = [(e % 1, size) for share, e, size in zip(found, exact, sizes, strict=True) if share > e]
    down = [(e % 1, size) for share, e, size in zip(found, exact, sizes, strict=True) if share < e]
    assert not up or not down or min(up) >= max(down)


def test_equal_remainders_go_to_the_larger_group_then_to_the_earlier():
    assert largest_remainder(2, [1, 3, 1, 3]) == [0, 1, 0, 1]  # .25, .75, .25, .75
    assert largest_remainder(4, [2, 6]) == [1, 3]
    assert largest_remainder(2, [1, 5, 2]) == [0, 1, 1]  # .25, 1.25, .5
    assert largest_remainder(2, [2, 6]) == [0, 2]  # .5, 1.5
    assert largest_remainder(1, [2, 2]) == [1, 0]


@pytest.mark.parametrize(
    ("budget", "sizes", "words"),
    [
        (-1, [3], "budget must be from 0 to 3, the sum of sizes: got -1"),
        (4, [3], "budget must be from 0 to 3, the sum of sizes: got 4"),
        (1, [-1, 3], r"sizes must be integers >= 0: got \[-1, 3\]"),
        (1, [], "budget must be from 0 to 0, the sum of sizes: got 1"),
    ],
)
def test_a_budget_that_cannot_be_divided_is_an_error(budget, sizes, words):
    with pytest.raises(ConfigurationError, match=words):
        largest_remainder(budget, sizes)


@given(st.lists(st.sampled_from([-1.5, -0.0, 0.0, 0.5, 2.0]), max_size=30), st.data())
def test_the_top_is_that_of_a_plain_sort_by_score_then_id(scores, data):
    ids = data.draw(st.permutations([f"{i:02d}" for i in range(len(scores))]))
    n = data.draw(st.integers(0, len(ids)))
    slow = sorted(zip(scores, ids, strict=True), key=lambda pair: (-pair[0], pair[1]))
    assert top_k(ids, scores, n) == tuple(id for _, id in slow[:n])
    selection = highest(dict(zip(ids, scores, strict=True)), n)
    assert selection.ids == tuple(id for _, id in slow[:n])
    assert selection.scores == tuple(score for score, _ in slow[:n])


@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf])
def test_a_score_that_is_not_finite_is_an_error_that_names_the_image(value):
    with pytest.raises(SelectionError, match=f"'b' is not finite: got {value}"):
        top_k(["a", "b", "c"], [0.5, value, value], 1)
    with pytest.raises(SelectionError, match=f"'b' is not finite: got {value}"):
        highest({"a": 0.5, "b": value, "c": value}, 1)


@pytest.mark.parametrize(
    ("ids", "scores", "n", "words"),
    [
        (["a", "b"], [0.0], 1, "ids and scores must have the same length"),
        (["a"], [0.0, 1.0], 1, "ids and scores must have the same length"),
        (["a", "a"], [0.0, 1.0], 1, "each id must occur once: got 2 ids, 1 of them different"),
        (["a"], [0.0], 2, "cannot select 2 images: only 1 candidate is left"),
        (["a"], [0.0], -1, "n must be an integer >= 0: got -1"),
        (["a"], ["high"], 1, "scores must be numbers"),
    ],
)
def test_wrong_ids_scores_and_numbers_are_errors(ids, scores, n, words):
    with pytest.raises(SelectionError, match=words):
        top_k(ids, scores, n)


def test_a_selection_may_hold_no_candidate_or_all_of_them():
    check_n(0, [])
    check_n(2, ["a", "b"])


@given(
    n=st.integers(0, 60), weights=st.lists(st.sampled_from([1, 2, 3, 6, 0.1, 0.3, 0.7, 2.5]), min_size=1, max_size=5)
)
def test_shares_are_exact_and_ties_go_to_the_earlier_one(n, weights):
    found = shares(n, weights)
    exact = [n * Fraction(str(weight)) / sum(Fraction(str(weight)) for weight in weights) for weight in weights]
    assert sum(found) == n
    assert all(int(e) <= got <= int(e) + 1 for got, e in zip(found, exact, strict=True))
    gained = [got > int(e) for got, e in zip(found, exact, strict=True)]
    rest = [e - int(e) for e in exact]
    for i, more in enumerate(gained):
        for j, other in enumerate(gained):
            if more and not other:
                assert (rest[i], -i) > (rest[j], -j)
    assert shares(6, [1, 6, 3]) == [1, 3, 2]
