"""Features of pre-trained networks on any device."""

import numpy as np

from alkit.features import Pretrained


def test_rows_are_those_of_the_cpu_and_kept_under_the_same_name(device, gpu_pool):
    here, there = (Pretrained("test_efficientnet", "random", device=name) for name in ("cpu", device))
    images = gpu_pool.read(list(gpu_pool.ids))
    one, other = (extractor.fit(gpu_pool, np.random.default_rng(0)) for extractor in (here, there))
    assert one.fingerprint() == other.fingerprint()
    np.testing.assert_allclose(other.features(images), one.features(images), rtol=1e-3, atol=1e-4)
