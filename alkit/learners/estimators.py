"""Classification of images by any classifier with the interface of scikit-learn.

A record stores a model as its training data and fits it again when it is loaded, for two reasons. A record may come
from someone you do not know: reading a pickle runs code, and the safer formats still build objects from the bytes,
including arrays that compiled trees index without a check. Feature rows, labels and a seed are only numbers. And they
work for the estimators of every package.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from threading import RLock
from typing import Any

import numpy as np
import numpy.typing as npt
import sklearn
from safetensors import numpy as safetensors
from sklearn.base import clone

from alkit._logs import logger
from alkit._reading.tensors import MOST_CLASSES, read_facts, read_tensors, unreadable
from alkit.arguments.checked import checked
from alkit.errors import ConfigurationError
from alkit.protocols import Labelled, Predictor
from alkit.rng import Stream
from alkit.values.label_spec import Images, LabelSpec, check_images
from alkit.values.progress import Progress, Report, quiet

Rows = npt.NDArray[np.floating[Any]]
"""Features of some images: one row per image, ``(n, d)``, float32 or float64."""

TOLERANCE = 1e-3
"""Largest difference of a probability between a model and its second fit. Rounding on another machine gives less."""

_AT_ONCE = 256
"""Images in memory at once while their rows are computed."""

_log = logger(__name__)

_numpy = RLock()  # threads share numpy's global generator


def flattened(images: Images) -> Rows:
    """Return images ``(n, c, h, w)`` as rows ``(n, c * h * w)``."""
    return images.reshape(len(images), -1)


@checked
@dataclass(frozen=True)
class EstimatorLearner:
    """Trains a classifier of scikit-learn, or of any package with its interface.

    If an image can have several classes, a clone is trained for each class, on the images for which it is known
    (binary relevance).

    Parameters
    ----------
    estimator:
        A classifier with ``predict_proba``; it may be a pipeline or a parameter search. It is cloned and never changed.
        Each fit sets its ``random_state``, and those of the estimators inside it, to new seeds.
    rows:
        Function from images ``(n, c, h, w)``, float32 in [0, 1], to rows ``(n, d)``. The row of an image must not
        depend on other images. Default: the pixels. The estimator gets float64, because the solvers of scikit-learn
        converge best with it.

    Raises
    ------
    ConfigurationError
        `estimator` is a class, or has no ``predict_proba``.

    Notes
    -----
    Each round fits a new clone to all labels, in their order; ``previous`` is not used. The same labels and seed give
    the same model if the estimator draws only from its ``random_state`` or from numpy's global generator. The global
    generator is seeded for the fit and restored afterwards.

    A class without labels has probability 0. If only one class has labels, which happens in small start sets, the model
    predicts this class with certainty and logs a warning, whatever the estimator. (Some estimators do this, others
    raise an error, and one unlucky seed should not end a whole study.) The uncertainty is then 0 for all images, so
    strategies that use scores select by id. A larger start set avoids this.

    The members of an :class:`alkit.Ensemble` differ only by their random numbers. A random forest uses some. Logistic
    regression does not, so all members are equal unless each gets a random sample of the labels, as with
    ``BaggingClassifier(LogisticRegression(), n_estimators=1)``.

    A record stores a model as its training rows and seed. Loading it takes as long as fitting it, and storing it as
    much space as the labelled images. With the same versions and number of threads, the loaded model predicts the same
    numbers; a model that predicts others is an error.

    Examples
    --------
    >>> from sklearn.ensemble import RandomForestClassifier
    >>> learner = EstimatorLearner(RandomForestClassifier(n_estimators=50))
    >>> def brightness(images):
    ...     return images.mean(axis=(2, 3))
    >>> from sklearn.linear_model import LogisticRegression
    >>> learner = EstimatorLearner(LogisticRegression(), rows=brightness)
    """

    estimator: Any
    rows: Callable[[Images], npt.NDArray[Any]] = flattened

    def __post_init__(self) -> None:
        if isinstance(self.estimator, type):
            name = self.estimator.__name__
            raise ConfigurationError("estimator must be an instance", got=f"the class {name}", hint=f"{name}()")
        if not all(hasattr(self.estimator, verb) for verb in ("fit", "get_params", "set_params", "predict_proba")):
            raise ConfigurationError(
                "estimator must be a classifier with predict_proba, because strategies need probabilities",
                got=repr(self.estimator),
                hint="sklearn.calibration.CalibratedClassifierCV(estimator)",
            )

    @checked
    def check_spec(self, spec: LabelSpec) -> None:
        """Raise a :class:`ConfigurationError` if the labels are masks."""
        if spec.per != "image":
            raise ConfigurationError(
                "EstimatorLearner needs labels of one class per image", got="masks", hint="SegmentationLearner"
            )

    @checked
    def fit(
        self,
        labelled: Labelled,
        rng: np.random.Generator,
        previous: Predictor | None = None,
        report: Report = quiet,
    ) -> EstimatorPredictor:
        """Fit a new clone of the estimator to all labels.

        Raises
        ------
        ConfigurationError
            The labels are masks, `rows` does not return one row per image, or the estimator cannot be fitted.
        """
        self.check_spec(labelled.spec)
        ids = list(labelled.ids)
        parts = [ids[begin : begin + _AT_ONCE] for begin in range(0, len(ids), _AT_ONCE)]
        training = _TrainingSet(
            np.concatenate([_compute_rows(labelled.images(some), self.rows) for some in parts]),
            _known_labels(np.concatenate([labelled.labels(some) for some in parts]), labelled.spec),
            len(labelled.spec.classes),
            Stream.from_rng(rng).seed,
        )
        if not training.multiple and len(present := training.present) == 1:
            _log.warning(
                "all %d labels are of class %r, so the model predicts this class for every image",
                len(ids),
                labelled.spec.classes[present[0]],
            )
        predictor = EstimatorPredictor(_fit_clone(self.estimator, training), self.rows, training)
        report(Progress("fit", 1, 1))
        return predictor

    @checked
    def loads(self, dumped: bytes) -> EstimatorPredictor:
        """Return the predictor whose ``dumps`` returned these bytes. The estimator is fitted again.

        Raises
        ------
        ConfigurationError
            The new fit predicts other probabilities: the estimator, its parameters or its version have changed, or it
            draws random numbers that cannot be seeded.
        """
        training, then, version = _read(dumped)
        predictor = EstimatorPredictor(_fit_clone(self.estimator, training), self.rows, training)
        now = predictor.row_probabilities(training.rows)
        if now.shape != then.shape or not np.allclose(now, then, rtol=0, atol=TOLERANCE):
            raise ConfigurationError(
                f"{type(self.estimator).__name__} predicts other probabilities after it was fitted again",
                got=f"scikit-learn {sklearn.__version__}",
                expected=f"scikit-learn {version}, and the estimator and rows= of the first fit",
                hint="the same versions and parameters, and an estimator that draws from random_state only",
            )
        return predictor


@checked
@dataclass(frozen=True, eq=False)
class EstimatorPredictor:
    """A fitted classifier and its training set.

    Parameters
    ----------
    estimator:
        Fitted classifier with ``classes_`` and ``predict_proba``; a tuple of them if an image can have several classes.
    rows:
        Function from images to rows.
    training:
        Rows, labels and seed of its fit.
    """

    estimator: Any
    rows: Callable[[Images], npt.NDArray[Any]]
    training: _TrainingSet = field(repr=False)

    @checked
    def probabilities(self, images: Images) -> npt.NDArray[np.float32]:
        """Return class probabilities, ``(n, classes)``, with the classes in the order of their ids.

        If an image can have several classes, ``(n, 2, classes)``: that each is absent, and present.

        Raises
        ------
        ConfigurationError
            The images have another shape than those of the training set.
        """
        return self.row_probabilities(_compute_rows(images, self.rows))

    @checked
    def features(self, images: Images) -> npt.NDArray[np.float32]:
        """Return the rows that the classifier gets, ``(n, d)``, float32. Steps inside a pipeline are not applied."""
        return _compute_rows(images, self.rows).astype(np.float32)

    @checked
    def images_at_once(self, images: Images) -> int:
        """Return the number of images per call: many, because a call costs more than a row."""
        return 1024

    @checked
    def row_probabilities(self, rows: Rows) -> npt.NDArray[np.float32]:
        """Return class probabilities, ``(n, classes)`` or ``(n, 2, classes)``, of rows ``(n, d)``."""
        if rows.ndim != 2:
            raise ConfigurationError("rows must be (n, d)", got=f"shape {rows.shape}")
        if rows.shape[1] != (width := self.training.rows.shape[1]):
            raise ConfigurationError(
                "the rows of the images must be as long as those of the training set",
                got=f"{rows.shape[1]} numbers",
                expected=f"{width}",
            )
        if self.training.multiple:
            return np.stack([_table(one, rows, 2) for one in self.estimator], axis=2)
        return _table(self.estimator, rows, self.training.classes)

    def dumps(self) -> bytes:
        """Return the training set and its predicted probabilities in the safetensors format."""
        rows, labels = self.training.rows, self.training.labels
        arrays = {"rows": rows, "labels": labels, "probabilities": self.row_probabilities(rows)}
        # One entry, because safetensors does not keep the order of several.
        facts = json.dumps([self.training.seed, self.training.classes, sklearn.__version__])
        return safetensors.save(arrays, metadata={"lesson": facts})


@dataclass(frozen=True, eq=False)
class _TrainingSet:
    """Everything that a fit depends on, except for the estimator."""

    rows: Rows
    labels: npt.NDArray[np.int64]
    classes: int
    seed: int

    @property
    def multiple(self) -> bool:
        """Whether labels are ``(n, classes)``: 0, 1, and -1 for unknown."""
        return self.labels.ndim == 2

    @property
    def present(self) -> npt.NDArray[np.int64]:
        """Ids of the classes that have labels."""
        return np.unique(self.labels)

    def of_class(self, number: int) -> _TrainingSet:
        """Return what a classifier of one of several classes is fitted to: 0, absent, and 1, present."""
        known = self.labels[:, number] >= 0
        seed = Stream(self.seed).child("class", number).integer() % 2**32
        return _TrainingSet(self.rows[known], self.labels[known, number], 2, seed)


@dataclass(frozen=True)
class _OneClass:
    """A classifier that knows one class only, and predicts it with certainty; or one without any label, of chances."""

    classes_: npt.NDArray[np.int64]

    def predict_proba(self, rows: Rows) -> npt.NDArray[np.float64]:
        return np.full((len(rows), len(self.classes_)), 1 / len(self.classes_))


def _known_labels(labels: npt.NDArray[Any], spec: LabelSpec) -> npt.NDArray[np.int64]:
    """Return labels as numbers that a record keeps: unknown ones of several classes are -1."""
    found = labels.astype(np.int64)
    if spec.multiple and spec.ignore is not None:
        found[labels == spec.ignore] = -1
    return found


def _table(estimator: Any, rows: Rows, classes: int) -> npt.NDArray[np.float32]:
    """Return probabilities ``(n, classes)`` by a fitted classifier, which may not know all classes."""
    table = np.zeros((len(rows), classes), np.float32)
    try:
        table[:, estimator.classes_] = estimator.predict_proba(rows.astype(np.float64))
    except ValueError as reason:
        raise ConfigurationError(f"{type(estimator).__name__} cannot predict these rows ({reason})") from reason
    return table


def _read(dumped: bytes) -> tuple[_TrainingSet, npt.NDArray[np.float32], str]:
    """Return the training set, its predicted probabilities and the version of scikit-learn; check what is stored."""
    facts, arrays = read_facts(dumped, "lesson"), read_tensors(safetensors.load, dumped)
    match facts, arrays:
        case (
            [int(seed), int(classes), str(version)],
            {"rows": np.ndarray(ndim=2) as rows, "labels": np.ndarray(ndim=1 | 2) as labels, "probabilities": then},
        ) if len(rows) == len(labels) > 0 and 0 <= seed < 2**64 and labels.dtype == np.int64:
            least, most = (0, classes) if labels.ndim == 1 else (-1, 2)
            fits = (labels.ndim == 1 or labels.shape[1] == classes) and labels.size and rows.dtype.kind == "f"
            if fits and least <= labels.min() and labels.max() < most and classes <= MOST_CLASSES:
                return _TrainingSet(rows, labels, classes, seed), then, version
    raise unreadable(dumped, "another training set")


def _compute_rows(images: Images, rows: Callable[[Images], npt.NDArray[Any]]) -> Rows:
    """Return the rows of some images, ``(n, d)``, after a check of their shape."""
    check_images(images)
    table = np.asarray(rows(images))
    if table.ndim != 2 or len(table) != len(images):
        raise ConfigurationError(
            "rows= must return one row per image", got=f"shape {table.shape}", expected=f"({len(images)}, d)"
        )
    return np.ascontiguousarray(table, np.float32 if table.dtype == np.float32 else np.float64)


def _fit_clone(estimator: Any, training: _TrainingSet) -> Any:
    """Return a fitted clone of `estimator`. Its random numbers depend only on the seed of the training set.

    If an image can have several classes, return a tuple of clones, one for each class.
    """
    if training.multiple:
        return tuple(_fit_clone(estimator, training.of_class(number)) for number in range(training.classes))
    if not len(training.present):  # nothing is known of this one of several classes
        return _OneClass(np.arange(2))
    if len(training.present) == 1:
        return _OneClass(training.present)
    stream = Stream(training.seed)
    fitted = clone(estimator)
    fitted.set_params(**_random_states(fitted, stream))
    with _seed_numpy(stream.child("numpy")):
        try:
            fitted.fit(training.rows.astype(np.float64), training.labels)
        except ValueError as reason:
            counts = ", ".join(
                f"{count} of class {id}" for id, count in sorted(Counter(training.labels.tolist()).items())
            )
            raise ConfigurationError(
                f"{type(estimator).__name__} cannot be fitted to these labels ({reason})", got=counts
            ) from reason
    if not hasattr(fitted, "classes_"):
        raise ConfigurationError(
            "estimator must be a classifier, with an attribute classes_ after its fit",
            got=type(estimator).__name__,
        )
    return fitted


def _random_states(estimator: Any, stream: Stream) -> dict[str, int]:
    """Return a seed for each parameter ``random_state`` of the estimator and of those inside it, by name."""
    return {
        name: _seed(stream.child(name))
        for name in estimator.get_params(deep=True)
        if name.rpartition("__")[2] == "random_state"
    }


def _seed(stream: Stream) -> int:
    return stream.integer() % 2**32  # the range of seeds of numpy's global generator


@contextmanager
def _seed_numpy(stream: Stream) -> Iterator[None]:
    """Seed numpy's global generator inside a ``with`` block, and restore it after it.

    Some estimators draw from it, and so do shuffled folds, which are not parameters of an estimator. One thread at a
    time is in such a block.
    """
    with _numpy:
        before = np.random.get_state()  # noqa: NPY002
        np.random.seed(_seed(stream))  # noqa: NPY002
        try:
            yield
        finally:
            np.random.set_state(before)  # noqa: NPY002
