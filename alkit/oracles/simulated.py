"""Simulated oracles: they answer from labels that are already known, such as those of a benchmark."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, cast

import numpy.typing as npt

from alkit._files import without_tilde
from alkit._reading.threads import map_in_threads
from alkit.arguments.arrays import array_of
from alkit.arguments.checked import check_argument, checked, checked_except
from alkit.configuration.parameter_changes import changes
from alkit.errors import ConfigurationError, DataError, LabelError, nearest
from alkit.labels.meaning import Meaning, make_meaning
from alkit.labels.sets import label_of, split_set
from alkit.oracles.class_files import read_classes
from alkit.oracles.class_sets import read_sets
from alkit.oracles.mask_files import MaskFiles, check_patterns, likely_pattern
from alkit.pools.sizes import mask_sizes
from alkit.protocols import Pool
from alkit.values.answers import Answer
from alkit.values.label_spec import Label, LabelSpec, Size
from alkit.values.progress import Progress, Report, quiet
from alkit.values.queries import Query
from alkit.values.shown import short

FEW = 5
"""Most reasons that a message lists."""

FURTHER = ("threshold", "instances")
"""Parameters of :class:`MaskOracle` that its representation leaves out if they are not given."""


class Simulated(ABC):
    """An oracle that knows the label of every image: it notes queries and answers them at the next poll."""

    _asked: dict[str, None]  # ids in the order asked

    @abstractmethod
    def read(self, id: str) -> Any:
        """Return the label of an image."""

    @abstractmethod
    def _unlabelled(self, ids: Iterable[str]) -> list[str]:
        """Return those of `ids` that have no label."""

    @abstractmethod
    def _refusal(self, missing: Sequence[str]) -> LabelError:
        """Return the error for images without a label."""

    @checked
    def ask(self, queries: Sequence[Query]) -> None:
        """Note the queries. A query that is already noted is asked once."""
        self._asked.update(dict.fromkeys(query.id for query in queries))

    def poll(self) -> Iterator[Answer]:
        """Yield an answer to each query noted, in the order asked, and forget the query."""
        for id in list(self._asked):
            label = self.read(id)
            self._asked.pop(id, None)
            yield Answer(id, label)

    @checked
    def check(self, ids: Iterable[str]) -> None:
        """Check that every image has a label, before time is spent on training. No label file is opened.

        Raises
        ------
        LabelError
            Images have no label. The message states how many and names the first five.
        """
        if missing := self._unlabelled(ids):
            raise self._refusal(missing)


@changes(added={"threshold": None, "instances": False})
@checked
@dataclass(frozen=True)
class MaskOracle(Simulated):
    """A simulated annotator of masks, from files in a folder or arrays in a mapping.

    The oracle does not check sizes and classes: :meth:`LabelSpec.check` does, as with any answer.

    Parameters
    ----------
    masks:
        A folder of PNG, TIFF or BMP files with one channel, at the image's original or working size; or a mapping from
        id to ``(h, w)`` of class ids. A palette file is read as its indices, a 1-bit file as 0 and 1.
    classes:
        Names of the classes. The id of a class is its position.
    ignore:
        Value of pixels that are neither trained on nor measured. None: there are none.
    pattern:
        File name of a mask, with ``{id}`` for the id of the image, such as ``"{id}_segmentation.png"``. With ``*``, an
        image may have several files, such as one for each instance in ``"{id}/*.png"``: they are joined, and must not
        contradict each other. With ``{class}``, each class but the first has files of its own, such as
        ``"{class}/{id}.png"``, in which a later class covers an earlier one; a class without a file is not in the
        image. Several patterns are alternatives, of which an image must match one.
    values:
        Class id of each value in the masks, such as ``{0: 0, 128: 1, 255: 2}``, which must contain the ignore value,
        too; or the value of each class, such as ``(0, 128, 255)``. By default values are class ids, with one exception:
        with two classes, a mask of only 0 and 255 means class 1 where it is 255, unless 255 is the ignore value.
    threshold:
        Values from this number on mean class 1, and lower ones class 0. Masks can then be JPEG files, too. For two
        classes, or files of each class.
    instances:
        Whether each value other than 0 is the number of an instance of class 1. For two classes, or files of each
        class.

    Raises
    ------
    DataError
        `masks` is a folder that does not exist.
    ConfigurationError
        `pattern` does not contain ``{id}``, `values` maps to something other than a class id or the ignore value, or
        two of `values`, `threshold` and `instances` are given.

    Examples
    --------
    >>> import numpy as np
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
    pattern: str | Sequence[str] = "{id}.png"
    values: Mapping[int, int] | Sequence[int] | None = None
    threshold: float | None = None
    instances: bool = False
    spec: LabelSpec = field(init=False, repr=False, compare=False)
    _meaning: Meaning = field(init=False, repr=False, compare=False)
    _files: MaskFiles | None = field(init=False, repr=False, compare=False)
    _asked: dict[str, None] = field(init=False, repr=False, compare=False, default_factory=dict)
    _sound: set[tuple[str, tuple[Size, ...]]] = field(init=False, repr=False, compare=False, default_factory=set)

    def __post_init__(self) -> None:
        spec = LabelSpec(self.classes, self.ignore)
        vars(self).update(spec=spec, classes=spec.classes)
        if not isinstance(self.masks, Mapping) and not without_tilde(self.masks).is_dir():
            what = f"the file {self.masks}" if without_tilde(self.masks).exists() else self.masks
            raise DataError("masks must be an existing folder", got=what, hint="check the path")
        patterns = check_patterns(self.pattern, spec.classes)
        files = None if isinstance(self.masks, Mapping) else MaskFiles(str(self.masks), patterns, spec)
        each = files is not None and files.of_each_class
        meaning = make_meaning(spec, self.values, self.threshold, self.instances, of_each_class=each)
        vars(self).update(pattern=patterns[0] if len(patterns) == 1 else patterns, values=meaning.values)
        vars(self).update(threshold=meaning.threshold, _meaning=meaning, _files=files)

    def __repr__(self) -> str:
        masks = short(self.masks) if isinstance(self.masks, Mapping) else repr(self.masks)
        names = ["classes", "ignore", "pattern", "values", *(name for name in FURTHER if getattr(self, name))]
        return f"MaskOracle(masks={masks}, {', '.join(f'{name}={getattr(self, name)!r}' for name in names)})"

    @checked
    def read(self, id: str) -> npt.NDArray[Any]:
        """Return the mask of an image, ``(h, w)``, with class ids as values, at the size at which it is stored.

        Raises
        ------
        LabelError
            The image has no mask, its file is not a label map, or the mask contains a value that `values` lacks.
        """
        if self._unlabelled([id]):
            raise self._refusal([id])
        if self._files is not None:
            return self._files.read(id, self._meaning)
        mask = array_of(cast(Mapping[str, Any], self.masks)[id], f"the mask of {id!r}", LabelError)
        return self._meaning.class_ids(mask, self.spec, id)

    @checked
    def check(self, ids: Iterable[str]) -> None:
        """Check that every image has a mask of its own, before time is spent on training. No label file is opened.

        Raises
        ------
        LabelError
            Images have no mask, or a file is a mask of two images. The message states the first of them.
        """
        own = list(ids)
        super().check(own)
        if self._files is not None:
            self._files.check_owners(own)

    @checked
    def check_labels(self, pool: Pool, report: Report = quiet) -> None:
        """Check the mask of every image of a pool: that it can be read, fits its image and holds only classes.

        The masks of a folder are read by several threads. A mask that was checked once is not read again.

        Parameters
        ----------
        pool:
            The images.
        report:
            Called with the progress of stage ``check`` after each mask.

        Raises
        ------
        LabelError
            Images have no mask, or masks cannot be used. The message states how many, and the reasons of the first.

        Examples
        --------
        >>> import alkit, numpy as np
        >>> pool = alkit.ArrayPool(np.zeros((2, 8, 8), np.uint8))
        >>> masks = {"0000": np.zeros((8, 8), int), "0001": np.full((8, 8), 2)}
        >>> MaskOracle(masks, classes=("skin", "lesion")).check_labels(pool)
        Traceback (most recent call last):
        alkit.errors.LabelError: the mask of '0001' holds values outside its classes: got [2], ...
        """
        self.check(pool.ids)
        ids = list(pool.ids)
        waiting = [
            (id, sizes) for id, sizes in zip(ids, mask_sizes(pool, ids), strict=True) if (id, sizes) not in self._sound
        ]
        failed: list[LabelError] = []
        # A mapping of the user may not be made for several threads.
        found = map(self._fault, waiting) if isinstance(self.masks, Mapping) else map_in_threads(self._fault, waiting)
        for done, (item, fault) in enumerate(zip(waiting, found, strict=True), start=1):
            if fault is None:
                self._sound.add(item)
            else:
                failed.append(fault)
            report(Progress("check", done, len(waiting)))
        if len(failed) > 1:
            reasons, _, fixes = zip(*(str(error).partition(". Try: ") for error in failed[:FEW]), strict=True)
            listed = "; ".join(reasons) + ("; ..." if len(failed) > FEW else "")
            fix = fixes[0].removesuffix(".") or None
            raise LabelError(f"{len(failed)} of {len(ids)} masks cannot be used: {listed}", hint=fix)
        if failed:
            raise failed[0]

    def _fault(self, item: tuple[str, tuple[Size, ...]]) -> LabelError | None:
        id, sizes = item
        try:
            mask, files = self.read(id), [] if self._files is None else self._files.find(id)
            self.spec.check(mask, id=id, sizes=sizes, file=str(files[0][1]) if len(files) == 1 else None)
        except LabelError as error:
            return error
        return None

    @checked
    def files(self, id: str) -> tuple[Path, ...]:
        """Return the mask files of an image; empty if it has none, or if `masks` is a mapping.

        Raises
        ------
        LabelError
            Files match two patterns.
        """
        return () if self._files is None else tuple(path for _, path in self._files.find(id))

    def _unlabelled(self, ids: Iterable[str]) -> list[str]:
        if self._files is None:
            return [id for id in ids if id not in cast(Mapping[str, Any], self.masks)]
        return [id for id in ids if not self._files.find(id)]

    def _refusal(self, missing: Sequence[str]) -> LabelError:
        if self._files is None:
            return _no_label("mask", missing, "a key of the mapping for each id")
        likely = likely_pattern(without_tilde(self._files.folder), missing)
        now = self.pattern if isinstance(self.pattern, str) else tuple(self.pattern)
        return _no_label(
            "mask",
            missing,
            f"a file such as {self._files.example(missing[0])}",
            f"pattern={likely or '{id}_segmentation.png'!r} (it is {now!r}), or another folder",
        )


@checked_except("labels")
@dataclass(frozen=True)
class LabelOracle(Simulated):
    """A simulated annotator of one class per image, or of several, from a mapping or a table.

    Parameters
    ----------
    labels:
        Class of each image, by image id: a class id or a name in `classes`. It may contain images that nobody asks for.
        Or the path of a CSV file with the columns ``id`` and ``class``, see :func:`alkit.oracles.read_classes`.
        :func:`alkit.oracles.folder_classes` makes a mapping from images in folders of classes.
        If an image can have several classes: a set of names, an array of 0 and 1, or a text such as ``"cat|dog"`` or
        ``"none"``; or the path of a CSV file with such texts in a column ``class`` or with a column for each class.
    classes:
        Names of the classes. The id of a class is its position.
    multiple:
        Whether an image can have several classes, or none of them.
    ignore:
        Value of classes about which nothing is known, if an image can have several: see :class:`alkit.LabelSpec`.

    Raises
    ------
    LabelError
        A label is not a class. The message names the image.
    ConfigurationError
        `labels` is neither a mapping nor a path, or `classes` are not two or more different names.

    Examples
    --------
    >>> oracle = LabelOracle({"a": "dog", "b": 0}, classes=("cat", "dog"))
    >>> oracle.ask([Query(id, round=0, rank=rank, sizes=()) for rank, id in enumerate("ab")])
    >>> [(answer.id, answer.label) for answer in oracle.poll()]
    [('a', 1), ('b', 0)]
    >>> list(oracle.poll())
    []
    >>> LabelOracle({"a": {"dog", "cat"}, "b": "none"}, classes=("cat", "dog"), multiple=True).read("a").tolist()
    [1, 1]
    """

    labels: Mapping[str, Any] | str | Path = field(repr=False)
    classes: tuple[str, ...]
    multiple: bool = field(default=False, repr=False, metadata={"written": "unless default"})
    ignore: int | None = field(default=None, repr=False, metadata={"written": "unless default"})
    spec: LabelSpec = field(init=False, repr=False, compare=False)
    _known: dict[str, Any] = field(init=False, repr=False, compare=False)
    _asked: dict[str, None] = field(init=False, repr=False, compare=False, default_factory=dict)

    def __post_init__(self) -> None:
        spec = LabelSpec(self.classes, self.ignore, per="image", multiple=self.multiple)
        if isinstance(self.labels, str | Path) and str(self.labels):
            vars(self).update(labels=read_sets(self.labels, spec) if self.multiple else read_classes(self.labels))
        if not isinstance(self.labels, Mapping):
            raise ConfigurationError(
                "labels must be a mapping from id to class, or the path of a table",
                got=repr(self.labels) if isinstance(self.labels, str) else type(self.labels).__name__,
                hint="labels=dict(zip(ids, labels))",
            )
        check_argument("labels", self.labels, Mapping[str, Any])
        read = _class_set if self.multiple else _class_id
        known = {id: read(label, id, spec) for id, label in self.labels.items()}
        vars(self).update(spec=spec, classes=spec.classes, _known=known)

    @checked
    def read(self, id: str) -> Any:
        """Return the class id of an image; if it can have several, an array ``(classes,)`` of 0, 1 and ignore values.

        Raises
        ------
        LabelError
            The image has no label.
        """
        if id not in self._known:
            raise self._refusal([id])
        return self._known[id]

    def _unlabelled(self, ids: Iterable[str]) -> list[str]:
        return [id for id in ids if id not in self._known]

    def _refusal(self, missing: Sequence[str]) -> LabelError:
        return _no_label("label", missing, "a key of the mapping for each id")


def _no_label(noun: str, missing: Sequence[str], expected: str, hint: str | None = None) -> LabelError:
    if len(missing) == 1:
        return LabelError(f"image {missing[0]!r} has no {noun}", expected=expected, hint=hint)
    first = ", ".join(missing[:5]) + (" ..." if len(missing) > 5 else "")
    return LabelError(f"{len(missing)} images have no {noun}", got=first, expected=expected, hint=hint)


def _class_id(label: int | str, id: str, spec: LabelSpec) -> int:
    if not isinstance(label, str):
        return int(spec.check(label, id=id, sizes=()))
    if label not in spec.classes:
        raise LabelError(
            f"the label of image {id!r} must be a class",
            got=repr(label),
            expected=str(spec),
            hint=nearest(label, spec.classes),
        )
    return spec.classes.index(label)


def _class_set(label: Any, id: str, spec: LabelSpec) -> Label:
    if isinstance(label, str):
        return label_of(split_set(label, spec.classes), spec, f"image {id!r}")
    return spec.check(label, id=id, sizes=())
