"""Values of the right type that are absurd or unusual, one of each kind that random arguments once found."""

from __future__ import annotations

from types import SimpleNamespace

import numpy as np
import pytest
import torch

import alkit
from alkit.checks import check_number
from alkit.errors import AlkitError
from alkit.features import by_typicality
from tests.support.valid_arguments import Things

EMPTY = np.zeros((0, 1, 8, 8), np.float32)
ROWS = np.array([[0, 1], [1, 0], [5, 5]], np.float32)
MASK = np.zeros((8, 8), np.uint8)


def picks(things):
    view = SimpleNamespace(ids=["a", "b", "c"], candidates=["a", "b", "c"], labelled=[])
    return alkit.strategies.Picks(view, ROWS, 2)


@pytest.fixture(scope="module")
def things(tmp_path_factory):
    return Things(tmp_path_factory.mktemp("things"))


REFUSED = {
    "a number beyond all floats": (lambda t: check_number("lr", 10**400), "lr must be a finite number"),
    "the same in a mapping": (
        lambda t: alkit.statistics.aubc({10: 10**400, 20: 0.1}),
        r"curve\[10\] must be a number",
    ),
    "a name that no file can have": (lambda t: alkit.ImagePool("x" * 300, 8), "path must be a path"),
    "a name that is not Unicode": (lambda t: alkit.ImagePool("\ud800", 8), "path must be a path"),
    "a text that is not Unicode": (lambda t: t.experiment._parts.store.fact("\ud800"), "not Unicode"),
    "more classes than memory": (lambda t: alkit.UNet(1, 2**31), "classes must be an integer from 1 to"),
    "images of any size": (lambda t: alkit.synthetic.lesions(2, size=10**9), "size must be smaller for 2 images"),
    "a learning rate below 0": (lambda t: alkit.networks.adam(t.network, -1.0), "rate must be"),
    "batches of no images": (lambda t: alkit.networks.minibatches(3, 0, alkit.rng.Stream(0)), "size must be"),
    "a device that is none": (lambda t: alkit.rng.Stream(0).torch("nowhere"), "device must be"),
    "masks of two shapes": (lambda t: alkit.labels.majority([MASK, MASK[:4]], t.spec), "labels must be one or more"),
    "no masks": (lambda t: alkit.labels.staple([], t.spec), "labels must be one or more"),
    "a mask of three axes": (lambda t: alkit.labels.resize_mask(MASK[None], (4, 4), t.spec), r"mask must be \(h, w\)"),
    "a picture of nothing": (lambda t: alkit.pictures.overlay(np.zeros((1, 0, 0), np.uint8), MASK[:0, :0]), "pixels"),
    "class ids beyond all colours": (
        lambda t: alkit.pictures.overlay(np.zeros((1, 8, 8), np.uint8), MASK.astype(np.int64) - 1),
        "mask must hold class ids",
    ),
    "probabilities without classes": (lambda t: alkit.scores.variance(torch.zeros(3)), "variance must be"),
    "a margin of one class": (lambda t: alkit.scores.margin(torch.zeros(3, 1)), "of 2 or more classes"),
    "rows of other images": (
        lambda t: alkit.features.find_duplicates(
            np.zeros((3, 2), np.float32), ["a"], labelled=(), candidates=["a"], similarity=0.9
        ),
        "features must be",
    ),
    "rows that are not numbers": (
        lambda t: t.estimated.row_probabilities(np.full((1, 64), np.nan)),
        "cannot predict these rows",
    ),
    "more images than there are, as numpy counts": (
        lambda t: alkit.strategies.check_n(np.int64(9), ("a", "b")),
        "cannot select 9 images: only 2",
    ),
    "a table without columns": (
        lambda t: by_typicality(ROWS[:, :0], np.array([0, 1]), 1),
        r"features must be \(N, d\)",
    ),
    "a table of four axes": (lambda t: alkit.strategies.pick_farthest(picks(t), EMPTY), r"features must be \(N, d\)"),
    "rows of more images": (lambda t: alkit.strategies.pick_farthest(picks(t), np.ones((99, 2), np.float32)), "a row"),
    "members that are no rows": (lambda t: by_typicality(ROWS, np.array([0, 9]), 1), "members must be rows"),
    "members in another order": (lambda t: by_typicality(ROWS, np.array([1, 0, 2]), 1), "members must be ascending"),
    "a number for members": (lambda t: by_typicality(ROWS, np.array(0), 1), "members must be rows"),
    "flips without end": (
        lambda t: alkit.features.flip(torch.zeros(1, 1, 8, 8), torch.Generator(), times=2**31),
        "times must be an integer from 0 to",
    ),
    "windows without end": (
        lambda t: alkit.features.shuffle_locally(torch.zeros(1, 1, 8, 8), torch.Generator(), windows=2**63),
        "windows must be an integer from 0 to",
    ),
    "images without pixels": (
        lambda t: alkit.features.shuffle_locally(torch.zeros(2, 1, 0, 0), torch.Generator()),
        "images must be a tensor",
    ),
    "images without pixels for a classifier": (lambda t: t.estimated.probabilities(EMPTY), "images must be"),
    "a number for images": (lambda t: t.estimated.features(np.array(0.0, np.float32)), "images must be"),
    "images without pixels for a rehearsal": (
        lambda t: alkit.SegmentationLearner().try_training(EMPTY, t.spec),
        "images must be",
    ),
    "images without pixels for nnU-Net": (
        lambda t: alkit.learners.NNUNetLearner().try_training(EMPTY, t.spec),
        "images must be",
    ),
    "truth values for points": (
        lambda t: alkit.features.nearest(ROWS, np.ones((1, 2), bool)),
        "points must be finite numbers",
    ),
    "rows for images": (lambda t: alkit.testing.RowMeans().features(ROWS), "images must be"),
    "more examples than memory": (
        lambda t: alkit.networks.minibatches(10**30, 1, alkit.rng.Stream(0)),
        "count must be an integer from 1 to",
    ),
    "a size below 0": (lambda t: alkit.labels.resize_mask(MASK, (-1, 2**31), t.spec), "at least one pixel"),
    "a size beyond memory": (lambda t: alkit.labels.resize_mask(MASK, (2**63, 255), t.spec), "too many pixels"),
    "probabilities that are complex": (lambda t: alkit.scores.margin(torch.zeros(1, 2) + 0j), "must be of a float"),
    "a head of absurd width": (
        lambda t: alkit.networks.Heads({2: 0.1}, channels={2: 10**30}, classes=2, owner="net"),
        r"channels\[2\] must be",
    ),
    "values beyond all floats": (lambda t: alkit.statistics.estimate([1.0, 10**400]), "values must be"),
    "a score beyond all floats": (lambda t: alkit.highest({"a": 10**400}, 1), "scores must be numbers"),
    "the root for a record": (lambda t: alkit.record.Store("/"), "is a folder"),
    "a network of absurd width": (lambda t: alkit.UNet(1, 2, widths=(2, 10**30)), "each of widths must be"),
    "an ensemble of none": (lambda t: alkit.learners.EnsemblePredictor(()), "members must be the models"),
    "a model for images without pixels": (
        lambda t: t.predictor.features(np.zeros((2, 1, 0, 4), np.float32)),
        "must have pixels",
    ),
    "probabilities of two shapes": (
        lambda t: alkit.learners.EnsemblePredictor(
            tuple(
                alkit.learners.NetworkPredictor(alkit.UNet(1, classes, widths=(2, 4)), 1, classes) for classes in (2, 3)
            )
        ).probabilities(np.zeros((1, 1, 8, 8), np.float32)),
        "of the same shape",
    ),
    "a model of the tests that is none": (lambda t: t.learner.loads(b"{"), "dumped"),
}


@pytest.mark.parametrize("what", REFUSED)
def test_it_is_refused(things, what):
    call, words = REFUSED[what]
    with pytest.raises(AlkitError, match=words):
        call(things)


def test_images_turned_backwards_are_predicted(things):
    images = things.pool.read(["a", "b"])
    turned = images[..., ::-1]
    for model in (things.predictor, alkit.learners.EnsemblePredictor((things.predictor, things.predictor))):
        np.testing.assert_allclose(model.probabilities(turned), model.probabilities(turned.copy()), atol=1e-6)
        assert len(model.features(turned)) == 2


def test_no_images_fit_into_one_batch():
    model = alkit.learners.NetworkPredictor(alkit.UNet(1, 2, widths=(2, 4)), 1, 2)
    assert model.images_at_once(np.zeros((0, 1, 8, 8), np.float32)) == 1


def test_rows_turned_backwards_are_searched_on_a_device():
    points, turned = ROWS[:2] + np.float32(0.1), ROWS[::-1]
    for found, expected in zip(
        alkit.features.nearest(turned, points, "cpu"), alkit.features.nearest(turned.copy(), points), strict=True
    ):
        np.testing.assert_array_equal(found, expected)


def test_a_picture_of_curves_shows_any_title_and_name(tmp_path):
    history = [alkit.values.RoundResult(0, ("a",), 1, {"dice": 0.5})]
    names = {"_private": [history], "$x_$": [history], "\ud800": [history]}
    figure = alkit.report.learning_curves(names, tmp_path / "a.png", title="a$_$\ud800")
    shown = [text.get_text().strip() for text in figure.axes[0].get_legend().get_texts()]
    assert shown == ["_private", "$x_$", "\\ud800"]


def test_a_mask_of_truth_values_is_drawn_like_one_of_class_ids():
    image, mask = np.full((1, 8, 8), 200, np.uint8), np.eye(8, dtype=bool)
    drawn = alkit.pictures.overlay(image, mask.astype(np.uint8))
    np.testing.assert_array_equal(alkit.pictures.overlay(image, mask), drawn)


def test_a_page_shows_a_title_that_is_not_unicode(tmp_path):
    alkit.report.write_page(tmp_path / "page.html", "a\ud800", [])
    assert "a\\ud800" in (tmp_path / "page.html").read_text("utf-8")
