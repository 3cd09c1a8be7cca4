"""Several strategies that each select a share of the batch."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from alkit.arguments.checked import checked
from alkit.checks import check_number
from alkit.errors import ConfigurationError
from alkit.protocols import Strategy, View
from alkit.strategies.asking import Among, remaining_pseudo_labels, select_from, start_cold
from alkit.strategies.functions import as_strategy, is_among, needs_of, short_name
from alkit.strategies.ordering import check_n, shares
from alkit.values.selection import Selection


@checked
@dataclass(frozen=True)
class Mix:
    """Let several strategies each select a share of the batch.

    Parameters
    ----------
    parts:
        Mapping from strategy to its share, a positive number. Shares need not sum to 1. The batch is divided by
        largest remainder; ties go to the earlier part. The order matters: the same parts in another order are
        another mix.

    Raises
    ------
    ConfigurationError
        There are no parts, a part is not a strategy or occurs twice, or a share is not positive and finite.

    Notes
    -----
    The strategies select one after the other, in the given order, each among the candidates that the earlier ones
    left. Their selections are then interleaved, so that the beginning of the batch has nearly the same proportions.
    If the batch has fewer images than the mix has strategies, the strategies with the largest shares select it.

    A part does not see the images that earlier parts selected, only the candidates that are left. So a
    :class:`DuplicatesLast` inside a mix may select near-duplicates of those images; put it around the mix instead.

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
            raise ConfigurationError(
                "parts must be a mapping with at least one strategy",
                got=repr(self.parts),
                expected="{strategy: share, ...}",
            )
        adopted: dict[Strategy, float] = {}
        for given, share in self.parts.items():
            part = as_strategy("each of parts", given)
            check_number(f"the share of {short_name(given)}", share, 0, open_ends="(")
            if is_among(part, adopted):
                raise ConfigurationError(
                    "parts must not contain a strategy twice",
                    got=repr(part),
                    hint="give it once, with the sum of its shares",
                )
            adopted[part] = share
        object.__setattr__(self, "parts", adopted)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Mix) and tuple(self.parts.items()) == tuple(other.parts.items())

    def __hash__(self) -> int:
        return hash(tuple(self.parts.items()))

    @property
    def starts_cold(self) -> bool:
        """Whether all parts can select without a trained model."""
        return start_cold(*self.parts)

    @property
    def needs(self) -> tuple[str, ...]:
        """What the parts need."""
        return needs_of(*self.parts)

    @checked
    def select(self, view: View, n: int, rng: np.random.Generator) -> Selection:
        """Return the interleaved selections of the parts; each image keeps its own strategy's ``stands_for`` text."""
        check_n(n, view.candidates)
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
        picked.sort(key=lambda pick: pick[0])  # stable: among equals, the earlier strategy comes first
        ids = tuple(id for _, id, _ in picked)
        words = tuple(meaning for _, _, meaning in picked)
        return Selection(
            ids, stands_for=words if any(words) else None, pseudo_labels=remaining_pseudo_labels(trusted, ids)
        )
