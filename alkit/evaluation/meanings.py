"""What the names of metrics mean in a record, so that one name does not stand for two metrics in a curve."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, TypeVar

from alkit.evaluation.chosen import Metrics, PerGroup, SurfaceDice, lower_is_better, name_of
from alkit.evaluation.kinds import DEFAULTS, TOLERANCE

Known = TypeVar("Known")

OWN = "a metric of its own"
"""The meaning of functions and objects, followed by their name; earlier records do not have the name."""

METRICS, MEANINGS, DIRECTIONS = "metrics", "meanings", "directions"
"""Names of a record's facts: the metrics, if they are not the defaults; and what the names of all rounds mean, and
which of them fall while a model improves."""

BY_GROUP = " by group"
"""End of the name of a metric over groups, which may occur beside the metric itself."""


def meanings(form: Any) -> dict[str, str]:
    """Return by name what metrics measure, in words; nothing if a stranger wrote another form.

    Parameters
    ----------
    form:
        The written form of metrics; None for the defaults.

    Examples
    --------
    >>> meanings(["dice", {"is": "alkit.evaluation:SurfaceDice", "with": {"tolerance": 3}}])
    {'dice': 'dice', 'surface_dice': 'surface_dice with tolerance 3'}
    >>> meanings({"items": [["overlap", "dice"], ["mine", {"named": "project:error"}]]})
    {'overlap': 'dice', 'mine': 'a metric of its own, error'}
    """
    if form is None:
        return {name: name for names in DEFAULTS.values() for name in names}
    try:
        named = form["items"] if isinstance(form, dict) else [(None, metric) for metric in form]
        return dict(_meaning(name, metric) for name, metric in named)
    except (AttributeError, KeyError, TypeError, ValueError, RecursionError):
        return {}


def _meaning(name: str | None, metric: Any) -> tuple[str, str]:
    """Return the beginning of the names of a metric's figures, and what they mean."""
    if isinstance(metric, str):
        return name or metric, f"{metric} with tolerance {TOLERANCE:g}" if metric == "surface_dice" else metric
    parameters = metric.get("with", {})
    match metric.get("is"):
        case "alkit.evaluation:SurfaceDice":
            return name or "surface_dice", f"surface_dice with tolerance {parameters['tolerance']:g}"
        case "alkit.evaluation:PerGroup":
            inner, meaning = _meaning(None, parameters["metric"])
            return f"{name or inner}{BY_GROUP}", meaning
    own = _name_of(metric)
    usual = "partial" if "partial" in metric else own.rpartition(".")[2]
    return name or usual, f"{OWN}, {own}" if own else OWN


def _name_of(metric: Mapping[str, Any]) -> str:
    """Return the name of a function or of a class in its module, and the arguments that a function is given before."""
    if isinstance(inner := metric.get("partial"), Mapping):
        given = [*map(repr, metric.get("args", ())), *(f"{key}={value!r}" for key, value in metric["with"].items())]
        return f"{_name_of(inner)}({', '.join(given)})"
    return str(metric.get("named") or metric.get("opaque") or metric.get("is") or "").rpartition(":")[2]


def directions(metrics: Metrics) -> dict[str, bool]:
    """Return by name, as in :func:`meanings`, whether a metric falls while a model improves, if that is known.

    Functions and objects of torchmetrics say it by an attribute ``higher_is_better``.

    >>> def error(predicted, true):
    ...     return (predicted != true).mean()
    >>> directions([error, "dice"])
    {'dice': False}
    >>> error.higher_is_better = False
    >>> directions({"wrong": error, "overlap": "dice", "distance": "hd95"})
    {'wrong': True, 'overlap': False, 'distance': True}
    """
    named = metrics.items() if isinstance(metrics, Mapping) else [(None, metric) for metric in metrics]
    found = (_direction(name, metric) for name, metric in named)
    return {name: falls for name, falls in found if falls is not None}


def _direction(name: str | None, metric: Any) -> tuple[str, bool | None]:
    if isinstance(metric, PerGroup):
        inner, falls = _direction(None, metric.metric)
        return f"{name or inner}{BY_GROUP}", falls
    if isinstance(metric, str | SurfaceDice):
        return name or name_of(metric), lower_is_better(name_of(metric))
    higher = getattr(metric, "higher_is_better", None)
    return name or name_of(metric), None if higher is None else not higher


def meaning_of(figure: str, known: Mapping[str, Known]) -> Known | None:
    """Return what is known of a figure such as ``dice@rare`` or ``member_dice``: its meaning, or its direction.

    >>> meaning_of("dice@rare", {"dice by group": "dice"}), meaning_of("sharpness", {"dice": "dice"})
    ('dice', None)
    """
    if figure in known:
        return known[figure]
    stem, grouped = figure.split("/")[0].removeprefix("member_"), False
    for end in ("_over_groups", "_worst_group"):
        stem, grouped = stem.removesuffix(end), grouped or stem.endswith(end)
    if "@" in stem:
        stem, grouped = stem.partition("@")[0], True
    return known.get(f"{stem}{BY_GROUP}" if grouped else stem)


def falls(figure: str, known: Mapping[str, bool] | None) -> bool:
    """Return whether a figure falls while a model improves.

    Parameters
    ----------
    figure:
        Its name.
    known:
        What :func:`directions` returned; None if that is not known.

    Examples
    --------
    >>> falls("mine_over_groups", {"mine by group": True}), falls("hd95", {}), falls("dice", None)
    (True, True, False)
    """
    said = meaning_of(figure, known or {})
    return lower_is_better(figure) if said is None else said


def is_same(one: str, other: str) -> bool:
    """Return whether two meanings are the same, as far as they tell.

    >>> is_same("a metric of its own, error", "a metric of its own"), is_same("a metric of its own, error", "dice")
    (True, False)
    """
    return one == other or (OWN in (one, other) and one.startswith(OWN) and other.startswith(OWN))


def changed(before: Mapping[str, str], after: Mapping[str, str], figures: Iterable[str]) -> tuple[str, str, str] | None:
    """Return the first of some figures that would change its meaning, with both meanings; None if there is none."""
    for figure in figures:
        old, new = meaning_of(figure, before), meaning_of(figure, after)
        if old is not None and new is not None and not is_same(old, new):
            return figure, old, new
    return None
