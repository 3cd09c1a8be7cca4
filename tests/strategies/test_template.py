"""The template of a third party's package: it works as it lies there, and as a stranger installs it."""

import ast
import json
import os
import subprocess
import sys
import sysconfig
import tomllib
import venv
from dataclasses import dataclass
from email import message_from_bytes
from functools import partial
from importlib import import_module
from importlib.metadata import packages_distributions
from pathlib import Path
from zipfile import ZipFile

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

import alkit

ROOT = Path(__file__).parents[2]
TEMPLATE = ROOT / "plugins" / "template"


@pytest.fixture
def herding(monkeypatch):
    """Return the template's strategy, found in its folder by its own entry point."""
    monkeypatch.syspath_prepend(TEMPLATE)
    project = tomllib.loads((TEMPLATE / "pyproject.toml").read_text())["project"]
    module, _, name = project["entry-points"]["alkit.strategies"]["kernel-herding"].partition(":")
    return getattr(import_module(module), name)


@dataclass(frozen=True)
class Pixels:
    """The least feature extractor."""

    def fit(self, pool, rng, report=None):
        return self

    def features(self, images):
        return images.reshape(len(images), -1)


def test_the_template_selects_images_of_a_small_pool(world, herding):
    strategy = herding(features=Pixels(), width=0.3)
    experiment = world.experiment(strategy=strategy)
    first, second = experiment.run(world.oracle, test=world.test, start=4, batch=3, rounds=1)
    assert (len(first.ids), second.n_labels) == (4, 7)
    assert not set(first.ids) & set(second.ids)
    experiment.ask(2)
    assert all("stands for" in query.stands_for for query in experiment.queries())


def test_the_template_uses_only_public_names_of_alkit():
    for path in TEMPLATE.rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.Import):
                modules = [entry.name for entry in node.names]
            else:
                modules = [node.module or ""] if isinstance(node, ast.ImportFrom) else []
            inside = {module for module in modules if module.split(".")[0] == "alkit"}
            assert {module.removeprefix("alkit.") for module in inside} <= {"alkit", *alkit.__all__}, path
            if isinstance(node, ast.ImportFrom) and node.module == "alkit":
                assert {entry.name for entry in node.names} <= set(alkit.__all__), path


SCRIPT = """
import importlib.metadata, json, sys
from functools import partial
import alkit

images, masks = alkit.synthetic.lesions(30, size=16, seed=0)
oracle = alkit.MaskOracle({f"{row:04}": mask for row, mask in enumerate(masks)}, classes=("skin", "lesion"))
pool, test = alkit.ArrayPool(images).split(test=10, seed=0)
network = partial(alkit.UNet, widths=(2, 4))
name, parameters = sys.argv[1], json.loads(sys.argv[2])
strategy = alkit.strategy(name, features=alkit.Reconstruction(network, epochs=1), **parameters)
learner = alkit.SegmentationLearner(network, epochs=(1, 1))
experiment = alkit.Experiment(pool, learner, strategy, store=f"{name}.db")
results = experiment.run(oracle, test=test, start=4, batch=3, rounds=1)
print(json.dumps({"alkit": alkit.__file__, "ids": [result.ids for result in results]}))
"""


@pytest.fixture(scope="module")
def stranger(tmp_path_factory):
    """Return what runs a command in a fresh environment that has alkit and the template as wheels.

    Everything else, torch above all, is taken from this environment, which the fresh one looks through last.
    """
    place = tmp_path_factory.mktemp("stranger")
    python = place / "env" / "bin" / "python"
    environment = {key: value for key, value in os.environ.items() if not key.startswith("PYTHON")}
    environment |= {"OMP_NUM_THREADS": "1", "ALKIT_CACHE": str(place / "cache")}

    def run(*command, cwd=place):
        if command[0] == "alkit":
            command = (python.parent / "alkit", *command[1:])
        command = [python if word == "python" else word for word in command]
        ran = subprocess.run(command, cwd=cwd, env=environment, capture_output=True, text=True)
        assert ran.returncode == 0, ran.stdout + ran.stderr
        return ran.stdout

    pip = partial(run, sys.executable, "-m", "pip", "--quiet", "--disable-pip-version-check")
    venv.create(place / "env", with_pip=False)
    site = Path(run("python", "-c", "import sysconfig; print(sysconfig.get_path('purelib'))").strip())
    shared = dict.fromkeys(sysconfig.get_path(kind) for kind in ("purelib", "platlib"))
    (site / "shared.pth").write_text("\n".join(shared))

    def install(*projects):
        pip("wheel", "--no-deps", "--wheel-dir", place / "wheels", *projects)
        wheels = sorted((place / "wheels").glob("*.whl"))
        pip("--python", python, "install", "--no-deps", "--no-index", "--force-reinstall", *wheels)

    install(ROOT, TEMPLATE)
    run.install, run.place = install, place
    return run


def required(wheel):
    """Return the distributions that a wheel's metadata asks for, in whatever extra."""
    with ZipFile(wheel) as inside:
        (path,) = (name for name in inside.namelist() if name.endswith(".dist-info/METADATA"))
        metadata = message_from_bytes(inside.read(path))
    return {canonicalize_name(Requirement(line).name) for line in metadata.get_all("Requires-Dist", [])}


def imported(wheel):
    """Return the distributions that the code in a wheel imports from, but for its own packages and Python's."""
    with ZipFile(wheel) as inside:
        trees = {name: ast.parse(inside.read(name)) for name in inside.namelist() if name.endswith(".py")}
    modules = set()
    for node in (node for tree in trees.values() for node in ast.walk(tree)):
        if isinstance(node, ast.Import):
            modules |= {entry.name for entry in node.names}
        elif isinstance(node, ast.ImportFrom) and not node.level:
            modules.add(node.module)
    own = {name.partition("/")[0] for name in trees}
    packages = {module.partition(".")[0] for module in modules} - own - sys.stdlib_module_names
    known = packages_distributions()
    return {canonicalize_name(known.get(package, [package])[0]) for package in packages}


def check_dependencies(wheel):
    assert imported(wheel) <= required(wheel), f"{wheel.name} imports what it does not depend on"


@pytest.mark.slow
def test_every_wheel_requires_the_packages_that_it_imports(stranger):
    """The fresh environment borrows all dependencies, and would not miss one."""
    wheels = {wheel.name.partition("-")[0]: wheel for wheel in (stranger.place / "wheels").glob("*.whl")}
    for wheel in wheels.values():
        check_dependencies(wheel)
    assert "alkit" in required(wheels["alkit_kernel_herding"])


def listed(run):
    return {entry["name"]: entry for entry in json.loads(run("alkit", "strategies", "--json"))}


@pytest.mark.slow
def test_the_wheel_of_the_template_is_installed_and_runs_by_name(stranger):
    found = listed(stranger)["kernel-herding"]
    assert found["distribution"] == "alkit-kernel-herding"
    assert (found["starts_cold"], found["needs"], found["problem"]) == (True, ["features"], "")
    assert [entry["name"] for entry in found["parameters"]] == ["features", "width"]
    assert all(entry["kind"] and entry["meaning"] for entry in found["parameters"])
    said = json.loads(stranger("python", "-c", SCRIPT, "kernel-herding", '{"width": 0.3}'))
    assert Path(said["alkit"]).is_relative_to(stranger.place)  # the wheel, and not this folder
    first, second = said["ids"]
    assert (len(first), len(second), len({*first, *second})) == (4, 3, 7)
    assert stranger("python", "-c", SCRIPT, "kernel-herding", '{"width": 0.3}').strip() == json.dumps(said)


@pytest.mark.slow
def test_the_installed_template_passes_the_kit(stranger):
    assert " passed" in stranger("python", "-m", "pytest", "-p", "no:cacheprovider", "tests", cwd=TEMPLATE)


@pytest.mark.slow
def test_a_package_from_new_strategy_is_installed_found_tested_and_run(stranger):
    stranger("alkit", "new-strategy", "far-ones")
    folder = stranger.place / "alkit-far-ones"
    stranger.install(folder)
    (wheel,) = (stranger.place / "wheels").glob("alkit_far_ones-*.whl")
    check_dependencies(wheel)
    assert "alkit" in required(wheel)
    found = listed(stranger)["far-ones"]
    assert (found["distribution"], found["problem"]) == ("alkit-far-ones", "")
    assert " passed" in stranger("python", "-m", "pytest", "-p", "no:cacheprovider", cwd=folder)
    first, second = json.loads(stranger("python", "-c", SCRIPT, "far-ones", "{}"))["ids"]
    assert (len(first), len(second), len({*first, *second})) == (4, 3, 7)
