"""Figures as short texts."""

from __future__ import annotations

from collections.abc import Sequence


def age(hours: float) -> str:
    """Return a duration in minutes, hours or days.

    >>> age(0.2), age(1.2), age(47.4), age(50)
    ('12 min', '1 h', '47 h', '2 days')
    """
    if hours < 1:
        return f"{hours * 60:.0f} min"
    return f"{hours:.0f} h" if hours < 47.5 else f"{hours / 24:.0f} days"


def sparkline(values: Sequence[float | None]) -> str:
    """Draw a curve as one line of text, from its least to its greatest value, with a space for None.

    >>> sparkline([0.1, None, 0.2, 0.4, 0.45])
    '▁ ▃▇█'
    >>> sparkline([0.5, 0.5])
    '▄▄'
    """
    known = [value for value in values if value is not None]
    if not known:
        return ""
    least, span = min(known), max(known) - min(known)
    bars = "▁▂▃▄▅▆▇█"
    return "".join(
        " " if value is None else bars[3] if not span else bars[round((value - least) / span * 7)] for value in values
    )
