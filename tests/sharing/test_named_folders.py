"""Workers import from the folders in which a user has named a module, and from no other."""

import os
import pickle
import subprocess
import sys

import pytest

from alkit.errors import ConfigurationError
from alkit.sharing.named_folders import NamedFolders, named_folders, search_folder
from alkit.sharing.travelling import check_received

WORK = """
import numpy as np

class Number:
    size = 1
    def __init__(self, value): self.value = value
    def packed(self, folder): return self

class Double(Number):
    def __call__(self, shard, tick): return {"value": np.array([2 * shard.value])}
"""

PROGRAM = """
import sys
sys.path += [PLACES]
from alkit.errors import ConfigurationError
from alkit.sharing.named_folders import search_folder
from alkit.sharing.share import share

if __name__ == "__main__":
    search_folder(FOLDER)
    import my_named_work as mine
    results = share(mine.Double(0), [mine.Number(1), mine.Number(2)], bool, workers=2)
    print([int(found["value"][0]) for found in results])
    sys.path.insert(0, OTHER)
    import my_other_work as other
    sys.path.remove(OTHER)
    try:
        list(share(other.Double(0), [other.Number(1), other.Number(2)], bool, workers=2))
    except ConfigurationError as reason:
        print(reason)
"""


@pytest.fixture(autouse=True)
def finders(monkeypatch):
    monkeypatch.setattr(sys, "meta_path", list(sys.meta_path))


def test_a_process_that_receives_the_folders_searches_them(tmp_path, monkeypatch):
    search_folder(str(tmp_path))
    search_folder(str(tmp_path))
    sent = pickle.dumps(NamedFolders())
    monkeypatch.setattr(sys, "meta_path", [finder for finder in sys.meta_path if not hasattr(finder, "folder")])
    assert named_folders() == []
    assert pickle.loads(sent).folders == named_folders() == [str(tmp_path)]


@pytest.mark.parametrize("reason", [ModuleNotFoundError("No module named 'mine'"), RuntimeError("un-serialize")])
def test_work_that_a_worker_cannot_load_is_an_error_with_the_cause(reason):
    if isinstance(reason, RuntimeError):
        reason.__cause__ = Exception('\n"""\nTraceback:\n  File\nModuleNotFoundError: No module named \'mine\'\n"""')
    with pytest.raises(ConfigurationError, match=r"it was sent \(ModuleNotFoundError: No module named 'mine'\). Try"):
        check_received(reason)
    check_received(RuntimeError("a worker was killed"))


@pytest.mark.slow
def test_workers_load_what_a_user_has_named_and_nothing_else_of_other_folders(tmp_path):
    folder, other = tmp_path / "folder", tmp_path / "other"
    for place, name in ((folder, "my_named_work"), (other, "my_other_work")):
        place.mkdir()
        (place / f"{name}.py").write_text(WORK)
    program = tmp_path / "program.py"
    text = PROGRAM.replace("PLACES", repr(os.getcwd())).replace("FOLDER", repr(str(folder)))
    program.write_text(text.replace("OTHER", repr(str(other))))
    environment = {**os.environ, "ALKIT_CACHE": str(tmp_path / "cache")}
    done = subprocess.run(
        [sys.executable, program], cwd=tmp_path, env=environment, capture_output=True, text=True, check=True
    )
    first, second = done.stdout.splitlines()
    assert first == "[2, 4]"
    assert second.startswith(
        "a worker cannot load the work that it was sent (ModuleNotFoundError: No module named 'my_o"
    )
