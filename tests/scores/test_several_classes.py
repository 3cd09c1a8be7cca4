"""Scores of several classes per image, compared with a loop over the classes, each of which is a coin by itself."""

import math

import numpy as np
import pytest
import torch

from alkit import scores
from alkit.rng import Stream
from alkit.samplers import Dropout
from alkit.scores.moments import moments_of_draws

T, N, K = 5, 3, 4
PRESENT = torch.from_numpy(np.random.default_rng(0).random((T, N, K))).float()


class Drawn:
    """A posterior with the draws above."""

    def prediction(self):
        return self.draws().mean(dim=0)

    def draws(self):
        return torch.stack([1 - PRESENT, PRESENT], dim=2)

    def dropout(self, draws, stream):
        yield self.draws()[:draws]


def entropy(p):
    return -sum(q * math.log(q) for q in (p, 1 - p) if q)


def of_one_class(name, coins):
    """The score of one class by its formula; `coins` are the probabilities of the draws that it is present."""
    mean = sum(coins) / len(coins)
    return {
        "entropy": entropy(mean),
        "least-confidence": 1 - max(mean, 1 - mean),
        "margin": 1 - abs(2 * mean - 1),
        "bald": entropy(mean) - sum(map(entropy, coins)) / len(coins),
        "variance": sum((coin - mean) ** 2 for coin in coins) / len(coins),
    }[name]


@pytest.mark.parametrize("name", ["entropy", "least-confidence", "margin", "bald", "variance"])
@pytest.mark.parametrize("reduction", [scores.mean, scores.total], ids=["mean", "total"])
def test_a_score_is_that_of_independent_coins(name, reduction):
    function = scores.score_function(name)
    moments = moments_of_draws(Drawn(), scores.moments_of(function), Dropout(T), Stream(0))
    found = reduction(function(**moments))
    for image in range(N):
        each = [of_one_class(name, PRESENT[:, image, k].tolist()) for k in range(K)]
        expected = sum(each) / (K if reduction is scores.mean else 1)
        assert float(found[image]) == pytest.approx(expected, abs=1e-5)


def test_scores_of_contours_are_refused():
    with pytest.raises(Exception, match="need masks"):
        scores.edt_variance(torch.zeros(N, 2, K), torch.zeros(N, 2, K))


def test_padding_does_not_change_the_score_of_whole_images(tmp_path):
    from PIL import Image

    import alkit

    for id, size in (("wide", (16, 8)), ("tall", (8, 16))):
        Image.new("L", size, 90).save(tmp_path / f"{id}.png")
    pool = alkit.ImagePool(tmp_path, size=16, grayscale=True, fit="pad")

    class Model:
        def probabilities(self, images):
            return np.stack([1 - PRESENT[0, : len(images)], PRESENT[0, : len(images)]], axis=1)

    found = scores.Scoring(pool, Model(), Stream(0)).scores(list(pool.ids), scores.entropy)
    expected = [np.mean([entropy(float(p)) for p in PRESENT[0, row]]) for row in range(2)]
    assert list(found.values()) == pytest.approx(expected, abs=1e-5)
