"""The kit of learners."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import pytest

from alkit.pools.arrays import ArrayPool
from alkit.testing.worlds import generators_left_as_found, ids_of
from alkit.values.label_spec import Label, LabelSpec


@dataclass(frozen=True)
class Labelled:
    """Labelled images as an experiment hands them to a learner, without a pretext."""

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
    """What every learner must do. Inherit, and give a fixture ``learner``; small and quick, please.

    Attributes
    ----------
    per:
        Whether it learns one class per ``pixel`` or per ``image``.
    size:
        Height and width of the images it is given.
    """

    per: str = "pixel"
    size: int = 16

    @pytest.fixture
    def learner(self) -> Any:
        """Return the learner to check: the one thing an author writes."""
        raise NotImplementedError("give a fixture `learner` that returns the learner to check")

    @pytest.fixture
    def labelled(self) -> Labelled:
        """Return twelve labelled images of twenty."""
        from alkit.synthetic import lesions

        images, masks = lesions(20, size=self.size, seed=2)
        ids = ids_of(20)
        spec = LabelSpec(("skin", "lesion"), per="pixel" if self.per == "pixel" else "image")
        classes = [np.int64(images[row].mean() > np.median(images)) for row in range(20)]
        known = dict(zip(ids, masks if self.per == "pixel" else classes, strict=True))
        return Labelled(ArrayPool(images, ids=ids), tuple(ids[:12]), known, spec)

    def test_its_model_gives_class_probabilities(self, learner: Any, labelled: Labelled) -> None:
        """``(n, classes, h, w)`` or ``(n, classes)``, float32, summing to 1."""
        images = labelled.pool.read(labelled.pool.ids)
        found = fit(learner, labelled).probabilities(images)
        space = images.shape[-2:] if self.per == "pixel" else ()
        assert found.shape == (20, 2, *space)
        assert found.dtype == np.float32
        assert found.min() >= 0
        np.testing.assert_allclose(found.sum(axis=1), 1, atol=1e-5)

    def test_the_same_chance_gives_the_same_model(self, learner: Any, labelled: Labelled) -> None:
        """Number for number."""
        images = labelled.pool.read(labelled.pool.ids)
        one, other = (fit(learner, labelled).probabilities(images) for _ in range(2))
        np.testing.assert_array_equal(one, other)

    def test_a_model_comes_back_number_for_number(self, learner: Any, labelled: Labelled) -> None:
        """From the bytes that a record keeps."""
        images = labelled.pool.read(labelled.pool.ids)
        model = fit(learner, labelled)
        np.testing.assert_array_equal(learner.loads(model.dumps()).probabilities(images), model.probabilities(images))

    def test_a_model_that_was_loaded_carries_on_like_one_that_was_kept(self, learner: Any, labelled: Labelled) -> None:
        """And the earlier model is left as it was."""
        images = labelled.pool.read(labelled.pool.ids)
        model = fit(learner, labelled)
        before = model.probabilities(images)
        kept = fit(learner, labelled, model)
        loaded = fit(learner, labelled, learner.loads(model.dumps()))
        np.testing.assert_array_equal(kept.probabilities(images), loaded.probabilities(images))
        np.testing.assert_array_equal(model.probabilities(images), before)

    def test_the_prediction_of_an_image_does_not_depend_on_its_company(self, learner: Any, labelled: Labelled) -> None:
        """Batch statistics are those of the training."""
        images = labelled.pool.read(labelled.pool.ids)
        model = fit(learner, labelled)
        np.testing.assert_allclose(model.probabilities(images[3:4])[0], model.probabilities(images)[3], atol=1e-5)

    def test_global_generators_are_left_as_found(self, learner: Any, labelled: Labelled) -> None:
        """Training, predicting and loading."""
        with generators_left_as_found():
            model = fit(learner, labelled)
            model.probabilities(labelled.images(labelled.ids))
            learner.loads(model.dumps())


def fit(learner: Any, labelled: Labelled, previous: Any = None) -> Any:
    """Return what a learner makes of the labels."""
    return learner.fit(labelled, np.random.default_rng(3), previous)
