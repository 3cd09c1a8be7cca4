"""One class per image, with any classifier of scikit-learn's kind.

Why a model is kept as its training rows and fitted again, instead of being written out: a record is data that may come
from anybody. Pickles run code when they are read. The safer formats still build whatever objects the bytes describe,
down to the arrays that compiled trees index without a check. Rows, labels and a seed are numbers and nothing else, and
they serve every estimator there is, of whichever package.
"""

from __future__ import annotations

import json
import logging
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt
import sklearn
from safetensors import numpy as safetensors
from sklearn.base import clone

from alkit.errors import ConfigurationError
from alkit.protocols import Labelled, Predictor
from alkit.rng import Stream
from alkit.values.label_spec import Images
from alkit.values.progress import Progress, Report, quiet

Rows = npt.NDArray[np.floating[Any]]
"""What an estimator sees of some images: one row each, ``(n, d)``, float32 or float64."""

TOLERANCE = 1e-3
"""How far a probability may be off when a model is fitted again: more than another machine's last bits come to."""

_AT_ONCE = 256
"""Images in memory at once while their rows are made."""

_log = logging.getLogger(__name__)


def flattened(images: Images) -> Rows:
    """Return images ``(n, c, h, w)`` as rows ``(n, c * h * w)``."""
    return images.reshape(len(images), -1)


@dataclass(frozen=True)
class EstimatorLearner:
    """Trains a classifier of scikit-learn, or of any package with the same methods.

    Parameters
    ----------
    estimator:
        A classifier with ``predict_proba``; pipelines and searches are classifiers too. It is cloned and never changed.
        Its ``random_state`` and those of the estimators inside it are set anew for each fit, whatever they are here.
    rows:
        From images ``(n, c, h, w)``, float32 in [0, 1], to rows ``(n, d)``, each image for itself. Default: the pixels.
        The estimator gets them as float64, in which scikit-learn's solvers converge best.

    Raises
    ------
    ConfigurationError
        It has no ``predict_proba``, or is a class.

    Notes
    -----
    Each round fits a fresh clone to all labels so far, in their order; ``previous`` is not used. The same labels and
    chance give the same model, if the estimator draws from its ``random_state`` or from numpy's global generator, which
    is seeded for the fit and then put back as found.

    Classes that have no label yet get probability 0. While only one class has labels, as a small start set may happen
    to have it, the model says that class with certainty, whatever the estimator, and a warning is logged: some
    estimators do so by themselves and others refuse, and a run over seeds should not end on the seed that was unlucky.
    Uncertainty is then 0 everywhere, so that a strategy made of scores goes by id: a larger start set is better.

    In an :class:`alkit.Ensemble` only chance tells members apart. A random forest has its own; an estimator without,
    such as logistic regression, makes members that are all the same, unless each is given a sample of its own, as
    ``BaggingClassifier(LogisticRegression(), n_estimators=1)`` does.

    A model is kept as its training rows and seed, and loading fits it again: that takes as long as fitting, and as much
    space as the labelled images. Under the same versions and number of threads it comes back number for number; one
    that does not come back is an error.

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
            raise ConfigurationError("an estimator, not its class", got=name, hint=f"make one: {name}()")
        if not all(hasattr(self.estimator, verb) for verb in ("fit", "get_params", "set_params", "predict_proba")):
            raise ConfigurationError(
                "the estimator gives no probabilities, which strategies need",
                got=repr(self.estimator),
                expected="a classifier with predict_proba",
                hint="sklearn.calibration.CalibratedClassifierCV(estimator)",
            )

    def fit(
        self,
        labelled: Labelled,
        rng: np.random.Generator,
        previous: Predictor | None = None,
        report: Report = quiet,
    ) -> EstimatorPredictor:
        """Fit a fresh clone to all labels so far.

        Raises
        ------
        ConfigurationError
            The labels are masks, `rows` gives no rows, or the estimator refuses them.
        """
        if labelled.spec.per != "image":
            raise ConfigurationError(
                "an estimator learner needs one class per image", got="masks", hint="SegmentationLearner for masks"
            )
        ids = list(labelled.ids)
        parts = [ids[begin : begin + _AT_ONCE] for begin in range(0, len(ids), _AT_ONCE)]
        lesson = _Lesson(
            np.concatenate([_rows_of(labelled.images(some), self.rows) for some in parts]),
            np.concatenate([labelled.labels(some) for some in parts]),
            len(labelled.spec.classes),
            Stream.from_rng(rng).seed,
        )
        if len(present := lesson.present) == 1:
            _log.warning(
                "all %d labels are of class %r: the model says so of every image",
                len(ids),
                labelled.spec.classes[present[0]],
            )
        predictor = EstimatorPredictor(_taught(self.estimator, lesson), self.rows, lesson)
        report(Progress("fit", 1, 1))
        return predictor

    def loads(self, dumped: bytes) -> EstimatorPredictor:
        """Return the predictor whose ``dumps`` gave these bytes, by fitting it again.

        Raises
        ------
        ConfigurationError
            What is fitted now predicts something else: the estimator, its parameters or its version are others, or it
            draws chance from where it cannot be seeded.
        """
        arrays = safetensors.load(dumped)
        length = int.from_bytes(dumped[:8], "little")  # a safetensors file starts with the length of a JSON header
        seed, classes, version = json.loads(json.loads(dumped[8 : 8 + length])["__metadata__"]["lesson"])
        lesson = _Lesson(arrays["rows"], arrays["labels"], classes, seed)
        predictor = EstimatorPredictor(_taught(self.estimator, lesson), self.rows, lesson)
        now, then = predictor.of_rows(lesson.rows), arrays["probabilities"]
        if now.shape != then.shape or not np.allclose(now, then, rtol=0, atol=TOLERANCE):
            raise ConfigurationError(
                f"fitted again, {type(self.estimator).__name__} is another model",
                got=f"scikit-learn {sklearn.__version__}",
                expected=f"what it was fitted with: scikit-learn {version}, the same estimator and rows=",
                hint="those versions and parameters; chance from random_state alone",
            )
        return predictor


@dataclass(frozen=True, eq=False)
class EstimatorPredictor:
    """A fitted classifier, and what it was fitted to.

    Parameters
    ----------
    estimator:
        Fitted, with ``classes_`` and ``predict_proba``.
    rows:
        From images to rows.
    lesson:
        The rows, labels and seed of its training.
    """

    estimator: Any
    rows: Callable[[Images], npt.NDArray[Any]]
    lesson: _Lesson = field(repr=False)

    def probabilities(self, images: Images) -> npt.NDArray[np.float32]:
        """Return class probabilities, ``(n, classes)``, a column for each class in the order of ids.

        Raises
        ------
        ConfigurationError
            Images of another shape than those of the training.
        """
        return self.of_rows(_rows_of(images, self.rows))

    def images_at_once(self, images: Images) -> int:
        """Return how many images a strategy should ask about at once: a call costs more than a row."""
        return 1024

    def of_rows(self, rows: Rows) -> npt.NDArray[np.float32]:
        """Return class probabilities of rows."""
        if rows.shape[1] != (width := self.lesson.rows.shape[1]):
            raise ConfigurationError(
                "these images do not fit the model", got=f"{rows.shape[1]} numbers each", expected=f"{width}"
            )
        table = np.zeros((len(rows), self.lesson.classes), np.float32)
        table[:, self.estimator.classes_] = self.estimator.predict_proba(rows.astype(np.float64))
        return table

    def dumps(self) -> bytes:
        """Return what the model can be fitted from again, and what it says of it, in the safetensors format."""
        lesson = self.lesson
        arrays = {"rows": lesson.rows, "labels": lesson.labels, "probabilities": self.of_rows(lesson.rows)}
        # One entry: safetensors keeps no order among several.
        facts = json.dumps([lesson.seed, lesson.classes, sklearn.__version__])
        return safetensors.save(arrays, metadata={"lesson": facts})


@dataclass(frozen=True, eq=False)
class _Lesson:
    """All that a fit depends on besides the estimator."""

    rows: Rows
    labels: npt.NDArray[np.int64]
    classes: int
    seed: int

    @property
    def present(self) -> npt.NDArray[np.int64]:
        return np.unique(self.labels)


@dataclass(frozen=True)
class _Certain:
    """What is left of a classifier with one class."""

    classes_: npt.NDArray[np.int64]

    def predict_proba(self, rows: Rows) -> npt.NDArray[np.float64]:
        return np.ones((len(rows), 1))


def _rows_of(images: Images, rows: Callable[[Images], npt.NDArray[Any]]) -> Rows:
    made = np.asarray(rows(images))
    if made.ndim != 2 or len(made) != len(images):
        raise ConfigurationError(
            "rows= gives no rows", got=f"shape {made.shape}", expected=f"({len(images)}, d), one row per image"
        )
    return np.ascontiguousarray(made, np.float32 if made.dtype == np.float32 else np.float64)


def _taught(estimator: Any, lesson: _Lesson) -> Any:
    """Return a fresh clone of `estimator`, fitted; what it draws depends on the lesson's seed alone."""
    if len(lesson.present) == 1:
        return _Certain(lesson.present)
    stream = Stream(lesson.seed)
    fitted = clone(estimator)
    fitted.set_params(**_random_states(fitted, stream))
    with _seeded(stream.child("numpy")):
        try:
            fitted.fit(lesson.rows.astype(np.float64), lesson.labels)
        except ValueError as reason:
            counts = ", ".join(
                f"{count} of class {id}" for id, count in sorted(Counter(lesson.labels.tolist()).items())
            )
            raise ConfigurationError(
                f"{type(estimator).__name__} cannot be fitted to these labels ({reason})", got=counts
            ) from reason
    if not hasattr(fitted, "classes_"):
        raise ConfigurationError(
            f"{type(estimator).__name__} does not say which classes it knows", expected="a classifier, with classes_"
        )
    return fitted


def _random_states(estimator: Any, stream: Stream) -> dict[str, int]:
    """Return a seed for each parameter ``random_state``, those of estimators inside too; it depends on its name."""
    return {
        name: _seed(stream.child(name))
        for name in estimator.get_params(deep=True)
        if name.rpartition("__")[2] == "random_state"
    }


def _seed(stream: Stream) -> int:
    return stream.integer() % 2**32  # the largest that numpy's old generator takes


@contextmanager
def _seeded(stream: Stream) -> Iterator[None]:
    """Seed numpy's global generator inside the block; afterwards it is as found.

    For estimators that draw from nowhere else, and for folds that are shuffled: those have no parameters to be set.
    """
    found = np.random.get_state()  # noqa: NPY002
    np.random.seed(_seed(stream))  # noqa: NPY002
    try:
        yield
    finally:
        np.random.set_state(found)  # noqa: NPY002
