"""The options about disputed images, and how they are shown."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, Literal, cast

import typer

from alkit.cli import options

if TYPE_CHECKING:
    from alkit.record.store import Store
    from alkit.values.disputes import Disputes

HOW = {
    "join": "the rule that joins labels decides",
    "ignore": "what has no majority is not trained on",
    "leave-out": "the image is not trained on",
    "third": "one more person is asked",
    "senior": "{senior} is asked, and decides",
}


@dataclass(frozen=True)
class DisputeOptions:
    """Options about images about which annotators disagree."""

    disputes: Annotated[
        str | None,
        typer.Option(
            help="What becomes of images about which annotators disagree: join (default), the rule of --join decides; "
            "ignore, what has no majority is not trained on; leave-out, the image is not trained on; third, one more "
            "person is asked; senior, the person of --senior is asked, and decides.",
            rich_help_panel=options.PEOPLE,
        ),
    ] = None
    dispute_below: Annotated[
        float | None,
        typer.Option(
            help="Images whose annotators agree less are disputed: by Dice of masks, or the share of equal classes. "
            "Default: 0.7.",
            rich_help_panel=options.PEOPLE,
        ),
    ] = None
    senior: Annotated[
        str | None,
        typer.Option(help="Name of the person who decides, with --disputes senior.", rich_help_panel=options.PEOPLE),
    ] = None

    def after(self, before: Disputes) -> Disputes | None:
        """Return what the options make of what was recorded; None if no option is given.

        >>> from alkit.values import Disputes
        >>> DisputeOptions(senior="ada").after(Disputes(below=0.8))
        Disputes(decided='senior', below=0.8, senior='ada')
        """
        from alkit.checks import check_number
        from alkit.errors import ConfigurationError
        from alkit.values.disputes import Disputes

        if self.disputes is None and self.dispute_below is None and self.senior is None:
            return None
        decided = self.disputes or ("senior" if self.senior else before.decided)
        if decided not in HOW:
            raise ConfigurationError(f"--disputes must be {', '.join(HOW)}", got=repr(decided))
        senior = self.senior or (before.senior if decided == "senior" else "")
        if (decided == "senior") != bool(senior):
            raise ConfigurationError("--disputes senior and --senior NAME go together", got=f"{decided}, {senior!r}")
        below = before.below
        if self.dispute_below is not None:
            below = check_number("--dispute-below", self.dispute_below, 0, 1, open_ends="(")
        how = cast("Literal['join', 'ignore', 'leave-out', 'third', 'senior']", decided)
        return Disputes(how, below, senior)


def settle_disputes(record: Store, disputes: Disputes | None) -> list[str]:
    """Record what becomes of disputed images, and ask one more person if it says so; return a line per difference."""
    from alkit.record.disputes import change_disputes
    from alkit.report.disputes import ask_about_disputes

    if disputes is None:
        return []
    lines, asked = change_disputes(record, disputes), ask_about_disputes(record)
    who = disputes.senior or "one more person"
    images = "1 image" if len(asked) == 1 else f"{len(asked)} images"
    return [*map(by_option, lines), *([f"disputes: {who} is asked about {images}"] if asked else [])]


def by_option(line: str) -> str:
    """Return a difference that the record keeps, with the name of the option in place of that of the record.

    Examples
    --------
    >>> by_option("disputes.below: recorded 0.7, now 0.8")
    'dispute_below: recorded 0.7, now 0.8'
    """
    for name, option in (("decided", "disputes"), ("below", "dispute_below"), ("senior", "senior")):
        if line.startswith(f"disputes.{name}:"):
            return line.replace(f"disputes.{name}", option, 1)
    return line


def disputes_in_words(record: Store) -> list[str]:
    """Return a sentence about what becomes of disputed images, unless it is the default."""
    from alkit.record.disputes import recorded_disputes
    from alkit.values.disputes import Disputes

    if (found := recorded_disputes(record)) == Disputes():
        return []
    what = HOW[found.decided].format(senior=found.senior)
    return [f"Disputed images, whose annotators agree by less than {found.below:g}: {what}."]
