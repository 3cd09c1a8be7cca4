"""The tutorial of a campaign, run as it is written, but for fewer epochs."""

import json
import re

import pytest

import alkit
from docs.figures.campaign import PAGE, play, run


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """Return the folder that the page was played in."""
    folder = tmp_path_factory.mktemp("campaign")
    play(folder, {"--epochs 40,20": "--epochs 6,4", "--pretext-epochs 20": "--pretext-epochs 2"})
    return folder


@pytest.fixture
def played(folder, monkeypatch):
    monkeypatch.chdir(folder)
    return folder


def test_the_campaign_ends_with_a_model_and_no_open_query(played, capsys):
    run("alkit status campaign.db --json")
    facts = json.loads(capsys.readouterr().out)
    assert facts["labels"] == 3 * 20
    assert facts["open"] == []
    assert facts["states"] == {"consumed": 60}
    assert [entry["round"] for entry in facts["rounds"]] == [0, 1, 2, 3]
    assert all({"dice", "iou"} <= entry["audit"]["figures"].keys() for entry in facts["rounds"])
    assert [len(entry["audit"]["ids"]) for entry in facts["rounds"]] == [8, 16, 20, 20]
    assert {annotator["name"] for annotator in facts["annotators"]} == {"ann", "ben"}


def test_careless_masks_are_corrected_in_a_review(played):
    outcomes = [(review.first, review.outcome) for review in alkit.Experiment.open("campaign.db").reviews()]
    assert len(outcomes) == 12
    corrected = [first for first, outcome in outcomes if outcome == "corrected"]
    assert len(corrected) >= 3
    assert all("ben" in first for first in corrected)
    assert list((played / "exchange/ben").glob("*.reviewed.txt"))


def test_a_mask_of_the_wrong_size_is_refused_and_its_correction_is_accepted(played):
    experiment = alkit.Experiment.open("campaign.db")
    kinds = [(answer.kind, "another size" in answer.reason) for answer in experiment.answers()]
    assert ("invalid", True) in kinds
    assert not list((played / "exchange/ann").glob("*.refused.txt"))


def test_new_images_are_predicted_and_the_model_is_exported(played):
    assert len(list((played / "predicted/masks").glob("case-*.png"))) == 10
    assert {"CARD.md", "model.pt2", "model.safetensors"} <= {path.name for path in (played / "model").iterdir()}
    assert (played / "curve.png").stat().st_size > 1000
    assert (played / "campaign.html").stat().st_size > 1000
    assert "halo" in (played / "exchange/for-ann/instructions.txt").read_text()


def test_every_picture_of_the_page_exists():
    pictures = re.findall(r"!\[.*?\]\((.*?)\)", PAGE.read_text())
    assert len(pictures) == 4
    for picture in pictures:
        assert (PAGE.parent / picture).exists(), picture
