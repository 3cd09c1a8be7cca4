"""Digests of the user's code: what a part refers to counts, and nothing else."""

from __future__ import annotations

import importlib
import shutil
import sys
import time
from types import ModuleType

import numpy as np
import pytest

import alkit
from alkit.configuration import definitions, start, written_form
from alkit.configuration.definitions import definitions_of, untold

FILES = {
    "my_parts": """
from dataclasses import dataclass
import my_helpers as tools
from my_helpers import *
from my_shared import LIMIT as MOST, Base

FACTOR = 3
OTHER = 1

@dataclass(frozen=True)
class Mine(Base):
    'A text.'
    name: str = "x"

    def select(self, view, n, rng):
        # a remark
        from my_late import late
        return scaled(n) + tools.half(n) + late(n) + starred(n)

def scaled(n):
    return FACTOR * min(n, MOST)

def unused():
    return OTHER
""",
    "my_helpers": "def half(n): return n / 2\ndef starred(n): return n\ndef unused(n): return n\n",
    "my_shared": "LIMIT = 9\nclass Base:\n    speed = {'fast': 2}\n    def run(self): return 1\nclass Unused: pass\n",
    "my_late": "def late(n): return n\n",
}

ALL = {
    *("my_parts:Mine", "my_parts:scaled", "my_parts:FACTOR", "my_helpers:half", "my_helpers:starred"),
    *("my_shared:LIMIT", "my_shared:Base", "my_late:late"),
}


@pytest.fixture
def edit(tmp_path, monkeypatch):
    """Return a function that edits a file, imports all modules again, and returns what changed."""
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.setattr(start, "STARTED", time.time() + 3600)

    def found():
        for name in FILES:
            sys.modules.pop(name, None)
        importlib.invalidate_caches()
        modules = {name: importlib.import_module(name) for name in FILES if name != "my_late"}
        return definitions_of(written_form(modules["my_parts"].Mine("a")))

    def change(name, old, new):
        text = (tmp_path / f"{name}.py").read_text()
        assert old in text
        (tmp_path / f"{name}.py").write_text(text.replace(old, new) + f"\n#{len(new)}{time.time_ns()}")
        after = found()
        assert after.keys() == before.keys() == ALL
        return {address for address, digest in after.items() if digest != before[address]}

    for name, text in FILES.items():
        (tmp_path / f"{name}.py").write_text(text)
    before = found()
    yield change
    for name in FILES:
        sys.modules.pop(name, None)


@pytest.mark.parametrize(
    ("name", "old", "new", "expected"),
    [
        ("my_parts", "return scaled", "return 1 + scaled", "my_parts:Mine"),
        ("my_parts", "FACTOR = 3", "FACTOR = 4", "my_parts:FACTOR"),
        ("my_parts", "min(n, MOST)", "max(n, MOST)", "my_parts:scaled"),
        ("my_parts", 'name: str = "x"', 'name: str = "y"', "my_parts:Mine"),
        ("my_helpers", "n / 2", "n / 3", "my_helpers:half"),
        ("my_helpers", "starred(n): return n", "starred(n): return 2 * n", "my_helpers:starred"),
        ("my_shared", "LIMIT = 9", "LIMIT = 8", "my_shared:LIMIT"),
        ("my_shared", "return 1", "return 2", "my_shared:Base"),
        ("my_late", "return n", "return n + 1", "my_late:late"),
    ],
    ids=["method", "constant", "function", "default", "helper", "star", "other constant", "base class", "late import"],
)
def test_an_edit_of_what_a_part_refers_to_is_named(edit, name, old, new, expected):
    assert edit(name, old, new) == {expected}


@pytest.mark.parametrize(
    ("name", "old", "new"),
    [
        ("my_parts", "# a remark", "# another remark"),
        ("my_parts", "'A text.'", "'Another text.'"),
        ("my_parts", "OTHER = 1", "OTHER = 2"),
        ("my_parts", "return OTHER", "return OTHER + 1"),
        ("my_helpers", "unused(n): return n", "unused(n): return n + 1"),
        ("my_shared", "class Unused: pass", "class Unused: value = 1"),
        ("my_parts", "def scaled(n):\n", "\n\ndef scaled(\n    n,\n):\n\n"),
    ],
    ids=["comment", "docstring", "unused constant", "unused function", "unused helper", "unused class", "layout"],
)
def test_other_edits_do_not_count(edit, name, old, new):
    assert edit(name, old, new) == set()


def test_a_constant_that_the_program_has_set_counts_by_its_value(edit):
    """Nothing in the files shows it, such as ``my_parts.FACTOR = arguments.factor``."""
    module = sys.modules["my_parts"]
    form = written_form(module.Mine("a"))
    before = definitions_of(form)
    module.OTHER, module.FACTOR = 2, 4
    changed = definitions_of(form)
    assert {address for address in ALL if changed[address] != before[address]} == {"my_parts:FACTOR"}
    module.FACTOR = 5
    assert definitions_of(form) not in (before, changed)
    module.FACTOR = 3
    assert definitions_of(form) == before
    speed = sys.modules["my_shared"].Base.speed
    speed["fast"] = 3
    found = definitions_of(form)
    assert {address for address in ALL if found[address] != before[address]} == {"my_shared:Base"}
    speed["fast"] = 4
    assert definitions_of(form) not in (before, found)


def test_odd_modules_and_expressions_are_passed_over(tmp_path, monkeypatch):
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.setattr(start, "STARTED", time.time() + 3600)
    deep = f"def deep(): return {' + '.join(['1'] * 700)}\n"
    (tmp_path / "my_odd_module.py").write_text("from my_object import thing\nimport my_gone, my_broken\n" + deep)
    (tmp_path / "my_broken.py").write_text("def broken(:")
    monkeypatch.setitem(sys.modules, "my_object", object())
    monkeypatch.setitem(sys.modules, "my_gone", None)
    monkeypatch.setitem(sys.modules, "my_odd_module", module := ModuleType("my_odd_module"))
    module.__file__ = str(tmp_path / "my_odd_module.py")
    code = "def used(): return thing + my_gone.x + my_broken.broken + deep()\n"
    (tmp_path / "my_odd_module.py").write_text((tmp_path / "my_odd_module.py").read_text() + code)
    assert definitions_of({"named": "my_odd_module:used"}).keys() == {"my_odd_module:used"}


def test_packages_count_by_their_versions_and_python_not_at_all():
    pytest.importorskip("sklearn.svm")
    form = [{"named": "sklearn.svm:SVC"}, {"named": "math:sqrt"}, {"named": "torch.nn:ReLU"}, {"is": "alkit:UNet"}]
    found = definitions_of(form)
    assert found.keys() == {"sklearn"}


def test_a_package_counts_by_the_version_of_a_distribution_with_another_name(tmp_path, monkeypatch):
    """As a plugin ``our-lab`` with the package ``labtools``, which says nothing about its version."""
    place = tmp_path / "site-packages"
    monkeypatch.syspath_prepend(place)
    (place / "labtools").mkdir(parents=True)
    (place / "labtools" / "__init__.py").write_text("def score(): return 1\n")
    found = []
    for version in ("1.0", "1.1"):
        facts = place / f"our_lab-{version}.dist-info"
        facts.mkdir()
        (facts / "METADATA").write_text(f"Metadata-Version: 2.1\nName: our-lab\nVersion: {version}\n")
        (facts / "RECORD").write_text("labtools/__init__.py,,\n")
        importlib.invalidate_caches()
        definitions._distributions.cache_clear()
        found.append(definitions_of(written_form(importlib.import_module("labtools").score)))
        shutil.rmtree(facts)
    monkeypatch.delitem(sys.modules, "labtools")
    definitions._distributions.cache_clear()
    assert found == [{"labtools": "our-lab 1.0"}, {"labtools": "our-lab 1.1"}]


def test_code_that_no_edit_would_show_is_named(tmp_path, monkeypatch):
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.setattr(start, "STARTED", time.time() + 3600)
    text = (
        "import my_other\ndef made(n):\n    return lambda: n\ndef plain(): return my_other.more()\nshort = lambda: 1\n"
    )
    (tmp_path / "my_hidden.py").write_text(text)
    (tmp_path / "my_other.py").write_text("def more(): return 2\n")
    module = importlib.import_module("my_hidden")
    assert untold(written_form(module.plain), written_form(np.mean), written_form(alkit.UNet)) == []
    assert untold(written_form(module.short)) == ["my_hidden:<lambda>"]
    assert untold(written_form(module.made(3))) == ["my_hidden:made.<locals>.<lambda>"]
    notebook = ModuleType("my_notebook")
    exec("def cell(): return 1", vars(notebook))
    monkeypatch.setitem(sys.modules, "my_notebook", notebook)
    assert untold(written_form(notebook.cell)) == ["my_notebook:cell"]
    for name in ("my_hidden", "my_other"):
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setattr(start, "STARTED", 0.0)  # the files were changed since
    monkeypatch.setattr(definitions, "_read", {})
    assert untold(written_form(importlib.import_module("my_hidden").plain)) == ["my_hidden:plain"]
