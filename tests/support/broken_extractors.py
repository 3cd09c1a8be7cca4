"""Broken feature extractors with one bug each, and the check of the kit that must find it."""

from __future__ import annotations

import random
from dataclasses import dataclass, field

import numpy as np

from alkit.testing import RowMeans


@dataclass(frozen=True)
class BrokenExtractor(RowMeans):
    """The extractor of the kit; subclasses have a bug each."""

    def fingerprint(self):
        return "there are no weights"


class GivesMaps(BrokenExtractor):
    caught_by = "test_features_are_one_finite_row_per_image"

    def features(self, images):
        return images[:, 0]


class GivesDoubleRows(BrokenExtractor):
    caught_by = "test_features_are_one_finite_row_per_image"

    def features(self, images):
        return super().features(images).astype(np.float64)


class DividesByNothing(BrokenExtractor):
    caught_by = "test_features_are_one_finite_row_per_image"

    def features(self, images):
        with np.errstate(all="ignore"):
            return super().features(images) / np.float32(0)


class ChangesItsWidth(BrokenExtractor):
    caught_by = "test_features_are_one_finite_row_per_image"

    def features(self, images):
        return super().features(images)[:, : len(images)]


class NormalisesTheBatch(BrokenExtractor):
    caught_by = "test_rows_do_not_depend_on_the_batch"

    def features(self, images):
        return super().features(images - images.mean())


class SortsTheBatch(BrokenExtractor):
    caught_by = "test_rows_do_not_depend_on_the_batch"

    def features(self, images):
        return np.sort(super().features(images), axis=0)


class NumbersItsImages(BrokenExtractor):
    caught_by = "test_identical_images_have_the_same_row"

    def features(self, images):
        return super().features(images) + np.arange(len(images), dtype=np.float32)[:, None]


@dataclass(frozen=True)
class Seedless(BrokenExtractor):
    shift: float = 0.0

    def fit(self, pool, rng, report=None):
        return type(self)(float(np.random.default_rng().random()))

    def features(self, images):
        return super().features(images) + np.float32(self.shift)


class IgnoresTheSeed(Seedless):
    caught_by = "test_the_same_seed_gives_the_same_rows"


class HasAnotherFingerprintEachTime(BrokenExtractor):
    caught_by = "test_the_same_seed_gives_the_same_rows"

    def fingerprint(self):
        return np.random.default_rng().bytes(16).hex()


class HasAShortFingerprint(BrokenExtractor):
    caught_by = "test_the_same_seed_gives_the_same_rows"

    def fingerprint(self):
        return "v1"


@dataclass(frozen=True)
class CentresOnTheFirstImage(BrokenExtractor):
    caught_by = "test_the_order_of_the_pool_does_not_matter"
    level: float = 0.0

    def fit(self, pool, rng, report=None):
        return type(self)(float(pool.read(list(pool.ids)[:1]).mean()))

    def features(self, images):
        return super().features(images) - np.float32(self.level)


class ScalesInPlace(BrokenExtractor):
    caught_by = "test_images_are_not_changed"

    def features(self, images):
        rows = super().features(images)
        images *= 0.5
        return rows


@dataclass(frozen=True)
class HasALambda(BrokenExtractor):
    caught_by = "test_a_record_keeps_its_parameters"
    change: object = field(default=lambda image: image)


class SeedsGenerators(BrokenExtractor):
    caught_by = "test_global_generators_are_not_changed"

    def fit(self, pool, rng, report=None):
        random.seed(0)
        return self
