"""The world of the endurance tests, and the end that a campaign in it comes to."""

import hashlib
from functools import partial

import numpy as np
from crowd import CLASSES

import alkit
from alkit.labels.joining import join_rule

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
    store = experiment._store
    answers = {one.number: one for one in store.answers()}
    names = {number: (one.id, one.annotator, one.revision) for number, one in answers.items()}
    known, (model, _) = experiment._known(), store.last_model()
    joined = experiment._labels.of(known, {}, experiment._settings.spec, join_rule(join))
    with store._transaction() as connection:
        consumed = connection.exec_driver_sql("SELECT number, first, last FROM consumed").all()
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
        "labels": [(id, joined.labels([id])[0].tobytes()) for id in joined.ids],
        "skipped": [id for id, own in known.items() if not own.labels],
        "consumed": sorted((names[number], first, last) for number, first, last in consumed),
        "rounds": [
            (r.round, r.ids, r.n_labels, r.n_pseudo, r.n_held_out, r.agreement, dict(r.metrics))
            for r in experiment.history
        ],
        "candidates": experiment.candidates,
        "model": hashlib.sha256(store.content(model)).hexdigest(),
    }
