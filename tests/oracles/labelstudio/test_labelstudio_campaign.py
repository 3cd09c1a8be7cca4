"""A campaign in Label Studio from the command line: ask, label, tell, reject and withdraw."""

import json

import numpy as np
import pytest
from commandline import alkit
from fake import Fake
from PIL import Image
from replay import serve

from alkit import Experiment, LabelSpec, synthetic
from alkit.oracles.labelstudio.client import TOKEN
from alkit.oracles.labelstudio.regions import regions_of

SECRET = "0123456789abcdef0123456789abcdef01234567"
SMALL = "--size 16 --widths 2,4 --epochs 1,1 --pretext-epochs 1 --grayscale --strategy random".split()
SPEC = LabelSpec(("skin", "lesion"))


@pytest.fixture
def masks(tmp_path, monkeypatch):
    images, masks = synthetic.lesions(12, size=24)
    (tmp_path / "images").mkdir()
    for number, image in enumerate(images):
        Image.fromarray(image[0]).save(tmp_path / f"images/case {number:02}.png")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv(TOKEN, SECRET)
    return {f"case {number:02}": mask for number, mask in enumerate(masks)}


def test_a_campaign_sends_queries_to_label_studio_and_reads_the_answers(masks, tmp_path, capfd):
    with serve(Fake()) as fake:
        there = ["--to", "label-studio", "--url", fake.url, "--project", "Moles"]
        assert alkit("start", "c.db", "--images", "images", "--classes", "skin,lesion", *SMALL) == 0
        assert alkit("ask", "c.db", "-n", "4", *there) == 0
        assert alkit("ask", "c.db") == 0, "the project is remembered, and no query is sent twice"
        assert [len(fake.tasks), len(fake.projects)] == [4, 1]
        first, second, skipped, rotated = fake.tasks
        for task in (first, second):
            fake.annotate(task["id"], regions_of(masks[task["data"]["alkit_id"]], SPEC, "bitmask"))
        fake.annotate(skipped["id"], [], was_cancelled=True)
        wrong = regions_of(np.ones((24, 24), np.uint8), SPEC, "bitmask")
        fake.annotate(rotated["id"], [{**wrong[0], "image_rotation": 90}])

        capfd.readouterr()
        code = alkit("tell", "c.db", "--from", "label-studio")
        said = "".join(capfd.readouterr())
        assert code == 3
        assert "rotated" in said
        experiment = Experiment.open("c.db")
        kinds = {one.query.id: [answer.kind for answer in one.answers] for one in experiment.standings()}
        del experiment
        assert [kinds[task["data"]["alkit_id"]] for task in fake.tasks[:3]] == [["label"], ["label"], ["skip"]]
        assert "was not accepted: " in rotated["data"]["alkit_note"]

        corrected = regions_of(masks[rotated["data"]["alkit_id"]], SPEC, "bitmask")
        rotated["annotations"][0] |= {"result": corrected, "updated_at": "2026-02-01T00:00:00Z"}
        assert alkit("tell", "c.db", "--from", "label-studio") == 0
        assert alkit("tell", "c.db", "--from", "label-studio") == 0
        assert [task["data"]["alkit_note"] for task in fake.tasks] == [""] * 4

        assert alkit("reject", "c.db", first["data"]["alkit_query"], "--reason", "the border is missing") == 0
        assert alkit("tell", "c.db") == 3
        assert "sent back: the border is missing" in first["data"]["alkit_note"]
        first["annotations"][0] |= {"result": corrected, "updated_at": "2026-02-01T00:00:00Z"}
        assert alkit("tell", "c.db") == 0
        assert first["data"]["alkit_note"] == ""

        assert alkit("ask", "c.db", "-n", "2", *there) == 0
        assert len(fake.tasks) == 6
        assert alkit("withdraw", "c.db") == 0
        assert ["was withdrawn" in task["data"]["alkit_note"] for task in fake.tasks] == [False] * 4 + [True] * 2
        assert "could not be marked as withdrawn" not in capfd.readouterr().err

        assert alkit("start", "d.db", "--images", "images", "--classes", "skin,lesion", *SMALL) == 0
        assert alkit("ask", "d.db", "-n", "2", *there) == 1
        assert "another campaign" in capfd.readouterr().err
        assert len(fake.tasks) == 6
    assert SECRET not in "".join(capfd.readouterr())
    assert SECRET not in json.dumps([asked["body"] for asked in fake.asked])
    for file in tmp_path.rglob("*"):
        assert file.is_dir() or SECRET.encode() not in file.read_bytes(), file
