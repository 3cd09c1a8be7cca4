"""The values that pass from stage to stage: small, frozen, and without behaviour beyond their own checks."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

from alkit.errors import ConfigurationError, LabelError, SelectionError

Size = tuple[int, int]
"""Height and width, in pixels."""

Images = npt.NDArray[np.float32]
"""A batch of images, ``(n, c, h, w)``, float32 in [0, 1]."""

Mask = npt.NDArray[np.uint8]
"""A label map, ``(h, w)``, uint8: at each pixel a class id, or the ignore value."""

Label = npt.NDArray[Any]
"""A mask, or, where each image has one class, its id: an array without axes, int64."""


@dataclass(frozen=True, slots=True)
class LabelSpec:
    """What a valid label looks like: the names of its classes, whose ids are their positions, and an ignore value.

    Parameters
    ----------
    classes:
        Two or more different names; for masks at most 255, of which class 0 is the background: metrics leave it out.
    ignore:
        A pixel value outside the class ids that is neither trained on nor measured; None for none. For masks only.
    per:
        Whether each ``pixel`` has a class (masks, segmentation) or each ``image`` has one (classification).

    Examples
    --------
    >>> spec = LabelSpec(("skin", "lesion"), ignore=255)
    >>> spec.check(np.array([[0, 1], [255, 1]]), id="a", sizes=[(2, 2)]).dtype
    dtype('uint8')
    >>> spec.check(np.array([[0, 7]]), id="a", sizes=[(1, 2)])
    Traceback (most recent call last):
    alkit.errors.LabelError: the mask of 'a' holds values outside its classes: got [7], expected 0 skin, 1 ...
    >>> int(LabelSpec(("cat", "dog"), per="image").check(1, id="a", sizes=[]))
    1
    """

    classes: tuple[str, ...]
    ignore: int | None = None
    per: Literal["pixel", "image"] = "pixel"

    def __post_init__(self) -> None:
        if isinstance(self.classes, str):
            raise ConfigurationError("classes is one string", got=repr(self.classes), expected="a sequence of names")
        if self.per not in ("pixel", "image"):
            raise ConfigurationError("what has a class?", got=f"per={self.per!r}", expected="'pixel' or 'image'")
        object.__setattr__(self, "classes", tuple(self.classes))
        most = 255 if self.per == "pixel" else len(self.classes)
        if not 2 <= len(self.classes) <= most or len(set(self.classes)) != len(self.classes):
            raise ConfigurationError(
                "these classes cannot be told apart",
                got=self.classes,
                expected="2 to 255 different names" if self.per == "pixel" else "2 or more different names",
                hint="the background is a class, too, and the first" if self.per == "pixel" else None,
            )
        if self.ignore is not None and self.per == "image":
            raise ConfigurationError("one class per image leaves nothing to ignore", got=f"ignore={self.ignore}")
        if self.ignore is not None and not len(self.classes) <= self.ignore <= 255:
            raise ConfigurationError(
                "the ignore value must differ from every class id",
                got=self.ignore,
                expected=f"{len(self.classes)} to 255",
            )

    def check(self, label: npt.ArrayLike, *, id: str, sizes: Iterable[Size]) -> Label:
        """Return `label` as uint8 mask, or int64 class id, after checking it; nothing is changed to make it pass.

        Parameters
        ----------
        label:
            A mask ``(h, w)`` of integer or boolean type; or, with one class per image, its id.
        id:
            The image's id, for the message.
        sizes:
            The heights and widths a mask may have: the image's original size and the working size.

        Raises
        ------
        LabelError
            Another number of axes, another size, another type, or values that are no class id.
        """
        return self._class_id(label, id) if self.per == "image" else self._mask(label, id, sizes)

    def _class_id(self, label: npt.ArrayLike, id: str) -> Label:
        array = np.asarray(label)
        if array.ndim or not np.issubdtype(array.dtype, np.integer) or not 0 <= int(array) < len(self.classes):
            raise LabelError(
                f"the label of {id!r} is no class id",
                got=repr(label) if array.ndim == 0 else f"shape {array.shape}",
                expected=f"one integer: {self}",
            )
        checked = array.astype(np.int64)
        checked.flags.writeable = False
        return checked

    def _mask(self, mask: npt.ArrayLike, id: str, sizes: Iterable[Size]) -> Mask:
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
class Withdrawal:
    """An answer taken back by the annotator who gave it: it counts no longer, and the query is open again."""

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
        Why this image, in words: what it represents, or where the strategy does not say, which strategy chose it.
    wanted:
        How many annotators are to label it.

    Examples
    --------
    >>> Query("ward 3/0017", round=2, rank=4, sizes=((64, 64),)).key
    'r02-0004-ward_3_0017'
    """

    id: str
    round: int
    rank: int
    sizes: tuple[Size, ...]
    score: float | None = None
    stands_for: str = ""
    wanted: int = 1

    @property
    def key(self) -> str:
        """A name that no other query of the record has, fit for a file: round, rank, and what is left of the id."""
        return f"r{self.round:02}-{self.rank:04}-{re.sub(r'[^A-Za-z0-9.-]+', '_', self.id)[:80]}"


@dataclass(frozen=True, slots=True, eq=False)
class Answer:
    """What an annotator says to one query.

    Parameters
    ----------
    id:
        The image's id.
    label:
        A mask ``(h, w)`` or class id; a :class:`Skip`; a :class:`Withdrawal` of what was answered before; or
        :class:`Invalid`, with the reason.
    annotator:
        Who; empty where there is only one, or where it is not known.
    revision:
        Orders the answers of one annotator to one image, whenever they arrive: the greatest counts. None: later than
        all that have arrived.
    seconds:
        How long it took, where that is known.
    confirmed:
        Whether somebody said that this is the label. Only then a label is taken that equals the pre-label its query
        came with.
    """

    id: str
    label: npt.ArrayLike | Skip | Withdrawal | Invalid
    annotator: str = ""
    revision: int | None = None
    seconds: float | None = None
    confirmed: bool = False


class State(StrEnum):
    """What has become of a query. It is read off the record and stored nowhere."""

    PENDING = "pending"
    """Chosen; no oracle was handed it yet."""
    ASKED = "asked"
    """Handed to an oracle; nobody has answered, or what was answered was invalid or taken back."""
    PARTIAL = "partial"
    """Some of the annotators wanted have answered."""
    ANSWERED = "answered"
    """All have; no model was trained on it yet."""
    CONSUMED = "consumed"
    """The last model was trained on it, or measured by it, as it is."""
    STALE = "stale"
    """A model was trained on an answer that was revised since."""
    SKIPPED = "skipped"
    """All have, and nobody gave a label."""
    REJECTED = "rejected"
    """Sent back to an annotator with a reason, and not answered anew."""
    CANCELLED = "cancelled"
    """Withdrawn without a label."""


@dataclass(frozen=True, slots=True)
class Receipt:
    """What became of some answers.

    Parameters
    ----------
    taken:
        New and recorded, in the order they came.
    unchanged:
        What the annotator's answer that counts says already.
    outdated:
        Others, older than the annotator's answer that counts: recorded, and of no effect.
    refused:
        Not taken, each with the reason.
    """

    taken: tuple[Answer, ...] = ()
    unchanged: tuple[Answer, ...] = ()
    outdated: tuple[Answer, ...] = ()
    refused: tuple[tuple[Answer, str], ...] = ()


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
    pseudo_labels:
        Ids of further candidates whose label, in this round's training alone, shall be the model's own prediction.
        They stay candidates.

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
    pseudo_labels: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        for name in ("ids", "pseudo_labels"):
            object.__setattr__(self, name, tuple(str(id) for id in getattr(self, name)))
        everything = self.ids + self.pseudo_labels
        if len(set(everything)) != len(everything):
            twice = next(id for id, count in Counter(everything).items() if count > 1)
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
    """Class probabilities of some images, float32: ``(n, classes, h, w)``, or ``(n, classes)`` of one class each."""

    ids: tuple[str, ...]
    probabilities: npt.NDArray[np.float32]

    @property
    def labels(self) -> Label:
        """The most probable classes: masks ``(n, h, w)``, uint8, or ids ``(n,)``, int64; ties go to the lower id."""
        return most_probable(self.probabilities)


def most_probable(probabilities: npt.NDArray[np.float32]) -> Label:
    """Return the labels that class probabilities come to: see :attr:`Predictions.labels`."""
    labels: Label = probabilities.argmax(axis=1).astype(np.uint8 if probabilities.ndim > 2 else np.int64)
    return labels


def averaged(probabilities: Iterable[npt.NDArray[np.float32]]) -> npt.NDArray[np.float32]:
    """Return the mean of several models' probabilities of the same images; they are added up as they come."""
    total: npt.NDArray[np.float32] = np.zeros((), np.float32)
    count = 0
    for one in probabilities:
        total, count = total + one, count + 1
    return total / np.float32(count)


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
    n_pseudo:
        Pseudo-labels it was trained on besides, which are no labels and not counted as such.
    n_held_out:
        Labels held out from the training. Where there are any and no test set, the metrics are those of these images:
        chosen by the strategy as all others, and so no random sample of the pool.
    agreement:
        Cohen's kappa between this round's predictions and those of the round before on images of the pool, at most 1;
        None where it was not asked for, and in round 0.
    """

    round: int
    ids: tuple[str, ...]
    n_labels: int
    metrics: Mapping[str, float] = field(default_factory=dict)
    seconds: Mapping[str, float] = field(default_factory=dict)
    n_pseudo: int = 0
    n_held_out: int = 0
    agreement: float | None = None


def measured_on(history: Sequence[RoundResult], *, tested: bool) -> Literal["hold-out", "test set"] | None:
    """Return what the metrics of some rounds were measured on; None where there are none.

    Parameters
    ----------
    tested:
        Whether a test set was declared.

    Examples
    --------
    >>> measured_on([RoundResult(0, (), 9, {"dice": 0.7}, n_held_out=3)], tested=False)
    'hold-out'
    """
    if not any(result.metrics for result in history):
        return None
    held = any(result.n_held_out and result.metrics for result in history)
    return "hold-out" if held and not tested else "test set"


@dataclass(frozen=True, slots=True)
class Progress:
    """One step of something long: ``done`` of ``total`` units of ``stage`` are over.

    Stages are ``download``, ``read`` (images), ``pretext``, ``features``, ``scores``, ``predict``, ``ask``, ``tell``,
    ``fit``, ``evaluate`` and ``round``.
    """

    stage: str
    done: int
    total: int
    detail: Mapping[str, float] = field(default_factory=dict)


Report = Callable[[Progress], None]
"""The one callback through which all progress is told."""


def quiet(progress: Progress) -> None:
    """Report to nobody."""
