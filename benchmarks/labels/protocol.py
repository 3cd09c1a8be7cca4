"""What the benchmark compares, fixed before the first run: data, splits, learners, arms, budgets and measures.

Each run labels more and more images of a pool: the arm chooses them, the learner trains on all of them, and the model
is measured on test images. The choices:

- **Data.** ISIC 2017, nuclei of DSB 2018 and slices of the hippocampus of the Medical Segmentation Decathlon, at 64
  pixels per side, in colour; ISIC also at 128. Kinds of image are those of ``benchmarks/cold_start``.
- **Split.** The images that learners are tuned on are left out (``split.json``). Of the others, each seed draws 1/6
  (ISIC) or 1/4 of each kind as test images; the rest is the pool. All slices of a volume are on the same side.
- **Learners.** ``strong`` is :func:`alkit.learners.strong` as it comes: it trains a new model at each budget. ``long``
  is the same with three times as many steps, with random labels of ISIC only: it shows what patience gives. ``paper``
  is :func:`alkit.learners.paper` with the network that the ISIC benchmark uses at 64 pixels. It continues from the
  model of the last budget, so it takes few steps in all.
- **Arms.** See :func:`strategy`. They are strategies of alkit with the parameters that they have by default.
  ``maxherding`` is the winner of ``benchmarks/cold_start``. ``mc-dropout`` and ``clasp-pe`` are the methods by
  uncertainty: the oldest one, and the one that its authors recommend for segmentation. The composition ``maxherding,
  then bald`` takes 20 images by diversity; then dropout shortlists three times as many images as are needed, and
  maxherding chooses among them. Features are those of :class:`alkit.features.Pretrained`.
- **Pairs.** All arms of a seed share the split and the initial weights, and those that need a model to choose share the
  start set of ``random``.
- **Ceiling.** The learner is trained on the whole pool with the steps of :data:`CEILINGS`, until more steps gain
  nothing. The ceiling is the number of steps with the highest mean over seeds.
- **Measures.** The mean Dice over test images, the mean over kinds of the mean Dice in each kind, and the lowest mean
  Dice of a kind. The area under the curve is over the logarithm of the number of labels, so that the first labels count
  as much as the last ones.
- **Family.** For each data set and learner, each arm is compared with ``random`` by its area under the curve in the
  mean over images, within seeds; Holm's correction is over all arms, data sets and learners.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from functools import partial

import alkit
from alkit.features import Pretrained
from alkit.learners import SegmentationLearner, paper, strong
from alkit.protocols import Strategy
from alkit.strategies import Filter, Then, Uncertainty
from benchmarks.labels.data import Key

BUDGETS = {
    "isic": (10, 20, 40, 80, 150, 300, 615),
    "nuclei": (10, 20, 40, 80, 160),
    "hippocampus": (10, 20, 40, 80, 160),
}
"""Numbers of labels by data set. 615 is the last budget of the paper."""

SEEDS = range(10)
BLOCK = 5
"""Seeds of which a part of the grid consists; five are enough for an interval."""

SPEC = alkit.LabelSpec(("other", "object"))
LEARNERS = ("long", "strong", "paper")
LONG = 900
"""Steps of the learner ``long``."""

RANDOM, FULL = "random", "full"
ARMS = (RANDOM, "maxherding", "mc-dropout", "clasp-pe", "maxherding, then bald", "foreground-random", "ssl-cluster")
MODEL_FREE = (RANDOM, "maxherding", "ssl-cluster")
"""Arms that choose without a model."""

CEILINGS = {"strong": (LONG, 3 * LONG), "long": (), "paper": (28, 84)}
"""Steps of the strong learner on the whole pool, and epochs of the paper's. ``long`` has those of ``strong``."""

PAPER_WIDTHS = (8, 16, 32, 64, 128)
"""Channels of the paper's network at 64 pixels, as in the profile ``small`` of ``benchmarks/isic2017``."""


@dataclass(frozen=True)
class Task:
    """One run: the budgets of an arm, or a ceiling, which has a `length` and is the arm :data:`FULL`."""

    data: str
    size: int
    learner: str
    arm: str
    seed: int
    length: int = 0

    @property
    def key(self) -> Key:
        """The data set and its size."""
        return self.data, self.size

    def __str__(self) -> str:
        length = f" {self.length}" if self.length else ""
        return f"{self.data} {self.size}, {self.learner}, {self.arm}{length}, seed {self.seed}"


def tasks(
    sets: Sequence[Key], learners: Sequence[str], arms: Sequence[str], seeds: Sequence[int], block: int = BLOCK
) -> Iterator[Task]:
    """Yield the runs in their order: a block of seeds of each data set, then the next block; the paper's learner last.

    The learner ``long`` comes first. In a block, the runs of a seed follow each other, so that a grid that is cut off
    has whole seeds.
    """
    for learner in learners:
        own = [arm for arm in arms if learner != "long" or arm == RANDOM]
        for first in range(0, len(seeds), block):
            for data, size in sets:
                if learner == "long" and data != "isic":
                    continue
                for seed in seeds[first : first + block]:
                    chosen = [Task(data, size, learner, arm, seed) for arm in own if arm != FULL]
                    lengths = CEILINGS[learner] if FULL in own else ()
                    full = [Task(data, size, learner, FULL, seed, length) for length in lengths]
                    # The graphs train a long ceiling beside the other runs; in processes it would delay them.
                    yield from [*full, *chosen] if learner != "paper" else [*chosen, *full]


def learner_of(task: Task, device: str) -> SegmentationLearner:
    """Return the learner of a run."""
    if task.learner != "paper":
        steps = task.length or (LONG if task.learner == "long" else 0)
        return strong(device=device, steps=steps) if steps else strong(device=device)
    learner = paper(partial(alkit.UNet, widths=PAPER_WIDTHS), device=device)
    return replace(learner, epochs=(task.length, 1)) if task.length else learner


def strategy_of(arm: str) -> Strategy:
    """Return the strategy of an arm."""
    features = Pretrained()
    if arm in ("maxherding", "ssl-cluster"):
        return alkit.strategy(arm, features=features)
    if arm == "maxherding, then bald":
        diverse = alkit.strategy("maxherding", features=features)
        return Then(diverse, Filter(Uncertainty("bald", alkit.Dropout(20)), then=diverse, factor=3), after=20)
    return alkit.strategy(arm)
