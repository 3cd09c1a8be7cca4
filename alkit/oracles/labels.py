"""An oracle that knows the answers already: it plays the annotator from class ids, or names, that exist."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field

from alkit.errors import ConfigurationError, LabelError, nearest
from alkit.values.answers import Answer
from alkit.values.label_spec import LabelSpec
from alkit.values.queries import Query


@dataclass(frozen=True)
class LabelOracle:
    """A simulated annotator of one class per image: answers every query at the next poll, from a mapping.

    Parameters
    ----------
    labels:
        From an image's id to its class: a class id, or a name out of `classes`. Images nobody asks about may be in it.
    classes:
        Names of the classes; a class's id is its position.

    Raises
    ------
    LabelError
        A label that is no class; the image is named.
    ConfigurationError
        `labels` is no mapping, or the classes cannot be told apart.

    Examples
    --------
    >>> oracle = LabelOracle({"a": "dog", "b": 0}, classes=("cat", "dog"))
    >>> oracle.ask([Query(id, round=0, rank=rank, sizes=()) for rank, id in enumerate("ab")])
    >>> [(answer.id, answer.label) for answer in oracle.poll()]
    [('a', 1), ('b', 0)]
    >>> list(oracle.poll())
    []
    """

    labels: Mapping[str, int | str] = field(repr=False)
    classes: tuple[str, ...]
    spec: LabelSpec = field(init=False, repr=False, compare=False)
    _ids: dict[str, int] = field(init=False, repr=False, compare=False)
    _asked: dict[str, None] = field(init=False, repr=False, compare=False, default_factory=dict)

    def __post_init__(self) -> None:
        spec = LabelSpec(self.classes, per="image")
        if not isinstance(self.labels, Mapping):
            raise ConfigurationError(
                "labels are no mapping",
                got=type(self.labels).__name__,
                expected="a class for each id",
                hint="dict(zip(ids, labels))",
            )
        known = {id: _class_id(label, id, spec) for id, label in self.labels.items()}
        vars(self).update(spec=spec, classes=spec.classes, _ids=known)

    def ask(self, queries: Sequence[Query]) -> None:
        """Note the queries; one that is noted already is asked once."""
        self._asked.update(dict.fromkeys(query.id for query in queries))

    def poll(self) -> Iterator[Answer]:
        """Yield an answer to each query noted, in the order asked, and forget it."""
        for id in list(self._asked):
            label = self.read(id)
            self._asked.pop(id, None)
            yield Answer(id, label)

    def check(self, ids: Iterable[str]) -> None:
        """Look whether all these images have a label, before anything is spent on them.

        Raises
        ------
        LabelError
            Some have none: how many, and which are the first.
        """
        if missing := [id for id in ids if id not in self._ids]:
            raise LabelError(
                f"{len(missing)} images have no label",
                got=", ".join(missing[:5]) + (" ..." if len(missing) > 5 else ""),
                expected="keys of the mapping",
            )

    def read(self, id: str) -> int:
        """Return the class id of an image.

        Raises
        ------
        LabelError
            There is none.
        """
        if id not in self._ids:
            raise LabelError(f"there is no label of {id!r}", expected="a key of the mapping")
        return self._ids[id]


def _class_id(label: int | str, id: str, spec: LabelSpec) -> int:
    if not isinstance(label, str):
        return int(spec.check(label, id=id, sizes=()))
    if label not in spec.classes:
        raise LabelError(
            f"the label of {id!r} is no class", got=repr(label), expected=str(spec), hint=nearest(label, spec.classes)
        )
    return spec.classes.index(label)
