"""Every public callable with wrong arguments: an error of alkit that names the argument, and nothing happens."""

from __future__ import annotations

import inspect
import re
import sqlite3
from contextlib import closing, suppress
from itertools import islice

import pytest

from alkit.errors import AlkitError
from tests.support.public_callables import public_callables
from tests.support.time_limit import at_most
from tests.support.valid_arguments import OBJECTS, Things, example_of
from tests.support.wrong_arguments import WRONG, fits, wrong_value

LEFT_OUT = {
    "alkit.Answer": "a wrong answer is refused when it is recorded, so that the others of its call are taken",
    "alkit.errors.nearest": "the checks themselves need the errors",
    "alkit.errors.without_hint": "the checks themselves need the errors",
    "alkit.errors.one_line": "the checks themselves need the errors",
    "alkit.errors.is_of_machine": "the checks themselves need the errors",
    "alkit.errors.is_out_of_memory": "the checks themselves need the errors",
    "alkit.errors.failure_in_words": "the checks themselves need the errors",
}

OTHER_WORDS = {
    ("alkit.networks.Heads", "weights"): "heads",  # the parameter of the network that the heads belong to
    ("alkit.DatasetPool", "dataset"): "images?",
}

PUBLIC = [public for public in public_callables() if public.address not in LEFT_OUT]


@pytest.fixture(scope="module")
def things(tmp_path_factory):
    return Things(tmp_path_factory.mktemp("things"))


def test_every_parameter_has_a_valid_example():
    missing = [
        f"{public.address}({name})"
        for public in PUBLIC
        for name in public.declared
        if example_of(public.address, name) is None
    ]
    owners = {public.address.rpartition(".")[0] for public in PUBLIC if public.is_method and public.declared}
    assert not missing, "add them to EXAMPLES in tests/support/valid_arguments.py"
    assert not owners - OBJECTS.keys(), "add them to OBJECTS in tests/support/valid_arguments.py"


def call(public, things, arguments):
    """Call with these arguments; of an iterator, take the first items."""
    function, given = public.thing, dict(arguments)
    if public.is_method:
        target = OBJECTS[public.address.rpartition(".")[0]](things)
        owner = target if isinstance(target, type) else type(target)
        bound = isinstance(inspect.getattr_static(owner, function.__name__, None), classmethod)
        first = owner if bound else target
        place = next(iter(inspect.signature(function).parameters))
        given = {place: first, **given} if place in ("self", "cls") else given
    positional, named = [], {}
    for name, entry in inspect.signature(function).parameters.items():
        if entry.kind is entry.VAR_POSITIONAL:
            positional += given[name] if isinstance(given[name], tuple) else [given[name]]
        elif entry.kind is entry.VAR_KEYWORD:
            named.update(given[name])
        elif entry.kind is entry.POSITIONAL_ONLY or name in ("self", "cls"):
            positional.append(given[name])
        else:
            named[name] = given[name]
    result = function(*positional, **named)
    if inspect.isgenerator(result):
        list(islice(result, 3))
    return result


def mistakes(public, things, version):
    """Yield what went wrong when each argument in turn was a value that its type does not allow."""
    entries = inspect.signature(public.thing).parameters
    valid = {name: example_of(public.address, name)(things) for name in public.declared}
    for name, declared in public.declared.items():
        if entries[name].kind is inspect.Parameter.VAR_KEYWORD:
            continue
        for label in WRONG:
            value = wrong_value(label)
            if fits(value, declared):
                continue
            before, said = version(), f"{public.address}({name}={label})"
            try:
                with at_most(30):
                    call(public, things, {**valid, name: value})
            except AlkitError as error:
                if not re.search(rf"\b({name}|{OTHER_WORDS.get((public.address, name), name)})\b", str(error)):
                    yield f"{said} does not name the argument: {error}"
                if version() != before:
                    yield f"{said} changed the record"
            except TimeoutError:
                yield f"{said} hangs"
            except Exception as error:
                yield f"{said}: {type(error).__name__}: {error}"
            else:
                yield f"{said} is accepted"


@pytest.fixture(scope="module")
def version(things):
    """A number that changes when the record does."""
    with closing(sqlite3.connect(things.experiment.path)) as looking:
        yield lambda: looking.execute("pragma data_version").fetchone()[0]


@pytest.mark.parametrize("public", PUBLIC, ids=lambda public: public.address)
def test_wrong_arguments_are_errors_that_name_them(public, things, version):
    with suppress(NotImplementedError):
        found = list(mistakes(public, things, version))
    assert not found, "\n".join(found)
