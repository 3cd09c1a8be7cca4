"""The README's examples, run as they are written."""

import re
from pathlib import Path

import pytest
from PIL import Image

import alkit

README = Path(__file__).parent.parent / "README.md"
EXAMPLES = re.findall(r"```python\n(.*?)```", README.read_text(), re.S)


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


def test_the_examples_run_as_written(somewhere, capsys):
    assert len(EXAMPLES) == 4
    names: dict[str, object] = {}
    exec(EXAMPLES[0], names)
    lines = [line.split() for line in capsys.readouterr().out.splitlines()]
    assert [int(labels) for labels, _ in lines] == [20, 30, 40, 50]
    exec(EXAMPLES[1], names)
    assert capsys.readouterr().out.count("nearest to its centre") == 35
    assert names["batch"].labels.shape[1:] == (64, 64)
    exec(EXAMPLES[2], names)
    assert "member_dice" in names["experiment"].history[-1].metrics
    worst = alkit.Experiment(names["pool"], names["learner"], names["WorstPatch"]())
    assert [result.n_labels for result in worst.run(names["oracle"], start=12, batch=6, rounds=1)] == [12, 18]
    exec(EXAMPLES[3], names)
    scores = [query.score for query in names["experiment"].queries()]
    assert len(scores) == 5
    assert scores == sorted(scores, reverse=True)


def test_the_first_example_is_fifteen_lines():
    assert len(EXAMPLES[0].splitlines()) == 15


def test_every_link_of_the_readme_leads_somewhere():
    links = re.findall(r"\]\((?!https?:)([^)#]+)\)", README.read_text())
    assert links
    for link in links:
        assert (README.parent / link).exists(), link


def test_every_file_of_the_core_has_a_room_in_the_readme():
    rooms = README.read_text().partition("## Where things are")[2]
    for path in (README.parent / "alkit").iterdir():
        if path.suffix == ".py" and not path.name.startswith("__"):
            assert path.name in rooms, path.name
