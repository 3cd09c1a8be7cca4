"""What becomes of images about which annotators disagree."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from alkit.arguments.checked import checked_except
from alkit.checks import check_number
from alkit.errors import ConfigurationError
from alkit.values.people import check_name

Decided = Literal["join", "ignore", "leave-out", "third", "senior"]
"""By what a dispute is decided."""

DISPUTED = 0.7
"""Images whose annotators agree less are disputed by default."""


@checked_except("below")
@dataclass(frozen=True, slots=True)
class Disputes:
    """What becomes of images about which annotators disagree.

    Parameters
    ----------
    decided:
        ``"join"``: the rule that joins all labels decides. ``"ignore"``: what has no majority is not trained on, also
        if the rule is that the latest label counts. ``"leave-out"``: the image is not trained on. ``"third"``: one more
        person is asked, and until then it is as with ``"ignore"``. ``"senior"``: a named person is asked, whose label
        counts alone; until then it is as with ``"ignore"``.
    below:
        Images whose annotators agree less are disputed, in (0, 1]: see :class:`alkit.evaluation.ImageAgreement`.
    senior:
        Name of the person who decides, with ``"senior"``.

    Raises
    ------
    ConfigurationError
        A value is out of range, or a senior is missing or not needed.

    Examples
    --------
    >>> Disputes("third", below=0.8)
    Disputes(decided='third', below=0.8, senior='')
    """

    decided: Decided = "join"
    below: float = DISPUTED
    senior: str = ""

    def __post_init__(self) -> None:
        object.__setattr__(self, "below", check_number("below", self.below, 0, 1, open_ends="("))
        if (self.decided == "senior") != bool(self.senior):
            raise ConfigurationError(
                "senior must be named if a senior decides, and only then",
                got=f"decided={self.decided!r}, senior={self.senior!r}",
                hint="Disputes('senior', senior='ada')",
            )
        if self.senior:
            check_name(self.senior)
