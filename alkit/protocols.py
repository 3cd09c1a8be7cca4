"""Protocols: the members that a pool, an oracle, a strategy, a learner and a feature extractor must have.

Any object with these members works; it does not need to inherit from here. An optional member has a protocol of its
own, such as :class:`HasSizes`, which alkit checks by ``isinstance``. An object that delegates to another one must
define the optional members itself: ``isinstance`` does not find members that come from ``__getattr__``.

The module is longer than others so that all protocols are on one page.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, Protocol, runtime_checkable

import numpy as np
import numpy.typing as npt

from alkit.rng import Stream
from alkit.values.answers import Answer
from alkit.values.frames import Frame
from alkit.values.label_spec import Images, Label, LabelSpec, Size
from alkit.values.limit import Limit
from alkit.values.predictions import Predictions
from alkit.values.progress import Report, quiet
from alkit.values.queries import Query
from alkit.values.selection import Selection
from alkit.values.surroundings import Surroundings

if TYPE_CHECKING:
    from torch import Tensor, nn

    from alkit.values.clusters import Clusters


Score = Callable[..., "Tensor"]
"""An acquisition score: from moments of a batch to ``(n, *space)`` or ``(n,)``; higher is more informative."""

Reduction = Callable[["Tensor"], "Tensor"]
"""From the pixels of each image, ``(n, *space)``, to one number per image, ``(n,)``."""


# Pools.


@runtime_checkable
class Pool(Protocol):
    """Images by id.

    Optional: :class:`HasSizes`, :class:`HasFrames`, :class:`HasFiles`, :class:`HasPictures`, :class:`HasDigest`,
    :class:`HasDigests`, :class:`HasSubsets`, :class:`HasStored`, :class:`HasGroups`, :class:`HasParents`,
    :class:`HasMetadata`, :class:`HasSurroundings`.
    """

    @property
    def ids(self) -> Sequence[str]:
        """All ids: distinct strings, in an order that does not change."""

    def read(self, ids: Sequence[str]) -> Images:
        """Return these images, ``(n, c, h, w)``, float32 in [0, 1], all of one size, in the order of `ids`."""


@runtime_checkable
class HasSizes(Protocol):
    """A pool that knows which sizes a mask may have. Masks of other pools must have the size of the images."""

    def sizes(self, ids: Sequence[str]) -> Sequence[tuple[Size, ...]]:
        """Return, for each of `ids`, the heights and widths that its mask may have; the working size is one of them."""


@runtime_checkable
class HasFrames(Protocol):
    """A pool that knows how its images lie inside the working size. Those of other pools are squashed to it."""

    def frames(self, ids: Sequence[str]) -> Sequence[Frame]:
        """Return the frame of each of `ids`: its original size is one of :meth:`HasSizes.sizes`, and all share one
        working size, that of the images.
        """


@runtime_checkable
class HasFiles(Protocol):
    """A pool that decodes image files. Oracles show these files to people; they draw images of other pools."""

    def file(self, id: str) -> Path | None:
        """Return the file of an image, or None if it does not have one."""


@runtime_checkable
class HasPictures(Protocol):
    """A pool that can show its images at their original size although no file holds one, such as slices of a volume."""

    def picture(self, id: str) -> Images | None:
        """Return an image for people, ``(c, h, w)`` at its original size, float32 in [0, 1]; None: as it is read."""


@runtime_checkable
class HasSurroundings(Protocol):
    """A pool of parts of larger images, such as tiles, which people are shown with what lies around them."""

    def surroundings(self, id: str) -> Surroundings | None:
        """Return what surrounds an image; None if nothing is known."""


@runtime_checkable
class HasDigest(Protocol):
    """A pool that can tell its content from other content without reading every image through :meth:`Pool.read`."""

    def digest(self) -> str:
        """Return a text that changes if an id, a pixel, the shape or the scale changes; the order of ids is ignored."""


@runtime_checkable
class HasDigests(Protocol):
    """A pool that can tell which images changed. A record then names them, and ignores images that were added later.

    A view has digests too, so that strategies can tell which images are identical. It has none if its pool has none.
    """

    def digests(self) -> Mapping[str, str]:
        """Return a text of at least 16 characters for each id; it changes if a pixel of the image changes."""


@runtime_checkable
class HasSubsets(Protocol):
    """A pool that can give a part of itself, which is how a record ignores images that were added later."""

    def subset(self, ids: Sequence[str]) -> Pool:
        """Return a pool of these images, in the order of `ids`."""


@runtime_checkable
class HasStored(Protocol):
    """A pool, or labelled images, that can give images as they are stored, in a quarter of the memory or less.

    Learners keep them on the device during a training. Images that are not scaled pixels do not have this.
    """

    def stored(self, ids: Sequence[str]) -> tuple[npt.NDArray[Any], Literal["minmax", "full"]] | None:
        """Return images as they are stored, ``(n, c, h, w)``, and how they are scaled; None if there are none.

        Images so scaled must equal those that are read, bit for bit.
        """


@runtime_checkable
class HasGroups(Protocol):
    """A pool that knows which images belong together, such as those of one patient.

    Images of one group are on one side of every split and hold-out. Without it, the images of one parent are a group.
    """

    def groups_of(self, ids: Sequence[str]) -> Sequence[str]:
        """Return the group of each image, not empty; an image without one is its own group, named by its id."""


@runtime_checkable
class HasParents(Protocol):
    """A pool of parts of something larger, such as slices of volumes. Parts of one parent are in one group."""

    def parents_of(self, ids: Sequence[str]) -> Sequence[str]:
        """Return what each image is part of; an image that is not part of anything is its own parent, by its id."""


@runtime_checkable
class HasMetadata(Protocol):
    """A pool that knows more about its images, such as the site or the scanner. Rules of selection can name it."""

    def metadata_of(self, ids: Sequence[str]) -> Sequence[Mapping[str, str]]:
        """Return texts by name for each image, such as ``{"site": "A"}``."""


@runtime_checkable
class ListsUnusable(Protocol):
    """A pool that has left images out because they cannot be used."""

    @property
    def unusable(self) -> Mapping[str, str]:
        """The reason for each image that is left out, by its id."""


# Oracles.


@runtime_checkable
class Oracle(Protocol):
    """A source of labels: people, a tool, or known masks.

    Optional: :class:`TakesRefusals`, :class:`TakesCancellations`, :class:`ReportsUnread`, :class:`ChecksLabels`.
    """

    @property
    def spec(self) -> LabelSpec:
        """The classes, the ignore value, and whether a label is a mask or a class."""

    def ask(self, queries: Sequence[Query]) -> None:
        """Send queries and return without waiting. A query that is sent twice is asked once."""

    def poll(self) -> Iterable[Answer]:
        """Return the answers that have arrived: in any order, some or all, possibly repeated."""


@runtime_checkable
class TakesRefusals(Protocol):
    """An oracle that can tell its annotators that an answer was refused or sent back.

    With an oracle that cannot, a refused answer ends :meth:`alkit.Experiment.run` with an error.
    """

    def refused(self, answer: Answer, reason: str) -> None:
        """Pass on why an answer was refused. An answer that this oracle did not give is ignored."""


@runtime_checkable
class TakesOutcomes(Protocol):
    """An oracle that can tell its annotators what a review found about their labels."""

    def reviewed(self, query: Query, annotator: str, text: str) -> None:
        """Pass on, in sentences, what became of a label. It is called again and again with the same text."""


@runtime_checkable
class TakesCancellations(Protocol):
    """An oracle that can tell its annotators that queries were withdrawn."""

    def cancelled(self, queries: Sequence[Query]) -> None:
        """Pass on that these queries need no answer any more. A query that was never sent is ignored."""


@runtime_checkable
class ReportsUnread(Protocol):
    """An oracle that knows of files that look like answers but cannot be read as such."""

    def unread(self) -> Mapping[Path, str]:
        """Return the reason for each file that :meth:`Oracle.poll` passed over."""


@runtime_checkable
class ChecksLabels(Protocol):
    """An oracle that knows all labels beforehand, as simulated ones do, and can check them before the first round."""

    def check_labels(self, pool: Pool, report: Report = quiet) -> None:
        """Raise a :class:`alkit.errors.LabelError` unless every image of the pool has a label that fits it."""


# Strategies.


class View(Protocol):
    """What a strategy may read: the state of an experiment, computed when it is asked for.

    Features, clusters and scores pass over the pool at most once and are cached, so asking again costs nothing.

    Optional: :class:`HasDigests`, :class:`HasLimits`, :class:`HasSeconds`.
    """

    @property
    def ids(self) -> Sequence[str]:
        """All ids of the pool, sorted."""

    @property
    def candidates(self) -> Sequence[str]:
        """Ids that may be selected, sorted."""

    @property
    def labelled(self) -> Sequence[str]:
        """Ids that have a label, in the order in which they were selected, and then those that wait for one."""

    @property
    def round(self) -> int:
        """Number of the round that images are selected for; 0 is the start set."""

    def features(self, extractor: FeatureExtractor) -> npt.NDArray[np.float32]:
        """Return one row for each image of :attr:`ids`, ``(len(ids), d)``, float32, read-only.

        `extractor` is fitted first if necessary. :class:`alkit.features.OfLearner` gives the features of the last
        round's model, which are computed once for each round.

        Raises
        ------
        ColdStartError
            The features are those of the model, and there is none yet.
        ConfigurationError
            The features are those of the model, and models of this learner give none.
        DataError, SelectionError
            A row is not finite; the image is named.
        """

    def clusters(self, extractor: FeatureExtractor, k: int) -> Clusters:
        """Return K-means clusters of the whole pool. They belong to the experiment and are the same in every round.

        Clusters of :class:`alkit.features.OfLearner` belong to the round, because its features do. They are not
        recorded.
        """

    def scores(
        self, score: Score, sampler: Sampler | None = None, reduction: Reduction | None = None
    ) -> Mapping[str, float]:
        """Return the acquisition score of each candidate by the last round's model, finite, in sorted order of ids.

        Parameters
        ----------
        score:
            From :mod:`alkit.scores`, or any function of the same kind.
        sampler:
            Draws predictions: :class:`alkit.Dropout` or :class:`alkit.samplers.Members`. None takes the deterministic
            prediction as the only draw.
        reduction:
            From an image's pixels to one number; default: their mean, :func:`alkit.scores.mean`.

        Raises
        ------
        ColdStartError
            There is no model yet.
        ConfigurationError
            The model cannot be sampled in this way.
        SelectionError
            A prediction or a score is not finite; the image is named.
        """

    def predictions(self) -> Iterator[Predictions]:
        """Yield the last model's predictions of the candidates, in batches that fit in memory.

        Predictions of masks are those of the content of an image: padding and the surroundings of a tile are left out,
        because they have no label. So their sizes may differ from batch to batch.
        """


@runtime_checkable
class HasLimits(Protocol):
    """A view that limits how many images of a group a selection holds; :class:`alkit.strategies.Picks` keeps them."""

    @property
    def limits(self) -> Sequence[Limit]:
        """The limits, the least important last."""


@runtime_checkable
class HasSeconds(Protocol):
    """A view that knows how long labels take."""

    def seconds(self) -> Mapping[str, float]:
        """Return the expected seconds for a label of each candidate, above 0; empty if no time of a label is known."""


@runtime_checkable
class Strategy(Protocol):
    """Selects the images that are worth labelling.

    Optional: :class:`DeclaresStart`, :class:`DeclaresNeeds`, :class:`DeclaresUse`, :class:`HasScores`,
    :class:`ChecksSpec`.
    """

    def select(self, view: View, n: int, rng: np.random.Generator) -> Selection:
        """Return exactly `n` of ``view.candidates``, the best first; all random numbers come from `rng`."""


@runtime_checkable
class DeclaresStart(Protocol):
    """A strategy that declares whether it can select without a model. One that does not declare it can."""

    @property
    def starts_cold(self) -> bool:
        """False if the strategy needs a trained model; another strategy then selects the start set."""


@runtime_checkable
class DeclaresNeeds(Protocol):
    """A strategy or a sampler that declares what it uses. Without it, the part uses none of them."""

    @property
    def needs(self) -> tuple[str, ...]:
        """Any of ``features``, ``model-features``, ``dropout``, ``members``, ``heads`` and ``pseudo-labels``."""


@runtime_checkable
class DeclaresUse(Protocol):
    """A strategy, or a function that makes one, that says when to use it; ``alkit strategies`` shows the sentence."""

    @property
    def when_to_use(self) -> str:
        """One plain sentence with its evidence, such as a figure or a study."""


@runtime_checkable
class HasScores(Protocol):
    """A strategy that gives every candidate a number, so that compositions can use the numbers."""

    def scores(self, view: View) -> Mapping[str, float]:
        """Return one finite number for each of ``view.candidates``; higher is more informative."""


# Features.


class FittedExtractor(Protocol):
    """A fitted feature extractor. Optional: :class:`HasNetwork`, :class:`HasFingerprint`, :class:`KnowsRows`."""

    def features(self, images: Images) -> npt.NDArray[np.float32]:
        """Return one row per image, ``(n, d)``, float32."""


@runtime_checkable
class HasNetwork(Protocol):
    """A fitted extractor that is a network of torch, whose weights a learner can start from."""

    @property
    def network(self) -> nn.Module:
        """The network."""


@runtime_checkable
class KnowsRows(Protocol):
    """A fitted extractor that knows the rows of the pool's images by their ids, as :class:`alkit.features.Embeddings`.

    Then nobody calls its :meth:`FittedExtractor.features`.
    """

    def rows(self, ids: Sequence[str]) -> npt.NDArray[np.float32]:
        """Return one row for each image, ``(len(ids), d)``, float32; it may be mapped into memory."""


@runtime_checkable
class HasFingerprint(Protocol):
    """A fitted extractor whose rows may be kept on disk, and read by other experiments and processes."""

    def fingerprint(self) -> str:
        """Return a text of at least 16 characters that changes if the row of any image would change.

        It covers what the fit has learned or read, such as the weights. The parameters of the extractor need not be in
        it, because alkit adds their written form.
        """


@runtime_checkable
class FeatureExtractor(Protocol):
    """Learns to describe images without labels. An experiment fits it on the images of its pool and on no others.

    Optional: :class:`DeclaresStart`, :class:`DeclaresNeeds`, which count for a strategy that has it as a parameter.
    """

    def fit(self, pool: Pool, rng: np.random.Generator, report: Report = quiet) -> FittedExtractor:
        """Learn from the images of `pool`."""


# Learners and their models.


class Labelled(Protocol):
    """What a learner may read: the labelled images, and feature extractors fitted on the whole pool.

    Optional: :class:`HasStored`.
    """

    @property
    def ids(self) -> Sequence[str]:
        """Ids with a label, in the order in which they were selected, then those with a pseudo-label."""

    @property
    def pseudo_ids(self) -> Sequence[str]:
        """Those of :attr:`ids` whose label is a prediction of a model."""

    @property
    def spec(self) -> LabelSpec:
        """The classes, the ignore value, and whether a label is a mask or a class.

        Masks in which several annotators disagree have an ignore value, 255, even if annotators themselves have none.
        """

    def images(self, ids: Sequence[str]) -> Images:
        """Return these images, ``(n, c, h, w)``, float32 in [0, 1]."""

    def labels(self, ids: Sequence[str]) -> Label:
        """Return these labels: masks at the working size, ``(n, h, w)``, uint8; or class ids, ``(n,)``, int64.

        If an image can have several classes, ``(n, classes)``, uint8, of 0, 1 and the ignore value.
        """

    def fitted(self, extractor: FeatureExtractor) -> FittedExtractor:
        """Return `extractor` fitted on the whole pool."""


@runtime_checkable
class Learner(Protocol):
    """Trains a predictor on labels.

    Optional: :class:`TrainsMembers`, :class:`WrapsLearner`, :class:`BuildsNetwork`, :class:`TriesTraining`,
    :class:`ChecksSpec`. alkit reads
    them to refuse, before anybody labels images, a learner that cannot train on these images, or whose models cannot
    give what the strategy needs.
    """

    def fit(
        self,
        labelled: Labelled,
        rng: np.random.Generator,
        previous: Predictor | None = None,
        report: Report = quiet,
    ) -> Predictor:
        """Train on `labelled`; `previous` is the model of the last round, None in the first round."""

    def loads(self, dumped: bytes) -> Predictor:
        """Return the predictor whose ``dumps`` returned these bytes."""


@runtime_checkable
class TrainsMembers(Protocol):
    """A learner whose models are ensembles, as those of :class:`alkit.Ensemble`."""

    @property
    def members(self) -> int:
        """Number of members."""


@runtime_checkable
class WrapsLearner(Protocol):
    """A learner that trains its models, or their members, by another learner."""

    @property
    def learner(self) -> Learner:
        """The other learner."""


@runtime_checkable
class BuildsNetwork(Protocol):
    """A learner that trains networks of torch."""

    def network(self, *, in_channels: int, classes: int) -> nn.Module:
        """Return a new network."""


@runtime_checkable
class TriesTraining(Protocol):
    """A learner that can try its training before there are labels."""

    @property
    def batch(self) -> int:
        """Images per training step."""

    def try_training(self, images: Images, spec: LabelSpec) -> Predictor:
        """Train one step on `images`, in one batch with made-up labels; raise an error if that is impossible."""


@runtime_checkable
class ChecksSpec(Protocol):
    """A learner or a strategy that says which classes it can work with, before there are labels."""

    def check_spec(self, spec: LabelSpec) -> None:
        """Raise a :class:`alkit.errors.ConfigurationError` if it cannot work with labels of these classes."""


@runtime_checkable
class Predictor(Protocol):
    """A trained model. There is no untrained one: it comes from a learner or from a record.

    Optional: :class:`HasPosterior`, :class:`HasMembers`, :class:`HasFeatures`, :class:`LimitsBatches`,
    :class:`ExportsModule`.
    """

    def probabilities(self, images: Images) -> npt.NDArray[np.float32]:
        """Return class probabilities, float32, of images ``(n, c, h, w)`` in [0, 1].

        Of each pixel, ``(n, classes, h, w)``, or of each image, ``(n, classes)``.
        """

    def dumps(self) -> bytes:
        """Return the model as bytes; ``loads`` of the learner returns a model with the same numbers."""


@runtime_checkable
class HasPosterior(Protocol):
    """A predictor that can say more about images than its prediction."""

    def posterior(self, images: Images) -> Posterior:
        """Return the posterior of these images, ``(n, c, h, w)``."""


@runtime_checkable
class HasMembers(Protocol):
    """An ensemble. It predicts the mean of its members' probabilities."""

    @property
    def members(self) -> Sequence[Predictor]:
        """The members."""


@runtime_checkable
class HasFeatures(Protocol):
    """A predictor that can say what it sees in an image before its head: :class:`alkit.features.OfLearner`."""

    def features(self, images: Images) -> npt.NDArray[np.float32]:
        """Return one row for each image, ``(n, d)``, float32. It does not depend on the other images."""


@runtime_checkable
class ExportsModule(Protocol):
    """A predictor that :func:`alkit.export_model` can export, although it is not a network of alkit's learners."""

    def export_module(self) -> nn.Module:
        """Return a new module of torch on the CPU that maps images ``(n, c, h, w)`` to class probabilities.

        If an image can have several classes, only to the probability that it has each, ``(n, classes)``.
        """


@runtime_checkable
class LimitsBatches(Protocol):
    """A predictor that knows how many images fit in memory while their posterior is computed."""

    def images_at_once(self, images: Images) -> int | None:
        """Return the largest batch of images like these, at least 1; None for no preference."""


class Posterior(Protocol):
    """One batch of images inside a model; what all questions share, such as the encoder, is computed once.

    Each tensor holds class probabilities, ``(n, classes, *space)``, on the device of the model; ``space`` is
    ``(h, w)``, or empty with one class per image. If an image can have several classes, they are ``(n, 2, classes)``:
    that it does not have each class, and that it has it.

    Optional: :class:`DrawsDropout`, :class:`DrawsMembers`, :class:`HasHeads`.
    """

    def prediction(self) -> Tensor:
        """Return the deterministic prediction."""


@runtime_checkable
class DrawsDropout(Protocol):
    """A posterior of a network with dropout."""

    def dropout(self, draws: int, stream: Stream) -> Iterator[Tensor]:
        """Yield `draws` predictions with dropout, several at a time: ``(k, n, classes, *space)``."""


@runtime_checkable
class DrawsMembers(Protocol):
    """A posterior of an ensemble."""

    def members(self) -> Iterator[Tensor]:
        """Yield the prediction of each member: ``(1, n, classes, *space)``."""


@runtime_checkable
class HasHeads(Protocol):
    """A posterior of a network with deep supervision."""

    def heads(self) -> tuple[Tensor, ...]:
        """Return the prediction of each head of deep supervision, the final one first."""


@runtime_checkable
class Sampler(Protocol):
    """Draws predictions from a model, for instance by dropout. Optional: :class:`DeclaresNeeds`."""

    def sample(self, posterior: Posterior, stream: Stream) -> Iterator[Tensor]:
        """Yield all draws, several at a time, ``(k, n, classes, *space)``; random numbers come from `stream`."""


__all__ = [
    "BuildsNetwork",
    "ChecksSpec",
    "DeclaresNeeds",
    "DeclaresStart",
    "DeclaresUse",
    "DrawsDropout",
    "DrawsMembers",
    "ExportsModule",
    "FeatureExtractor",
    "FittedExtractor",
    "HasDigest",
    "HasDigests",
    "HasFeatures",
    "HasFiles",
    "HasFingerprint",
    "HasFrames",
    "HasGroups",
    "HasHeads",
    "HasLimits",
    "HasMembers",
    "HasMetadata",
    "HasNetwork",
    "HasParents",
    "HasPictures",
    "HasPosterior",
    "HasScores",
    "HasSeconds",
    "HasSizes",
    "HasStored",
    "HasSubsets",
    "HasSurroundings",
    "KnowsRows",
    "Labelled",
    "Learner",
    "LimitsBatches",
    "Oracle",
    "Pool",
    "Posterior",
    "Predictor",
    "Reduction",
    "ReportsUnread",
    "Sampler",
    "Score",
    "Strategy",
    "TakesCancellations",
    "TakesRefusals",
    "TrainsMembers",
    "TriesTraining",
    "View",
    "WrapsLearner",
]
