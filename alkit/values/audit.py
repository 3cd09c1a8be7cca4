"""What a round's model was measured to be on the audit set."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from alkit.arguments.checked import checked
from alkit.checks import check_integer, is_number
from alkit.errors import ConfigurationError
from alkit.values.interval import Interval
from alkit.values.shown import count


@checked
@dataclass(frozen=True, slots=True)
class AuditFigures:
    """The figures of a round's model on the audit set, as far as it is labelled.

    Parameters
    ----------
    figures:
        Figures by name, with their intervals; a figure that is not a mean over images may have none.
    drawn:
        Number of images in the audit set.
    of:
        Number of images that they were drawn from.
    ids:
        Ids of the images that were measured.
    groups:
        Their groups; empty if each image is its own.
    values:
        By name one value for each image of `ids`, NaN for one without; only of figures that are means over images.
    skipped:
        Number of images that all annotators skipped, or that cannot be used.
    disputed:
        Number of images that are left out because their annotators disagree.
    main:
        Whether the metrics of the round are these figures. They are those of the test set if there is one.
    labels:
        Digests of the labels of `ids` that they were measured by; empty if they are not known.

    Raises
    ------
    ConfigurationError
        A number is negative, or `labels` and `ids` differ in length.

    Examples
    --------
    >>> found = AuditFigures({"dice": Interval(0.8, 0.7, 0.87, 12, 12)}, drawn=40, of=98, ids=tuple("abcdefghijkl"))
    >>> print(*found.sentences("dice"), sep="\\n")
    dice 0.800 [0.700, 0.870], 12 images: in 95 of 100 such audits, the interval contains the dice on all images ...
    12 of 40 images of the audit set are measured. 28 are not answered yet; the interval narrows with each of them.
    """

    figures: Mapping[str, Interval]
    drawn: int
    of: int
    ids: tuple[str, ...]
    groups: tuple[str, ...] = ()
    values: Mapping[str, Sequence[float]] = field(default_factory=dict)
    skipped: int = 0
    disputed: int = 0
    main: bool = True
    labels: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        for name in ("drawn", "of", "skipped", "disputed"):
            check_integer(name, getattr(self, name), least=0)
        if self.labels and len(self.labels) != len(self.ids):
            raise ConfigurationError(
                "labels must have one digest for each of ids, or none",
                got=f"{len(self.labels)} for {len(self.ids)} ids",
            )

    @property
    def measured(self) -> int:
        """Number of images that were measured."""
        return len(self.ids)

    @property
    def missing(self) -> int:
        """Number of images that are not answered yet."""
        return max(0, self.drawn - self.measured - self.skipped - self.disputed)

    @checked
    def measured_alike(self, other: AuditFigures) -> frozenset[str]:
        """Return the images that both figures have, measured by the same label as far as it is known."""
        own, others = (dict(zip(one.ids, one.labels or [""] * len(one.ids), strict=True)) for one in (self, other))
        return frozenset(
            id for id in own.keys() & others.keys() if "" in (own[id], others[id]) or own[id] == others[id]
        )

    @checked
    def sentences(self, name: str) -> Iterator[str]:
        """Yield what a figure says, and what it does not say, in plain words."""
        if (found := self.figures.get(name)) is not None:
            if found.low is None:
                yield f"{name} {found.value:.3f} on {count(found.n, 'image')}, which are too few for an interval."
            else:
                yield (
                    f"{name} {found}: in {100 * found.confidence:.0f} of 100 such audits, the interval contains the "
                    f"{name} on all images of which the audit set is a random sample."
                )
        if self.measured < self.drawn:
            yield f"{self.measured} of {self.drawn} images of the audit set are measured. {self._others()}"

    def _others(self) -> str:
        told = []
        if self.missing:
            one = self.missing == 1
            told.append(
                f"{self.missing} {'is' if one else 'are'} not answered yet; the interval narrows with each of them."
            )
        if self.skipped:
            told.append(f"{self.skipped} {_were(self.skipped)} skipped: the figure is for images that can be labelled.")
        if self.disputed:
            told.append(f"{self.disputed} {_were(self.disputed)} left out, because annotators disagree about them.")
        return " ".join(told)

    def written(self) -> dict[str, Any]:
        """Return a form that can be stored as JSON."""
        form: dict[str, Any] = {"drawn": self.drawn, "of": self.of, "main": self.main}
        form |= {"skipped": self.skipped, "disputed": self.disputed, "ids": list(self.ids), "groups": list(self.groups)}
        form["figures"] = {name: written_interval(found) for name, found in self.figures.items()}
        form["values"] = {
            name: [None if math.isnan(value) else round(float(value), 6) for value in values]
            for name, values in self.values.items()
        }
        if self.labels:
            form["labels"] = list(self.labels)
        return form

    @classmethod
    @checked
    def from_written(cls, form: Mapping[str, Any]) -> AuditFigures:
        """Return the figures that :meth:`written` has written.

        Raises
        ------
        ConfigurationError
            `form` is something else.
        """
        if not is_written_audit(form):
            raise ConfigurationError("form must be what AuditFigures.written returns", got=repr(form)[:100])
        values = {
            name: tuple(math.nan if value is None else value for value in own) for name, own in form["values"].items()
        }
        figures = {name: interval_from_written(own) for name, own in form["figures"].items()}
        counts = {name: form[name] for name in ("drawn", "of", "skipped", "disputed", "main")}
        ids, groups, labels = (tuple(form.get(name, ())) for name in ("ids", "groups", "labels"))
        return cls(figures, ids=ids, groups=groups, values=values, labels=labels, **counts)


def _were(n: int) -> str:
    return "was" if n == 1 else "were"


def written_interval(found: Interval) -> list[float | None]:
    """Return an interval as a list for JSON."""
    return [found.value, found.low, found.high, found.n, found.clusters, found.confidence]


def interval_from_written(form: Sequence[Any]) -> Interval:
    """Return the interval of a list."""
    return Interval(*form)


def is_written_interval(form: Any) -> bool:
    """Return whether a value from JSON is what :func:`written_interval` returns."""
    if not isinstance(form, list) or len(form) != 6:
        return False
    value, low, high, n, clusters, confidence = form
    ends = all(end is None or is_number(end) for end in (low, high)) and (low is None) == (high is None)
    counts = all(isinstance(number, int) and not isinstance(number, bool) and number >= 0 for number in (n, clusters))
    return ends and counts and is_number(value) and is_number(confidence)


def is_written_audit(form: Any) -> bool:
    """Return whether a value from JSON is what :meth:`AuditFigures.written` returns."""
    counts = ("drawn", "of", "skipped", "disputed")
    names = {*counts, "main", "ids", "groups", "figures", "values"}
    if not isinstance(form, dict) or form.keys() - {"labels"} != names or not isinstance(form["main"], bool):
        return False
    if not all(type(form[name]) is int and form[name] >= 0 for name in counts):
        return False
    for name in ("ids", "groups", "labels"):
        own = form.get(name, [])
        if not isinstance(own, list) or not all(isinstance(entry, str) for entry in own):
            return False
        if own and len(own) != len(form["ids"]):
            return False
    figures, values = form["figures"], form["values"]
    return (
        isinstance(figures, dict)
        and all(map(is_written_interval, figures.values()))
        and isinstance(values, dict)
        and all(
            isinstance(own, list) and len(own) == len(form["ids"]) and all(one is None or is_number(one) for one in own)
            for own in values.values()
        )
    )


def without_image(form: Mapping[str, Any], id: str) -> dict[str, Any]:
    """Return the form of figures without the values of an image, which was not drawn either.

    The figures stay as they were measured.
    """
    if id not in form["ids"]:
        return dict(form)
    place = form["ids"].index(id)

    def left(entries: Sequence[Any]) -> list[Any]:
        return [*entries[:place], *entries[place + 1 :]]

    values = {name: left(own) for name, own in form["values"].items()}
    texts = {name: left(form[name]) if form[name] else [] for name in ("ids", "groups", "labels") if name in form}
    return {**form, "drawn": max(form["drawn"] - 1, 0), "values": values, **texts}
