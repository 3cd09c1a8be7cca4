"""Small parts for the kits: images, features, a model with every optional method, and a view that notes its calls."""

from __future__ import annotations

import json
import random
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import cache
from types import SimpleNamespace
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from alkit._reading.tensors import unreadable
from alkit.arguments.checked import checked
from alkit.errors import ColdStartError
from alkit.features.clustering import kmeans
from alkit.features.of_learner import OfLearner
from alkit.pools.arrays import ArrayPool
from alkit.protocols import (
    DrawsDropout,
    DrawsMembers,
    FeatureExtractor,
    FittedExtractor,
    HasFeatures,
    HasHeads,
    KnowsRows,
    Labelled,
    Pool,
    Predictor,
    Reduction,
    Sampler,
    Score,
)
from alkit.rng import Stream
from alkit.samplers import DETERMINISTIC
from alkit.scores.reductions import mean
from alkit.scores.streamed import Scoring
from alkit.synthetic import lesions
from alkit.values.clusters import Clusters
from alkit.values.label_spec import Images, check_images
from alkit.values.predictions import Predictions
from alkit.values.progress import Report, quiet


@checked
@dataclass(frozen=True)
class RowMeans:
    """A feature extractor without training: the mean of each row of pixels."""

    @checked
    def fit(self, pool: Pool, rng: np.random.Generator, report: Report = quiet) -> RowMeans:
        """Return the extractor itself."""
        return self

    @checked
    def features(self, images: Images) -> npt.NDArray[np.float32]:
        """Return one row per image, ``(n, h)``."""
        check_images(images)
        rows: npt.NDArray[np.float32] = images.mean(axis=(1, 3))
        return rows


@dataclass(frozen=True)
class BrightnessModel:
    """Predicts lesion for pixels darker than a level; its draws, members and heads have levels of their own."""

    level: float

    def probabilities(self, images: Images) -> npt.NDArray[np.float32]:
        """Return class probabilities, ``(n, 2, h, w)``."""
        return _split(torch.from_numpy(np.ascontiguousarray(images)), self.level).numpy()

    def posterior(self, images: Images) -> BrightnessPosterior:
        """Return the posterior of these images."""
        return BrightnessPosterior(self.level, torch.from_numpy(np.ascontiguousarray(images)))

    def features(self, images: Images) -> npt.NDArray[np.float32]:
        """Return the brightness of each row of pixels above the level, ``(n, h)``."""
        return np.asarray(images[:, 0].mean(axis=2) - self.level, np.float32)

    def dumps(self) -> bytes:
        """Return the level."""
        return json.dumps(self.level).encode()


@dataclass(frozen=True)
class BrightnessPosterior:
    """See :class:`alkit.protocols.Posterior`."""

    level: float
    images: Tensor

    def prediction(self) -> Tensor:
        """Return the deterministic prediction."""
        return _split(self.images, self.level)

    def dropout(self, draws: int, stream: Stream) -> Iterator[Tensor]:
        """Yield one draw at a time; its level depends on its number and the stream only."""
        for number in range(draws):
            shift = 0.1 * stream.child(number).numpy().standard_normal()
            yield _split(self.images, self.level + shift)[None]

    def members(self) -> Iterator[Tensor]:
        """Yield three members."""
        for shift in (-0.1, 0.0, 0.15):
            yield _split(self.images, self.level + shift)[None]

    def heads(self) -> tuple[Tensor, ...]:
        """Return three heads, the final one first."""
        return tuple(_split(self.images, self.level + shift) for shift in (0.0, 0.05, -0.1))


def _split(images: Tensor, level: float) -> Tensor:
    lesion = torch.sigmoid(12 * (level - images[:, 0].float()))
    return torch.stack([1 - lesion, lesion], dim=1)


@checked
@dataclass(frozen=True)
class Brightness:
    """A simple learner whose models have every optional method: its level lies between labelled lesions and skin."""

    members: int = 3  # of its models, as an Ensemble declares it

    @checked
    def fit(
        self, labelled: Labelled, rng: np.random.Generator, previous: Predictor | None = None, report: Report = quiet
    ) -> BrightnessModel:
        """Return the model of all labels so far, with a little noise."""
        images, masks = labelled.images(labelled.ids)[:, 0], labelled.labels(labelled.ids)
        inside = float(images[masks > 0].mean()) if (masks > 0).any() else 0.0
        outside = float(images[masks == 0].mean()) if (masks == 0).any() else 1.0
        return BrightnessModel((inside + outside) / 2 + 0.001 * float(rng.standard_normal()))

    @checked
    def loads(self, dumped: bytes) -> BrightnessModel:
        """Return the model whose ``dumps`` gave these bytes."""
        try:
            return BrightnessModel(float(json.loads(dumped)))
        except (TypeError, ValueError, RecursionError) as reason:
            raise unreadable(dumped, "no number", reason) from reason


@dataclass
class KitView:
    """A view that notes its calls, returns writable arrays, and can contain errors.

    Parameters
    ----------
    pool:
        Images, in any order.
    labelled:
        Ids of images with a label.
    model:
        Model of the last round; None in round 0.
    at_once:
        Number of images in a batch when scores are computed.
    """

    pool: Pool
    labelled: list[str]
    model: Any
    round: int = 1
    at_once: int = 64
    spoilt_features: bool = False
    asked: set[str] = field(default_factory=set)

    def __post_init__(self) -> None:
        self.ids: list[str] = sorted(self.pool.ids)
        self.candidates: list[str] = [id for id in self.ids if id not in set(self.labelled)]
        self._labelled = tuple(self.labelled)
        self._handed: list[tuple[npt.NDArray[np.float32], npt.NDArray[np.float32]]] = []

    def features(self, extractor: FeatureExtractor) -> npt.NDArray[np.float32]:
        """Return one row per image."""
        table = self._features(extractor)
        self._handed.append((table, table.copy()))
        return table

    def _features(self, extractor: FeatureExtractor) -> npt.NDArray[np.float32]:
        if isinstance(extractor, OfLearner):
            self.asked |= {"model", "model-features"}
            return np.concatenate(list(self._scoring().features(self.ids)))
        self.asked.add("features")
        rows = rows_of(extractor.fit(self.pool, np.random.default_rng(0)), self.pool, self.ids)
        if self.spoilt_features:
            rows[::2] = np.nan
        return rows

    def clusters(self, extractor: FeatureExtractor, k: int) -> Clusters:
        """Return the K-means clusters of the whole pool; they do not depend on the names of the images."""
        rows = self._features(extractor)
        order = np.lexsort(rows.T)  # by content
        found = kmeans(rows[order], [f"{place:04}" for place in range(len(rows))], k, np.random.default_rng(1))
        back = np.argsort(order)
        return Clusters(tuple(self.ids), found.labels[back], found.distances[back], found.k)

    def scores(
        self, score: Score, sampler: Sampler | None = None, reduction: Reduction | None = None
    ) -> Mapping[str, float]:
        """Return the score of each candidate."""
        self.asked.add("model")
        return self._scoring().scores(self.candidates, score, sampler or DETERMINISTIC, reduction or mean)

    def predictions(self) -> Iterator[Predictions]:
        """Yield the predictions of the candidates."""
        self.asked.add("model")
        return self._scoring().predictions(self.candidates)

    def _scoring(self) -> Scoring:
        if self.model is None:
            raise ColdStartError("round 0 has no model yet")
        noting = _AskedWithFeatures if isinstance(self.model, HasFeatures) else _Asked
        return Scoring(self.pool, noting(self.model, self.at_once, self.asked), Stream(5))

    def changed(self) -> str:
        """Return the name of a part of the view that was changed; an empty text if none was."""
        if self.ids != sorted(self.pool.ids):
            return "ids"
        if tuple(self.labelled) != self._labelled:
            return "labelled"
        if self.candidates != [id for id in self.ids if id not in self._labelled]:
            return "candidates"
        return "features" if any(not np.array_equal(now, then) for now, then in self._handed) else ""


@dataclass(frozen=True)
class _Asked:
    """A model with a given batch size that notes its calls."""

    model: Any
    at_once: int
    asked: set[str]

    def probabilities(self, images: Images) -> npt.NDArray[np.float32]:
        result: npt.NDArray[np.float32] = self.model.probabilities(images)
        return result

    def posterior(self, images: Images) -> Any:
        return _noting(self.model.posterior(images), self.asked)

    def images_at_once(self, images: Images) -> int:
        return self.at_once

    def dumps(self) -> bytes:
        dumped: bytes = self.model.dumps()
        return dumped


@dataclass(frozen=True)
class _AskedWithFeatures(_Asked):
    """The same of a model with features."""

    def features(self, images: Images) -> npt.NDArray[np.float32]:
        result: npt.NDArray[np.float32] = self.model.features(images)
        return result


def _noting(posterior: Any, asked: set[str]) -> Any:
    """Return a posterior with the same optional methods that adds the names of those called to `asked`.

    The sampler is not asked for its kind, so a plugin's own sampler is noted as well.
    """

    def noted(verb: str) -> Callable[..., Any]:
        def call(*arguments: Any) -> Any:
            asked.add(verb)
            return getattr(posterior, verb)(*arguments)

        return call

    offered = [verb for verb, protocol in DRAWN.items() if isinstance(posterior, protocol)]
    return SimpleNamespace(prediction=posterior.prediction, **{verb: noted(verb) for verb in offered})


DRAWN: dict[str, type] = {"dropout": DrawsDropout, "members": DrawsMembers, "heads": HasHeads}
"""Protocols of the optional methods of a posterior, by the names under which strategies declare them."""

DECLARABLE = frozenset({"features", "model-features", "pseudo-labels", *DRAWN})
"""The words that ``needs`` may hold."""


@dataclass(frozen=True)
class Broken:
    """A diverged model: every prediction is NaN."""

    level: float = float("nan")
    probabilities = BrightnessModel.probabilities
    posterior = BrightnessModel.posterior
    features = BrightnessModel.features


@dataclass(frozen=True)
class Silent:
    """A model without features, whose posterior has no optional method."""

    level: float = 0.5
    probabilities = BrightnessModel.probabilities

    def posterior(self, images: Images) -> Any:
        """Return a posterior with the prediction only."""
        return _OnlyPrediction(_split(torch.from_numpy(np.ascontiguousarray(images)), self.level))


@dataclass(frozen=True)
class _OnlyPrediction:
    known: Tensor

    def prediction(self) -> Tensor:
        return self.known


def rows_of(fitted: FittedExtractor, pool: Pool, ids: Sequence[str]) -> npt.NDArray[np.float32]:
    """Return the rows of images, as an array of its own."""
    return np.array(fitted.rows(ids)) if isinstance(fitted, KnowsRows) else fitted.features(pool.read(ids))


SIZE = 16
N = 24


def ids_of(n: int) -> list[str]:
    """Return ids that look like numbers, are not sorted, and are not positions."""
    return [f"{number:04}" for number in np.random.default_rng(9).permutation(9000)[:n] + 1000]


@cache
def images_of(n: int) -> tuple[npt.NDArray[np.uint8], npt.NDArray[np.uint8]]:
    """Return read-only images and masks; they are drawn once for all checks."""
    images, masks = lesions(n, size=SIZE, seed=4)
    images.flags.writeable = masks.flags.writeable = False
    return images, masks


def view_of(
    *, round: int = 1, model: Any = BrightnessModel(0.5), labelled: int = 6, backwards: bool = False,
    ids: Sequence[str] | None = None, identical: bool = False, at_once: int = 64, spoilt_features: bool = False,
) -> KitView:  # fmt: skip
    """Return a view with the given properties."""
    images, names = images_of(N)[0], list(ids or ids_of(N))
    if identical:
        images = np.repeat(images[:1], N, axis=0)
    taken = (names[3:] + names[:3])[:labelled]
    if backwards:
        images, names = images[::-1], names[::-1]
    return KitView(ArrayPool(images, ids=names), taken, model, round, at_once, spoilt_features)


def view_in(round: int) -> KitView:
    """Return the view of a round; in round 0 there are no labels and no model."""
    return view_of(round=round) if round else view_of(round=0, model=None, labelled=0)


@contextmanager
def unchanged_generators() -> Iterator[None]:
    """Check that the block does not change the global generators of Python, NumPy and torch."""
    random.random(), np.random.rand(), torch.rand(1)  # noqa: NPY002 - so that seeding them is a change
    before = random.getstate(), np.random.get_state(), torch.random.get_rng_state()  # noqa: NPY002
    yield
    names = []
    if random.getstate() != before[0]:
        names.append("random")
    if any(not np.array_equal(a, b) for a, b in zip(np.random.get_state(), before[1], strict=True)):  # noqa: NPY002
        names.append("numpy.random")
    if not torch.equal(torch.random.get_rng_state(), before[2]):
        names.append("torch")
    assert not names, f"uses the global generator of {', '.join(names)}: use only `rng`"
