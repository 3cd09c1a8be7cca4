"""Which records are runs of one method, and whether records can be compared."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from alkit.errors import ConfigurationError, nearest, one_line
from alkit.evaluation.fitness import about_model, without_fix
from alkit.evaluation.meanings import is_same, meaning_of
from alkit.report.compared import Method
from alkit.report.methods import different_keys, flatten, key_of, name_forms
from alkit.report.records import PARTS, Run
from alkit.report.truth import other_labels
from alkit.statistics.curves import Curve
from alkit.values.shown import count


def common_metric(runs: Sequence[Run], metric: str | None) -> str:
    """Return `metric`, or else the first metric that all runs have; an error if some run lacks it."""
    if metric is None:
        shared = [name for name in runs[0].metrics if all(name in run.metrics for run in runs)]
        if shared:
            return shared[0]
        other = next(run for run in runs if not set(run.metrics) & set(runs[0].metrics)) if len(runs) > 1 else runs[0]
        raise ConfigurationError(
            "the records must have a metric in common",
            got=f"{', '.join(runs[0].metrics)} in {runs[0].record}, and {', '.join(other.metrics)} in {other.record}",
        )
    if without := [run for run in runs if metric not in run.metrics]:
        raise ConfigurationError(
            "metric must be one that all records have",
            got=f"{metric!r}, but {without[0].record} has {', '.join(without[0].metrics)}",
            hint=nearest(metric, without[0].metrics),
        )
    return metric


def check_meaning(runs: Sequence[Run], metric: str) -> None:
    """Check that the name of a metric means the same in all records, as far as these know it."""
    known = [(run, meaning) for run in runs if (meaning := meaning_of(metric, run.meanings)) is not None]
    for run, meaning in known[1:]:
        first, other = known[0]
        if not is_same(meaning, other):
            raise ConfigurationError(
                f"{metric!r} must be the same metric in all records",
                got=f"{other} in {first.record}, and {meaning} in {run.record}",
                hint="measure all runs by the same metrics",
            )


def direction_of(runs: Sequence[Run], metric: str) -> bool | None:
    """Return whether a metric falls while a model improves, as the records say; None if none of them does."""
    known = [(run, falls) for run in runs if (falls := meaning_of(metric, run.directions)) is not None]
    for run, falls in known[1:]:
        first, other = known[0]
        if falls != other:
            raise ConfigurationError(
                f"{metric!r} must fall or rise while a model improves in all records",
                got=f"it {_moves(other)} in {first.record}, and {_moves(falls)} in {run.record}",
                hint="lower=True or lower=False",
            )
    return known[0][1] if known else None


def _moves(falls: bool) -> str:
    return "falls" if falls else "rises"


NOUNS = {
    "pool": "the pool",
    "test": "the test set",
    "truth": "the labels of the test set",
    "audit": "the audit set",
    "classes": "the classes",
}


FEW = 5
"""Most definitions that a note names."""

PART_NOUNS = {"initial": "strategy of round 0", "join": "rule that joins labels"}
"""Names of parts in notes, if they are not the plain ones."""


def check_alike(runs: Sequence[Run]) -> None:
    """Check that runs can be compared: they share the classes, and with the same seed images, test set and labels."""
    if len(runs) > 1 and (held := [run.record for run in runs if run.measured_on == "hold-out"]):
        raise ConfigurationError(
            f"{held[0]} is measured on labels held out from training, and each strategy selects other images, so it "
            "cannot be compared",
            hint="measure all runs on one test set",
        )
    if other := next((run for run in runs if run.measured_on != runs[0].measured_on), None):
        raise ConfigurationError(
            "records must be measured on the same kind of images to be compared",
            got=f"{runs[0].record} on the {runs[0].measured_on}, {other.record} on the {other.measured_on}",
            hint="compare them apart",
        )
    most = [max(result.n_unasked for result in run.history) for run in runs]
    if len(set(most)) > 1:
        a, b = most.index(min(most)), most.index(max(most))
        raise ConfigurationError(
            "records must have the same number of labels that nobody asked for to be compared",
            got=f"{most[b]} in {runs[b].record}, {most[a]} in {runs[a].record}",
            hint="compare runs that import the same labels",
        )
    first: dict[object, Run] = {}
    for run in runs:
        for name in ("classes", "test", "truth", "audit", "pool"):
            if run.data[name] is None:  # unknown, so the next record that says it is the first
                continue
            before = first.setdefault((name, None if name == "classes" else run.seed), run)
            if run.data[name] != before.data[name]:
                shared = "" if name == "classes" else f" of seed {run.seed}"
                raise ConfigurationError(
                    f"records{shared} must have the same {NOUNS[name].removeprefix('the ')} to be compared",
                    got=f"{before.record} and {run.record} differ",
                    hint="compare them apart, or run them on the same images",
                )


def notes_on_labels(runs: Sequence[Run]) -> list[str]:
    """Return notes about runs whose rounds, or which with the same seed, were measured by other labels or images."""
    notes = [
        f"{run.record}: before round {result.round}, the {labels} were other ones."
        for run in runs
        for result in run.history
        if (labels := other_labels(result))
    ]
    first: dict[int, Run] = {}
    for run in runs if runs[0].measured_on == "audit set" else ():
        before = first.setdefault(run.seed, run)
        one, other = (len(_audited(one) - _audited(other)) for one, other in ((before, run), (run, before)))
        if one or other:
            notes.append(
                f"{before.record} and {run.record} are measured on different images of the audit set: {one} only in "
                f"the first, {other} only in the second."
            )
    return notes


def notes_on_images(runs: Sequence[Run]) -> list[str]:
    """Return a note if runs with different seeds have images of different shapes, so that their means are mixed."""
    first: dict[str, Run] = {}
    for run in runs:
        pool = run.data["pool"]
        first.setdefault(f"{pool['width']} x {pool['height']} pixels and {count(pool['channels'], 'channel')}", run)
    if len(first) < 2:
        return []
    found = ", ".join(f"{shape} in {run.record}" for shape, run in first.items())
    return [f"The images are not alike in all runs: {found}."]


def notes_on_code(runs: Sequence[Run]) -> list[str]:
    """Return a note for each part of which records hold other code under one name, so they may be other methods."""
    notes = []
    for part in dict.fromkeys(part for run in runs for part in run.code):
        first: dict[str, Run] = {}
        names: dict[str, None] = {}
        pairs: dict[tuple[str, str], None] = {}
        for run in runs:
            for name, found in run.code.get(part, {}).items():
                before = first.setdefault(name, run)
                if found != (known := before.code[part][name]):
                    what = name if ":" in name else f"the package {name} ({known} and {found})"
                    names.setdefault(one_line(what, 100))
                    pairs.setdefault((before.record, run.record))
        if pairs:
            (one, other), *others = pairs
            more = f" and {len(names) - FEW} more" if len(names) > FEW else ""
            also = f" The same holds for {count(len(others), 'more pair')}." if others else ""
            notes.append(
                f"{one} and {other} were made by different code of the {PART_NOUNS.get(part, part)}: "
                f"{', '.join([*names][:FEW])}{more}.{also}"
            )
    return notes


def _audited(run: Run) -> set[str]:
    """Return the images of the audit set on which the last model was measured."""
    audit = run.history[-1].audit
    return set() if audit is None else set(audit.ids)


def methods_of(runs: Sequence[Run], metric: str) -> tuple[list[Method], list[str]]:
    """Return the methods of some runs, in the order in which they first occur, and notes about values left out."""
    together: dict[str, list[Run]] = {}
    for run in runs:
        together.setdefault(key_of(run.configuration), []).append(run)
    forms = [own[0].configuration for own in together.values()]
    names = {part: _names([form[part] for form in forms]) for part in PARTS}
    flat = [flatten({"is": "", "with": form}) for form in forms]
    differ = [key for key in different_keys(flat) if key]
    several = {part: len(set(names[part])) > 1 for part in PARTS}
    rules = [form.get("rules", "no rules") for form in forms]
    notes: list[str] = []
    methods = []
    for place, own in enumerate(together.values()):
        strategy, learner = names["strategy"][place], names["learner"][place]
        name = strategy + (f", {learner}" if several["learner"] else "")
        name += f", first {names['initial'][place]}" if several["initial"] else ""
        name += f", {names['terms'][place]}" if several["terms"] else ""
        name += f", {rules[place]}" if len(set(rules)) > 1 else ""
        by_seed: dict[int, Run] = {}
        for run in own:
            if (other := by_seed.setdefault(run.seed, run)) is not run:
                raise ConfigurationError(
                    f"{other.record} and {run.record} have the same seed {run.seed} and the same configuration",
                    hint="leave one of them out",
                )
        curves = {seed: _curve(run, metric, notes) for seed, run in sorted(by_seed.items())}
        methods.append(
            Method(
                name,
                strategy,
                learner,
                curves,
                {key: flat[place].get(key, "") for key in differ},
                {seed: run.record for seed, run in sorted(by_seed.items())},
            )
        )
        notes += _unfit(name, list(by_seed.values()))
        notes += [
            f"{run.record}: these settings were changed while it ran, so its early rounds had other ones: "
            f"{'; '.join(run.changes)}."
            for run in by_seed.values()
            if run.changes
        ]
    return methods, notes


def _unfit(name: str, runs: Sequence[Run]) -> list[str]:
    """Return a note about models of a method that were not fit to choose images by."""
    rounds = [(run, result) for run in runs for result in run.history]
    unfit = [(run, result) for run, result in rounds if about_model(result.warnings)]
    if not unfit:
        return []
    run, result = unfit[0]
    return [
        f"{name}: in {len(unfit)} of {len(rounds)} rounds the model was not fit to choose by. Round {result.round} of "
        f"{run.record}: {without_fix(about_model(result.warnings)[0])}"
    ]


def _names(forms: Sequence[Any]) -> list[str]:
    """Return a name for each form; equal forms have the same one."""
    different = {key_of(form): form for form in forms}
    titled = name_forms([form for form in different.values() if form is not None])
    names = iter(titled)
    known = {key: "by its own strategy" if form is None else next(names) for key, form in different.items()}
    return [known[key_of(form)] for form in forms]


def _curve(run: Run, metric: str, notes: list[str]) -> Curve:
    curve = {}
    for result in run.history:
        value = result.metrics.get(metric)
        if value is not None and math.isfinite(value):
            if result.n_labels in curve:
                notes.append(
                    f"{run.record}: several rounds have {result.n_labels} labels, and the last of them counts."
                )
            curve[result.n_labels] = float(value)
        else:
            found = "no value" if value is None else str(value)
            notes.append(f"{run.record}: round {result.round} has {found} of {metric} and is left out.")
    if not curve:
        raise ConfigurationError(f"{run.record} has no finite value of {metric}")
    return curve


def rename(methods: Sequence[Method], names: Mapping[str, str]) -> list[Method]:
    """Return the methods under other names, which are given for each record.

    Raises
    ------
    ConfigurationError
        Records under one name have different configurations, or those of one configuration have different names.
    """
    renamed: dict[str, Method] = {}
    for method in methods:
        own = {names[record]: record for record in method.records.values()}
        if len(own) > 1:
            (one, first), (other, second), *_ = own.items()
            raise ConfigurationError(
                f"{first} and {second} have the same configuration, so they cannot be runs of {one!r} and {other!r}"
            )
        ((name, record),) = own.items()
        if (before := renamed.get(name)) is not None:
            raise ConfigurationError(
                f"the records of {name!r} must have one configuration",
                got=f"{next(iter(before.records.values()))} and {record}, which differ",
            )
        renamed[name] = replace(method, name=name)
    return list(renamed.values())
