"""The kit of feature extractors."""

from __future__ import annotations

import json

import numpy as np
import pytest

from alkit.arguments.checked import checked
from alkit.configuration.forms import opaque_parts, written_form
from alkit.pools.arrays import ArrayPool
from alkit.protocols import FeatureExtractor, FittedExtractor, HasFingerprint, KnowsRows, Pool
from alkit.testing.worlds import ids_of, rows_of, unchanged_generators


class ExtractorKit:
    """Checks of a feature extractor. Inherit them, and write a fixture ``extractor`` that returns a fast one.

    Attributes
    ----------
    size:
        Height and width of the images.
    atol:
        Largest difference between the rows of an image in two batches. Arithmetic may differ by some units in the last
        place, no more.
    """

    size: int = 16
    atol: float = 1e-5

    @pytest.fixture
    def extractor(self) -> FeatureExtractor:
        """Return the extractor to check; the author writes this fixture."""
        raise NotImplementedError("write a fixture `extractor` that returns the extractor to check")

    @pytest.fixture
    def pool(self) -> ArrayPool:
        """Return twelve images, two of them equal."""
        from alkit.synthetic import lesions

        images = lesions(12, size=self.size, seed=2)[0]
        images[5] = images[2]
        return ArrayPool(images, ids=ids_of(12))

    @checked
    def test_features_are_one_finite_row_per_image(self, extractor: FeatureExtractor, pool: ArrayPool) -> None:
        """float32, and the number of columns does not change."""
        rows, one = (rows_of(fit(extractor, pool), pool, ids) for ids in (pool.ids, pool.ids[:1]))
        assert rows.dtype == np.float32, f"it gave {rows.dtype}"
        assert rows.ndim == 2, f"it gave shape {rows.shape}, not one row for each image"
        assert len(rows) == len(pool), f"it gave {len(rows)} rows for {len(pool)} images"
        assert np.isfinite(rows).all(), "features must be finite"
        assert one.shape == (1, rows.shape[1]), f"it gave shape {one.shape} for one image, {rows.shape} for {len(pool)}"

    @checked
    def test_rows_do_not_depend_on_the_batch(self, extractor: FeatureExtractor, pool: ArrayPool) -> None:
        """Nor on the order: the rows of an image alone, and among others, are equal up to :attr:`atol`."""
        fitted, ids = fit(extractor, pool), list(pool.ids)
        rows = rows_of(fitted, pool, ids)
        scale = max(1.0, float(np.abs(rows).max()))
        alone = np.concatenate([rows_of(fitted, pool, [id]) for id in ids])
        np.testing.assert_allclose(alone, rows, rtol=0, atol=self.atol * scale)
        np.testing.assert_allclose(rows_of(fitted, pool, ids[::-1])[::-1], rows, rtol=0, atol=self.atol * scale)

    @checked
    def test_identical_images_have_the_same_row(self, extractor: FeatureExtractor, pool: ArrayPool) -> None:
        """Unless its rows are read from a file by id."""
        fitted = fit(extractor, pool)
        if not isinstance(fitted, KnowsRows):
            rows = rows_of(fitted, pool, pool.ids)
            np.testing.assert_allclose(rows[5], rows[2], rtol=0, atol=self.atol * max(1.0, float(np.abs(rows).max())))

    @checked
    def test_the_same_seed_gives_the_same_rows(self, extractor: FeatureExtractor, pool: ArrayPool) -> None:
        """With exactly the same numbers, and the same fingerprint if it has one."""
        one, other = (fit(extractor, pool) for _ in range(2))
        np.testing.assert_array_equal(rows_of(one, pool, pool.ids), rows_of(other, pool, pool.ids))
        if isinstance(one, HasFingerprint):
            assert isinstance(other, HasFingerprint)
            mark = one.fingerprint()
            assert isinstance(mark, str), f"fingerprint() returned {mark!r}"
            assert len(mark) >= 16, f"fingerprint() must return at least 16 characters: got {mark!r}"
            assert other.fingerprint() == mark, "fingerprint() must not change if the weights do not"

    @checked
    def test_the_order_of_the_pool_does_not_matter(self, extractor: FeatureExtractor, pool: ArrayPool) -> None:
        """Of the same images in reverse order."""
        ids = list(pool.ids)
        turned = pool.subset(ids[::-1])
        one, other = rows_of(fit(extractor, pool), pool, ids), rows_of(fit(extractor, turned), turned, ids)
        np.testing.assert_allclose(one, other, rtol=0, atol=self.atol * max(1.0, float(np.abs(one).max())))

    @checked
    def test_images_are_not_changed(self, extractor: FeatureExtractor, pool: ArrayPool) -> None:
        """Neither by the fit nor by the features."""
        fitted, images = fit(extractor, pool), pool.read(pool.ids)
        if not isinstance(fitted, KnowsRows):
            before = images.copy()
            fitted.features(images)
            np.testing.assert_array_equal(images, before)

    @checked
    def test_a_record_keeps_its_parameters(self, extractor: FeatureExtractor) -> None:
        """So that clusters and tables of features on disk belong to it."""
        opaque = opaque_parts(json.loads(json.dumps(written_form(extractor))))
        assert not opaque, f"a record cannot keep {', '.join(opaque)}: make it a frozen dataclass with plain parameters"
        assert repr(extractor) != object.__repr__(extractor), "it needs a readable repr: a dataclass has one"

    @checked
    def test_global_generators_are_not_changed(self, extractor: FeatureExtractor, pool: ArrayPool) -> None:
        """All random numbers come from `rng`."""
        with unchanged_generators():
            rows_of(fit(extractor, pool), pool, pool.ids)


def fit(extractor: FeatureExtractor, pool: Pool) -> FittedExtractor:
    """Return the extractor, fitted on a pool with a fixed seed."""
    return extractor.fit(pool, np.random.default_rng(3))
