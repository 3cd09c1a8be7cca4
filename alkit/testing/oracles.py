"""The kit of oracles."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from alkit.arguments.checked import checked
from alkit.protocols import Oracle, ReportsUnread, TakesCancellations, TakesRefusals
from alkit.testing.worlds import unchanged_generators
from alkit.values.answers import SKIP, Answer, Invalid, Skip, Withdrawal
from alkit.values.label_spec import LabelSpec
from alkit.values.queries import Query


class OracleKit:
    """Checks of an oracle. Inherit them, and write fixtures ``oracle`` and ``queries``.

    Attributes
    ----------
    patience:
        Seconds within which all queries are answered.
    at_once:
        Seconds within which ``ask`` returns; it does not wait for answers.
    """

    patience: float = 10.0
    at_once: float = 1.0

    @pytest.fixture
    def oracle(self) -> Oracle:
        """Return the oracle to check; the author writes this fixture."""
        raise NotImplementedError("write a fixture `oracle` that returns the oracle to check")

    @pytest.fixture
    def queries(self) -> list[Query]:
        """Return at least two queries that it can answer."""
        raise NotImplementedError(
            "write a fixture `queries` that returns two queries or more that the oracle can answer"
        )

    @checked
    def test_it_has_a_label_spec(self, oracle: Oracle) -> None:
        """Which states the classes."""
        assert isinstance(oracle.spec, LabelSpec)

    @checked
    def test_without_a_query_there_is_no_answer(self, oracle: Oracle) -> None:
        """``poll`` returns nothing before the first ``ask``."""
        assert list(oracle.poll()) == []

    @checked
    def test_every_query_is_answered_within_the_spec(self, oracle: Oracle, queries: list[Query]) -> None:
        """By a valid label, a skip, or ``Invalid`` with a reason."""
        answers = {answer.id: answer for answer in self._answers(oracle, queries)}
        assert set(answers) == {query.id for query in queries}
        for query in queries:
            label = answers[query.id].label
            if isinstance(label, Invalid):
                assert label.reason
            elif not isinstance(label, Skip):
                assert not isinstance(label, Withdrawal), f"{query.id!r} is withdrawn and never had an answer"
                oracle.spec.check(label, id=query.id, sizes=query.sizes)

    @checked
    def test_ask_returns_without_waiting(self, oracle: Oracle, queries: list[Query]) -> None:
        """``poll`` fetches the answers later."""
        begun = time.perf_counter()
        oracle.ask(queries)
        assert time.perf_counter() - begun < self.at_once, "ask() must not wait for answers: poll() fetches them"

    @checked
    def test_only_queries_are_answered(self, oracle: Oracle, queries: list[Query]) -> None:
        """And no other images that the oracle knows."""
        assert {answer.id for answer in self._answers(oracle, queries[:1])} == {queries[0].id}

    @checked
    def test_a_query_that_is_sent_twice_has_one_answer(self, oracle: Oracle, queries: list[Query]) -> None:
        """The answer may be repeated, because an experiment asks again after a restart, but it must not change."""
        oracle.ask(queries[:1])
        answers = self._answers(oracle, queries[:1])
        oracle.ask(queries[:1])
        answers += [*oracle.poll(), *oracle.poll()]
        different = [answer for answer in answers if not _same(answer.label, answers[0].label)]
        assert not different, f"{queries[0].id!r} has two different answers"

    @checked
    def test_a_refusal_is_accepted(self, oracle: Oracle, queries: list[Query]) -> None:
        """If the oracle has a method ``refused``: also for an answer that it did not give, which it ignores."""
        if not isinstance(oracle, TakesRefusals):
            return
        for answer in [*self._answers(oracle, queries), Answer("no such image, certainly", SKIP)]:
            oracle.refused(answer, "refused by the kit")
        list(oracle.poll())

    @checked
    def test_a_cancelled_query_does_not_affect_the_others(self, oracle: Oracle, queries: list[Query]) -> None:
        """If the oracle has a method ``cancelled``: the other queries are answered all the same."""
        if not isinstance(oracle, TakesCancellations):
            return
        oracle.cancelled(queries[:1])  # it was never sent
        oracle.ask(queries)
        oracle.cancelled(queries[:1])
        missing = {query.id for query in queries[1:]} - {answer.id for answer in self._answers(oracle, queries[1:])}
        assert not missing, f"{sorted(missing)} were not cancelled and have no answer"

    @checked
    def test_unread_files_have_reasons(self, oracle: Oracle, queries: list[Query]) -> None:
        """If the oracle has a method ``unread``: a reason in words for each file."""
        if not isinstance(oracle, ReportsUnread):
            return
        self._answers(oracle, queries)
        for path, reason in oracle.unread().items():
            assert isinstance(path, Path), f"unread() named {path!r}, which is not a path"
            assert isinstance(reason, str), f"unread() gave {reason!r} for {path}"
            assert reason.strip(), f"unread() must give a reason for {path}"

    @checked
    def test_global_generators_are_not_changed(self, oracle: Oracle, queries: list[Query]) -> None:
        """A simulated annotator must use a generator of its own."""
        with unchanged_generators():
            self._answers(oracle, queries)

    def _answers(self, oracle: Oracle, queries: list[Query]) -> list[Answer]:
        """Ask, and return the answers in the order of their arrival, as soon as each query has one."""
        oracle.ask(queries)
        missing, answers = {query.id for query in queries}, list[Answer]()
        end = time.monotonic() + self.patience
        while True:
            answers += oracle.poll()
            missing -= {answer.id for answer in answers}
            if not missing or time.monotonic() > end:
                return answers
            time.sleep(0.01)


def _same(one: Any, other: Any) -> bool:
    """Say whether two labels, skips or refusals are the same."""
    if isinstance(one, Skip | Invalid) or isinstance(other, Skip | Invalid):
        return bool(one == other)
    return np.array_equal(one, other)
