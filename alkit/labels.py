"""The labels of a record, ready to learn from."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from alkit.errors import QueryError
from alkit.masks import decode_mask, resize_mask
from alkit.protocols import FeatureExtractor, FittedExtractor
from alkit.representations import Representations
from alkit.store import Recorded, Store
from alkit.types import Images, LabelSpec, Mask, Size


@dataclass(frozen=True, eq=False)
class LabelledImages:
    """What a learner is given: see :class:`alkit.protocols.Labelled`."""

    ids: tuple[str, ...]
    spec: LabelSpec
    labels: Mapping[str, Mask]
    representations: Representations

    def images(self, ids: Sequence[str]) -> Images:
        """Return these images, ``(n, c, h, w)``."""
        return self.representations.pool.read(ids)

    def masks(self, ids: Sequence[str]) -> npt.NDArray[np.uint8]:
        """Return these masks, ``(n, h, w)``."""
        return np.stack([self.labels[id] for id in ids])

    def fitted(self, extractor: FeatureExtractor) -> FittedExtractor:
        """Return `extractor` fitted on the whole pool."""
        return self.representations.fitted(extractor)


class Labels:
    """The masks of a record at the working size, each decoded once a process."""

    def __init__(self, store: Store, representations: Representations) -> None:
        self._store, self._representations = store, representations
        self._decoded: dict[str, tuple[str, Mask]] = {}  # id: the mask's file, the mask

    def of(self, answers: Mapping[str, Recorded], spec: LabelSpec) -> LabelledImages:
        """Return the labelled images of these answers, in their order; skips are left out.

        Raises
        ------
        QueryError
            There are none.
        """
        files = {id: answer.mask for id, answer in answers.items() if answer.mask is not None}
        if not files:
            raise QueryError("there is no label to learn from yet", hint="ask() and tell() some")
        size: Size = self._representations.pool.read(list(files)[:1]).shape[-2:]
        for id, file in files.items():
            if id not in self._decoded or self._decoded[id][0] != file:
                self._decoded[id] = file, resize_mask(decode_mask(self._store.content(file)), size, spec)
        labels = {id: self._decoded[id][1] for id in files}
        return LabelledImages(tuple(files), spec, labels, self._representations)
