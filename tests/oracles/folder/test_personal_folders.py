"""Queries that are assigned to people, in an exchange folder with a folder for each person."""

import json

import numpy as np
import pytest
from PIL import Image

import alkit
from alkit import FolderOracle, Query
from alkit.errors import ConfigurationError, StoreError
from alkit.oracles.folder.outbox import Outbox, has_queries
from alkit.oracles.formats.coco import COCO

QUERIES = [
    Query("a", 0, 0, ((8, 8),), assigned=("ann",), due="2031-05-01T12:00:00+00:00"),
    Query("b", 0, 1, ((8, 8),), assigned=("ann", "ben"), wanted=2),
    Query("c", 0, 2, ((8, 8),)),
]
KEYS = [query.key for query in QUERIES]


@pytest.fixture
def pool():
    return alkit.ArrayPool(np.zeros((3, 8, 8), np.uint8), ids=("a", "b", "c"))


def oracle(folder, pool=None, **more):
    return FolderOracle(folder, classes=("skin", "lesion"), images=pool, settle=0, campaign="word", **more)


def save(folder, key):
    folder.mkdir(exist_ok=True)
    Image.fromarray(np.eye(8, dtype=np.uint8)).save(folder / f"{key}.png")


def queries_in(folder):
    return sorted(path.name for path in folder.glob("r00-0*"))


def test_each_person_has_a_folder_with_their_queries_and_nobody_elses_name(tmp_path, pool):
    oracle(tmp_path, pool, also=["coco"]).ask(QUERIES)
    assert queries_in(tmp_path) == KEYS[2:]
    assert queries_in(tmp_path / "for-ann") == KEYS[:2]
    assert queries_in(tmp_path / "for-ben") == KEYS[1:2]
    facts = json.loads((tmp_path / "for-ann" / KEYS[1] / "query.json").read_text())
    assert facts["assigned_to"] == ["ann"]
    assert facts["answer"]["mask"] == f"../../YOUR_NAME/{KEYS[1]}.png"
    assert json.loads((tmp_path / "for-ann" / KEYS[0] / "query.json").read_text())["due"] == QUERIES[0].due
    coco = json.loads((tmp_path / "for-ann" / "r00-coco" / "annotations.json").read_text())
    assert coco["info"]["assigned_to"] == ["ann"]
    assert (tmp_path / "for-ann" / "contact-sheet-r00.png").exists()
    assert has_queries(tmp_path, "word")
    assert not has_queries(tmp_path, "other")
    with pytest.raises(ConfigurationError, match="belongs to another campaign"):
        FolderOracle(tmp_path, classes=("skin", "lesion"), images=pool, campaign="other").ask(QUERIES[:2])


def test_answers_are_read_without_the_record_and_misplaced_ones_are_explained(tmp_path, pool):
    oracle(tmp_path, pool).ask(QUERIES)
    save(tmp_path / "ann", KEYS[0])
    save(tmp_path / "ben", KEYS[0])  # nobody asked him
    save(tmp_path / "for-ann", KEYS[1])
    one = oracle(tmp_path)  # another process, which knows no query
    assert [(answer.id, answer.annotator) for answer in one.poll()] == [("a", "ann"), ("a", "ben")]
    (stray,) = one.unread()
    assert stray == tmp_path / "for-ann" / f"{KEYS[1]}.png"
    assert one.unread()[stray] == f"an answer must be saved in {tmp_path / 'ann'}"
    assert "must be saved in" in (tmp_path / "for-ann" / f"{KEYS[1]}.png.refused.txt").read_text()
    stray.rename(tmp_path / "ann" / stray.name)
    assert [answer.id for answer in one.poll()] == ["a", "b", "a"]
    assert not list((tmp_path / "for-ann").glob("*.refused.txt"))


def test_a_query_that_goes_on_is_marked_and_one_that_comes_back_is_not(tmp_path, pool):
    first, other, free = QUERIES
    oracle(tmp_path, pool).ask(QUERIES)
    passed = alkit.Query("a", 0, 0, ((8, 8),), assigned=("cy",))
    oracle(tmp_path, pool).ask([passed, other, free])
    note = tmp_path / "for-ann" / KEYS[0] / "handed-on.txt"
    assert "still counts" in note.read_text()
    assert queries_in(tmp_path / "for-cy") == KEYS[:1]
    oracle(tmp_path, pool).ask([first, other, free])
    assert not note.exists()
    assert (tmp_path / "for-cy" / KEYS[0] / "handed-on.txt").exists()
    save(tmp_path / "cy", KEYS[0])
    one = oracle(tmp_path)
    assert [answer.annotator for answer in one.poll()] == ["cy"]
    assert one.unread() == {}
    one.cancelled([first])
    assert (tmp_path / "for-cy" / KEYS[0] / "withdrawn.txt").exists()
    assert (tmp_path / "for-ann" / KEYS[0] / "withdrawn.txt").exists()


def test_a_sending_that_failed_half_way_is_completed_by_the_next_one(tmp_path, pool, monkeypatch):
    write = Outbox.write

    def refuse(self, *given):
        if self.folder.name == "for-ben":
            raise StoreError("the disk is full")
        write(self, *given)

    with monkeypatch.context() as patch:
        patch.setattr(Outbox, "write", refuse)
        with pytest.raises(StoreError):
            oracle(tmp_path, pool, also=["coco"]).ask(QUERIES)
    assert not (tmp_path / "for-ben").exists()
    oracle(tmp_path, pool, also=["coco"]).ask(QUERIES)
    assert queries_in(tmp_path / "for-ben") == KEYS[1:2]
    assert len(COCO.names(tmp_path / "for-ann" / "r00-coco" / "annotations.json")) == 2


def test_a_query_that_wants_more_annotators_than_it_has_is_for_everybody_too(tmp_path, pool):
    oracle(tmp_path, pool).ask([Query("a", 0, 0, ((8, 8),), assigned=("ann",), wanted=2)])
    assert queries_in(tmp_path) == queries_in(tmp_path / "for-ann") == KEYS[:1]
    facts = json.loads((tmp_path / "for-ann" / KEYS[0] / "query.json").read_text())
    assert facts["annotators_wanted"] == 1  # of this person


@pytest.mark.parametrize("name", ["../ann", "a/b", ".hidden", ""])
def test_a_name_that_leads_out_of_the_folder_is_refused(tmp_path, pool, name):
    with pytest.raises(ConfigurationError, match="the name of a person"):
        oracle(tmp_path / "exchange", pool).ask([Query("a", 0, 0, ((8, 8),), assigned=(name,))])
    assert not list(tmp_path.rglob("query.json"))


def test_an_annotator_may_have_a_name_that_begins_like_such_a_folder(tmp_path, pool):
    oracle(tmp_path, pool).ask(QUERIES)
    save(tmp_path / "for-real", KEYS[2])
    assert [answer.annotator for answer in oracle(tmp_path).poll()] == ["for-real"]
