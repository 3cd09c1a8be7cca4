"""What a comparison needs of a record: its configuration, the data it ran on, and its rounds."""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping
from contextlib import closing
from dataclasses import dataclass, field
from typing import Any, Literal

from alkit.arguments.checked import checked
from alkit.configuration.forms import Written
from alkit.errors import AlkitError, StoreError, one_line, without_hint
from alkit.evaluation.meanings import DIRECTIONS, MEANINGS, METRICS, meanings
from alkit.record.audit import recorded_audit
from alkit.record.changing import CHANGES
from alkit.record.existing import is_there
from alkit.record.facts import CODE
from alkit.record.grouping import recorded_rules, rules_in_words
from alkit.record.settings import Settings
from alkit.record.store import Store
from alkit.record.testsets import TRUTH, test_set
from alkit.values.rounds import RoundResult, measured_on
from alkit.values.shown import short_repr

PARTS = ("strategy", "learner", "initial", "terms")
"""The parts of a configuration that tell methods apart."""


@dataclass(frozen=True, repr=False)
class Run:
    """One record.

    Parameters
    ----------
    record:
        Path of the record.
    configuration:
        Written forms of :data:`PARTS`, and the rules of selection in words, if there are any.
    seed:
        Seed of the experiment.
    data:
        What runs with the same seed must share: descriptions of ``pool``, ``test``, its labels (``truth``), ``audit``
        and ``classes``. The test set or its labels are None if the record does not say which ones they were, and the
        audit set is None if the metrics were measured on something else.
    history:
        Committed rounds, at least one.
    measured_on:
        What the metrics were measured on; None if there are none.
    meanings:
        What the names of the metrics mean: see :mod:`alkit.evaluation.meanings`.
    directions:
        Whether a metric falls while a model improves, as far as the record knows.
    changes:
        Settings that were changed after the first query, in words.
    code:
        By part, such as ``strategy`` or ``learner``, a digest of each definition of the user's code that it consists
        of, and versions of packages, as far as the record knows.
    """

    record: str
    configuration: dict[str, Written]
    seed: int
    data: dict[str, Written]
    history: tuple[RoundResult, ...]
    measured_on: Literal["audit set", "hold-out", "test set"] | None
    meanings: Mapping[str, str] = field(default_factory=dict)
    directions: Mapping[str, bool] = field(default_factory=dict)
    changes: tuple[str, ...] = ()
    code: Mapping[str, Mapping[str, str]] = field(default_factory=dict)

    __repr__ = short_repr

    @property
    def metrics(self) -> tuple[str, ...]:
        """Names of the metrics of all rounds, those of the last round first."""
        return tuple(dict.fromkeys(name for result in reversed(self.history) for name in result.metrics))


@checked
@dataclass(frozen=True)
class Skipped:
    """A record that was left out, and the reason in words."""

    record: str
    reason: str


def read_runs(records: Iterable[str | os.PathLike[str]]) -> tuple[list[Run], list[Skipped]]:
    """Read records; those that cannot be used are returned with the reason."""
    runs: list[Run] = []
    skipped: list[Skipped] = []
    for record in records:
        try:
            runs.append(_read(record))
        except (AlkitError, OSError) as reason:
            skipped.append(Skipped(str(record), without_hint(reason)))
    return runs, skipped


def _read(path: str | os.PathLike[str]) -> Run:
    if not is_there(path):
        raise StoreError(f"{path} is not a file" if os.path.exists(path) else f"{path} does not exist")
    with closing(Store(path)) as store:
        settings, history = Settings(store), tuple(store.rounds())
        settings.check_complete()
        if not history:
            raise StoreError(f"{path} has no committed round yet")
        test = test_set(settings, store)
        on = measured_on(history, tested=test is not None)
        data: dict[str, Any] = {
            "pool": store.fact("configuration")["pool"],
            "test": test,
            "truth": store.fact(TRUTH) if on == "test set" else None,
            "audit": sorted(recorded_audit(store).ids) if on == "audit set" else None,
            "classes": store.fact("classes"),
        }
        declared, seed = settings.declared, settings.seed
        known, falling = store.fact(MEANINGS) or meanings(store.fact(METRICS)), store.fact(DIRECTIONS) or {}
        rules, code = recorded_rules(store), store.fact(CODE) or {}
        changes = tuple(one_line(line, 200) for entry in store.fact(CHANGES) or () for line in entry["changed"])
    run = Run(
        str(path),
        {**{name: declared.get(name) for name in PARTS}, **({"rules": rules_in_words(rules)} if rules else {})},
        seed,
        data,
        history,
        on,
        known,
        falling,
        changes,
        code,
    )
    if not run.metrics:
        raise StoreError(f"{path} has no metrics: its rounds were not measured on a test set")
    return run
