"""A limit on the number of images of one group in a selection."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from alkit.arguments.checked import checked_except
from alkit.checks import check_integer
from alkit.values.shown import short_repr


@checked_except("most")
@dataclass(frozen=True, slots=True, eq=False)
class Limit:
    """At most `most` images of one group in a selection, as long as candidates of other groups are left.

    Parameters
    ----------
    groups:
        Name of the group, such as the patient, by the id of the image. An image without a group is not limited.
    most:
        Largest number of images of a group in one selection, an integer >= 1.

    Raises
    ------
    ConfigurationError
        `most` is not an integer >= 1.

    Examples
    --------
    >>> Limit({"a": "patient 1", "b": "patient 1"}, most=1).most
    1
    """

    groups: Mapping[str, str]
    most: int

    def __post_init__(self) -> None:
        object.__setattr__(self, "most", check_integer("most", self.most, least=1))

    __repr__ = short_repr
