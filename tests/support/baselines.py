"""A short experiment with each of the seven baselines of the paper, whose outcome can be compared."""

from __future__ import annotations

from functools import partial

import alkit

BASELINES = ("random", "ssl-cluster", "mc-dropout", "ensemble-s", "ensemble-js", "ceal", "dsal")
CLASSES = ("skin", "lesion")


def play(name, store, cache, workers=None, rounds=1, images=40, start=8, report=alkit.values.quiet):
    """Run an experiment, and return the selected ids, the metrics, the warnings and the models of its rounds."""
    pixels, masks = alkit.synthetic.lesions(images, size=16, seed=0)
    pool, test = alkit.ArrayPool(pixels).split(test=8, seed=0)
    oracle = alkit.MaskOracle({f"{row:04}": mask for row, mask in enumerate(masks)}, classes=CLASSES)
    network = partial(alkit.UNet, widths=(2, 4, 8), dropout=0.5, heads={2: 0.4})
    pretext = alkit.Reconstruction(network, epochs=1, cache=str(cache))
    learner = alkit.SegmentationLearner(network, epochs=(1, 1), batch=4)
    if name.startswith("ensemble"):
        learner = alkit.Ensemble(learner, members=3)
    given = {"features": pretext, "clusters": 4} if name in ("ssl-cluster", "ceal") else {}
    try:
        strategy = alkit.strategy(name, **given)
    except alkit.AlkitError:
        strategy = alkit.strategy(name)
    experiment = alkit.Experiment(
        pool, learner, strategy, store=store, seed=3, stop_set=8, workers=workers, report=report
    )
    found = experiment.run(oracle, test=test, start=start, batch=4, rounds=rounds)
    digests = [path.name for path in sorted(store.with_name(store.name + ".files").glob("*.model"))]
    return [(result.ids, dict(result.metrics), result.warnings, result.agreement) for result in found], digests
