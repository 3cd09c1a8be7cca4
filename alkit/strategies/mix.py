"""Several strategies that share each batch."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from alkit.errors import ConfigurationError
from alkit.protocols import Strategy, View
from alkit.strategies.ordering import shares
from alkit.values.selection import Selection

if TYPE_CHECKING:
    pass
from alkit.strategies.asking import Among, check_n, remaining_pseudo_labels, select_from, start_cold
from alkit.strategies.functions import as_strategy, is_among, needs_of


@dataclass(frozen=True)
class Mix:
    """Several strategies share each batch in given proportions.

    Parameters
    ----------
    parts:
        By strategy its share, positive; what they sum to does not matter. The batch is shared by largest remainder,
        ties going to the earlier part. The order counts: the same parts in another order are another mix.

    Raises
    ------
    ConfigurationError
        No parts, one that is no strategy, two that are the same strategy, or a share that is not positive.

    Notes
    -----
    The strategies choose one after the other, in the order given, each among what the earlier ones have left. Their
    picks are then interleaved, so that the beginning of the batch has nearly the same proportions. A batch of fewer
    images than strategies goes to those with the largest shares.

    A part sees which images have a label and which are left, not what the earlier parts took: a
    :class:`DuplicatesLast` inside a mix may choose near-duplicates of their picks. Put it around the mix to have none.

    Examples
    --------
    >>> import alkit
    >>> from alkit.strategies import Uncertainty
    >>> half = Mix({alkit.strategy("random"): 1, Uncertainty(alkit.scores.margin): 1})
    >>> half.starts_cold
    False
    """

    parts: Mapping[Strategy, float]

    def __post_init__(self) -> None:
        if not isinstance(self.parts, Mapping) or not self.parts:
            raise ConfigurationError("a mix has parts", got=repr(self.parts), expected="{strategy: share, ...}")
        adopted: dict[Strategy, float] = {}
        for given, share in self.parts.items():
            part = as_strategy("a part of the mix", given)
            if isinstance(share, bool) or not isinstance(share, int | float) or not 0 < share < float("inf"):
                raise ConfigurationError("a share is a positive number", got=repr(share))
            if is_among(part, adopted):
                raise ConfigurationError(
                    "a part of the mix is there already", got=repr(part), hint="one part with the sum of the shares"
                )
            adopted[part] = share
        object.__setattr__(self, "parts", adopted)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Mix) and tuple(self.parts.items()) == tuple(other.parts.items())

    def __hash__(self) -> int:
        return hash(tuple(self.parts.items()))

    @property
    def starts_cold(self) -> bool:
        """Whether all can choose before there is a model."""
        return start_cold(*self.parts)

    @property
    def needs(self) -> tuple[str, ...]:
        """What any of them relies on."""
        return needs_of(*self.parts)

    def select(self, view: View, n: int, rng: np.random.Generator) -> Selection:
        """Return the interleaved picks, each with what its own strategy says of it."""
        check_n(view, n)
        left, picked = list(view.candidates), list[tuple[float, str, str]]()
        trusted: list[str] = []
        for part, share in zip(self.parts, shares(n, list(self.parts.values())), strict=True):
            if share == 0:
                continue
            chosen = select_from(part, Among(view, left), share, rng)
            meanings = chosen.stands_for or ("",) * len(chosen.ids)
            picked += [
                ((rank + 0.5) / share, id, meaning)
                for rank, (id, meaning) in enumerate(zip(chosen.ids, meanings, strict=True))
            ]
            trusted += chosen.pseudo_labels
            taken = set(chosen.ids)
            left = [id for id in left if id not in taken]
        picked.sort(key=lambda pick: pick[0])  # stable: of equals the earlier strategy's comes first
        ids = tuple(id for _, id, _ in picked)
        words = tuple(meaning for _, _, meaning in picked)
        return Selection(
            ids, stands_for=words if any(words) else None, pseudo_labels=remaining_pseudo_labels(trusted, ids)
        )
