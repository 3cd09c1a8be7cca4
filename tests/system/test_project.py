"""The files around the code: version, distributions, workflows, citation, container, contributing guide."""

import os
import re
import subprocess
import sys
import tarfile
import zipfile
from pathlib import Path

import pytest

import alkit
from alkit.cli import main

ROOT = Path(__file__).parents[2]


def test_the_version_is_the_same_everywhere(capsys):
    with pytest.raises(SystemExit) as end:
        main(["--version"])
    assert not end.value.code
    assert capsys.readouterr().out == f"alkit {alkit.__version__}\n"
    assert f"\nversion: {alkit.__version__}\n" in (ROOT / "CITATION.cff").read_text()
    assert alkit.__version__ in (ROOT / "CHANGELOG.md").read_text()


@pytest.fixture(scope="module")
def dist(tmp_path_factory):
    """Return a folder with a wheel and a source distribution of the working tree."""
    folder = tmp_path_factory.mktemp("dist")
    subprocess.run(
        [sys.executable, "-m", "hatchling", "build", "-d", folder], cwd=ROOT, check=True, capture_output=True
    )
    return folder


def wheel_contents(folder):
    (wheel,) = folder.glob("*.whl")
    with zipfile.ZipFile(wheel) as opened:
        return {name: opened.read(name) for name in opened.namelist()}


def test_the_installed_wheel_finds_its_files_and_strategies(dist, tmp_path):
    (wheel,) = dist.glob("*.whl")
    site = tmp_path / "site"
    install = ["pip", "install", "--quiet", "--no-index", "--no-deps", "--target", site, wheel]
    subprocess.run(
        [sys.executable, "-m", *install], check=True, env=os.environ | {"PIP_DISABLE_PIP_VERSION_CHECK": "1"}
    )
    script = (
        "import alkit, importlib.metadata as metadata; print(alkit.__file__); "
        "print(alkit.__version__, metadata.version('alkit'), alkit.strategy('random')); "
        "from alkit.cli import main; main(['strategies', '--json'])"
    )
    environment = os.environ | {"PYTHONPATH": str(site)}
    ran = subprocess.run([sys.executable, "-c", script], cwd=tmp_path, env=environment, capture_output=True, text=True)
    assert ran.returncode == 0, ran.stderr
    file, versions, *_ = ran.stdout.splitlines()
    assert Path(file).is_relative_to(site)
    assert versions.startswith(f"{alkit.__version__} {alkit.__version__} Random(")
    assert '"ssl-cluster"' in ran.stdout
    assert (site / "alkit/py.typed").exists()
    command = [site / "bin/alkit", "--version"]
    assert subprocess.check_output(command, env=environment, text=True) == f"alkit {alkit.__version__}\n"


def test_the_source_distribution_builds_the_same_wheel(dist, tmp_path):
    (archive,) = dist.glob("*.tar.gz")
    with tarfile.open(archive) as opened:
        opened.extractall(tmp_path, filter="data")
    (source,) = tmp_path.iterdir()
    command = [sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", tmp_path / "again"]
    subprocess.run(command, cwd=source, check=True, capture_output=True)
    first, again = wheel_contents(dist), wheel_contents(tmp_path / "again")
    assert first.keys() == again.keys()
    assert [name for name in first if first[name] != again[name]] == []


@pytest.mark.parametrize(
    ("schema", "files"),
    [
        ("vendor.github-workflows", ".github/workflows/*.yml"),
        ("vendor.dependabot", ".github/dependabot.yml"),
        ("vendor.github-issue-forms", ".github/ISSUE_TEMPLATE/[!c]*.yml"),
        ("vendor.github-issue-config", ".github/ISSUE_TEMPLATE/config.yml"),
        ("vendor.citation-file-format", "CITATION.cff"),
    ],
)
def test_files_that_other_programs_read_match_their_schemas(schema, files):
    paths = sorted(ROOT.glob(files))
    assert paths
    command = [sys.executable, "-m", "check_jsonschema", "--builtin-schema", schema, *paths]
    ran = subprocess.run(command, capture_output=True, text=True)
    assert ran.returncode == 0, ran.stdout


def test_the_workflows_are_safe():
    zizmor = Path(sys.executable).with_name("zizmor")
    ran = subprocess.run([zizmor, "--offline", "--pedantic", ROOT / ".github"], capture_output=True, text=True)
    assert ran.returncode == 0, ran.stdout


def commands_of(text):
    """Return the lines of all shell blocks, without comments."""
    blocks = re.findall(r"```sh\n(.*?)```", text, re.S)
    return [line.partition("#")[0].strip() for block in blocks for line in block.replace("\\\n", " ").splitlines()]


def test_the_container_is_built_by_commands_of_the_readme():
    steps = re.findall(r"^RUN (.*)$", (ROOT / "Dockerfile").read_text(), re.M)
    assert steps
    assert set(steps) <= set(commands_of((ROOT / "README.md").read_text()))


def test_workflows_run_what_contributors_run():
    targets = re.findall(r"^(\w[\w-]*):", (ROOT / "Makefile").read_text(), re.M)
    for name in ("tests", "docs"):
        steps = re.findall(r"- run: (.*)$", (ROOT / f".github/workflows/{name}.yml").read_text(), re.M)
        assert steps
        assert all(step.removeprefix("make ") in targets for step in steps)


def test_every_place_named_in_the_contributing_guide_exists():
    guide = (ROOT / "CONTRIBUTING.md").read_text()
    named = re.findall(r"`((?:alkit|plugins|tests|docs|benchmarks)/[^`]*|[A-Z_]+\.md|pyproject\.toml)`", guide)
    assert len(named) > 20
    for path in named:
        place = path.rpartition("/")[0] if "NAME" in path or path.endswith("NNNN") else path
        assert (ROOT / place).exists(), path


@pytest.mark.parametrize("page", ["README.md", "CONTRIBUTING.md"])
def test_the_layout_names_every_folder_and_public_file_of_the_package_and_no_other(page):
    layout = (ROOT / page).read_text().partition("## Layout")[2].partition("```text")[2].partition("\nplugins/")[0]
    entries = {
        f"{path.name}/" if path.is_dir() else path.name
        for path in (ROOT / "alkit").iterdir()
        if not path.name.startswith("_") and (path.suffix == ".py" or (path / "__init__.py").exists())
    }
    assert set(re.findall(r"(?<![\w/])[a-z]+(?:/|\.py)(?!\w)", layout)) - {"alkit/"} == entries


def test_the_contributing_guide_names_at_most_three_files_per_addition():
    guide = (ROOT / "CONTRIBUTING.md").read_text().partition("## Where to add things")[2]
    rows = re.findall(r"^\| an? (.*?) \|(.*)$", guide, re.M)
    wanted = ("acquisition score", "strategy", "feature extractor", "oracle", "pool", "learner", "command")
    assert {name for name, _ in rows} >= set(wanted)
    for name, files in rows:
        if name in wanted:
            assert len(re.findall(r"`[^`]*(?:\.pyi?|\.toml|\.md)`", files)) <= 3, name
