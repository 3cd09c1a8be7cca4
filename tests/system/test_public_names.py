"""The public face: what ``import alkit`` offers, and what it costs."""

import importlib
import json
import pkgutil
import re
import subprocess
import sys

import pytest

import alkit
from alkit.configuration.former_names import FORMER

NAMES = """
AlkitError Answer ArrayPool ClassificationLearner DatasetPool Dropout Ensemble EstimatorLearner Experiment FolderOracle
ImagePool LabelOracle LabelSpec LabelStudioOracle MaskOracle Predictions Query Reconstruction RoundResult SKIP
SegmentationLearner Selection SelectionRules TilePool UNet View VolumePool export_model highest predict_folder strategy
trained_model
""".split()

NAMESPACES = """
checks configuration errors evaluation features labels learners networks oracles pictures pools protocols record report
rng samplers scores statistics stopping strategies synthetic testing trained values
""".split()


def test_the_public_names_are_these():
    assert sorted(alkit.__all__) == sorted([*NAMES, *NAMESPACES])


def test_every_name_of_every_namespace_can_be_had():
    for name in NAMESPACES:
        namespace = importlib.import_module(f"alkit.{name}")
        assert namespace.__doc__, name
        for public in getattr(namespace, "__all__", ()):
            assert getattr(namespace, public) is not None, f"{name}.{public}"


@pytest.mark.parametrize("name", sorted(FORMER))
def test_a_former_name_works_for_one_release_and_names_the_new_one(name):
    with pytest.warns(DeprecationWarning, match=rf"alkit\.{name} is now {re.escape(FORMER[name])}"):
        thing = getattr(alkit, name)
    assert thing is pkgutil.resolve_name(FORMER[name])
    assert callable(thing)


def test_calling_strategies_warns_and_lists_them():
    with pytest.warns(DeprecationWarning, match=r"alkit\.strategies\(\) is now alkit\.strategies\.installed\(\)"):
        assert alkit.strategies() == alkit.strategies.installed()


def test_every_public_name_can_be_had_and_has_a_docstring():
    for name in NAMES:
        assert getattr(alkit, name).__doc__, name


def imported_by(code):
    script = f"{code}\nimport sys, json; print(json.dumps(sorted(sys.modules)))"
    said = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True).stdout
    return set(json.loads(said.splitlines()[-1]))


def test_importing_alkit_and_its_command_line_imports_nothing_heavy():
    heavy = {"torch", "numpy", "sqlalchemy", "faiss", "sklearn", "matplotlib", "lightning_fabric"}
    assert not imported_by("import alkit") & heavy
    assert not imported_by("import alkit.cli") & heavy


def test_strategies_by_name_need_no_torch():
    assert "torch" not in imported_by("import alkit; alkit.strategies.installed(); alkit.strategy('random')")
