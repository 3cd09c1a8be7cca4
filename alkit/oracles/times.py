"""Times of answers, as revisions: among the answers of one annotator to one image, the latest counts."""

from __future__ import annotations

EARLIEST, LATEST = 10**17, 2**62
"""The range of times, in nanoseconds since 1970: from 1973, because smaller revisions are counters, to 2116."""


def revision_of(nanoseconds: int) -> int:
    """Return the revision for a time in nanoseconds since 1970. A clock may be wrong by any number of years.

    >>> revision_of(0), revision_of(-5) == EARLIEST, revision_of(10**30) == LATEST
    (100000000000000000, True, True)
    """
    return min(max(nanoseconds, EARLIEST), LATEST)
