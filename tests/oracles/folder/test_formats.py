"""Queries are written as COCO and CVAT files too, and answers in them are read."""

from __future__ import annotations

import os

import numpy as np
import pytest
from exchange import CLASSES, LONG_AGO, MASKS, answer, everything, oracle_in, query

import alkit
from alkit.errors import UnknownNameError
from alkit.oracles import FolderOracle
from alkit.oracles.formats.registry import FORMATS
from alkit.values import LabelSpec, Query


@pytest.fixture
def place(tmp_path):
    """Return a folder with six queries in it."""
    oracle_in(tmp_path).ask([query(row) for row in range(6)])
    return tmp_path


form = pytest.mark.parametrize(("name", "ending"), [("coco", ".json"), ("cvat", ".xml")])


@form
def test_queries_are_also_written_in_other_formats_and_answers_in_them_are_read(tmp_path, name, ending):
    queries = [query(row) for row in range(3)]
    oracle = oracle_in(tmp_path, also=[name], prelabels={"0001": MASKS[1], "0002": MASKS[2]})
    oracle.ask(queries)
    there = everything(tmp_path)
    oracle_in(tmp_path, also=[name]).ask(queries)
    assert everything(tmp_path) == there
    assert list(oracle.poll()) == []  # neither images nor pre-labels are answers
    assert oracle.unread() == {}
    written = tmp_path / f"r00-{name}" / f"annotations{ending}"
    for annotator, at in (("ann", LONG_AGO), ("ben", LONG_AGO + 1)):
        (tmp_path / annotator).mkdir()
        (tmp_path / annotator / f"export{ending.upper()}").write_bytes(written.read_bytes())
        os.utime(tmp_path / annotator / f"export{ending.upper()}", (at, at))
    answer(tmp_path, query(0), "blurred", ".skip")
    got = list(FolderOracle(tmp_path, classes=CLASSES, settle=0).poll())
    assert [(one.annotator, one.id) for one in got] == [
        ("ann", "0000"),
        ("ann", "0001"),
        ("ann", "0002"),
        ("ben", "0001"),
        ("ben", "0002"),
    ]
    np.testing.assert_array_equal(got[4].label, MASKS[2])
    assert got[4].revision == (LONG_AGO + 1) * 10**9
    empty = [one for one in oracle_in(tmp_path, empty="background").poll() if one.annotator == "ben"]
    assert [one.label.any() for one in empty] == [False, True, True]


@form
def test_a_file_beside_an_annotation_file_confirms_all_its_answers(tmp_path, name, ending):
    oracle = oracle_in(tmp_path, also=[name], prelabels={"0001": MASKS[1], "0002": MASKS[2]})
    oracle.ask([query(row) for row in range(3)])
    (tmp_path / "ann").mkdir()
    file, confirmation = (tmp_path / "ann" / f"export{ending}{more}" for more in ("", ".confirmed"))
    confirmation.touch()
    assert oracle.unread() == {confirmation: f"it confirms export{ending}, which does not exist"}
    (tmp_path / f"r00-{name}" / f"annotations{ending}").rename(file)
    for path, at in ((file, LONG_AGO), (confirmation, LONG_AGO + 9)):
        os.utime(path, (at, at))
    got = list(oracle.poll())
    assert [(one.id, one.confirmed, one.revision) for one in got] == [
        (id, True, (LONG_AGO + 9) * 10**9) for id in ("0001", "0002")
    ]
    assert oracle.unread() == {}
    confirmation.unlink()
    assert [one.confirmed for one in oracle.poll()] == [False, False]


@form
def test_an_annotation_file_is_read_once_it_is_at_rest_and_reported_if_it_is_damaged(place, name, ending):
    path = answer(place, query(0), "{", ending)
    oracle = oracle_in(place)
    assert list(oracle.poll()) == []
    assert "is not a COCO file" in oracle.unread()[path] or "is not a file of CVAT for images" in oracle.unread()[path]
    os.utime(path)
    oracle = oracle_in(place, settle=60)
    assert list(oracle.poll()) == []
    assert "may be half-written" in oracle.unread()[path]
    path.rename(place / path.name)
    assert list(oracle.unread().values()) == ["an answer must lie in a folder with the annotator's name"]


@form
def test_an_experiment_notes_beside_an_annotation_file_which_answers_it_refused(tmp_path, world, name, ending):
    experiment = world.experiment(classes=CLASSES)
    ids = experiment.ask(3)
    asked = experiment.queries()
    experiment.send(oracle_in(tmp_path, images=world.pool))
    masks = {ids[0]: world.masks[ids[0]], **{id: world.masks[id][:8, :8] for id in ids[1:]}}
    cut = [Query(one.id, one.round, one.rank, (masks[one.id].shape,)) for one in asked]
    (export,) = FORMATS[name].write(tmp_path / "tool" / "x", cut, world.pool, LabelSpec(CLASSES), masks)
    (tmp_path / "ann").mkdir()
    path = tmp_path / "ann" / f"export{ending}"
    path.write_bytes(export.read_bytes())
    os.utime(path, (LONG_AGO, LONG_AGO))
    oracle, note = oracle_in(tmp_path), tmp_path / "ann" / f"export{ending}.refused.txt"
    assert [one.id for one in experiment.collect(oracle).taken] == [ids[0]]
    said = note.read_text()
    assert all(said.count(f"{id}: ") == 1 for id in ids[1:])
    assert "is 8 x 8 pixels, not 16 x 16 pixels" in said
    for again in (oracle, oracle_in(tmp_path)):
        assert not experiment.collect(again).taken
        assert note.read_text() == said
        assert note not in again.unread()

    (export,) = FORMATS[name].write(tmp_path / "tool" / "y", asked, world.pool, LabelSpec(CLASSES), world.masks)
    path.write_bytes(export.read_bytes())
    os.utime(path, (LONG_AGO + 1, LONG_AGO + 1))
    assert {one.id for one in experiment.collect(oracle_in(tmp_path)).taken} >= set(ids[1:])
    assert not note.exists()
    assert experiment.open_ids == ()
    note.write_text("left behind")
    path.unlink()
    list(oracle.poll())
    assert not note.exists()


@form
def test_a_note_beside_an_annotation_file_lists_its_bad_items(tmp_path, world, name, ending):
    experiment = world.experiment(classes=CLASSES)
    ids = experiment.ask(2)
    asked = experiment.queries()
    others = [Query(id, 0, rank, asked[0].sizes) for rank, id in enumerate(world.masks) if id not in ids][:3]
    experiment.send(oracle_in(tmp_path, images=world.pool))
    images = alkit.ArrayPool(np.zeros((60, 16, 16), np.uint8), ids=list(world.masks))
    (export,) = FORMATS[name].write(tmp_path / "tool", [*asked, *others], images, LabelSpec(CLASSES), world.masks)
    path = tmp_path / "ann" / f"export{ending}"
    path.parent.mkdir()
    path.write_bytes(export.read_bytes())
    os.utime(path, (LONG_AGO, LONG_AGO))
    receipt = experiment.collect(oracle_in(tmp_path))
    assert {one.id for one in receipt.taken} == set(ids)
    ((bad, reason),) = receipt.refused
    assert bad.id == path.name
    assert reason.startswith("images that were never asked for have annotations: ")
    note = (tmp_path / "ann" / f"export{ending}.refused.txt").read_text()
    assert reason in note
    assert all(one.key in note for one in others)


def test_an_unknown_format_is_refused(tmp_path):
    with pytest.raises(UnknownNameError, match=r"also must be coco or cvat or nifti: got 'coko'\. Try: 'coco'"):
        oracle_in(tmp_path, also=["coko"])
