"""Checked predictions of a model, and of its members, for the images of a shard."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from alkit.pools.pieces import Shard, map_shard
from alkit.protocols import HasMembers
from alkit.sharing.share import Result
from alkit.sharing.travelling import OfModel, open_model
from alkit.sharing.worker import Tick
from alkit.values.label_spec import LabelSpec
from alkit.values.predictions import mean_probabilities, probabilities_of

CLOSE = 1e-4
"""Largest difference between what an ensemble predicts for an image and the mean of its members, by rounding."""


@dataclass(frozen=True)
class Checked(OfModel):
    """Probabilities of images, checked against the classes; with `each`, those of each member too."""

    spec: LabelSpec
    each: bool = False

    def __call__(self, shard: Shard, tick: Tick) -> Result:
        """Return ``whole``, ``(n, classes, *space)``, and with `each` ``member 0`` and so on, of the same shape."""
        model = open_model(self.predictor)
        members = model.members if self.each and isinstance(model, HasMembers) else ()
        batches: list[list[npt.NDArray[Any]]] = []
        is_mean: bool | None = True if type(model).__module__.partition(".")[0] == "alkit" else None

        def predict(some: Sequence[str]) -> list[npt.NDArray[Any]]:
            images = shard.pool.read(some)  # a model of the user may write into them
            if not members:
                return [probabilities_of(model, images, self.spec)]
            nonlocal is_mean
            each = [probabilities_of(member, images.copy(), self.spec) for member in members]
            whole = mean_probabilities(each)
            if is_mean is None:  # an ensemble of the user may weigh its members, and this is what it predicts by
                one = probabilities_of(model, images[:1].copy(), self.spec)
                is_mean = bool(np.allclose(one, whole[:1], rtol=0, atol=CLOSE))
            return [whole if is_mean else probabilities_of(model, images.copy(), self.spec), *each]

        for some, found in map_shard(predict, shard, self.sufficed):
            batches.append(found)
            tick(len(some))
        columns = zip(*batches, strict=True)
        return {name: np.concatenate(own) for name, own in zip(names_of(len(members)), columns, strict=True)}


def names_of(members: int) -> list[str]:
    """Return the names of the probabilities of a model with so many members.

    >>> names_of(2)
    ['whole', 'member 0', 'member 1']
    """
    return ["whole", *(f"member {number}" for number in range(members))]
