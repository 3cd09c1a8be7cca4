"""The labels of a record at the working size, as learners get them."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from typing import Any

import numpy as np
import numpy.typing as npt

from alkit.errors import QueryError
from alkit.experiment.representations import Representations
from alkit.labels.framing import to_working
from alkit.labels.joining import Join, one
from alkit.pools.base import Subset
from alkit.pools.frames import frames_of
from alkit.pools.scaling import Scale
from alkit.pools.tiles.pool import TilePool, is_tiled
from alkit.pools.tiles.seams import seam_disagreements
from alkit.protocols import FeatureExtractor, FittedExtractor, HasStored
from alkit.record.label_files import LabelFiles
from alkit.record.states import Answered
from alkit.values.frames import Frame
from alkit.values.label_spec import Images, Label, LabelSpec, Mask

FEW = 8
"""Most images that a warning lists."""


@dataclass(frozen=True, eq=False)
class LabelledImages:
    """The labelled images that a learner gets: see :class:`alkit.protocols.Labelled`.

    Parameters
    ----------
    spec:
        The classes. It has an ignore value that annotators do not have, if they disagree evenly about a pixel, or if
        images are padded.
    undecided:
        By id the share of the pixels about which annotators disagree evenly, in (0, 1]. An image with 1 is left out.
    frames:
        By id the place of each image in the working size, if the labels are masks.
    at_original:
        By id a function that reads the label again, as it was given.
    """

    ids: tuple[str, ...]
    pseudo_ids: tuple[str, ...]
    spec: LabelSpec
    known: Mapping[str, Label]
    representations: Representations
    undecided: Mapping[str, float] = field(default_factory=dict)
    frames: Mapping[str, Frame] = field(default_factory=dict)
    at_original: Mapping[str, Callable[[], Mask]] = field(default_factory=dict)

    def images(self, ids: Sequence[str]) -> Images:
        """Return these images, ``(n, c, h, w)``."""
        return self.representations.pool.read(ids)

    def stored(self, ids: Sequence[str]) -> tuple[npt.NDArray[Any], Scale] | None:
        """Return these images as the pool stores them, and how they are scaled; None if it does not tell."""
        pool = self.representations.pool
        return pool.stored(ids) if isinstance(pool, HasStored) else None

    def labels(self, ids: Sequence[str]) -> Label:
        """Return these labels, ``(n, h, w)``, ``(n,)`` or ``(n, classes)``."""
        return np.stack([self.known[id] for id in ids])

    def originals(self, ids: Sequence[str]) -> list[Mask]:
        """Return these masks at their original sizes; those of several annotators are joined there."""
        return [self.at_original[id]() for id in ids]

    def fitted(self, extractor: FeatureExtractor) -> FittedExtractor:
        """Return `extractor` fitted on the whole pool."""
        return self.representations.fitted(extractor)

    def warnings(self) -> tuple[str, ...]:
        """Return what annotators disagree about, in sentences.

        >>> unsure = {"a": 0.25, "b": 1.0}
        >>> LabelledImages(("a",), (), LabelSpec(("skin", "lesion")), {}, None, unsure).warnings()
        ("Annotators disagree evenly about 1 image, which is left out of the training: 'b'.",
         "Annotators disagree evenly about 25.0 % of the pixels of 1 image. ... ignored in the training and ...: 'a'.")
        """
        left_out = [id for id, share in self.undecided.items() if share == 1]
        partly = [id for id, share in self.undecided.items() if share < 1]
        found = []
        if left_out:
            which = f"{_counted(left_out)}, which {'is' if len(left_out) == 1 else 'are'} left out of the training"
            found.append(f"Annotators disagree evenly about {which}: {_listed(left_out)}.")
        if partly:
            share = np.mean([self.undecided[id] for id in partly])
            what = "classes" if self.spec.multiple else "pixels"
            found.append(
                f"Annotators disagree evenly about {share:.1%} of the {what} of {_counted(partly)}. These {what} are "
                f"ignored in the training and in the figures: {_listed(partly)}.".replace("%", " %")
            )
        return (*found, *self._seams(), *self._only_ignored())

    def _seams(self) -> Iterator[str]:
        """Yield a sentence if labels of neighbouring tiles differ where they overlap."""
        pool = None if self.representations is None else self.representations.pool
        if self.spec.per == "image" or not isinstance(pool, TilePool | Subset) or not is_tiled(pool):
            return
        ids = [id for id in self.ids if id not in self.pseudo_ids]
        masks = {id: _content(self.known[id], self.frames.get(id)) for id in ids}
        pairs = seam_disagreements(pool, masks, self.spec)
        if pairs:
            share = sum(pair.pixels for pair in pairs) / sum(pair.shared for pair in pairs)
            listed = ", ".join(f"{pair.one!r} and {pair.other!r}" for pair in pairs[:FEW])
            yield (
                f"Labels of {len(pairs)} {'pair' if len(pairs) == 1 else 'pairs'} of neighbouring tiles differ on "
                f"{100 * share:.1f} % of the pixels that both show: {listed}{' ...' if len(pairs) > FEW else ''}."
            )

    def _only_ignored(self) -> Iterator[str]:
        """Yield a sentence if the masks of two classes have ignored pixels (255), and none has a pixel of class 1."""
        if self.spec.per != "pixel" or self.spec.ignore != 255 or len(self.spec.classes) != 2:
            return
        masks = [_content(self.known[id], self.frames.get(id)) for id in self.ids if id not in self.pseudo_ids]
        ignored = sum(bool((mask == 255).any()) for mask in masks)
        if ignored and not self.undecided and not any((mask == 1).any() for mask in masks):
            name = repr(self.spec.classes[1])
            yield (
                f"No mask has a pixel of {name} (1), and {ignored} of {len(masks)} have ignored pixels (255). If 255 "
                f"means {name}, the masks must have 1 in its place, or no ignore value may be declared."
            )

    def without(self, ids: Collection[str]) -> LabelledImages:
        """Return a copy without these images."""
        left = tuple(id for id in self.ids if id not in ids)
        return replace(self, ids=left, pseudo_ids=tuple(id for id in self.pseudo_ids if id not in ids))


class Labels:
    """The labels of a record at the working size. A process decodes each file once."""

    def __init__(self, files: LabelFiles, representations: Representations) -> None:
        self._files, self._representations = files, representations
        self._decoded: dict[tuple[str, Frame | None], Label] = {}  # by file and frame

    def of(
        self,
        answers: Mapping[str, Answered],
        pseudo: Mapping[str, str],
        spec: LabelSpec,
        join: Join = one,
        joins: Mapping[str, Join] | None = None,
    ) -> LabelledImages:
        """Return the labelled images in the order of their answers, followed by those with pseudo-labels.

        Skips are left out, and images that `join` leaves undecided as a whole. Any answer, a skip included, takes
        precedence over a pseudo-label of the same image.

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
        joins:
            By id another rule for an image.

        Raises
        ------
        QueryError
            None of the answers is a label, or the annotators disagree evenly about every image.
        LabelError
            `join` returned an invalid label.
        """
        told = {id: files for id, known in answers.items() if (files := _files(known))}
        if not told:
            raise QueryError("the record has no label to train on yet", hint="ask() and tell() some")
        predicted = {id: (file,) for id, file in pseudo.items() if id not in answers}
        everything = {**told, **predicted}
        pool = self._representations.pool
        frames = dict(zip(everything, frames_of(pool, list(everything)), strict=True)) if spec.per == "pixel" else {}
        needed = {(file, frames.get(id)) for id, own in everything.items() for file in own}
        self._decoded = {key: known for key, known in self._decoded.items() if key in needed}
        self._files.fetch([file for file, _ in needed - self._decoded.keys()])
        for file, frame in needed - self._decoded.keys():
            label = self._files.read(file)
            if spec.multiple:
                label = spec.check(label, id=file, sizes=())  # of a stranger, it may have another length
            self._decoded[file, frame] = label if frame is None else to_working(label, frame, spec)
        joint = spec.with_ignore()
        labels: dict[str, Label] = {}
        undecided: dict[str, float] = {}
        for id, own in everything.items():
            frame = frames.get(id)
            known = [self._decoded[file, frame] for file in own]
            if len(known) == 1:
                labels[id] = known[0]
                continue
            contents = [_content(label, frame) for label in known]
            # A rule of the user may write into the labels it gets, and these are kept for later rounds.
            rule = (joins or {}).get(id, join)
            if (joined := rule([label.copy() for label in contents], joint)) is not None:
                joined = joint.check(joined, id=id, sizes=[] if frame is None else [frame.content.size])
                labels[id] = joined if frame is None else _placed(joined, frame, joint)
            if share := _undecided_share(joined, contents, joint):
                undecided[id] = share
        decided = tuple(id for id in everything if undecided.get(id) != 1)
        if not any(id in told for id in decided):
            raise QueryError(
                "the annotators disagree evenly about every labelled image, so there is none to train on",
                got=f"{len(told)} images",
                hint="ask one more annotator about each, or correct the answers",
            )
        ignores = any(share < 1 for share in undecided.values()) or any(not frame.fills for frame in frames.values())
        rules = {**dict.fromkeys(everything, join), **(joins or {})}
        originals = {id: partial(self._original, own, rules[id], joint, id) for id, own in everything.items()}
        return LabelledImages(
            decided,
            tuple(predicted),
            joint if ignores else spec,
            labels,
            self._representations,
            undecided,
            frames,
            originals,
        )

    def _original(self, files: Sequence[str], join: Join, joint: LabelSpec, id: str) -> Mask:
        """Return a mask as it was given; several are joined, if they have one size."""
        known = [self._files.read(file) for file in files]
        if len(known) == 1:
            return known[0]
        joined = join(known, joint)
        nothing = np.full_like(known[0], joint.ignore)
        return nothing if joined is None else joint.check(joined, id=id, sizes=[nothing.shape])


def _content(label: Label, frame: Frame | None) -> Label:
    """Return the part of a label at the working size that is neither padding nor surroundings."""
    return label if frame is None else label[frame.content.slices]


def _placed(content: Label, frame: Frame, spec: LabelSpec) -> Label:
    """Return the content of a mask at the working size, ignored outside of it."""
    if frame.fills:
        return content
    placed: Mask = np.full(frame.working, spec.ignore, np.uint8)
    placed[frame.content.slices] = content
    return placed


def _undecided_share(joined: Label | None, labels: Sequence[Label], spec: LabelSpec) -> float:
    """Return the share of an image that is ignored although most annotators did not ignore it.

    It is 1 if nothing of the image is left to train on.
    """
    if joined is None:
        return 1.0
    if spec.ignore is None:
        return 0.0
    ignored, votes = joined == spec.ignore, np.sum([label == spec.ignore for label in labels], axis=0)
    tied = ignored & (2 * votes <= len(labels))
    return 1.0 if tied.any() and ignored.all() else float(tied.mean())


def _files(known: Answered) -> tuple[str, ...]:
    """Return the files of the labels of one image, those of older revisions first."""
    return tuple(answer.label for answer in known.labels if answer.label is not None)


def _counted(ids: Sequence[str]) -> str:
    return f"{len(ids)} image{'' if len(ids) == 1 else 's'}"


def _listed(ids: Sequence[str]) -> str:
    return ", ".join(map(repr, ids[:FEW])) + (f" and {len(ids) - FEW} more" if len(ids) > FEW else "")
