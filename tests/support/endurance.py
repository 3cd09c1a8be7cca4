"""The world of the endurance tests, and the end that a campaign in it comes to."""

import hashlib
import sqlite3
from contextlib import closing
from functools import partial

import numpy as np
from crowd import CLASSES

import alkit
from alkit.labels.joining import join_rule
from alkit.record import Store

START, BATCH = 8, 4


def make_world(folder):
    """Draw the images once; each process reads them."""
    images, masks = alkit.synthetic.lesions(190, size=16, seed=0)
    np.savez(folder / "world.npz", images=images, masks=masks)


def world(path, join, report=alkit.values.quiet):
    import torch

    torch.set_num_threads(1)
    with np.load(path.parent / "world.npz") as world:
        images, masks = world["images"], world["masks"]
    pool = alkit.ArrayPool(images)
    network = partial(alkit.UNet, widths=(2, 4))
    learner = alkit.SegmentationLearner(network, epochs=(2, 1), batch=8, lr=1e-2, device="cpu")
    strategy, initial = alkit.strategy("mc-dropout", draws=2), alkit.strategy("random")
    terms = {"annotators": 2, "join": join, "hold_out": 0.2, "stop_set": 6}
    experiment = alkit.Experiment(
        pool, learner, strategy, path, seed=3, initial=initial, classes=CLASSES, report=report, **terms
    )
    return experiment, dict(zip(pool.ids, masks, strict=True))


def ending(path, join):
    """All that a campaign has come to, but for when, and in which order."""
    experiment, _ = world(path, join)
    store = Store(experiment.path)
    answers = {one.number: one for one in store.answers()}
    names = {number: (one.id, one.annotator, one.revision) for number, one in answers.items()}
    known, (model, _) = store.snapshot().known, store.last_model()
    rule, spec = join_rule(join), experiment.spec
    labels = {id: [experiment.label(answer) for answer in own.labels] for id, own in known.items() if own.labels}
    with closing(sqlite3.connect(store.path)) as connection:
        used = "SELECT number, used_from, used_until FROM answers WHERE used_from IS NOT NULL"
        consumed = connection.execute(used).fetchall()
    return {
        "queries": [
            (entry.query, entry.withdrawn, entry.prelabel, entry.sent_at is not None) for entry in store.asked()
        ],
        "answers": sorted(
            (one.id, one.annotator, one.revision, one.kind, one.label or "", one.reason, str(one.seconds), one.rejected)
            for one in answers.values()
        ),
        "states": [
            (standing.query.key, standing.state, standing.missing, [names[one.number] for one in standing.answers])
            for standing in experiment.standings()
        ],
        "labels": [(id, (own[0] if len(own) == 1 else rule(own, spec)).tobytes()) for id, own in labels.items()],
        "skipped": [id for id, own in known.items() if not own.labels],
        "consumed": sorted((names[number], first, last) for number, first, last in consumed),
        "rounds": [
            (r.round, r.ids, r.n_labels, r.n_pseudo, r.n_held_out, r.agreement, dict(r.metrics))
            for r in experiment.history
        ],
        "candidates": experiment.candidates,
        "model": hashlib.sha256(store.content(model)).hexdigest(),
    }
