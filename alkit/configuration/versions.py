"""Written forms of earlier versions: brought to the present one, and compared with it.

Addresses change by :data:`alkit.configuration.addresses.FORMER`, parameters by
:mod:`alkit.configuration.parameter_changes`.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Mapping
from dataclasses import is_dataclass
from typing import Any

from alkit.configuration.addresses import FORMER
from alkit.configuration.forms import Written, written_added, written_form
from alkit.configuration.parameter_changes import Changes, changed_things, changes_of, parameters_by_position

_KEYS = ("is", "named", "opaque", "partial")
"""Keys of the forms of classes and functions."""

_FORMER_OF = {present: former for former, present in FORMER.items()}

Change = Callable[[Changes, Mapping[str, Written], Collection[str]], dict[str, Written]]


def to_present(form: Written) -> Written:
    """Return a written form with present addresses and parameters in place of former ones.

    Changes of plugins that have not been imported yet are not known here; :func:`alkit.configuration.build` imports
    them.

    >>> to_present({"partial": {"named": "alkit.networks:UNet"}, "args": [], "with": {}})
    {'partial': {'named': 'alkit:UNet'}, 'args': [], 'with': {}}
    """
    return _changed(form, FORMER, changed_things(), present_arguments)


def to_former(form: Written) -> Written:
    """Return a written form as the earliest version would have written it, if it could.

    Digests and names of that time are computed from it, so files and rows from before a change are still found.
    """
    return _changed(form, _FORMER_OF, changed_things(), _former_arguments)


def present_arguments(
    changes: Changes, given: Mapping[str, Written], by_position: Collection[str] = ()
) -> dict[str, Written]:
    """Return the present arguments for those of an earlier version; those that cannot be changed stay as they are.

    Parameters
    ----------
    by_position:
        Parameters that have a value already, because it was given by position.
    """
    found = {changes.renamed.get(name, name): value for name, value in given.items()}
    if len(found) < len(given):
        return dict(given)  # a parameter under its former and its present name
    removed = {name: written_form(value) for name, value in changes.removed.items()}
    found = {name: value for name, value in found.items() if name not in removed or value != removed[name]}
    return {**written_added(changes.added, [*found, *by_position]), **found}


def _former_arguments(
    changes: Changes, given: Mapping[str, Written], by_position: Collection[str] = ()
) -> dict[str, Written]:
    added = written_added(changes.added, by_position)
    former = {present: former for former, present in reversed(list(changes.renamed.items()))}
    found = {former.get(name, name): value for name, value in given.items() if added.get(name, ...) != value}
    return {**written_added(changes.removed, found), **found}


def _changed(form: Written, names: Mapping[str, str], things: Mapping[str, Any], change: Change) -> Written:
    if isinstance(form, list):
        return [_changed(entry, names, things, change) if isinstance(entry, list | dict) else entry for entry in form]
    if not isinstance(form, dict):
        return form
    if form.keys().isdisjoint(_KEYS):  # a mapping such as that from ids to digests, which may be long
        return {
            key: _changed(entry, names, things, change) if isinstance(entry, list | dict) else entry
            for key, entry in form.items()
        }
    found: dict[str, Written] = {
        key: names.get(entry, entry)
        if key in ("is", "named", "opaque") and isinstance(entry, str)
        else _changed(entry, names, {} if key == "partial" else things, change)
        for key, entry in form.items()
    }
    match form:
        case {"partial": {"named": str(address)}, "args": list() as args, "with": dict()}:
            if thing := things.get(FORMER.get(address, address)):
                found["with"] = change(changes_of(thing), found["with"], parameters_by_position(thing, len(args)))
                if change is _former_arguments and not args and not found["with"]:
                    return found["partial"]  # as a function without arguments was written
        case {"is": str(address), "with": dict()} | {"opaque": str(address), "with": dict()}:
            if thing := things.get(FORMER.get(address, address)):
                found["with"] = change(changes_of(thing), found["with"], ())
        case {"named": str(address)}:
            thing = things.get(FORMER.get(address, address))
            if thing and not is_dataclass(thing) and (arguments := change(changes_of(thing), {}, ())):
                return {"partial": found, "args": [], "with": arguments}
    return found


MISSING, NO_PARAMETER = "not recorded", "now no parameter"
"""What :func:`differences` says about a parameter that only one of the two forms has."""


def differences(old: Written, new: Written) -> list[str]:
    """Return a line for each difference of two written forms; forms of earlier versions are brought to the present one.

    >>> differences({"with": {"lr": 0.1, "batch": 10}}, {"with": {"lr": 0.2, "batch": 10}})
    ['lr: recorded 0.1, now 0.2']
    """
    return list(_compared(to_present(old), to_present(new), ""))


def _compared(old: Written, new: Written, path: str) -> Iterator[str]:
    if old == new:
        return
    parts = [form.get("with", form) for form in (old, new) if isinstance(form, dict)]
    if len(parts) == 2 and all(isinstance(part, dict) for part in parts) and _short(old) == _short(new):
        before, after = ({**part} for part in parts)
        of_an_object = "with" in old and "with" in new and "partial" not in old
        for key in dict.fromkeys([*before, *after]):
            place = f"{path}.{key}".lstrip(".")
            if not of_an_object or (key in before and key in after):
                yield from _compared(before.get(key), after.get(key), place)
            elif key in after:
                yield f"{place}: {MISSING}, now {_short(after[key])}"
            else:
                yield f"{place}: recorded {_short(before[key])}, {NO_PARAMETER}"
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
