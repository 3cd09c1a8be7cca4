"""The labels of a record, ready to learn from."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from alkit.errors import QueryError
from alkit.masks import decode_mask, mask_png, resize_mask
from alkit.protocols import FeatureExtractor, FittedExtractor
from alkit.representations import Representations
from alkit.store import Recorded, Store
from alkit.types import Images, Label, LabelSpec


@dataclass(frozen=True, eq=False)
class LabelledImages:
    """What a learner is given: see :class:`alkit.protocols.Labelled`."""

    ids: tuple[str, ...]
    pseudo_ids: tuple[str, ...]
    spec: LabelSpec
    known: Mapping[str, Label]
    representations: Representations

    def images(self, ids: Sequence[str]) -> Images:
        """Return these images, ``(n, c, h, w)``."""
        return self.representations.pool.read(ids)

    def labels(self, ids: Sequence[str]) -> Label:
        """Return these labels, ``(n, h, w)`` or ``(n,)``."""
        return np.stack([self.known[id] for id in ids])

    def fitted(self, extractor: FeatureExtractor) -> FittedExtractor:
        """Return `extractor` fitted on the whole pool."""
        return self.representations.fitted(extractor)


class Labels:
    """The labels of a record at the working size, each decoded once a process."""

    def __init__(self, store: Store, representations: Representations) -> None:
        self._store, self._representations = store, representations
        self._decoded: dict[str, Label] = {}  # by file

    def keep(self, label: Label) -> str:
        """Keep a label as a file of the record and return its name."""
        return self._store.keep(*_encoded(label))

    def read(self, file: str) -> Label:
        """Return the label that :meth:`keep` made into a file, at its own size."""
        return _decoded(self._store.content(file))

    def of(self, answers: Mapping[str, Recorded], pseudo: Mapping[str, str], spec: LabelSpec) -> LabelledImages:
        """Return the images of these answers, in their order, and after them those with pseudo-labels.

        Skips are left out. An answer, a skip as well, takes precedence over the pseudo-label of the same image.

        Parameters
        ----------
        pseudo:
            By id the file of a pseudo-label.

        Raises
        ------
        QueryError
            There is no answer that is a label.
        """
        files = {id: answer.label for id, answer in answers.items() if answer.label is not None}
        if not files:
            raise QueryError("there is no label to learn from yet", hint="ask() and tell() some")
        predicted = {id: file for id, file in pseudo.items() if id not in answers}
        everything = {**files, **predicted}
        self._decoded = {file: known for file, known in self._decoded.items() if file in everything.values()}
        size = self._representations.pool.read(list(files)[:1]).shape[-2:]
        for file in everything.values():
            if file not in self._decoded:
                label = self.read(file)
                self._decoded[file] = resize_mask(label, size, spec) if label.ndim else label
        labels = {id: self._decoded[file] for id, file in everything.items()}
        return LabelledImages(tuple(everything), tuple(predicted), spec, labels, self._representations)


def _encoded(label: Label) -> tuple[bytes, str]:
    """Return the content of a label's file, and its suffix: a PNG for a mask, digits for a class id."""
    return (mask_png(label.astype(np.uint8)), ".png") if label.ndim else (str(int(label)).encode(), ".txt")


def _decoded(content: bytes) -> Label:
    return np.array(int(content), np.int64) if content.isdigit() else decode_mask(content)
