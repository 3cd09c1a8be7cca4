"""Queries that are assigned to people by shares, handed on after a deadline, and assigned by hand."""

from collections import Counter
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import numpy as np
import pytest

import alkit
from alkit.record import assigning
from alkit.record.facts import HANDED_ON, PEOPLE
from alkit.testing import Brightness
from alkit.values import People

THREE = People({"ann": 2, "ben": 1, "cy": 1}, days=2)


def campaign(people=THREE, store=None, n=30, **others):
    images = np.random.default_rng(0).integers(0, 255, (n, 8, 8), np.uint8)
    pool, random = alkit.ArrayPool(images), alkit.strategy("random")
    return alkit.Experiment(pool, Brightness(), random, store, classes=("a", "b"), people=people, **others)


def tell(experiment, *ids, annotator="ann"):
    experiment.tell({id: np.eye(8, dtype=np.uint8) for id in ids}, annotator=annotator)


def assigned(experiment):
    return {query.id: query.assigned for query in experiment._parts.store.queries()}


def counts(experiment):
    return Counter(name for names in assigned(experiment).values() for name in names)


def later(days):
    return datetime.now(UTC) + timedelta(days=days)


def test_queries_are_assigned_by_shares_whatever_the_size_of_the_batches():
    at_once, one_by_one = campaign(), campaign()
    at_once.top_up(12)
    for n in range(1, 13):
        one_by_one.top_up(n)
    assert counts(at_once) == counts(one_by_one) == {"ann": 6, "ben": 3, "cy": 3}
    assert list(assigned(at_once).values())[:4] == [("ann",), ("ann",), ("ben",), ("cy",)]


def test_somebody_who_is_away_does_not_take_the_work_of_the_others():
    experiment = campaign(People({"ann": 2, "ben": 1}))
    experiment.top_up(6)
    for _ in range(5):  # ann never answers
        own = [query.id for query in experiment.queries() if query.assigned == ("ben",)]
        assert len(own) == 2
        tell(experiment, *own, annotator="ben")
        experiment.top_up(6)
    assert counts(experiment) == {"ann": 4, "ben": 12}


def test_an_image_that_several_shall_label_goes_to_different_people():
    experiment = campaign(annotators=2)
    experiment.top_up(8)
    assert all(len(set(names)) == 2 for names in assigned(experiment).values())
    assert counts(experiment) == {"ann": 8, "ben": 4, "cy": 4}


def test_new_people_begin_with_the_queries_after_the_change(tmp_path):
    experiment = campaign(People({"ann": 1}), tmp_path / "c.db")
    experiment.top_up(6)
    before = experiment._parts.store.fact("changes")
    experiment = campaign(People({"ann": 1, "ben": 1}), tmp_path / "c.db")
    assert len(experiment._parts.store.fact("changes")) == 1 + len(before or ())
    experiment.top_up(8)
    assert counts(experiment) == {"ann": 6, "ben": 2}  # ann has more than half of the eight already
    tell(experiment, *experiment.open_ids)
    experiment.top_up(4)
    assert counts(experiment) == {"ann": 8, "ben": 4}  # the first six do not count any more
    assert campaign(None, tmp_path / "c.db").people == People({"ann": 1, "ben": 1})
    found = alkit.Experiment.open(tmp_path / "c.db", pool=experiment.pool, learner=Brightness(), people=THREE)
    assert found.people == THREE


def test_an_image_that_is_due_goes_to_somebody_else_and_the_first_answer_still_counts():
    experiment = campaign()
    a, b, c, _ = experiment.top_up(4)  # ann, ann, ben, cy
    store = experiment._parts.store
    tell(experiment, a)
    assert assigning.hand_on(store, later(1)) == ()
    found = assigning.hand_on(store, later(3))
    assert (found[0].query.id, found[0].before, found[0].after) == (b, "ann", "ben")
    assert a not in {one.query.id for one in found}
    assert store.fact(HANDED_ON)[0]["people"] == ["ann", "ben"]
    assert assigning.hand_on(store, later(3)) == ()  # the new person has a deadline of their own
    tell(experiment, b)  # ann, late
    assert b not in experiment.open_ids
    again = {one.query.id: one for one in assigning.hand_on(store, later(9))}
    assert b not in again
    assert again[c].after not in ("ben", found[1].after)  # somebody who never had it comes first
    for day in (20, 40, 60):
        assigning.hand_on(store, later(day))
    assert len(assigned(experiment)[c]) == 1


def test_only_the_missing_one_of_several_is_replaced():
    experiment = campaign(People({"ann": 1, "ben": 1, "cy": 1}, days=1), annotators=2)
    (a,) = experiment.top_up(1)
    assert assigned(experiment)[a] == ("ann", "ben")
    tell(experiment, a, annotator="ben")
    assigning.hand_on(experiment._parts.store, later(2))
    assert assigned(experiment)[a] == ("cy", "ben")
    tell(experiment, a, annotator="zoe")  # nobody asked her
    assert experiment.open_ids == ()


def test_an_image_that_wants_more_answers_goes_to_more_people():
    experiment = campaign()
    a, b = experiment.top_up(2)
    tell(experiment, a)
    store = experiment._parts.store
    experiment.assign([a], annotators=3)
    assert experiment.hand_on() == (a,)
    assert assigned(experiment)[a] == ("ann", "cy", "ben")
    assert assigned(experiment)[b] == ("ben",)
    experiment.assign([b], annotators=4)
    assert {one.after for one in assigning.hand_on(store)} == {"ann", "cy"}
    assert assigning.hand_on(store) == ()  # nobody is left


def test_without_anybody_else_an_image_stays_with_its_person():
    experiment = campaign(People({"ann": 1}, days=1))
    (a,) = experiment.top_up(1)
    assert assigning.hand_on(experiment._parts.store, later(2)) == ()
    assert assigned(experiment)[a] == ("ann",)


def test_images_are_assigned_by_hand_and_wanted_by_more_people():
    experiment = campaign(None)
    a, b = experiment.top_up(2)
    tell(experiment, a, b)
    assert experiment.open_ids == ()
    experiment.assign([a], ["ben"], annotators=2, days=3)
    assert experiment.open_ids == (a,)
    (query,) = experiment.queries()
    assert (query.assigned, query.wanted) == (("ben",), 2)
    assert timedelta(days=2.9) < datetime.fromisoformat(query.due) - datetime.now(UTC) <= timedelta(days=3)
    tell(experiment, a, annotator="ben")
    assert experiment.open_ids == ()
    for given, match in (
        ({"ids": ["x"], "to": ["ann"]}, "'x' has no query"),
        ({"ids": [a]}, "nothing to change"),
        ({"ids": [a], "to": ["a/b"]}, "the name of a person"),
        ({"ids": [a], "annotators": 0}, "annotators must be"),
    ):
        with pytest.raises(alkit.errors.AlkitError, match=match):
            experiment.assign(**given)


def test_more_annotators_of_one_image_stay_when_the_learner_changes(tmp_path):
    experiment = campaign(None, tmp_path / "c.db")
    a, b = experiment.top_up(2)
    experiment.assign([a], annotators=3)
    tell(experiment, a, b)
    changed = alkit.Experiment(
        experiment.pool, Brightness(2), alkit.strategy("random"), tmp_path / "c.db", classes=("a", "b"), change=True
    )
    assert {query.id: query.wanted for query in changed._parts.store.queries()} == {a: 3, b: 1}


def test_people_without_names_only_have_a_deadline():
    experiment = campaign(People(days=1))
    experiment.top_up(1)
    (query,) = experiment.queries()
    assert query.assigned == ()
    assert assigning.is_due(query, later(2))
    assert assigning.hand_on(experiment._parts.store, later(2)) == ()


def test_people_are_forgotten_by_none_of_them():
    experiment = campaign()
    store = experiment._parts.store
    alkit.Experiment(
        experiment.pool, Brightness(), alkit.strategy("random"), store, classes=("a", "b"), people=People()
    )
    assert store.fact(PEOPLE) is None


def test_an_image_that_is_due_with_two_people_is_not_given_back_to_one_of_them():
    experiment = campaign(People({"ann": 1, "ben": 1, "cy": 1}, days=1), annotators=2)
    (a,) = experiment.top_up(1)
    assert assigned(experiment)[a] == ("ann", "ben")
    (one,) = assigning.hand_on(experiment._parts.store, later(2))
    assert (one.before, one.after) == ("ann", "cy")
    assert assigned(experiment)[a] == ("cy", "ben")  # nobody else is there for ben's


def test_a_person_who_gets_an_image_after_its_deadline_has_the_usual_time():
    experiment = campaign(People({"ann": 1, "ben": 1}, days=1))
    a, b = experiment.top_up(2)
    store = experiment._parts.store
    store.revise_queries([replace(query, due=later(-1).isoformat(timespec="seconds")) for query in store.queries()])
    experiment.assign([a], ["zoe"])
    experiment.assign([b], annotators=2)
    tell(experiment, b, annotator="ben")
    assigning.hand_on(store)
    assert assigned(experiment)[a] == ("zoe",)
    assert not any(assigning.is_due(query, later(0.9)) for query in store.queries())


def test_a_person_who_is_sent_an_answer_back_has_the_usual_time():
    experiment = campaign(People({"ann": 1, "ben": 1}, days=1))
    (a,) = experiment.top_up(1)
    tell(experiment, a)
    store = experiment._parts.store
    (query,) = store.queries()
    store.revise_queries([replace(query, due=later(-3).isoformat(timespec="seconds"))])
    experiment.reject(a, "the border is missing")
    assert assigning.hand_on(store) == ()
    assert not assigning.is_due(store.queries()[0], later(0.9))
