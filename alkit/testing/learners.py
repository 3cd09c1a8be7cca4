"""The kit of learners."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
import torch

from alkit.arguments.checked import checked
from alkit.errors import AlkitError
from alkit.pools.arrays import ArrayPool
from alkit.protocols import (
    DrawsDropout,
    DrawsMembers,
    ExportsModule,
    HasFeatures,
    HasHeads,
    HasMembers,
    HasPosterior,
    Learner,
    LimitsBatches,
    Predictor,
)
from alkit.rng import Stream
from alkit.testing.worlds import ids_of, unchanged_generators
from alkit.values.label_spec import Label, LabelSpec


@dataclass(frozen=True)
class Labelled:
    """Labelled images in the form in which an experiment passes them to a learner."""

    pool: ArrayPool
    ids: tuple[str, ...]
    known: dict[str, Label]
    spec: LabelSpec
    pseudo_ids: tuple[str, ...] = ()

    def images(self, ids: Any) -> Any:
        """Return these images."""
        return self.pool.read(ids)

    def labels(self, ids: Any) -> Label:
        """Return these labels."""
        return np.stack([self.known[id] for id in ids])

    def fitted(self, extractor: Any) -> Any:
        """Fit an extractor on the pool."""
        return extractor.fit(self.pool, np.random.default_rng(0))


class LearnerKit:
    """Checks of a learner. Inherit them, and write a fixture ``learner`` that returns a small and fast one.

    Attributes
    ----------
    per:
        ``pixel`` if it learns one class per pixel, ``image`` if it learns classes of images.
    multiple:
        Whether it learns several classes per image, if `per` is ``image``.
    size:
        Height and width of the images.
    """

    per: str = "pixel"
    multiple: bool = False
    size: int = 16

    @pytest.fixture
    def learner(self) -> Learner:
        """Return the learner to check; the author writes this fixture."""
        raise NotImplementedError("write a fixture `learner` that returns the learner to check")

    @pytest.fixture
    def labelled(self) -> Labelled:
        """Return twenty images, twelve of them with a label."""
        from alkit.synthetic import lesions

        images, masks = lesions(20, size=self.size, seed=2)
        ids = ids_of(20)
        spec = LabelSpec(("skin", "lesion"), per="pixel" if self.per == "pixel" else "image", multiple=self.multiple)
        bright = [images[row].mean() > np.median(images) for row in range(20)]
        classes: list[Any] = [np.int64(value) for value in bright]
        if self.multiple:
            classes = [np.array([value, row % 2], np.uint8) for row, value in enumerate(bright)]
        known = dict(zip(ids, masks if self.per == "pixel" else classes, strict=True))
        return Labelled(ArrayPool(images, ids=ids), tuple(ids[:12]), known, spec)

    @checked
    def test_its_model_gives_class_probabilities(self, learner: Learner, labelled: Labelled) -> None:
        """``(n, classes, h, w)`` or ``(n, classes)``, float32, with the sum 1 over the classes.

        If an image can have several classes, ``(n, 2, classes)``, the probabilities that each is absent and present.
        """
        images = labelled.pool.read(labelled.pool.ids)
        found = fit(learner, labelled).probabilities(images)
        space = images.shape[-2:] if self.per == "pixel" else (2,) if self.multiple else ()
        assert found.shape == (20, 2, *space)
        assert found.dtype == np.float32
        assert found.min() >= 0
        np.testing.assert_allclose(found.sum(axis=1), 1, atol=1e-5)

    @checked
    def test_the_same_seed_gives_the_same_model(self, learner: Learner, labelled: Labelled) -> None:
        """With exactly the same numbers."""
        images = labelled.pool.read(labelled.pool.ids)
        one, other = (fit(learner, labelled).probabilities(images) for _ in range(2))
        np.testing.assert_array_equal(one, other)

    @checked
    def test_a_loaded_model_predicts_the_same_numbers(self, learner: Learner, labelled: Labelled) -> None:
        """If it is loaded from the bytes that a record keeps."""
        images = labelled.pool.read(labelled.pool.ids)
        model = fit(learner, labelled)
        np.testing.assert_array_equal(learner.loads(model.dumps()).probabilities(images), model.probabilities(images))

    @checked
    def test_training_continues_alike_from_a_loaded_model(self, learner: Learner, labelled: Labelled) -> None:
        """As from the model itself, which training must not change."""
        images = labelled.pool.read(labelled.pool.ids)
        model = fit(learner, labelled)
        before = model.probabilities(images)
        kept = fit(learner, labelled, model)
        loaded = fit(learner, labelled, learner.loads(model.dumps()))
        np.testing.assert_array_equal(kept.probabilities(images), loaded.probabilities(images))
        np.testing.assert_array_equal(model.probabilities(images), before)

    @checked
    def test_predictions_do_not_depend_on_the_batch(self, learner: Learner, labelled: Labelled) -> None:
        """Batch statistics must be those of the training."""
        images = labelled.pool.read(labelled.pool.ids)
        model = fit(learner, labelled)
        np.testing.assert_allclose(model.probabilities(images[3:4])[0], model.probabilities(images)[3], atol=1e-5)

    @checked
    def test_a_posterior_agrees_with_the_prediction(self, learner: Learner, labelled: Labelled) -> None:
        """If the model has a method ``posterior``: each of its methods gives class probabilities in the right shape.

        A method that raises an error of alkit counts as one that the model does not have.
        """
        images = labelled.pool.read(labelled.pool.ids)
        model = fit(learner, labelled)
        if not isinstance(model, HasPosterior):
            return
        posterior, expected = model.posterior(images), model.probabilities(images)
        np.testing.assert_allclose(arrays([posterior.prediction()]), expected[None], atol=1e-3)
        if isinstance(posterior, DrawsDropout):
            dropout = posterior.dropout
            drawn, again = (drawn_by(lambda: dropout(3, Stream(2))) for _ in range(2))
            np.testing.assert_array_equal(drawn, again, err_msg="dropout() must depend on its stream alone")
            assert len(drawn) in (0, 3), f"dropout(3) gave {len(drawn)} draws"
            check_probabilities("dropout()", drawn, expected)
        if isinstance(posterior, DrawsMembers):
            check_probabilities("members()", drawn_by(posterior.members), expected)
        if isinstance(posterior, HasHeads) and len(heads := drawn_by(lambda: iter([*posterior.heads()]), whole=True)):
            np.testing.assert_allclose(heads[0], expected, atol=1e-3, err_msg="heads() must give the final head first")
            check_probabilities("heads()", heads, expected)

    @checked
    def test_features_are_one_finite_row_per_image(self, learner: Learner, labelled: Labelled) -> None:
        """If the model has a method ``features``: float32, the same after loading and in any batch."""
        images = labelled.pool.read(labelled.pool.ids)
        model = fit(learner, labelled)
        if not isinstance(model, HasFeatures):
            return
        rows = model.features(images)
        assert rows.dtype == np.float32, f"features() gave {rows.dtype}"
        assert rows.ndim == 2, f"features() gave shape {rows.shape}, not one row for each image"
        assert len(rows) == len(images), f"features() gave {len(rows)} rows for {len(images)} images"
        assert np.isfinite(rows).all(), "features() must be finite"
        np.testing.assert_allclose(model.features(images[3:4])[0], rows[3], rtol=1e-4, atol=1e-5)
        loaded = learner.loads(model.dumps())
        assert isinstance(loaded, HasFeatures), "a loaded model has no features()"
        np.testing.assert_array_equal(loaded.features(images), rows)

    @checked
    def test_an_ensemble_predicts_the_mean_of_its_members(self, learner: Learner, labelled: Labelled) -> None:
        """If the model has ``members``."""
        images = labelled.pool.read(labelled.pool.ids)
        model = fit(learner, labelled)
        if isinstance(model, HasMembers):
            mean = np.mean([member.probabilities(images) for member in model.members], axis=0)
            np.testing.assert_allclose(model.probabilities(images), mean, atol=1e-5)

    @checked
    def test_the_batch_limit_is_a_number(self, learner: Learner, labelled: Labelled) -> None:
        """If the model has a method ``images_at_once``: an integer >= 1, or None."""
        model = fit(learner, labelled)
        if isinstance(model, LimitsBatches):
            limit = model.images_at_once(labelled.images(labelled.ids[:1]))
            assert limit is None or (isinstance(limit, int) and limit >= 1), f"images_at_once() returned {limit!r}"

    @checked
    def test_an_exported_module_gives_the_same_probabilities(self, learner: Learner, labelled: Labelled) -> None:
        """If the model has a method ``export_module``. Of several classes, it gives that each is present."""
        images = labelled.pool.read(labelled.pool.ids)
        model = fit(learner, labelled)
        if isinstance(model, ExportsModule):
            module = model.export_module().eval()
            with torch.no_grad():
                found = module(torch.from_numpy(images)).numpy()
            expected = model.probabilities(images)
            np.testing.assert_allclose(found, expected[:, 1] if self.multiple else expected, atol=1e-3)

    @checked
    def test_global_generators_are_not_changed(self, learner: Learner, labelled: Labelled) -> None:
        """By training, predicting or loading."""
        with unchanged_generators():
            model = fit(learner, labelled)
            model.probabilities(labelled.images(labelled.ids))
            learner.loads(model.dumps())


def fit(learner: Learner, labelled: Labelled, previous: Predictor | None = None) -> Predictor:
    """Return the model that a learner trains on the labels."""
    return learner.fit(labelled, np.random.default_rng(3), previous)


def drawn_by(draw: Callable[[], Iterator[Any]], whole: bool = False) -> npt.NDArray[np.float32]:
    """Return all draws as one array; an empty one if the model cannot draw and says so with an error of alkit.

    Each item is a stack of draws, or one draw if `whole`.
    """
    try:
        return arrays(part for chunk in draw() for part in ([chunk] if whole else chunk))
    except AlkitError:
        return np.zeros(0, np.float32)


def arrays(tensors: Iterable[Any]) -> npt.NDArray[np.float32]:
    """Return tensors of one shape as one array."""
    return np.stack([tensor.cpu().numpy() for tensor in tensors])


def check_probabilities(what: str, drawn: npt.NDArray[np.float32], expected: npt.NDArray[np.float32]) -> None:
    """Check that draws, ``(k, n, classes, *space)``, are class probabilities of the shape of the prediction."""
    for draw in drawn:
        assert draw.shape == expected.shape, f"{what} gave shape {draw.shape}, the prediction has {expected.shape}"
        np.testing.assert_allclose(draw.sum(axis=1), 1, atol=1e-3, err_msg=f"{what} must give probabilities")
