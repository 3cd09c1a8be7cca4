"""Strategies made of strategies."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from alkit.errors import ConfigurationError
from alkit.protocols import Strategy, View
from alkit.types import Selection


@dataclass(frozen=True)
class Then:
    """Begin with one strategy and go on with another.

    Parameters
    ----------
    cold:
        Chooses while there are fewer than `after` labels; it should be able to start without a model.
    warm:
        Chooses from then on.
    after:
        How many labels, at least 1. A selection is made by one of the two: one that begins below `after` is the cold
        one's to the end.

    Examples
    --------
    >>> import alkit
    >>> both = Then(alkit.strategy("random"), alkit.strategy("mc-dropout"), after=300)
    >>> both.starts_cold
    True
    """

    cold: Strategy
    warm: Strategy
    after: int

    def __post_init__(self) -> None:
        for name in ("cold", "warm"):
            if isinstance(part := getattr(self, name), type) or not callable(getattr(part, "select", None)):
                raise ConfigurationError(f"{name} is no strategy", got=repr(part), hint="alkit.strategy(NAME)")
        if isinstance(self.after, bool) or not isinstance(self.after, int) or self.after < 1:
            raise ConfigurationError("there is no such number of labels", got=repr(self.after), expected="1 or more")

    @property
    def starts_cold(self) -> bool:
        """Whether the first of the two can choose before there is a model."""
        return bool(getattr(self.cold, "starts_cold", True))

    @property
    def needs(self) -> tuple[str, ...]:
        """What either of the two relies on."""
        return tuple(dict.fromkeys([*getattr(self.cold, "needs", ()), *getattr(self.warm, "needs", ())]))

    def select(self, view: View, n: int, rng: np.random.Generator) -> Selection:
        """Return what the strategy whose turn it is chooses."""
        return (self.cold if len(view.labelled) < self.after else self.warm).select(view, n, rng)
