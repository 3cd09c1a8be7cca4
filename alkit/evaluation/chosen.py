"""The metrics that are measured: by name, as a part, or as an object or a function of the user."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol, runtime_checkable

from alkit.arguments.checked import checked, checked_except
from alkit.checks import check_number
from alkit.errors import ConfigurationError
from alkit.evaluation import accumulators, sets
from alkit.evaluation.accumulators import Accumulator
from alkit.evaluation.kinds import DEFAULTS, KINDS, OF_CLASSES, OF_MASKS, OF_SETS, TOLERANCE, Make, kind_of
from alkit.values.label_spec import LabelSpec

ORIGINAL = "_original"
"""End of the names of metrics of masks that are measured at the original size of each image."""

LOWER = ("hd95", "ece")
"""Metrics that fall while a model improves."""


@runtime_checkable
class Updates(Protocol):
    """An object of torchmetrics, or one that works in the same way."""

    def reset(self) -> object:
        """Forget all predictions."""

    def update(self, preds: Any, target: Any) -> object:
        """Take the predictions of some images."""

    def compute(self) -> Any:
        """Return the value, one for each class, or a mapping of names to values."""


@checked_except("tolerance")
@dataclass(frozen=True)
class SurfaceDice:
    """The surface Dice with another tolerance than the name ``"surface_dice"`` has.

    Parameters
    ----------
    tolerance:
        Distance in pixels of the working size up to which outlines agree, a finite number >= 0. Default: 1.

    Raises
    ------
    ConfigurationError
        `tolerance` is out of range.

    Examples
    --------
    >>> SurfaceDice(tolerance=3).tolerance
    3
    """

    tolerance: float = TOLERANCE

    def __post_init__(self) -> None:
        check_number("tolerance", self.tolerance, 0)


@checked_except("metric")
@dataclass(frozen=True)
class PerGroup:
    """A metric over groups of images: their mean, the worst group, and each group.

    The groups may be kinds of image, hospitals or scanners. A mean over images says little on a rare group, and this
    one does. For ``PerGroup("dice", groups)`` the figures are ``dice_over_groups``, ``dice_worst_group`` and
    ``dice@<group>``.

    Parameters
    ----------
    metric:
        A metric: a name, a :class:`SurfaceDice`, an object of torchmetrics, or a function.
    groups:
        Group by id, for each image that is measured.

    Raises
    ------
    ConfigurationError
        `metric` is not a metric, or there is no group.

    Examples
    --------
    >>> PerGroup("dice", {"case-1": "common", "case-2": "rare"}).groups["case-2"]
    'rare'
    """

    metric: Any
    groups: Mapping[str, str] = field(repr=False)

    def __post_init__(self) -> None:
        if isinstance(self.metric, PerGroup):
            raise ConfigurationError("metric must not have groups itself", got=repr(self.metric))
        _check("metric", self.metric)
        if not self.groups:
            raise ConfigurationError("groups must have at least one image", got="an empty mapping")


Metrics = Sequence[Any] | Mapping[str, Any]
"""Names, parts, objects of torchmetrics and functions; the last two may have a name of their own in a mapping."""


@checked
def lower_is_better(name: str) -> bool:
    """Return whether a metric of alkit falls while a model improves; False for metrics that alkit does not know.

    >>> [lower_is_better(name) for name in ("hd95", "hd95_worst_group", "hd95/lesion", "member_ece", "dice")]
    [True, True, True, True, False]
    """
    return stem_of(name) in LOWER


def stem_of(name: str) -> str:
    """Return the metric of a figure: without its class, its group, and how it was taken."""
    stem = name.split("/")[0].split("@")[0].removeprefix("member_")
    return stem.removesuffix("_worst_group").removesuffix("_over_groups").removesuffix(ORIGINAL)


def is_original(metric: Any) -> bool:
    """Return whether a metric is measured at the original size of each image, such as ``"dice_original"``.

    >>> is_original("hd95_original"), is_original("hd95"), is_original(PerGroup("dice_original", {"a": "x"}))
    (True, False, True)
    """
    if isinstance(metric, PerGroup):
        return is_original(metric.metric)
    return isinstance(metric, str) and metric.endswith(ORIGINAL)


def wants_original(metrics: Metrics | None) -> bool:
    """Return whether one of the metrics is measured at the original size of each image.

    >>> wants_original(["dice", "dice_original"]), wants_original(None)
    (True, False)
    """
    chosen = metrics.values() if isinstance(metrics, Mapping) else metrics or ()
    return any(map(is_original, chosen))


def check_metrics(metrics: Metrics | None) -> Metrics | None:
    """Return the metrics, a tuple or a mapping, if each of them is one.

    Raises
    ------
    ConfigurationError
        They are not a sequence or a mapping, are empty, or one of them is not a metric; the message names it.
    """
    if metrics is None:
        return None
    if isinstance(metrics, str) or not isinstance(metrics, Sequence | Mapping):
        raise ConfigurationError(
            "metrics must be a list of metrics, or a mapping of names to metrics",
            got=repr(metrics),
            hint=f"metrics=[{metrics!r}]",
        )
    if not metrics:
        raise ConfigurationError("metrics must contain at least one metric", got=repr(metrics))
    if isinstance(metrics, Mapping):
        for name, metric in metrics.items():
            if not isinstance(name, str) or not name:
                raise ConfigurationError("names of metrics must be texts", got=repr(name))
            _check(f"metrics[{name!r}]", metric)
        return dict(metrics)
    seen = set[tuple[str, bool]]()
    for place, metric in enumerate(metrics):
        _check(f"metrics[{place}]", metric)
        if (key := (name_of(metric), isinstance(metric, PerGroup))) in seen:
            raise ConfigurationError(
                f"metrics must have different names, and {key[0]!r} occurs twice",
                hint=f"a mapping with a name for each, such as metrics={{'first': ..., {key[0]!r}: ...}}",
            )
        seen.add(key)
    return tuple(metrics)


def _check(place: str, metric: Any) -> None:
    if isinstance(metric, str):
        known = {**OF_MASKS, **OF_CLASSES, **OF_SETS}
        if metric in known or metric.removesuffix(ORIGINAL) in OF_MASKS:
            return
        raise ConfigurationError(f"{place} must be one of {', '.join(known)}", got=repr(metric))
    if isinstance(metric, SurfaceDice | PerGroup):
        return
    if isinstance(metric, type) or not (isinstance(metric, Updates) or callable(metric)):
        raise ConfigurationError(
            f"{place} must be a name, a function of predicted and true classes, or an object with reset, update and "
            "compute, such as those of torchmetrics",
            got=repr(metric),
        )


@dataclass
class Measurement:
    """Accumulators of chosen metrics, and which of their figures are wanted.

    Parameters
    ----------
    metrics:
        Checked metrics; None for the defaults.
    spec:
        The classes.

    Raises
    ------
    ConfigurationError
        A name does not fit labels of this kind.
    """

    metrics: Metrics | None
    spec: LabelSpec

    def __post_init__(self) -> None:
        chosen = DEFAULTS[kind_of(self.spec)] if self.metrics is None else self.metrics
        named = chosen.items() if isinstance(chosen, Mapping) else ((name_of(metric), metric) for metric in chosen)
        self._parts: list[tuple[str, str, Accumulator]] = []  # the given name, the name of the figures, and the part
        shared: dict[tuple[Make, bool], Accumulator] = {}
        originals = set[int]()
        for name, metric in named:
            if isinstance(metric, str):
                make, at_original = self._make(metric), is_original(metric)
                shared[make, at_original] = own = shared.get((make, at_original)) or make(self.spec)
                self._parts.append((name, metric.removesuffix(ORIGINAL), own))
            else:
                inner = name_of(metric) if isinstance(metric, SurfaceDice | PerGroup) else name
                self._parts.append((name, inner, self._start(name, metric)))
            if is_original(metric):
                originals.add(id(self._parts[-1][2]))
        every = {id(part): part for *_, part in self._parts}
        self._working = [part for key, part in every.items() if key not in originals]
        self._original = [part for key, part in every.items() if key in originals]

    def _make(self, name: str) -> Make:
        kind, known = KINDS[kind_of(self.spec)]
        if self.spec.per == "pixel":
            name = name.removesuffix(ORIGINAL)
        if name not in known:
            raise ConfigurationError(
                f"the metric {name!r} does not exist for labels that are {kind}", hint=f"one of {', '.join(known)}"
            )
        return known[name]

    def _start(self, name: str, metric: Any) -> Accumulator:
        if isinstance(metric, str):
            return _Only(metric.removesuffix(ORIGINAL), self._make(metric)(self.spec), metric)
        if isinstance(metric, SurfaceDice):
            self._make("surface_dice")
            return _Only(name_of(metric), accumulators.Outlines(self.spec, metric.tolerance))
        if isinstance(metric, PerGroup):
            inner = name_of(metric.metric)
            return accumulators.ByGroup(lambda: self._start(inner, metric.metric), metric.groups, _lower(metric.metric))
        if isinstance(metric, Updates):
            return accumulators.OfTorchmetrics(name, metric, self.spec)
        return accumulators.OfFunction(name, metric, self.spec)

    def only_first(self) -> Measurement:
        """Return a new measurement of the first metric alone, or of none if it is measured at the original size."""
        chosen = DEFAULTS[kind_of(self.spec)] if self.metrics is None else self.metrics
        named = list(chosen.items()) if isinstance(chosen, Mapping) else [(name_of(one), one) for one in chosen]
        return Measurement({name: one for name, one in named[:1] if not is_original(one)}, self.spec)

    @property
    def wants_original(self) -> bool:
        """Whether a metric is measured at the original size of each image."""
        return bool(self._original)

    def add(self, batch: accumulators.Batch) -> None:
        """Take the predictions of some images at the working size."""
        for part in self._working:
            part.add(batch)

    def add_original(self, batch: accumulators.Batch) -> None:
        """Take the prediction of an image at its original size."""
        for part in self._original:
            part.add(batch)

    def figures(self) -> dict[str, float]:
        """Return the figures by name, those of a class after the others."""
        whole: dict[str, float] = {}
        classes: dict[str, float] = {}
        found = {id(part): part.figures() for *_, part in self._parts}
        for name, own, part in self._parts:
            shared = isinstance(part, accumulators.Overlaps | accumulators.Outlines | accumulators.Classes)
            shared = shared or isinstance(part, sets.Sets)
            for figure, value in found[id(part)].items():
                if shared and figure.split("/")[0] != own:
                    continue
                figure = name + figure.removeprefix(own) if figure.startswith(own) else figure
                if figure in whole or figure in classes:
                    raise ConfigurationError(f"two metrics give the figure {figure!r}", hint="other names in a mapping")
                (classes if "/" in figure else whole)[figure] = value
        return {**whole, **classes}


class _Only:
    """Figures of one metric of an accumulator that has several."""

    def __init__(self, name: str, inner: Accumulator, shown: str | None = None) -> None:
        self._name, self._inner, self._shown = name, inner, shown or name
        self.add = inner.add

    def figures(self) -> dict[str, float]:
        own = {name: value for name, value in self._inner.figures().items() if name.split("/")[0] == self._name}
        return {self._shown + name.removeprefix(self._name): value for name, value in own.items()}


def name_of(metric: Any) -> str:
    """Return the name of a metric: its own, that of the function, or that of the class.

    >>> name_of("dice"), name_of(max), name_of(PerGroup(SurfaceDice(2), {"a": "x"}))
    ('dice', 'max', 'surface_dice')
    """
    if isinstance(metric, str):
        return metric
    if isinstance(metric, SurfaceDice):
        return "surface_dice"
    if isinstance(metric, PerGroup):
        return name_of(metric.metric)
    return str(getattr(metric, "__name__", None) or type(metric).__name__)


def _lower(metric: Any) -> Callable[[str], bool]:
    """Return a function that says of the figures of a metric whether lower ones are better."""
    higher = getattr(metric, "higher_is_better", None)
    return lower_is_better if higher is None else lambda name: not higher
