"""A learner that its user names on the command line, for a record that cannot build it again.

Only what the user types is imported. The record gives the values of the learner's parameters, and names in these values
must be registered, as everywhere.
"""

from __future__ import annotations

import json
import os
import pkgutil
from collections.abc import Callable
from dataclasses import is_dataclass
from typing import Any, cast

from alkit.configuration.addresses import address_of
from alkit.configuration.construct import build
from alkit.configuration.forms import Written, written_form
from alkit.configuration.registry import LEARNERS, find, load
from alkit.configuration.versions import differences
from alkit.errors import ConfigurationError, UnknownNameError, failure_in_words
from alkit.learners.named import check_learner
from alkit.protocols import Learner
from alkit.record.existing import is_there
from alkit.record.settings import Settings
from alkit.record.store import Store
from alkit.sharing.named_folders import search_folder

MAIN = "__main__"
"""The module of a class in a record that a script has made."""


def typed_learner(text: str, store: str | os.PathLike[str], wait: float = 30.0) -> Learner:
    """Return the learner that a user names, with the parameters of a record.

    Parameters
    ----------
    text:
        The name of an installed learner, or ``module:name`` of a class, of a function without parameters that returns
        the learner, or of the learner itself. Modules are searched in the folder of the command, too.
    store:
        File of the record.
    wait:
        Seconds to wait for another process that is writing.

    Raises
    ------
    ConfigurationError
        Nothing has this name; it does not make a learner; or the learner differs from that of the record.
    """
    thing, form = import_named(text), _declared(store, wait)
    if is_dataclass(thing) and isinstance(thing, type) and _mentions(named := _with_module(form, thing), thing):
        try:
            return check_learner(text, build(named, "learner", thing))
        except ConfigurationError as reason:
            raise ConfigurationError(
                f"the learner of the record cannot be made from {text} ({reason})",
                hint="module:name of a function without parameters that returns the learner",
            ) from reason
    learner = check_learner(text, _called(text, thing))
    recorded = _with_module(form, type(learner))
    if found := differences(recorded, written_form(learner)):
        raise ConfigurationError(
            f"learner {text} must be that of the record: {'; '.join(found[:3])}",
            hint="module:name of a function without parameters that returns the learner of the record",
        )
    return learner


def factory_of(text: str) -> Callable[..., object]:
    """Return what makes the learner that a user names, as :func:`typed_learner` takes it, for a new record."""
    thing = import_named(text)
    if isinstance(thing, Learner) and not isinstance(thing, type):
        return lambda: thing
    if not callable(thing):
        raise _makes_none(text, thing)
    return cast("Callable[..., object]", thing)


def import_named(text: str) -> Any:
    """Return the object with a name that a user typed: that of an entry point, else that of a module.

    Raises
    ------
    UnknownNameError
        No installed learner has this name, and it names no module.
    ConfigurationError
        The module cannot be imported, or has nothing of this name.
    """
    try:
        return load(find(text, LEARNERS), LEARNERS)
    except UnknownNameError:
        if ":" not in text:
            raise
    search_folder(os.getcwd())
    try:
        return pkgutil.resolve_name(text)
    except KeyboardInterrupt:
        raise
    except BaseException as reason:  # a module may fail in any way
        raise ConfigurationError(
            f"learner {text} cannot be imported ({failure_in_words(reason)})",
            hint="module:name of a class or function, in this folder or in an installed package",
        ) from reason


def _called(text: str, thing: Any) -> Any:
    if isinstance(thing, Learner) and not isinstance(thing, type):
        return thing
    if not callable(thing):
        raise _makes_none(text, thing)
    try:
        return thing()
    except KeyboardInterrupt:
        raise
    except BaseException as reason:
        raise ConfigurationError(
            f"learner {text} cannot be made without parameters ({failure_in_words(reason)})",
            hint="module:name of a function without parameters that returns the learner",
        ) from reason


def _makes_none(text: str, thing: object) -> ConfigurationError:
    return ConfigurationError(
        f"learner {text} must be a learner, or a class or function that makes one", got=type(thing).__name__
    )


def _declared(store: str | os.PathLike[str], wait: float) -> Written:
    """Return the written form of the learner of a record; None if there is none, which opening it explains."""
    if not is_there(store, wait):
        return None
    record = Store(store, wait, read_only=True)
    try:
        return Settings(record).declared.get("learner")
    finally:
        record.close()


def _with_module(form: Written, thing: type[Any]) -> Written:
    """Return a written form in which the classes of a script have the module of the one that the user names."""
    return json.loads(json.dumps(form).replace(f'"{MAIN}:', f'"{thing.__module__}:'))


def _mentions(form: Written, thing: type[Any]) -> bool:
    return f'"is": "{address_of(thing)}"' in json.dumps(form)
