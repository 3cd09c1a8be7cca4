"""Stopping rules: whether the next batch of labels is worth asking for.

A rule is a plugin of the entry-point group ``alkit.stopping_rules``. It reads the history of a campaign and advises; it
never stops anything itself.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from importlib.metadata import EntryPoint
from typing import Any, Protocol, runtime_checkable

import numpy as np

from alkit.configuration.registry import STOPPING, found, loaded, made, registered
from alkit.errors import ConfigurationError
from alkit.values.rounds import RoundResult


@dataclass(frozen=True, slots=True)
class Advice:
    """What a stopping rule says.

    Parameters
    ----------
    stop:
        True: the next batch is not worth it. False: it is. None: the rule cannot say yet.
    reason:
        Why, in one sentence for a person, with the figures that decided.
    figures:
        What it was decided on, by name: finite numbers. What is not known is left out.

    Raises
    ------
    ConfigurationError
        No reason, a `stop` that is neither, or a figure that is no finite number.

    Examples
    --------
    >>> Advice(True, "the next 35 labels would add 0.001 Dice", {"gain": 0.001}).stop
    True
    >>> Advice(None, "one round is no curve", {"gain": float("nan")})
    Traceback (most recent call last):
    alkit.errors.ConfigurationError: the figure gain of an advice is no finite number: got nan. Try: leave it out.
    """

    stop: bool | None
    reason: str
    figures: Mapping[str, float] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if self.stop is not None and not isinstance(self.stop, bool | np.bool_):
            raise ConfigurationError("this is no advice", got=f"stop={self.stop!r}", expected="True, False or None")
        if not isinstance(self.reason, str) or not self.reason.strip():
            raise ConfigurationError("an advice says why", got=f"reason={self.reason!r}", expected="a sentence")
        figures = {}
        for name, value in self.figures.items():
            try:
                figures[str(name)] = float(value)
            except (TypeError, ValueError):
                figures[str(name)] = math.nan
            if not math.isfinite(figures[str(name)]):
                raise ConfigurationError(
                    f"the figure {name} of an advice is no finite number", got=repr(value), hint="leave it out"
                )
        object.__setattr__(self, "stop", None if self.stop is None else bool(self.stop))
        object.__setattr__(self, "figures", figures)


@runtime_checkable
class StoppingRule(Protocol):
    """Advises whether to ask for more labels."""

    def advise(self, history: Sequence[RoundResult], next_batch: int) -> Advice:
        """Say whether the next batch is worth it.

        Parameters
        ----------
        history:
            The committed rounds in their order, possibly none. Metrics and agreements may be missing.
        next_batch:
            How many labels would be asked for next, at least 1.
        """


def installed() -> dict[str, EntryPoint]:
    """Return the entry points of all registered stopping rules by name, importing none.

    Names that two distributions register are treated as in :func:`alkit.strategies`.

    >>> "expected-gain" in installed()
    True
    """
    return registered(STOPPING)


def rule(name: str, /, **parameters: Any) -> StoppingRule:
    """Make a registered stopping rule.

    Parameters
    ----------
    name:
        As in :func:`installed`; ``distribution:name`` always works.
    parameters:
        The rule's own.

    Raises
    ------
    UnknownNameError
        No such rule; the nearest names are listed.
    ConfigurationError
        Two distributions register the name, the plugin cannot be imported, it does not take these parameters, or what
        it returns has no verb ``advise``.

    Examples
    --------
    >>> rule("stabilising-predictions", window=2)
    StabilisingPredictions(window=2, threshold=0.99)
    >>> rule("stabilizing-predictions")
    Traceback (most recent call last):
    alkit.errors.UnknownNameError: there is no stopping rule ... Try: 'stabilising-predictions'.
    """
    return _rule(name, made(name, loaded(found(name, STOPPING), STOPPING), parameters, STOPPING))


def _rule(name: str, thing: object) -> StoppingRule:
    if isinstance(thing, type) or not isinstance(thing, StoppingRule) or not callable(thing.advise):
        raise ConfigurationError(
            f"stopping rule {name!r} is none", got=repr(thing), expected="a method advise(history, next_batch)"
        )
    return thing


def stopping_advice(history: Sequence[RoundResult], next_batch: int) -> dict[str, Advice]:
    """Return what every installed rule says with its defaults, by name.

    A rule that cannot be made, or that fails, says nothing on whether to stop, and its reason is what went wrong: one
    broken plugin must not silence the others.

    Raises
    ------
    ConfigurationError
        `next_batch` is less than 1.

    Examples
    --------
    >>> stopping_advice([], 35)["expected-gain"].stop is None
    True
    """
    if next_batch < 1:
        raise ConfigurationError("there is no such batch", got=next_batch, expected="1 or more")
    history = tuple(history)
    return {name: _guarded(name, lambda rule: rule.advise(history, next_batch)) for name in installed()}


def _guarded(name: str, ask: Callable[[StoppingRule], Advice]) -> Advice:
    try:
        said = ask(rule(name))
    except ConfigurationError as reason:
        return Advice(None, str(reason))
    except (Exception, SystemExit) as reason:  # a plugin may fail in any way
        return Advice(None, f"the rule failed ({type(reason).__name__}: {reason})")
    if not isinstance(said, Advice):
        return Advice(None, f"the rule gave no advice, but a {type(said).__name__}")
    return said
