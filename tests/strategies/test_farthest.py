"""Farthest-first picks equal those of a plain loop in float64, ties included, whatever is read at once."""

from types import SimpleNamespace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from alkit.errors import SelectionError
from alkit.strategies import Picks, farthest, pick_farthest
from alkit.testing import RowMeans, StrategyKit
from alkit.values import Limit
from alkit_baselines.k_centre import KCentre


def view_of(n, labelled=(), others=(), **more):
    ids = [f"{number:03}" for number in range(n)]
    taken = {ids[row] for row in [*labelled, *others]}
    return SimpleNamespace(
        ids=ids, candidates=[id for id in ids if id not in taken], labelled=[ids[row] for row in labelled], **more
    )


def squares(rows, row):
    difference = rows.astype(np.float64) - rows[row].astype(np.float64)
    return np.einsum("nd,nd->n", difference, difference)


def pick_slowly(picks, rows):
    """Pick the farthest free row, and the row nearest to the mean first."""
    away = np.full(len(rows), np.inf)
    for row in picks.labelled:
        away = np.minimum(away, squares(rows, row))
    if picks.missing and not len(picks.labelled):
        difference = rows - rows.mean(axis=0, dtype=np.float64)
        picks.pick(int(np.where(picks.free, -np.einsum("nd,nd->n", difference, difference), -np.inf).argmax()))
        away = squares(rows, picks.rows[0])
    while picks.missing:
        row = int(np.where(picks.free, away, -1).argmax())
        picks.pick(row)
        away = np.minimum(away, squares(rows, row))
    return np.sqrt(away)


@given(
    kind=st.sampled_from(["normal", "grid", "one-hot", "line"]),
    n=st.integers(1, 60),
    labelled=st.integers(0, 5),
    limits=st.booleans(),
    ahead=st.sampled_from([1, 2**18]),
    device=st.sampled_from([None, "cpu"]),
    seed=st.integers(0, 9999),
)
@settings(max_examples=120, deadline=None)
def test_picks_are_those_of_a_plain_loop(kind, n, labelled, limits, ahead, device, seed):
    chance = np.random.default_rng(seed)
    rows = {
        "normal": lambda: chance.normal(size=(n, 4)) + 100,
        "grid": lambda: chance.integers(3, size=(n, 2)),
        "one-hot": lambda: np.eye(7)[chance.integers(7, size=n)],
        "line": lambda: np.arange(n)[:, None],
    }[kind]().astype(np.float32)
    order = chance.permutation(n).tolist()
    view = view_of(n, order[:labelled], order[labelled : labelled + 3])
    if limits:
        view.limits = [Limit({id: str(chance.integers(4)) for id in view.ids}, 1)]
    wanted = int(chance.integers(len(view.candidates) + 1))
    slow, fast = Picks(view, rows, wanted), Picks(view, rows, wanted)
    away = pick_slowly(slow, rows)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(farthest, "AHEAD", ahead)
        references, distances = pick_farthest(fast, rows, device)
    if device is None:  # torch adds in another order, so ties may end in another way
        assert fast.ids == slow.ids
        assert distances.tolist() == away.tolist()
    if wanted or labelled:
        known = [*fast.labelled.tolist(), *fast.rows]
        nearest = np.sqrt([squares(rows, row) for row in known])
        np.testing.assert_allclose(distances, nearest.min(axis=0), rtol=1e-12)
        np.testing.assert_allclose(distances, nearest[references, np.arange(n)], rtol=1e-12)


def test_many_picks_share_a_pass(monkeypatch):
    rows = np.random.default_rng(0).normal(size=(5000, 16)).astype(np.float32)
    passes, original = [], farthest._pick_ahead
    monkeypatch.setattr(farthest, "_pick_ahead", lambda *args: passes.append(original(*args)))
    pick_farthest(Picks(view_of(5000), rows, 200), rows)
    assert len(passes) < 20


def select(rows, view, n):
    view.features = lambda extractor: rows
    return KCentre(features=RowMeans()).select(view, n, np.random.default_rng(0))


def test_each_pick_says_how_many_images_are_nearest_to_it():
    rows = np.array([[0], [1], [2], [100], [101], [50], [0]], np.float32)
    chosen = select(rows, view_of(7, labelled=[0]), 3)
    assert chosen.ids == ("004", "005", "002")
    assert chosen.stands_for == (
        "pick 1 of 3, stands for 2 images",
        "pick 2 of 3, stands for 1 image",
        "pick 3 of 3, stands for 1 image",  # image 1 is as near to the labelled image 0, which counts first
    )


def test_identical_images_come_last_by_id_and_stand_for_themselves():
    rows = np.array([[3], [3], [3], [5]], np.float32)
    chosen = select(rows, view_of(4), 4)
    assert chosen.ids == ("000", "003", "001", "002")
    assert chosen.stands_for[2:] == ("pick 3 of 4, stands for 1 image", "pick 4 of 4, stands for 1 image")


def test_one_image_and_too_few_candidates():
    rows = np.array([[3]], np.float32)
    assert select(rows, view_of(1), 1).ids == ("000",)
    assert select(rows, view_of(1), 0).ids == ()
    with pytest.raises(SelectionError, match="cannot select 2 images: only 1 candidate is left"):
        select(rows, view_of(1), 2)


class TestKCentre(StrategyKit):
    """The kit."""

    @pytest.fixture
    def strategy(self):
        return KCentre(features=RowMeans())
