"""The audit set on the command line: drawn by start, enlarged by change, and told by fit and status."""

import json

import pytest
from PIL import Image

import alkit
from alkit.cli import main

FAST = "--size 16 --grayscale --widths 2,4 --steps 1,1 --recipe paper --strategy random --stop-set 0".split()


@pytest.fixture
def said(tmp_path, monkeypatch, capfd):
    """Run a command in a folder of images, and return what it prints."""
    monkeypatch.chdir(tmp_path)
    images, masks = alkit.synthetic.lesions(24, size=16)
    for folder, pictures in (("images", images[:, 0]), ("masks", masks)):
        (tmp_path / folder).mkdir()
        for number, picture in enumerate(pictures):
            Image.fromarray(picture).save(tmp_path / folder / f"i{number:02}.png")

    def run(*arguments, fails=False):
        with pytest.raises(SystemExit) as end:
            main([*map(str, arguments)])
        printed = capfd.readouterr()
        assert bool(end.value.code) == fails, printed.err
        return printed.err if fails else printed.out

    return run


def test_a_campaign_with_an_audit_set_says_how_good_its_model_is(said):
    begun = said("start", "c.db", "--images", "images", "--classes", "skin,lesion", "--audit", 8, *FAST)
    assert "Audit set: 8 images, drawn at random" in begun
    experiment = alkit.Experiment.open("c.db")
    assert experiment._parts.terms.hold_out == 0
    oracle = alkit.MaskOracle("masks", classes=("skin", "lesion"))
    experiment.ask(10)
    experiment.send(oracle)
    experiment.collect(oracle)
    trained = said("fit", "c.db")
    assert "on 4 images of the audit set" in trained
    shown = " ".join(said("status", "c.db").split())
    assert "in 95 of 100 such audits" in shown
    assert "4 of 8 images of the audit set are measured. 4 are not answered yet" in shown
    facts = json.loads(said("status", "c.db", "--json"))
    assert (facts["measured_on"], facts["audit"]) == ("audit set", {"images": 8, "of": 24})
    assert facts["rounds"][0]["audit"]["drawn"] == 8
    assert len(facts["rounds"][0]["intervals"]["dice"]) == 3
    assert "purpose" not in facts["rounds"][0]
    assert "audit: recorded 8, now 10" in said("change", "c.db", "--audit", 10).replace("--audit", "audit")
    assert "audit must be at least 10" in said("change", "c.db", "--audit", 9, fails=True).replace("--audit", "audit")
    assert "Settings changed on" in said("status", "c.db")


def test_figures_of_few_held_out_labels_are_not_shown_alone(said):
    said("start", "c.db", "--images", "images", "--classes", "skin,lesion", *FAST)
    experiment = alkit.Experiment.open("c.db")
    oracle = alkit.MaskOracle("masks", classes=("skin", "lesion"))
    experiment.ask(10)
    experiment.send(oracle)
    experiment.collect(oracle)
    line = said("fit", "c.db").splitlines()[0]
    assert "on 2 labels held out" in line
    assert "[" in line.partition("dice")[2]
    facts = json.loads(said("status", "c.db", "--json"))
    assert {advice["stop"] for advice in facts["advice"].values()} == {None}
