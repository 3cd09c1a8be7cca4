"""Numbers, dates and names in the words of a page."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime

from alkit.errors import one_line

UNNAMED = "unnamed"
"""What an annotator without a name is called."""

LONGEST = 300
"""Greatest number of characters of a text of a stranger, such as a reason or the name of an image."""


def number(value: float) -> str:
    """Return a whole number with commas.

    >>> number(12345), number(7)
    ('12,345', '7')
    """
    return f"{value:,.0f}"


def counted(n: int, noun: str) -> str:
    """Return a number with its noun.

    >>> counted(1, "image"), counted(2000, "query")
    ('1 image', '2,000 queries')
    """
    many = f"{noun[:-1]}ies" if noun.endswith("y") else f"{noun}s"
    return f"{number(n)} {noun if n == 1 else many}"


def share(part: float, whole: float) -> str:
    """Return a share in whole percent, without claiming all or nothing.

    >>> share(1, 3), share(999, 1000), share(1, 1000), share(0, 5), share(5, 5)
    ('33 %', 'over 99 %', 'under 1 %', '0 %', '100 %')
    """
    if not whole:
        return ""
    rounded = round(100 * part / whole)
    if rounded >= 100 and part < whole:
        return "over 99 %"
    if rounded <= 0 < part:
        return "under 1 %"
    return f"{rounded} %"


def day(at: datetime) -> str:
    """Return a date.

    >>> day(datetime(2026, 11, 7))
    '7 Nov 2026'
    """
    return f"{at.day} {at:%b %Y}"


def short_day(at: datetime, now: datetime) -> str:
    """Return a date without its year, if that is the present one.

    >>> short_day(datetime(2026, 11, 7), datetime(2026, 12, 1)), short_day(datetime(2025, 1, 2), datetime(2026, 1, 1))
    ('7 Nov', '2 Jan 2025')
    """
    return f"{at.day} {at:%b}" if at.year == now.year else day(at)


def moment(at: datetime) -> str:
    """Return a date and a time with its time zone.

    >>> from datetime import UTC
    >>> moment(datetime(2026, 11, 7, 8, 5, tzinfo=UTC))
    '7 Nov 2026, 08:05 UTC'
    """
    return f"{day(at)}, {at:%H:%M} {at.tzname() or ''}".rstrip()


def duration(seconds: float) -> str:
    """Return a length of time.

    >>> [duration(s) for s in (41.3, 150, 5400, 200_000)]
    ['41 s', '2.5 min', '1.5 h', '56 h']
    """
    if seconds < 100:
        return f"{seconds:.0f} s"
    if seconds < 3600:
        return f"{seconds / 60:.2g} min" if seconds < 600 else f"{seconds / 60:.0f} min"
    return f"{seconds / 3600:.2g} h" if seconds < 36_000 else f"{seconds / 3600:,.0f} h"


def person(name: str) -> str:
    """Return the name of an annotator."""
    return short(name) if name else UNNAMED


def short(text: object, longest: int = LONGEST) -> str:
    """Return a text of a stranger in one line and of bounded length, without control characters.

    >>> short("hair\\n in front"), short("x" * 500, 10)
    ('hair in front', 'xxxxxxx...')
    """
    return one_line(text, longest)


def listed(texts: Sequence[str], most: int = 8) -> str:
    """Return texts as a list in words.

    >>> listed(["a", "b", "c"]), listed(["a"]), listed(list("abcd"), 2)
    ('a, b and c', 'a', 'a, b and 2 more')
    """
    shown = [*texts[:most], *([f"{len(texts) - most} more"] if len(texts) > most else [])]
    return shown[0] if len(shown) == 1 else f"{', '.join(shown[:-1])} and {shown[-1]}" if shown else ""


TITLES = {
    "dice": "Dice",
    "iou": "IoU",
    "f1": "F1",
    "micro_f1": "micro F1",
    "hd95": "HD95",
    "auroc": "AUROC",
    "ece": "ECE",
}


def metric_title(name: str) -> str:
    """Return the name of a metric as it is written in a sentence.

    >>> metric_title("dice"), metric_title("balanced_accuracy"), metric_title("surface_dice")
    ('Dice', 'balanced accuracy', 'surface dice')
    """
    return TITLES.get(name) or short(name.replace("_", " "))
