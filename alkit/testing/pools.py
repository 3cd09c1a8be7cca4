"""The kit of pools."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from alkit.errors import AlkitError
from alkit.pools.base import digest, mask_sizes
from alkit.pools.checks import check_pool
from alkit.testing.worlds import generators_left_as_found


class PoolKit:
    """What every pool must do. Inherit, and give a fixture ``pool`` with at least three images."""

    @pytest.fixture
    def pool(self) -> Any:
        """Return the pool to check: the one thing an author writes."""
        raise NotImplementedError("give a fixture `pool` that returns the pool to check")

    def test_ids_are_different_strings_in_an_order_that_does_not_change(self, pool: Any) -> None:
        """At least three of them."""
        check_pool(pool)
        assert len(pool.ids) >= 3
        assert list(pool.ids) == list(pool.ids)

    def test_images_are_a_batch_of_float32_in_0_to_1(self, pool: Any) -> None:
        """``(n, c, h, w)``, all of one size."""
        images = pool.read(list(pool.ids))
        assert images.dtype == np.float32
        assert images.ndim == 4
        assert len(images) == len(pool.ids)
        assert np.isfinite(images).all()
        assert 0 <= images.min() <= images.max() <= 1

    def test_images_come_in_the_order_asked_each_its_own(self, pool: Any) -> None:
        """Backwards, in part, and the same one twice."""
        ids = list(pool.ids)
        alone = {id: pool.read([id])[0] for id in ids}
        for some in (ids[::-1], ids[1:2], [ids[2], ids[0], ids[2]]):
            for id, image in zip(some, pool.read(some), strict=True):
                np.testing.assert_array_equal(image, alone[id])

    def test_reading_twice_gives_the_same(self, pool: Any) -> None:
        """No augmentation, no chance, and nothing that a caller can write into."""
        first = pool.read(list(pool.ids))
        kept = first.copy()
        if first.flags.writeable:
            first += 1
        np.testing.assert_array_equal(pool.read(list(pool.ids)), kept)
        assert digest(pool) == digest(pool)

    def test_an_unknown_id_is_an_error(self, pool: Any) -> None:
        """Of alkit, or the one that mappings raise."""
        with pytest.raises((AlkitError, KeyError)):
            pool.read(["no such image, certainly"])

    def test_every_image_has_sizes_its_mask_may_have(self, pool: Any) -> None:
        """The working size among them."""
        size = pool.read(list(pool.ids)[:1]).shape[-2:]
        for sizes in mask_sizes(pool, list(pool.ids)):
            assert tuple(size) in {tuple(one) for one in sizes}

    def test_global_generators_are_left_as_found(self, pool: Any) -> None:
        """Reading draws nothing."""
        with generators_left_as_found():
            pool.read(list(pool.ids))
