"""Metrics of a predictor, and how far two predictors agree."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from alkit.pools.batches import batches
from alkit.protocols import Pool, Predictor
from alkit.values.label_spec import Label, LabelSpec
from alkit.values.predictions import mean_probabilities, most_probable_labels
from alkit.values.progress import Progress, Report


def measure(predictor: Predictor, test: Pool, truth: Label, spec: LabelSpec, report: Report) -> dict[str, float]:
    """Return the figures of a predictor on `test`, whose labels are `truth`, in the order of its ids.

    Of masks see :func:`alkit.evaluation.metrics.segmentation_metrics`, of one class per image
    :func:`alkit.evaluation.metrics.classification_metrics`. Of an
    ensemble they are those of the mean prediction; ``member_dice`` or ``member_accuracy`` is the mean of its members.
    """
    from alkit.evaluation import metrics  # torch: not for those who only ask and tell

    members: Sequence[Predictor] = getattr(predictor, "members", ())
    found: list[list[npt.NDArray[Any]]] = [[] for _ in range(1 + len(members))]  # of the predictor, then its members
    done, ids = 0, list(test.ids)
    for some in batches(ids, test):
        images, true = test.read(some), truth[done : done + len(some)]
        each = [member.probabilities(images) for member in members]
        whole = mean_probabilities(each) if each else predictor.probabilities(images)
        for collected, probabilities in zip(found, [whole, *each], strict=True):
            labels = most_probable_labels(probabilities)
            collected.append(metrics.dice(labels, true, spec) if spec.per == "pixel" else labels)
        done += len(some)
        report(Progress("evaluate", done, len(ids)))
    name = "dice" if spec.per == "pixel" else "accuracy"
    own, *theirs = [
        metrics.segmentation_metrics(collected, spec)
        if spec.per == "pixel"
        else metrics.classification_metrics(np.concatenate(collected), truth, spec)
        for collected in found
    ]
    if theirs:
        own[f"member_{name}"] = float(np.mean([figures[name] for figures in theirs]))
    return own


def agreement(predictor: Predictor, other: Predictor, pool: Pool, ids: Sequence[str], spec: LabelSpec) -> float:
    """Return Cohen's kappa between two models' predictions of some images, over all their pixels; at most 1.

    It is 1 where they agree everywhere, also in a single class, of which kappa itself says nothing.
    """
    import torch  # not for those who only ask and tell
    from torchmetrics.classification import MulticlassCohenKappa

    kappa, same = MulticlassCohenKappa(len(spec.classes)), True
    for some in batches(list(ids), pool):
        images = pool.read(some)
        own, theirs = (
            np.asarray(most_probable_labels(model.probabilities(images)), np.int64) for model in (predictor, other)
        )
        same = same and np.array_equal(own, theirs)
        kappa.update(torch.from_numpy(own).flatten(), torch.from_numpy(theirs).flatten())
    return 1.0 if same else float(kappa.compute())
