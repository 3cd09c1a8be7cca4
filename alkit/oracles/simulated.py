"""An oracle that knows the answers already: it plays the annotator from masks that exist."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from alkit.errors import ConfigurationError, DataError, LabelError
from alkit.labels.masks import class_ids, read_mask
from alkit.values.answers import Answer
from alkit.values.label_spec import LabelSpec
from alkit.values.queries import Query


@dataclass(frozen=True)
class MaskOracle:
    """A simulated annotator: answers every query at the next poll, from masks in a folder or in a mapping.

    Whether a mask fits its image and its classes is for :meth:`LabelSpec.check` to say, as with any answer.

    Parameters
    ----------
    masks:
        A folder of PNG, TIFF or BMP files of one channel, at any size an answer may have; or a mapping from
        id to ``(h, w)`` of class ids. A palette file gives its palette's indices, a file of 1 bit 0 and 1.
    classes:
        Names of the classes; a class's id is its position.
    ignore:
        The value of pixels that are neither trained on nor measured; None for none.
    pattern:
        A mask's file name, ``{id}`` standing for the image's id, such as ``"{id}_segmentation.png"``.
    values:
        From values in the masks to class ids, such as ``{0: 0, 128: 1, 255: 2}``; the ignore value, too, must
        be named. By default values are class ids, except that with two classes a mask of only 0 and 255 means
        class 1 where it is 255, unless 255 is the ignore value.

    Raises
    ------
    DataError
        There is no such folder.
    ConfigurationError
        A pattern without ``{id}``, or `values` that lead to what is no class.

    Examples
    --------
    >>> oracle = MaskOracle({"a": np.array([[0, 255]], np.uint8)}, classes=("skin", "lesion"))
    >>> oracle.ask([Query("a", round=0, rank=0, sizes=((1, 2),))])
    >>> [(answer.id, answer.label.tolist()) for answer in oracle.poll()]
    [('a', [[0, 1]])]
    >>> list(oracle.poll())
    []
    """

    masks: str | Path | Mapping[str, npt.NDArray[Any]]
    classes: tuple[str, ...]
    ignore: int | None = None
    pattern: str = "{id}.png"
    values: Mapping[int, int] | None = None
    spec: LabelSpec = field(init=False, repr=False, compare=False)
    _asked: dict[str, None] = field(init=False, repr=False, compare=False, default_factory=dict)

    def __post_init__(self) -> None:
        spec = LabelSpec(self.classes, self.ignore)
        vars(self).update(spec=spec, classes=spec.classes)
        if not isinstance(self.masks, Mapping) and not Path(self.masks).expanduser().is_dir():
            raise DataError("there is no such folder of masks", got=self.masks, hint="check the path")
        if "{id}" not in self.pattern:
            raise ConfigurationError("the pattern names one file for all", got=self.pattern, expected="{id} in it")
        allowed = {*range(len(spec.classes)), spec.ignore}
        if self.values is not None and (wrong := [v for v in self.values.values() if v not in allowed]):
            raise ConfigurationError("values lead to what is no class", got=wrong, expected=str(spec))

    def ask(self, queries: Sequence[Query]) -> None:
        """Note the queries; one that is noted already is asked once."""
        self._asked.update(dict.fromkeys(query.id for query in queries))

    def poll(self) -> Iterator[Answer]:
        """Yield an answer to each query noted, in the order asked, and forget it."""
        for id in list(self._asked):
            mask = self.read(id)
            self._asked.pop(id, None)
            yield Answer(id, mask)

    def check(self, ids: Iterable[str]) -> None:
        """Look whether all these images have a mask, before anything is spent on them; no mask is read.

        Raises
        ------
        LabelError
            Some have none: how many, and which are the first.
        """
        kept = self.masks
        missing = [id for id in ids if not (id in kept if isinstance(kept, Mapping) else self._file(id).is_file())]
        if missing:
            raise LabelError(
                f"{len(missing)} images have no mask",
                got=", ".join(missing[:5]) + (" ..." if len(missing) > 5 else ""),
                expected=f"{self.pattern!r} in {self.masks}" if not isinstance(self.masks, Mapping) else "keys",
                hint="another folder or pattern, such as '{id}_segmentation.png'",
            )

    def _file(self, id: str) -> Path:
        return Path(str(self.masks)).expanduser() / self.pattern.replace("{id}", id)

    def read(self, id: str) -> npt.NDArray[Any]:
        """Return the mask of an image, ``(h, w)``, in class ids, at the size it is kept in.

        Raises
        ------
        LabelError
            There is none, its file is no label map, or it holds a value that `values` does not name.
        """
        if isinstance(self.masks, Mapping):
            if id not in self.masks:
                raise LabelError(f"there is no mask of {id!r}", expected="a key of the mapping")
            return class_ids(np.asarray(self.masks[id]), self.spec, id, self.values)
        path = self._file(id)
        if not path.is_file():
            raise LabelError(
                f"there is no mask of {id!r}",
                got=f"no file {path}",
                hint=f"pattern='{{id}}_segmentation.png' or the like; it is {self.pattern!r}",
            )
        return class_ids(read_mask(path), self.spec, id, self.values)
