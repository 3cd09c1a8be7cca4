"""Whether a model is fit to choose images by: what its training reports, and what it predicts for its own labels.

Every learner can be judged: only predictions are looked at, and the loss if the learner reports it. The thresholds have
their evidence in ``docs/explanation/fitness.md``.
"""

from __future__ import annotations

import random
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt

from alkit.arguments.checked import checked
from alkit.errors import LabelError, one_line
from alkit.evaluation.measure import Seen, what_alone
from alkit.pools.batches import map_batches
from alkit.pools.frames import parts_of
from alkit.protocols import HasMembers, Labelled, Pool, Predictor
from alkit.rng import keep_random, keep_torch
from alkit.values.label_spec import LabelSpec
from alkit.values.predictions import most_probable_labels, probabilities_of
from alkit.values.progress import Progress, Report

SUBJECT = "The model "
"""Beginning of each warning about a model, by which strategies and pages find them."""

MASKS, CLASSES = 24, 96
"""Most labels that a model is tried on: of masks, and of images with one class each."""

LEAST_DICE, LEAST_KAPPA = 0.5, 0.4
"""Least Dice on masks, and Cohen's kappa on classes, of a model that has learnt its labels."""

LEARNT_DICE, LEARNT_KAPPA = 0.97, 0.99
"""Dice and kappa from which a model knows its labels by heart."""

STEEP, RELATIVE = 0.12, 0.02
"""A loss still falls if the last quarter of the training has this share of its fall, and this share of the loss."""

SURE = 1.5
"""Standard errors of the trend that a fall must exceed."""

FLAT = 0.01
"""A loss is flat if the last three quarters of the training have less than this share of its fall."""

FEWEST = 6
"""Fewest losses from which a trend is read."""


@checked
@dataclass
class Losses:
    """The losses that a training reports, passed on to another report.

    Parameters
    ----------
    report:
        Called with each report of the training.
    values:
        Losses in their order.

    Examples
    --------
    >>> from alkit.values.progress import quiet
    >>> losses = Losses(quiet)
    >>> for step in range(1, 9):
    ...     losses(Progress("fit", step, 8, {"loss": 2 - step / 8}))
    >>> losses.is_falling()
    True
    """

    report: Report
    values: list[float] = field(default_factory=list)

    @checked
    def __call__(self, progress: Progress) -> None:
        """Take a report of the training."""
        if progress.stage == "fit" and isinstance(progress.detail.get("loss"), float | int):
            self.values.append(float(progress.detail["loss"]))
        self.report(progress)

    @checked
    def first(self, members: int) -> Losses:
        """Return the losses of the first of several members, which were trained one after the other."""
        return Losses(self.report, self.values[: len(self.values) // max(members, 1)])

    def is_falling(self) -> bool:
        """Return whether the loss was still falling steeply when the training ended."""
        if (trend := self.trend()) is None:
            return False
        whole, last, error, end = trend
        return last > SURE * error and last > STEEP * whole and last > RELATIVE * abs(end)

    def is_flat(self) -> bool:
        """Return whether the loss has hardly fallen since the first quarter of the training."""
        if (trend := self.trend()) is None:
            return False
        quarter = len(self.values) // 4
        whole, middle = trend[0], float(np.mean(self.values[quarter : 2 * quarter]))
        falls = whole > RELATIVE * abs(trend[3])
        return falls and middle - float(np.mean(self.values[-quarter:])) < FLAT * whole

    def trend(self) -> tuple[float, float, float, float] | None:
        """Return the whole fall, that of the last quarter with its standard error, and the loss at the end.

        The last quarter is read from a line through the second half, because losses of batches scatter.
        """
        n = len(self.values)
        if n < FEWEST or not np.isfinite(self.values).all():
            return None
        half = np.array(self.values[n // 2 :])
        steps = np.arange(len(half)) - (len(half) - 1) / 2
        slope = float(steps @ half / (steps @ steps))
        rest = half - half.mean() - slope * steps
        error = float(np.sqrt(rest @ rest / max(len(half) - 2, 1) / (steps @ steps)))
        end = float(half.mean() + slope * steps[-1])
        first = float(np.mean(self.values[: max(1, n // 10)]))
        return first - end, -slope * n / 4, error * n / 4, end


def warnings_about(
    predictor: Predictor, labelled: Labelled, pool: Pool, losses: Losses, learner: Any, known: Sequence[str] = ()
) -> tuple[str, ...]:
    """Return in sentences why a model is not fit to choose images by. No generator of random numbers is changed.

    Parameters
    ----------
    predictor:
        The model.
    labelled:
        What it was trained on. A few of the labels are looked at, the same ones each time.
    pool:
        The images.
    losses:
        The losses of its training; empty if the learner reports none.
    learner:
        The learner, for the fix.
    known:
        Warnings about the same model on other images.
    """
    pseudo = set(labelled.pseudo_ids)
    ids = sorted(id for id in labelled.ids if id not in pseudo)
    most = MASKS if labelled.spec.per == "pixel" else CLASSES
    ids = [ids[row] for row in np.linspace(0, len(ids) - 1, min(len(ids), most)).round().astype(int)]
    single = losses.first(len(predictor.members)) if isinstance(predictor, HasMembers) else losses
    try:
        with _kept_generators():
            score, seen = _on_labels(predictor, labelled, pool, ids)
    except Exception as reason:  # the training is not lost: whatever needs predictions raises the error
        return (f"{SUBJECT}fails on images that it was trained on ({type(reason).__name__}: {one_line(str(reason))}).",)
    return tuple(_sentences(score, seen, labelled.spec, single, learner, len(labelled.ids), known))


def _sentences(
    score: float | None,
    seen: Seen,
    spec: LabelSpec,
    losses: Losses,
    learner: Any,
    labels: int,
    known: Sequence[str],
) -> Iterator[str]:
    masks = spec.per == "pixel"
    name, least, learnt = ("Dice", LEAST_DICE, LEARNT_DICE) if masks else ("Cohen's kappa", LEAST_KAPPA, LEARNT_KAPPA)
    longer, shorter = lengths(learner, 2), lengths(learner, 0.5)
    images = f"{seen.images} image{'' if seen.images == 1 else 's'}"
    alone = seen.alone()
    if alone is not None and not any("predicts" in warning for warning in known):
        yield (
            f"{SUBJECT}predicts {what_alone(alone, spec)} all {images} that it was trained on and tried on, "
            f"although their labels have other classes. Try: {longer}, a larger lr=, or more labels."
        )
    elif alone is None and score is not None and score < least:
        yield (
            f"{SUBJECT}has not learnt its labels: {name} is {score:.2f} on {images} that it was trained on. "
            f"Try: {longer}, or a larger lr=."
        )
    if losses.is_falling():
        yield (
            f"{SUBJECT}was still learning when its training ended: its loss was falling steeply, to "
            f"{losses.values[-1]:.3g}. Try: {longer}."
        )
    elif score is not None and score >= learnt and losses.is_flat():
        yield (
            f"{SUBJECT}knows its {labels} labels by heart: {name} is {score:.2f} on {images} that it was trained on, "
            f"and its loss has been flat since the first quarter of the training. Try: {shorter}, or augmented images."
        )


def lengths(learner: Any, factor: float) -> str:
    """Return as an argument of a learner how long it should train; in words if it has no such argument."""
    inner = getattr(learner, "learner", learner)  # of an ensemble
    for name in ("steps", "epochs"):
        if isinstance(length := getattr(inner, name, None), tuple) and len(length) == 2:
            return f"{name}=({', '.join(str(max(1, round(factor * part))) for part in length)})"
    return "a longer training" if factor > 1 else "a shorter training"


def _on_labels(predictor: Predictor, labelled: Labelled, pool: Pool, ids: Sequence[str]) -> tuple[float | None, Seen]:
    """Return Dice or kappa on labels that a model was trained on, and the classes that it predicts for them."""
    from alkit.evaluation import metrics  # imports torch, which asking and telling do not need

    spec, seen = labelled.spec, Seen()
    predicted: list[npt.NDArray[Any]] = []

    def predict(some: Sequence[str]) -> npt.NDArray[Any]:
        return most_probable_labels(probabilities_of(predictor, pool.read(some), spec))

    scores = []
    for some, labels in map_batches(predict, list(ids), pool):
        truth = labelled.labels(some)
        for part in parts_of(pool, some, spec.per == "pixel"):
            seen.add(part.of(labels), part.of(truth), spec)
        predicted.append(labels)
        if spec.per == "pixel":
            scores.append(metrics.dice(labels, truth, spec))
    if spec.per == "pixel":
        try:
            return metrics.segmentation_metrics(scores, spec)["dice"], seen
        except LabelError:  # all pixels are ignored
            return None, seen
    found, true = np.concatenate(predicted), labelled.labels(list(ids))
    known = np.ones(true.shape, bool) if spec.ignore is None else true != spec.ignore
    return _kappa(found[known], true[known]), seen


def _kappa(predicted: npt.NDArray[Any], true: npt.NDArray[Any]) -> float | None:
    """Return Cohen's kappa of predicted and true classes ``(n,)``; None if there is only one true class.

    >>> _kappa(np.array([0, 0, 1, 1]), np.array([0, 0, 1, 0])), _kappa(np.array([0]), np.array([0]))
    (0.5, None)
    """
    if len(np.unique(true)) < 2:
        return None
    with keep_random():
        from sklearn.metrics import cohen_kappa_score

    return float(cohen_kappa_score(true, predicted))


@contextmanager
def _kept_generators() -> Iterator[None]:
    """Restore the global generators of Python, numpy and torch after a ``with`` block."""

    python, arrays = random.getstate(), np.random.get_state()  # noqa: NPY002
    with keep_torch():
        try:
            yield
        finally:
            random.setstate(python)
            np.random.set_state(arrays)  # noqa: NPY002


def without_fix(warning: str) -> str:
    """Return what a warning says, without how to change it.

    >>> without_fix("The model has not learnt its labels. Try: epochs=(20, 4).")
    'The model has not learnt its labels.'
    """
    return warning.partition(". Try: ")[0].rstrip(".") + "."


def about_model(warnings: Sequence[str]) -> tuple[str, ...]:
    """Return those of a round's warnings that say why its model is not fit to choose images by.

    >>> about_model(["The model has not learnt its labels: ...", "2 images are missing."])
    ('The model has not learnt its labels: ...',)
    """
    return tuple(warning for warning in warnings if warning.startswith(SUBJECT))
