"""The values that pass from stage to stage: small, frozen, and without behaviour beyond their own checks."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt

from alkit.errors import ConfigurationError, LabelError, SelectionError

Size = tuple[int, int]
"""Height and width, in pixels."""

Images = npt.NDArray[np.float32]
"""A batch of images, ``(n, c, h, w)``, float32 in [0, 1]."""

Mask = npt.NDArray[np.uint8]
"""A label map, ``(h, w)``, uint8: at each pixel a class id, or the ignore value."""


@dataclass(frozen=True, slots=True)
class LabelSpec:
    """What a valid mask looks like: the names of its classes, whose ids are their positions, and an ignore value.

    Parameters
    ----------
    classes:
        Two to 255 different names. Class 0 is the background: metrics leave it out.
    ignore:
        A pixel value outside the class ids that is neither trained on nor measured; None for none.

    Examples
    --------
    >>> spec = LabelSpec(("skin", "lesion"), ignore=255)
    >>> spec.check(np.array([[0, 1], [255, 1]]), id="a", sizes=[(2, 2)]).dtype
    dtype('uint8')
    >>> spec.check(np.array([[0, 7]]), id="a", sizes=[(1, 2)])
    Traceback (most recent call last):
    alkit.errors.LabelError: the mask of 'a' holds values outside its classes: got [7], expected 0 skin, 1 ...
    """

    classes: tuple[str, ...]
    ignore: int | None = None

    def __post_init__(self) -> None:
        if isinstance(self.classes, str):
            raise ConfigurationError("classes is one string", got=repr(self.classes), expected="a sequence of names")
        object.__setattr__(self, "classes", tuple(self.classes))
        if not 2 <= len(self.classes) <= 255 or len(set(self.classes)) != len(self.classes):
            raise ConfigurationError(
                "these classes cannot be told apart", got=self.classes, expected="2 to 255 different names"
            )
        if self.ignore is not None and not len(self.classes) <= self.ignore <= 255:
            raise ConfigurationError(
                "the ignore value must differ from every class id",
                got=self.ignore,
                expected=f"{len(self.classes)} to 255",
            )

    def check(self, mask: npt.ArrayLike, *, id: str, sizes: Iterable[Size]) -> Mask:
        """Return `mask` as uint8 after checking it; nothing is cast, cut or resized to make it pass.

        Parameters
        ----------
        mask:
            ``(h, w)``, of integer or boolean type.
        id:
            The image's id, for the message.
        sizes:
            The heights and widths allowed: the image's original size and the working size.

        Raises
        ------
        LabelError
            Another number of axes, another size, another type, or values that are no class id.
        """
        sizes = list(dict.fromkeys(sizes))
        try:
            array = np.asarray(mask)
        except ValueError as reason:
            raise LabelError(f"the mask of {id!r} is no array", got=reason) from reason
        if array.ndim != 2:
            raise LabelError(
                f"the mask of {id!r} is not a label map",
                got=f"shape {array.shape}",
                expected="one integer per pixel, (h, w)",
                hint="a colour picture of classes must be turned into class ids first",
            )
        if array.dtype != bool and not np.issubdtype(array.dtype, np.integer):
            raise LabelError(
                f"the mask of {id!r} is of the wrong type",
                got=array.dtype,
                expected="integers or booleans",
                hint="take the arg-max or a threshold of probabilities first",
            )
        if array.shape not in sizes:
            raise LabelError(
                f"the mask of {id!r} has another size than its image",
                got=array.shape,
                expected=" or ".join(map(str, sizes)),
            )
        allowed = [*range(len(self.classes)), *([] if self.ignore is None else [self.ignore])]
        values = np.unique(array)
        strangers = values[~np.isin(values, allowed)]
        if strangers.size:
            raise LabelError(
                f"the mask of {id!r} holds values outside its classes",
                got=strangers[:8].tolist(),
                expected=str(self),
                hint="check that this is the folder of masks, and that they hold class ids",
            )
        checked = array.astype(np.uint8, order="C")
        checked.flags.writeable = False
        return checked

    def __str__(self) -> str:
        names = [f"{number} {name}" for number, name in enumerate(self.classes)]
        return ", ".join(names + ([] if self.ignore is None else [f"{self.ignore} ignored"]))


@dataclass(frozen=True, slots=True)
class Skip:
    """An answer that is no label: this image will not be labelled. It counts as asked and is not asked again."""

    reason: str = ""


@dataclass(frozen=True, slots=True)
class Invalid:
    """An answer that could not be read, and why. It is reported; the query stays open."""

    reason: str


SKIP = Skip()
"""The skip without a reason."""


@dataclass(frozen=True, slots=True)
class Query:
    """One image that is to be labelled.

    Parameters
    ----------
    id:
        The image's id.
    round:
        The round that asks; the start set is round 0.
    rank:
        0 is the most wanted of its round.
    sizes:
        The heights and widths a mask may have: the original size and the working size.
    score:
        The strategy's acquisition score, higher is more wanted; None where it has none.
    stands_for:
        What this image represents, in words; empty where the strategy does not say.
    """

    id: str
    round: int
    rank: int
    sizes: tuple[Size, ...]
    score: float | None = None
    stands_for: str = ""


@dataclass(frozen=True, slots=True, eq=False)
class Answer:
    """What an oracle says to one query: a mask ``(h, w)``, a :class:`Skip`, or :class:`Invalid` with the reason."""

    id: str
    label: npt.NDArray[Any] | Skip | Invalid


@dataclass(frozen=True, slots=True)
class Selection:
    """What a strategy chose, the most wanted first.

    Parameters
    ----------
    ids:
        Different ids of candidates, in rank order.
    scores:
        One finite number for each, higher is more wanted; None where the strategy does not score.
    stands_for:
        For each, what it represents, in words; None where the strategy does not say.

    Raises
    ------
    SelectionError
        Repeated ids, other lengths, or a score that is not finite.

    Examples
    --------
    >>> Selection(["b", "a"], scores=[0.9, 0.1]).ids
    ('b', 'a')
    """

    ids: tuple[str, ...]
    scores: tuple[float, ...] | None = None
    stands_for: tuple[str, ...] | None = None

    def __post_init__(self) -> None:
        object.__setattr__(self, "ids", tuple(str(id) for id in self.ids))
        if len(set(self.ids)) != len(self.ids):
            twice = next(id for id in self.ids if self.ids.count(id) > 1)
            raise SelectionError("an image was selected twice", got=repr(twice), expected="different ids")
        for name, kind in (("scores", float), ("stands_for", str)):
            values = getattr(self, name)
            if values is None:
                continue
            object.__setattr__(self, name, tuple(kind(value) for value in values))
            if len(values) != len(self.ids):
                raise SelectionError(
                    f"{name} and ids are of different lengths", got=len(values), expected=len(self.ids)
                )
        if self.scores is not None:
            for id, score in zip(self.ids, self.scores, strict=True):
                if not np.isfinite(score):
                    raise SelectionError(f"the score of {id!r} is not finite", got=score)


@dataclass(frozen=True, slots=True)
class Predictions:
    """Class probabilities of some images: ``(n, classes, h, w)``, float32, each pixel summing to 1."""

    ids: tuple[str, ...]
    probabilities: npt.NDArray[np.float32]

    @property
    def masks(self) -> npt.NDArray[np.uint8]:
        """The most probable class at each pixel, ``(n, h, w)``, uint8; ties go to the lower id."""
        masks: npt.NDArray[np.uint8] = self.probabilities.argmax(axis=1).astype(np.uint8)
        return masks


@dataclass(frozen=True, slots=True)
class RoundResult:
    """What one committed round came to.

    Parameters
    ----------
    round:
        0 for the start set.
    ids:
        The images this round asked for, in rank order.
    n_labels:
        Labels the model of this round was trained on, all rounds together.
    metrics:
        Such as ``{"dice": 0.71, "iou": 0.62}``, each in [0, 1]; empty before the round is evaluated.
    seconds:
        Wall time by stage: ``select``, ``fit``, ``evaluate``.
    """

    round: int
    ids: tuple[str, ...]
    n_labels: int
    metrics: Mapping[str, float] = field(default_factory=dict)
    seconds: Mapping[str, float] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Progress:
    """One step of something long: ``done`` of ``total`` units of ``stage`` are over.

    Stages are ``download``, ``read`` (images), ``pretext``, ``features``, ``ask``, ``tell``, ``fit``, ``evaluate``
    and ``round``.
    """

    stage: str
    done: int
    total: int
    detail: Mapping[str, float] = field(default_factory=dict)


Report = Callable[[Progress], None]
"""The one callback through which all progress is told."""


def quiet(progress: Progress) -> None:
    """Report to nobody."""
