"""Commands that end half-way: the same command later does the rest."""

import json
from pathlib import Path

import pytest
from commandline import alkit
from PIL import Image

from alkit import synthetic
from alkit.cli.places import FolderPlace, last_place, save_place
from alkit.errors import StoreError
from alkit.oracles.folder.outbox import Outbox
from alkit.record import Store
from alkit.record.database import Database


@pytest.fixture
def place(tmp_path, monkeypatch):
    (tmp_path / "images").mkdir()
    for number, image in enumerate(synthetic.lesions(6, size=16)[0]):
        Image.fromarray(image[0]).save(tmp_path / f"images/{number}.png")
    monkeypatch.chdir(tmp_path)
    return tmp_path


def refuse(*_, **__):
    raise StoreError("the disk is full")


def test_a_place_that_cannot_be_recorded_leaves_the_last_one(tmp_path, monkeypatch):
    record, first = Store(tmp_path / "c.db"), FolderPlace("/exchange")
    save_place(record, first)
    with monkeypatch.context() as patch:
        patch.setattr(Database, "insert", refuse)
        with pytest.raises(StoreError, match="full"):
            save_place(record, FolderPlace("/other"))
    assert last_place(record) == first


def test_queries_whose_withdrawal_was_recorded_only_are_marked_by_the_next_command(place, monkeypatch, capfd):
    start = ["start", "c.db", "--images", "images", "--classes", "skin,lesion", "--size", "16", "--grayscale"]
    assert alkit(*start, "--strategy", "random") == 0
    assert alkit("ask", "c.db", "-n", 2, "--out", "exchange") == 0
    with monkeypatch.context() as patch:
        patch.setattr(Outbox, "withdraw", refuse)
        assert alkit("withdraw", "c.db") == 1
    assert "the queries are withdrawn, but could not be marked" in capfd.readouterr().err
    assert alkit("status", "c.db", "--json") == 0
    assert not json.loads(capfd.readouterr().out).get("open")
    assert not list(Path("exchange").glob("r*/withdrawn.txt"))
    assert alkit("withdraw", "c.db") == 0
    assert "No query is open" in capfd.readouterr().out
    assert len(list(Path("exchange").glob("r*/withdrawn.txt"))) == 2
