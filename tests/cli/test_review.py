"""Labels are asked again from the command line, and whoever gave them is told what was found."""

import json
import os
from pathlib import Path

import numpy as np
import pytest
from commandline import alkit
from PIL import Image

from alkit import synthetic

SMALL = "--size 16 --widths 2,4 --epochs 1,1 --pretext-epochs 1 --grayscale --hold-out 0 --stop-set 0".split()
LONG_AGO = 1_700_000_000


def _printed(capfd, *arguments, code=0):
    capfd.readouterr()
    assert alkit(*arguments) == code
    return capfd.readouterr().out


def _asked(known=()):
    return [
        json.loads(path.read_text()) for path in sorted(Path().glob("x/r*/query.json")) if path.parent.name not in known
    ]


def _started(folder, monkeypatch, n):
    """Start a campaign on n images in a folder, which becomes the current one; return the masks."""
    images, masks = synthetic.lesions(n, size=16)
    (folder / "images").mkdir()
    for number, image in enumerate(images):
        Image.fromarray(image[0]).save(folder / f"images/{number}.png")
    monkeypatch.chdir(folder)
    assert alkit("start", "c.db", "--images", "images", "--classes", "skin,lesion", "--strategy", "random", *SMALL) == 0
    return masks


def _paint(query, by, mask, at=LONG_AGO):
    path = Path("x") / by / f"{query['query']}.png"
    path.parent.mkdir(exist_ok=True)
    Image.fromarray(mask).save(path)
    os.utime(path, (at, at))


@pytest.mark.slow
def test_a_label_that_was_corrected_in_a_review_is_told_to_its_annotator(tmp_path, monkeypatch, capfd):
    masks = _started(tmp_path, monkeypatch, 8)
    _printed(capfd, "ask", "c.db", "-n", 8, "--out", "x")
    first = _asked()
    for query in first:
        _paint(query, "ann", 1 - masks[int(query["image"])] if query["image"] == "3" else masks[int(query["image"])])
    _printed(capfd, "tell", "c.db")
    assert "No label was asked again yet." in _printed(capfd, "review", "c.db")
    said = _printed(capfd, "review", "c.db", "-n", 8, "--random", 0, "--folds", 2, "--by", "ada")
    assert "Asked again: 8 labels, 8 doubted by a model." in said
    reviews = json.loads(_printed(capfd, "review", "c.db", "--json"))["reviews"]
    assert {entry["why"] for entry in reviews} == {"model"}
    seen = {query["query"] for query in first}
    again = [json.loads(path.read_text()) for path in sorted(Path().glob("x/**/query.json"))]
    again = [query for query in again if query["query"] not in seen]
    assert {query["image"] for query in again} == set(map(str, range(8)))
    for query in again:
        _paint(query, "ada", masks[int(query["image"])])
    _printed(capfd, "tell", "c.db")
    listed = _printed(capfd, "review", "c.db")
    assert "8 labels were asked again: 7 were kept, 1 was corrected and 0 were rejected." in listed
    assert "asked again: 7 were kept, 1 was corrected" in _printed(capfd, "status", "c.db")
    notes = sorted(Path("x/ann").glob("*.reviewed.txt"))
    (wrong,) = [query["query"] for query in first if query["image"] == "3"]
    assert [note.name for note in notes] == [f"{wrong}.reviewed.txt"]
    assert "ada has labelled the image once more" in notes[0].read_text()
    _printed(capfd, "tell", "c.db")  # notes are no answers
    assert np.array_equal(np.asarray(Image.open(Path("x/ann") / f"{wrong}.png")), 1 - masks[3])


@pytest.mark.slow
def test_a_refused_answer_is_named_by_its_own_query_although_the_image_is_in_review(tmp_path, monkeypatch, capfd):
    masks = _started(tmp_path, monkeypatch, 4)
    _printed(capfd, "ask", "c.db", "-n", 3, "--out", "x")
    first = _asked()
    for query in first:
        _paint(query, "ann", masks[int(query["image"])])
    _printed(capfd, "tell", "c.db")
    _printed(capfd, "review", "c.db", "-n", 3, "--random", 3, "--by", "ada")
    _paint(first[0], "ann", masks[0][:9], at=LONG_AGO + 60)
    assert alkit("tell", "c.db") == 3
    _paint(first[1], "bob", 1 - masks[int(first[1]["image"])])
    assert f"refused: {first[0]['query']} by ann: " in capfd.readouterr().out
    assert alkit("tell", "c.db") == 3
    assert f"the latest label counts: {first[1]['query']} by bob" in capfd.readouterr().out


@pytest.mark.slow
def test_a_senior_decides_disputes_from_the_command_line(tmp_path, monkeypatch, capfd):
    images, masks = synthetic.lesions(4, size=16)
    (tmp_path / "images").mkdir()
    for number, image in enumerate(images):
        Image.fromarray(image[0]).save(tmp_path / f"images/{number}.png")
    monkeypatch.chdir(tmp_path)
    begin = ["start", "c.db", "--images", "images", "--classes", "skin,lesion", "--strategy", "random", *SMALL]
    assert alkit(*begin, "--annotators", "2", "--disputes", "senior") == 1
    assert "--disputes senior and --senior NAME go together" in capfd.readouterr().err
    assert "one more person is asked" in _printed(capfd, *begin, "--annotators", "2", "--disputes", "third")
    changed = _printed(capfd, "change", "c.db", "--senior", "ada", "--dispute-below", "0.8")
    assert "changed: --dispute-below: recorded 0.7, now 0.8" in changed
    _printed(capfd, "ask", "c.db", "-n", 4, "--out", "x")
    for query in _asked():
        mask = masks[int(query["image"])]
        _paint(query, "ann", mask)
        _paint(query, "bob", 1 - mask if query["image"] == "2" else mask)
    told = _printed(capfd, "tell", "c.db")
    (key,) = [query["query"] for query in _asked() if query["image"] == "2"]
    assert f"{key} is disputed: ann and bob agree by 0.00, below 0.8; one more person is asked" in told
    assert told.rstrip().endswith("alkit ask c.db")
    assert "ada is asked, and decides" in " ".join(_printed(capfd, "status", "c.db").split())
    assert json.loads(_printed(capfd, "status", "c.db", "--json"))["annotators_agree"]["disputed"] == ["2"]
    _printed(capfd, "ask", "c.db")
    _paint({"query": key}, "ada", masks[2])
    _printed(capfd, "tell", "c.db")
    assert json.loads(_printed(capfd, "status", "c.db", "--json"))["annotators_agree"]["disputed"] == []
