"""What becomes of disputed images is a recorded choice, and nothing is decided silently towards class 0."""

import importlib.util
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import numpy as np
import pytest
from commandline import alkit as run

import alkit
from alkit import Answer
from alkit.errors import ConfigurationError
from alkit.record.assigning import hand_on, is_due
from alkit.report import annotators, arrivals
from alkit.report.annotators import recorded_differences, recorded_doubts
from alkit.values import Disputes, People

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


@pytest.mark.parametrize("way", ["receive", "tell", "alkit tell"])
def test_a_third_person_is_asked_also_if_the_call_that_took_the_answers_was_killed_before(tmp_path, monkeypatch, way):
    with monkeypatch.context() as patch:
        patch.setattr(arrivals, "ask_about_disputes", lambda store: ())
        _, id, _ = _experiment(disputes=Disputes("third"), store=tmp_path / "a.db")
    pixels = np.random.default_rng(0).integers(0, 255, (6, 8, 8), np.uint8)
    given = {"pool": alkit.ArrayPool(pixels), "learner": alkit.testing.Brightness()}
    experiment = alkit.Experiment.open(tmp_path / "a.db", **given)
    assert experiment.open_ids == ()
    if way == "receive":
        assert experiment.receive([Answer(id, OTHER, "bob")]).unchanged
    elif way == "tell":
        experiment.tell({id: OTHER}, annotator="bob")
    else:
        folder = tmp_path / "exchange" / "bob"
        folder.mkdir(parents=True)
        run("tell", tmp_path / "a.db", "--from", folder.parent)
    assert experiment.open_ids == (id,)


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


def test_a_senior_is_asked_although_one_more_person_was_asked_before_and_keeps_the_image(tmp_path):
    people = People({"ann": 1, "bob": 1, "cid": 1}, days=1)
    experiment, id, _ = _experiment("one", Disputes("third"), tmp_path / "r.db", people=people)
    store = experiment._parts.store
    (query,) = experiment.queries()
    assert "cid" in query.assigned
    store.revise_queries([replace(query, due="2026-01-01T00:00:00+00:00")])
    experiment.decide_disputes(Disputes("senior", senior="ada"))
    (query,) = experiment.queries()
    assert (query.assigned[-1], query.wanted, "cid" in query.assigned) == ("ada", 3, False)
    assert not is_due(query, datetime.now(UTC))  # she has the usual time
    assert hand_on(store, datetime.now(UTC) + timedelta(days=2)) == ()  # nobody else can decide
    experiment.decide_disputes(Disputes("senior", senior="eve"))
    assert experiment.queries()[0].assigned[-1] == "eve"
    experiment.receive([Answer(id, OTHER, "eve")])
    assert np.array_equal(_trained(experiment)[id], OTHER)
    assert experiment.open_ids == ()


def test_the_latest_label_of_a_disputed_image_is_said_to_count_only_if_it_does():
    experiment, id, _ = _experiment("one", Disputes("join"))
    store = experiment._parts.store
    assert recorded_differences(store, {id}) == {id: ("ann", "bob")}
    experiment.decide_disputes(Disputes("ignore"))
    assert recorded_differences(store, {id}) == {}


def test_a_pre_label_that_an_unfit_model_made_for_an_open_image_of_the_first_round_says_nothing(monkeypatch):
    dark = 250 - 200 * np.stack([ONE] * 8) + np.arange(8, dtype=np.uint8)[:, None, None] // 4
    experiment = alkit.Experiment(
        alkit.ArrayPool(dark), alkit.testing.Brightness(), alkit.strategy("random"), classes=("skin", "lesion")
    )
    *first, late = experiment.top_up(4)
    experiment.receive([Answer(id, ONE, "ann") for id in first])
    experiment.fit(wait_for_answers=False)
    assert late in experiment.prelabels()
    experiment.receive([Answer(late, 1 - ONE, "ann")])
    store = experiment._parts.store
    assert [doubt.id for doubt in recorded_doubts(store, {late})] == [late]
    monkeypatch.setattr(annotators, "about_model", lambda warnings: ("The model has not learnt its labels.",))
    assert recorded_doubts(store, {late}) == ()
