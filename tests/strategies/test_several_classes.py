"""What strategies read from predictions of several classes per image, against slow references."""

import numpy as np
import torch
from torch.nn import functional as F

import alkit
from alkit_baselines.badge import prediction_errors
from alkit_baselines.clasp_pe import class_scores

PRESENT = np.random.default_rng(0).random((4, 3)).astype(np.float32)
PROBABILITIES = np.stack([1 - PRESENT, PRESENT], axis=1)


def test_badge_takes_the_gradient_of_binary_cross_entropy():
    """That of the weights of the last layer, if the model's own prediction were the label."""
    features = torch.from_numpy(np.random.default_rng(1).standard_normal((4, 5))).float()
    errors = prediction_errors("abcd", [alkit.Predictions(tuple("abcd"), PROBABILITIES)])
    for row in range(4):
        weights = torch.zeros(3, 5, requires_grad=True)
        logits = torch.logit(torch.from_numpy(PRESENT[row])) + weights @ features[row]
        label = (torch.from_numpy(PRESENT[row]) > 0.5).float()
        F.binary_cross_entropy_with_logits(logits, label, reduction="sum").backward()
        np.testing.assert_allclose(np.outer(errors[row], features[row]), weights.grad, atol=1e-5)


def test_clasp_pe_scores_each_class_by_its_entropy_times_its_probability():
    entropy = -PRESENT * np.log(PRESENT) - (1 - PRESENT) * np.log(1 - PRESENT)
    expected = np.concatenate([entropy * PRESENT, entropy.mean(axis=1, keepdims=True)], axis=1)
    np.testing.assert_allclose(class_scores(PROBABILITIES), expected, rtol=1e-5)
