"""Times of answers, as revisions: among the answers of one annotator to one image, the latest counts."""

from __future__ import annotations

EARLIEST, LATEST = 10**17, 2**62
"""The range of times, in nanoseconds since 1970: from 1973, because smaller revisions are counters, to 2116."""

LONGEST = 10.0**9
"""Greatest number of seconds that an annotation can have taken."""


def revision_of(nanoseconds: int) -> int:
    """Return the revision for a time in nanoseconds since 1970. A clock may be wrong by any number of years.

    >>> revision_of(0), revision_of(-5) == EARLIEST, revision_of(10**30) == LATEST
    (100000000000000000, True, True)
    """
    return min(max(nanoseconds, EARLIEST), LATEST)


def seconds_of(value: object) -> float | None:
    """Return the seconds that an annotation has taken; None if a value is no such number.

    >>> seconds_of(4), seconds_of(-1), seconds_of(float("nan")), seconds_of(1e300), seconds_of("4")
    (4.0, None, None, None, None)
    """
    return float(value) if isinstance(value, int | float) and 0 <= value <= LONGEST else None
