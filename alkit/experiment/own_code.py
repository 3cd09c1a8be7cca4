"""Code and parameters of the user that were changed while a record was continued: they are named, with the date.

The record of rounds that were made by different code looks like that of one experiment. Edits are allowed, because only
the user knows whether they matter. So are other parameters of an object that the experiment has, such as those of an
estimator of scikit-learn after ``set_params``; a process that opens the record with them is refused.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from alkit._logs import logger
from alkit.configuration.definitions import definitions_of
from alkit.configuration.forms import Written, without_state, written_form
from alkit.errors import one_line
from alkit.experiment.parts import Parts
from alkit.pools.base import Subset
from alkit.record.changing import changed_settings, dated
from alkit.record.facts import CODE, PARAMETERS
from alkit.record.forgetting import metrics_without
from alkit.record.removing import REMOVED
from alkit.values.shown import count

log = logger(__name__)

FEW = 5
"""Most definitions that a sentence names."""


def code_of_parts(parts: Parts) -> dict[str, dict[str, str]]:
    """Return by part a digest of each definition of the user's code that it consists of; others are left out."""
    pool: Any = parts.pool
    while isinstance(pool, Subset):
        pool = pool.pool
    own = {
        "pool": type(pool),
        "learner": parts.learner,
        "strategy": parts.strategy,
        "initial": parts.initial,
        "join": parts.terms.join,
        "metrics": parts.metrics,
    }
    found = {name: definitions_of(written_form(part)) for name, part in own.items()}
    if found["initial"] == found["strategy"]:
        del found["initial"]
    return {name: code for name, code in found.items() if code}


def note_edits(parts: Parts) -> None:
    """Warn of code and parameters that were changed since the record was last continued, and record that they were.

    The caller holds the record's lock.
    """
    lines: list[str] = []
    facts: dict[str, Any] = {}
    before, now = parts.store.fact(CODE) or {}, code_of_parts(parts)
    if (after := {**before, **now}) != before:
        facts[CODE] = lambda recorded: after
        lines += [line for name in now if name in before and (line := _difference(name, before[name], now[name]))]
    former, others = parts.store.fact(PARAMETERS) or {}, _other_parameters(parts)
    if others != former:
        facts[PARAMETERS] = lambda recorded: others
        lines += [f"{name}: {text}," for name, text in others.items() if former.get(name) != text]
        lines += [f"{name}: as recorded again," for name in former if name not in others]
    if not facts:
        return
    if lines and parts.store.queries():
        rounds = parts.store.rounds()
        when = f"after round {rounds[-1].round}" if rounds else "before the first round"
        lines = [f"{line} {when}" for line in lines]
        facts |= dated(lines)
        for line in lines:
            log.warning("%s; the record names it", line)
    parts.store.revise_queries([], facts)


def _other_parameters(parts: Parts) -> dict[str, str]:
    """Return how parameters of the parts differ from those of the record, by their names."""
    agreed = parts.settings.agreed
    if agreed.form is None:
        return {}
    form = {**agreed.form, "metrics": agreed.metrics}
    own = {"learner": parts.learner, "strategy": parts.strategy, "initial": parts.initial, "terms": parts.terms}
    names = [name for name in (*own, "metrics") if form.get(name) is not None]
    then, now = {name: form[name] for name in names}, {name: written_form(own[name]) for name in names if name in own}
    if "metrics" in then:
        now["metrics"] = metrics_without(written_form(parts.metrics), parts.store.fact(REMOVED) or {})
    lines = [] if then == now else changed_settings(*(_by_place(without_state(one)) for one in (then, now)))
    return {name: one_line(text, 200) for name, _, text in (line.partition(": ") for line in lines)}


def _by_place(form: Written) -> Written:
    """Return a written form with a mapping in place of each list of parts, so that a difference in one has a name."""
    if isinstance(form, list) and any(isinstance(entry, dict | list) for entry in form):
        form = {str(place): entry for place, entry in enumerate(form)}
    return {name: _by_place(entry) for name, entry in form.items()} if isinstance(form, dict) else form


def _difference(part: str, before: Mapping[str, str], now: Mapping[str, str]) -> str:
    """Return which code of a part differs; nothing if none is known to be edited, for example after it was moved."""
    common = before.keys() & now.keys()
    packages = [name for name in sorted(common) if ":" not in name and before[name] != now[name]]
    edited = [name for name in sorted(common) if ":" in name and before[name] != now[name]]
    told = [f"the package {name} {before[name]} became {now[name]}" for name in packages]
    if edited:
        more = f" and {count(len(edited) - FEW, 'other')}" if len(edited) > FEW else ""
        told.append(f"the code of {', '.join(edited[:FEW])}{more} was edited")
    return f"{part}: {', '.join(told)}" if told else ""
