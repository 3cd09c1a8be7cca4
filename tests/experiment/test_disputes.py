"""What becomes of disputed images is a recorded choice, and nothing is decided silently towards class 0."""

import importlib.util

import numpy as np
import pytest

import alkit
from alkit import Answer
from alkit.errors import ConfigurationError
from alkit.values import Disputes

ONE, OTHER = np.zeros((8, 8), np.uint8), np.zeros((8, 8), np.uint8)
ONE[1:4, 1:4] = 1
OTHER[4:7, 4:7] = 1


def _experiment(join="majority", disputes=None, store=None, **more):
    pixels = np.random.default_rng(0).integers(0, 255, (6, 8, 8), np.uint8)
    experiment = alkit.Experiment(
        alkit.ArrayPool(pixels),
        alkit.testing.Brightness(),
        alkit.strategy("random"),
        store,
        classes=("skin", "lesion"),
        annotators=2,
        join=join,
        **more,
    )
    if disputes is not None:
        experiment.decide_disputes(disputes)
    asked = experiment.ask(3)
    for id in asked[:2]:
        experiment.receive([Answer(id, ONE, "ann"), Answer(id, ONE, "bob")])
    receipt = experiment.receive([Answer(asked[2], ONE, "ann"), Answer(asked[2], OTHER, "bob")])
    return experiment, asked[2], receipt


def _trained(experiment):
    """Return the labels that a learner gets, by image."""
    from alkit.experiment.deciding import decide
    from alkit.labels.joining import join_rule

    parts = experiment._parts
    decided = decide(parts, parts.known())
    rule = join_rule(parts.terms.join)
    labelled = parts.labels.of(decided.known, {}, parts.settings.spec, rule, decided.joins)
    return {id: labelled.labels([id])[0] for id in labelled.ids}


@pytest.mark.parametrize("join", ["majority", "staple"])
def test_two_masks_that_do_not_overlap_are_ignored_where_they_differ(join):
    if join == "staple" and importlib.util.find_spec("SimpleITK") is None:
        pytest.skip("SimpleITK is not installed")
    experiment, id, receipt = _experiment(join)
    label = _trained(experiment)[id]
    assert set(np.unique(label[(ONE | OTHER) == 1])) == {255}
    assert experiment.agreement().disputed == (id,)
    assert any(f"'{id}' is disputed: ann and bob agree by 0.00, below 0.7" in text for text in receipt.warnings)


def test_the_latest_label_counts_unless_disputes_are_decided_otherwise():
    experiment, id, _ = _experiment("one")
    assert np.array_equal(_trained(experiment)[id], OTHER)
    experiment.decide_disputes(Disputes("ignore"))
    assert set(np.unique(_trained(experiment)[id][(ONE | OTHER) == 1])) == {255}
    assert experiment.agreement().disputed == (id,)


def test_a_disputed_image_is_left_out_and_the_round_says_so():
    experiment, id, _ = _experiment("one")
    first = experiment.fit()
    assert first.n_labels == 3
    experiment.decide_disputes(Disputes("leave-out", below=0.5))
    second = experiment.fit()
    assert (second.round, second.n_labels) == (1, 2)
    assert any(f"1 are disputed and left out of the training: '{id}'" in text for text in second.warnings)
    assert experiment.fit() == second
    assert experiment.disputes == Disputes("leave-out", 0.5)


def test_a_third_person_is_asked_once_and_their_vote_decides(tmp_path):
    experiment, id, receipt = _experiment("majority", Disputes("third"), tmp_path / "r.db")
    assert experiment.open_ids == (id,)
    assert any("one more person is asked" in text for text in receipt.warnings)
    experiment.receive([Answer(id, ONE, "cid")])
    assert experiment.open_ids == ()
    assert np.array_equal(_trained(experiment)[id], ONE)
    experiment.receive([Answer(id, 1 - ONE, "cid")])  # still disputed, and not asked again
    assert experiment.open_ids == ()


def test_a_senior_is_asked_by_name_and_their_label_counts_alone():
    experiment, id, _ = _experiment("majority", Disputes("senior", senior="ada"))
    (query,) = experiment.queries()
    assert (query.id, query.assigned, query.wanted) == (id, ("ada",), 3)
    third = np.zeros((8, 8), np.uint8)
    third[0] = 1
    experiment.receive([Answer(id, third, "ada")])
    assert np.array_equal(_trained(experiment)[id], third)
    result = experiment.fit()
    assert any("have the label of ada, who decides" in text for text in result.warnings)
    assert {standing.state.value for standing in experiment.standings()} == {"consumed"}


def test_wrong_choices_are_refused():
    with pytest.raises(ConfigurationError, match="senior must be named"):
        Disputes("senior")
    with pytest.raises(ConfigurationError, match="senior must be named"):
        Disputes("third", senior="ada")
    with pytest.raises(ConfigurationError, match=r"below must be a number in \(0, 1\]"):
        Disputes(below=0)


def test_answers_in_python_come_with_warnings_about_masks_and_names():
    experiment, _, _ = _experiment("one")
    (id,) = experiment.ask(1)
    receipt = experiment.receive([Answer(id, 0 * ONE, "Ann "[:3])])
    assert f"'{id}' by Ann: the mask is empty: all of it is 'skin'" in receipt.warnings
    assert any("'Ann' and 'ann' count as different people" in text for text in receipt.warnings)


def test_each_class_of_an_image_with_several_is_disputed_by_itself():
    spec = alkit.LabelSpec(("cat", "dog", "fox"), per="image", multiple=True)
    one, other = np.array([1, 1, 0], np.uint8), np.array([1, 0, 0], np.uint8)
    assert alkit.labels.majority([one, other], spec).tolist() == [1, 255, 0]
    votes = [np.array(value) for value in (0, 1, 2, 1, 0, 2)]  # three classes, twice each
    assert alkit.labels.majority(votes, alkit.LabelSpec(("a", "b", "c"), per="image")) is None
    assert alkit.labels.majority(votes[:4], alkit.LabelSpec(("a", "b", "c"), per="image")) == 1
