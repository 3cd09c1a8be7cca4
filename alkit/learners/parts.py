"""The parameters of the learners that train a network of torch."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import ClassVar

import numpy as np
from torch import nn

from alkit.checks import check_integer, check_number
from alkit.configuration.forms import runtime
from alkit.configuration.parameter_changes import changes
from alkit.errors import ConfigurationError
from alkit.learners.augment import Augmentation
from alkit.learners.losses import ClassWeights, LossFactory, check_loss
from alkit.learners.optimizers import OptimizerFactory, ScheduleFactory, check_optimizer, check_schedule
from alkit.learners.stop import Stop
from alkit.networks.factory import NetworkFactory
from alkit.networks.smp_factories import name_weights

STEPS = (300, 100)
"""Training steps in the first round and in each later one, if a learner is given neither steps nor epochs."""


@changes(
    added={
        "steps": None,
        "augment": None,
        "class_weights": None,
        "optimizer": "adam",
        "weight_decay": 0.0,
        "schedule": None,
        "stop": None,
        "average": None,
        "freeze": 0,
    }
)
@dataclass(frozen=True)
class TrainingParts:
    """Parameters of the learners that train a network of torch, and their checks.

    They are documented in :class:`alkit.SegmentationLearner` and :class:`alkit.ClassificationLearner`.
    """

    network: NetworkFactory
    epochs: tuple[int, int] | None
    batch: int
    lr: float
    carry_on: bool = True
    precision: str = "32-true"
    device: str = runtime("auto")
    steps: tuple[int, int] | int | None = field(default=None, kw_only=True)
    augment: Augmentation | None = field(default=None, kw_only=True)
    loss: str | LossFactory = field(default="cross-entropy", kw_only=True)
    class_weights: ClassWeights = field(default=None, kw_only=True)
    optimizer: str | OptimizerFactory = field(default="adam", kw_only=True)
    weight_decay: float = field(default=0.0, kw_only=True)
    schedule: str | ScheduleFactory | None = field(default=None, kw_only=True)
    stop: Stop | None = field(default=None, kw_only=True)
    average: float | None = field(default=None, kw_only=True)
    freeze: int = field(default=0, kw_only=True)
    compile: bool = field(default=False, compare=False, repr=False, kw_only=True, metadata={"runtime": True})

    losses: ClassVar[Sequence[str]] = ()
    """Names of the losses."""

    def __post_init__(self) -> None:
        if isinstance(self.network, nn.Module) or not callable(self.network):
            kind = type(self.network)
            raise ConfigurationError(
                "network must be a factory of networks, called with in_channels= and classes=",
                got=f"a network, {kind.__name__}" if issubclass(kind, nn.Module) else repr(self.network),
                hint=f"the class {kind.__name__}" if issubclass(kind, nn.Module) else "alkit.UNet",
            )
        object.__setattr__(self, "network", name_weights(self.network))
        self._set_length()
        object.__setattr__(self, "batch", check_integer("batch", self.batch, least=1))
        check_number("lr", self.lr, 0, open_ends="(")
        if self.augment is not None and not callable(self.augment):
            raise ConfigurationError(
                "augment must be None, alkit.learners.Augment(...) or a function of images, targets and a generator",
                got=repr(self.augment),
            )
        check_loss(self.loss, self.class_weights, self.losses)
        check_optimizer(self.optimizer, check_number("weight_decay", self.weight_decay, 0))
        check_schedule(self.schedule)
        if self.average is not None:
            check_number("average", self.average, 0, 1, open_ends="()")
        object.__setattr__(self, "freeze", check_integer("freeze", self.freeze, least=0))

    def _set_length(self) -> None:
        """Check `epochs` and `steps`, of which one is given, and write them as pairs."""
        if self.epochs is None and self.steps is None:
            object.__setattr__(self, "steps", STEPS)
        elif self.epochs is not None and self.steps is not None:
            raise ConfigurationError(
                "steps must be None if epochs are given, because either of them sets the length of the training",
                got=f"epochs={self.epochs!r} and steps={self.steps!r}",
                hint="epochs=None",
            )
        if isinstance(self.steps, int | np.integer) and not isinstance(self.steps, bool):
            object.__setattr__(self, "steps", (self.steps, self.steps))
        for name, noun in (("epochs", "epochs"), ("steps", "steps")):
            given = getattr(self, name)
            if given is None:
                continue
            if not isinstance(given, Sequence) or isinstance(given, str) or len(given) != 2:
                raise ConfigurationError(
                    f"{name} must be two integers, for the first round and for later rounds", got=repr(given)
                )
            counts = tuple(check_integer(f"each number of {noun}", count, least=1) for count in given)
            object.__setattr__(self, name, counts)
