"""Broken pools with one bug each, and the check of the kit that must find it."""

from __future__ import annotations

from pathlib import Path

import numpy as np

import alkit


class BrokenPool:
    """A correct pool without optional methods; each subclass has one bug."""

    def __init__(self):
        self.whole = alkit.ArrayPool(alkit.synthetic.lesions(5, size=16, seed=3)[0])

    @property
    def ids(self):
        return self.whole.ids

    def read(self, ids):
        return self.whole.read(ids)


class IdsInAnotherOrderEachTime(BrokenPool):
    caught_by = "test_ids_are_distinct_strings_in_a_fixed_order"
    turn = 1

    @property
    def ids(self):
        self.turn = -self.turn
        return tuple(self.whole.ids)[:: self.turn]


class NumbersForIds(BrokenPool):
    caught_by = "test_ids_are_distinct_strings_in_a_fixed_order"
    ids = tuple(range(5))

    def read(self, ids):
        return super().read([self.whole.ids[id] for id in ids])


class Doubles(BrokenPool):
    caught_by = "test_images_are_a_batch_of_float32_in_0_to_1"

    def read(self, ids):
        return super().read(ids).astype(np.float64)


class WithoutChannels(BrokenPool):
    caught_by = "test_images_are_a_batch_of_float32_in_0_to_1"

    def read(self, ids):
        return super().read(ids)[:, 0]


class Bytes(BrokenPool):
    caught_by = "test_images_are_a_batch_of_float32_in_0_to_1"

    def read(self, ids):
        return super().read(ids) * np.float32(255)


class InTheOrderOfThePool(BrokenPool):
    """Returns rows that belong to other images, as a database without an order. A released code has this bug."""

    caught_by = "test_images_follow_the_order_of_the_ids"

    def read(self, ids):
        return super().read(sorted(ids))


class Augmented(BrokenPool):
    caught_by = "test_reading_twice_gives_the_same_images"
    reads = 0

    def read(self, ids):
        self.reads += 1
        return np.roll(super().read(ids), self.reads, axis=-1)


class HandsOutItsOwnMemory(BrokenPool):
    caught_by = "test_reading_twice_gives_the_same_images"

    def __init__(self):
        super().__init__()
        self.memory = self.whole.read(self.ids).copy()

    def read(self, ids):
        return self.memory if list(ids) == list(self.ids) else super().read(ids)


class BlackWhereThereIsNone(BrokenPool):
    caught_by = "test_an_unknown_id_is_an_error"

    def read(self, ids):
        return super().read([id if id in self.whole.ids else self.whole.ids[0] for id in ids])


class WrongSizes(BrokenPool):
    caught_by = "test_every_image_has_the_sizes_of_its_mask"

    def sizes(self, ids):
        return [((400, 300),) for _ in ids]


class DrawsToRead(BrokenPool):
    caught_by = "test_global_generators_are_not_changed"

    def read(self, ids):
        np.random.rand()  # noqa: NPY002
        return super().read(ids)


class SizesInTheOrderOfThePool(BrokenPool):
    caught_by = "test_every_image_has_the_sizes_of_its_mask"

    def sizes(self, ids):
        return [((16, 16), (100 + place, 100)) for place in range(len(ids))]


class FilesThatWereMoved(BrokenPool):
    caught_by = "test_the_file_of_an_image_exists"

    def file(self, id):
        return Path("moved") / f"{id}.png"


class AFileForEveryId(BrokenPool):
    caught_by = "test_the_file_of_an_image_exists"

    def file(self, id):
        return None


class PicturesOfAnotherSize(BrokenPool):
    caught_by = "test_the_picture_of_an_image_has_a_size_of_its_mask"

    def picture(self, id):
        return self.read([id])[0, :, ::2]


class PicturesOfBytes(BrokenPool):
    caught_by = "test_the_picture_of_an_image_has_a_size_of_its_mask"

    def picture(self, id):
        return self.read([id])[0] * 255


class DigestsOfTheShape(BrokenPool):
    caught_by = "test_digests_tell_images_apart"

    def digests(self):
        return dict.fromkeys(self.ids, f"{self.read(self.ids[:1]).shape!s:64}")


class DigestsAfterALongName(BrokenPool):
    """Returns digests that agree in the first 16 characters, which a record keeps."""

    caught_by = "test_digests_tell_images_apart"

    def digests(self):
        return {id: f"digest of the pixels {digest:.0f}" for id, digest in self._sums()}

    def _sums(self):
        return [(id, 1e4 * self.read([id]).sum()) for id in self.ids]


class Part(BrokenPool):
    """A correct pool with a digest and subsets."""

    def __init__(self, ids=None):
        super().__init__()
        self._ids = tuple(ids or self.whole.ids)

    ids = property(lambda self: self._ids)

    def digest(self):
        return self.whole.subset(self.ids).digest()

    def subset(self, ids):
        return type(self)(ids)


class DigestOfTheWholePool(Part):
    caught_by = "test_the_digest_changes_with_the_images"

    def digest(self):
        return self.whole.digest()


class DigestOfTheOrder(Part):
    caught_by = "test_the_digest_changes_with_the_images"

    def digest(self):
        return f"{super().digest()} {self.ids}"


class SubsetInTheOrderOfThePool(Part):
    caught_by = "test_a_subset_is_a_pool_of_its_images"

    def subset(self, ids):
        return type(self)(sorted(ids))


class StoresOtherImages(BrokenPool):
    caught_by = "test_stored_images_are_those_that_are_read"

    def stored(self, ids):
        return np.zeros((len(ids), 1, 16, 16), np.uint8), "full"


class FramesInTheOrderOfThePool(BrokenPool):
    caught_by = "test_frames_lie_inside_the_images"

    def sizes(self, ids):
        return [((8, 8), (8, 16), (16, 16)) for _ in ids]

    def frames(self, ids):
        return [alkit.values.Frame((8, 8 if place else 16), (16, 16), "pad") for place in range(len(ids))]


class FramesOfAnotherSize(BrokenPool):
    caught_by = "test_frames_lie_inside_the_images"

    def frames(self, ids):
        return [alkit.values.Frame((16, 16), (32, 32), "pad") for _ in ids]


class GroupsInTheOrderOfThePool(BrokenPool):
    caught_by = "test_groups_and_parents_are_one_text_for_each_id"

    def groups_of(self, ids):
        return [id for id in self.ids if id in ids]


class MetadataOfTheFirst(BrokenPool):
    caught_by = "test_groups_and_parents_are_one_text_for_each_id"

    def metadata_of(self, ids):
        return [{"site": ids[0]} for _ in ids]


class PartsOfAParentInTwoGroups(BrokenPool):
    caught_by = "test_parts_of_one_parent_are_in_one_group"

    def parents_of(self, ids):
        return ["volume" for _ in ids]

    def groups_of(self, ids):
        return list(ids)


class SubsetWithoutGroups(Part):
    caught_by = "test_a_subset_keeps_groups_and_parents"

    def __init__(self, ids=None):
        super().__init__(ids)
        self.grouped = ids is None

    def groups_of(self, ids):
        return ["patient"] * len(ids) if self.grouped else list(ids)


class SurroundingsBesideTheImage(BrokenPool):
    caught_by = "test_surroundings_contain_the_image"

    def surroundings(self, id):
        picture, box = self.whole.read([id])[0], alkit.values.Box(9, 9, 8, 8)
        return alkit.values.Surroundings(picture, box, picture, box)
