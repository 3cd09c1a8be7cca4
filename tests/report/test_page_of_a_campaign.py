"""The tutorial of a campaign, run as it is written."""

import json
import re

import pytest

import alkit
from docs.figures.campaign import PAGE, play, run


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """Return the folder that the page was played in."""
    folder = tmp_path_factory.mktemp("campaign")
    play(folder)
    return folder


@pytest.fixture
def played(folder, monkeypatch):
    monkeypatch.chdir(folder)
    return folder


def test_the_campaign_ends_with_a_model_and_no_open_query(played, capsys):
    run("alkit status campaign.db --json")
    facts = json.loads(capsys.readouterr().out)
    assert facts["labels"] == 20 + 12 + 12 - len(facts["skipped"])
    assert facts["open"] == []
    assert facts["states"].keys() == {"consumed", "skipped"}
    assert len(facts["rounds"]) == 3
    assert all(entry["held_out"] > 0 and "dice" in entry["metrics"] for entry in facts["rounds"])
    assert {annotator["name"] for annotator in facts["annotators"]} == {"ann"}


def test_a_mask_of_the_wrong_size_is_refused_and_its_correction_is_accepted(played):
    experiment = alkit.Experiment.open("campaign.db")
    kinds = [(answer.kind, "another size" in answer.reason) for answer in experiment.answers()]
    assert ("invalid", True) in kinds
    assert not list((played / "exchange/ann").glob("*.refused.txt"))


def test_new_images_are_predicted_and_the_model_is_exported(played):
    assert len(list((played / "predicted/masks").glob("case-*.png"))) == 10
    assert {"CARD.md", "model.pt2", "model.safetensors"} <= {path.name for path in (played / "model").iterdir()}
    assert (played / "curve.png").stat().st_size > 1000
    assert (played / "exchange/contact-sheet-r00.png").exists()


def test_every_picture_of_the_page_exists():
    pictures = re.findall(r"!\[.*?\]\((.*?)\)", PAGE.read_text())
    assert len(pictures) == 4
    for picture in pictures:
        assert (PAGE.parent / picture).exists(), picture
