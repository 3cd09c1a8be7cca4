"""Stored models that no learner wrote, as in a record of a stranger: an error, and never another model."""

from __future__ import annotations

import json
import struct
from functools import partial

import numpy as np
import pytest
from safetensors import numpy as safetensors
from sklearn.naive_bayes import GaussianNB

import alkit
from alkit.errors import ConfigurationError
from alkit.testing.learners import Labelled
from alkit.values.predictions import probabilities_of
from tests.support.parts import CLASSES

UNET = partial(alkit.UNet, widths=(2, 4))


def rows(images):
    return images.reshape(len(images), -1)


def learner_and_labels(kind):
    pool = alkit.ArrayPool(np.random.default_rng(0).integers(256, size=(4, 8, 8), dtype=np.uint8))
    if kind == "estimator":
        labels, spec = {id: row % 2 for row, id in enumerate(pool.ids)}, alkit.LabelSpec(CLASSES, per="image")
        return alkit.EstimatorLearner(GaussianNB(), rows=rows), Labelled(pool, pool.ids, labels, spec)
    masks = {id: np.full((8, 8), row % 2, np.uint8) for row, id in enumerate(pool.ids)}
    learner = alkit.SegmentationLearner(UNET, epochs=(1, 1))
    return (
        alkit.Ensemble(learner, 2) if kind == "ensemble" else learner,
        Labelled(pool, pool.ids, masks, alkit.LabelSpec(CLASSES)),
    )


def with_header(header, content=b""):
    text = json.dumps(header).encode()
    return struct.pack("<Q", len(text)) + text + content


def damaged(dumped):
    """Yield bytes that are not those of a model, most with the parts of one."""
    yield from (b"", b"\x01", bytes(8), struct.pack("<Q", 2**63) + b"{}", dumped[:-1], dumped + b"\x00", dumped[:50])
    length = struct.unpack("<Q", dumped[:8])[0]
    try:
        header = json.loads(dumped[8 : 8 + length])
    except ValueError:  # an ensemble's, whose members are damaged one by one
        yield dumped + dumped
        yield from (struct.pack("<Q", len(part)) + part + dumped[8 + length :] for part in damaged(dumped[8:][:length]))
        return
    content, facts = dumped[8 + length :], header.pop("__metadata__")
    name = next(iter(header))
    entry = next(iter(facts))
    for text in ("", "null", "[]", "[-1, 2]", "[3, 2.5]", '["x", 2, "1"]', "[1000000000, 1000000000]", "[" * 10**5):
        yield with_header({"__metadata__": {entry: text}, **header}, content)
    yield with_header(header, content)
    for change in ({"shape": [2**40, 2**40]}, {"shape": [-1]}, {"dtype": "X9"}, {"data_offsets": [0, 2**62]}):
        yield with_header({"__metadata__": facts, **header, name: {**header[name], **change}}, content)
    yield with_header({"__metadata__": facts, **header, "other": header[name]}, content)
    yield with_header([], content)
    arrays = safetensors.load(dumped)
    yield safetensors.save({key: value for key, value in arrays.items() if key != name}, facts)
    yield safetensors.save({key: value.astype(np.float16) for key, value in arrays.items()}, facts)
    yield safetensors.save({key: value.reshape(1, -1) for key, value in arrays.items()}, facts)
    yield safetensors.save({key: value[..., :0] for key, value in arrays.items() if value.ndim}, facts)


@pytest.mark.parametrize("kind", ["network", "estimator", "ensemble"])
def test_a_damaged_model_is_refused(kind):
    learner, labelled = learner_and_labels(kind)
    dumped = learner.fit(labelled, np.random.default_rng(0)).dumps()
    learner.loads(dumped)
    for content in damaged(dumped):
        with pytest.raises(ConfigurationError, match=r"dumped|does not fit the stored weights"):
            learner.loads(content)


def test_a_model_without_finite_weights_predicts_nothing():
    learner, labelled = learner_and_labels("network")
    model = learner.fit(labelled, np.random.default_rng(0))
    next(iter(model.network.parameters())).data.fill_(float("nan"))
    with pytest.raises(ConfigurationError, match="must return finite numbers: got NaN or infinity for 2 of 2 images"):
        probabilities_of(model, labelled.images(labelled.ids[:2]))


def test_a_network_far_larger_than_its_weights_takes_no_memory(monkeypatch):
    learner, labelled = learner_and_labels("network")
    dumped = learner.fit(labelled, np.random.default_rng(0)).dumps()
    monkeypatch.setattr("alkit.networks.state.FLOOR", 2**20)
    assert learner.loads(dumped).dumps() == dumped
    wide = alkit.SegmentationLearner(partial(alkit.UNet, widths=(2, 400)), epochs=(1, 1))
    with pytest.raises(ConfigurationError, match=r"^the network is far larger than its stored weights"):
        wide.loads(dumped)
