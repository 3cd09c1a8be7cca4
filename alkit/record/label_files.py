"""Labels as files of a record, in their original size."""

from __future__ import annotations

import json
import math
from collections.abc import Collection, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import Any, cast, get_args

import numpy as np

from alkit._reading.limits import MOST_DIGITS
from alkit.errors import LabelError
from alkit.labels.framing import to_working
from alkit.labels.masks import decode_mask, mask_png, resize_mask
from alkit.record.store import Store
from alkit.values.frames import Fit, Frame
from alkit.values.label_spec import Label, LabelSpec, Size


@dataclass(frozen=True, eq=False)
class LabelFiles:
    """Writes and reads the files: a mask is a PNG, a class id is decimal digits, and several are a list in JSON."""

    store: Store

    def keep(self, label: Label) -> str:
        """Store a label as a file of the record and return its name."""
        if label.ndim == 1:
            return self.store.keep(json.dumps(label.tolist()).encode(), ".json")
        content, suffix = (mask_png(label.astype(np.uint8)), ".png") if label.ndim else (b"%d" % int(label), ".txt")
        return self.store.keep(content, suffix)

    def read(self, file: str) -> Label:
        """Return the label in a file that :meth:`keep` stored."""
        content = self.store.content(file)
        if file.endswith(".json"):
            return _several(content, file)
        if not content.isdigit():
            return decode_mask(content)
        if len(content) > MOST_DIGITS:  # a stranger's
            raise LabelError(f"the label in {file} is not a class", got=f"a number of {len(content)} digits")
        return np.array(int(content), np.int64)

    def fetch(self, files: Collection[str]) -> None:
        """Prepare to read many files: copies of those in a distant place are made, several at once."""
        self.store.contents.fetch(files)

    def same(self, file: str, other: str) -> bool:
        """Whether two files contain the same label, even if their bytes differ."""
        return file == other or np.array_equal(self.read(file), self.read(other))

    def alike(self, file: str, other: str, spec: LabelSpec, working: Size, fit: Fit = "squash") -> bool:
        """Whether two files contain the same label, after masks are brought to one size by :func:`at_one_size`."""
        if file == other:
            return True
        one, two = at_one_size([self.read(file), self.read(other)], spec, working, fit)
        return np.array_equal(one, two)


def _several(content: bytes, file: str) -> Label:
    """Return which of several classes an image has, from a file that a stranger may have written."""
    with suppress(ValueError, RecursionError):
        match json.loads(content):
            case [*values] if values and all(type(value) is int and 0 <= value <= 255 for value in values):
                return np.array(values, np.uint8)
    raise LabelError(f"{file} must be a list of numbers from 0 to 255", got=repr(content[:100]))


def at_one_size(labels: Sequence[Label], spec: LabelSpec, working: Size, fit: Fit = "squash") -> list[Label]:
    """Return the labels of an image, after masks are resized to the smallest of them.

    If images are padded or cropped, and one of the masks has the working size, all are brought to it.
    """
    smallest, *others = sorted({label.shape for label in labels}, key=math.prod)
    if not others:
        return list(labels)
    if fit != "squash" and working in (smallest, *others):
        height, width = next(shape for shape in (smallest, *others) if shape != working)
        frame = Frame((height, width), working, fit)
        return [to_working(label, frame, spec) for label in labels]
    return [resize_mask(label, (smallest[0], smallest[1]), spec) for label in labels]


def fit_of(form: Any) -> Fit:
    """Return how a pool, by its written form, makes images of one size; one that does not say so squashes them."""
    while isinstance(inner := _given(form).get("pool"), dict):
        form = inner  # of a subset
    fit = _given(form).get("fit")
    return cast(Fit, fit) if fit in get_args(Fit) else "squash"


def _given(form: Any) -> dict[str, Any]:
    """Return with what something was made, by its written form, which a stranger may have written."""
    given = form.get("with") if isinstance(form, dict) else None
    return given if isinstance(given, dict) else {}
