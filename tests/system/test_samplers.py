"""Samplers check their parameters, and say what a model lacks."""

import numpy as np
import pytest
import torch

import alkit
from alkit.rng import Stream
from alkit.samplers import DETERMINISTIC, Members


class Posterior:
    """The posterior of a model that offers its prediction only."""

    def prediction(self):
        return torch.full((2, 3, 4, 4), 1 / 3)


def test_the_deterministic_sampler_yields_the_prediction_as_the_only_draw():
    (draw,) = DETERMINISTIC.sample(Posterior(), Stream(0))
    assert draw.shape == (1, 2, 3, 4, 4)


def test_draws_by_dropout_need_dropout_layers():
    with pytest.raises(alkit.errors.ConfigurationError, match=r"alkit\.Dropout needs a model with dropout layers"):
        alkit.Dropout(2).sample(Posterior(), Stream(0))


def test_draws_by_members_need_an_ensemble():
    with pytest.raises(alkit.errors.ConfigurationError, match=r"Members needs an ensemble.*alkit\.Ensemble"):
        Members().sample(Posterior(), Stream(0))


def test_draws_of_numpy_become_a_python_integer():
    assert type(alkit.Dropout(np.int64(3)).draws) is int


@pytest.mark.parametrize("wrong", [0, -1, 2.0, True, "many"])
def test_draws_must_be_a_positive_integer(wrong):
    with pytest.raises(alkit.errors.ConfigurationError, match=r"^draws must be an integer >= 1: got "):
        alkit.Dropout(wrong)
