"""Settings in the user's modules that a program has set."""

import importlib
import sys
import time

import numpy as np
import pytest

from alkit.configuration import start
from alkit.configuration.constants import changed_constants

CODE = """
from dataclasses import dataclass
from enum import IntEnum
from types import SimpleNamespace

FACTOR = 1
RATE: float = 0.5
SIZES = (1, 2)
WIDTHS = [1, 2]
CONFIG = {"rate": 0.1, "net": {"widths": [8, 16], "made": None}, 3: "three", "calls": 0, "table": {}}
MORE = dict(rate=0.1)
plain = SimpleNamespace(rate=0.1)
made = None
registry = {}
results = []
log = ["begin"]
calls = 0
if FACTOR:
    CHOSEN = 3
TWICE = 1
TWICE = 2
now = TWICE + 1

class Settings:
    __slots__ = ()
    size: int = 64
    names = ("a",)
    net = {"depth": 3}
    calls = 0

    def count(self):
        type(self).calls += 1

@dataclass
class Options:
    rate: float = 0.1
    size: int = 2

class Derived(Options):
    pass

class Given:
    rate = 1

    def __init__(self):
        self.rate = 2

class Kind(IntEnum):
    ONE = 1

options = Options(size=3)
derived, given = Derived(0.2), Given()
given = Given()
other = Given()

def count():
    global calls
    calls += 1
    CONFIG["calls"] += 1
    log.append(calls)
    Settings().count()
    registry[calls] = calls

def choose(value):
    global RATE
    RATE = value

if __name__ == "__main__":
    FACTOR = 9
"""


@pytest.fixture
def module(tmp_path, monkeypatch):
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.setattr(start, "STARTED", time.time() + 3600)
    (tmp_path / "my_constants.py").write_text(CODE)
    yield importlib.import_module("my_constants")
    sys.modules.pop("my_constants")


def found():
    return {address: pair for address, pair in changed_constants().items() if address.startswith("my_constants:")}


def test_constants_that_were_set_are_found_with_both_values(module):
    assert found() == {}
    module.FACTOR, module.SIZES = 2, (1, 3)
    module.choose(0.25)
    assert found() == {
        "my_constants:FACTOR": (1, 2),
        "my_constants:RATE": (0.5, 0.25),
        "my_constants:SIZES": ((1, 2), (1, 3)),
    }


def test_numbers_of_other_types_may_be_the_same(module):
    module.RATE = np.float64(0.5)
    assert found() == {}
    module.FACTOR = True
    assert found() == {"my_constants:FACTOR": (1, True)}


def test_entries_of_mappings_and_lists_are_found(module):
    module.CONFIG["rate"], module.CONFIG["net"]["widths"][1], module.CONFIG[3] = 0.2, 32, None
    module.MORE["rate"], module.WIDTHS = 0.3, [1]
    assert found() == {
        "my_constants:CONFIG['rate']": (0.1, 0.2),
        "my_constants:CONFIG['net']['widths']": ([8, 16], [8, 32]),
        "my_constants:CONFIG[3]": ("three", None),
        "my_constants:MORE['rate']": (0.1, 0.3),
        "my_constants:WIDTHS": ([1, 2], [1]),
    }


def test_attributes_of_classes_and_objects_are_found(module):
    module.Settings.size, module.Settings.net["depth"] = 32, 4
    module.options.rate, module.options.size, module.plain.rate = 0.2, 4, 0.3
    assert found() == {
        "my_constants:Settings.size": (64, 32),
        "my_constants:Settings.net['depth']": (3, 4),
        "my_constants:options.rate": (0.1, 0.2),
        "my_constants:options.size": (3, 4),
        "my_constants:plain.rate": (0.1, 0.3),
    }


def test_what_changes_while_any_program_runs_is_left_out(module):
    module.count()
    module.made, module.now, module.TWICE, module.other = 3, 4, 5, 6
    module.registry["a"], module.CONFIG["table"]["a"], module.CONFIG["net"]["made"] = 1, 1, 1
    module.results.append(1)
    del module.CONFIG["rate"]
    assert found() == {}
