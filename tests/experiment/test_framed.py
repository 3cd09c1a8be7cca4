"""Padding counts neither in training, nor in scores, nor in metrics."""

import numpy as np
import pytest

import alkit
from alkit.evaluation.measure import agreement, measure
from alkit.labels import to_working
from alkit.pools.frames import parts_of
from alkit.rng import Stream
from alkit.scores import entropy
from alkit.scores.streamed import Scoring
from alkit.values import Frame, quiet

SPEC = alkit.LabelSpec(("skin", "lesion"))
SIZES = {"a": (4, 8), "b": (8, 4), "c": (4, 8), "d": (8, 8)}
WORKING = (8, 8)


class Framed:
    """Images of several sizes, padded with noise, which must not matter."""

    def __init__(self, noise):
        self.ids = tuple(SIZES)
        self._noise = noise

    def frames(self, ids):
        return [Frame(SIZES[id], WORKING, "pad") for id in ids]

    def sizes(self, ids):
        return [(SIZES[id], WORKING) for id in ids]

    def read(self, ids):
        images = np.random.default_rng(self._noise).random((len(ids), 1, *WORKING), np.float32)
        for image, id, frame in zip(images, ids, self.frames(ids), strict=True):
            image[0][frame.content.slices] = np.random.default_rng(ord(id)).random(frame.content.size, np.float32)
        return images


class Pointwise:
    """Predicts each pixel by itself."""

    def __init__(self, power=1):
        self._power = power

    def probabilities(self, images):
        lesion = images[:, 0] ** self._power
        return np.stack([1 - lesion, lesion], axis=1)

    def dumps(self):
        return b""


def alone(id):
    return Framed(0).read([id])[0, 0][Frame(SIZES[id], WORKING, "pad").content.slices]


def test_a_batch_is_divided_by_the_place_of_the_content():
    found = parts_of(Framed(0), ["a", "b", "c", "d"])
    assert [part.rows for part in found] == [[0, 2], [1], [3]]
    assert [part.box.size for part in found] == [(4, 8), (8, 4), (8, 8)]
    assert parts_of(Framed(0), ["d"])[0].box is None
    assert parts_of(Framed(0), ["a"], pixels=False)[0].box is None


def test_a_score_is_that_of_the_content_alone_whatever_the_padding_holds():
    ids = list(SIZES)
    one, other = (Scoring(Framed(noise), Pointwise(), Stream(0)).scores(ids, entropy) for noise in (1, 2))
    assert one == other
    for id in ids:
        whole = np.array([alone(id)])
        wanted = -(whole * np.log(whole) + (1 - whole) * np.log(1 - whole)).mean()
        assert one[id] == pytest.approx(wanted, rel=1e-5)


def test_metrics_and_agreement_are_those_of_the_content_alone():
    ids = list(SIZES)
    masks = {id: (np.random.default_rng(ord(id) + 9).random(SIZES[id]) > 0.5).astype(np.uint8) for id in ids}
    frames = dict(zip(ids, Framed(0).frames(ids), strict=True))
    truth = np.stack([to_working(masks[id], frames[id], SPEC) for id in ids])
    given = "dice", "iou", "hd95", "ece", share
    one, other = (measure(Pointwise(), Framed(n), ids, truth, SPEC, quiet, metrics=given) for n in (1, 2))
    assert one == other
    wanted = [
        2 * (mask & (alone(id) > 0.5)).sum() / (mask.sum() + (alone(id) > 0.5).sum()) for id, mask in masks.items()
    ]
    assert one["dice"] == pytest.approx(np.mean(wanted), rel=1e-5)
    assert one["share"] == pytest.approx(np.mean([mask.mean() for mask in masks.values()]))
    both = [agreement(Pointwise(), Pointwise(3), Framed(noise), ids, SPEC) for noise in (1, 2)]
    assert both[0] == both[1] < 1


def share(predicted, truth):
    assert set(np.unique(truth)) <= {0, 1}
    return float(truth.mean())


def test_a_learner_ignores_the_padding_and_joined_labels_do_not_see_it(tmp_path):
    given = {}

    class Learner:
        def fit(self, labelled, rng, previous=None, report=quiet):
            given.update(zip(labelled.ids, labelled.labels(labelled.ids), strict=True), spec=labelled.spec)
            return Pointwise()

        def loads(self, dumped):
            return Pointwise()

    seen = []

    def strict(labels, spec):
        seen.extend(label.shape for label in labels)
        assert all(set(np.unique(label)) <= {0, 1} for label in labels)
        return alkit.labels.majority(labels, spec)

    experiment = alkit.Experiment(
        Framed(0),
        Learner(),
        alkit.strategy("random"),
        tmp_path / "r.db",
        classes=SPEC,
        annotators=2,
        join=strict,
        hold_out=0,
    )
    experiment.ask(4)
    one, other = {id: np.zeros(size, np.uint8) for id, size in SIZES.items()}, {}
    for id, mask in one.items():
        mask[0, 0] = 1
        other[id] = 1 - mask if id == "a" else mask
    experiment.tell(one, annotator="x")
    experiment.tell(other, annotator="y")
    result = experiment.fit()
    assert set(seen) == set(SIZES.values())
    assert given["spec"].ignore == 255
    for id in "bcd":
        frame = Frame(SIZES[id], WORKING, "pad")
        assert (given[id] != 255).sum() == one[id].size
        assert np.array_equal(given[id][frame.content.slices], one[id])
    assert "a" not in given
    assert any("1 image, which is left out" in warning for warning in result.warnings)
    assert not any("255" in warning for warning in result.warnings)
