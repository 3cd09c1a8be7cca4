"""Answers that no Label Studio sends: each is an error or an invalid answer, and none takes long."""

import json

import numpy as np
import pytest
from replay import Serving, serve

from alkit.errors import AlkitError, LabelError
from alkit.oracles.labelstudio.annotations import answer_of
from alkit.oracles.labelstudio.client import TOKEN, Client
from alkit.oracles.labelstudio.interface import tags_of
from alkit.oracles.labelstudio.project import Project
from alkit.oracles.labelstudio.regions import mask_of
from alkit.values import Invalid, Skip
from alkit.values.label_spec import LabelSpec

SPEC = LabelSpec(("skin", "lesion"))
SQUARE = [[1, 1], [1, 2], [2, 2]]


def region(kind="polygon", height=8, width=8, **value):
    names = {f"{kind}labels": ["lesion"]}
    return {"type": kind, "original_height": height, "original_width": width, "value": {**names, **value}}


@pytest.mark.parametrize(
    "wrong",
    [
        region(points=[[10**400, 1], [1, 1], [1, 2]]),
        region(points=json.loads("[" * 80 + "]" * 80)),
        region(points=[[0, 0], [0, 100]] * 1000, height=2_000_000, width=1),
        region(points=[[0, 0], [0, 100], [100, 0]], height=180_000_000, width=1),
        region(points=SQUARE, height=True, width=True),
        region("bitmask", imageDataURL="data:image/png;base64,\u00e9"),
        region("brush", rle=[10**30]),
    ],
    ids=["large", "deep", "zigzag", "high", "true", "letters", "bytes"],
)
def test_a_region_that_no_tool_draws_is_refused_quickly(wrong):
    with pytest.raises(LabelError):
        mask_of([wrong], SPEC, (8, 8))


def answer(**facts):
    annotation = {"updated_at": "2026-01-02T03:04:05Z", "completed_by": 7, "result": [], **facts}
    return answer_of(annotation, {"alkit_id": "a", "alkit_size": [8, 8]}, SPEC)


def test_facts_of_an_annotation_that_no_server_sends_are_ignored_or_make_it_invalid():
    assert answer(lead_time=10**400).seconds is None
    assert answer(lead_time=float("nan")).seconds is None
    assert isinstance(answer(result=[{"type": "choices", "value": {"choices": 5}}]).label, Invalid)
    assert answer(result=[{"type": "choices", "value": {"choices": "skip"}}]).label == Skip("marked 'skip'")
    strange = answer_of([1], {"alkit_id": "a", "alkit_size": [8, 8]}, SPEC)
    assert strange.id == "a"
    assert "must be an object: got list" in strange.label.reason


@pytest.mark.parametrize("at", ["9999-12-31T23:59:59Z", "2200-01-01T00:00:00Z", "1960-01-01T00:00:00Z"])
def test_an_annotation_with_an_absurd_time_is_an_answer_like_any_other(at):
    assert 10**17 <= answer(updated_at=at).revision <= 2**62  # neither a counter nor refused by a record


@pytest.mark.parametrize("config", ["<View>\ud800</View>", "<" * 1000, "<V>" * 100_000])
def test_an_interface_that_is_not_xml_is_an_error(config):
    with pytest.raises(AlkitError, match="must be XML"):
        tags_of(config, SPEC, "brush")


class Lists(Serving):
    """Answers with a list of these entries."""

    def __init__(self, *entries):
        super().__init__()
        self.entries = entries

    def answer(self, asked, handler, content):
        found = {"tasks": self.entries, "results": self.entries, "total": len(self.entries)}
        return 200, "application/json", json.dumps(found).encode()


DATA = {"alkit_query": "r00-0000-a", "alkit_id": "a", "alkit_size": [8, 8]}


@pytest.mark.parametrize(
    "entry",
    [None, 3, "task", [], {}, {"id": "../../users/1"}, {"id": True}, {"id": 1, "data": DATA, "annotations": {"a": 1}}],
)
def test_an_entry_of_a_list_that_is_not_a_task_is_an_error(monkeypatch, entry):
    monkeypatch.setenv(TOKEN, "0" * 40)
    with serve(Lists(entry)) as server, pytest.raises(AlkitError, match=r"must (have an id|be a list)"):
        list(Project(Client(server.url), 7).tasks(7, annotations=True))


@pytest.mark.parametrize(
    ("total", "words"),
    [
        (10**300, "without end, /api/tasks: got the same page twice"),
        ("9", "how long"),
        (1e300, "how long"),
        (True, "how long"),
    ],
)
def test_pages_that_repeat_and_lists_of_no_length_are_errors(monkeypatch, total, words):
    monkeypatch.setenv(TOKEN, "0" * 40)
    with serve(Lists({"id": 1, "data": DATA}, {"id": 2, "data": DATA})) as server:
        monkeypatch.setattr(
            server,
            "answer",
            lambda *_: (200, "application/json", json.dumps({"tasks": server.entries, "total": total}).encode()),
        )
        with pytest.raises(AlkitError, match=words):
            list(Client(server.url).pages("/api/tasks", "tasks", size=2))
    assert len(server.asked) <= 2


@pytest.mark.parametrize("entry", [None, 3, "project", [], {"title": "Moles"}])
def test_an_entry_of_a_list_that_is_not_a_project_is_an_error(monkeypatch, entry):
    monkeypatch.setenv(TOKEN, "0" * 40)
    with serve(Lists(entry)) as server, pytest.raises(AlkitError, match="must have an id"):
        Project(Client(server.url), "Moles").find()


def test_a_sound_polygon_of_a_large_image_is_drawn():
    mask = mask_of([region(points=[[0, 0], [50, 0], [50, 100], [0, 100]], height=3000, width=4000)], SPEC, (8, 8))
    assert np.count_nonzero(mask) == 3000 * 2000
