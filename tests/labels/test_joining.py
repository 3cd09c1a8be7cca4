"""The labels of several annotators are joined into one label."""

import importlib.util
import io
import sys
import types

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

import alkit
from alkit._reading.apart import Apart
from alkit.labels import _staple
from alkit.labels.joining import JOINS, join_rule

SPEC = alkit.LabelSpec(("skin", "lesion", "hair"))
IGNORING = alkit.LabelSpec(("skin", "lesion"), ignore=255)


def rows(*values):
    return [np.array([value], np.uint8) for value in values]


def test_rule_one_returns_the_last_label():
    assert join_rule("one")(rows([0, 1], [1, 1]), SPEC).tolist() == [[1, 1]]


def test_the_majority_of_three():
    assert join_rule("majority")(rows([0, 1, 2], [1, 1, 2], [2, 0, 2]), SPEC).tolist() == [[255, 1, 2]]


def test_a_tie_becomes_the_ignore_value_and_never_a_class():
    assert join_rule("majority")(rows([0, 1], [1, 1]), IGNORING).tolist() == [[255, 1]]
    assert join_rule("majority")(rows([2, 1], [1, 1]), SPEC).tolist() == [[255, 1]]
    assert join_rule("majority")(rows([0, 1], [1, 1]), alkit.LabelSpec(("a", "b"), ignore=9)).tolist() == [[9, 1]]


@given(arrays(np.uint8, st.tuples(st.integers(1, 6), st.integers(1, 4), st.integers(1, 4)), elements=st.integers(0, 2)))
def test_the_majority_equals_a_count_of_votes_at_each_pixel_in_any_order(stack):
    votes = np.stack([(stack == value).sum(axis=0) for value in range(3)])
    for order in (stack, stack[::-1]):
        joined = join_rule("majority")(list(order), SPEC)
        assert joined.dtype == np.uint8
        tied = (votes == votes.max(axis=0)).sum(axis=0) > 1
        np.testing.assert_array_equal(joined, np.where(tied, 255, votes.argmax(axis=0)))


@pytest.mark.parametrize("name", JOINS)
def test_every_rule_returns_a_label_that_all_annotators_gave(name):
    mask = np.array([[0, 1], [2, 1]], np.uint8)
    np.testing.assert_array_equal(join_rule(name)([mask, mask, mask], SPEC), mask)


def test_the_majority_also_joins_classes_of_images_but_staple_does_not():
    spec = alkit.LabelSpec(("cat", "dog"), per="image")
    assert int(join_rule("majority")([np.array(1), np.array(0), np.array(1)], spec)) == 1
    assert join_rule("majority")([np.array(1), np.array(0)], spec) is None
    with pytest.raises(alkit.errors.ConfigurationError, match="join='staple' needs masks"):
        join_rule("staple")([np.array(1), np.array(0)], spec)


def test_staple_weighs_reliable_annotators_more_than_the_majority_does():
    rng = np.random.default_rng(0)
    truth = np.zeros((32, 32), np.uint8)
    truth[8:24, 8:24] = 1
    errors = [0.05, 0.05, 0.05, 0.45, 0.45, 0.45, 0.45]
    labels = [np.where(rng.random(truth.shape) < error, 1 - truth, truth).astype(np.uint8) for error in errors]
    spec = alkit.LabelSpec(("skin", "lesion"))
    wrong = {name: float((join_rule(name)(labels, spec) != truth).mean()) for name in ("staple", "majority")}
    assert wrong["staple"] < 0.03 < 0.08 < wrong["majority"]


def drawn(top, left, side=3):
    mask = np.zeros((8, 8), np.uint8)
    mask[top : top + side, left : left + side] = 1
    return mask


@pytest.mark.parametrize("spec", [alkit.LabelSpec(("skin", "lesion")), IGNORING])
@pytest.mark.parametrize("rule", ["majority", "staple"])
@pytest.mark.parametrize(
    "masks",
    {
        "disjoint": [drawn(0, 0), drawn(5, 5)],
        "one inside the other": [drawn(0, 0), drawn(0, 0, 4)],
        "one empty": [drawn(0, 0), drawn(0, 0, 0)],
        "one full": [drawn(0, 0), drawn(0, 0, 8)],
        "inverted": [drawn(0, 0), 1 - drawn(0, 0)],
        "overlapping": [drawn(0, 0, 4), drawn(2, 2, 4)],
        "two against two": [drawn(0, 0), drawn(0, 0), drawn(5, 5), drawn(5, 5)],
    }.values(),
)
def test_two_annotators_who_disagree_do_not_become_background(masks, rule, spec):
    joined = join_rule(rule)(masks, spec)
    lesion = np.sum(masks, axis=0)
    np.testing.assert_array_equal(joined[2 * lesion == len(masks)], 255)
    np.testing.assert_array_equal(joined[lesion == 0], 0)
    np.testing.assert_array_equal(joined[lesion == len(masks)], 1)


def test_staple_outvotes_one_annotator():
    assert not join_rule("staple")([drawn(0, 0), drawn(0, 0, 0), drawn(0, 0, 0)], SPEC).any()
    np.testing.assert_array_equal(join_rule("staple")([drawn(0, 0), drawn(0, 0), drawn(5, 5)], SPEC), drawn(0, 0))


@pytest.mark.parametrize("ignore", [9, 254, 255])
def test_staple_joins_masks_with_any_ignore_value(ignore):
    spec, first, second = alkit.LabelSpec(("skin", "lesion"), ignore=ignore), drawn(0, 0), drawn(0, 0)
    first[7, 7] = second[7, 7] = second[6, 0] = ignore
    joined = join_rule("staple")([first, second], spec)
    assert joined[7, 7] == joined[6, 0] == ignore, "agreed, and undecided"
    np.testing.assert_array_equal(joined[:5], drawn(0, 0)[:5])


@pytest.mark.parametrize("ignore", [3, 4, 9, 254, 255])
def test_staple_of_a_high_ignore_value_is_that_of_a_low_one_and_takes_no_longer(ignore, monkeypatch):
    """SimpleITK takes 65,536 pairs of values into account if one is 255, for each pixel and step."""
    sent = []
    send = _staple._send
    monkeypatch.setattr(_staple, "_send", lambda array, pipe: sent.append(array.max()) or send(array, pipe))
    rng = np.random.default_rng(0)
    for count in (2, 3, 4):
        drawn_ = rng.choice(np.array([0, 0, 0, 1, 255], np.uint8), (1, 12, 12)).repeat(count, axis=0)
        noise = rng.random(drawn_.shape) < 0.2
        drawn_[noise] = rng.choice(np.array([0, 1, 255], np.uint8), noise.sum())
        low, own = (np.where(drawn_ == 255, value, drawn_).astype(np.uint8) for value in (3, ignore))
        spec = alkit.LabelSpec(("skin", "lesion"), ignore=ignore)
        wanted = join_rule("staple")(list(low), alkit.LabelSpec(("skin", "lesion"), ignore=3))
        found = join_rule("staple")(list(own), spec)
        np.testing.assert_array_equal(found, np.where(wanted == 3, ignore, wanted))
    assert max(sent) <= 3


def test_without_simpleitk_the_error_names_the_extra_to_install(monkeypatch):
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    with pytest.raises(alkit.errors.MissingDependencyError, match=r"alkit\[staple\]"):
        join_rule("staple")(rows([0], [1]), SPEC)


def test_staple_ends_after_a_limited_number_of_steps(monkeypatch):
    """SimpleITK has no limit of its own."""
    asked = []
    fake = types.SimpleNamespace(
        GetImageFromArray=np.asarray,
        GetArrayFromImage=np.asarray,
        MultiLabelSTAPLE=lambda masks, *options: asked.append(options) or masks[0],
    )
    monkeypatch.setitem(sys.modules, "SimpleITK", fake)
    requests, answers = io.BytesIO(), io.BytesIO()
    _staple._send(np.eye(3, dtype=np.uint8)[None], requests)
    _staple._serve(io.BufferedReader(io.BytesIO(requests.getvalue())), answers)
    assert asked == [(256, 1e-5, 10_000)]


def test_staple_imports_nothing_from_the_current_folder(tmp_path, monkeypatch):
    monkeypatch.setattr(_staple, "_worker", Apart("alkit.labels._staple"))
    for name in ("SimpleITK", "numpy", "alkit"):
        (tmp_path / f"{name}.py").write_text("raise SystemExit")
    monkeypatch.chdir(tmp_path)
    assert not join_rule("staple")([drawn(0, 0), drawn(0, 0, 0), drawn(0, 0, 0)], SPEC).any()


def test_staple_works_beside_faiss_and_restarts_its_process_after_it_was_killed():
    labels = rows([0, 1, 1, 0], [0, 1, 0, 0], [0, 1, 1, 0])
    first = join_rule("staple")(labels, SPEC)
    assert "SimpleITK" not in sys.modules
    assert alkit.features.kmeans(np.eye(3, dtype=np.float32), ["a", "b", "c"], k=2, rng=np.random.default_rng(0)).k == 2
    _staple._worker._running[1].kill()
    _staple._worker._running[1].wait()
    with pytest.raises(alkit.AlkitError, match="STAPLE failed"):
        join_rule("staple")(labels, SPEC)
    np.testing.assert_array_equal(join_rule("staple")(labels, SPEC), first)


@pytest.mark.parametrize(("wrong", "message"), [("majorty", "'majority'"), (3, "join must be"), (int, "join must be")])
def test_anything_that_is_not_a_rule_is_refused(wrong, message):
    with pytest.raises(alkit.errors.ConfigurationError, match=message):
        join_rule(wrong)
