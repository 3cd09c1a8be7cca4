"""How good a model is on images whose masks are known."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Iterator, Sequence

import numpy as np
import numpy.typing as npt

from alkit.errors import LabelError
from alkit.masks import resize_mask
from alkit.pools import mask_sizes
from alkit.protocols import Oracle, Pool, Predictor
from alkit.representations import batches
from alkit.types import Answer, Invalid, LabelSpec, Predictions, Progress, Query, Report, Skip

Collect = Callable[[Oracle, Sequence[Query], float], Iterator[tuple[int, list[Answer]]]]
"""Asks an oracle and yields its answers as they come, with how many there are by then."""


class TestMasks:
    """The masks of test sets: asked for once, checked, and kept in files that are gone with the process.

    Parameters
    ----------
    collect:
        How to get answers out of an oracle.
    """

    __test__ = False  # no test case, whatever pytest may think of the name

    def __init__(self, collect: Collect) -> None:
        self._collect = collect
        self._kept: dict[tuple[int, int], tuple[Pool, Oracle, npt.NDArray[np.uint8]]] = {}  # by identity

    def of(self, test: Pool, oracle: Oracle, spec: LabelSpec, poll: float) -> npt.NDArray[np.uint8]:
        """Return the masks of `test` at its working size, ``(n, h, w)``, in the order of its ids.

        Raises
        ------
        LabelError
            An image has none, or one that breaks `spec`.
        """
        key = id(test), id(oracle)
        if key not in self._kept:
            self._kept[key] = test, oracle, self._asked(test, oracle, spec, poll)
        return self._kept[key][2]

    def _asked(self, test: Pool, oracle: Oracle, spec: LabelSpec, poll: float) -> npt.NDArray[np.uint8]:
        ids = list(test.ids)
        height, width = test.read(ids[:1]).shape[-2:]
        with tempfile.TemporaryFile() as file:
            masks = np.memmap(file, np.uint8, "w+", shape=(len(ids), height, width))
        rows = {id: row for row, id in enumerate(ids)}
        for begin in range(0, len(ids), 64):
            some = ids[begin : begin + 64]
            sizes = dict(zip(some, mask_sizes(test, some), strict=True))
            queries = [Query(id, 0, rank, sizes[id]) for rank, id in enumerate(some)]
            for _, answers in self._collect(oracle, queries, poll):
                for answer in answers:
                    if isinstance(answer.label, Skip | Invalid):
                        raise LabelError(
                            f"the test image {answer.id!r} has no mask ({answer.label.reason})",
                            hint="leave it out of the test set",
                        )
                    mask = spec.check(answer.label, id=answer.id, sizes=sizes[answer.id])
                    masks[rows[answer.id]] = resize_mask(mask, (height, width), spec)
        return masks


def measure(
    predictor: Predictor, test: Pool, truth: npt.NDArray[np.uint8], spec: LabelSpec, report: Report
) -> dict[str, float]:
    """Return the figures of a predictor on `test`, whose masks are `truth`: see :func:`alkit.metrics.summarise`."""
    from alkit.metrics import dice, summarise  # torch: not for those who only ask and tell

    scores, done, ids = [], 0, list(test.ids)
    for some in batches(ids, test):
        masks = Predictions(tuple(some), predictor.probabilities(test.read(some))).masks
        scores.append(dice(masks, truth[done : done + len(some)], spec))
        done += len(some)
        report(Progress("evaluate", done, len(ids)))
    return summarise(scores, spec)
