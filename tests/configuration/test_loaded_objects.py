"""The code behind an object as it is loaded: equal as long as nothing is defined again."""

import sys
from functools import partial
from types import ModuleType

import pytest

import alkit
from alkit.configuration.loaded_objects import LoadedCode

CELL = """
import functools
from dataclasses import dataclass
from types import SimpleNamespace

FACTOR, COUNT, SEEN = 2, 0, []
CONFIG = {"rate": 1, "pop": 1, "net": {"widths": [1, 2]}}
CONFIG["itself"] = CONFIG
WIDTHS, LATELY = [1], {"x": 0}

class Settings:
    size, calls = 1, 0

@dataclass
class Options:
    size: int = 1

options, plain = Options(), SimpleNamespace(size=1)

class State:
    shared = {}

    def __init__(self):
        self.calls = 0

    def count(self):
        self.calls += 1
        self.shared["a"] = self.calls
        Settings.calls += 1

state = State()

def helper(x):
    global COUNT
    COUNT += 1
    SEEN.append(x)
    state.count()
    remember(x)
    return FACTOR * x * CONFIG["rate"] * CONFIG["pop"] * WIDTHS[0] * Settings.size * options.size * plain.size

def remember(x):
    LATELY["x"] = x

@functools.lru_cache
def kept(x):
    return helper(x)

class Inner:
    def compute(self, x):
        return kept(x)

@dataclass(frozen=True)
class Outer:
    network: object = None

    def fit(self):
        return Inner()

    @property
    def factor(self):
        return helper(1)
"""


@pytest.fixture
def notebook(monkeypatch):
    module = ModuleType("notebook_of_a_user")
    monkeypatch.setitem(sys.modules, module.__name__, module)
    exec(CELL, vars(module))
    return module


def again(notebook, text):
    exec(text, vars(notebook))


def test_equal_objects_have_equal_code(notebook):
    assert LoadedCode(notebook.Outer()) == LoadedCode(notebook.Outer())
    assert hash(LoadedCode(notebook.Outer())) == hash(LoadedCode(notebook.Outer()))
    pretext = partial(alkit.Reconstruction, partial(alkit.UNet, widths=(2, 4)))
    assert LoadedCode(pretext()) == LoadedCode(pretext())


def test_calls_change_nothing(notebook):
    before = LoadedCode(notebook.Outer())
    notebook.Outer().fit().compute(3)
    assert (notebook.COUNT, notebook.SEEN, notebook.LATELY) == (1, [3], {"x": 3})
    assert notebook.state.calls == notebook.Settings.calls == 1
    assert LoadedCode(notebook.Outer()) == before


@pytest.mark.parametrize(
    "text",
    [
        "def helper(x): return x",
        "@functools.lru_cache\ndef kept(x): return x",
        "class Inner: pass",
        "FACTOR = 3",
        "CONFIG['rate'] = 2",
        "CONFIG['net']['widths'][1] = 3",
        "WIDTHS.append(2)",
        "Settings.size = 2",
        "options.size = 2",
        "plain.size = 2",
        "@dataclass(frozen=True)\nclass Outer:\n    network: object = None",
    ],
)
def test_whatever_is_defined_or_set_again_is_other_code(notebook, text):
    before = LoadedCode(notebook.Outer())
    again(notebook, text)
    assert LoadedCode(notebook.Outer()) != before


def test_a_function_among_the_parameters_counts(notebook):
    notebook.Outer.__hash__ = object.__hash__
    one = LoadedCode(notebook.Outer(partial(notebook.helper, x=1)))
    again(notebook, "def helper(x): return x")
    assert LoadedCode(notebook.Outer(partial(notebook.helper, x=1))) != one


def test_a_function_of_another_module_of_the_user_counts(notebook, monkeypatch):
    module = ModuleType("own_helpers")
    monkeypatch.setitem(sys.modules, module.__name__, module)
    exec("def colour(x): return x", vars(module))
    notebook.own_helpers = module
    again(notebook, "def score(x): return own_helpers.colour(x)")
    before = LoadedCode(notebook.score)
    assert LoadedCode(notebook.score) == before
    exec("def colour(x): return -x", vars(module))
    assert LoadedCode(notebook.score) != before
