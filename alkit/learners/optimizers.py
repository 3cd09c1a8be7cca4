"""Optimizers and schedules of the learning rate by name: those of torch, with usual settings."""

from __future__ import annotations

import math
import warnings
from collections.abc import Callable, Iterable
from contextlib import nullcontext

from torch import nn, optim
from torch.optim.lr_scheduler import LambdaLR, LRScheduler, OneCycleLR

from alkit.errors import ConfigurationError

OptimizerFactory = Callable[[Iterable[nn.Parameter], float], optim.Optimizer]
"""From parameters and a learning rate to an optimizer."""

ScheduleFactory = Callable[[optim.Optimizer, int], LRScheduler]
"""From an optimizer and the number of steps to a schedule, which is called after each step."""

OPTIMIZERS = ("adam", "adamw", "sgd")
SCHEDULES = ("cosine", "one-cycle")


def check_optimizer(optimizer: object, weight_decay: float) -> None:
    """Check the parameters `optimizer` and `weight_decay` of a learner."""
    if not (optimizer in OPTIMIZERS if isinstance(optimizer, str) else callable(optimizer)):
        raise ConfigurationError(
            f"optimizer must be one of {', '.join(OPTIMIZERS)}, or a function of parameters and learning rate",
            got=repr(optimizer),
        )
    if weight_decay and not isinstance(optimizer, str):
        raise ConfigurationError(
            "weight_decay is for the optimizers that alkit makes",
            got=f"weight_decay={weight_decay} and an optimizer of your own",
            hint="weight_decay=0, and the decay in your function",
        )


def check_schedule(schedule: object) -> None:
    """Check the parameter `schedule` of a learner."""
    if schedule is None or (schedule in SCHEDULES if isinstance(schedule, str) else callable(schedule)):
        return
    raise ConfigurationError(
        f"schedule must be None, one of {', '.join(SCHEDULES)}, or a function of optimizer and number of steps",
        got=repr(schedule),
    )


def make_optimizer(
    optimizer: str | OptimizerFactory, parameters: Iterable[nn.Parameter], lr: float, weight_decay: float
) -> optim.Optimizer:
    """Return an optimizer of these parameters.

    Raises
    ------
    ConfigurationError
        A function did not return an optimizer.
    """
    if optimizer == "adam":
        return optim.Adam(parameters, lr=lr, weight_decay=weight_decay)
    if optimizer == "adamw":
        return optim.AdamW(parameters, lr=lr, weight_decay=weight_decay)
    if isinstance(optimizer, str):
        return optim.SGD(parameters, lr=lr, weight_decay=weight_decay, momentum=0.9, nesterov=True)
    made = optimizer(parameters, lr)
    if not isinstance(made, optim.Optimizer):
        raise ConfigurationError("optimizer must return an optimizer of torch", got=type(made).__name__)
    return made


def make_schedule(schedule: str | ScheduleFactory | None, optimizer: optim.Optimizer, steps: int) -> LRScheduler | None:
    """Return a schedule for so many steps; None for a constant learning rate.

    ``cosine`` rises in a line during the first tenth of the steps, and falls to 0 along a cosine. ``one-cycle`` rises
    and falls along cosines, with the peak after three tenths of the steps; the momentum moves against it.

    Raises
    ------
    ConfigurationError
        A function did not return a schedule.
    """
    if schedule is None:
        return None
    if schedule == "one-cycle":
        highest = [group["lr"] for group in optimizer.param_groups]
        momentum = any(name in optimizer.defaults for name in ("momentum", "betas"))
        return OneCycleLR(optimizer, highest, total_steps=steps, cycle_momentum=momentum)
    if isinstance(schedule, str):
        rise = max(1, steps // 10)

        def factor(step: int) -> float:
            if step < rise:
                return (step + 1) / rise
            return 0.5 * (1 + math.cos(math.pi * min(1.0, (step - rise) / max(1, steps - rise))))

        return LambdaLR(optimizer, factor)
    made = schedule(optimizer, steps)
    if not callable(getattr(made, "step", None)):
        raise ConfigurationError("schedule must return a schedule of torch", got=type(made).__name__)
    return made


def advance(schedule: LRScheduler, *, first: bool) -> None:
    """Take a step of a schedule.

    At the first one, torch warns if the optimizer has taken none, as when the scaler of float16 leaves out a step.
    """
    with warnings.catch_warnings() if first else nullcontext():
        if first:
            warnings.filterwarnings("ignore", "Detected call of `lr_scheduler.step")
        schedule.step()
