"""A campaign with a difficult crowd, in processes that are killed again and again, ends as an undisturbed one."""

import time
from collections import Counter

import numpy as np
import pytest
from crowd import Crowd
from deaths import Mortals, start
from endurance import BATCH, START, ending, make_world, world

from alkit.record import Store


def conduct(experiment, crowd, rounds, say, wait_for_answers):
    """Lead a campaign to its end, from wherever it stands."""
    while (number := len(experiment.history)) < rounds:
        asked = [entry for entry in Store(experiment.path).asked() if entry.query.round == number]
        if not asked:
            say("ask")
            experiment.ask(BATCH if number else START)
            continue
        if any(entry.sent_at is None and not entry.withdrawn for entry in asked):
            say("prelabels")
            experiment.prelabels()
            say("send")
            experiment.send(crowd)
        while not crowd.settled():
            for id, annotator in crowd.to_send_back():
                say("reject")
                experiment.reject(id, "sloppy", annotator)
            wait_for_answers()
        if experiment.open_ids:
            say("withdraw")
            experiment.withdraw()
        say("fit")
        experiment.fit()
        if len(experiment.history) == number:  # nobody gave a label
            say("ask")
            experiment.ask(BATCH if number else START)


def play_undisturbed(path, seed, rounds, join, events):
    experiment, truth = world(path, join)
    crowd = Crowd(experiment, truth, seed, rounds)

    def deliver():
        record = crowd.record()
        experiment.receive([line.answer for line in crowd.ready() if line.name not in record])

    conduct(experiment, crowd, rounds, lambda stage: None, deliver)
    events.send(("end", None))


def lead(path, seed, rounds, join, life, events):
    """One life of who trains."""

    def say(stage):
        events.send((stage, None))

    experiment, truth = world(path, join, report=lambda progress: say(progress.stage))
    crowd = Crowd(experiment, truth, seed, rounds, life)
    conduct(experiment, crowd, rounds, say, lambda: time.sleep(0.05))
    events.send(("end", None))


def fetch(path, seed, rounds, join, life, events):
    """One life of who fetches answers."""
    experiment, truth = world(path, join)
    crowd = Crowd(experiment, truth, seed, rounds, life)
    while len(experiment.history) < rounds:
        events.send(("receive", None))
        if not experiment.collect(crowd).taken:
            time.sleep(0.02)
        events.send(("refused", [(answer.id, reason) for answer, reason in crowd.told]))
        crowd.told.clear()
    events.send(("end", None))


def endure(folder, seed, rounds, join, seconds):
    make_world(folder)
    whole, torn = folder / "whole.db", folder / "torn.db"
    child, events = start(play_undisturbed, whole, seed, rounds, join)
    plays = {"lead": lead, "one": fetch, "other": fetch}
    mortals = Mortals(plays, (torn, seed, rounds, join), seed).run(seconds)
    child.join()
    events.close()
    assert child.exitcode == 0
    expected, found = ending(whole, join), ending(torn, join)
    for part in expected:
        assert found[part] == expected[part], part
    assert_all_is_recorded(torn, seed, rounds, join)
    assert {"nobody's", "\udcff"} <= {id for id, _ in mortals.heard}
    return mortals, found


def assert_all_is_recorded(path, seed, rounds, join):
    experiment, truth = world(path, join)
    crowd = Crowd(experiment, truth, seed, rounds)
    lines, answers = crowd.lines(), experiment.answers()
    assert Counter(line.name for line in lines) == Counter(
        (one.id, one.annotator, one.revision, one.kind == "invalid") for one in answers
    )
    record = crowd.record()
    for line in lines:
        one = record[line.name]
        assert one.kind == line.becomes
        if one.kind == "label":
            np.testing.assert_array_equal(experiment.label(one), line.answer.label)
        if one.kind == "invalid":
            assert one.reason
    # Said once more, all at once and backwards, nothing is new and what is wrong is reported again.
    lines += crowd.strays()
    receipt = experiment.receive([line.answer for line in reversed(lines)])
    assert not receipt.taken
    wrong = [line.answer for line in lines if line.becomes in ("invalid", "")]
    assert sorted(map(id, wrong)) == sorted(id(answer) for answer, _ in receipt.refused)
    assert experiment.answers() == answers


def test_a_short_campaign_endures_a_difficult_crowd_and_many_deaths(tmp_path):
    mortals, _ = endure(tmp_path, seed=0, rounds=2, join="one", seconds=200)
    assert sum(mortals.deaths.values()) >= 6, mortals.deaths
    assert {"receive", "ask", "fit"} & set(mortals.deaths)


@pytest.mark.slow
@pytest.mark.parametrize(("seed", "join"), [(1, "one"), (2, "majority")])
def test_thirty_rounds_endure_a_difficult_crowd_and_many_deaths(tmp_path, seed, join):
    mortals, found = endure(tmp_path, seed, rounds=30, join=join, seconds=1500)
    assert len(found["rounds"]) == 30
    assert {"ask", "prelabels", "send", "receive", "fit"} <= set(mortals.deaths), mortals.deaths
    kinds = {kind for _, _, _, kind, *_ in found["answers"]}
    assert kinds == {"label", "skip", "withdrawal", "invalid"}
    assert {state for _, state, *_ in found["states"]} >= {"consumed", "skipped"}
    assert any(withdrawn for _, withdrawn, *_ in found["queries"])
