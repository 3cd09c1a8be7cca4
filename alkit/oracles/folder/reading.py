"""Read answers from files, once the files are at rest."""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import chain, islice
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from alkit._reading.inside import read_inside
from alkit._reading.limits import PIXELS, limit
from alkit.errors import ConfigurationError, DataError, LabelError
from alkit.oracles.annotations import Empty
from alkit.oracles.folder.inbox import AnnotationFile, Entry
from alkit.oracles.folder.layout import MASKS, TABLE, ending, version_of
from alkit.oracles.formats.close_names import said
from alkit.oracles.formats.registry import format_name, format_of
from alkit.oracles.saved_masks import answered_mask
from alkit.oracles.times import revision_of
from alkit.values.answers import Answer, Invalid, Skip, Withdrawal
from alkit.values.label_spec import LabelSpec
from alkit.values.queries import Query

LONGEST_REASON = 10_000
"""Highest number of bytes in a reason."""

EMPTY = "it is empty"
"""Reason why a mask file is not read that stays until somebody saves the file again."""

PER_PIXEL, BESIDES = 8, 2**20
"""Highest number of bytes in a mask: of each pixel (four channels of 16 bits, not compressed), and of the rest."""


@dataclass(frozen=True, slots=True)
class Reader:
    """Reads answers.

    Parameters
    ----------
    inbox:
        The folder that contains all files.
    outbox:
        The folder that queries were written to.
    spec:
        The classes.
    empty:
        Meaning of an image without annotations in a COCO, CVAT or NIfTI file.
    settle:
        Seconds for which a file must not have changed before it is read.
    """

    inbox: Path
    outbox: Path
    spec: LabelSpec
    empty: Empty
    settle: float

    def obstacle(self, path: Path) -> str | None:
        """Return why a file cannot be read yet, or None if it can."""
        try:
            facts = path.stat()
        except OSError:
            return "it has just been deleted"
        # A time far in the future comes from a wrong clock and tells nothing.
        if abs(time.time() - facts.st_mtime) < self.settle:
            return f"it may be half-written: it is read once it has not changed for {self.settle:g} s"
        return EMPTY if not facts.st_size and ending(path.name) in MASKS else None

    def answer(self, entry: Entry, query: Query) -> Answer | None:
        """Return an answer, or None if its files are not at rest."""
        if any(self.obstacle(path) for path in entry.files):
            return None
        now = time.time_ns()
        try:
            before = [version_of(path, now) for path in entry.files]
            remarks = [said(name, query) for name in entry.renamed]
            label = self._label(entry, query, remarks)
            if [version_of(path, now) for path in entry.files] != before:
                return None
        except FileNotFoundError:
            return None
        revision = max(revision_of(version.modified) for version in before)
        confirmed = entry.confirmed is not None
        key = query.key if entry.is_keyed(query) else ""
        return Answer(
            query.id, label, entry.annotator, revision, confirmed=confirmed, query=key, remarks=tuple(remarks)
        )

    def answers(self, file: AnnotationFile, queries: Sequence[Query]) -> Iterator[Answer] | str:
        """Return the answers in a COCO, CVAT or NIfTI file, or the reason why it is not read."""
        for path in file.files:
            if (why := self.obstacle(path)) is not None:
                return why
        form, now = format_of(format_name(file.path.name) or "", self.outbox), time.time_ns()
        try:
            before = version_of(file.path, now)
            answers = form.read(
                file.path, queries, self.spec, annotator=file.annotator, empty=self.empty, inside=self.inbox
            )
            if file.confirmed:
                since = revision_of(version_of(file.confirmation, now).modified)
                answers = (
                    replace(answer, confirmed=True, revision=max(since, answer.revision or 0)) for answer in answers
                )
            first = list(islice(answers, 1))  # the whole file is read and checked before this arrives
            if version_of(file.path, now) != before:
                return "it has just changed"
        except (ConfigurationError, DataError, FileNotFoundError) as error:
            return str(error)
        return chain(first, answers)

    def unannotated(self, file: AnnotationFile, queries: Sequence[Query]) -> tuple[str, ...]:
        """Return the ids of the queried images without annotations in such a file; none if it is not read."""
        form = format_of(format_name(file.path.name) or "", self.outbox)
        try:
            return form.unannotated(file.path, queries, self.spec, inside=self.inbox)
        except (ConfigurationError, DataError, FileNotFoundError):
            return ()

    def _label(self, entry: Entry, query: Query, remarks: list[str]) -> npt.NDArray[Any] | Skip | Withdrawal | Invalid:
        """Return what the files of an answer say, and add to `remarks` what was interpreted."""
        names = " and ".join(path.name for path in (*entry.masks, *entry.words))
        if len(entry.words) > 1 or (entry.words and entry.masks):
            return Invalid(f"there are two answers, {names}: delete one of them")
        try:
            if entry.words:
                return self._word(entry.words[0])
            if self.spec.per == "image":
                said = (
                    "an image has classes: write them" if self.spec.multiple else "each image has one class: write it"
                )
                return Invalid(f"{names} is a mask, but {said} into a table such as {TABLE}")
            masks = [self._mask(path, query, remarks) for path in entry.masks]
        except LabelError as reason:
            return Invalid(str(reason))
        except FileNotFoundError:
            raise
        except OSError as reason:
            return Invalid(f"{names} cannot be read ({reason.strerror})")
        if any(not np.array_equal(masks[0], other) for other in masks[1:]):
            return Invalid(f"there are two different answers, {names}: delete one of them")
        return masks[0]

    def _mask(self, path: Path, query: Query, remarks: list[str]) -> npt.NDArray[Any]:
        # A query.json may come from a stranger, so the sizes in it count up to the limit of this machine only.
        # The query of an image that was removed has none.
        pixels = min(max((height * width for height, width in query.sizes), default=limit(PIXELS)), limit(PIXELS))
        content = read_inside(path, self.inbox, PER_PIXEL * pixels + BESIDES)
        mask, more = answered_mask(content, path.name, self.spec, query.id, query.sizes)
        remarks.extend(remark for remark in more if remark not in remarks)
        return mask

    def _word(self, path: Path) -> Skip | Withdrawal | Invalid:
        if (size := path.stat().st_size) > LONGEST_REASON:
            return Invalid(f"{path.name} has {size} bytes; a reason must have at most {LONGEST_REASON}")
        content = read_inside(path, self.inbox, LONGEST_REASON)
        try:
            reason = content.decode("utf-16" if content[:2] in (b"\xff\xfe", b"\xfe\xff") else "utf-8-sig").strip()
        except UnicodeDecodeError:
            return Invalid(f"{path.name} must contain text: save the reason as UTF-8")
        return Skip(reason) if path.suffix.lower() == ".skip" else Withdrawal(reason)
