"""Tests of any device of torch: ``ALKIT_TEST_DEVICE=cuda pytest tests/gpu`` runs them on a GPU.

By default they run on the CPU and compare the CPU with itself, which shows that their own code is right.
"""

import os
from functools import partial

import numpy as np
import pytest
import torch

import alkit
from alkit.learners import NetworkPredictor
from alkit.rng import Stream

CLASSES = ("skin", "lesion")
SIZE = 32


@pytest.fixture(scope="session")
def device():
    return os.environ.get("ALKIT_TEST_DEVICE", "cpu")


@pytest.fixture(scope="session")
def on_gpu(device):
    return torch.device(device).type == "cuda"


@pytest.fixture(autouse=True)
def _plain_float32():
    """Compute in float32 throughout: by default, a GPU rounds the inputs of convolutions to TF32."""
    with torch.backends.cudnn.flags(enabled=True, allow_tf32=False):
        yield


@pytest.fixture(scope="session")
def images_and_masks():
    return alkit.synthetic.lesions(32, size=SIZE, seed=5)


@pytest.fixture(scope="session")
def gpu_pools(images_and_masks):
    return alkit.ArrayPool(images_and_masks[0]).split(test=8, seed=0)


@pytest.fixture(scope="session")
def gpu_pool(gpu_pools):
    return gpu_pools[0]


@pytest.fixture(scope="session")
def gpu_test(gpu_pools):
    return gpu_pools[1]


@pytest.fixture(scope="session")
def masks_by_id(images_and_masks):
    return {f"{row:04}": mask for row, mask in enumerate(images_and_masks[1])}


@pytest.fixture(scope="session")
def gpu_oracle(masks_by_id):
    return alkit.MaskOracle(masks_by_id, classes=CLASSES)


@pytest.fixture(scope="session")
def network():
    return partial(alkit.UNet, widths=(4, 8, 8), heads={2: 0.4})


@pytest.fixture(scope="session")
def learner_on(network):
    """Return a function from a device to a learner."""

    def make(device, **more):
        return alkit.SegmentationLearner(network, **{"epochs": (3, 1), "lr": 1e-2, "device": device, **more})

    return make


@pytest.fixture(scope="session")
def dumped(learner_on, labelled):
    """Return the weights of a model that was trained on the CPU."""
    return learner_on("cpu").fit(labelled, np.random.default_rng(0)).dumps()


@pytest.fixture(scope="session")
def labelled(gpu_pool, masks_by_id):
    class Labelled:
        ids, pseudo_ids, spec = tuple(gpu_pool.ids), (), alkit.LabelSpec(CLASSES)

        def images(self, ids):
            return gpu_pool.read(ids)

        def labels(self, ids):
            return np.stack([masks_by_id[id] for id in ids])

        def fitted(self, extractor):
            return extractor.fit(gpu_pool, Stream(0).numpy())

    return Labelled()


@pytest.fixture
def predictors(dumped, learner_on, device) -> tuple[NetworkPredictor, NetworkPredictor]:
    """Return one model on the CPU and on the device."""
    return learner_on("cpu").loads(dumped), learner_on(device).loads(dumped)
