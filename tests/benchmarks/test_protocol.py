import numpy as np

import alkit
from benchmarks.isic2017 import protocol, split


def test_the_configuration_hash_depends_on_method_weights_seed_profile_and_images():
    images = np.zeros((4, 16, 16), np.uint8)
    pool, test = alkit.ArrayPool(images), alkit.ArrayPool(images, ids=list("abcd"))
    smoke, small = (protocol.PROFILES[name] for name in ("smoke", "small"))

    def hashed(method="random", weights="scratch", seed=0, profile=smoke, pool=pool):
        return protocol.configuration_hash(protocol.Run(method, weights, seed), profile, pool, test)

    others = [hashed("ssl-cluster"), hashed(weights="pretext"), hashed(seed=1), hashed(profile=small)]
    others.append(hashed(pool=alkit.ArrayPool(images + 1)))
    assert len({hashed(), *others}) == 6


def test_the_small_profile_differs_from_the_paper_only_in_size_and_widths():
    paper, small = protocol.PROFILES["paper"], protocol.PROFILES["small"]
    assert (paper.size, paper.start, paper.batch, paper.rounds, paper.epochs) == (256, 300, 35, 9, (10, 2))
    same = ("start", "batch", "rounds", "epochs", "pretext_epochs", "clusters", "pool", "test")
    assert all(getattr(paper, name) == getattr(small, name) for name in same)


def test_a_variant_changes_the_fields_in_its_name():
    small = protocol.PROFILES["small"]
    one = small.variant("k5-1x1")
    assert (one.clusters, one.pooling) == (5, 1)
    assert small.variant("lr-1e-3").lr == 1e-3
    assert small.variant("epochs-x2").epochs == (20, 4)
    full, equal = small.variant("full"), small.variant("full-equal-steps")
    assert (full.start, full.rounds, full.epochs[0]) == (None, 0, 28)  # 10 + 9 x 2
    assert equal.epochs[0] == round((300 * 10 + sum(range(335, 616, 35)) * 2) / 1600) == 7
    assert len(split.read()["pool"]) == protocol.POOL
