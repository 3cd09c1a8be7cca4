"""The terms on which answers are gathered and used."""

from __future__ import annotations

from dataclasses import dataclass

from alkit.errors import ConfigurationError
from alkit.labels.joining import Join, join_rule
from alkit.rng import Stream


@dataclass(frozen=True)
class Terms:
    """On which terms answers are gathered and used; see :class:`alkit.Experiment` for each."""

    annotators: int = 1
    join: str | Join = "one"
    hold_out: float = 0.0
    stop_set: int = 0

    def __post_init__(self) -> None:
        join_rule(self.join)
        for name, least in (("annotators", 1), ("stop_set", 0)):
            value = getattr(self, name)
            if isinstance(value, bool) or not isinstance(value, int) or value < least:
                raise ConfigurationError(
                    f"{name} cannot be this", got=repr(value), expected=f"a whole number, {least} or more"
                )
        if isinstance(self.hold_out, bool) or not isinstance(self.hold_out, int | float) or not 0 <= self.hold_out < 1:
            raise ConfigurationError("hold_out cannot be this", got=repr(self.hold_out), expected="0 <= hold_out < 1")
        object.__setattr__(self, "hold_out", float(self.hold_out))

    def holds_out(self, id: str, stream: Stream) -> bool:
        """Whether an image's label is for measuring alone: a matter of chance, and settled before it is asked for."""
        return self.hold_out > 0 and bool(stream.child("hold-out", id).numpy().random() < self.hold_out)
