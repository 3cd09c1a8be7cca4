"""One strategy for the first labels, another from then on."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from alkit.arguments.checked import checked, checked_except
from alkit.checks import check_integer
from alkit.protocols import Strategy, View
from alkit.strategies.asking import convert_functions, select_from, start_cold
from alkit.strategies.functions import needs_of
from alkit.strategies.ordering import check_n
from alkit.values.selection import Selection


@checked_except("after")
@dataclass(frozen=True)
class Then:
    """Start with one strategy and continue with another.

    Parameters
    ----------
    cold:
        Strategy used while there are fewer than `after` labels. It should be able to select without a model.
    warm:
        Strategy used from then on.
    after:
        Number of labels, an integer >= 1. One strategy makes a whole selection: if there are fewer than `after`
        labels at its start, `cold` makes all of it.

    Raises
    ------
    ConfigurationError
        `cold` or `warm` is not a strategy, or `after` is out of range.

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
        """Whether `cold` can select without a trained model."""
        return start_cold(self.cold)

    @property
    def needs(self) -> tuple[str, ...]:
        """What `cold` and `warm` need."""
        return needs_of(self.cold, self.warm)

    @checked
    def select(self, view: View, n: int, rng: np.random.Generator) -> Selection:
        """Return the selection of `cold` or `warm`."""
        check_n(n, view.candidates)
        return select_from(self.cold if len(view.labelled) < self.after else self.warm, view, n, rng)
