"""Constants of the user's modules that a program has set."""

import importlib
import sys
import time

import pytest

from alkit.configuration import start
from alkit.configuration.constants import changed_constants

CODE = """
FACTOR = 1
RATE: float = 0.5
SIZES = (1, 2)
made = None
registry = {}
calls = 0
if FACTOR:
    CHOSEN = 3
TWICE = 1
TWICE = 2
now = TWICE + 1

def count():
    global calls
    calls += 1

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


def test_what_changes_while_any_program_runs_is_left_out(module):
    module.count()
    module.made, module.now, module.TWICE, module.other = 3, 4, 5, 6
    module.registry["a"] = 1
    assert found() == {}
