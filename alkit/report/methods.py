"""Names of methods: what tells the configurations of several records apart, in as few words as possible."""

from __future__ import annotations

import json
import re
from collections import Counter
from collections.abc import Mapping, Sequence

from alkit.configuration.forms import Written
from alkit.configuration.registry import STRATEGIES, list_plugins
from alkit.errors import one_line

FEW = 3
"""Greatest number of parameters in a name."""

LONGEST = 40
"""Greatest number of characters of the value of a parameter."""


def key_of(form: Written) -> str:
    """Return a text that is the same for equal written forms."""
    return json.dumps(form, sort_keys=True)


def name_forms(forms: Sequence[Written]) -> list[str]:
    """Return a name for each of some different written forms of strategies or learners.

    The name is that of the class, or the name under which it is registered. Parameters are added in parentheses if
    several forms have the same class.

    >>> drawn = [{"is": "alkit_baselines.mc_dropout:MCDropout", "with": {"draws": n, "p": 1}} for n in (5, 10)]
    >>> name_forms([{"is": "alkit_baselines.random:Random", "with": {}}, *drawn])
    ['random', 'mc-dropout (draws=5)', 'mc-dropout (draws=10)']
    """
    titles, flat = [title_of(form) for form in forms], [flatten(form) for form in forms]
    names = []
    for place, title in enumerate(titles):
        alike = [flat[other] for other in range(len(forms)) if titles[other] == title]
        differ = different_keys(alike)
        shown = [f"{key}={flat[place].get(key, 'none')}" for key in differ[:FEW]]
        shown += [f"{len(differ) - FEW} more"] if len(differ) > FEW else []
        names.append(f"{title} ({', '.join(shown)})" if shown else title)
    return make_unique(names)


def make_unique(names: Sequence[str]) -> list[str]:
    """Number names that occur several times.

    >>> make_unique(["a", "b", "a"])
    ['a 1', 'b', 'a 2']
    """
    counts, seen = Counter(names), Counter[str]()
    unique = []
    for name in names:
        seen[name] += 1
        unique.append(f"{name} {seen[name]}" if counts[name] > 1 else name)
    return unique


def different_keys(flat: Sequence[Mapping[str, str]]) -> list[str]:
    """Return the names of the parameters that are not the same in all of some flat forms, the outer ones first."""
    keys = dict.fromkeys(key for one in flat for key in one)
    differ = [key for key in keys if len({one.get(key) for one in flat}) > 1]
    return sorted(differ, key=lambda key: key.count("."))


def title_of(form: Written) -> str:
    """Return the registered name of a strategy, else the name of its class or function.

    >>> title_of({"is": "alkit.strategies:FromFunction", "with": {"function": {"named": "mine:first"}}})
    'first'
    """
    match form:
        case {"is": "alkit.strategies:FromFunction", "with": {"function": function}}:
            return title_of(function)
        case {"is": str(address)} | {"named": str(address)} | {"opaque": str(address)}:
            return registered_names().get(address, last_word(address))
        case {"partial": inner}:
            return title_of(inner)
    return _value(form)


def registered_names() -> dict[str, str]:
    """Return the names of the installed strategies by the address of their class."""
    return {point.value: name for name, point in list_plugins(STRATEGIES).items()}


def last_word(address: str) -> str:
    """Return the last part of the address of a class or function.

    >>> last_word("alkit:SegmentationLearner"), last_word("tests.x:make.<locals>.<lambda>")
    ('SegmentationLearner', '<lambda>')
    """
    return re.split(r"[:.]", address)[-1]


def flatten(form: Written, place: str = "") -> dict[str, str]:
    """Return the parameters of a written form and of the parts inside it, by dotted name, as short texts.

    >>> flatten({"is": "alkit:Ensemble", "with": {"members": 5, "learner": {"is": "m:L", "with": {"lr": 0.1}}}})
    {'': 'Ensemble', 'members': '5', 'learner': 'L', 'learner.lr': '0.1'}
    """
    match form:
        case {"is": str(address), "with": dict() as given}:
            return {place: last_word(address), **_below(given, place)}
        case {"partial": {"named": str(address)} | {"opaque": str(address)}, "with": dict() as given}:
            numbered = {str(number): one for number, one in enumerate(form.get("args", ()))}
            return {place: last_word(address), **_below({**numbered, **given}, place)}
        case {"named": str(address)} | {"opaque": str(address)}:
            return {place: last_word(address)}
    return {place: _value(form)}


def _below(given: Mapping[str, Written], place: str) -> dict[str, str]:
    return {
        key: value
        for name, inner in given.items()
        for key, value in flatten(inner, f"{place}.{name}".lstrip(".")).items()
    }


def _value(form: Written) -> str:
    return one_line(form if isinstance(form, str) else json.dumps(form), LONGEST)
