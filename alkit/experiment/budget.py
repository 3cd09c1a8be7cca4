"""Select as many images as fit into a budget of time."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from alkit.errors import ConfigurationError
from alkit.experiment.model import LastModel
from alkit.experiment.parts import Parts
from alkit.values.queries import Query

TRIALS = 8
"""Greatest number of selections that are tried before the best one so far is taken."""

ROUNDING = 1e-9
"""Relative error of sums of seconds."""


@dataclass(frozen=True)
class Workload:
    """How long the open queries are expected to take.

    Parameters
    ----------
    seconds:
        Expected seconds of work, over all annotators together.
    low, high:
        Bounds of an 80% interval.
    labels:
        Number of answers that are missing.
    source:
        Where the times of the labels so far come from, in words.
    """

    seconds: float
    low: float
    high: float
    labels: int
    source: str


def workload(parts: Parts, model: LastModel) -> Workload | None:
    """Return how long the open queries are expected to take; None without any, or if no time of a label is known."""
    queries, known = parts.open_queries(), model.cost()
    if not queries or known is None:
        return None
    missing = _missing(parts)
    labels, seconds = sum(map(missing, queries)), expected(model, queries, missing)
    low, high = known.cost.interval(max(1, labels))
    return Workload(seconds, low * seconds, high * seconds, labels, known.source)


def expected(model: LastModel, queries: Sequence[Query], answers: Callable[[Query], int]) -> float:
    """Return the expected seconds of work of some queries.

    Parameters
    ----------
    answers:
        Number of answers to each query.
    """
    seconds = model.seconds([query.id for query in queries])
    return sum(answers(query) * seconds[query.id] for query in queries)


def number_for(
    parts: Parts, model: LastModel, seconds: float, most: int, choose: Callable[[int], Sequence[Query]]
) -> int:
    """Return how many images to select so that these and the open ones are expected to take at most `seconds`.

    Selections of different sizes are tried: what a strategy selects depends on how many it is asked for.

    Parameters
    ----------
    most:
        Greatest number of images that can be selected.
    choose:
        Returns the queries of a selection of so many images, without recording them.

    Raises
    ------
    ConfigurationError
        No time of a label is known.
    """
    if (known := model.cost()) is None:
        raise ConfigurationError(
            "hours need labels whose time is known, and there are none",
            got="neither seconds from a tool nor files that were saved one after the other",
            hint="n=, the number of images",
        )
    left = seconds * (1 + ROUNDING) - expected(model, parts.open_queries(), _missing(parts))
    fits, exceeds = 0, most + 1
    n = int(left / (known.cost.expected() * parts.terms.annotators))
    for _ in range(TRIALS):
        if exceeds - fits <= 1 or left <= 0:
            break
        n = min(max(n, fits + 1), exceeds - 1)
        took = expected(model, choose(n), lambda query: query.wanted)
        fits, exceeds = (n, exceeds) if took <= left else (fits, n)
        n = int(n * left / took)
    return fits


def _missing(parts: Parts) -> Callable[[Query], int]:
    """Return a function that gives the number of answers that an open query lacks."""
    known = parts.store.snapshot().known
    return lambda query: query.wanted - (len(known[query.id].counted) if query.id in known else 0)
