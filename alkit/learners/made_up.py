"""Made-up labels, for the trial of a learner before there are any."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np

from alkit.errors import ConfigurationError
from alkit.protocols import FeatureExtractor, FittedExtractor
from alkit.values.label_spec import Images, Label, LabelSpec, check_images


@dataclass(frozen=True, eq=False)
class MadeUp:
    """Images with made-up labels in which all classes occur: see :class:`alkit.protocols.Labelled`."""

    all: Images
    spec: LabelSpec
    pseudo_ids: tuple[str, ...] = field(default=(), init=False)

    def __post_init__(self) -> None:
        check_images(self.all)

    @property
    def ids(self) -> tuple[str, ...]:
        """Ids of the images."""
        return tuple(map(str, range(len(self.all))))

    def images(self, ids: Sequence[str]) -> Images:
        """Return these images, ``(n, c, h, w)``."""
        return self.all[[int(id) for id in ids]]

    def labels(self, ids: Sequence[str]) -> Label:
        """Return these labels, ``(n, h, w)``, ``(n,)`` or ``(n, classes)``."""
        rows, classes = np.array([int(id) for id in ids]), len(self.spec.classes)
        if self.spec.multiple:
            several = ((rows[:, None] + np.arange(classes)) % 2).astype(np.uint8)
            if self.spec.ignore is not None and classes > 1:
                several[:, -1] = self.spec.ignore  # a loss must be able to leave classes out
            return several
        if self.spec.per == "image":
            return (rows % classes).astype(np.int64)
        height, width = self.all.shape[-2:]
        # Stripes, because a network may be unable to learn noise.
        stripes = (np.arange(height * width).reshape(height, width) * classes) // (height * width)
        labels = np.stack([(stripes + row) % classes for row in rows]).astype(np.uint8)
        if self.spec.ignore is not None and height * width > classes:
            labels[:, -1, -1] = self.spec.ignore  # a loss must be able to leave pixels out
        return labels

    def fitted(self, extractor: FeatureExtractor) -> FittedExtractor:
        """Raise an error: a rehearsal trains no feature extractor."""
        raise ConfigurationError("a rehearsal has no feature extractor")
