"""One strategy after another."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from alkit.protocols import Strategy, View
from alkit.values.selection import Selection

if TYPE_CHECKING:
    pass
from alkit.checks import check_integer
from alkit.strategies.asking import check_n, convert_functions, select_from, start_cold
from alkit.strategies.functions import needs_of


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
        convert_functions(self, "cold", "warm")
        check_integer("after", self.after, least=1)

    @property
    def starts_cold(self) -> bool:
        """Whether the first of the two can choose before there is a model."""
        return start_cold(self.cold)

    @property
    def needs(self) -> tuple[str, ...]:
        """What either of the two relies on."""
        return needs_of(self.cold, self.warm)

    def select(self, view: View, n: int, rng: np.random.Generator) -> Selection:
        """Return what the strategy whose turn it is chooses."""
        check_n(view, n)
        return select_from(self.cold if len(view.labelled) < self.after else self.warm, view, n, rng)
