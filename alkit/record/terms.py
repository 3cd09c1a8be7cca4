"""The terms on which answers are gathered and used."""

from __future__ import annotations

import math
from dataclasses import dataclass

from alkit.arguments.checked import checked, checked_except
from alkit.checks import check_integer
from alkit.errors import ConfigurationError
from alkit.labels.joining import Join, join_rule
from alkit.rng import Stream

FEWEST_TRAINED = 3
"""The hold-out gets a label only if at least so many others are trained on."""


@checked_except("annotators", "stop_set")
@dataclass(frozen=True)
class Terms:
    """The terms on which answers are gathered and used; see :class:`alkit.Experiment` for each."""

    annotators: int = 1
    join: str | Join = "one"
    hold_out: float = 0.0
    stop_set: int = 0

    def __post_init__(self) -> None:
        join_rule(self.join)
        check_integer("annotators", self.annotators, least=1)
        check_integer("stop_set", self.stop_set, least=0)
        if isinstance(self.hold_out, bool) or not isinstance(self.hold_out, int | float) or not 0 <= self.hold_out < 1:
            raise ConfigurationError("hold_out must be in [0, 1)", got=repr(self.hold_out))
        object.__setattr__(self, "hold_out", float(self.hold_out))

    @checked
    def holds_out(self, id: str, stream: Stream) -> bool:
        """Whether an image's label is only measured on, in records of alkit 0.1: the seed and the id decide it.

        In later records, :func:`alkit.experiment.holding_out.hold_out` draws an exact share.
        """
        return self.hold_out > 0 and bool(stream.child("hold-out", id).numpy().random() < self.hold_out)

    @checked
    def count_held_out(self, n: int) -> int:
        """Return how many of n labels are held out: their share, by largest remainder. A tie goes to the training.

        None is held out before :data:`FEWEST_TRAINED` labels are trained on.

        >>> [Terms(hold_out=0.2).count_held_out(n) for n in (3, 5, 10, 100)]
        [0, 1, 2, 20]
        >>> [Terms(hold_out=0.9).count_held_out(n) for n in (3, 5, 10, 100)]
        [0, 2, 7, 90]
        """
        exact = self.hold_out * n
        return max(0, min(math.floor(exact) + (exact % 1 > 0.5), n - FEWEST_TRAINED))
