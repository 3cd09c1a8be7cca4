"""Answers of one annotator to one image from several files of one time, as unpacked and copied files have.

The time does not tell which of them is the latest. If they differ, the first one counts, and the others are refused.
"""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field, replace

import numpy as np

from alkit.oracles.folder.inbox import Found
from alkit.values.answers import Answer, Invalid, Skip, Withdrawal


@dataclass(frozen=True, slots=True)
class SameTime:
    """The answers so far of annotators who have several files.

    Parameters
    ----------
    names:
        The annotators.
    """

    names: frozenset[str]
    _known: dict[tuple[str, str, int | None], tuple[str, str]] = field(init=False, default_factory=dict)

    def check(self, answer: Answer, files: Iterable[str]) -> Answer:
        """Return an answer, or that it is invalid, if other files of this time say something else."""
        if answer.annotator not in self.names or isinstance(answer.label, Invalid):
            return answer
        said, name = _digest(answer), " and ".join(files)
        before, other = self._known.setdefault((answer.annotator, answer.id, answer.revision), (said, name))
        if before == said:
            return answer
        reason = (
            f"{name} says something else than {other}, and both have one time: delete one of them, or save the right "
            "one again"
        )
        return replace(answer, label=Invalid(reason))


def same_time(found: Found) -> SameTime:
    """Return a check of the answers in an inbox."""
    files = Counter(file.annotator for file in found.files)
    with_masks = {entry.annotator for entry in found.entries}
    return SameTime(frozenset(name for name, n in files.items() if n > 1 or name in with_masks))


def _digest(answer: Answer) -> str:
    if isinstance(answer.label, Skip | Withdrawal):
        return type(answer.label).__name__
    try:
        label = np.asarray(answer.label, np.int64)
    except (TypeError, ValueError):
        return repr(answer.label)
    return f"{label.shape} {hashlib.sha256(label.tobytes()).hexdigest()}"
