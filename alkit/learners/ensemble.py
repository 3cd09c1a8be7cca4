"""Several models of one learner: their mean predicts, their disagreement is uncertainty.

References
----------
Lakshminarayanan, Pritzel, Blundell. "Simple and Scalable Predictive Uncertainty Estimation using Deep Ensembles".
NeurIPS 2017. Beluch et al. "The Power of Ensembles for Active Learning in Image Classification". CVPR 2018.
"""

from __future__ import annotations

import copy
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import cast

import numpy as np
import numpy.typing as npt
from torch import Tensor

from alkit.errors import ConfigurationError
from alkit.protocols import Labelled, Learner, LimitsBatches, Predictor
from alkit.rng import Stream
from alkit.scores.moments import posterior_of
from alkit.values.label_spec import Images
from alkit.values.predictions import mean_probabilities
from alkit.values.progress import Progress, Report, quiet


@dataclass(frozen=True, eq=False)
class EnsemblePredictor:
    """Some models of one kind."""

    members: tuple[Predictor, ...]

    def probabilities(self, images: Images) -> npt.NDArray[np.float32]:
        """Return the mean of the members' probabilities."""
        return mean_probabilities(member.probabilities(images) for member in self.members)

    def posterior(self, images: Images) -> EnsemblePosterior:
        """Return the prediction of the members and their mean."""
        return EnsemblePosterior(self.members, images)

    def images_at_once(self, images: Images) -> int | None:
        """Return how many images like these a posterior should be asked for at once; None where it makes no odds."""
        first = self.members[0]
        return first.images_at_once(images) if isinstance(first, LimitsBatches) else None

    def dumps(self) -> bytes:
        """Return the members' bytes, each after its length in 8 bytes."""
        parts = [member.dumps() for member in self.members]
        return b"".join(len(part).to_bytes(8, "little") + part for part in parts)


class EnsemblePosterior:
    """What the members say of one batch of images, one member at a time: see :class:`alkit.protocols.Posterior`."""

    def __init__(self, members: Sequence[Predictor], images: Images) -> None:
        self._members, self._images = members, images

    def members(self) -> Iterator[Tensor]:
        """Yield the prediction of each member, ``(1, n, classes, *space)``."""
        for member in self._members:
            yield posterior_of(member, self._images).prediction()[None]

    def prediction(self) -> Tensor:
        """Return the mean of the members' predictions."""
        return self._mean

    @cached_property
    def _mean(self) -> Tensor:
        return cast(Tensor, sum(self.members()) / len(self._members))[0]


@dataclass(frozen=True)
class Ensemble:
    """Trains several models by one learner.

    Parameters
    ----------
    learner:
        Trains each member: any learner.
    members:
        How many; at least 2. Default: 5, as Beluch et al. have it.

    Notes
    -----
    The first member is the very model that `learner` alone would have become: methods with and without an ensemble are
    compared from the same initial weights. The others draw their chance from streams of their own, so they differ in
    initial weights and in the order of the data. With a pretext's weights as warm start they differ in the output layer
    and in the order of the data only. Each member carries on from its own last weights.

    Deviation from the comparison of the EMBC 2022 paper, where all members start from the same weights.

    Examples
    --------
    >>> from alkit import SegmentationLearner
    >>> Ensemble(SegmentationLearner(epochs=(10, 2)), members=3).members
    3
    """

    learner: Learner
    members: int = 5

    def __post_init__(self) -> None:
        if isinstance(self.members, bool) or not isinstance(self.members, int) or self.members < 2:
            raise ConfigurationError("an ensemble has members", got=repr(self.members), expected="2 or more")
        if not isinstance(self.learner, Learner) or isinstance(self.learner, type):
            raise ConfigurationError("an ensemble needs a learner", got=repr(self.learner))

    def fit(
        self,
        labelled: Labelled,
        rng: np.random.Generator,
        previous: Predictor | None = None,
        report: Report = quiet,
    ) -> EnsemblePredictor:
        """Train each member on all labels so far."""
        earlier = self._members_of(previous)
        root = Stream.from_rng(copy.deepcopy(rng))
        members = []
        for number in range(self.members):
            chance = rng if number == 0 else root.child("member", number).numpy()
            members.append(self.learner.fit(labelled, chance, earlier[number], self._told(report, number)))
        return EnsemblePredictor(tuple(members))

    def loads(self, dumped: bytes) -> EnsemblePredictor:
        """Return the predictor whose ``dumps`` gave these bytes."""
        members = []
        while dumped:
            end = 8 + int.from_bytes(dumped[:8], "little")
            members.append(self.learner.loads(dumped[8:end]))
            dumped = dumped[end:]
        return EnsemblePredictor(tuple(members))

    def _members_of(self, previous: Predictor | None) -> Sequence[Predictor | None]:
        if previous is None:
            return [None] * self.members
        if not isinstance(previous, EnsemblePredictor) or len(previous.members) != self.members:
            raise ConfigurationError(
                "an ensemble carries on from its own members",
                got=type(previous).__name__,
                expected=f"{self.members} members",
            )
        return previous.members

    def _told(self, report: Report, number: int) -> Report:
        """Count the steps of one member among those of all."""

        def tell(step: Progress) -> None:
            done, total = number * step.total + step.done, self.members * step.total
            report(Progress(step.stage, done, total, step.detail) if step.stage == "fit" else step)

        return tell
