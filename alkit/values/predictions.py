"""Predictions of a batch of images."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from alkit.arguments.checked import checked
from alkit.arguments.returned import check_returned
from alkit.errors import ConfigurationError
from alkit.values.label_spec import Images, Label, LabelSpec
from alkit.values.shown import count, html_table, short, short_repr


@checked
@dataclass(frozen=True, slots=True)
class Predictions:
    """Class probabilities of some images.

    Parameters
    ----------
    ids:
        Ids of n images.
    probabilities:
        Probabilities in [0, 1], float32: ``(n, classes, h, w)`` per pixel, or ``(n, classes)`` per image. If an image
        can have several classes, ``(n, 2, classes)``: that it does not have each class, and that it has it.

    Raises
    ------
    ConfigurationError
        An id occurs twice, or the probabilities have another shape.

    Examples
    --------
    >>> Predictions(("a", "b"), np.array([[0.9, 0.1], [0.4, 0.6]], np.float32)).labels
    array([0, 1])
    >>> several = Predictions(("a",), np.array([[[0.1, 0.8, 0.3], [0.9, 0.2, 0.7]]], np.float32))
    >>> several.labels, several.present
    (array([[1, 0, 1]], dtype=uint8), array([[0.9, 0.2, 0.7]], dtype=float32))
    """

    ids: tuple[str, ...]
    probabilities: npt.NDArray[np.float32]

    def __post_init__(self) -> None:
        if len(set(self.ids)) != len(self.ids):
            twice = next(id for id, count in Counter(self.ids).items() if count > 1)
            raise ConfigurationError("ids must be different", got=f"{twice!r} twice")
        n, shape = len(self.ids), self.probabilities.shape
        if len(shape) not in (2, 3, 4) or shape[0] != n or (len(shape) == 3 and shape[1] != 2):
            raise ConfigurationError(
                f"probabilities must be ({n}, classes, h, w), ({n}, classes) or ({n}, 2, classes)",
                got=f"shape {shape}",
            )

    @property
    def labels(self) -> Label:
        """Most probable classes: masks ``(n, h, w)``, uint8, or class ids ``(n,)``, int64. Ties go to the lower id.

        If an image can have several, 1 for each class with a probability above 0.5, ``(n, classes)``, uint8.
        """
        return most_probable_labels(self.probabilities)

    @property
    def present(self) -> npt.NDArray[np.float32]:
        """Probability that each image has each class, ``(n, classes)``. Those of an image need not add up to 1.

        Raises
        ------
        ConfigurationError
            These are predictions of masks, or of one class per image.
        """
        if self.probabilities.ndim != 3:
            raise ConfigurationError(
                "present needs predictions of several classes per image",
                got=f"probabilities of shape {self.probabilities.shape}",
                hint="probabilities",
            )
        return self.probabilities[:, 1]

    __repr__ = short_repr

    def _repr_html_(self) -> str:
        title, total = f"Predictions of {count(len(self.ids), 'image')}: {short(self.probabilities)}", len(self.ids)
        if self.probabilities.ndim > 3:
            return html_table(title, ("id",), ((id,) for id in self.ids), total=total)
        columns = self.probabilities if self.probabilities.ndim == 2 else self.present
        names = [f"class {number}" for number in range(min(8, columns.shape[1]))]
        rows = ((id, *map(float, row[: len(names)])) for id, row in zip(self.ids, columns, strict=True))
        return html_table(title, ("id", *names), rows, total=total)


def probabilities_of(
    predictor: Any, images: Images, classes: LabelSpec | int | None = None, *, finite: bool = True
) -> npt.NDArray[np.float32]:
    """Return a model's probabilities, after a check of their form.

    Parameters
    ----------
    predictor:
        See :class:`alkit.protocols.Predictor`.
    images:
        ``(n, c, h, w)``.
    classes:
        The classes, or the number of those of masks, if they are known.
    finite:
        Whether to check that there is no NaN or infinity. Such a model would predict class 0 everywhere.

    Raises
    ------
    ConfigurationError
        The model returned something else than an array ``(n, classes, h, w)``, ``(n, classes)`` or
        ``(n, 2, classes)`` of finite numbers.
    """
    given: npt.NDArray[np.float32] = predictor.probabilities(images)
    check_returned(predictor, "probabilities", given, npt.NDArray[Any])
    if given.ndim < 2 or len(given) != len(images) or not _fits(given.shape, classes):
        n, several = len(images), isinstance(classes, LabelSpec) and classes.multiple
        some = "classes" if classes is None else classes if isinstance(classes, int) else len(classes.classes)
        forms = f"({n}, 2, {some})" if several else f"({n}, {some}, h, w) or ({n}, {some})"
        raise ConfigurationError(
            f"{type(predictor).__name__}.probabilities must return an array {forms}"
            f"{', that each class is absent and present' if several else ''}",
            got=f"shape {given.shape}",
        )
    if finite and not np.isfinite(given).all():
        damaged = ~np.isfinite(given.reshape(len(images), -1)).all(axis=1)
        raise ConfigurationError(
            f"{type(predictor).__name__}.probabilities must return finite numbers",
            got=f"NaN or infinity for {np.count_nonzero(damaged)} of {len(images)} images",
            hint="a model whose training did not diverge, for example with a smaller lr=",
        )
    return given


def _fits(shape: tuple[int, ...], classes: LabelSpec | int | None) -> bool:
    """Whether an array of probabilities has the form that these classes need."""
    if isinstance(classes, LabelSpec) and classes.multiple:
        return shape[1:] == (2, len(classes.classes))
    if classes is None:
        return len(shape) in (2, 4) or (len(shape) == 3 and shape[1] == 2)
    number = classes if isinstance(classes, int) else len(classes.classes)
    return len(shape) in (2, 4) and shape[1] == number


def most_probable_labels(probabilities: npt.NDArray[np.float32]) -> Label:
    """Return the most probable classes, see :attr:`Predictions.labels`."""
    labels: Label = probabilities.argmax(axis=1).astype(np.uint8 if probabilities.ndim > 2 else np.int64)
    return labels


def mean_probabilities(probabilities: Iterable[npt.NDArray[np.float32]]) -> npt.NDArray[np.float32]:
    """Return the mean of several models' probabilities for the same images; they are added one by one."""
    total: npt.NDArray[np.float32] = np.zeros((), np.float32)
    count = 0
    for one in probabilities:
        if count and np.shape(one) != total.shape:
            raise ConfigurationError(
                "all models must give probabilities of the same shape", got=f"{total.shape} and {np.shape(one)}"
            )
        total, count = total + one, count + 1
    return total / np.float32(count)
