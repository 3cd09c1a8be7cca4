"""What differs from step to step in a training, known beforehand: the rows of each batch, its changes, the rates."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.optim.lr_scheduler import OneCycleLR

from alkit.learners import Augment, SegmentationLearner
from alkit.rng import Stream

PER_GRAPH = 5
"""Steps of a graph; the numbers of steps are multiples of it."""

BETA2 = 0.999
"""The second momentum of AdamW."""


def check_learner(learner: SegmentationLearner) -> None:
    """Raise an error if a learner has parts that the steps here do not have."""
    expected = {
        "optimizer": "adamw", "schedule": "one-cycle", "carry_on": False, "freeze": 0, "stop": None,
        "class_weights": None, "precision": "32-true",
    }  # fmt: skip
    for name, value in expected.items():
        if getattr(learner, name) != value:
            raise ValueError(f"graphs need a learner with {name}={value!r}: got {getattr(learner, name)!r}")
    if not isinstance(learner.augment, Augment) or learner.augment not in (Augment(), Augment(quarter_turns=False)):
        raise ValueError(f"graphs need a learner whose images are only mirrored and turned: got {learner.augment!r}")
    if learner.average is None or learner.steps is None or learner.steps[0] % PER_GRAPH:
        raise ValueError(f"graphs need a learner with average= and a multiple of {PER_GRAPH} steps")


@dataclass(frozen=True)
class Tables:
    """All that differs from step to step, on the CPU.

    Parameters
    ----------
    rows:
        Rows of the images of each step, ``(steps, batch)``.
    mirrors:
        Which images are mirrored at the diagonal, left to right, and top to bottom, ``(steps, 3, batch)``.
    rates:
        Five numbers by step: the factor of weight decay, 1 - beta1, the corrections of both moments, and the share of
        the new weights in the average, ``(steps, 5)``.
    """

    rows: Tensor
    mirrors: Tensor
    rates: Tensor


def rows_of(learner: SegmentationLearner, images: Sequence[int], stream: Stream) -> Tensor:
    """Return the rows of a training on the images with these rows: those of ``learner.fit`` with this stream."""
    steps, n = steps_of(learner), len(images)
    order, places = stream.child("order"), list[int]()
    while len(places) < steps * learner.batch:
        places += order.child(len(places) // n).numpy().permutation(n).tolist()
    return torch.tensor(images)[torch.tensor(places[: steps * learner.batch])].reshape(steps, learner.batch)


def mirrors_of(learner: SegmentationLearner, stream: Stream) -> Tensor:
    """Return the mirrors that :class:`alkit.learners.Augment` draws for square images, with this stream."""
    augment = learner.augment
    assert isinstance(augment, Augment)
    found = []
    for step in range(steps_of(learner)):
        tosses = torch.randint(0, 2, (5, learner.batch), generator=stream.child("augment", step).torch()).bool()
        across, down, half, diagonal = tosses[:4]
        if augment.quarter_turns:
            found.append(torch.stack([diagonal, across ^ half ^ diagonal, down ^ half]))
        else:
            found.append(torch.stack([torch.zeros_like(across), across, down]))
    return torch.stack(found)


def rates_of(learner: SegmentationLearner) -> Tensor:
    """Return the numbers of AdamW with the schedule ``one-cycle``, and of the average."""
    assert learner.average is not None
    steps = steps_of(learner)
    one = torch.zeros(1, requires_grad=True)
    optimizer = torch.optim.AdamW([one], lr=learner.lr, weight_decay=learner.weight_decay)
    schedule = OneCycleLR(optimizer, learner.lr, total_steps=steps)
    found = []
    for step in range(steps):
        (group,) = optimizer.param_groups
        rate, beta1 = group["lr"], group["betas"][0]
        kept = min(learner.average, (1 + step) / (10 + step)) if step else 0.0
        found.append(
            (
                1 - rate * learner.weight_decay,
                1 - beta1,
                1 / math.sqrt(1 - BETA2 ** (step + 1)),
                rate / (1 - beta1 ** (step + 1)),
                1 - kept,
            )
        )
        optimizer.step()
        if step + 1 < steps:
            schedule.step()
    return torch.tensor(found, dtype=torch.float64).float()


def steps_of(learner: SegmentationLearner) -> int:
    """Return the steps of a training from new weights."""
    assert learner.steps is not None
    return learner.steps[0]
