"""Padding counts neither in training, nor in scores, nor in metrics."""

from functools import partial

import numpy as np
import pytest
import torch
from PIL import Image

import alkit
from alkit.errors import ConfigurationError, LabelError
from alkit.evaluation import PerGroup
from alkit.evaluation.measure import measure
from alkit.evaluation.metrics import dice
from alkit.evaluation.stability import stability
from alkit.labels import to_working
from alkit.labels.resizing import masks_at_original_size
from alkit.pools import frames_of
from alkit.pools.frames import parts_of
from alkit.record.label_files import LabelFiles, fit_of
from alkit.record.settings import Settings
from alkit.record.store import Store
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
    both = [stability(Pointwise(), Pointwise(3), Framed(noise), ids, SPEC) for noise in (1, 2)]
    assert both[0].agreement == both[1].agreement < 1
    assert both[0].figures == both[1].figures


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


def test_metrics_at_the_original_size_compare_what_is_predicted_there(tmp_path):
    rng = np.random.default_rng(0)
    ids = [f"{row}" for row in range(6)]
    folder = tmp_path / "images"
    folder.mkdir()
    masks = {}
    for row, id in enumerate(ids):
        pixels = rng.integers(0, 256, (20 + row, 30)).astype(np.uint8)
        Image.fromarray(pixels).save(folder / f"{id}.png")
        masks[id] = (pixels > 99).astype(np.uint8)
    pool = alkit.ImagePool(folder, size=16, grayscale=True, scale="full", fit="crop", cache=tmp_path / "cache")
    metrics = ["dice", "dice_original", "hd95_original", PerGroup("dice_original", dict.fromkeys(ids, "x"))]
    oracle = alkit.MaskOracle(masks, classes=SPEC.classes)
    experiment = alkit.Experiment(
        pool.subset(ids[:3]), alkit.testing.Brightness(), alkit.strategy("random"), tmp_path / "r.db", metrics=metrics
    )
    test = pool.subset(ids[3:])
    (result,) = experiment.run(oracle, test=test, start=2, batch=1, rounds=0)
    (found,) = experiment.predict(test)
    predicted = masks_at_original_size(found, frames_of(test, found.ids))
    scores = [dice(mask[None], masks[id][None], SPEC)[0, 0] for id, mask in zip(found.ids, predicted, strict=True)]
    assert result.metrics["dice_original"] == pytest.approx(np.mean(scores))
    assert result.metrics["dice_original_over_groups"] == pytest.approx(np.mean(scores))
    assert result.metrics["dice"] != result.metrics["dice_original"]
    assert "hd95_original" in result.metrics

    terms = {"metrics": metrics[:2], "hold_out": 0.5, "classes": SPEC}
    held = alkit.Experiment(pool.subset(ids), alkit.testing.Brightness(), alkit.strategy("random"), **terms)
    held.tell({id: masks[id] for id in held.ask(6)})
    assert "dice_original" in held.fit().metrics


def test_metrics_at_the_original_size_need_masks_of_that_size():
    ids, truth = ["a"], np.zeros((1, *WORKING), np.uint8)
    given = {"metrics": ["dice_original"]}
    with pytest.raises(ConfigurationError, match="metrics at the original size need masks at the original size"):
        measure(Pointwise(), Framed(0), ids, truth, SPEC, quiet, **given)
    with pytest.raises(LabelError, match="that of 'a' has another one: got 8 x 8 pixels, expected 8 x 4 pixels"):
        measure(Pointwise(), Framed(0), ids, truth, SPEC, quiet, **given, originals=lambda ids: list(truth))


def test_a_loss_that_cannot_ignore_padding_is_found_before_anybody_labels(tmp_path):
    def strict(spec):
        def loss(logits, masks):
            return torch.nn.functional.cross_entropy(logits, masks)  # fails on the ignore value

        return loss

    learner = alkit.SegmentationLearner(partial(alkit.UNet, widths=(2, 4)), epochs=(1, 1), loss=strict)
    with pytest.raises(ConfigurationError):
        alkit.Experiment(Framed(0), learner, alkit.strategy("random"), classes=SPEC)


def test_a_test_set_whose_size_does_not_fit_the_network_is_found_before_round_0(tmp_path):
    images, masks = alkit.synthetic.lesions(8, size=16)
    known = {f"{row:04}": mask for row, mask in enumerate(masks)}
    test = alkit.ArrayPool({f"t{row}": image[0, :15] for row, image in enumerate(images[:2])})
    known |= {f"t{row}": mask[:15] for row, mask in enumerate(masks[:2])}
    learner = alkit.SegmentationLearner(partial(alkit.UNet, widths=(2, 4)), epochs=(1, 1))
    experiment = alkit.Experiment(alkit.ArrayPool(images), learner, alkit.strategy("random"))
    with pytest.raises(ConfigurationError, match="test must have images that fit the learner"):
        experiment.rounds(alkit.MaskOracle(known, classes=SPEC.classes), test=test, start=2, batch=1, rounds=0)
    assert not experiment.open_ids


def test_a_mask_at_the_working_size_equals_the_same_mask_at_the_original_size(tmp_path):
    store = Store(tmp_path / "r.db")
    files, frame = LabelFiles(store), Frame((4, 8), WORKING, "pad")
    drawn = np.zeros((4, 8), np.uint8)
    drawn[1, 2:5] = 1
    working = np.where(to_working(drawn, frame, SPEC) == 255, 0, to_working(drawn, frame, SPEC))
    names = [files.keep(mask) for mask in (drawn, working, 1 - working)]
    assert files.alike(names[0], names[1], SPEC, WORKING, "pad")
    assert not files.alike(names[0], names[2], SPEC, WORKING, "pad")
    assert not files.alike(names[0], names[1], SPEC, WORKING)
    store.close()


def test_a_record_knows_how_its_images_fit(tmp_path):
    (tmp_path / "images").mkdir()
    for name, size in (("a", (8, 16)), ("b", (16, 8)), ("c", (9, 9))):
        Image.new("L", size[::-1]).save(tmp_path / "images" / f"{name}.png")
    pool = alkit.ImagePool(tmp_path / "images", fit="pad", grayscale=True, cache=tmp_path / "cache")
    experiment = alkit.Experiment(
        pool.subset(["a", "b"]), alkit.testing.Brightness(), alkit.strategy("random"), tmp_path / "r.db", classes=SPEC
    )
    experiment.ask(1)
    store = Store(tmp_path / "r.db")
    assert (fit_of(Settings(store).declared["pool"]), Settings(store).shape) == ("pad", (1, 32, 32))
    store.close()


class Fixed:
    """A learner whose model predicts each pixel by itself."""

    def fit(self, labelled, rng, previous=None, report=quiet):
        return Pointwise()

    def loads(self, dumped):
        return Pointwise()


def test_a_strategy_gets_predictions_of_the_content_alone():
    found = []

    def strategy(view, n, rng):
        for batch in view.predictions():
            found.extend(zip(batch.ids, batch.probabilities, strict=True))
        return view.candidates[:n]

    experiment = alkit.Experiment(Framed(1), Fixed(), strategy, initial=strategy_d, classes=SPEC)
    experiment.ask(1)
    experiment.tell({"d": np.eye(8, dtype=np.uint8)})
    experiment.fit()
    experiment.ask(1)
    assert sorted(id for id, _ in found) == ["a", "b", "c"]
    for id, probabilities in found:
        assert np.array_equal(probabilities[1], alone(id))


def strategy_d(view, n, rng):
    return ["d"]


def test_the_time_of_a_label_is_that_of_the_content_alone():
    def seconds(noise):
        found = {}

        def strategy(view, n, rng):
            found.update(view.seconds())
            return view.candidates[:n]

        pool = Many(noise)
        experiment = alkit.Experiment(pool, Fixed(), strategy, initial=first_ones, classes=SPEC)
        asked = experiment.ask(30)
        masks = {id: (pool.inside(id) > 0.5).astype(np.uint8) for id in asked}
        experiment.receive(
            [alkit.Answer(id, mask, "ann", seconds=1 + 20 * float(mask.mean())) for id, mask in masks.items()]
        )
        experiment.fit()
        experiment.ask(1)
        return found

    assert seconds(1) == seconds(2)
    assert len(set(seconds(1).values())) > 1


def first_ones(view, n, rng):
    return view.candidates[:n]


class Many(Framed):
    """As many images as a fit of times needs, of which some have more foreground than others."""

    def __init__(self, noise):
        super().__init__(noise)
        self.ids = tuple(f"{number:02}" for number in range(36))

    def frames(self, ids):
        return [Frame((4, 8) if int(id) % 2 else (8, 4), WORKING, "pad") for id in ids]

    def sizes(self, ids):
        return [(frame.original, WORKING) for frame in self.frames(ids)]

    def inside(self, id):
        values = np.zeros(32, np.float32)
        values[: int(id) % 30] = 0.9
        return values.reshape(self.frames([id])[0].content.size)

    def read(self, ids):
        images = np.random.default_rng(self._noise).random((len(ids), 1, *WORKING), np.float32)
        for image, id, frame in zip(images, ids, self.frames(ids), strict=True):
            image[0][frame.content.slices] = self.inside(id)
        return images
