"""Images and labels on the device during a training: the same batches as those that are read one by one."""

from dataclasses import dataclass

import numpy as np
import pytest
import torch

import alkit
from alkit.errors import LabelError
from alkit.learners import resident
from alkit.learners.batches import Source, epoch_batches, step_batches
from alkit.learners.resident import source_of
from alkit.rng import Stream

CPU = torch.device("cpu")
SPEC = alkit.LabelSpec(("skin", "lesion"), ignore=255)


@dataclass
class Labelled:
    """Labelled images, which can be had as they are stored."""

    pool: alkit.ArrayPool
    masks: np.ndarray
    spec: alkit.LabelSpec = SPEC
    pseudo_ids: tuple = ()

    @property
    def ids(self):
        return tuple(self.pool.ids)

    def images(self, ids):
        return self.pool.read(ids)

    def stored(self, ids):
        return self.pool.stored(ids)

    def labels(self, ids):
        return np.stack([self.masks[int(id)] for id in ids])


@dataclass
class Read(Labelled):
    """The same, without a stored form."""

    stored = None


def pixels(dtype, channels=3):
    """Return 70 images, a constant one among them; their bytes are read in two parts."""
    rng = np.random.default_rng(0)
    if dtype == np.float32:
        images = rng.random((70, channels, 8, 6)).astype(dtype)
    else:
        images = rng.integers(0, np.iinfo(dtype).max, (70, channels, 8, 6), endpoint=True).astype(dtype)
    images[3] = images[3, 0, 0, 0]
    return images


def masks(seed=1):
    found = np.random.default_rng(seed).integers(0, 2, (70, 8, 6)).astype(np.uint8)
    found[5] = 255
    found[6, :4] = 255
    return found


@pytest.mark.parametrize("scale", ["minmax", "full"])
@pytest.mark.parametrize("dtype", [np.uint8, np.uint16, np.float32], ids=str)
def test_batches_are_those_that_are_read_bit_for_bit(dtype, scale):
    labelled = Labelled(alkit.ArrayPool(pixels(dtype), scale=scale, channels="first"), masks())
    kept, read = source_of(labelled, labelled.ids, CPU), Source(labelled)
    assert kept.resident
    for ids in (labelled.ids[::-1], ("0003",), ("0064", "0001", "0064")):
        for one, other in zip(kept.example(ids), read.example(ids), strict=True):
            assert one.dtype == other.dtype
            assert torch.equal(one, other)
            assert one.stride() == other.stride()


def test_all_values_of_a_byte_are_scaled_alike():
    images = np.arange(256, dtype=np.uint8).reshape(1, 1, 16, 16)
    labelled = Labelled(alkit.ArrayPool(images, scale="full"), np.zeros((1, 16, 16), np.uint8))
    assert torch.equal(
        source_of(labelled, labelled.ids, CPU).example(["0000"])[0], torch.from_numpy(labelled.images(["0000"]))
    )


def test_batches_without_a_label_are_left_out_as_before():
    labelled = Labelled(alkit.ArrayPool(pixels(np.uint8)), masks())
    kept, read = source_of(labelled, labelled.ids, CPU), Source(labelled)
    assert kept.example(["0005"]) is read.example(["0005"]) is None
    assert kept.example(["0005", "0006"]) is not None
    for source in (kept, read):
        assert len(list(epoch_batches(source, labelled.ids, 1, Stream(0)))) == 69
        with pytest.raises(LabelError, match="only the ignore value 255 in 1 masks"):
            list(epoch_batches(source, ["0005"], 1, Stream(0)))
        assert [len(images) for images, _ in step_batches(source, ["0001", "0002"], 5, range(2), Stream(0))] == [5, 5]


@pytest.mark.parametrize("parts", [{"epochs": (2, 1)}, {"steps": 5, "stop": alkit.learners.Stop(every=2)}])
def test_a_training_has_the_same_weights_either_way(parts, monkeypatch):
    pool = alkit.ArrayPool(pixels(np.uint8)[..., :4], scale="minmax")
    learner = alkit.SegmentationLearner(
        lambda in_channels, classes: alkit.UNet(in_channels, classes, widths=(2, 4)),
        **parts, augment=alkit.learners.Augment(), batch=8, device="cpu",
    )  # fmt: skip
    labelled = [one(pool, masks()[..., :4]) for one in (Labelled, Read)]
    kept, read = (learner.fit(one, np.random.default_rng(0)).dumps() for one in labelled)
    monkeypatch.setattr(resident, "BYTES", 100)
    assert kept == read == learner.fit(labelled[0], np.random.default_rng(0)).dumps()


def test_only_what_fits_is_kept(monkeypatch):
    labelled = Labelled(alkit.ArrayPool(pixels(np.uint8)), masks())
    needed = 70 * (3 + 1) * 8 * 6
    monkeypatch.setattr(resident, "BYTES", needed)
    assert source_of(labelled, labelled.ids, CPU).resident
    monkeypatch.setattr(resident, "BYTES", needed - 1)
    assert not source_of(labelled, labelled.ids, CPU).resident
    assert not source_of(Read(labelled.pool, labelled.masks), labelled.ids, CPU).resident
    monkeypatch.setattr(torch.cuda, "mem_get_info", lambda device: (4 * needed - 4, 10**9))
    assert not source_of(labelled, labelled.ids, torch.device("cuda")).resident


def test_a_pool_with_a_way_to_read_of_its_own_is_read():
    class Inverted(alkit.ArrayPool):
        def read(self, ids):
            return 1 - super().read(ids)

    labelled = Labelled(Inverted(pixels(np.uint8)), masks())
    assert labelled.stored(["0000"]) is None
    assert not source_of(labelled, labelled.ids, CPU).resident


def test_memory_that_does_not_suffice_is_no_error(monkeypatch):
    def full(*_):
        raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2 GiB.")

    monkeypatch.setattr(resident, "_Resident", full)
    labelled = Labelled(alkit.ArrayPool(pixels(np.uint8)), masks())
    assert not source_of(labelled, labelled.ids, CPU).resident


def test_the_labelled_images_of_an_experiment_are_kept():
    seen = []

    class Learner(alkit.SegmentationLearner):
        def fit(self, labelled, *rest):
            seen.append(source_of(labelled, labelled.ids, CPU).resident)
            return super().fit(labelled, *rest)

    images, truth = alkit.synthetic.lesions(8, size=16)
    learner = Learner(lambda in_channels, classes: alkit.UNet(in_channels, classes, widths=(2, 4)), epochs=(1, 1))
    oracle = alkit.MaskOracle({f"{row:04}": mask for row, mask in enumerate(truth)}, classes=("skin", "lesion"))
    alkit.Experiment(alkit.ArrayPool(images), learner, alkit.strategy("random")).run(oracle, start=4, batch=1, rounds=0)
    assert seen[-1:] == [True]
