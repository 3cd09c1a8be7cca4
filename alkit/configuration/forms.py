"""Written forms: pools, learners and strategies as a record keeps them.

The written form of a frozen dataclass is its class and its fields, that of a class or function is ``module:name``,
and that of a ``functools.partial`` is both. A callable object counts as an object with parameters, not as a function.
Fields made by :func:`runtime` are left out, because they state where to compute and not what.

Objects are built again by :func:`alkit.configuration.construct.build`, which trusts nothing in a record.
"""

from __future__ import annotations

import functools
import hashlib
import inspect
import json
import math
import sys
from collections.abc import Iterator, Mapping
from dataclasses import field, fields, is_dataclass
from enum import Enum
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np

from alkit.configuration.addresses import address_of, to_present

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
        return {
            "partial": written_form(value.func),
            "args": written_form(value.args),
            "with": {key: written_form(entry) for key, entry in value.keywords.items()},
        }
    if is_dataclass(value) and not isinstance(value, type):
        kept = [entry.name for entry in fields(value) if entry.init and not entry.metadata.get("runtime")]
        return {"is": address_of(type(value)), "with": {name: written_form(getattr(value, name)) for name in kept}}
    if _named(value):
        name = address_of(value)
        return {"opaque": name} if "<" in name else {"named": name}
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


def _member(value: Enum) -> Written:
    """Return the name of a member of an enumeration; the value of a number, a text or several flags."""
    if isinstance(value, bool | int | float | str):
        return value.value
    if value.name in type(value).__members__:
        return {"named": f"{address_of(type(value))}.{value.name}"}
    return {"opaque": address_of(type(value)), "with": {"value": written_form(value.value)}}


def opaque_parts(form: Written) -> list[str]:
    """Return the names of all opaque parts of a written form."""
    if isinstance(form, list):
        return [name for entry in form for name in opaque_parts(entry)]
    if isinstance(form, dict):
        if "opaque" in form:
            return [form["opaque"]]
        return [name for entry in form.values() for name in opaque_parts(entry)]
    return []


def differences(old: Written, new: Written) -> list[str]:
    """Return a line for each difference of two written forms; former and present addresses of a class are equal.

    >>> differences({"with": {"lr": 0.1, "batch": 10}}, {"with": {"lr": 0.2, "batch": 10}})
    ['lr: recorded 0.1, now 0.2']
    """
    return list(_compared(to_present(old), to_present(new), ""))


def _compared(old: Written, new: Written, path: str) -> Iterator[str]:
    if old == new:
        return
    if isinstance(old, dict) and isinstance(new, dict) and _short(old) == _short(new):
        before, after = ({**form.get("with", form)} for form in (old, new))
        for key in dict.fromkeys([*before, *after]):
            yield from _compared(before.get(key), after.get(key), f"{path}.{key}".lstrip("."))
        if before == after:  # the function differs, or a positional argument
            yield f"{path}: recorded {old}, now {new}"
    else:
        yield f"{path or 'value'}: recorded {_short(old)}, now {_short(new)}"


def _short(form: Written) -> str:
    """Return a short name for a written form; an empty text for a dictionary of parts."""
    if not isinstance(form, dict):
        return repr(form)
    if form.keys() == {"number"}:
        return str(form["number"])
    name = form.get("is") or form.get("named") or form.get("opaque")
    if name is None and "partial" in form:
        return f"partial {_short(form['partial'])}"
    return "" if name is None else str(name).rpartition(":")[2]
