"""Broken oracles with one bug each, and the check of the kit that must find it."""

from __future__ import annotations

import time
from dataclasses import replace
from pathlib import Path

import numpy as np

from alkit.values import Answer, Invalid, LabelSpec


class BrokenOracle:
    """A correct oracle of class ids without optional methods; each subclass has one bug."""

    spec = LabelSpec(("cat", "dog"), per="image")

    def __init__(self):
        self.asked = []

    def ask(self, queries):
        self.asked += queries

    def poll(self):
        asked, self.asked = self.asked, []
        return [Answer(query.id, 1) for query in asked]


class NamesAsItsSpec(BrokenOracle):
    caught_by = "test_it_has_a_label_spec"
    spec = ("cat", "dog")


class TalksUnasked(BrokenOracle):
    caught_by = "test_without_a_query_there_is_no_answer"

    def poll(self):
        return [*super().poll(), Answer("b", 1)]


class ForgetsSome(BrokenOracle):
    caught_by = "test_every_query_is_answered_within_the_spec"

    def poll(self):
        return super().poll()[:1]


class RefusesWithoutAReason(BrokenOracle):
    caught_by = "test_every_query_is_answered_within_the_spec"

    def poll(self):
        return [replace(answer, label=Invalid("")) for answer in super().poll()]


class AnotherClass(BrokenOracle):
    caught_by = "test_every_query_is_answered_within_the_spec"

    def poll(self):
        return [replace(answer, label=2) for answer in super().poll()]


class WaitsForPeople(BrokenOracle):
    caught_by = "test_ask_returns_without_waiting"

    def ask(self, queries):
        time.sleep(0.2)
        super().ask(queries)


class AnswersMore(BrokenOracle):
    caught_by = "test_only_queries_are_answered"

    def poll(self):
        return [Answer(id, 1) for id in "ab"] if super().poll() else []


class ThrowsACoin(BrokenOracle):
    """A simulated annotator that draws its errors for each call and not for each image."""

    caught_by = "test_a_query_that_is_sent_twice_has_one_answer"
    coin = 0

    def poll(self):
        self.coin = 1 - self.coin
        return [replace(answer, label=self.coin) for answer in super().poll()]


class ThrowsNumpysCoin(BrokenOracle):
    caught_by = "test_global_generators_are_not_changed"

    def poll(self):
        return [replace(answer, label=np.random.randint(2)) for answer in super().poll()]  # noqa: NPY002


class RefusesOnlyWhatItGave(BrokenOracle):
    caught_by = "test_a_refusal_is_accepted"

    def poll(self):
        self.given = {answer.id: [] for answer in super().poll()}
        return [Answer(id, 1) for id in self.given]

    def refused(self, answer, reason):
        self.given[answer.id].append(reason)


class CancelsEverything(BrokenOracle):
    caught_by = "test_a_cancelled_query_does_not_affect_the_others"

    def ask(self, queries):
        self.asked += [query for query in queries if query not in self.asked and not self.closed]

    closed = False

    def cancelled(self, queries):
        self.closed = bool(self.asked)
        self.asked = []


class PassesOverFilesWithoutAReason(BrokenOracle):
    caught_by = "test_unread_files_have_reasons"

    def unread(self):
        return {Path("answer.tif"): ""}
