"""How long labels took: by the tools, or estimated from the times of an annotator's answers.

Label Studio and answers in Python state seconds. For files, the revision of an answer is the time at which its file was
saved. The gap since the file before of the same annotator is then an upper bound of the time for the label. Gaps that
are breaks, and files that were copied together, tell nothing and are left out.
"""

from __future__ import annotations

import itertools
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from statistics import median

from alkit.record.states import Recorded

EARLIEST = 10**17
"""Smaller revisions are counters, not times in nanoseconds: see :mod:`alkit.oracles.times`."""

TOGETHER = 1.0
"""Files that were saved within this number of seconds were copied, not drawn one after the other."""

BREAK = 5.0
"""A gap longer than this multiple of the annotator's median gap is a break."""

FEWEST_GAPS = 5
"""With fewer gaps, breaks cannot be told from labels."""


@dataclass(frozen=True)
class Times:
    """How long labels took.

    Parameters
    ----------
    seconds:
        By number of the answer, the seconds that the label took.
    estimated:
        Numbers of those answers whose seconds were estimated.
    """

    seconds: Mapping[int, float] = field(default_factory=dict)
    estimated: frozenset[int] = frozenset()


def labelling_times(answers: Sequence[Recorded]) -> Times:
    """Return how long the labels among all answers of a record took, as far as it is known.

    Labels that were sent back, or that nobody asked for, do not count. Of several labels of an annotator for one image,
    the first one counts: the others are corrections.

    Examples
    --------
    >>> told = [Recorded(f"{n}", "ann", 10**18 + n * 30 * 10**9, "label", number=n) for n in range(8)]
    >>> labelling_times(told).seconds[3], len(labelling_times(told).estimated)
    (30.0, 7)
    """
    first: dict[tuple[str, str], Recorded] = {}
    for answer in answers:
        if answer.kind == "label" and answer.rejected is None and not answer.source and answer.seconds:
            first.setdefault((answer.annotator, answer.id), answer)
    stated = {answer.number: float(answer.seconds or 0) for answer in first.values()}
    people: dict[str, list[Recorded]] = defaultdict(list)
    known = {(answer.id, answer.revision) for answer in answers}
    for answer in answers:
        # An answer without a revision gets the number behind that of an answer before it, which is no time.
        is_time = answer.revision >= EARLIEST and (answer.id, answer.revision - 1) not in known
        if is_time and answer.kind != "invalid" and not answer.source:
            people[answer.annotator].append(answer)
    estimated = {number: gap for own in people.values() for number, gap in _gaps(own) if number not in stated}
    return Times({**estimated, **stated}, frozenset(estimated))


def _gaps(answers: Iterable[Recorded]) -> Iterable[tuple[int, float]]:
    """Yield the number of each first label of an annotator, and the seconds since the answer before."""
    ordered = sorted(answers, key=lambda answer: (answer.revision, answer.number))
    gaps = [(now.revision - before.revision) / 1e9 for before, now in itertools.pairwise(ordered)]
    apart = [gap for gap in gaps if gap >= TOGETHER]
    if len(apart) < FEWEST_GAPS or 2 * len(apart) < len(gaps):
        return
    longest, seen = BREAK * median(apart), {ordered[0].id}
    for answer, gap in zip(ordered[1:], gaps, strict=True):
        first, label = answer.id not in seen, answer.kind == "label" and answer.rejected is None
        seen.add(answer.id)
        if first and label and TOGETHER <= gap <= longest:
            yield answer.number, gap
