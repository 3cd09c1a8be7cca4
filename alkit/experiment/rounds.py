"""The loop of rounds: the only module that knows the order of the stages.

pool -> features, scores -> selection -> oracle -> labels -> learner -> evaluation -> record
"""

from __future__ import annotations

from collections.abc import Callable, Iterator

from alkit.checks import check_integer, check_number
from alkit.errors import ConfigurationError
from alkit.evaluation.truth import TestLabels
from alkit.experiment import committing, gathering, measuring, rehearsing
from alkit.experiment.model import LastModel
from alkit.experiment.parts import Parts
from alkit.protocols import ChecksLabels, Oracle, Pool
from alkit.record.answers import spec_of
from alkit.record.grouping import record_groups
from alkit.record.testsets import check_schedule
from alkit.values.progress import Progress
from alkit.values.rounds import RoundResult


def run_rounds(
    current: Callable[[], tuple[Parts, LastModel, TestLabels]],
    oracle: Oracle,
    test_set: tuple[Pool | None, Oracle | None],
    start: int,
    batch: int,
    rounds: int,
    poll: float,
    progress: bool,
) -> Iterator[RoundResult]:
    """Check a schedule of rounds, record it, and return the rounds: see :meth:`alkit.Experiment.rounds`.

    Parameters
    ----------
    current:
        Returns the parts of the experiment now: an image may be removed between two rounds.
    """
    parts, _, test_labels = current()
    spec, (test, test_oracle) = spec_of(oracle), test_set
    if test_oracle is not None and spec_of(test_oracle, "test_oracle") != spec:
        raise ConfigurationError(
            "test_oracle must have the classes of oracle", got=str(test_oracle.spec), expected=str(spec)
        )
    start, batch = check_integer("start", start, least=1), check_integer("batch", batch, least=1)
    rounds = check_integer("rounds", rounds, least=0)
    check_number("poll", poll, 0)
    unasked = parts.store.snapshot().unasked & parts.representations.known_ids
    allowed = parts.allowed()
    if (needed := start + rounds * batch) > len(allowed - unasked):
        notes = [f"the rules allow {len(allowed)} of them"] if len(allowed) < len(parts.ids) else []
        notes += [f"{len(unasked)} of them are labelled already"] if unasked else []
        raise ConfigurationError(
            f"the rounds need {needed} labels, but the pool has {len(parts.ids)} images"
            + "".join(f", and {note}" for note in notes),
            got=f"{start} labels in round 0 and {rounds} * {batch} later",
            hint="a smaller start=, batch= or rounds=",
        )
    warnings = [] if test is None else measuring.check_test(parts, test, apart=test_oracle is not None)
    tested = None if test is None else (test, oracle if test_oracle is None else test_oracle)
    if not parts.store.rounds():
        for pool, labels in [(parts.pool, oracle), *([] if tested is None else [tested])]:
            if isinstance(labels, ChecksLabels):
                labels.check_labels(pool, parts.report)
    with parts.store.step("rounds()"):
        parts.settings.agreed.check()
        if not parts.has_own_classes:
            parts.settings.forget_classes()
        parts.settings.declare_classes(spec)
        gathering.check_rounds(parts, start, batch)
        check_schedule(parts.settings, parts.store, test)
        parts.settings.declare_schedule(start, batch, test)
        if test is not None and test_oracle is None:
            record_groups(parts.store, test)  # so that the same split can be drawn without the file of groups
    rehearsing.rehearse_once(parts)
    if test is not None:
        rehearsing.rehearse_test(parts, test)
    rehearsing.check_enough(parts, "start", start, len(unasked))

    if tested is not None:
        test_labels.read_again(tested[1])
    listeners = parts.report

    def each_round() -> Iterator[RoundResult]:
        with listeners.bar(progress):
            for number in range(rounds + 1):
                parts, model, test_labels = current()
                with parts.store.step("rounds()"):
                    parts.settings.agreed.check()
                    committed = {result.round: result for result in parts.store.rounds()}
                    if number in committed:
                        result = committed[number]
                        if number == rounds == max(committed) and tested is not None:
                            measuring.measure_last(parts, model, test_labels, *tested)
                            result = parts.store.rounds()[-1]
                    elif number < max(committed, default=-1):
                        continue  # a repair lost this round
                    else:
                        n = batch if number else start
                        seconds = gathering.label_round(parts, model, number, n, oracle, poll)
                        result = committing.commit_round(
                            parts, model, test_labels, number, seconds, tested, poll, warnings
                        )
                parts.report(Progress("round", number + 1, rounds + 1, result.metrics, result))
                yield result

    return each_round()
