"""Labels of test sets: the oracle is asked for them once in a call."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Iterator, Sequence

import numpy as np

from alkit.errors import LabelError
from alkit.labels.framing import to_working
from alkit.labels.masks import decode_mask, mask_png
from alkit.pools.frames import frames_of
from alkit.pools.sizes import mask_sizes
from alkit.protocols import ChecksLabels, Oracle, Pool
from alkit.values.answers import Answer, Invalid, Skip, Withdrawal
from alkit.values.frames import Frame
from alkit.values.label_spec import Label, LabelSpec, Mask
from alkit.values.queries import Query

Collect = Callable[[Oracle, Sequence[Query], float], Iterator[tuple[int, list[Answer]]]]
"""Asks an oracle the queries; yields its answers as they arrive, each time with the number of answers so far.

The arguments are the oracle, the queries, and the seconds between two polls.
"""


class TestLabels:
    """Labels of test sets, checked once and then kept in temporary files until they are read again or the process ends.

    Parameters
    ----------
    collect:
        Function that asks an oracle.
    """

    __test__ = False  # pytest takes the name for that of a test case

    def __init__(self, collect: Collect) -> None:
        self._collect = collect
        self._originals: dict[tuple[int, int], tuple[Pool, Oracle, dict[str, bytes]]] = {}  # by identity
        self._kept: dict[tuple[int, int], tuple[Pool, Oracle, Label]] = {}  # by identity

    def of(self, test: Pool, oracle: Oracle, spec: LabelSpec, poll: float) -> Label:
        """Return the labels of `test` in the order of its ids: masks at its working size, ``(n, h, w)``, or ``(n,)``.

        Labels of several classes are ``(n, classes)``.

        Raises
        ------
        LabelError
            An image has no label, or its label does not fit `spec`.
        """
        key = id(test), id(oracle)
        if key not in self._kept:
            self._kept[key] = test, oracle, self._ask(test, oracle, spec, poll)
        return self._kept[key][2]

    def read_again(self, oracle: Oracle) -> None:
        """Forget the labels of an oracle that knows all of them beforehand: somebody may have corrected them.

        Others are not asked again, because people gave these labels.
        """
        if isinstance(oracle, ChecksLabels):
            for kept in (self._kept, self._originals):
                for key in [key for key, (_, known, _) in kept.items() if known is oracle]:
                    del kept[key]

    def originals(
        self, test: Pool, oracle: Oracle, spec: LabelSpec, poll: float
    ) -> Callable[[Sequence[str]], list[Mask]]:
        """Return a function that gives masks of `test` at their original sizes, which are kept as PNG in memory.

        Raises
        ------
        LabelError
            An image has no mask, or its mask does not fit `spec`.
        """
        key = id(test), id(oracle)
        if key not in self._originals:
            found = {id: mask_png(mask) for id, mask, _ in self._checked(test, oracle, spec, poll)}
            self._originals[key] = test, oracle, found
        kept = self._originals[key][2]
        return lambda ids: [decode_mask(kept[id]) for id in ids]

    def _ask(self, test: Pool, oracle: Oracle, spec: LabelSpec, poll: float) -> Label:
        ids = list(test.ids)
        size = test.read(ids[:1]).shape[-2:] if spec.per == "pixel" else (len(spec.classes),) if spec.multiple else ()
        with tempfile.TemporaryFile() as file:
            labels = np.memmap(file, np.uint8 if size else np.int64, "w+", shape=(len(ids), *size))
        rows = {id: row for row, id in enumerate(ids)}
        for id, label, frame in self._checked(test, oracle, spec, poll):
            labels[rows[id]] = label if frame is None else to_working(label, frame, spec)
        return labels

    def _checked(
        self, test: Pool, oracle: Oracle, spec: LabelSpec, poll: float
    ) -> Iterator[tuple[str, Label, Frame | None]]:
        """Ask for all labels, and yield each as it was given, with the frame of its image if it is a mask."""
        ids = list(test.ids)
        for begin in range(0, len(ids), 64):
            some = ids[begin : begin + 64]
            sizes = dict(zip(some, mask_sizes(test, some), strict=True))
            frames = dict(zip(some, frames_of(test, some), strict=True)) if spec.per == "pixel" else {}
            queries = [Query(id, 0, rank, sizes[id]) for rank, id in enumerate(some)]
            for _, answers in self._collect(oracle, queries, poll):
                for answer in answers:
                    if isinstance(answer.label, Skip | Withdrawal | Invalid):
                        raise LabelError(
                            f"test image {answer.id!r} has no label ({answer.label.reason})",
                            hint="a test set without this image",
                        )
                    label = spec.check(answer.label, id=answer.id, sizes=sizes[answer.id])
                    yield answer.id, label, frames.get(answer.id)
