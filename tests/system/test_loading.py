"""Loading never unpickles: no file that alkit reads can run code. Rules of ruff in pyproject.toml help to keep it."""

import ast
import io
import pickle
from pathlib import Path

import numpy as np
import pytest
import torch
from sklearn.linear_model import LogisticRegression

import alkit
from alkit.features.pretext_files import read_checkpoint, read_weights

ROOT = Path(__file__).parents[2]
FILES = sorted(path for folder in ("alkit", "plugins", "benchmarks") for path in (ROOT / folder).rglob("*.py"))

UNSAFE_MODULES = {
    "_pickle", "cloudpickle", "code", "ctypes", "dill", "jsonpickle", "marshal", "pickle", "pty", "runpy", "shelve",
    "yaml",
}  # fmt: skip
UNSAFE_CALLS = {
    "eval", "exec", "compile", "__import__", "os.system", "os.popen", "joblib.load", "torch.jit.load", "torch.package",
    "torch.export.load", "torch.hub.load", "torch.hub.load_state_dict_from_url", "sklearn.datasets.fetch_openml",
    "torch.package.PackageImporter", "torchvision.models.get_weight",
}  # fmt: skip
UNSAFE_METHODS = {"read_pickle", "to_pickle", "load_extension", "enable_load_extension", "run_line_magic"}
SAFE_ARGUMENT = {
    "numpy.load": ("allow_pickle", False), "numpy.lib.format.read_array": ("allow_pickle", False),
    "torch.load": ("weights_only", True), "torch.serialization.load": ("weights_only", True),
}  # fmt: skip


def problems(source):
    """Yield the line and the name of each unsafe import or call, whatever names it was imported by."""
    tree, names = ast.parse(source), {}
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            names |= {it.asname: it.name for it in node.names if it.asname}
        if isinstance(node, ast.ImportFrom) and not node.level:
            names |= {it.asname or it.name: f"{node.module}.{it.name}" for it in node.names}
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from ((node.lineno, it.name) for it in node.names if it.name.partition(".")[0] in UNSAFE_MODULES)
        if isinstance(node, ast.ImportFrom) and (node.module or "").partition(".")[0] in UNSAFE_MODULES:
            yield from ((node.lineno, it.name) for it in node.names if it.name != "UnpicklingError")
        if isinstance(node, ast.Call):
            first, dot, rest = ast.unparse(node.func).partition(".")
            called = names.get(first, first) + dot + rest
            given = {it.arg: ast.unparse(it.value) for it in node.keywords}
            name, value = SAFE_ARGUMENT.get(called, (None, None))
            unsafe = called in UNSAFE_CALLS or called.rpartition(".")[2] in UNSAFE_METHODS
            unsafe |= any(given.get(word, "False") != "False" for word in ("shell", "allow_pickle"))
            if unsafe or (name is not None and given.get(name) != str(value)):
                yield node.lineno, called


CALLS_THE_SYSTEM = {"alkit/networks/heap.py": {"ctypes"}, "alkit/record/network_folder.py": {"ctypes"}}
"""Modules that call one function of the operating system's own library, which no file names."""


def test_every_part_of_the_code_is_searched():
    folders = {path.relative_to(ROOT).parts[0] for path in FILES}
    assert folders == {"alkit", "plugins", "benchmarks"}
    assert {ROOT / "alkit/record/database.py", ROOT / "alkit/features/pretext_files.py"} <= set(FILES)


def test_no_module_unpickles_evaluates_text_or_starts_a_shell():
    found = {path.relative_to(ROOT).as_posix(): {name for _, name in problems(path.read_text())} for path in FILES}
    assert {name: calls for name, calls in found.items() if calls} == CALLS_THE_SYSTEM


@pytest.mark.parametrize(
    "source",
    [
        "import pickle", "from pickle import loads", "import yaml", "eval('1')", "exec('1')", "torch.load(x)",
        "import numpy as np; np.load(x)", "import numpy as np; np.load(x, allow_pickle=True)", "numpy.load(x)",
        "import numpy as n; n.load(x)", "from numpy import load; load(x)", "from numpy import load as read; read(x)",
        "np.lib.format.read_array(x, allow_pickle=True)", "np.save(x, y, allow_pickle=True)",
        "from joblib import load; load(x)",
        "torch.load(x, weights_only=False)", "from torch import load; load(x)", "import torch as t; t.load(x)",
        "torch.serialization.load(x)", "joblib.load(x)", "import joblib as j; j.load(x)", "os.system('x')",
        "from os import system as s; s('x')", "torch.hub.load('a', 'b')", "subprocess.run('x', shell=True)",
        "import pandas as pd; pd.read_pickle(x)", "pandas.read_pickle(x)", "frame.to_pickle(x)",
        "import yaml as y; y.load(x)",
        "from yaml import load", "import shelve", "import dill", "import marshal", "import _pickle", "import runpy",
        "connection.enable_load_extension(True)", "builtins = __import__('os')",
    ],
)  # fmt: skip
def test_the_search_finds(source):
    assert list(problems(source))


def test_only_the_kits_build_forms_without_the_list_of_registered_names():
    using = {path.relative_to(ROOT / "alkit").as_posix() for path in FILES if "import rebuild" in path.read_text()}
    assert using == {"testing/strategies.py"}


class Evil:
    """A pickle of it makes a file when it is loaded."""

    def __init__(self, made):
        self.made = made

    def __reduce__(self):
        return Path.touch, (self.made,)


@pytest.fixture
def pickled(tmp_path):
    """Return the bytes of pickles in four containers, which make the file ``ran`` when they are loaded."""
    evil, saved, array = Evil(tmp_path / "ran"), io.BytesIO(), io.BytesIO()
    plain = pickle.dumps(evil, protocol=2)
    torch.save({"state": evil}, saved)
    np.savez(array, labels=np.array([evil], object))
    size = len(plain).to_bytes(8, "little")
    return [plain, saved.getvalue(), array.getvalue(), size + plain]


def test_a_pickle_in_place_of_a_model_or_of_cached_weights_does_not_run(pickled, tmp_path):
    learner = alkit.SegmentationLearner()
    others = alkit.ClassificationLearner(alkit.UNet), alkit.EstimatorLearner(LogisticRegression())
    learners = [learner, alkit.Ensemble(learner), *others]
    for content in pickled:
        (tmp_path / "file").write_bytes(content)
        assert read_checkpoint(tmp_path / "file", torch.device("cpu"), alkit.UNet(1, 2)) is None
        assert read_weights(tmp_path / "file", alkit.UNet(1, 2)) is None
        for one in learners:
            with pytest.raises(Exception):  # noqa: B017, PT011 - of any type: only that nothing runs matters
                one.loads(content)
    assert not (tmp_path / "ran").exists()
    pickle.loads(pickled[0])
    assert (tmp_path / "ran").exists()
