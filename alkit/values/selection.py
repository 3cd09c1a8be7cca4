"""The selection of a strategy."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass

import numpy as np

from alkit.arguments.checked import checked
from alkit.errors import SelectionError
from alkit.values.shown import count, html_table, short_repr


@checked
@dataclass(frozen=True, slots=True)
class Selection:
    """The images that a strategy selects, the most wanted first.

    Parameters
    ----------
    ids:
        Ids of candidates, all different, in rank order.
    scores:
        Finite acquisition score of each id, higher is more wanted; None if the strategy has no scores.
    stands_for:
        Text for each id that says what the image represents; None if the strategy gives no texts.
    pseudo_labels:
        Ids of further candidates that get a pseudo-label: in the training of this round only, the model's own
        prediction is their label. They stay candidates.

    Raises
    ------
    SelectionError
        An id occurs twice, lengths differ, or a score is not finite.

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
                raise SelectionError(f"{name} must have one item for each id", got=len(values), expected=len(self.ids))
        if self.scores is not None:
            for id, score in zip(self.ids, self.scores, strict=True):
                if not np.isfinite(score):
                    raise SelectionError(f"the score of {id!r} is not finite", got=score)

    __repr__ = short_repr

    def _repr_html_(self) -> str:
        columns = {"score": self.scores, "stands for": self.stands_for}
        known = {name: values for name, values in columns.items() if values is not None}
        rows = ((rank, id, *(values[rank] for values in known.values())) for rank, id in enumerate(self.ids))
        notes = [f"{len(self.pseudo_labels)} more get a pseudo-label."] if self.pseudo_labels else []
        title = f"Selection of {count(len(self.ids), 'image')}"
        return html_table(title, ("rank", "id", *known), rows, total=len(self.ids), notes=notes)
