"""alkit's conformance kit, and a comparison with a slow implementation of the paper's rule."""

import math
from types import SimpleNamespace

import alkit
import numpy as np
import pytest
from alkit.testing import RowMeans, StrategyKit

import alkit_kernel_herding
from alkit_kernel_herding import KernelHerding


class TestKernelHerding(StrategyKit):
    """The kit."""

    random = False  # nothing depends on the seed

    @pytest.fixture
    def strategy(self):
        return KernelHerding(features=RowMeans(), width=0.3)


def select_slowly(view, n, width):
    """Select as the paper describes it, one image and one pair at a time."""
    rows = dict(zip(view.ids, view.features(None).tolist(), strict=True))
    squares = [math.dist(rows[a], rows[b]) ** 2 for a in view.ids for b in view.ids]
    wide = width * math.sqrt(sum(squares) / len(squares))

    def k(a, b):
        return math.exp(-(math.dist(rows[a], rows[b]) ** 2) / (2 * wide**2))

    selected = list(view.labelled)
    chosen = []
    for _ in range(n):
        values = {
            id: sum(k(id, other) for other in view.ids) / len(view.ids)
            - sum(k(id, other) for other in selected) / (len(selected) + 1)
            for id in view.candidates
            if id not in selected
        }
        selected.append(max(sorted(values), key=values.__getitem__))
        chosen.append(selected[-1])
    return tuple(chosen)


@pytest.mark.parametrize("width", [0.1, 0.5, 2.0])
@pytest.mark.parametrize(("n", "labelled"), [(1, 0), (8, 0), (8, 5), (30, 20)])
def test_the_selection_equals_that_of_a_slow_implementation_of_the_paper(n, labelled, width):
    rng = np.random.default_rng(n + labelled)
    ids = [f"{number:02}" for number in range(60)]
    rows = (10 * rng.integers(4, size=(60, 2)) + rng.normal(size=(60, 2))).astype(np.float32)
    order = rng.permutation(ids).tolist()
    view = SimpleNamespace(
        ids=ids, labelled=order[:labelled], candidates=sorted(order[labelled + 2 :]), features=lambda extractor: rows
    )
    chosen = KernelHerding(RowMeans(), width).select(view, n, np.random.default_rng(0))
    assert chosen.ids == select_slowly(view, n, width)


def test_images_that_are_wanted_equally_are_ordered_by_id():
    ids = ["a", "b", "c", "d"]
    square = np.array([[0, 0], [0, 1], [1, 0], [1, 1]], dtype=np.float32)
    view = SimpleNamespace(ids=ids, labelled=[], candidates=ids, features=lambda extractor: square)
    assert KernelHerding(RowMeans()).select(view, 2, np.random.default_rng(0)).ids == ("a", "d")


@pytest.mark.parametrize("block", [1, 7, 10, 11])
def test_means_do_not_depend_on_the_block_size(monkeypatch, block):
    rows = np.random.default_rng(0).normal(size=(10, 3)).astype(np.float32)
    monkeypatch.setattr(alkit_kernel_herding, "BLOCK", block)
    slow = [np.mean([math.exp(-(math.dist(a, b) ** 2) / 8) for b in rows.tolist()]) for a in rows.tolist()]
    np.testing.assert_allclose(alkit_kernel_herding.mean_kernel(rows, 2.0), slow, rtol=1e-12)


def test_stands_for_counts_the_images_that_are_nearest_to_each_pick():
    ids = ["a", "b", "c", "d"]
    line = np.array([[0], [1], [2], [90]], dtype=np.float32)
    view = SimpleNamespace(ids=ids, labelled=["d"], candidates=["a", "b", "c"], features=lambda extractor: line)
    chosen = KernelHerding(RowMeans()).select(view, 1, np.random.default_rng(0))
    assert dict(zip(chosen.ids, chosen.stands_for, strict=True)) == {"b": "pick 1 of 1, stands for 3 images"}


def test_identical_images_come_last():
    ids = ["a", "b", "c"]
    rows = np.array([[0], [0], [5]], dtype=np.float32)
    view = SimpleNamespace(ids=ids, labelled=[], candidates=ids, features=lambda extractor: rows)
    assert KernelHerding(RowMeans()).select(view, 3, np.random.default_rng(0)).ids == ("a", "c", "b")


@pytest.mark.parametrize("wrong", [{"features": 3}, {"width": 0}, {"width": math.nan}])
def test_a_wrong_parameter_is_an_error_that_names_it(wrong):
    (name,) = wrong
    with pytest.raises(alkit.errors.ConfigurationError, match=f"^{name} must be "):
        KernelHerding(**wrong)
