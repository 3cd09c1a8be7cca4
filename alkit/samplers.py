"""Samplers: how predictions are drawn from a model. The score then says what their disagreement means.

References
----------
Gal, Ghahramani. "Dropout as a Bayesian Approximation". ICML 2016. Beluch et al. "The Power of Ensembles for Active
Learning in Image Classification". CVPR 2018.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

from alkit.errors import ConfigurationError

if TYPE_CHECKING:
    from torch import Tensor

    from alkit.protocols import Posterior
    from alkit.rng import Stream


@dataclass(frozen=True)
class Deterministic:
    """One draw: the model's prediction, dropout off."""

    needs: ClassVar[tuple[str, ...]] = ()

    def sample(self, posterior: Posterior, stream: Stream) -> Iterator[Tensor]:
        """Yield the prediction, ``(1, n, classes, *space)``."""
        yield posterior.prediction()[None]


DETERMINISTIC = Deterministic()
"""The sampler where none is given."""


@dataclass(frozen=True)
class Dropout:
    """Predictions with dropout on and batch normalisation in evaluation mode (Gal and Ghahramani 2016).

    Parameters
    ----------
    draws:
        T, how many; at least 1.

    Notes
    -----
    A draw is one thinned network: its masks depend on the seed, the draw's number and the layer alone, and are the same
    for every image. So scores do not depend on which images share a batch, and images are compared under the same
    networks. Deviation: torch's own dropout has another mask for each image.

    Layers are torch's Dropout and Dropout1d to Dropout3d, called as modules. Dropout by a function, and inside LSTM and
    MultiheadAttention, is not drawn; a network that has no other is refused. The images must come first in what a layer
    sees. A model serves one thread at a time.
    """

    needs: ClassVar[tuple[str, ...]] = ("dropout",)

    draws: int = 20

    def __post_init__(self) -> None:
        if isinstance(self.draws, bool) or not isinstance(self.draws, int) or self.draws < 1:
            raise ConfigurationError("there is no such number of draws", got=repr(self.draws), expected="1 or more")

    def sample(self, posterior: Posterior, stream: Stream) -> Iterator[Tensor]:
        """Yield all draws, several at a time, ``(k, n, classes, *space)``."""
        if not callable(getattr(posterior, "dropout", None)):
            raise ConfigurationError(
                "this model cannot draw by dropout",
                expected="a network of torch with dropout layers",
                hint="ensemble-s or ensemble-js go with an Ensemble",
            )
        return posterior.dropout(self.draws, stream)


@dataclass(frozen=True)
class Members:
    """The prediction of each member of an :class:`alkit.Ensemble` (Beluch et al. 2018)."""

    needs: ClassVar[tuple[str, ...]] = ("members",)

    def sample(self, posterior: Posterior, stream: Stream) -> Iterator[Tensor]:
        """Yield one draw per member, ``(1, n, classes, *space)``."""
        if not callable(getattr(posterior, "members", None)):
            raise ConfigurationError(
                "this model has no members", got="a single model", hint="Ensemble(learner, members=5) as the learner"
            )
        return posterior.members()
