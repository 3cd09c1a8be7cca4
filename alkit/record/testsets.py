"""The test set on which the rounds of a record are measured: that of the schedule, or the first one by hand."""

from __future__ import annotations

from alkit.configuration.forms import Written
from alkit.errors import ResumeError
from alkit.protocols import Pool
from alkit.record.settings import Settings, describe
from alkit.record.store import Store

TESTED = "test"
"""Name of the fact that describes the test set of rounds without a schedule."""

TRUTH = "test_labels"
"""Name of the fact that holds a digest of the labels that the last round was measured by."""

OTHER_TRUTH = (
    "The labels of the test set have changed since the last round, so the metrics of the rounds before cannot be "
    "compared with these."
)
"""Warning of a round that was measured by other labels than the one before."""

OTHER_HELD_OUT = (
    "Labels that are held out have changed since the last round, so the metrics of the rounds before cannot be "
    "compared with these."
)
"""Warning of a round that was measured by another label of an image than the one before."""

OTHER_LABELS = {OTHER_TRUTH: "labels of the test set", OTHER_HELD_OUT: "held-out labels"}
"""By such a warning, which labels have changed."""


def test_set(settings: Settings, store: Store) -> Written:
    """Return the description of the test set on which the rounds are measured; None if there is none."""
    schedule = settings.schedule
    return store.fact(TESTED) if schedule is None or schedule.test is None else schedule.test


def measures_on(settings: Settings, store: Store, test: Pool) -> dict[str, Written] | None:
    """Return the facts to record with the figures of a round on `test`; None if the rounds are not measured on it."""
    schedule, now = settings.schedule, describe(test)
    if schedule is not None and schedule.test is not None:
        return {} if schedule.test == now else None
    known = store.fact(TESTED)
    if known != now and (settings.hold_out or (known and any(result.metrics for result in store.rounds()))):
        return None
    return {TESTED: now}


def check_declared(settings: Settings, store: Store, test: Pool) -> dict[str, Written]:
    """Return the facts to record with the next round, if `test` can be its test set.

    Raises
    ------
    ResumeError
        Earlier rounds were measured on another test set, or on labels held out.
    """
    if test_set(settings, store) != (now := describe(test)):
        _check_new(settings, store)
    return {TESTED: now}


def check_schedule(settings: Settings, store: Store, test: Pool | None) -> None:
    """Check that the rounds of a record without a schedule can go on with `test` as their test set.

    Raises
    ------
    ResumeError
        They are measured on another test set, or on labels held out.
    """
    if test is not None and settings.schedule is None and store.fact(TESTED) != describe(test):
        _check_new(settings, store)


def _check_new(settings: Settings, store: Store) -> None:
    """Raise a :class:`ResumeError` if earlier rounds were measured on a test set, or on labels held out."""
    measured = [result for result in store.rounds() if result.metrics]
    held = any(result.measured_on == "hold-out" for result in measured)
    audited = any(result.measured_on == "audit set" for result in measured)
    if held or (measured and test_set(settings, store) is not None):
        on = "labels held out from training" if held else "an audit set" if audited else "another test set"
        raise ResumeError(
            f"the rounds of {store.path} are measured on {on}, so test cannot be a new one",
            hint="no test=, and evaluate(test, oracle) for the last model",
        )
