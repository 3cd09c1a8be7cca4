"""People on the command line: shares, deadlines, assignments by hand, and what ``alkit status`` says of them."""

import json
import os
from dataclasses import replace

import numpy as np
import pytest
from commandline import alkit
from PIL import Image

import alkit as library
from alkit.cli.people import read_shares
from alkit.errors import ConfigurationError
from alkit.record import Store


@pytest.fixture
def place(tmp_path, monkeypatch):
    images, masks = library.synthetic.lesions(8, size=16)
    (tmp_path / "images").mkdir()
    for number, image in enumerate(images):
        Image.fromarray(image[0]).save(tmp_path / f"images/{number}.png")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("COLUMNS", "120")
    start = ["start", "c.db", "--images", "images", "--classes", "skin,lesion", "--size", "16", "--grayscale"]
    small = ["--strategy", "random", "--recipe", "paper", "--widths", "4,8", "--epochs", "1,1"]
    assert alkit(*start, *small, "--people", "ann=2,ben=1", "--deadline", "2") == 0
    return tmp_path, dict(zip(map(str, range(8)), masks, strict=True))


def said(capfd, *arguments, code=0):
    capfd.readouterr()
    assert alkit(*arguments) == code
    return " ".join("".join(capfd.readouterr()).split())


def facts(capfd):
    capfd.readouterr()
    assert alkit("status", "c.db", "--json") == 0
    return json.loads(capfd.readouterr().out)


def answer(place, query, name="ann"):
    folder = place[0] / "exchange" / name
    folder.mkdir(exist_ok=True)
    Image.fromarray((place[1][query["id"]] != 0).astype(np.uint8)).save(folder / f"{query['key']}.png")
    os.utime(folder / f"{query['key']}.png", (10**9, 10**9))


def test_a_campaign_with_shares_a_deadline_and_changes_by_hand(place, capfd):
    told = said(capfd, "ask", "c.db", "-n", 3, "--out", "exchange")
    assert "Selected and sent: 3 images" in told
    found = facts(capfd)
    first, second, third = found["open_queries"]
    assert {person["name"]: person["waiting"] for person in found["annotators"]} == {"ann": 2, "ben": 1}
    assert [query["assigned"] for query in (first, second, third)] == [["ann"], ["ann"], ["ben"]]
    for name, queries in (("ann", (first, second)), ("ben", (third,))):
        own = place[0] / "exchange" / f"for-{name}"
        assert sorted(path.name for path in own.glob("r*")) == [query["key"] for query in queries]
        assert (own / "how-to-answer.txt").exists()
        assert json.loads((own / queries[0]["key"] / "query.json").read_text())["assigned_to"] == [name]
    assert not list((place[0] / "exchange").glob("r*"))
    answer(place, first)
    answer(place, third)  # ann labels ben's image
    told = said(capfd, "tell", "c.db")
    assert "New answers: 2" in told
    assert f"{third['key']} was for ben, and ann answered" in told
    told = said(capfd, "status", "c.db")
    assert "asked 1 0 min ann" in told
    assert "Answered by somebody else" in told
    assert "People: images are assigned by shares to ann=2,ben=1; after 2 days without an answer" in told
    told = said(capfd, "assign", "c.db", second["key"], "--to", "ben", "--annotators", 2, "--deadline", 1)
    assert f"{second['key']}: for ben, 2 wanted, open, due" in told
    told = said(capfd, "ask", "c.db")
    assert f"{second['key']} wants more annotators, and also goes to ann." in told
    assert "Still open, and sent again: 1 image" in told
    assert not (place[0] / "exchange" / "for-ann" / second["key"] / "handed-on.txt").exists()
    said(capfd, "assign", "c.db", second["key"], "--to", "ben", "--annotators", 1)
    said(capfd, "ask", "c.db")
    assert (place[0] / "exchange" / "for-ben" / second["key"] / "query.json").exists()
    assert (place[0] / "exchange" / "for-ann" / second["key"] / "handed-on.txt").exists()
    told = said(capfd, "assign", "c.db", "--from", "ben", "--to", "cy,dora")
    assert f"{second['key']}: for cy and dora" in told
    assert "No open image waits for ben" in said(capfd, "assign", "c.db", "--from", "ben", "--to", "ann")
    assert second["id"] in said(capfd, "withdraw", "c.db", second["key"])
    for name in ("ann", "ben"):
        assert (place[0] / "exchange" / f"for-{name}" / second["key"] / "withdrawn.txt").exists()


def test_an_image_that_is_due_goes_to_the_folder_of_somebody_else(place, capfd):
    said(capfd, "ask", "c.db", "-n", 2, "--out", "exchange")
    store = Store("c.db")
    query, _ = store.queries()
    store.revise_queries([replace(query, due="2026-01-01T00:00:00+00:00")])
    store.close()
    told = said(capfd, "status", "c.db")
    assert "overdue 1 of the open ones, past their deadline" in told
    assert f"{query.key} ann 2026-01-01 00:00" in told
    assert "alkit ask c.db" in told
    told = said(capfd, "ask", "c.db")
    assert f"{query.key} was due, and goes from ann to ben." in told
    assert (place[0] / "exchange" / "for-ben" / query.key / "image.png").exists()
    assert "overdue" not in said(capfd, "status", "c.db")


def test_people_change_at_any_time(place, capfd):
    told = said(capfd, "change", "c.db", "--people", "ann,cy=3", "--deadline", 0, "--audit-annotators", 2)
    assert "changed: --people: recorded ann=2,ben=1, now ann=1,cy=3" in told
    assert "changed: --deadline: recorded 2 days, now none" in told
    assert "changed: --audit-annotators: recorded none, now 2" in told
    assert "Nothing is different" in said(capfd, "change", "c.db", "--people", "ann,cy=3")
    assert "changed: --people: recorded ann=1,cy=3, now none" in said(capfd, "change", "c.db", "--people", "")
    assert "--deadline must be" in said(capfd, "change", "c.db", "--deadline", -1, code=1)
    assert "a name such as ann" in said(capfd, "change", "c.db", "--people", "a/b=2", code=1)


@pytest.mark.parametrize("text", ["ann=0", "ann=x", "ann=2,ann", "ann=inf"])
def test_shares_are_positive_numbers_of_different_people(text):
    with pytest.raises(ConfigurationError, match="--people must be"):
        read_shares(text)
