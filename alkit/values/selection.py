"""What a strategy selects."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass

import numpy as np

from alkit.errors import SelectionError


@dataclass(frozen=True, slots=True)
class Selection:
    """What a strategy chose, the most wanted first.

    Parameters
    ----------
    ids:
        Different ids of candidates, in rank order.
    scores:
        One finite number for each, higher is more wanted; None where the strategy does not score.
    stands_for:
        For each, what it represents, in words; None where the strategy does not say.
    pseudo_labels:
        Ids of further candidates whose label, in this round's training alone, shall be the model's own prediction.
        They stay candidates.

    Raises
    ------
    SelectionError
        Repeated ids, other lengths, or a score that is not finite.

    Examples
    --------
    >>> Selection(["b", "a"], scores=[0.9, 0.1]).ids
    ('b', 'a')
    """

    ids: tuple[str, ...]
    scores: tuple[float, ...] | None = None
    stands_for: tuple[str, ...] | None = None
    pseudo_labels: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        for name in ("ids", "pseudo_labels"):
            object.__setattr__(self, name, tuple(str(id) for id in getattr(self, name)))
        everything = self.ids + self.pseudo_labels
        if len(set(everything)) != len(everything):
            twice = next(id for id, count in Counter(everything).items() if count > 1)
            raise SelectionError("an image was selected twice", got=repr(twice), expected="different ids")
        for name, kind in (("scores", float), ("stands_for", str)):
            values = getattr(self, name)
            if values is None:
                continue
            object.__setattr__(self, name, tuple(kind(value) for value in values))
            if len(values) != len(self.ids):
                raise SelectionError(
                    f"{name} and ids are of different lengths", got=len(values), expected=len(self.ids)
                )
        if self.scores is not None:
            for id, score in zip(self.ids, self.scores, strict=True):
                if not np.isfinite(score):
                    raise SelectionError(f"the score of {id!r} is not finite", got=score)
