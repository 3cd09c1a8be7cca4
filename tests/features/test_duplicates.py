"""Near-duplicates equal those of plain loops, across the borders of blocks too."""

import numpy as np
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from alkit.features import duplicates, find_duplicates


def plain_loop(features, ids, labelled, candidates, similarity):
    """The definition, image by image, in float64."""
    away = features.astype(float) - features.astype(float).mean(axis=0)
    kept, found = [id for id in labelled if id in ids], {}
    for place, id in enumerate(order := [*kept, *sorted(candidates)]):
        if id in kept:
            continue
        row, mine = features[ids.index(id)], away[ids.index(id)]
        if same := [other for other in order[:place] if np.array_equal(row, features[ids.index(other)])]:
            found[id] = found.get(same[0], same[0])
            continue
        alike = []
        for other in kept:
            its = away[ids.index(other)]
            lengths = np.linalg.norm(mine) * np.linalg.norm(its)
            alike.append(mine @ its / lengths if lengths > 1e-6 else -2.0)
        if alike and max(alike) >= similarity:
            found[id] = kept[int(np.argmax(alike))]
        else:
            kept.append(id)
    return found


@example(n=12, d=2, labelled=0, block=1, against=1, similarity=-0.5, seed=363)  # the same as a duplicate
@given(
    n=st.integers(1, 40),
    d=st.integers(1, 4),
    labelled=st.integers(0, 10),
    block=st.integers(1, 7),
    against=st.integers(1, 7),
    similarity=st.sampled_from([-0.5, 0.31, 0.9, 0.99]),
    seed=st.integers(0, 999),
)
def test_near_duplicates_equal_those_of_a_plain_loop(n, d, labelled, block, against, similarity, seed):
    chance = np.random.default_rng(seed)
    features = chance.normal(size=(n, d)).astype(np.float32)
    features[chance.random(n) < 0.3] = features[0]
    ids = [f"{letter}{place:02}" for place, letter in enumerate(chance.choice(list("pqr"), n))]
    first, rest = ids[:labelled], ids[labelled:]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(duplicates, "BLOCK", block)
        patch.setattr(duplicates, "AGAINST", against)
        found = find_duplicates(features, ids, first, rest, similarity)
    expected = plain_loop(features, ids, first, rest, similarity)
    assert found.keys() == expected.keys()
    if d > 1:  # in one dimension every cosine is 1 or -1, so rounding decides which one is the nearest
        assert found == expected


def test_identical_images_are_duplicates_whatever_the_cosine():
    rows = np.array([[3, 1], [3, 1], [0, 7], [0, 7], [0, -9]], np.float32)
    assert find_duplicates(rows, list("abcde"), [], list("abcde"), similarity=1.0) == {"b": "a", "d": "c"}
    alone = np.ones((3, 4), np.float32)  # all rows equal the mean, so they have no direction, but they are identical
    assert find_duplicates(alone, list("abc"), ["c"], ["a", "b"], similarity=0.5) == {"a": "c", "b": "c"}
    assert find_duplicates(np.array([[0.0], [-0.0]], np.float32), ["a", "b"], [], ["a", "b"], 0.9) == {"b": "a"}


def test_a_labelled_image_that_is_not_in_the_pool_is_ignored():
    rows = np.array([[1, 0], [0, 1]], np.float32)
    assert find_duplicates(rows, ["a", "b"], ["gone"], ["a", "b"], 0.9) == {}
