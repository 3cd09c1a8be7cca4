"""The labels of a record at the working size, as learners get them."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np

from alkit.errors import QueryError
from alkit.experiment.representations import Representations
from alkit.labels.joining import Join, one
from alkit.labels.masks import resize_mask
from alkit.protocols import FeatureExtractor, FittedExtractor
from alkit.record.label_files import LabelFiles
from alkit.record.states import Answered
from alkit.values.label_spec import Images, Label, LabelSpec


@dataclass(frozen=True, eq=False)
class LabelledImages:
    """The labelled images that a learner gets: see :class:`alkit.protocols.Labelled`."""

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

    def without(self, ids: Collection[str]) -> LabelledImages:
        """Return a copy without these images."""
        left = tuple(id for id in self.ids if id not in ids)
        return replace(self, ids=left, pseudo_ids=tuple(id for id in self.pseudo_ids if id not in ids))


class Labels:
    """The labels of a record at the working size. A process decodes each file once."""

    def __init__(self, files: LabelFiles, representations: Representations) -> None:
        self._files, self._representations = files, representations
        self._decoded: dict[str, Label] = {}  # by file

    def of(
        self,
        answers: Mapping[str, Answered],
        pseudo: Mapping[str, str],
        spec: LabelSpec,
        join: Join = one,
    ) -> LabelledImages:
        """Return the labelled images in the order of their answers, followed by those with pseudo-labels.

        Skips are left out. Any answer, a skip included, takes precedence over a pseudo-label of the same image.

        Parameters
        ----------
        answers:
            By id the answers that count.
        pseudo:
            By id the file of a pseudo-label.
        spec:
            The classes.
        join:
            The rule that joins several annotators' labels of an image at the working size.

        Raises
        ------
        QueryError
            None of the answers is a label.
        LabelError
            `join` returned an invalid label.
        """
        told = {id: files for id, known in answers.items() if (files := _files(known))}
        if not told:
            raise QueryError("the record has no label to train on yet", hint="ask() and tell() some")
        predicted = {id: (file,) for id, file in pseudo.items() if id not in answers}
        everything = {**told, **predicted}
        needed = {file for own in everything.values() for file in own}
        self._decoded = {file: known for file, known in self._decoded.items() if file in needed}
        size = self._representations.pool.read(list(told)[:1]).shape[-2:]
        for file in needed - self._decoded.keys():
            label = self._files.read(file)
            self._decoded[file] = resize_mask(label, size, spec) if label.ndim else label
        labels = {}
        for id, own in everything.items():
            known = [self._decoded[file] for file in own]
            labels[id] = known[0] if len(known) == 1 else spec.check(join(known, spec), id=id, sizes=[size])
        return LabelledImages(tuple(everything), tuple(predicted), spec, labels, self._representations)


def _files(known: Answered) -> tuple[str, ...]:
    """Return the files of the labels of one image, those of older revisions first."""
    return tuple(answer.label for answer in known.labels if answer.label is not None)
