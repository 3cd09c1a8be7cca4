"""Batches for a number of hours."""

import numpy as np
import pytest

import alkit

N, SIDE = 60, 16


def images():
    """Return images with a bright square that is 2, 4, ... 12 pixels wide."""
    pixels = np.zeros((N, SIDE, SIDE), np.uint8)
    for k in range(N):
        side = 2 * (1 + k % 6)
        pixels[k, 1 : 1 + side, 1 : 1 + side] = 200
    return pixels


def border(mask):
    return 2 * np.sqrt(mask.sum()) / SIDE


def experiment(pixels, strategy=None, **more):
    pool = alkit.ArrayPool(pixels)
    learner = alkit.testing.Brightness()
    return alkit.Experiment(pool, learner, strategy or alkit.strategy("random"), classes=("skin", "lesion"), **more)


def answer(experiment, pixels, ids, annotator="ann"):
    """Answer with times of 10 s and 60 s for each side of border."""
    told = []
    for id in ids:
        mask = (pixels[int(id)] > 100).astype(np.uint8)
        told.append(alkit.Answer(id, mask, annotator, seconds=10 + 60 * border(mask)))
    assert not experiment.receive(told).refused


def test_a_budget_in_hours_is_filled_by_what_the_model_predicts():
    pixels = images()
    campaign = experiment(pixels, alkit.strategy("random"))
    answer(campaign, pixels, campaign.ask(24))
    campaign.fit()
    ids = campaign.top_up(hours=0.25)
    took = sum(10 + 60 * border(pixels[int(id)] > 100) for id in ids)
    assert 900 - 100 < took <= 900 + 15
    load = campaign.workload()
    assert load.low < load.seconds < load.high
    assert load.seconds == pytest.approx(took, rel=0.05)
    assert (load.labels, load.source) == (len(ids), "the times of 24 labels")
    assert campaign.top_up(hours=0.25) == ids  # they are open
    answer(campaign, pixels, ids[:3])
    assert set(ids[3:]) < set(campaign.top_up(hours=0.25))  # topped up


def test_answers_that_were_sent_back_do_not_count_for_the_cost():
    campaign = experiment(images())
    ids = campaign.ask(6)
    mask = np.eye(SIDE, dtype=np.uint8)
    campaign.receive([alkit.Answer(id, mask, "ann", seconds=900 if row < 3 else 10) for row, id in enumerate(ids[:5])])
    assert campaign.workload().seconds == pytest.approx(900)
    for id in ids[:3]:
        campaign.reject(id, "look again")
    assert campaign.workload().seconds == pytest.approx(4 * 10)


def test_a_score_per_second_chooses_more_labels_for_the_same_hours():
    pixels = images()
    found = {}
    for name, strategy in {
        "score": alkit.strategies.Uncertainty("entropy"),
        "per second": alkit.strategies.PerSecond(alkit.strategies.Uncertainty("entropy")),
    }.items():
        campaign = experiment(pixels, strategy)
        answer(campaign, pixels, campaign.ask(24))
        campaign.fit()
        found[name] = len(campaign.top_up(hours=0.2))
    assert found["per second"] >= found["score"]


def test_hours_need_times():
    pixels = images()
    campaign = experiment(pixels)
    with pytest.raises(alkit.errors.ConfigurationError, match="hours need labels whose time is known"):
        campaign.top_up(hours=6)
    campaign.tell({id: (pixels[int(id)] > 100).astype(np.uint8) for id in campaign.ask(6)})
    campaign.fit()
    with pytest.raises(alkit.errors.ConfigurationError, match="hours need labels whose time is known"):
        campaign.top_up(hours=6)
    assert campaign.workload() is None


def test_wrong_budgets_are_errors():
    pixels = images()
    campaign = experiment(pixels)
    answer(campaign, pixels, campaign.ask(6))
    campaign.fit()
    for given in ({}, {"n": 3, "hours": 1.0}):
        with pytest.raises(alkit.errors.ConfigurationError, match="top_up needs either n or hours"):
            campaign.top_up(**given)
    with pytest.raises(alkit.errors.ConfigurationError, match="hours must be"):
        campaign.top_up(hours=0.0)
    with pytest.raises(alkit.errors.ConfigurationError, match=r"hours must be at least 0.0.*: got 1e-06"):
        campaign.top_up(hours=1e-6)
    assert len(campaign.top_up(hours=100)) == N - 6  # all that are left
