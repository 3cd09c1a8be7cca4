"""Scores, draws, predictions, features and clusters on a device are those of the CPU."""

from functools import partial

import numpy as np
import pytest
import segmentation_models_pytorch as smp
import torch

import alkit
from alkit.features import Deformation, FittedReconstruction, Reconstruction, by_typicality, kmeans, nearest
from alkit.networks import SmpNetwork, make_network
from alkit.rng import Stream
from alkit.scores import SCORES, Scoring

close = partial(np.testing.assert_allclose, rtol=1e-3, atol=1e-5)


@pytest.mark.parametrize("name", sorted(SCORES))
def test_a_score_is_that_of_the_cpu(name, predictors, gpu_pool):
    expected, found = (
        Scoring(gpu_pool, predictor, Stream(3)).scores(gpu_pool.ids, SCORES[name], alkit.Dropout(5))
        for predictor in predictors
    )
    close([found[id] for id in gpu_pool.ids], [expected[id] for id in gpu_pool.ids])


def test_draws_by_dropout_are_those_of_the_cpu(predictors, gpu_pool):
    images = gpu_pool.read(gpu_pool.ids[:6])
    expected, found = (torch.cat(list(one.posterior(images).dropout(7, Stream(1)))).cpu() for one in predictors)
    assert found.shape == (7, 6, 2, 32, 32)
    close(found, expected)
    assert expected.std(dim=0).max() > 1e-3  # the draws differ


def test_predictions_and_heads_are_those_of_the_cpu(predictors, gpu_pool):
    images = gpu_pool.read(gpu_pool.ids[:6])
    close(*(one.probabilities(images) for one in predictors))
    for found, expected in zip(*(one.posterior(images).heads() for one in predictors), strict=True):
        close(found.cpu(), expected.cpu())


def test_a_network_of_another_library_draws_the_same(gpu_pool, device):
    factory = partial(SmpNetwork, partial(smp.Unet, "resnet18", encoder_weights=None))
    learners = [alkit.SegmentationLearner(factory, device=where) for where in ("cpu", device)]
    dumped = alkit.learners.NetworkPredictor(
        make_network(factory, in_channels=1, classes=2, stream=Stream(0)), 1, 2
    ).dumps()
    images = gpu_pool.read(gpu_pool.ids[:2])
    close(*(torch.cat(list(one.loads(dumped).posterior(images).dropout(2, Stream(1)))).cpu() for one in learners))


def test_features_and_clusters_are_those_of_the_cpu(gpu_pool, network, device):
    weights = make_network(network, in_channels=1, classes=1, stream=Stream(0)).state_dict()
    tables = []
    for where in ("cpu", device):
        built = make_network(network, in_channels=1, classes=1, stream=Stream(1)).to(where)
        built.load_state_dict(weights)
        tables.append(FittedReconstruction(built, pooling=2).features(gpu_pool.read(gpu_pool.ids)))
    close(*tables)
    one, other = (kmeans(table, gpu_pool.ids, 4, np.random.default_rng(0)) for table in tables)
    np.testing.assert_array_equal(one.labels, other.labels)
    close(one.distances, other.distances)


def test_a_pretext_trained_on_the_device_serves_the_cpu(gpu_pool, network, device, tmp_path, monkeypatch):
    here, there = (Reconstruction(network, epochs=2, device=where, cache=str(tmp_path)) for where in (device, "cpu"))
    fitted = here.fit(gpu_pool, np.random.default_rng(0))
    monkeypatch.setattr("alkit.features.reconstruction._train", lambda *_: pytest.fail("it trains again"))
    again = there.fit(gpu_pool, np.random.default_rng(0))
    assert next(again.network.parameters()).device.type == "cpu"
    close(*(one.features(gpu_pool.read(gpu_pool.ids)) for one in (fitted, again)))


def test_deformations_repeat_on_the_device(gpu_pool, device):
    images = torch.from_numpy(gpu_pool.read(gpu_pool.ids)).to(device)
    (one, target), (other, _), (third, _) = (Deformation()(images, Stream(seed).torch(device)) for seed in (0, 0, 1))
    assert torch.equal(one, other)
    assert not torch.equal(one, third)
    assert one.device.type == target.device.type == images.device.type
    assert 0 <= one.min() <= one.max() <= 1


def test_the_nearest_of_many_points_is_exact_on_the_device(device):
    rng = np.random.default_rng(0)
    rows, points = rng.standard_normal((3000, 16)).astype(np.float32), rng.standard_normal((500, 16))
    rows[7] = points[3] = points[9]
    expected, found = nearest(rows, points), nearest(rows, points, device)
    np.testing.assert_array_equal(found[0], expected[0])
    np.testing.assert_allclose(found[1], expected[1], rtol=1e-12)


def test_the_order_by_typicality_is_that_of_the_cpu(device):
    rows = np.random.default_rng(0).standard_normal((3000, 16)).astype(np.float32)
    expected, found = (list(by_typicality(rows, np.arange(3000), 20, where)) for where in (None, device))
    assert found == expected


def test_clusters_of_a_large_table_are_as_good_on_the_device_and_repeat(device):
    rng = np.random.default_rng(0)
    centres, noise = rng.standard_normal((60, 8)), rng.standard_normal((20_000, 8))
    table = (centres[rng.integers(60, size=20_000)] + 0.3 * noise).astype(np.float32)
    ids = [f"{row:05}" for row in range(len(table))]
    one, other, again = (
        kmeans(table, ids, 60, np.random.default_rng(0), device=where) for where in (None, device, device)
    )
    np.testing.assert_array_equal(other.labels, again.labels)
    assert (other.distances**2).sum() == pytest.approx((one.distances**2).sum(), rel=0.02)
