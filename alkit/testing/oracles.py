"""The kit of oracles."""

from __future__ import annotations

import time
from typing import Any

import pytest

from alkit.testing.worlds import generators_left_as_found
from alkit.types import Answer, Invalid, LabelSpec, Query, Skip


class OracleKit:
    """What every oracle must do. Inherit, and give fixtures ``oracle`` and ``queries``.

    Attributes
    ----------
    patience:
        Seconds within which all queries are answered.
    """

    patience: float = 10.0

    @pytest.fixture
    def oracle(self) -> Any:
        """Return the oracle to check."""
        raise NotImplementedError("give a fixture `oracle` that returns the oracle to check")

    @pytest.fixture
    def queries(self) -> list[Query]:
        """Return at least two queries that it can answer."""
        raise NotImplementedError("give a fixture `queries` with at least two queries the oracle can answer")

    def test_it_says_what_its_labels_look_like(self, oracle: Any) -> None:
        """A label spec."""
        assert isinstance(oracle.spec, LabelSpec)

    def test_before_it_is_asked_it_says_nothing(self, oracle: Any) -> None:
        """Nobody waits for an answer to no question."""
        assert list(oracle.poll()) == []

    def test_every_query_is_answered_within_the_spec(self, oracle: Any, queries: list[Query]) -> None:
        """By a valid label, a skip, or invalid with a reason."""
        answers = self._answers(oracle, queries)
        assert set(answers) == {query.id for query in queries}
        for query in queries:
            label = answers[query.id].label
            if isinstance(label, Invalid):
                assert label.reason
            elif not isinstance(label, Skip):
                oracle.spec.check(label, id=query.id, sizes=query.sizes)

    def test_asking_returns_at_once_and_twice_is_once(self, oracle: Any, queries: list[Query]) -> None:
        """Only what was asked is answered."""
        begun = time.perf_counter()
        oracle.ask(queries[:1])
        oracle.ask(queries[:1])
        assert time.perf_counter() - begun < self.patience
        answers = self._answers(oracle, queries[:1], ask=False)
        assert set(answers) == {queries[0].id}

    def test_global_generators_are_left_as_found(self, oracle: Any, queries: list[Query]) -> None:
        """A simulated annotator has a generator of its own."""
        with generators_left_as_found():
            self._answers(oracle, queries)

    def _answers(self, oracle: Any, queries: list[Query], ask: bool = True) -> dict[str, Answer]:
        if ask:
            oracle.ask(queries)
        wanted, answers = {query.id for query in queries}, dict[str, Answer]()
        end = time.monotonic() + self.patience
        while not wanted <= set(answers) and time.monotonic() < end:
            answers.update((answer.id, answer) for answer in oracle.poll())
        return answers
