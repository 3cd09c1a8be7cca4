import re
import subprocess
import sys
import tomllib
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest

import alkit
from alkit import protocols
from alkit.cli import main
from alkit.cli.new_strategy import write_package

ROOT = Path(__file__).parents[2]
TEMPLATE = ROOT / "plugins" / "template"


@dataclass(frozen=True)
class Pixels:
    """The least feature extractor."""

    def fit(self, pool, rng, report=None):
        return self

    def features(self, images):
        return images.reshape(len(images), -1)


@pytest.fixture
def written(tmp_path):
    """Return the folder of a new package; what it is imported as is forgotten again."""
    folder = tmp_path / "somewhere" / "new"
    write_package("far-ones", folder)
    yield folder
    sys.modules.pop("alkit_far_ones", None)


def registered(folder):
    """Return name and class of what a package registers."""
    points = tomllib.loads((folder / "pyproject.toml").read_text())["project"]["entry-points"]["alkit.strategies"]
    ((name, value),) = points.items()
    module, _, made = value.partition(":")
    return name, getattr(import_module(module), made)


def test_the_package_registers_a_working_strategy(written, world, monkeypatch):
    monkeypatch.syspath_prepend(written)
    name, made = registered(written)
    assert (name, made.__name__) == ("far-ones", "FarOnes")
    experiment = world.experiment(strategy=made(features=Pixels()))
    first, second = experiment.run(world.oracle, test=world.test, start=4, batch=3, rounds=1)
    images = dict(zip(world.pool.ids, world.pool.read(world.pool.ids), strict=True))

    def farthest(known, n):
        centre = np.mean([images[id] for id in known], axis=0)
        left = sorted(set(world.pool.ids) - set(first.ids if n == 3 else ()))
        return tuple(sorted(left, key=lambda id: -np.linalg.norm(images[id] - centre))[:n])

    assert first.ids == farthest(world.pool.ids, 4)
    assert second.ids == farthest(first.ids, 3)


def test_the_package_has_the_files_and_settings_of_the_template(written):
    def shape(folder, module):
        paths = [path.relative_to(folder) for path in folder.rglob("*") if path.is_file()]
        made = (".", "__pycache__")  # caches of the tools
        return {
            str(path).replace(module, "MODULE") for path in paths if not any(p.startswith(made) for p in path.parts)
        }

    def settings(folder, own):
        project = tomllib.loads((folder / "pyproject.toml").read_text().replace(own, "OWN"))
        for key in ("name", "description", "license", "license-files", "dependencies", "entry-points"):
            project["project"].pop(key, None)
        return project

    assert shape(TEMPLATE, "kernel_herding") == shape(written, "far_ones") | {"LICENSE"}
    assert settings(TEMPLATE, "alkit_kernel_herding") == settings(written, "alkit_far_ones")


@pytest.mark.parametrize("name", ["x", "far-ones", "nearest-to-the-mean-2"])
def test_the_package_passes_the_linter_with_any_name(tmp_path, name):
    paths = write_package(name, tmp_path / "new")
    assert not any("$" in path.read_text() for path in paths)
    for command in (["check"], ["format", "--check"]):
        ran = subprocess.run([sys.executable, "-m", "ruff", *command, tmp_path], capture_output=True, text=True)
        assert ran.returncode == 0, ran.stdout


def test_the_command_prints_the_next_steps(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(SystemExit, match=r"^0$"):
        main(["new-strategy", "far-ones"])
    said = capsys.readouterr().out
    assert (tmp_path / "alkit-far-ones" / "alkit_far_ones" / "__init__.py").exists()
    assert said.index("pip install -e") < said.index("alkit strategies far-ones") < said.index("pytest")
    assert "\nalkit-far-ones/pyproject.toml\n" in said


@pytest.mark.parametrize(
    "name", ["Far", "far_ones", "-far", "far-", "far--ones", "", "3d", "fär", "none", "../far", "a b"]
)
def test_a_name_in_another_form_is_refused(tmp_path, name):
    with pytest.raises(alkit.errors.ConfigurationError, match="name of the strategy must be"):
        write_package(name, tmp_path / "new")
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    ("name", "why"), [("random", "alkit has a strategy 'random'"), ("baselines", "alkit_baselines")]
)
def test_a_name_that_is_taken_is_refused(tmp_path, name, why):
    with pytest.raises(alkit.errors.ConfigurationError, match=why):
        write_package(name, tmp_path / "new")
    assert not list(tmp_path.iterdir())


def test_an_existing_folder_is_refused_and_not_changed(tmp_path, capsys):
    (tmp_path / "mine").mkdir()
    with pytest.raises(SystemExit, match=r"^1$"):
        main(["new-strategy", "far-ones", "--out", str(tmp_path / "mine")])
    assert re.search(r"^alkit: .*mine exists already", capsys.readouterr().err)
    assert not list((tmp_path / "mine").iterdir())


def test_a_folder_that_cannot_be_created_is_an_error_with_the_reason(tmp_path):
    (tmp_path / "file").touch()
    with pytest.raises(alkit.errors.ConfigurationError, match="cannot be written"):
        write_package("far-ones", tmp_path / "file" / "new")


def test_the_strategy_of_the_how_to_works(world):
    (block,) = re.findall(r"```python\n(.*?)```", (ROOT / "docs" / "how-to" / "write-a-strategy.md").read_text(), re.S)
    module = ModuleType("how_to")
    sys.modules["how_to"] = module  # dataclasses look their module up
    try:
        exec(block, vars(module))
        experiment = world.experiment(strategy=module.NearTheMiddle(features=Pixels(), apart=0.5))
        first, second = experiment.run(world.oracle, test=world.test, start=1, batch=4, rounds=1)
    finally:
        del sys.modules["how_to"]
    ids = sorted(world.pool.ids)
    rows = dict(zip(ids, world.pool.read(ids).reshape(len(ids), -1).astype(float), strict=True))
    away = {id: np.linalg.norm(row - np.mean(list(rows.values()), axis=0)) for id, row in rows.items()}
    assert first.ids == (min(ids, key=away.__getitem__),)
    (known,) = first.ids
    wanted = {id: 0.5 * np.linalg.norm(rows[id] - rows[known]) - away[id] for id in ids if id != known}
    assert second.ids == tuple(sorted(wanted, key=wanted.__getitem__, reverse=True)[:4])
    with pytest.raises(alkit.errors.ConfigurationError, match="apart"):
        module.NearTheMiddle(apart=-1)


def test_the_reference_lists_every_protocol_and_member():
    page = (ROOT / "docs" / "reference" / "protocols.md").read_text()
    for name in protocols.__all__:
        assert f"`{name}`" in page, name
        for verb in getattr(getattr(protocols, name), "__dict__", ()):
            assert verb.startswith("_") or re.search(rf"^\| `(\w+\.)?{verb}\b", page, re.M), f"{name}.{verb}"


@pytest.mark.parametrize("page", ["how-to/write-a-strategy.md", "how-to/registry.md", "reference/protocols.md"])
def test_links_and_public_names_of_the_pages_exist(page):
    path = ROOT / "docs" / page
    text = path.read_text()
    for link in re.findall(r"\]\((?!https?:)([^)#]+)\)", text):
        assert (path.parent / link).exists(), link
    for name in re.findall(r"\balkit\.([A-Za-z]\w*)", text):
        assert name in {*alkit.__all__, "stopping_rules"}, name


@pytest.mark.parametrize("name", ["filter", "mix", "reconstruction"])
def test_the_name_of_a_part_of_alkit_is_refused_and_nothing_is_written(name, tmp_path):
    with pytest.raises(alkit.errors.ConfigurationError, match=r"part of alkit.*another name"):
        write_package(name, tmp_path / "new")
    assert not (tmp_path / "new").exists()
