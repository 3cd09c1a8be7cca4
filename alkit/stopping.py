"""Stopping rules advise whether the next batch is worth labelling.

A rule is a plugin of the entry-point group ``alkit.stopping_rules``. It reads the history of a campaign and gives
advice; it never stops a campaign itself.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from importlib.metadata import EntryPoint
from typing import Any, Protocol, runtime_checkable

import numpy as np

from alkit.arguments.checked import checked, checked_except
from alkit.checks import check_integer
from alkit.configuration.registry import STOPPING_RULES, create, list_plugins
from alkit.errors import ConfigurationError, failure_in_words
from alkit.values.rounds import RoundResult


@checked
@dataclass(frozen=True, slots=True)
class Advice:
    """The advice of a stopping rule.

    Parameters
    ----------
    stop:
        True if the next batch is not worth its labels, False if it is, None if the rule cannot tell yet.
    reason:
        One sentence that explains the advice to a person, with the figures behind it.
    figures:
        The figures behind the advice by name, finite numbers. Leave out unknown ones.

    Raises
    ------
    ConfigurationError
        `stop` is not True, False or None, `reason` is empty, or a figure is not a finite number.

    Examples
    --------
    >>> Advice(True, "the next 35 labels would add 0.001 Dice", {"gain": 0.001}).stop
    True
    >>> Advice(None, "a curve needs two rounds", {"gain": float("nan")})
    Traceback (most recent call last):
    alkit.errors.ConfigurationError: figures['gain'] must be a finite number: got nan. Try: leave it out.
    """

    stop: bool | None
    reason: str
    figures: Mapping[str, float] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if self.stop is not None and not isinstance(self.stop, bool | np.bool_):
            raise ConfigurationError("stop must be True, False or None", got=repr(self.stop))
        if not isinstance(self.reason, str) or not self.reason.strip():
            raise ConfigurationError("reason must be a sentence", got=repr(self.reason))
        figures = {}
        for name, value in self.figures.items():
            try:
                figures[str(name)] = float(value)
            except (TypeError, ValueError):
                figures[str(name)] = math.nan
            if not math.isfinite(figures[str(name)]):
                raise ConfigurationError(
                    f"figures[{str(name)!r}] must be a finite number", got=repr(value), hint="leave it out"
                )
        object.__setattr__(self, "stop", None if self.stop is None else bool(self.stop))
        object.__setattr__(self, "figures", figures)


@runtime_checkable
class StoppingRule(Protocol):
    """A stopping rule: it advises whether to ask for more labels."""

    def advise(self, history: Sequence[RoundResult], next_batch: int) -> Advice:
        """Return the advice for the next batch.

        Parameters
        ----------
        history:
            All committed rounds in their order, possibly none. Metrics and agreements may be missing.
        next_batch:
            Number of labels in the next batch, an integer >= 1.
        """


def installed() -> dict[str, EntryPoint]:
    """Return the entry points of all installed stopping rules by name, without importing them.

    If two distributions register the same name, it appears as in :func:`alkit.strategies.installed`.

    >>> "expected-gain" in installed()
    True
    """
    return list_plugins(STOPPING_RULES)


@checked_except("name")
def rule(name: str, /, **parameters: Any) -> StoppingRule:
    """Make an installed stopping rule.

    Parameters
    ----------
    name:
        Name as listed by :func:`installed`; ``distribution:name`` always works.
    parameters:
        Parameters of the rule.

    Raises
    ------
    UnknownNameError
        No installed stopping rule has this name; the message lists the nearest names.
    ConfigurationError
        Two distributions register the name, the plugin cannot be imported, a parameter is unknown or of the wrong
        type, or the rule has no method ``advise``.

    Examples
    --------
    >>> rule("stabilising-predictions", window=2)
    StabilisingPredictions(window=2, threshold=0.99)
    >>> rule("stabilizing-predictions")
    Traceback (most recent call last):
    alkit.errors.UnknownNameError: stopping rule 'stabilizing-predictions' is not installed. Try: ....
    """
    return _rule(name, create(name, STOPPING_RULES, parameters))


def _rule(name: str, thing: object) -> StoppingRule:
    if isinstance(thing, type) or not isinstance(thing, StoppingRule) or not callable(thing.advise):
        raise ConfigurationError(
            f"stopping rule {name!r} must have a method advise(history, next_batch)", got=repr(thing)
        )
    return thing


@checked_except("next_batch")
def stopping_advice(history: Sequence[RoundResult], next_batch: int) -> dict[str, Advice]:
    """Return the advice of every installed stopping rule with its default parameters, by name.

    If a rule cannot be made or fails, its advice has ``stop=None`` and gives the error as the reason, so that a broken
    plugin does not hide the other rules.

    Parameters
    ----------
    history:
        All committed rounds in their order.
    next_batch:
        Number of labels in the next batch, an integer >= 1.

    Raises
    ------
    ConfigurationError
        `next_batch` is out of range.

    Examples
    --------
    >>> stopping_advice([], 35)["expected-gain"].stop is None
    True
    """
    check_integer("next_batch", next_batch, least=1)
    history = tuple(history)
    return {name: _advice_or_failure(name, history, next_batch) for name in installed()}


def _advice_or_failure(name: str, history: Sequence[RoundResult], next_batch: int) -> Advice:
    try:
        advice = rule(name).advise(history, next_batch)
    except ConfigurationError as reason:
        return Advice(None, str(reason))
    except KeyboardInterrupt:
        raise
    except BaseException as reason:  # a plugin may fail in any way
        return Advice(None, f"the rule failed ({failure_in_words(reason)})")
    if not isinstance(advice, Advice):
        return Advice(None, f"the rule must return an Advice: got {type(advice).__name__}")
    return advice
