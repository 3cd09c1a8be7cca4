"""Picks equal a plain definition: identical images come last, groups keep their limits, the nearest pick counts."""

from types import SimpleNamespace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from alkit.errors import SelectionError
from alkit.features import identical, search
from alkit.features.identical import first_identical
from alkit.strategies import Picks, different_first, picks
from alkit.strategies.asking import Among
from alkit.values import Limit


def view_of(n, labelled=(), others=(), **more):
    ids = [f"{number:03}" for number in range(n)]
    taken = {ids[row] for row in [*labelled, *others]}
    return SimpleNamespace(
        ids=ids, candidates=[id for id in ids if id not in taken], labelled=[ids[row] for row in labelled], **more
    )


def free_slowly(rows, view, chosen, groups, most):
    """Return the rows that may be picked next, by the definition."""
    known = [view.ids.index(id) for id in view.labelled] + chosen
    waiting = [view.ids.index(id) for id in view.candidates if view.ids.index(id) not in chosen]
    alike = {row: sum(np.array_equal(rows[row], rows[other]) for other in known) for row in waiting}
    full = {row: sum(groups[row] == groups[other] for other in chosen) // most for row in waiting}
    for level in (alike, full):
        waiting = [row for row in waiting if level[row] == min(level[other] for other in waiting)]
    return waiting


@given(st.integers(1, 12), st.integers(0, 4), st.integers(1, 3), st.integers(1, 2), st.integers(0, 999))
def test_the_rows_that_may_be_picked_next_are_those_of_the_definition(n, labelled, different, most, seed):
    chance = np.random.default_rng(seed)
    rows = chance.integers(different, size=(n, 1)).astype(np.float32)
    groups = chance.integers(3, size=n).tolist()
    order = chance.permutation(n).tolist()
    view = view_of(n, order[:labelled])
    view.limits = [Limit(dict(zip(view.ids, map(str, groups), strict=True)), most)]
    found = Picks(view, rows, len(view.candidates))
    chosen = []
    # Only a pick from an emptied set can free others, so follow the rule from set to set.
    while found.missing:
        expected = free_slowly(rows, view, chosen, groups, most)
        assert np.flatnonzero(found.free).tolist() == expected
        refills = found.refills
        while found.missing and found.refills == refills:
            row = int(chance.choice(np.flatnonzero(found.free)))
            assert row in expected
            found.pick(row)
            chosen.append(row)
    assert sorted(found.ids) == view.candidates


def test_identical_images_come_last_and_images_like_labelled_ones_too():
    rows = np.array([[0], [0], [1], [2], [2], [-0.0], [7]], np.float32)
    view = view_of(7, labelled=[3])
    chosen = different_first(Picks(view, rows, 6), view.candidates).ids
    assert chosen == ("000", "002", "006", "001", "004", "005")


def test_a_group_that_is_full_waits_and_identical_images_wait_longer():
    rows = np.array([[0], [1], [2], [3], [3]], np.float32)
    groups = dict(zip(["000", "001", "002", "003"], "aaab", strict=True))
    view = view_of(5, limits=[Limit(groups, most=1)])
    assert different_first(Picks(view, rows, 5), view.candidates).ids == ("000", "003", "001", "002", "004")


def test_a_view_of_fewer_candidates_keeps_the_limits():
    limits = [Limit({"000": "a", "001": "a"}, most=1)]
    assert Among(view_of(5, limits=limits), ["000", "001", "002"]).limits == limits
    few = Among(view_of(5, limits=limits), ["000", "001", "002"])
    assert different_first(Picks(few, np.eye(5, dtype=np.float32), 3), few.ids).ids == ("000", "002", "001")
    assert Among(view_of(5), ["000"]).limits == ()


@given(
    st.integers(1, 20), st.integers(0, 5), st.integers(1, 6), st.integers(1, 7), st.integers(1, 7), st.integers(0, 999)
)
def test_each_image_belongs_to_the_nearest_pick_or_labelled_image(n, labelled, n_picks, block, against, seed):
    chance = np.random.default_rng(seed)
    rows = chance.integers(-3, 4, size=(n, 2)).astype(np.float32)  # whole numbers, so that equal distances are equal
    order = chance.permutation(n).tolist()
    known, chosen = order[:labelled], order[labelled : labelled + n_picks]
    references = [*known, *chosen]
    owners = [min(references, key=lambda r: (float(((rows[i] - rows[r]) ** 2).sum()), references.index(r)))
              for i in range(n) if references]  # fmt: skip
    owners = [i if i in chosen else owner for i, owner in enumerate(owners)]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(picks, "ROWS", block)
        patch.setattr(search, "CELLS", against)
        counts = picks.count_represented(rows, np.array(known, np.int64), chosen, first_identical(rows))
    assert counts == [owners.count(pick) for pick in chosen]


def test_the_selection_says_what_each_pick_stands_for():
    rows = np.array([[0], [1], [2], [10], [11], [20]], np.float32)
    found = Picks(view_of(6, labelled=[5]), rows, 2)
    found.pick(1)
    found.pick(3)
    assert found.selection().stands_for == ("pick 1 of 2, stands for 3 images", "pick 2 of 2, stands for 2 images")
    assert found.selection([7, 1]).stands_for[1] == "pick 2 of 2, stands for 1 image"
    assert found.selection().ids == ("001", "003")


@given(st.integers(0, 30), st.integers(1, 3), st.integers(1, 40), st.booleans(), st.integers(0, 999))
def test_identical_rows_equal_those_of_a_plain_loop(n, d, block, collide, seed):
    rows = np.random.default_rng(seed).integers(-1, 2, size=(n, d)).astype(np.float32)
    rows *= -1  # makes -0.0
    expected = [next(j for j in range(n) if np.array_equal(rows[i], rows[j])) for i in range(n)]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(identical, "BLOCK", block)
        if collide:  # a hash that says nothing
            patch.setattr(identical, "_hashes", lambda features: np.zeros(len(features), np.uint64))
        assert first_identical(rows).tolist() == expected


def test_wrong_features_and_picks_are_errors():
    view, rows = view_of(3), np.eye(3, dtype=np.float32)
    with pytest.raises(SelectionError, match="one row for each image of the pool"):
        Picks(view, rows[:2], 1)
    with pytest.raises(SelectionError, match="and a column"):
        Picks(view, rows[:, :0], 1)
    with pytest.raises(SelectionError, match="cannot select 4 images"):
        Picks(view, rows, 4)
    rows[1, 1] = np.nan
    with pytest.raises(SelectionError, match="features of '001' are not finite"):
        Picks(view, rows, 1)
    found = Picks(view, np.eye(3, dtype=np.float32), 2)
    found.pick(0)
    with pytest.raises(SelectionError, match="'000' cannot be picked next"):
        found.pick(0)
