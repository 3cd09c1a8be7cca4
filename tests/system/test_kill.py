"""A run killed with SIGKILL at many moments ends bit for bit like one never killed."""

import hashlib
import multiprocessing
import os
import random
import time
from functools import partial

import pytest

import alkit

# Children fork from a server that has imported everything, so that kills hit the work and not the imports.
CONTEXT = multiprocessing.get_context("forkserver")
CONTEXT.set_forkserver_preload(
    """
    alkit.experiment.loop alkit.learners.segmentation alkit.evaluation.metrics alkit.features.reconstruction
    alkit_baselines.ssl_cluster faiss
    alkit.learners.losses torch._dynamo
    """.split()
)


def play(store, cache, events):
    """Run a whole experiment with pretext, SSL-cluster and a network, telling each event through a pipe."""
    import torch

    torch.set_num_threads(1)
    os.environ["ALKIT_CACHE"] = str(cache)

    def report(progress):
        events.send(progress.stage)

    images, masks = alkit.synthetic.lesions(40, size=16, seed=0)
    pool, test = alkit.ArrayPool(images).split(test=10, seed=0)
    oracle = alkit.MaskOracle({f"{row:04}": mask for row, mask in enumerate(masks)}, classes=("skin", "lesion"))
    network = partial(alkit.UNet, widths=(2, 4, 8))
    pretext = alkit.Reconstruction(network, epochs=3, deformation=alkit.features.Deformation(windows=5))
    learner = alkit.SegmentationLearner(network, epochs=(2, 1), batch=4, lr=1e-3, warm_start=pretext)
    strategy = alkit.strategy("ssl-cluster", features=pretext, clusters=3)
    experiment = alkit.Experiment(pool, learner, strategy, store=store, seed=7, report=report)
    experiment.run(oracle, test=test, start=6, batch=4, rounds=3)
    events.send("end")


def start(store, cache):
    receiving, sending = CONTEXT.Pipe(duplex=False)
    child = CONTEXT.Process(target=play, args=(store, cache, sending))
    child.start()
    sending.close()
    return child, receiving


def ending(store):
    """Selections, metrics and the last weights."""
    from alkit.record import Store

    record = Store(store)
    model, _ = record.last_model()
    rounds = [(r.round, r.ids, r.n_labels, dict(r.metrics)) for r in record.rounds()]
    return rounds, hashlib.sha256(record.content(model)).hexdigest()


def heard(events):
    """Return what a child says until it ends or is killed."""
    while True:
        try:
            yield events.recv()
        except EOFError:
            return


@pytest.fixture(scope="module")
def never_killed(tmp_path_factory):
    folder = tmp_path_factory.mktemp("whole")
    child, events = start(folder / "r.db", folder / "cache")
    said = list(heard(events))
    child.join()
    assert child.exitcode == 0
    assert {"pretext", "features", "ask", "tell", "fit", "evaluate", "round"} <= set(said)
    return ending(folder / "r.db"), said


REPEATED = ("check", "rehearse")
"""Stages that a process begins with, before it records anything."""


@pytest.mark.parametrize("seed", [0, *(pytest.param(seed, marks=pytest.mark.slow) for seed in (1, 2))], ids=str)
def test_a_run_killed_again_and_again_ends_as_one_never_killed(never_killed, tmp_path, seed):
    expected, _ = never_killed
    chance = random.Random(seed)
    after = []
    for _ in range(100):
        child, events = start(tmp_path / "r.db", tmp_path / "cache")
        patience = chance.randint(1, 6)  # so many events later, and then a moment more
        lasting = (event for event in heard(events) if event not in REPEATED)
        for count, event in enumerate(lasting, 1):
            if count == patience and event != "end":
                time.sleep(chance.random() * chance.choice([0.0, 0.002, 0.02, 0.1]))
                child.kill()  # SIGKILL; nothing happens to a child that has just ended
                after.append(event)
                break
        child.join()
        events.close()
        if child.exitcode == 0:
            break
    assert child.exitcode == 0
    assert len(after) >= 5
    assert len(set(after)) >= 3, after
    assert ending(tmp_path / "r.db") == expected
