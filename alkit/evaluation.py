"""How good a model is on images whose labels are known."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from alkit.errors import LabelError
from alkit.masks import resize_mask
from alkit.pools import mask_sizes
from alkit.protocols import Oracle, Pool, Predictor
from alkit.representations import batches
from alkit.types import (
    Answer,
    Invalid,
    Label,
    LabelSpec,
    Progress,
    Query,
    Report,
    Skip,
    Withdrawal,
    averaged,
    most_probable,
)

Collect = Callable[[Oracle, Sequence[Query], float], Iterator[tuple[int, list[Answer]]]]
"""Asks an oracle and yields its answers as they come, with how many there are by then."""


class TestLabels:
    """The labels of test sets: asked for once, checked, and kept in files that are gone with the process.

    Parameters
    ----------
    collect:
        How to get answers out of an oracle.
    """

    __test__ = False  # no test case, whatever pytest may think of the name

    def __init__(self, collect: Collect) -> None:
        self._collect = collect
        self._kept: dict[tuple[int, int], tuple[Pool, Oracle, Label]] = {}  # by identity

    def of(self, test: Pool, oracle: Oracle, spec: LabelSpec, poll: float) -> Label:
        """Return the labels of `test`, masks at its working size ``(n, h, w)`` or ``(n,)``, in the order of its ids.

        Raises
        ------
        LabelError
            An image has none, or one that breaks `spec`.
        """
        key = id(test), id(oracle)
        if key not in self._kept:
            self._kept[key] = test, oracle, self._asked(test, oracle, spec, poll)
        return self._kept[key][2]

    def _asked(self, test: Pool, oracle: Oracle, spec: LabelSpec, poll: float) -> Label:
        ids = list(test.ids)
        size = test.read(ids[:1]).shape[-2:] if spec.per == "pixel" else ()
        with tempfile.TemporaryFile() as file:
            labels = np.memmap(file, np.uint8 if size else np.int64, "w+", shape=(len(ids), *size))
        rows = {id: row for row, id in enumerate(ids)}
        for begin in range(0, len(ids), 64):
            some = ids[begin : begin + 64]
            sizes = dict(zip(some, mask_sizes(test, some), strict=True))
            queries = [Query(id, 0, rank, sizes[id]) for rank, id in enumerate(some)]
            for _, answers in self._collect(oracle, queries, poll):
                for answer in answers:
                    if isinstance(answer.label, Skip | Withdrawal | Invalid):
                        raise LabelError(
                            f"the test image {answer.id!r} has no label ({answer.label.reason})",
                            hint="leave it out of the test set",
                        )
                    label = spec.check(answer.label, id=answer.id, sizes=sizes[answer.id])
                    labels[rows[answer.id]] = resize_mask(label, size, spec) if size else label
        return labels


def measure(predictor: Predictor, test: Pool, truth: Label, spec: LabelSpec, report: Report) -> dict[str, float]:
    """Return the figures of a predictor on `test`, whose labels are `truth`, in the order of its ids.

    Of masks see :func:`alkit.metrics.summarise`, of one class per image :func:`alkit.metrics.classified`. Of an
    ensemble they are those of the mean prediction; ``member_dice`` or ``member_accuracy`` is the mean of its members.
    """
    from alkit import metrics  # torch: not for those who only ask and tell

    members: Sequence[Predictor] = getattr(predictor, "members", ())
    found: list[list[npt.NDArray[Any]]] = [[] for _ in range(1 + len(members))]  # of the predictor, then its members
    done, ids = 0, list(test.ids)
    for some in batches(ids, test):
        images, true = test.read(some), truth[done : done + len(some)]
        each = [member.probabilities(images) for member in members]
        whole = averaged(each) if each else predictor.probabilities(images)
        for collected, probabilities in zip(found, [whole, *each], strict=True):
            labels = most_probable(probabilities)
            collected.append(metrics.dice(labels, true, spec) if spec.per == "pixel" else labels)
        done += len(some)
        report(Progress("evaluate", done, len(ids)))
    name = "dice" if spec.per == "pixel" else "accuracy"
    own, *theirs = [
        metrics.summarise(collected, spec)
        if spec.per == "pixel"
        else metrics.classified(np.concatenate(collected), truth, spec)
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
        own, theirs = (np.asarray(most_probable(model.probabilities(images)), np.int64) for model in (predictor, other))
        same = same and np.array_equal(own, theirs)
        kappa.update(torch.from_numpy(own).flatten(), torch.from_numpy(theirs).flatten())
    return 1.0 if same else float(kappa.compute())
