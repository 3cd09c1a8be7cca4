"""The kit of pools."""

from __future__ import annotations

from itertools import combinations
from pathlib import Path

import numpy as np
import pytest

from alkit.arguments.checked import checked
from alkit.errors import AlkitError
from alkit.pools.checks import check_pool
from alkit.pools.digests import digest
from alkit.pools.groups import groups_of, metadata_of, parents_of
from alkit.pools.scaling import scale_pixels
from alkit.pools.sizes import mask_sizes
from alkit.protocols import (
    HasDigest,
    HasDigests,
    HasFiles,
    HasFrames,
    HasPictures,
    HasStored,
    HasSubsets,
    HasSurroundings,
    Pool,
)
from alkit.testing.worlds import unchanged_generators


class PoolKit:
    """Checks of a pool. Inherit them, and write a fixture ``pool`` that returns one with at least three images."""

    @pytest.fixture
    def pool(self) -> Pool:
        """Return the pool to check; the author writes this fixture."""
        raise NotImplementedError("write a fixture `pool` that returns the pool to check")

    @checked
    def test_ids_are_distinct_strings_in_a_fixed_order(self, pool: Pool) -> None:
        """At least three of them."""
        check_pool(pool)
        assert len(pool.ids) >= 3
        assert list(pool.ids) == list(pool.ids)

    @checked
    def test_images_are_a_batch_of_float32_in_0_to_1(self, pool: Pool) -> None:
        """``(n, c, h, w)``, all of one size."""
        images = pool.read(list(pool.ids))
        assert images.dtype == np.float32
        assert images.ndim == 4
        assert len(images) == len(pool.ids)
        assert np.isfinite(images).all()
        assert 0 <= images.min() <= images.max() <= 1

    @checked
    def test_images_follow_the_order_of_the_ids(self, pool: Pool) -> None:
        """In reverse order, for some ids, and for a repeated id."""
        ids = list(pool.ids)
        alone = {id: pool.read([id])[0] for id in ids}
        for some in (ids[::-1], ids[1:2], [ids[2], ids[0], ids[2]]):
            for id, image in zip(some, pool.read(some), strict=True):
                np.testing.assert_array_equal(image, alone[id])

    @checked
    def test_reading_twice_gives_the_same_images(self, pool: Pool) -> None:
        """Without augmentation or randomness, and even if a caller writes into the images."""
        first = pool.read(list(pool.ids))
        kept = first.copy()
        if first.flags.writeable:
            first += 1
        np.testing.assert_array_equal(pool.read(list(pool.ids)), kept)
        assert digest(pool) == digest(pool)

    @checked
    def test_an_unknown_id_is_an_error(self, pool: Pool) -> None:
        """An error of alkit, or a ``KeyError``."""
        with pytest.raises((AlkitError, KeyError)):
            pool.read(["no such image, certainly"])

    @checked
    def test_every_image_has_the_sizes_of_its_mask(self, pool: Pool) -> None:
        """The working size is one of them, and the sizes follow the order of the ids."""
        ids = list(pool.ids)
        size = pool.read(ids[:1]).shape[-2:]
        found = mask_sizes(pool, ids)
        assert len(found) == len(ids)
        for sizes in found:
            assert tuple(size) in {tuple(one) for one in sizes}
        assert list(mask_sizes(pool, ids[::-1])) == list(found)[::-1], "sizes() must follow the order of its ids"

    @checked
    def test_frames_lie_inside_the_images(self, pool: Pool) -> None:
        """If the pool has a method ``frames``: the working size of the images, an original size that masks may have."""
        if not isinstance(pool, HasFrames):
            return
        ids = list(pool.ids)
        size = pool.read(ids[:1]).shape[-2:]
        found = list(pool.frames(ids))
        assert len(found) == len(ids)
        for frame, sizes in zip(found, mask_sizes(pool, ids), strict=True):
            assert frame.working == tuple(size), "the working size of a frame must be that of the images"
            assert frame.original in {tuple(one) for one in sizes}, "masks must be allowed to have the original size"
        assert list(pool.frames(ids[::-1])) == found[::-1], "frames() must follow the order of its ids"

    @checked
    def test_surroundings_contain_the_image(self, pool: Pool) -> None:
        """If the pool has a method ``surroundings``: the image lies inside both pictures, with values in [0, 1]."""
        if not isinstance(pool, HasSurroundings):
            return
        for id in pool.ids:
            if (found := pool.surroundings(id)) is None:
                continue
            for pixels, place in ((found.near, found.place), (found.overview, found.place_in_overview)):
                assert pixels.ndim == 3
                assert 0 <= pixels.min() <= pixels.max() <= 1
                assert pixels[(slice(None), *place.slices)].shape[1:] == place.size, "the place must be inside"

    @checked
    def test_the_file_of_an_image_exists(self, pool: Pool) -> None:
        """If the pool has a method ``file``: an existing file or None for each id, and an error for any other."""
        if not isinstance(pool, HasFiles):
            return
        for id in pool.ids:
            path = pool.file(id)
            assert path is None or (isinstance(path, Path) and path.is_file()), f"file({id!r}) returned {path!r}"
        with pytest.raises((AlkitError, KeyError)):
            pool.file("no such image, certainly")

    @checked
    def test_the_picture_of_an_image_has_a_size_of_its_mask(self, pool: Pool) -> None:
        """If the pool has a method ``picture``: ``(c, h, w)`` in [0, 1] or None, and an error for an unknown id."""
        if not isinstance(pool, HasPictures):
            return
        ids = list(pool.ids)
        for id, sizes in zip(ids, mask_sizes(pool, ids), strict=True):
            shown = pool.picture(id)
            if shown is not None:
                assert shown.ndim == 3, f"picture({id!r}) must be (c, h, w)"
                assert shown.shape[1:] in {tuple(one) for one in sizes}, f"picture({id!r}) must have a size of its mask"
                assert 0 <= shown.min() <= shown.max() <= 1, f"picture({id!r}) must be in [0, 1]"
        with pytest.raises((AlkitError, KeyError)):
            pool.picture("no such image, certainly")

    @checked
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

    @checked
    def test_the_digest_changes_with_the_images(self, pool: Pool) -> None:
        """If the pool has ``digest`` and ``subset``: the digest changes with the images and not with their order."""
        if not isinstance(pool, HasDigest) or not isinstance(pool, HasSubsets):
            return
        ids = list(pool.ids)
        assert digest(pool.subset(ids[::-1])) == digest(pool), "digest() must not depend on the order of the ids"
        assert digest(pool.subset(ids[1:])) != digest(pool), "digest() must change if an image is missing"

    @checked
    def test_stored_images_are_those_that_are_read(self, pool: Pool) -> None:
        """If the pool has a method ``stored``: its images, scaled, equal those of ``read`` bit for bit, unless None."""
        if not isinstance(pool, HasStored):
            return
        ids = [pool.ids[1], pool.ids[0]]
        found = pool.stored(ids)
        if found is not None:
            np.testing.assert_array_equal(scale_pixels(*found), pool.read(ids))

    @checked
    def test_a_subset_is_a_pool_of_its_images(self, pool: Pool) -> None:
        """If the pool has a method ``subset``: the ids as given, each with its own image."""
        if not isinstance(pool, HasSubsets):
            return
        ids = [pool.ids[2], pool.ids[0]]
        some = pool.subset(ids)
        assert list(some.ids) == ids, "subset() must keep the order of its ids"
        np.testing.assert_array_equal(some.read(ids), pool.read(ids))

    @checked
    def test_groups_and_parents_are_one_text_for_each_id(self, pool: Pool) -> None:
        """If the pool has ``groups_of``, ``parents_of`` or ``metadata_of``: in the order of the ids, also repeated."""
        ids = list(pool.ids)
        for ask in (groups_of, parents_of, metadata_of):
            whole = dict(zip(ids, ask(pool, ids), strict=True))
            assert all(entry != "" for entry in whole.values()), f"{ask.__name__}() must not be empty"
            for some in (ids[::-1], [ids[2], ids[0], ids[2]]):
                asked = ask(pool, some)
                assert asked == [whole[id] for id in some], f"{ask.__name__}() must follow the order of its ids"

    @checked
    def test_parts_of_one_parent_are_in_one_group(self, pool: Pool) -> None:
        """If the pool has ``groups_of`` or ``parents_of``."""
        ids = list(pool.ids)
        groups: dict[str, str] = {}
        for parent, group in zip(parents_of(pool, ids), groups_of(pool, ids), strict=True):
            assert groups.setdefault(parent, group) == group, f"the parts of {parent!r} are in two groups"

    @checked
    def test_a_subset_keeps_groups_and_parents(self, pool: Pool) -> None:
        """If the pool has a method ``subset``: its images have the same groups, parents and metadata."""
        if not isinstance(pool, HasSubsets):
            return
        ids = [pool.ids[2], pool.ids[0]]
        for ask in (groups_of, parents_of, metadata_of):
            assert ask(pool.subset(ids), ids) == ask(pool, ids), f"a subset has another {ask.__name__}()"

    @checked
    def test_global_generators_are_not_changed(self, pool: Pool) -> None:
        """By reading images."""
        with unchanged_generators():
            pool.read(list(pool.ids))
