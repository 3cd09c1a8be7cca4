"""Plain functions as strategies."""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from alkit.errors import ConfigurationError, SelectionError
from alkit.protocols import DeclaresNeeds, Strategy, View
from alkit.values.selection import Selection

if TYPE_CHECKING:
    pass

Choice = Callable[[View, int, np.random.Generator], Selection | Sequence[str]]
"""The smallest strategy: a function that returns exactly n of ``view.candidates``, the most wanted first."""


@dataclass(frozen=True)
class FromFunction:
    """A strategy that is a plain function of view, n and rng.

    Wherever a strategy is taken, the function itself will do; this is what it becomes.

    Parameters
    ----------
    function:
        Returns ids, or a :class:`Selection`. Its attributes ``starts_cold`` and ``needs`` count, as any strategy's do;
        those of a :func:`functools.partial` are those of the function inside, unless it has its own.

    Raises
    ------
    ConfigurationError
        What it says it needs is no tuple of names.

    Examples
    --------
    >>> def first(view, n, rng):
    ...     return view.candidates[:n]
    >>> from types import SimpleNamespace
    >>> FromFunction(first).select(SimpleNamespace(candidates=["a", "b"]), 1, np.random.default_rng(0)).ids
    ('a',)
    """

    function: Choice

    def __post_init__(self) -> None:
        needs_of(self)

    def __repr__(self) -> str:
        return f"FromFunction({short_name(self.function)})"

    @property
    def starts_cold(self) -> bool:
        """Whether the function says that it can choose before there is a model; it can where it says nothing."""
        return bool(self._said("starts_cold", True))

    @property
    def needs(self) -> tuple[str, ...]:
        """What the function says it relies on."""
        needs: tuple[str, ...] = self._said("needs", ())
        return needs

    def select(self, view: View, n: int, rng: np.random.Generator) -> Selection:
        """Return what the function returns.

        Raises
        ------
        SelectionError
            That is no list of `n` different ids of candidates.
        """
        chosen, name = self.function(view, n, rng), name_in_words(self)
        if isinstance(chosen, Selection):
            return check_selection(name, chosen, view, n)
        if isinstance(chosen, str) or not isinstance(chosen, Sequence | np.ndarray):
            raise SelectionError(
                f"{name} chose nothing that is a list of ids",
                got=type(chosen).__name__,
                expected=f"{n} of view.candidates",
            )
        for id in chosen:
            if not isinstance(id, str):
                positions = isinstance(id, int | np.integer) and not isinstance(id, bool)
                raise SelectionError(
                    f"{name} chose no ids: ids are strings, these {'look like positions' if positions else 'are none'}",
                    got=repr(id),
                    hint="view.candidates[position]" if positions else None,
                )
        return check_selection(name, Selection(tuple(chosen)), view, n)

    def _said(self, name: str, otherwise: Any) -> Any:
        """Return an attribute of the function, or of the function inside."""
        function: Any = self.function
        while isinstance(function, functools.partial) and not hasattr(function, name):
            function = function.func
        return getattr(function, name, otherwise)


def is_among(part: Strategy, others: Iterable[Strategy]) -> bool:
    """Whether a strategy is one of these; as no partial equals another, those inside are compared as written."""
    from alkit.configuration.forms import opaque_parts, written

    form = written(part)
    return any(part == other or (written(other) == form and not opaque_parts(form)) for other in others)


def as_strategy(name: str, part: object) -> Strategy:
    """Return a strategy as it is, and a function as a strategy.

    Raises
    ------
    ConfigurationError
        It is neither; `name` says which argument it was.
    """
    if isinstance(part, type):
        raise ConfigurationError(
            f"{name} is no strategy", got=f"the class {part.__name__}", hint=f"make one: {part.__name__}()"
        )
    if isinstance(part, Strategy):
        return part
    if callable(part):
        return FromFunction(part)
    raise ConfigurationError(
        f"{name} is no strategy",
        got=repr(part),
        expected="an object with a method select(), or a function of view, n and rng",
        hint="alkit.strategy(NAME)" if isinstance(part, str) else None,
    )


def short_name(part: object) -> str:
    """Name a part as its ``repr`` does, functions by their name."""
    if isinstance(part, functools.partial):
        given = [*map(repr, part.args), *(f"{key}={value!r}" for key, value in part.keywords.items())]
        return f"partial({', '.join([short_name(part.func), *given])})"
    return getattr(part, "__name__", None) or repr(part)


def name_in_words(part: object) -> str:
    """Name a part in a sentence."""
    if not isinstance(part, FromFunction):
        return (part if isinstance(part, type) else type(part)).__name__
    function = innermost(part)
    return f"the function {getattr(function, '__name__', type(function).__name__)}"


def innermost(part: Any) -> Any:
    """Return the function that a strategy is made from, without what is given to it; any other strategy as it is."""
    while isinstance(part, FromFunction | functools.partial):
        part = part.function if isinstance(part, FromFunction) else part.func
    return part


def needs_of(*parts: object) -> tuple[str, ...]:
    """Return what parts say that they need, each once.

    Raises
    ------
    ConfigurationError
        One says something else than a tuple of names.
    """
    said = [(part, part.needs) for part in parts if isinstance(part, DeclaresNeeds)]
    for part, needs in said:
        if not isinstance(needs, tuple | list) or not all(isinstance(need, str) for need in needs):
            raise ConfigurationError(
                f"what {name_in_words(part)} needs is no tuple of names",
                got=repr(needs),
                expected='such as ("dropout",)',
            )
    return tuple(dict.fromkeys(need for _, needs in said for need in needs))


def check_selection(name: str, selection: Selection, view: View, n: int) -> Selection:
    """Return the selection unless it breaks its promise; that no id is there twice, it has checked itself."""
    if not isinstance(selection, Selection):
        raise SelectionError(f"{name} returned no selection", got=type(selection).__name__, expected="alkit.Selection")
    if len(selection.ids) != n:
        raise SelectionError(f"{name} chose another number of images", got=len(selection.ids), expected=n)
    if strangers := {*selection.ids, *selection.pseudo_labels} - set(view.candidates):
        raise SelectionError(f"{name} chose images it was not offered", got=sorted(strangers)[:3])
    return selection
