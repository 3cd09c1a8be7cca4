"""The options about who labels the images, and how the people of a record are shown."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated

import typer

from alkit.cli import options

if TYPE_CHECKING:
    from alkit.record.store import Store
    from alkit.values.people import People


@dataclass(frozen=True)
class PeopleOptions:
    """Options about who labels the images."""

    people: Annotated[
        str | None,
        typer.Option(
            help="Who labels the images, with shares: ann=2,ben=1. Each image is assigned to some of them. In Label "
            'Studio, names are user-1, user-2 and so on. "" for anybody.',
            rich_help_panel=options.PEOPLE,
        ),
    ] = None
    deadline: Annotated[
        float | None,
        typer.Option(
            help="Days after which an image without an answer goes to somebody else; 0 for no deadline.",
            rich_help_panel=options.PEOPLE,
        ),
    ] = None
    audit_annotators: Annotated[
        int | None,
        typer.Option(
            help="Number of people who label each image of the audit set; 0 for as many as others.",
            rich_help_panel=options.PEOPLE,
        ),
    ] = None

    def after(self, before: People) -> People | None:
        """Return the people that the options make of those before; None if no option is given.

        >>> from alkit.values import People
        >>> PeopleOptions(people="ann=2, ben", deadline=0).after(People(days=3))
        People(shares={'ann': 2.0, 'ben': 1.0}, days=None, audit=None)
        """
        from alkit.checks import check_integer, check_number
        from alkit.values.people import MOST_DAYS, People

        if self.people is None and self.deadline is None and self.audit_annotators is None:
            return None
        shares, days, audit = before.shares, before.days, before.audit
        if self.people is not None:
            shares = read_shares(self.people)
        if self.deadline is not None:
            days = check_number("--deadline", self.deadline, 0, MOST_DAYS) or None
        if self.audit_annotators is not None:
            audit = check_integer("--audit-annotators", self.audit_annotators, least=0) or None
        return People(shares, days, audit)


def read_shares(text: str) -> dict[str, float]:
    """Return the shares in a text such as ``ann=2,ben=1``, by name; a share that is left out is 1.

    Raises
    ------
    ConfigurationError
        It is something else, or has a name twice.
    """
    from alkit.errors import ConfigurationError

    shares: dict[str, float] = {}
    for part in filter(None, (part.strip() for part in text.split(","))):
        name, sign, share = (piece.strip() for piece in part.partition("="))
        try:
            number = float(share) if sign else 1.0
        except ValueError:
            number = 0.0
        if not 0 < number < float("inf") or name in shares:
            raise ConfigurationError(
                "--people must be different names, each with a share > 0 or without", got=repr(part), hint="ann=2,ben=1"
            )
        shares[name] = number
    return shares


def people_in_words(record: Store) -> list[str]:
    """Return a sentence about the people of a record; none if it has none."""
    from alkit.record.people import recorded_people, shares_in_words

    people, said = recorded_people(record), list[str]()
    if people.shares:
        said.append(f"images are assigned by shares to {shares_in_words(people)}")
    if people.days is not None:
        days = "1 day" if people.days == 1 else f"{people.days:g} days"
        said.append(
            f"after {days} without an answer an image {'goes to somebody else' if people.shares else 'is overdue'}"
        )
    if people.audit is not None:
        said.append(f"images of the audit set want {people.audit} annotators")
    return [f"People: {'; '.join(said)}."] if said else []
