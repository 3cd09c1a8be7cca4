"""What the benchmark compares, fixed before the first run: data, splits, kinds of image, budgets, arms and measures.

Each run chooses a start set of `labels` images from a pool without any label, trains a learner on it and measures the
Dice of each test image. The choices:

- **Data.** ISIC 2017 (2000 photographs of skin), nuclei of DSB 2018 (664 microscope images), and hippocampus of the
  Medical Segmentation Decathlon (260 MR volumes, three coronal slices each: at 1/4, 1/2 and 3/4 of the second axis).
- **Kinds of image.** ISIC: the diagnosis. Hippocampus: the position of the slice. Nuclei: by :func:`nuclei_kind`, whose
  thresholds lie in gaps of the statistics.
- **Split.** Each seed draws 30 % of each kind as test images, but at most 240 images in all. The rest is the
  pool, of which a seed draws at most 700 images. All slices of a volume are on the same side.
- **Measures.** The mean Dice over test images, the mean over kinds of the mean Dice in each kind, and the lowest mean
  Dice of a kind.
- **Winner.** For each seed, the gain of an arm is its Dice minus that of random selection, averaged over the budgets
  and the data sets. The winner of the seeds 0 to 9 has the largest mean gain in the mean over kinds. The seeds 10 to 19
  test it. It is recommended if, with them, its interval for the mean over kinds lies above zero, and if for no data set
  its interval for the mean over images lies below zero. Otherwise random selection is as good.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

BUDGETS = (5, 10, 20, 40, 80)
CHOOSE, CONFIRM = range(10), range(10, 20)
"""Seeds that choose a winner, and seeds that test it."""

TEST_SHARE, MOST_TEST, MOST_POOL = 0.3, 240, 700
SLICES = {"posterior quarter": 0.25, "middle": 0.5, "anterior quarter": 0.75}
"""Hippocampus: kinds, and their positions along the second axis."""

FEATURES = ("pretrained", "reconstruction", "random weights")
STRATEGIES = (
    "ssl-cluster", "centroids", "typiclust", "k-centre", "probcover", "maxherding", "facility-location",
)  # fmt: skip
"""Strategies that select by features. Random selection is the reference."""


@dataclass(frozen=True, order=True)
class Arm:
    """A strategy with the features that it uses; random selection uses none."""

    strategy: str
    features: str


RANDOM = Arm("random", "none")


def arms() -> list[Arm]:
    """Return all arms, random selection first."""
    return [RANDOM, *(Arm(strategy, features) for features in FEATURES for strategy in STRATEGIES)]


def nuclei_kind(image: npt.NDArray[np.uint8]) -> str:
    """Return the kind of a microscope image ``(h, w, 3)``: fluorescence, brightfield or stained.

    Colour is the mean over pixels of the largest minus the smallest channel. It is below 0.001 or above 0.03 in all
    images. Grey images have a median brightness below 0.25 (dark background) or above 0.85 (bright background).
    """
    shares = image / 255
    if (shares.max(axis=-1) - shares.min(axis=-1)).mean() > 0.01:
        return "stained"
    return "fluorescence" if np.median(shares.mean(axis=-1)) < 0.5 else "brightfield"


def split(
    kinds: Sequence[str], groups: Sequence[str], seed: int
) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int64]]:
    """Return the rows of the pool and of the test images.

    Parameters
    ----------
    kinds:
        Kind of each image. If groups have several images, each has all kinds.
    groups:
        Images of the same group are on the same side of the split.
    seed:
        Seed of the split.
    """
    rng = np.random.default_rng([17, seed])
    held_out = draw_share(kinds, groups, min(TEST_SHARE, MOST_TEST / len(kinds)), rng)
    pool = rng.permutation(np.flatnonzero(~held_out))[:MOST_POOL]
    return np.sort(pool), np.flatnonzero(held_out)


def draw_share(
    kinds: Sequence[str], groups: Sequence[str], share: float, rng: np.random.Generator
) -> npt.NDArray[np.bool_]:
    """Return which images are drawn: a share of the groups of each kind, rounded, and all images of these groups."""
    strata = {group: kind for kind, group in zip(reversed(kinds), reversed(groups), strict=True)}
    drawn = set[str]()
    for kind in sorted(set(strata.values())):
        members = sorted(group for group, own in strata.items() if own == kind)
        drawn |= set(rng.permutation(members)[: round(share * len(members))].tolist())
    return np.array([group in drawn for group in groups])
