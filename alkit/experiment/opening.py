"""Open an experiment: check its parts, or build them again from a record."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from alkit.configuration.construct import build
from alkit.configuration.forms import Written, written_form
from alkit.errors import AlkitError, ColdStartError, ConfigurationError, StoreError
from alkit.evaluation.chosen import Metrics, check_metrics
from alkit.evaluation.meanings import DIRECTIONS, MEANINGS, METRICS, changed, directions, meanings
from alkit.labels.joining import Join
from alkit.protocols import Strategy
from alkit.record.changing import replacements
from alkit.record.forgetting import metrics_without
from alkit.record.removing import REMOVED
from alkit.record.settings import Settings
from alkit.record.store import Store
from alkit.record.terms import Terms
from alkit.strategies.asking import start_cold
from alkit.strategies.described import cold_strategies
from alkit.strategies.named import strategy as strategy_by_name


def build_parts(record: Store, given: Mapping[str, object], join: Join | None) -> tuple[dict[str, Any], Terms]:
    """Build from a record whichever parts of its experiment are not given.

    Parameters
    ----------
    given:
        The parts by name: ``pool``, ``learner``, ``strategy``, ``initial``; None for each that is to be built.
    join:
        The rule that joins several annotators' labels; None if it is to be built.

    Returns
    -------
    parts, terms:
        All parts, and the terms of the experiment.

    Raises
    ------
    StoreError
        The record has no settings yet.
    ConfigurationError
        A part was recorded by a value that cannot be built again, such as an array or a lambda; the message names it.
    """
    settings = Settings(record)
    declared = settings.declared
    if not declared:
        raise StoreError(f"{record.path} has no settings yet", hint="Experiment(..., store=...) records them")
    parts, failures, terms = dict(given), list[str](), Terms()
    try:
        terms = settings.terms if join is None else settings.terms_joined_by(join)
    except ConfigurationError as reason:
        failures.append(f"join ({reason})")
    for name in parts:
        if parts[name] is None and declared[name] is not None:
            try:
                parts[name] = build(declared[name], "strategy" if name == "initial" else name)
            except ConfigurationError as reason:
                failures.append(f"{name} ({reason})")
    if failures:
        raise ConfigurationError(
            f"{record.path} does not contain enough to build {'; '.join(failures)}",
            hint="pass " + ", ".join(f"{text.partition(' ')[0]}=" for text in failures),
        )
    return parts, terms


def settle_metrics(record: Store, given: Metrics | None) -> tuple[Metrics | None, Written]:
    """Record the metrics that are given and return them, or return those of the record; None if it has none.

    They are followed by their written form.

    Raises
    ------
    ConfigurationError
        The record has metrics that cannot be built again, such as a function or an object of torchmetrics; or a name
        has another meaning in the rounds of the record.
    """
    recorded = record.fact(METRICS)
    if given is not None:
        if not record.read_only and _others(record, given):
            with record.exclusive():  # a training records figures by the names that it began with
                record.revise_all(replacements(_others(record, given)))
        return given, _form(record, given)
    if recorded is None:
        return None, None
    try:
        return check_metrics(_metrics_from(recorded)), recorded
    except ConfigurationError as reason:
        raise ConfigurationError(
            f"{record.path} does not contain enough to build metrics ({reason})", hint="pass metrics="
        ) from reason


def _metrics_from(form: Written) -> Any:
    """Build metrics from their written form. Names, and lists of metrics, are no parts by themselves."""
    if isinstance(form, list):
        return [_metrics_from(one) for one in form]
    return form if isinstance(form, str) else build(form, "metric")


def _form(record: Store, given: Metrics) -> Written:
    """Return the written form of metrics, without the kinds of images that were removed from a record."""
    return metrics_without(written_form(given), record.fact(REMOVED) or {})


def _others(record: Store, given: Metrics) -> dict[str, Any]:
    """Return the facts of metrics that differ from those of a record, by name.

    Raises
    ------
    ConfigurationError
        A name would mean something else than in the rounds of the record.
    """
    recorded, form, rounds = record.fact(METRICS), _form(record, given), record.rounds()
    falling = record.fact(DIRECTIONS) or {}
    facts: dict[str, Any] = {DIRECTIONS: {**(falling if rounds else {}), **directions(given)}}
    if recorded != form:
        before, after = record.fact(MEANINGS) or meanings(recorded), meanings(form)
        figures = dict.fromkeys(name for result in rounds for name in result.metrics)
        if (found := changed(before, after, figures)) is not None:
            name, old, new = found
            raise ConfigurationError(
                f"{name!r} is {old} in the rounds of {record.path}, so metrics cannot give this name to {new}",
                hint="another name in a mapping, such as metrics={'mine': ...}",
            )
        facts |= {METRICS: form, MEANINGS: {**before, **after} if figures else after}
    return {name: now for name, now in facts.items() if now != (record.fact(name) or {})}


def choose_initial(strategy: Strategy, initial: Strategy | None) -> Strategy:
    """Return the strategy of round 0: the one given, else `strategy` if it starts cold, else ``random``.

    Raises
    ------
    ColdStartError
        The strategy given needs a trained model.
    """
    if initial is None:
        return strategy if start_cold(strategy) else _random()
    if not start_cold(initial):
        raise ColdStartError(
            f"initial must be able to select without a model, and {type(initial).__name__} needs a trained one",
            hint=initial_that_starts_cold(),
        )
    return initial


def initial_that_starts_cold() -> str:
    """Return a fix for a strategy of round 0 that needs a model: two installed strategies that need none."""
    known = cold_strategies()
    named = [name for name in ("random", "maxherding") if name in known] or known[:2]
    return (
        " or ".join(f"initial=alkit.strategy({name!r})" for name in named) or "initial= a function of view, n and rng"
    )


def _random() -> Strategy:
    """Return alkit's own random strategy, even if another package registers the same name."""
    try:
        return strategy_by_name("alkit:random")
    except AlkitError as reason:
        raise ConfigurationError(
            f"the strategy needs a trained model, and the default strategy of round 0 cannot be made ({reason})",
            hint=initial_that_starts_cold(),
        ) from reason
