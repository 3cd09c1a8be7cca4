"""Plain functions as strategies."""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, fields, is_dataclass
from typing import Any

import numpy as np

from alkit.arguments.checked import checked
from alkit.errors import ConfigurationError, SelectionError
from alkit.protocols import ChecksSpec, DeclaresNeeds, FeatureExtractor, Strategy, View
from alkit.values.label_spec import LabelSpec
from alkit.values.selection import Selection

Choice = Callable[[View, int, np.random.Generator], Selection | Sequence[str]]
"""A function that is a strategy: it returns exactly `n` of ``view.candidates``, the most wanted first."""


@checked
@dataclass(frozen=True)
class FromFunction:
    """A strategy made from a function of view, n and rng.

    Every parameter that takes a strategy also takes such a function, and wraps it in this class.

    Parameters
    ----------
    function:
        Function that returns exactly `n` ids, or a :class:`~alkit.Selection`. It may have the attributes
        ``starts_cold`` and ``needs``, like any strategy. A :func:`functools.partial` without these attributes has
        those of the function inside it.

    Raises
    ------
    ConfigurationError
        The function's attribute ``needs`` is not a tuple of names.

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
        """The function's attribute ``starts_cold``; True if it has none."""
        return bool(self._attribute("starts_cold", True))

    @property
    def needs(self) -> tuple[str, ...]:
        """The function's attribute ``needs``; empty if it has none."""
        needs: tuple[str, ...] = self._attribute("needs", ())
        return needs

    @checked
    def select(self, view: View, n: int, rng: np.random.Generator) -> Selection:
        """Call the function and return its selection.

        Raises
        ------
        SelectionError
            The function did not return `n` different ids of candidates.
        """
        chosen, name = self.function(view, n, rng), name_in_words(self)
        if isinstance(chosen, Selection):
            return check_selection(name, chosen, view, n)
        if isinstance(chosen, str) or not isinstance(chosen, Sequence | np.ndarray):
            raise SelectionError(
                f"{name} must return a list of ids", got=type(chosen).__name__, expected=f"{n} of view.candidates"
            )
        for id in chosen:
            if not isinstance(id, str):
                positions = isinstance(id, int | np.integer) and not isinstance(id, bool)
                raise SelectionError(
                    f"{name} must return ids, which are strings"
                    + (", but the items look like positions" if positions else ""),
                    got=repr(id),
                    hint="return view.candidates[position]" if positions else None,
                )
        return check_selection(name, Selection(tuple(chosen)), view, n)

    def _attribute(self, name: str, otherwise: Any) -> Any:
        """Return an attribute of the function, or of the function inside a partial."""
        function: Any = self.function
        while isinstance(function, functools.partial) and not hasattr(function, name):
            function = function.func
        return getattr(function, name, otherwise)


def is_among(part: Strategy, others: Iterable[Strategy]) -> bool:
    """Whether a strategy equals one of `others`. Partials never compare equal, so written forms are compared too."""
    from alkit.configuration.forms import opaque_parts, written_form

    form = written_form(part)
    return any(part == other or (written_form(other) == form and not opaque_parts(form)) for other in others)


@checked
def as_strategy(name: str, part: object) -> Strategy:
    """Return a strategy unchanged, and wrap a function in :class:`FromFunction`.

    Parameters
    ----------
    name:
        The parameter's name, for the message.
    part:
        A strategy, or a function of view, n and rng.

    Raises
    ------
    ConfigurationError
        `part` is neither.
    """
    if isinstance(part, type):
        raise ConfigurationError(
            f"{name} must be a strategy", got=f"the class {part.__name__}", hint=f"pass an instance: {part.__name__}()"
        )
    if isinstance(part, Strategy) and not hasattr(part, "__array__"):
        return part
    if callable(part):
        return FromFunction(part)
    raise ConfigurationError(
        f"{name} must be a strategy",
        got=repr(part),
        expected="an object with a method select(view, n, rng), or a function of view, n and rng",
        hint=f"alkit.strategy({part!r})" if isinstance(part, str) else None,
    )


def short_name(part: object) -> str:
    """Return the name of a function, the parts of a partial, or the ``repr`` of anything else."""
    if isinstance(part, functools.partial):
        given = [*map(repr, part.args), *(f"{key}={value!r}" for key, value in part.keywords.items())]
        return f"partial({', '.join([short_name(part.func), *given])})"
    return getattr(part, "__name__", None) or repr(part)


def name_in_words(part: object) -> str:
    """Return a part's name as it stands in an error message."""
    if not isinstance(part, FromFunction):
        return (part if isinstance(part, type) else type(part)).__name__
    function = innermost(part)
    return f"the function {getattr(function, '__name__', type(function).__name__)}"


def innermost(part: Any) -> Any:
    """Return the function inside a :class:`FromFunction` and its partials; any other strategy unchanged."""
    while isinstance(part, FromFunction | functools.partial):
        part = part.function if isinstance(part, FromFunction) else part.func
    return part


def extractors_in(part: object) -> list[FeatureExtractor]:
    """Return the feature extractors among the parameters of a part: fields of a dataclass, arguments of a partial."""
    values: list[Any] = []
    while isinstance(part, FromFunction | functools.partial):
        if isinstance(part, functools.partial):
            values += [*part.args, *part.keywords.values()]
        part = part.function if isinstance(part, FromFunction) else part.func
    if is_dataclass(part) and not isinstance(part, type):
        values += [getattr(part, entry.name, None) for entry in fields(part)]
    return [value for value in values if isinstance(value, FeatureExtractor) and not isinstance(value, type)]


def needs_of(*parts: object) -> tuple[str, ...]:
    """Return the needs of all parts and of the feature extractors among their parameters, each once.

    Raises
    ------
    ConfigurationError
        The attribute ``needs`` of a part is not a tuple of names.
    """
    inside = [extractor for part in parts for extractor in extractors_in(part)]
    said = [(part, part.needs) for part in (*parts, *inside) if isinstance(part, DeclaresNeeds)]
    for part, needs in said:
        if not isinstance(needs, tuple | list) or not all(isinstance(need, str) for need in needs):
            raise ConfigurationError(
                f"the attribute needs of {name_in_words(part)} must be a tuple of names",
                got=repr(needs),
                expected='for example ("dropout",)',
            )
    return tuple(dict.fromkeys(need for _, needs in said for need in needs))


def check_labels_of(strategy: object, spec: LabelSpec) -> None:
    """Let a strategy, and the strategies among its parameters, refuse labels that they cannot work with.

    Raises
    ------
    ConfigurationError
        One of them does.
    """
    part = innermost(strategy)
    if isinstance(part, ChecksSpec):
        part.check_spec(spec)
    if not is_dataclass(part) or isinstance(part, type):
        return
    for entry in fields(part):
        value = getattr(part, entry.name, None)
        inside = value if isinstance(value, Mapping | list | tuple) else (value,)
        for other in inside:
            if isinstance(other, Strategy | ChecksSpec) and not isinstance(other, type):
                check_labels_of(other, spec)


def check_selection(name: str, selection: Selection, view: View, n: int) -> Selection:
    """Return `selection` after a check that it holds `n` candidates of `view`, and only candidates.

    Parameters
    ----------
    name:
        The strategy's name, for the message.

    Raises
    ------
    SelectionError
        `selection` is not a :class:`~alkit.Selection`, has another number of ids, or an id that is not a candidate.
    """
    if not isinstance(selection, Selection):
        raise SelectionError(f"{name} must return an alkit.Selection", got=type(selection).__name__)
    if len(selection.ids) != n:
        raise SelectionError(f"{name} selected the wrong number of images", got=len(selection.ids), expected=n)
    if unknown := {*selection.ids, *selection.pseudo_labels} - set(view.candidates):
        raise SelectionError(f"{name} selected images that are not candidates", got=sorted(unknown)[:3])
    return selection
