"""Classes of images in Label Studio: annotators choose one, or several."""

import numpy as np
import pytest
from fake import Fake
from replay import serve

import alkit
from alkit.errors import ConfigurationError
from alkit.oracles.labelstudio.annotations import answer_of
from alkit.oracles.labelstudio.client import TOKEN
from alkit.oracles.labelstudio.interface import interface, tags_of
from alkit.oracles.labelstudio.regions import regions_of
from alkit.values import Invalid, Query, Skip

ONE = alkit.LabelSpec(("cat", "dog"), per="image")
SEVERAL = alkit.LabelSpec(("cat", "dog"), per="image", multiple=True)


def chosen(*names):
    return [{"type": "choices", "value": {"choices": list(names)}}] if names else []


def label(spec, result, **more):
    annotation = {"updated_at": "2026-01-02T03:04:05Z", "completed_by": 7, "result": result, **more}
    return answer_of(annotation, {"alkit_id": "a", "alkit_size": [8, 8]}, spec).label


def test_chosen_classes_are_labels():
    assert label(ONE, chosen("dog")) == 1
    for names, expected in (((), [0, 0]), (("dog",), [0, 1]), (("dog", "cat"), [1, 1]), (("none",), [0, 0])):
        assert label(SEVERAL, chosen(*names)).tolist() == expected


@pytest.mark.parametrize(
    ("spec", "result", "words"),
    [
        (ONE, chosen(), "got none"),
        (ONE, chosen("cat", "dog"), "'cat', 'dog'"),
        (ONE, chosen("wolf"), "'wolf'"),
        (SEVERAL, chosen("cat", "wolf"), "'wolf'"),
        (SEVERAL, chosen("cat", "none"), "'none', and has classes: keep one or the other"),
        (SEVERAL, chosen("cat", "unusable"), "keep one or the other"),
        (SEVERAL, [{"type": "brushlabels", "value": {"brushlabels": ["cat"]}}], "regions"),
    ],
)
def test_an_annotation_that_is_not_a_label_says_why(spec, result, words):
    found = label(spec, result)
    assert isinstance(found, Invalid)
    assert words in found.reason


def test_skips_stay_skips():
    assert isinstance(label(SEVERAL, [], was_cancelled=True), Skip)
    assert label(ONE, chosen("unusable")) == Skip("marked 'unusable'")


TWO = """<View><Image name="picture" value="$image"/><Image name="before" value="$before"/>
<Choices name="quality" toName="picture" choice="single"><Choice value="yes"/><Choice value="no"/></Choices>
<Choices name="label" toName="picture" choice="single"><Choice value="cat"/><Choice value="dog"/></Choices>
<BrushLabels name="paint" toName="picture"><Label value="lesion"/></BrushLabels></View>"""


def test_choices_for_another_question_are_no_class():
    tags = tags_of(TWO, ONE, "brush")
    other = {"type": "choices", "from_name": "quality", "to_name": "picture", "value": {"choices": ["cat"]}}
    own = {**other, "from_name": "label", "value": {"choices": ["dog"]}}
    skips = {**other, "value": {"choices": ["unusable"]}}

    def read(*result):
        annotation = {"updated_at": "2026-01-02T03:04:05Z", "completed_by": 7, "result": list(result)}
        return answer_of(annotation, {"alkit_id": "a", "alkit_size": [8, 8]}, ONE, tags).label

    assert read(other, own) == 1
    assert "got none" in read(other).reason
    assert isinstance(read(skips), Skip)


def test_regions_on_another_image_of_a_task_are_no_label():
    spec = alkit.LabelSpec(("skin", "lesion"))
    tags, mask = tags_of(TWO, spec, "brush"), np.eye(8, dtype=np.uint8)

    def read(image):
        annotation = {"updated_at": "2026-01-02T03:04:05Z", "completed_by": 7}
        result = regions_of(mask, spec, "brush", image=image)
        return answer_of({**annotation, "result": result}, {"alkit_id": "a", "alkit_size": [8, 8]}, spec, tags).label

    np.testing.assert_array_equal(read("picture"), mask)
    assert "drawn on the image of the query: got before, expected picture" in read("before").reason


def test_the_interface_offers_one_choice_or_several():
    for spec, other in ((ONE, SEVERAL), (SEVERAL, ONE)):
        assert tags_of(interface(spec, "brush"), spec, "brush").control == "label"
        with pytest.raises(ConfigurationError, match="choice="):
            tags_of(interface(other, "brush"), spec, "brush")


def test_queries_and_answers_go_through_a_server(monkeypatch):
    monkeypatch.setenv(TOKEN, "0123456789abcdef0123456789abcdef01234567")
    pool = alkit.ArrayPool(np.random.default_rng(0).integers(0, 255, (3, 8, 8)).astype(np.uint8))
    with serve(Fake()) as fake:
        oracle = alkit.LabelStudioOracle(
            fake.url, "Animals", classes=SEVERAL, images=pool, prelabels={"0001": np.array([1, 0], np.uint8)}
        )
        oracle.ask([Query(id, 0, rank, ((8, 8),)) for rank, id in enumerate(pool.ids)])
        (project,) = fake.projects.values()
        assert 'choice="multiple"' in project["label_config"]
        sent = next(asked["body"] for asked in fake.asked if asked["body"] and "data" in str(asked["body"])[:12])
        assert [entry["value"] for entry in sent[1]["predictions"][0]["result"]] == [{"choices": ["cat"]}]
        for task, names in zip(fake.tasks, (["cat", "dog"], ["dog"], []), strict=True):
            fake.annotate(task["id"], chosen(*names))
        assert [answer.label.tolist() for answer in oracle.poll()] == [[1, 1], [0, 1], [0, 0]]
