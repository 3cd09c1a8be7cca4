"""The kit of pools."""

from __future__ import annotations

from itertools import combinations
from pathlib import Path

import numpy as np
import pytest

from alkit.errors import AlkitError
from alkit.pools.checks import check_pool
from alkit.pools.digests import digest
from alkit.pools.sizes import mask_sizes
from alkit.protocols import HasDigest, HasDigests, HasFiles, HasSubsets, Pool
from alkit.testing.worlds import generators_left_as_found


class PoolKit:
    """What every pool must do. Inherit, and give a fixture ``pool`` with at least three images."""

    @pytest.fixture
    def pool(self) -> Pool:
        """Return the pool to check: the one thing an author writes."""
        raise NotImplementedError("give a fixture `pool` that returns the pool to check")

    def test_ids_are_different_strings_in_an_order_that_does_not_change(self, pool: Pool) -> None:
        """At least three of them."""
        check_pool(pool)
        assert len(pool.ids) >= 3
        assert list(pool.ids) == list(pool.ids)

    def test_images_are_a_batch_of_float32_in_0_to_1(self, pool: Pool) -> None:
        """``(n, c, h, w)``, all of one size."""
        images = pool.read(list(pool.ids))
        assert images.dtype == np.float32
        assert images.ndim == 4
        assert len(images) == len(pool.ids)
        assert np.isfinite(images).all()
        assert 0 <= images.min() <= images.max() <= 1

    def test_images_come_in_the_order_asked_each_its_own(self, pool: Pool) -> None:
        """Backwards, in part, and the same one twice."""
        ids = list(pool.ids)
        alone = {id: pool.read([id])[0] for id in ids}
        for some in (ids[::-1], ids[1:2], [ids[2], ids[0], ids[2]]):
            for id, image in zip(some, pool.read(some), strict=True):
                np.testing.assert_array_equal(image, alone[id])

    def test_reading_twice_gives_the_same(self, pool: Pool) -> None:
        """No augmentation, no chance, and nothing that a caller can write into."""
        first = pool.read(list(pool.ids))
        kept = first.copy()
        if first.flags.writeable:
            first += 1
        np.testing.assert_array_equal(pool.read(list(pool.ids)), kept)
        assert digest(pool) == digest(pool)

    def test_an_unknown_id_is_an_error(self, pool: Pool) -> None:
        """Of alkit, or the one that mappings raise."""
        with pytest.raises((AlkitError, KeyError)):
            pool.read(["no such image, certainly"])

    def test_every_image_has_sizes_its_mask_may_have(self, pool: Pool) -> None:
        """The working size among them."""
        ids = list(pool.ids)
        size = pool.read(ids[:1]).shape[-2:]
        found = mask_sizes(pool, ids)
        assert len(found) == len(ids)
        for sizes in found:
            assert tuple(size) in {tuple(one) for one in sizes}
        assert list(mask_sizes(pool, ids[::-1])) == list(found)[::-1], "sizes() must follow the order of its ids"

    def test_the_file_of_an_image_is_there(self, pool: Pool) -> None:
        """If the pool has a method ``file``: an existing file or None for each id, and an error for any other."""
        if not isinstance(pool, HasFiles):
            return
        for id in pool.ids:
            path = pool.file(id)
            assert path is None or (isinstance(path, Path) and path.is_file()), f"file({id!r}) returned {path!r}"
        with pytest.raises((AlkitError, KeyError)):
            pool.file("no such image, certainly")

    def test_digests_tell_images_apart(self, pool: Pool) -> None:
        """If the pool has a method ``digests``: one text per id, the same each time, different for different pixels."""
        if not isinstance(pool, HasDigests):
            return
        found = dict(pool.digests())
        assert found.keys() == set(pool.ids)
        assert dict(pool.digests()) == found, "digests() must return the same texts each time"
        images = {id: pool.read([id])[0] for id in pool.ids}
        for one, other in combinations(images, 2):
            if not np.array_equal(images[one], images[other]):
                assert found[one][:16] != found[other][:16], f"{one!r} and {other!r} differ, their digests do not"

    def test_a_digest_belongs_to_the_images(self, pool: Pool) -> None:
        """If the pool has ``digest`` and ``subset``: the digest changes with the images and not with their order."""
        if not isinstance(pool, HasDigest) or not isinstance(pool, HasSubsets):
            return
        ids = list(pool.ids)
        assert digest(pool.subset(ids[::-1])) == digest(pool), "digest() must not depend on the order of the ids"
        assert digest(pool.subset(ids[1:])) != digest(pool), "digest() must change if an image is missing"

    def test_a_subset_is_a_pool_of_its_images(self, pool: Pool) -> None:
        """If the pool has a method ``subset``: the ids as given, each with its own image."""
        if not isinstance(pool, HasSubsets):
            return
        ids = [pool.ids[2], pool.ids[0]]
        some = pool.subset(ids)
        assert list(some.ids) == ids, "subset() must keep the order of its ids"
        np.testing.assert_array_equal(some.read(ids), pool.read(ids))

    def test_global_generators_are_left_as_found(self, pool: Pool) -> None:
        """Reading draws nothing."""
        with generators_left_as_found():
            pool.read(list(pool.ids))
