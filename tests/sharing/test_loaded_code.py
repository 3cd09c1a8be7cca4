"""A worker that has loaded other code than the process that asks says so."""

from __future__ import annotations

import importlib
import logging
import os
import subprocess
import sys
import time

import pytest

from alkit.configuration import start
from alkit.configuration.code import file_of_user
from alkit.errors import ConfigurationError
from alkit.sharing.loaded_code import agree, check_code, loaded_code, used_code, warn_of_changes

PROGRAM = """
import importlib, os, sys, time
from pathlib import Path
sys.path += [PLACES]
import numpy as np
import mine
from alkit.errors import ConfigurationError
from alkit.sharing.share import share
from tests.support.shared import Number


class Work:
    def packed(self, folder):
        return self

    def __call__(self, shard, tick):
        there = Path(__file__).parent / "workers"
        there.mkdir(exist_ok=True)
        (there / str(os.getpid())).touch()
        while len(list(there.iterdir())) < 2:  # so that both workers have loaded the first version
            time.sleep(0.02)
        return {"value": np.array([mine.score(shard.value)])}


def values():
    shards = [Number(1), Number(2)]
    return [int(found["value"][0]) for found in share(Work(), shards, bool, workers=2)]


if __name__ == "__main__":
    assert values() == [101, 102]
    Path(mine.__file__).write_text("def score(value): return 2000 + value")
    assert values() == [101, 102], "neither this process nor its workers have loaded the other version"
    importlib.reload(mine)
    try:
        print(values())
    except ConfigurationError as error:
        print(error)
"""


@pytest.fixture
def module(tmp_path, monkeypatch):
    monkeypatch.syspath_prepend(tmp_path)
    file = tmp_path / "my_code_that_is_edited.py"
    file.write_text("VALUE = 1")
    yield importlib.import_module(file.stem), file
    sys.modules.pop(file.stem)


def test_a_module_counts_as_it_was_when_it_was_loaded(module):
    loaded, file = module
    before = loaded_code()
    file.write_text("VALUE = 20")
    assert loaded_code() == before
    check_code(before)
    importlib.reload(loaded)
    assert loaded_code()[file.stem] != before[file.stem]
    with pytest.raises(ConfigurationError, match="another version of the module my_code_that_is_edited than this prog"):
        check_code(before)


def test_other_modules_and_installed_ones_do_not_matter(module):
    _, file = module
    check_code({"module_of_another_program": "0"})
    assert {file.stem} <= loaded_code().keys()
    assert not {"numpy", "os", "alkit"} & loaded_code().keys()


def test_what_torch_has_compiled_is_not_code_of_the_user(module, monkeypatch):
    loaded, file = module
    assert file_of_user(file.stem, loaded) == file
    monkeypatch.setenv("TORCHINDUCTOR_CACHE_DIR", str(file.parent))
    assert file_of_user(file.stem, loaded) is None


def test_a_constant_that_the_program_has_set_is_named_once_for_each_value(module, monkeypatch, caplog):
    loaded, _ = module
    monkeypatch.setattr(start, "STARTED", time.time() + 3600)
    importlib.reload(loaded)
    loaded.VALUE = 2
    with caplog.at_level(logging.WARNING):
        warn_of_changes()
        warn_of_changes()
    told = "my_code_that_is_edited:VALUE is 2 in this program, and workers load 1: pass it as a parameter"
    assert caplog.text.count(told) == 1


def test_workers_that_have_loaded_different_versions_of_what_this_program_has_not_loaded_are_an_error(module):
    loaded, _ = module
    agree({"/a/helper.py": "1"})
    agree({"/a/helper.py": "1", "/a/other.py": "1"})
    with pytest.raises(ConfigurationError, match=r"a worker has used another version of the file /a/helper.py than"):
        agree({"/a/helper.py": "2"})
    with pytest.raises(ConfigurationError, match=r"a worker has used another version of the file .*edited.py than"):
        agree({loaded.__file__: "0"})


def test_code_that_was_changed_before_it_was_seen_cannot_be_told(module, monkeypatch):
    loaded, file = module
    monkeypatch.setattr(start, "STARTED", time.time() + 3600)
    importlib.reload(loaded)
    found = used_code()
    assert found is None or str(file) in found
    monkeypatch.setattr(start, "STARTED", 0.0)
    importlib.reload(loaded)
    assert used_code() is None


def test_a_file_that_was_changed_since_the_program_began_is_named_once(module, monkeypatch, caplog):
    _, file = module
    monkeypatch.setattr(start, "STARTED", time.time() + 3600)
    with caplog.at_level(logging.WARNING):
        warn_of_changes()
        assert not caplog.records
        monkeypatch.setattr(start, "STARTED", file.stat().st_mtime - 0.01)
        warn_of_changes()
        warn_of_changes()
    assert caplog.text.count(f"{file} was changed since this program began") == 1


@pytest.mark.slow
def test_workers_with_former_code_are_an_error(tmp_path):
    (tmp_path / "mine.py").write_text("def score(value): return 100 + value")
    program = tmp_path / "program.py"
    program.write_text(PROGRAM.replace("PLACES", repr(os.getcwd())))
    environment = {**os.environ, "ALKIT_CACHE": str(tmp_path / "cache")}
    done = subprocess.run([sys.executable, program], env=environment, capture_output=True, text=True, check=False)
    assert "has loaded another version of the module mine than this program" in done.stdout, done.stderr
    assert f"{tmp_path / 'mine.py'} was changed since this program began" in done.stderr
