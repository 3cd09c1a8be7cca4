"""Samplers draw predictions from a model: by dropout, from the members of an ensemble, or just once.

References
----------
Gal, Ghahramani. "Dropout as a Bayesian Approximation". ICML 2016. Beluch et al. "The Power of Ensembles for Active
Learning in Image Classification". CVPR 2018.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

from alkit.arguments.checked import checked, checked_except
from alkit.checks import check_integer
from alkit.errors import ConfigurationError
from alkit.protocols import DrawsDropout, DrawsMembers, Posterior

if TYPE_CHECKING:
    from torch import Tensor

    from alkit.rng import Stream


@checked
@dataclass(frozen=True)
class Deterministic:
    """Take the model's prediction, with dropout off, as the only draw.

    Examples
    --------
    >>> Deterministic().needs
    ()
    """

    needs: ClassVar[tuple[str, ...]] = ()

    @checked
    def sample(self, posterior: Posterior, stream: Stream) -> Iterator[Tensor]:
        """Yield the prediction, ``(1, n, classes, *space)``."""
        yield posterior.prediction()[None]


DETERMINISTIC = Deterministic()
"""The default sampler."""


@checked_except("draws")
@dataclass(frozen=True)
class Dropout:
    """Draw predictions with dropout on and batch normalisation in evaluation mode (Gal and Ghahramani 2016).

    Parameters
    ----------
    draws:
        Number of draws per image (T in the papers), at least 1.

    Raises
    ------
    ConfigurationError
        `draws` is not an integer >= 1. When sampling: the model has no dropout layers to draw from.

    Notes
    -----
    Deviation: a draw uses the same dropout masks for all images, while torch draws another mask for each image. The
    masks depend only on the seed, the number of the draw and the layer. So the score of an image does not depend on the
    other images of its batch, and all images are compared by the same networks.

    The layers must be modules of torch's classes Dropout or Dropout1d to Dropout3d or of their subclasses, and the
    first axis of their input must be the images. A subclass with a forward of its own is drawn by torch's rule, and
    must return its input in evaluation mode. Drop path, dropout by ``torch.nn.functional``, and dropout inside LSTM and
    MultiheadAttention stay off; an experiment warns of them. A network without any dropout layer is an error. Only one
    thread may use a model at a time.
    """

    needs: ClassVar[tuple[str, ...]] = ("dropout",)

    draws: int = 20

    def __post_init__(self) -> None:
        object.__setattr__(self, "draws", check_integer("draws", self.draws, least=1))

    @checked
    def sample(self, posterior: Posterior, stream: Stream) -> Iterator[Tensor]:
        """Yield all draws, several at a time: ``(k, n, classes, *space)``."""
        if not isinstance(posterior, DrawsDropout):
            raise ConfigurationError(
                "alkit.Dropout needs a model with dropout layers",
                expected="a torch network that has some",
                hint="another strategy; for an Ensemble, ensemble-s or ensemble-js",
            )
        return posterior.dropout(self.draws, stream)


@checked
@dataclass(frozen=True)
class Members:
    """Draw the prediction of each member of an :class:`alkit.Ensemble` (Beluch et al. 2018).

    Raises
    ------
    ConfigurationError
        When sampling: the model is not an ensemble.

    Examples
    --------
    >>> Members().needs
    ('members',)
    """

    needs: ClassVar[tuple[str, ...]] = ("members",)

    @checked
    def sample(self, posterior: Posterior, stream: Stream) -> Iterator[Tensor]:
        """Yield one draw per member, ``(1, n, classes, *space)``."""
        if not isinstance(posterior, DrawsMembers):
            raise ConfigurationError(
                "alkit.samplers.Members needs an ensemble",
                got="a single model",
                hint="alkit.Ensemble(learner, members=5) as the learner",
            )
        return posterior.members()
