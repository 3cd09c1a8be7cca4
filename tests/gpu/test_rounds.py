"""Rounds of the baselines: a record that was begun on one device goes on on another, and the choices stay."""

import os
import shutil
from dataclasses import replace

import numpy as np
import pytest

import alkit
from alkit.trained import trained_model

MEMBERS = ("ensemble-s", "ensemble-js")
BASELINES = ("random", "ssl-cluster", "mc-dropout", *MEMBERS, "ceal", "dsal")
# Three suffice to show on the CPU that these tests are right.
METHODS = BASELINES if "ALKIT_TEST_DEVICE" in os.environ else BASELINES[1::2]


def experiment_on(device, method, store, pool, learner_on, network, cache):
    learner = learner_on(device)
    pretext = alkit.Reconstruction(network, epochs=1, device=device, cache=str(cache))
    options = {"features": pretext, "clusters": 3} if method == "ssl-cluster" else {}
    learner = alkit.Ensemble(learner, 2) if method in MEMBERS else learner
    return alkit.Experiment(pool, learner, alkit.strategy(method, **options), store=store, seed=1)


@pytest.mark.parametrize("method", METHODS)
def test_the_next_choice_is_that_of_the_cpu(method, gpu_pool, gpu_oracle, learner_on, network, device, tmp_path):
    parts = gpu_pool, learner_on, network, tmp_path / "cache"
    begun = experiment_on("cpu", method, tmp_path / "cpu.db", *parts)
    list(begun.rounds(gpu_oracle, start=6, batch=3, rounds=0))
    shutil.copytree(tmp_path, tmp_path.with_name(f"{tmp_path.name}-copy"))
    expected = experiment_on("cpu", method, tmp_path / "cpu.db", *parts).ask(5)
    found = experiment_on(device, method, tmp_path.with_name(f"{tmp_path.name}-copy") / "cpu.db", *parts).ask(5)
    assert found == expected


@pytest.mark.parametrize("method", METHODS)
def test_rounds_on_the_device_learn_and_their_record_opens_on_the_cpu(
    method, gpu_pool, gpu_test, gpu_oracle, learner_on, network, device, tmp_path
):
    store, parts = tmp_path / "device.db", (gpu_pool, learner_on, network, tmp_path / "cache")
    experiment = experiment_on(device, method, store, *parts)
    results = list(experiment.rounds(gpu_oracle, test=gpu_test, start=6, batch=3, rounds=1))
    here = np.concatenate([one.probabilities for one in experiment.predict(gpu_pool)])
    assert [result.n_labels for result in results] == [6, 9]
    assert 0 < results[-1].metrics["dice"] <= 1
    model = trained_model(store, device="cpu")
    there = model.predictor.probabilities(gpu_pool.read(gpu_pool.ids))
    np.testing.assert_allclose(here, there, rtol=1e-3, atol=1e-4)
    again = experiment_on("cpu", method, store, *parts)
    assert len(again.ask(2)) == 2


def test_the_device_does_not_belong_to_the_configuration(learner_on, device):
    one, other = learner_on(device), learner_on("cpu")
    assert replace(one, device="cpu") == other
    assert alkit.configuration.written_form(one) == alkit.configuration.written_form(other)
