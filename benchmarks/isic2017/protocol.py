"""The paper's protocol: its numbers, the runs it consists of, and the parts of alkit that make up a run.

The paper is "Self-supervised Assisted Active Learning for Skin Lesion Segmentation" (EMBC 2022). Our choices in cases
that the paper leaves open (see also the docstrings of alkit.learners.paper and alkit.Reconstruction):

- Images are resized to a square of the working size, in grayscale, each scaled by its own minimum and maximum.
- The split into pool and test set is a committed list (split.json).
- All methods of a seed start from the same network weights; in an ensemble, the first member does.
- All methods of a seed except SSL-cluster share the start set.
- Runs with the weights "pretext" start the network from the pretext's weights, except for the output layers.
- The network of DSAL has additional heads for deep supervision.
- The pretext is trained once per seed.
- All runs on CPUs use the same vector instructions (see benchmarks/arithmetic.py).
"""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

import alkit
from alkit._files import cache_folder
from alkit.configuration import to_former, written_form
from alkit.networks import DEEP_SUPERVISION
from alkit.pools import Subset
from alkit.values import Report, quiet
from benchmarks import arithmetic
from benchmarks.isic2017 import split

CLASSES = ("skin", "lesion")
METHODS = ("random", "ssl-cluster", "ensemble-s", "ensemble-js", "mc-dropout", "ceal", "dsal")
COMPOSED = ("ssl-entropy", "power-bald")
CONTROL = "ensemble-random"
"""An ensemble on randomly chosen labels: it shows the gain of five networks without any choice of labels."""
BEYOND = (*COMPOSED, CONTROL)
WEIGHTS = ("scratch", "pretext")
ONE_START = (("random", "mc-dropout", "ceal", *COMPOSED), ("ensemble-s", "ensemble-js", CONTROL))
"""Groups of methods that share the start set and train the same networks on it, so their rounds 0 are equal."""
MEMBERS = 5  # of an ensemble
POOL = 1600  # images in the pool of the split


@dataclass(frozen=True)
class Profile:
    """The protocol's numbers. The defaults are the paper's, except `lr` and `pretext_epochs`, which it does not give.

    Parameters
    ----------
    size:
        Height and width of the images, in pixels.
    widths:
        Channels of the U-Net per level.
    start, batch, rounds:
        Labels of the start set, labels per later round, number of later rounds. `start` None takes the whole pool.
    epochs:
        Epochs on the start set, and epochs in each later round.
    lr:
        Learning rate of the learner.
    pretext_epochs, clusters, pooling:
        Epochs of the pretext, number of clusters, and side of the grid to which its features are pooled.
    pool, test:
        Number of images to take from the split's pool and test set; None takes all.
    """

    size: int = 256
    widths: tuple[int, ...] = (32, 64, 128, 256, 512)
    start: int | None = 300
    batch: int = 35
    rounds: int = 9
    epochs: tuple[int, int] = (10, 2)
    lr: float = 1e-4
    pretext_epochs: int = 100
    clusters: int = 10
    pooling: int = 2
    pool: int | None = None
    test: int | None = None

    def network(self) -> partial[alkit.UNet]:
        """Return the network factory of learner and pretext."""
        return partial(alkit.UNet, widths=self.widths)

    def variant(self, name: str) -> Profile:
        """Return the profile with the changes of a variant from :data:`VARIANTS`."""
        return replace(self, **VARIANTS[name](self))


def _whole_pool(profile: Profile, epochs: float) -> dict[str, object]:
    return {"start": None, "rounds": 0, "epochs": (max(1, round(epochs)), 1)}


def _epochs(profile: Profile) -> int:
    """Return the protocol's total number of epochs."""
    return profile.epochs[0] + profile.rounds * profile.epochs[1]


def _epochs_of_equal_steps(profile: Profile) -> float:
    """Return the number of epochs over the whole pool that shows the network as many images as the protocol."""
    assert profile.start
    shown = profile.start * profile.epochs[0] + sum(
        (profile.start + number * profile.batch) * profile.epochs[1] for number in range(1, profile.rounds + 1)
    )
    return shown / (profile.pool or POOL)


VARIANTS = {
    "": lambda profile: {},
    "k5-1x1": lambda profile: {"clusters": 5, "pooling": 1},
    "k5-2x2": lambda profile: {"clusters": 5},
    "k10-1x1": lambda profile: {"pooling": 1},
    "lr-1e-3": lambda profile: {"lr": 1e-3},
    "epochs-x2": lambda profile: {"epochs": tuple(2 * epochs for epochs in profile.epochs)},
    "full": lambda profile: _whole_pool(profile, _epochs(profile)),
    "full-equal-steps": lambda profile: _whole_pool(profile, _epochs_of_equal_steps(profile)),
}
"""Changes of the protocol by name, as fields of the profile.

Table II's numbers of clusters and features; the two choices of ours that matter most; and two ceilings, which label
the whole pool at once: one with the protocol's epochs, one that shows as many images as the protocol (to the nearest
epoch).
"""

PROFILES = {
    "paper": Profile(),
    "small": Profile(size=64, widths=(8, 16, 32, 64, 128)),
    "smoke": Profile(
        size=32, widths=(4, 8, 16, 16), start=12, batch=6, rounds=2, pretext_epochs=2, clusters=4, pool=48, test=16
    ),
}


@dataclass(frozen=True)
class Run:
    """One method with one kind of initial weights, one variant of the protocol, and one seed."""

    method: str
    weights: str
    seed: int
    variant: str = ""

    def __str__(self) -> str:
        return " ".join(part for part in (self.method, self.weights, self.variant, f"seed {self.seed}") if part)


Arm = tuple[str, str, str]
"""Method, initial weights, variant."""

PARTS: dict[str, list[Arm]] = {
    "figure 2": [(method, weights, "") for weights in WEIGHTS for method in METHODS],
    "table 1": [(method, weights, "") for weights in WEIGHTS for method in METHODS[:2]],
    "table 2": [
        ("random", "scratch", ""),
        *(("ssl-cluster", "scratch", variant) for variant in ("k5-1x1", "k5-2x2", "k10-1x1", "")),
    ],
    "ceiling": [("random", weights, variant) for weights in WEIGHTS for variant in ("full", "full-equal-steps")],
    "sensitivity": [(method, "scratch", variant) for variant in ("lr-1e-3", "epochs-x2") for method in METHODS[:2]],
    "beyond": [(method, "scratch", "") for method in BEYOND],
}
"""The arms of each part of the benchmark."""


def learner_and_strategy(
    run: Run, profile: Profile, device: str
) -> tuple[alkit.protocols.Learner, alkit.protocols.Strategy]:
    """Return the learner and the strategy of a run. The learner has the members or heads that the strategy needs."""
    pretext = pretext_of(profile, device)
    strategy = strategy_of(run.method, pretext, profile.clusters)
    needs = getattr(strategy, "needs", ())
    network = profile.network()
    learner = alkit.learners.paper(
        partial(network, heads=DEEP_SUPERVISION) if "heads" in needs else network,
        epochs=profile.epochs,
        lr=profile.lr,
        warm_start=replace(pretext, pooling=2) if run.weights == "pretext" else None,
        device=device,
    )
    return alkit.Ensemble(learner, MEMBERS) if "members" in needs or run.method == CONTROL else learner, strategy


def pretext_of(profile: Profile, device: str) -> alkit.Reconstruction:
    """Return the pretext. Its finished weights are cached separately for each kind of arithmetic."""
    return alkit.Reconstruction(
        profile.network(),
        epochs=profile.pretext_epochs,
        pooling=profile.pooling,
        device=device,
        cache=str(cache_folder() / arithmetic.NAME),
    )


def strategy_of(method: str, pretext: alkit.Reconstruction, clusters: int) -> alkit.protocols.Strategy:
    """Return the strategy of a method.

    Two methods are not in the paper: ``ssl-entropy`` takes the highest entropy in each cluster of the self-supervised
    features, and ``power-bald`` draws a batch in proportion to BALD. Both were composed from parts of alkit before
    anything was measured, and were not changed afterwards.
    """
    match method:
        case "ssl-cluster":
            return alkit.strategy(method, features=pretext, clusters=clusters)
        case "ssl-entropy":
            return alkit.strategies.PerCluster(
                alkit.strategies.Uncertainty("entropy", alkit.Dropout(20)), pretext, clusters
            )
        case "power-bald":
            return alkit.strategies.Stochastic(alkit.strategies.Uncertainty("bald", alkit.Dropout(20)))
    return alkit.strategy("random" if method == CONTROL else method)


def read_pools(profile: Profile, data: Path, report: Report = quiet) -> tuple[Subset, Subset]:
    """Return the pool and the test set of the committed split."""
    ids = split.read()
    images = alkit.ImagePool(str(data / "images"), size=profile.size, grayscale=True, report=report)
    return images.subset(ids["pool"][: profile.pool]), images.subset(ids["test"][: profile.test])


def configuration_hash(run: Run, profile: Profile, pool: alkit.protocols.Pool, test: alkit.protocols.Pool) -> str:
    """Return a hash of everything that the numbers of a run depend on, except the code and the machine.

    The committed rows carry the hash. It names classes as version 0.1 did, so that these rows are still found.
    """
    learner, strategy = learner_and_strategy(run, profile, "auto")
    schedule = [profile.start, profile.batch, profile.rounds]
    facts = [
        run.seed,
        to_former(written_form(learner)),
        to_former(written_form(strategy)),
        schedule,
        pool.digest(),
        test.digest(),
    ]
    return hashlib.sha256(json.dumps(facts, sort_keys=True).encode()).hexdigest()
