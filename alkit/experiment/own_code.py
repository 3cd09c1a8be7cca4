"""Code of the user that was edited while a record was continued: it is named, and the record keeps the date.

The record of rounds that were made by different code looks like that of one experiment. Edits are allowed, because only
the user knows whether they matter.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from alkit._logs import logger
from alkit.configuration.definitions import definitions_of
from alkit.configuration.forms import written_form
from alkit.experiment.parts import Parts
from alkit.pools.base import Subset
from alkit.record.changing import dated
from alkit.record.facts import CODE
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
    """Warn of code that was edited since the record was last continued, and record that it was.

    The caller holds the record's lock.
    """
    if not (now := code_of_parts(parts)):
        return
    before = parts.store.fact(CODE) or {}
    if (after := {**before, **now}) == before:
        return
    lines = [line for name in now if name in before and (line := _difference(name, before[name], now[name]))]
    facts: dict[str, Any] = {CODE: lambda former: after}
    if lines and parts.store.queries():
        rounds = parts.store.rounds()
        when = f"after round {rounds[-1].round}" if rounds else "before the first round"
        lines = [f"{line} {when}" for line in lines]
        facts |= dated(lines)
        for line in lines:
            log.warning("%s; the record names it", line)
    parts.store.revise_queries([], facts)


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
