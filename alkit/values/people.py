"""The people who label a campaign's images."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from alkit.arguments.checked import checked
from alkit.checks import check_integer, check_number
from alkit.errors import ConfigurationError, one_line

MOST_DAYS = 36_500
"""Greatest number of days until a deadline."""

LONGEST_NAME = 100
"""Greatest number of characters in the name of a person."""


@checked
@dataclass(frozen=True)
class People:
    """The people who label a campaign's images, and for how long an image waits for one of them.

    Each new query is assigned to the people who have the fewest so far for their share. An answer of anybody else
    counts as well. With no names, queries are for anybody.

    Parameters
    ----------
    shares:
        By name the share of the images that a person gets, a number > 0. The name is the one under which answers come:
        that of the person's folder, or ``user-<number>`` in Label Studio.
    days:
        Days after which an image without an answer goes to somebody else, > 0; None for no deadline.
    audit:
        Number of annotators who label each image of the audit set, at least 1; None for as many as other images.

    Raises
    ------
    ConfigurationError
        A name cannot be that of a folder, or a number is out of range.

    Examples
    --------
    >>> People({"ann": 2, "ben": 1}, days=3)
    People(shares={'ann': 2.0, 'ben': 1.0}, days=3.0, audit=None)
    """

    shares: Mapping[str, float] = field(default_factory=dict)
    days: float | None = None
    audit: int | None = None

    def __post_init__(self) -> None:
        given = {check_name(name): share for name, share in self.shares.items()}
        shares = {name: check_number(f"shares[{name!r}]", share, 0, open_ends="(") for name, share in given.items()}
        object.__setattr__(self, "shares", shares)
        if self.days is not None:
            object.__setattr__(self, "days", check_number("days", self.days, 0, MOST_DAYS, open_ends="("))
        if self.audit is not None:
            check_integer("audit", self.audit, least=1)

    def __bool__(self) -> bool:
        return self != People()


def is_name(name: object) -> bool:
    """Return whether a value can be the name of a person, and so of a folder."""
    if not isinstance(name, str) or not name or name[0] in ".~" or set(name) & set('/\\:*?"<>|,='):
        return False
    return name == name.strip() == one_line(name, LONGEST_NAME)


def check_name(name: str) -> str:
    """Return the name of a person, if it can be the name of a folder.

    Raises
    ------
    ConfigurationError
        It cannot.
    """
    if not is_name(name):
        raise ConfigurationError(
            "the name of a person must be the name of a folder, without , and =",
            got=repr(name[:LONGEST_NAME]),
            hint="a name such as ann",
        )
    return name
