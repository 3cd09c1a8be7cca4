"""Ensembles: several models of one learner, whose mean is the prediction and whose disagreement is the uncertainty.

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

from alkit._reading.tensors import unreadable
from alkit.arguments.checked import checked, checked_except
from alkit.checks import check_integer
from alkit.errors import ConfigurationError
from alkit.learners.members import Member, train_members
from alkit.learners.named import check_learner
from alkit.protocols import HasFeatures, Labelled, Learner, LimitsBatches, Predictor
from alkit.rng import Stream
from alkit.scores.moments import posterior_of
from alkit.values.label_spec import Images
from alkit.values.predictions import mean_probabilities
from alkit.values.progress import Progress, Report, quiet


@checked
@dataclass(frozen=True, eq=False)
class EnsemblePredictor:
    """A trained ensemble.

    Parameters
    ----------
    members:
        The models, at least two.

    Raises
    ------
    ConfigurationError
        There is no model.
    """

    members: tuple[Predictor, ...]

    def __post_init__(self) -> None:
        if not self.members:
            raise ConfigurationError("members must be the models of the ensemble", got="none")

    @checked
    def probabilities(self, images: Images) -> npt.NDArray[np.float32]:
        """Return the mean of the members' probabilities, ``(n, classes, h, w)`` or ``(n, classes)``."""
        # A learner of the user may make members that write into the images.
        return mean_probabilities(member.probabilities(images.copy()) for member in self.members)

    @checked
    def posterior(self, images: Images) -> EnsemblePosterior:
        """Return the posterior of these images: the members' predictions and their mean."""
        return EnsemblePosterior(self.members, images)

    @checked
    def features(self, images: Images) -> npt.NDArray[np.float32]:
        """Return the features of all members side by side, ``(n, d)``, because their axes have nothing in common.

        Raises
        ------
        ConfigurationError
            A member has no features.
        """
        rows = []
        for member in self.members:
            if not isinstance(member, HasFeatures):
                raise ConfigurationError(
                    "every member of the ensemble must have a method features(images)",
                    got=type(member).__name__,
                    hint="another learner, or another strategy",
                )
            rows.append(member.features(images.copy()))
        return np.concatenate(rows, axis=1)

    @checked
    def images_at_once(self, images: Images) -> int | None:
        """Return the largest batch of images like these for :meth:`posterior`, or None for no preference."""
        first = self.members[0]
        return first.images_at_once(images) if isinstance(first, LimitsBatches) else None

    def dumps(self) -> bytes:
        """Return the bytes of each member, preceded by their number in 8 bytes."""
        parts = [member.dumps() for member in self.members]
        return b"".join(len(part).to_bytes(8, "little") + part for part in parts)


class EnsemblePosterior:
    """The posterior of one batch of images by an ensemble: see :class:`alkit.protocols.Posterior`."""

    def __init__(self, members: Sequence[Predictor], images: Images) -> None:
        self._members, self._images = members, images

    def members(self) -> Iterator[Tensor]:
        """Yield the prediction of each member, ``(1, n, classes, *space)``."""
        for member in self._members:
            yield posterior_of(member, self._images.copy()).prediction()[None]

    def prediction(self) -> Tensor:
        """Return the mean of the members' predictions, ``(n, classes, *space)``."""
        return self._mean

    @cached_property
    def _mean(self) -> Tensor:
        return cast(Tensor, sum(self.members()) / len(self._members))[0]


@checked_except("members")
@dataclass(frozen=True)
class Ensemble:
    """Trains several models with one learner.

    Parameters
    ----------
    learner:
        Learner that trains each member.
    members:
        Number of members, at least 2. The default 5 is that of Beluch et al.

    Raises
    ------
    ConfigurationError
        `members` is not an integer >= 2, or `learner` is not a learner.

    Notes
    -----
    The first member equals the model that `learner` alone would train, so that methods with and without an ensemble
    start from the same initial weights. The other members have random streams of their own, and so other initial
    weights and another order of the images. With a pretext as warm start, they differ only in the initial weights
    of the output layers and in the order of the images. Each member continues from its own last weights.

    Deviation: in the comparison of the EMBC 2022 paper, all members start from the same weights.

    Examples
    --------
    >>> from alkit import SegmentationLearner
    >>> Ensemble(SegmentationLearner(epochs=(10, 2)), members=3).members
    3
    """

    learner: Learner
    members: int = 5

    def __post_init__(self) -> None:
        object.__setattr__(self, "members", check_integer("members", self.members, least=2))
        check_learner("learner", self.learner)

    @checked
    def fit(
        self,
        labelled: Labelled,
        rng: np.random.Generator,
        previous: Predictor | None = None,
        report: Report = quiet,
    ) -> EnsemblePredictor:
        """Train each member on all labels.

        Raises
        ------
        ConfigurationError
            `previous` is not an ensemble of the same number of members, or the learner cannot be fitted.
        """
        earlier = self._members_of(previous)
        root = Stream.from_rng(copy.deepcopy(rng))
        rngs = [rng if number == 0 else root.child("member", number).numpy() for number in range(self.members)]
        members = [Member(number, rngs[number], self.learner, earlier[number]) for number in range(self.members)]
        reports = [self._member_report(report, number) for number in range(self.members)]
        return EnsemblePredictor(tuple(train_members(self.learner, labelled, members, reports)))

    @checked
    def loads(self, dumped: bytes) -> EnsemblePredictor:
        """Return the predictor whose ``dumps`` returned these bytes."""
        members, rest = list[Predictor](), dumped
        while rest:
            end = 8 + int.from_bytes(rest[:8], "little")
            if not 8 < end <= len(rest) or len(members) == self.members:
                raise unreadable(dumped, "another number of members")
            members.append(self.learner.loads(rest[8:end]))
            rest = rest[end:]
        if len(members) != self.members:
            raise unreadable(dumped, f"{len(members)} members")
        return EnsemblePredictor(tuple(members))

    def _members_of(self, previous: Predictor | None) -> Sequence[Predictor | None]:
        if previous is None:
            return [None] * self.members
        if not isinstance(previous, EnsemblePredictor) or len(previous.members) != self.members:
            raise ConfigurationError(
                f"previous must be an ensemble of {self.members} members, because each continues from its last weights",
                got=f"{len(previous.members)} members"
                if isinstance(previous, EnsemblePredictor)
                else type(previous).__name__,
            )
        return previous.members

    def _member_report(self, report: Report, number: int) -> Report:
        """Return a report for one member that counts the training steps of all members."""

        def tell(step: Progress) -> None:
            done, total = number * step.total + step.done, self.members * step.total
            report(Progress(step.stage, done, total, step.detail) if step.stage == "fit" else step)

        return tell
