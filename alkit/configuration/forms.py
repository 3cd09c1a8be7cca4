"""Written forms: pools, learners and strategies as a record keeps them.

The written form of a frozen dataclass is its class and its fields, that of a class or function is ``module:name``,
and that of a ``functools.partial`` is both. A callable object counts as an object with parameters, not as a function.
Fields made by :func:`runtime` are left out, because they state where to compute and not what. So is a field with the
metadata ``{"written": "unless default"}`` that has its default: forms of earlier versions do not have it.

Objects are built again by :func:`alkit.configuration.construct.build`, which trusts nothing in a record.
"""

from __future__ import annotations

import functools
import hashlib
import inspect
import json
import math
import sys
from collections.abc import Collection, Mapping
from contextlib import suppress
from dataclasses import Field, field, fields, is_dataclass
from enum import Enum
from operator import attrgetter
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np

from alkit.arguments.checked import checked
from alkit.configuration.addresses import address_of
from alkit.configuration.parameter_changes import (
    changes_of,
    is_unless_default,
    parameters_by_position,
    parameters_in_records,
)

Written = Any
"""A value that JSON can hold."""


def runtime(default: Any = None) -> Any:
    """Return a dataclass field that states where or how to compute, and is not part of the configuration."""
    return field(default=default, compare=False, repr=False, metadata={"runtime": True})


def written_form(value: object) -> Written:
    """Return the written form of `value`: numbers, strings, lists and dictionaries only.

    A value that cannot be built again, such as a lambda or an array, becomes ``{"opaque": <its type or name>}`` with
    its plain attributes. For an estimator of scikit-learn these are its parameters, and for a method the object that it
    is bound to.

    >>> from functools import partial
    >>> from alkit import LabelSpec
    >>> written_form(LabelSpec(("skin", "lesion")))
    {'is': 'alkit:LabelSpec', 'with': {'classes': ['skin', 'lesion'], 'ignore': None, 'per': 'pixel'}}
    """
    if isinstance(value, np.generic):
        value = value.item()
    if isinstance(value, Enum):
        return _member(value)
    if isinstance(value, float) and not math.isfinite(value):  # JSON has no such number
        return {"number": str(float(value))}
    if value is None or isinstance(value, bool | int | float | str):
        return value
    if isinstance(value, Path):
        return str(value)
    if isinstance(value, list | tuple):
        return [written_form(entry) for entry in value]
    if isinstance(value, set | frozenset):
        return {"set": sorted(map(written_form, value), key=lambda form: json.dumps(form, sort_keys=True))}
    if isinstance(value, Mapping):
        return {"items": [[written_form(key), written_form(entry)] for key, entry in value.items()]}
    if isinstance(value, functools.partial):
        given = {key: written_form(entry) for key, entry in value.keywords.items()}
        taken = [*given, *parameters_by_position(value.func, len(value.args))]
        return {
            "partial": _function(value.func),
            "args": written_form(value.args),
            "with": {**_added_defaults(value.func, taken), **given},
        }
    if is_dataclass(value) and not isinstance(value, type):
        kept = [entry.name for entry in fields(value) if entry.init and not _is_left_out(entry, value)]
        return {"is": address_of(type(value)), "with": {name: written_form(getattr(value, name)) for name in kept}}
    if _named(value):
        form = _function(value)
        arguments = {} if isinstance(value, type) and is_dataclass(value) else _added_defaults(value)
        return {"partial": form, "args": [], "with": arguments} if arguments and "named" in form else form
    if inspect.isroutine(value):
        owner = getattr(value, "__self__", None)
        return {"opaque": address_of(value), **({} if owner is None else {"with": {"self": written_form(owner)}})}
    # This is not enough to build the value again, but shows most changes.
    if isinstance(value, np.ndarray):
        content = hashlib.sha256(np.ascontiguousarray(value).tobytes()).hexdigest()
        return {"opaque": address_of(type(value)), "with": {"shape": list(value.shape), "content": content}}
    if callable(get_params := getattr(value, "get_params", None)):  # an estimator of scikit-learn, and those inside it
        inside = get_params(deep=False)
        return {"opaque": address_of(type(value)), "with": {key: written_form(entry) for key, entry in inside.items()}}
    slots = (key for owner in type(value).__mro__ for key in vars(owner).get("__slots__", ()))
    held = {**{key: getattr(value, key, None) for key in slots}, **getattr(value, "__dict__", {})}
    plain = {key: entry for key, entry in held.items() if isinstance(entry, _PLAIN)}
    return {"opaque": address_of(type(value)), "with": {key: written_form(entry) for key, entry in plain.items()}}


def _is_left_out(entry: Field[Any], value: object) -> bool:
    """Whether a field is not part of a form: one made by :func:`runtime`, or a new one that has its default."""
    if is_unless_default(entry):
        return bool(getattr(value, entry.name) == entry.default)
    return bool(entry.metadata.get("runtime"))


_PLAIN = (bool, int, float, str, tuple, np.generic)


def _named(value: object) -> bool:
    """Whether a name determines the value: a type, or a function that is not bound to an object."""
    if isinstance(value, type):
        return True
    path = getattr(value, "__qualname__", None)
    if not callable(value) or not isinstance(path, str):
        return False
    if not isinstance(getattr(value, "__self__", None), type | ModuleType | None):
        return False
    if isinstance(value, np.ufunc) or (inspect.isroutine(value) and not hasattr(value, "__wrapped__")):
        return True
    module = getattr(value, "__module__", None) or ""
    thing: Any = sys.modules.get(module)  # a wrapper may have the name of the wrapped function
    for part in path.split("."):
        thing = getattr(thing, part, None)
    return thing is value


def _function(value: Any) -> Written:
    """Return the written form of a function or class itself, without arguments."""
    if not _named(value):
        return written_form(value)
    name = address_of(value)
    return {"opaque": name} if "<" in name else {"named": name}


def _added_defaults(function: Any, taken: Collection[str] = ()) -> dict[str, Written]:
    """Return the defaults of the parameters that later versions of a function have added, without those in `taken`.

    They are written, although nobody has given them, so that a form without them is known to be that of an earlier
    version.
    """
    if not (added := changes_of(function).added):
        return {}
    defaults = parameters_in_records(function) or {}
    return written_added({name: defaults[name] for name in added if name in defaults}, taken)


def written_added(values: Mapping[str, object], taken: Collection[str]) -> dict[str, Written]:
    """Return the written forms of some parameters, without those in `taken`."""
    return {name: written_form(value) for name, value in values.items() if name not in taken}


def _member(value: Enum) -> Written:
    """Return the name of a member of an enumeration; the value of a number, a text or several flags."""
    if isinstance(value, bool | int | float | str):
        return value.value
    if value.name in type(value).__members__:
        return {"named": f"{address_of(type(value))}.{value.name}"}
    return {"opaque": address_of(type(value)), "with": {"value": written_form(value.value)}}


@checked
def opaque_parts(form: Written) -> list[str]:
    """Return the names of all opaque parts of a written form."""
    if isinstance(form, list):
        return [name for entry in form for name in opaque_parts(entry)]
    if isinstance(form, dict):
        if "opaque" in form:
            return [form["opaque"]]
        return [name for entry in form.values() for name in opaque_parts(entry)]
    return []


def without_state(form: Written) -> Written:
    """Return a written form without the attributes of objects that are no parameters, such as counters.

    Parameters are what ``get_params`` gives, and attributes with the name of a parameter of ``__init__``.
    """
    if isinstance(form, list):
        return [without_state(entry) for entry in form]
    if not isinstance(form, dict):
        return form
    if isinstance(given := form.get("with"), dict) and (names := _parameters(form.get("opaque"))) is not None:
        form = {**form, "with": {name: entry for name, entry in given.items() if name in names}}
    return {name: without_state(entry) for name, entry in form.items()}


def _parameters(address: object) -> Collection[str] | None:
    """Return the parameters of a class that has no written form of its own; None if all that is written counts."""
    module, _, name = str(address).partition(":")
    thing: object = None
    with suppress(AttributeError):
        thing = attrgetter(name)(sys.modules[module]) if module in sys.modules else None
    if not isinstance(thing, type) or thing.__module__ == "numpy" or hasattr(thing, "get_params"):
        return None if thing is not None or address is None else ()
    with suppress(TypeError, ValueError):
        return inspect.signature(thing).parameters
    return ()
