"""Values of the right type that are absurd or unusual, one of each kind that random arguments once found."""

from __future__ import annotations

import numpy as np
import pytest
import torch

import alkit
from alkit.checks import check_number
from alkit.errors import AlkitError
from tests.support.valid_arguments import Things

EMPTY = np.zeros((0, 1, 8, 8), np.float32)
MASK = np.zeros((8, 8), np.uint8)


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
