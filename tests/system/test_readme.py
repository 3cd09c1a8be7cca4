"""The README's example, run as it is written, and the pages that go on from it."""

import re
import shlex
from pathlib import Path

import pytest
from PIL import Image

import alkit
from alkit.cli import main

ROOT = Path(__file__).parents[2]
README = ROOT / "README.md"
EXAMPLES = re.findall(r"```python\n(.*?)```", README.read_text(), re.S)


def blocks(page, language="python"):
    return re.findall(rf"```{language}\n(.*?)```", (ROOT / "docs" / page).read_text(), re.S)


QUICK = {
    "size=64": "size=32",
    "--size 64": "--size 32",
    "epochs=20)": "epochs=2)",
    "epochs=(20, 5)": "epochs=(2, 1)",
    "--epochs 20,5": "--epochs 2,1",
    "--pretext-epochs 20": "--pretext-epochs 2",
}
"""Parameters of the pages that decide how long they run, and shorter ones."""

lengths = pytest.mark.parametrize("quick", [True, pytest.param(False, marks=pytest.mark.slow)], ids=["quick", "full"])


def shortened(code, quick):
    """Return the code of a page, with less work if it is to be quick."""
    for long, short in QUICK.items() if quick else ():
        code = code.replace(long, short)
    return code


@pytest.mark.parametrize("page", ["README.md", "docs/tutorials/first-experiment.md"])
def test_the_pages_have_the_parameters_that_are_shortened(page):
    text = (ROOT / page).read_text()
    assert all(long in text for long in QUICK if page.startswith("docs") or not long.startswith("--"))


@pytest.fixture
def somewhere(tmp_path, monkeypatch):
    """Return a working folder with images/ and masks/."""
    images, masks = alkit.synthetic.lesions(80, size=64)
    for name, arrays in (("images", images[:, 0]), ("masks", masks * 255)):
        (tmp_path / name).mkdir()
        for row, array in enumerate(arrays):
            Image.fromarray(array).save(tmp_path / name / f"{row:03}.png")
    monkeypatch.chdir(tmp_path)
    return tmp_path


@lengths
def test_the_example_runs_as_written_and_the_how_to_on_uncertainty_goes_on_from_it(somewhere, capsys, quick):
    (example,) = EXAMPLES
    names: dict[str, object] = {}
    exec(shortened(example, quick), names)
    lines = [line.split() for line in capsys.readouterr().out.splitlines()]
    assert [int(labels) for labels, _ in lines] == [20, 30, 40, 50]
    reduction, score, ensemble = blocks("how-to/uncertainty.md")
    for code in (reduction, score):
        exec(code, names)
        assert [result.n_labels for result in names["experiment"].history] == [12, 18]
    exec(ensemble, names)
    assert "member_dice" in names["experiment"].history[-1].metrics


@lengths
def test_the_first_experiment_runs_as_written(tmp_path, monkeypatch, capsys, quick):
    monkeypatch.chdir(tmp_path)
    names: dict[str, object] = {}
    *whole, people, encoder = blocks("tutorials/first-experiment.md")
    for code in whole:
        exec(shortened(code, quick), names)
    lines = [line.split() for line in capsys.readouterr().out.splitlines()]
    assert [int(labels) for labels, _ in lines] == [20, 30, 40, 50]
    (command,) = blocks("tutorials/first-experiment.md", "sh")
    with pytest.raises(SystemExit) as end:
        main(shlex.split(shortened(command, quick).replace("\\\n", " "))[1:])
    assert not end.value.code
    assert len(alkit.Experiment.open("runs/ssl.db").history) == 4
    capsys.readouterr()
    exec(people, names)
    assert capsys.readouterr().out.count("nearest to its centre") == 35
    assert names["batch"].labels.shape[1:] == ((32, 32) if quick else (64, 64))
    exec(encoder, names)
    assert names["learner"].network.keywords == {"weights": "efficientnet-lite0"}


def test_the_first_experiment_explains_the_example_of_the_readme():
    page = "".join(blocks("tutorials/first-experiment.md"))
    for line in EXAMPLES[0].splitlines():
        assert line.partition("#")[0].rstrip() in page, line


def test_the_example_is_fifteen_lines():
    assert len(EXAMPLES[0].splitlines()) == 15


def test_the_readme_is_about_one_screen():
    assert len(README.read_text().splitlines()) <= 80


def test_every_link_of_the_readme_leads_somewhere():
    links = re.findall(r"\]\((?!https?:)([^)#]+)\)", README.read_text())
    assert links
    for link in links:
        assert (README.parent / link).exists(), link
