"""Comparisons of strategies and learners over seeds, from their records or from their learning curves."""

from __future__ import annotations

import math
import os
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from itertools import combinations
from statistics import median
from typing import Any, TypeGuard, cast

from alkit.arguments.checked import check_argument, checked_except
from alkit.checks import check_number
from alkit.errors import ConfigurationError, nearest
from alkit.evaluation.chosen import lower_is_better
from alkit.report.compared import Difference, Method, Scores
from alkit.report.comparison import Comparison
from alkit.report.grouping import (
    check_alike,
    check_meaning,
    common_metric,
    direction_of,
    methods_of,
    notes_on_code,
    notes_on_images,
    notes_on_labels,
    rename,
)
from alkit.report.records import Skipped, read_runs
from alkit.statistics.comparisons import holm, paired_difference
from alkit.statistics.curves import Curve, Runs, aubc
from alkit.statistics.estimates import ROUNDING, Estimate, estimate
from alkit.statistics.savings import labels_saved, labels_to_reach

BASELINE = "random"
"""Strategy that others are compared with by default."""

MOST_LISTED = 8
"""Greatest number of numbers of labels that a note lists."""


@checked_except("records", "level")
def compare(
    records: Iterable[str | os.PathLike[str]] | Mapping[str, Iterable[str | os.PathLike[str]]],
    *,
    metric: str | None = None,
    baseline: str | None = None,
    level: float | None = None,
    lower: bool | None = None,
) -> Comparison:
    """Compare strategies, or learners, by the records of their runs.

    Records with the same strategy, learner, strategy of round 0 and terms are runs of one method, and their seeds tell
    them apart. A method is named by its strategy, and by its learner if there are several. Without `baseline`, methods
    with the same learner are compared with the one that selects by ``random``; if there is none, each with each other.

    Parameters
    ----------
    records:
        Paths of the records; or names of methods, each with the paths of its runs. A record that cannot be read or has
        no metrics is left out and listed in :attr:`Comparison.skipped`.
    metric:
        Name of the metric. Default: the first metric of the last round that all records have.
    baseline:
        Name of a method, or of a strategy if it has one method only, with which all others are compared, whatever their
        learner.
    level:
        Value of the metric for the number of labels to reach it. Default: the mean of the baseline at the end.
    lower:
        Whether lower values of the metric are better. Default: as the records say, which know it of alkit's metrics and
        of those with an attribute ``higher_is_better``; else whether they are for a metric of alkit with this name
        (:func:`alkit.evaluation.lower_is_better`).

    Raises
    ------
    ConfigurationError
        No record can be used, or records cannot be compared: with the same seed they have other images, another test
        set, other labels of it, another audit set or other classes; some were measured on a test set and others on an
        audit set; no metric is in all of them, or its name means different ones; two have the same
        configuration and seed; metrics were measured on labels held out from training, which each strategy selects
        differently; or records under one name have different configurations.
    """
    named = {name: _paths(f"records[{name!r}]", own) for name, own in records.items()} if _is_mapping(records) else {}
    paths = [path for own in named.values() for path in own] if _is_mapping(records) else _paths("records", records)
    runs, skipped = read_runs(dict.fromkeys(paths))
    if not runs:
        reasons = "; ".join(record.reason for record in skipped[:3])
        raise ConfigurationError("no record can be compared", got=reasons or "no records")
    metric = common_metric(runs, metric)
    check_meaning(runs, metric)
    if lower is None:
        lower = direction_of(runs, metric)
    check_alike(runs)
    methods, notes = methods_of(runs, metric)
    if named:
        methods = rename(methods, {str(path): name for name, own in named.items() for path in own})
    if imported := max(result.n_unasked for run in runs for result in run.history):
        notes.append(f"In each run, {imported} of the labels are not chosen: they existed before.")
    notes += [*notes_on_labels(runs), *notes_on_images(runs), *notes_on_code(runs)]
    for name, what in (("test", "on which test set"), ("truth", "by which labels of the test set")):
        if any(run.data[name] is None and run.measured_on == "test set" for run in runs):
            notes.append(f"Some records do not say {what} they were measured, so this was not checked.")
    return _compared(methods, metric, baseline, level, lower, skipped, notes)


@checked_except("level")
def compare_runs(
    runs: Mapping[str, Runs],
    *,
    metric: str = "dice",
    baseline: str | None = None,
    level: float | None = None,
    lower: bool | None = None,
) -> Comparison:
    """Compare methods by their learning curves.

    Parameters
    ----------
    runs:
        For each method and each seed, the metric by number of labels.
    metric:
        Name of the metric, for titles.
    baseline, level, lower:
        As for :func:`compare`. Without `baseline`, methods are compared with the one named ``random``, if there is one.

    Raises
    ------
    ConfigurationError
        There are no runs, the runs have no number of labels in common, or `baseline` is unknown.

    Examples
    --------
    >>> random = {seed: {10: 0.5, 20: 0.6 + seed / 100} for seed in range(5)}
    >>> other = {seed: {10: 0.55, 20: 0.7 + seed % 3 / 100} for seed in range(5)}
    >>> found = compare_runs({"random": random, "other": other})
    >>> found.differences[0].method, round(found.differences[0].area.mean, 3), found.differences[0].p < 0.05
    ('other', 0.069, True)
    """
    if empty := [name for name, own in runs.items() if not own]:
        raise ConfigurationError("each method must have a run", got=f"none of {empty[0]!r}")
    return _compared(
        [Method(name, name, "", own) for name, own in runs.items()], metric, baseline, level, lower, [], []
    )


def _is_mapping(records: object) -> TypeGuard[Mapping[str, Iterable[str | os.PathLike[str]]]]:
    return isinstance(records, Mapping)


def _paths(name: str, records: object) -> list[str | os.PathLike[str]]:
    if isinstance(records, str | bytes | os.PathLike | Mapping):
        raise ConfigurationError(f"{name} must be a list of paths", got=repr(records), hint=f"[{records!r}]")
    check_argument(name, records, Iterable)
    paths: list[str | os.PathLike[str]] = list(cast(Iterable[Any], records))
    check_argument(name, paths, Sequence[str | os.PathLike[str]])
    return paths


def _compared(
    methods: Sequence[Method],
    metric: str,
    baseline: str | None,
    level: float | None,
    lower: bool | None,
    skipped: Sequence[Skipped],
    notes: list[str],
) -> Comparison:
    lower = lower_is_better(metric) if lower is None else lower
    if not methods:
        raise ConfigurationError("a comparison needs at least one method", got="none")
    pairs = _pairs(methods, baseline)
    labels = _common_labels(methods)
    if level is None:
        ends = [_last(other, labels).mean for _, other in pairs] or [_last(method, labels).mean for method in methods]
        end = max(ends) if lower else min(ends)
        easier = ROUNDING * abs(end)  # the mean of equal values may differ from them by rounding
        level = end + easier if lower else end - easier
    check_number("level", level)
    ended = {method.name: replace(method, runs=_until(method.runs, labels[-1])) for method in methods}
    found = [_difference(ended[one.name], ended[other.name], labels, level, lower) for one, other in pairs]
    corrected = holm({place: None if gap.area is None else gap.area.p for place, gap in enumerate(found)})
    found = [Difference(**{**vars(gap), "p": corrected[place]}) for place, gap in enumerate(found)]
    for one, other in pairs:
        if one.learner != other.learner and one.strategy != other.strategy:
            notes.append(f"{one.name} and {other.name} differ in the learner too, not only in the strategy.")
        seeds = set(one.runs) ^ set(other.runs)
        if seeds:
            notes.append(f"{one.name} and {other.name} are compared without seeds {_listed(seeds)}, which one lacks.")
    cut = [method.name for method in methods for curve in method.runs.values() if max(curve) > labels[-1]]
    if cut:
        notes.append(f"The comparison ends at {labels[-1]} labels, the most that all runs have.")
    notes += _between(methods, labels)
    return Comparison(
        metric,
        lower,
        tuple(labels),
        float(level),
        tuple(methods),
        {name: _scores(method, labels, level, lower) for name, method in ended.items()},
        tuple(found),
        tuple(skipped),
        tuple(dict.fromkeys(notes)),
    )


def _pairs(methods: Sequence[Method], baseline: str | None) -> list[tuple[Method, Method]]:
    if baseline is not None:
        base = [method for method in methods if method.name == baseline]
        base = base or [method for method in methods if method.strategy == baseline]
        if len(base) != 1:
            known = [method.name for method in methods]
            raise ConfigurationError(
                f"baseline must name one of the methods {', '.join(known)}",
                got=repr(baseline),
                hint=nearest(baseline, known),
            )
        return [(method, base[0]) for method in methods if method is not base[0]]
    pairs: list[tuple[Method, Method]] = []
    for learner in dict.fromkeys(method.learner for method in methods):
        same = [method for method in methods if method.learner == learner]
        base = [method for method in same if method.strategy == BASELINE]
        if len(base) == 1:
            pairs += [(method, base[0]) for method in same if method is not base[0]]
        else:
            pairs += [(one, other) for other, one in combinations(same, 2)]
    return pairs or [(one, other) for other, one in combinations(methods, 2)]


def _common_labels(methods: Sequence[Method]) -> list[int]:
    curves = {(method.name, seed): set(curve) for method in methods for seed, curve in method.runs.items()}
    common = sorted(set.intersection(*curves.values()))
    if common:
        return common
    (first, labels), *others = curves.items()
    other = next((name for name, own in others if not own & labels), others[-1][0])
    raise ConfigurationError(
        "the runs must have a number of labels in common",
        got=f"{first[0]} (seed {first[1]}) and {other[0]} (seed {other[1]}) differ",
        hint="runs with the same start set and the same batch size",
    )


def _at(runs: Runs, labels: Sequence[int]) -> dict[int, Curve]:
    return {seed: {there: curve[there] for there in labels} for seed, curve in runs.items()}


def _until(runs: Runs, last: int) -> Runs:
    """Return runs as if they had ended at a number of labels: a longer one has had more labels to reach a level."""
    return {seed: {there: value for there, value in curve.items() if there <= last} for seed, curve in runs.items()}


def _between(methods: Sequence[Method], labels: Sequence[int]) -> list[str]:
    """Return a note if values between the numbers of labels that all runs have are left out of the areas."""
    own = {there for method in methods for curve in method.runs.values() for there in curve}
    left_out = sorted(there for there in own - set(labels) if labels[0] < there < labels[-1])
    if not left_out:
        return []
    only = f"{len(labels)} numbers of labels that all runs have ({_some(labels)})"
    return [f"The areas are computed at the {only}. Values at {_some(left_out)} labels, which some lack, do not count."]


def _some(numbers: Sequence[int]) -> str:
    """Return numbers as text, the first and the last ones of many."""
    if len(numbers) <= MOST_LISTED:
        return ", ".join(map(str, numbers))
    return ", ".join([*map(str, numbers[: MOST_LISTED - 2]), "...", str(numbers[-1])])


def _last(method: Method, labels: Sequence[int]) -> Estimate:
    return estimate([curve[labels[-1]] for curve in method.runs.values()])


def _turned(runs: Runs, lower: bool) -> Runs:
    """Return runs in which higher is better."""
    if not lower:
        return runs
    return {seed: {there: -value for there, value in curve.items()} for seed, curve in runs.items()}


def _scores(method: Method, labels: Sequence[int], level: float, lower: bool) -> Scores:
    sign = -1.0 if lower else 1.0
    needed = [labels_to_reach(curve, sign * level) for curve in _turned(method.runs, lower).values()]
    middle = median([math.inf if one is None else one for one in needed])
    return Scores(
        estimate([aubc(curve) for curve in _at(method.runs, labels).values()]) if len(labels) > 1 else None,
        _last(method, labels),
        middle if math.isfinite(middle) else None,
        sum(one is not None for one in needed),
        sum(sign * curve[min(curve)] >= sign * level for curve in method.runs.values()),
    )


def _difference(one: Method, other: Method, labels: Sequence[int], level: float, lower: bool) -> Difference:
    if not set(one.runs) & set(other.runs):
        raise ConfigurationError(
            f"{one.name} and {other.name} must have a seed in common",
            got=f"seeds {_listed(one.runs)} and {_listed(other.runs)}",
            hint="run both with the same seeds",
        )
    ours, theirs = _at(one.runs, labels), _at(other.runs, labels)
    return Difference(
        one.name,
        other.name,
        paired_difference(ours, theirs) if len(labels) > 1 else None,
        None,
        paired_difference(ours, theirs, labels=labels[-1]),
        labels_saved(_turned(one.runs, lower), _turned(other.runs, lower), -level if lower else level),
    )


def _listed(seeds: Iterable[int]) -> str:
    return ", ".join(map(str, sorted(seeds)))
