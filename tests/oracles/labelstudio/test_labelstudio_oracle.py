import json
import pickle
from dataclasses import replace
from datetime import datetime
from xml.etree import ElementTree

import numpy as np
import pytest
from fake import Fake
from PIL import Image
from replay import Playing, exchanges_of, serve

import alkit
from alkit import LabelSpec, LabelStudioOracle, Query
from alkit.errors import ConfigurationError, DataError, LabelError, OracleError
from alkit.oracles.labelstudio import annotations, project
from alkit.oracles.labelstudio import oracle as labelstudio
from alkit.oracles.labelstudio.client import TOKEN
from alkit.oracles.labelstudio.regions import alpha_of, mask_of, regions_of
from alkit.oracles.notes import WITHDRAWN
from alkit.values import Invalid, Skip

SECRET = "0123456789abcdef0123456789abcdef01234567"
CLASSES = ("skin", "lesion")
SPEC = LabelSpec(CLASSES)
SIZE = (6, 8)
QUERIES = [Query(f"ward/{n}", 0, n, (SIZE, (4, 4)), stands_for=f"{9 - n} like it") for n in range(3)]
LIVE_SIZE = (224, 256)
LIVE = [Query(f"mole-{n}", 0, n, (LIVE_SIZE,)) for n in range(4)]
LIVE_PRELABELS = {"mole-0": np.eye(*LIVE_SIZE, dtype=np.uint8)}


@pytest.fixture(autouse=True)
def token(monkeypatch):
    monkeypatch.setenv(TOKEN, SECRET)


@pytest.fixture
def folder(tmp_path):
    (tmp_path / "ward").mkdir()
    for n in range(4):
        Image.fromarray(np.full((*SIZE, 3), 40 * n, np.uint8)).save(tmp_path / "ward" / f"{n}.png")
    return tmp_path


@pytest.fixture
def fake():
    with serve(Fake()) as fake:
        yield fake


def oracle(server, images=None, **more):
    pool = images if images is None or isinstance(images, alkit.protocols.Pool) else alkit.ImagePool(images, size=4)
    return LabelStudioOracle(server.url, "Moles", classes=CLASSES, images=pool, **more)


def mask(*pixels):
    drawn = np.zeros(SIZE, np.uint8)
    for row, column in pixels:
        drawn[row, column] = 1
    return drawn


def answer_of(fake, folder, result=(), **facts):
    """Return the answer that one annotation becomes."""
    one = oracle(fake, folder)
    one.ask(QUERIES[:1])
    fake.annotate(1, list(result), **facts)
    (answer,) = one.poll()
    return answer


# Exchanges with a real server, which the live test recorded.


@pytest.fixture
def moles(tmp_path):
    for n in range(4):
        Image.fromarray(np.full((*LIVE_SIZE, 3), 40 * n, np.uint8)).save(tmp_path / f"mole-{n}.png")
    return tmp_path


def test_ask_creates_a_project_files_and_tasks_on_a_real_server(moles):
    with serve(Playing(exchanges_of("ask"))) as server:
        oracle(server, moles, prelabels={"mole-0": np.eye(*LIVE_SIZE, dtype=np.uint8)}, model_version="round-0").ask(
            LIVE
        )
    assert server.left == []
    sent = {(asked["method"], asked["path"]): asked["body"] for asked in server.asked}
    project = sent["POST", "/api/projects/"]
    assert project["show_collab_predictions"]
    assert project["enable_empty_annotation"]
    assert (project["model_version"], project["skip_queue"]) == ("round-0", "IGNORE_SKIPPED")
    tasks = sent["POST", "/api/projects/1/import"]
    assert [task["data"]["alkit_query"] for task in tasks] == [query.key for query in LIVE]
    ((prediction,), *others) = [task.get("predictions", ()) for task in tasks]
    assert prediction["model_version"] == "round-0"
    np.testing.assert_array_equal(mask_of(prediction["result"], SPEC, (1, 1)), np.eye(*LIVE_SIZE))
    assert others == [(), (), ()]


def test_asking_a_real_server_again_changes_nothing(moles):
    with serve(Playing(exchanges_of("ask again"))) as server:
        oracle(server, moles, prelabels={"mole-0": np.eye(*LIVE_SIZE, dtype=np.uint8)}, model_version="round-0").ask(
            LIVE
        )
    assert server.left == []
    assert {asked["method"] for asked in server.asked} == {"GET"}


def test_a_real_server_without_labels_gives_no_answers():
    with serve(Playing(exchanges_of("open"))) as server:
        assert list(oracle(server).poll()) == []


def test_masks_and_skips_from_a_browser_are_read():
    with serve(Playing(exchanges_of("answered"))) as server:
        answers = {answer.id: answer for answer in oracle(server).poll()}
    tasks = exchanges_of("answered")[-1]["answer"]["tasks"]
    assert any(task["drafts"] for task in tasks if task["data"]["alkit_id"] == "mole-3"), "a draft, not an answer"
    assert set(answers) == {"mole-0", "mole-1", "mole-2"}
    assert answers["mole-1"].label == Skip()
    for task in tasks:
        for annotation in task["annotations"]:
            answer = answers[task["data"]["alkit_id"]]
            assert answer.annotator == "user-1"
            assert answer.seconds == annotation["lead_time"] > 0
            assert answer.revision == nanoseconds(annotation["updated_at"])
            drawn = [alpha_of(region["value"]["imageDataURL"]) >= 128 for region in annotation["result"]]
            if drawn:
                np.testing.assert_array_equal(answer.label, np.any(drawn, axis=0))
                assert 0 < answer.label.sum() < answer.label.size


def nanoseconds(text):
    return round(datetime.fromisoformat(text).timestamp() * 1e6) * 1000


def test_a_correction_in_a_browser_is_a_later_revision_of_the_same_annotator():
    exchanges = exchanges_of("corrected")
    rule = json.loads(exchanges[-1]["query"]["query"])["filters"]["items"][0]
    with serve(Playing(exchanges)) as server:
        (revised,) = oracle(server, since=datetime.fromisoformat(rule["value"])).poll()
    with serve(Playing(exchanges_of("answered"))) as server:
        before = {answer.id: answer for answer in oracle(server).poll()}["mole-2"]
    assert (revised.id, revised.annotator) == (before.id, before.annotator)
    assert revised.revision > before.revision
    assert (revised.label >= before.label).all()
    assert (revised.label != before.label).any()


@pytest.mark.parametrize("control", ["bitmask", "brush", "polygon"])
def test_regions_of_every_kind_are_read_as_a_real_server_stores_them(control):
    with serve(Playing(exchanges_of(control))) as server:
        answers = list(LabelStudioOracle(server.url, f"Moles {control}", classes=CLASSES).poll())
    copied, submitted, skipped, empty, turned = sorted(answers, key=lambda answer: (answer.id, answer.revision))
    rows, columns = np.mgrid[:224, :256]
    expected = ((rows - 124) / 50) ** 2 + ((columns - 100) / 68) ** 2 <= 1
    expected[120:130, 110:140] = False
    np.testing.assert_array_equal(copied.label, expected)
    np.testing.assert_array_equal(submitted.label, expected)
    assert (copied.confirmed, submitted.confirmed) == (False, True), "nobody looked at what was copied in bulk"
    assert skipped.label == Skip()
    assert skipped.id == submitted.id, "both are passed on; the later one counts"
    assert not empty.label.any()
    assert empty.label.shape == LIVE_SIZE
    assert isinstance(turned.label, Invalid)


def test_a_reason_is_written_above_the_image_on_a_real_server():
    with serve(Playing(exchanges_of("refused"))) as server:
        one = oracle(server)
        answers = {answer.id: answer for answer in one.poll()}
        one.refused(answers["mole-2"], "it holds no lesion")
    assert server.left == []
    data = server.asked[-1]["body"]["data"]
    assert data["alkit_note"].startswith("The answer of 20")
    assert data["alkit_note"].endswith(" UTC by user-1 was not accepted: it holds no lesion")
    assert data["image"].startswith("/data/upload/"), "and the rest of the task stays"


# What a server cannot be made to do on purpose.


def test_queries_handed_over_twice_are_asked_once(fake, folder):
    oracle(fake, folder).ask(QUERIES)
    oracle(fake, folder).ask([*QUERIES, Query("ward/3", 1, 0, (SIZE,))])
    assert [task["data"]["alkit_id"] for task in fake.tasks] == ["ward/0", "ward/1", "ward/2", "ward/3"]
    assert len(fake.files) == 4
    assert len(fake.projects) == 1


def test_tasks_are_created_in_rank_order_with_what_they_stand_for_and_their_size(fake, folder):
    oracle(fake, folder).ask(QUERIES[::-1])
    assert [task["data"]["alkit_query"] for task in fake.tasks] == [query.key for query in QUERIES]
    first = fake.tasks[0]["data"]
    assert (first["alkit_why"], first["alkit_size"], first["alkit_note"]) == ("9 like it", [6, 8], "")
    assert first["image"] == f"/data/{fake.files[1]}"
    assert [task["data"]["alkit_title"] for task in fake.tasks] == [
        f"{query.id}: {query.stands_for}" if query.stands_for else query.id for query in QUERIES
    ]


def test_a_task_of_an_early_version_is_found_by_its_former_key(fake, folder):
    asked = Query("ward/0", 0, 0, (SIZE,))
    oracle(fake, folder).ask([asked])
    umlaut = Query("Größe", 0, 0, (SIZE,))
    fake.tasks[0]["data"] |= {"alkit_id": umlaut.id, "alkit_query": umlaut.keys[1]}
    oracle(fake, folder).ask([umlaut])
    assert len(fake.tasks) == 1
    oracle(fake, folder).cancelled([umlaut])
    assert "was withdrawn" in fake.tasks[0]["data"]["alkit_note"]


def test_annotators_see_the_name_the_reason_and_instructions(fake, folder):
    oracle(fake, folder).ask(QUERIES)
    (project,) = fake.projects.values()
    headers = ElementTree.fromstring(project["label_config"]).findall("Header")
    assert [header.get("value") for header in headers] == ["$alkit_title", "$alkit_note"]
    assert project["show_instruction"]
    assert "Skip it if it cannot be labelled" in project["expert_instruction"]
    project["expert_instruction"] = "as the lead says"
    oracle(fake, folder).ask([*QUERIES, Query("ward/3", 1, 0, (SIZE,))])
    assert project["expert_instruction"] == "as the lead says"


def test_tasks_name_the_people_they_are_assigned_to_and_follow_changes(fake, folder):
    one = oracle(fake, folder)
    first = replace(QUERIES[0], assigned=("user-3",), due="2031-05-01T12:00:00+00:00")
    one.ask([first, QUERIES[1]])
    named, other = (task["data"] for task in fake.tasks)
    assert (named["alkit_for"], named["alkit_due"]) == ("user-3", first.due)
    assert named["alkit_title"] == "ward/0: 9 like it (for user-3)"
    assert "alkit_for" not in other
    one.ask([replace(first, assigned=("user-4", "user-5")), QUERIES[1]])
    named, other = (task["data"] for task in fake.tasks)
    assert named["alkit_for"] == "user-4, user-5"
    assert named["alkit_title"] == "ward/0: 9 like it (for user-4 and user-5)"
    before = len(fake.asked)
    one.ask([replace(first, assigned=("user-4", "user-5")), QUERIES[1]])
    assert not any(asked["method"] == "PATCH" for asked in fake.asked[before:])


def test_what_the_lead_tells_the_annotators_comes_first_and_stays(fake, folder):
    told = "Draw <the whole> lesion.\n\nNot the halo."
    oracle(fake, folder, instructions=told).ask(QUERIES[:1])
    (project,) = fake.projects.values()
    assert project["expert_instruction"].startswith("<p>Draw &lt;the whole&gt; lesion.</p>\n<p>Not the halo.</p>")
    project["expert_instruction"] = edited = "<b>New!</b> " + project["expert_instruction"].replace("\n", "<br/>")
    oracle(fake, folder, instructions=told).ask(QUERIES)
    assert project["expert_instruction"] == edited
    oracle(fake, folder, instructions="Draw the halo, too.").ask(QUERIES)
    assert project["expert_instruction"].startswith("<p>Draw the halo, too.</p>")


@pytest.mark.parametrize("late", [False, True])
@pytest.mark.parametrize(
    "step", [("POST", "projects/"), ("POST", "commit"), ("GET", "file-upload/"), ("POST", "return")]
)
def test_ask_continues_after_a_failure(fake, folder, step, late):
    fake.failing, fake.late = {step: 1}, late
    with pytest.raises(OracleError, match="500 out of order"):
        oracle(fake, folder).ask(QUERIES)
    oracle(fake, folder).ask(QUERIES)
    assert [task["data"]["alkit_id"] for task in fake.tasks] == ["ward/0", "ward/1", "ward/2"]
    assert len(fake.files) == 3, "no image is uploaded twice"
    assert len(fake.projects) == 1


def test_queries_that_do_not_fit_into_one_request_are_all_asked(fake, tmp_path, monkeypatch):
    monkeypatch.setattr(labelstudio, "BATCH", 4)
    monkeypatch.setattr(project, "PAGE", 3)
    for n in range(10):
        Image.fromarray(np.full(SIZE, n, np.uint8)).save(tmp_path / f"{n}.png")
    queries = [Query(str(n), 0, n, (SIZE,)) for n in range(10)]
    oracle(fake, tmp_path).ask(queries)
    oracle(fake, tmp_path).ask(queries)
    assert [task["data"]["alkit_id"] for task in fake.tasks] == [query.id for query in queries]
    for n in range(10):
        fake.annotate(n + 1, [])
    assert [answer.id for answer in oracle(fake).poll()] == [query.id for query in queries]


def test_asking_no_query_sends_no_request(fake, folder):
    oracle(fake, folder).ask([])
    assert fake.asked == []


def test_the_project_asks_for_several_annotators(fake, folder):
    oracle(fake, folder).ask(QUERIES)
    assert fake.projects[1]["maximum_annotations"] == 1
    oracle(fake, folder).ask([Query("ward/3", 1, 0, (SIZE,), wanted=3)])
    assert fake.projects[1]["maximum_annotations"] == 3
    oracle(fake, folder).ask(QUERIES)
    assert fake.projects[1]["maximum_annotations"] == 3, "the number is never lowered"


def test_later_prelabels_are_shown_under_their_own_name(fake, folder):
    oracle(fake, folder, prelabels={"ward/0": mask((1, 1))}, model_version="round-0").ask(QUERIES[:1])
    oracle(fake, folder, prelabels={"ward/1": mask()}, model_version="round-1").ask(QUERIES)
    assert fake.projects[1]["model_version"] == "round-1"
    assert [len(task["predictions"]) for task in fake.tasks] == [1, 0, 0], "an empty pre-label has nothing to correct"


def test_a_project_with_tasks_keeps_its_interface_or_is_refused(fake, folder):
    config = "<View><Image name='img' value='$picture'/><BrushLabels name='b' toName='img'>{}</BrushLabels></View>"
    own = config.format("<Label value='lesion'/><Label value='hair'/>")
    fake.project(title="Moles", label_config=own)
    fake.task(1, data={"picture": "theirs"})
    with pytest.raises(ConfigurationError, match=r"not offer .*got no BitmaskLabels, expected BitmaskLabels of lesion"):
        oracle(fake, folder).ask(QUERIES)
    oracle(fake, folder, control="brush", prelabels={"ward/0": mask((1, 1))}).ask(QUERIES)
    assert fake.projects[1]["label_config"] == own
    task = fake.tasks[1]
    assert task["data"]["picture"].startswith("/data/upload/")
    (region,) = task["predictions"][0]["result"]
    assert (region["from_name"], region["to_name"]) == ("b", "img")


def test_a_project_without_tasks_gets_the_missing_interface(fake, folder):
    fake.project(title="Moles", label_config="<View></View>")
    oracle(fake, folder).ask(QUERIES)
    assert "BitmaskLabels" in fake.projects[1]["label_config"]
    assert len(fake.tasks) == 3


def test_a_project_can_be_given_by_number(fake, folder):
    fake.project(title="other", label_config="<View></View>")
    LabelStudioOracle(fake.url, 1, classes=CLASSES, images=alkit.ImagePool(folder, size=4)).ask(QUERIES)
    assert len(fake.tasks) == 3
    with pytest.raises(OracleError, match="404"):
        list(LabelStudioOracle(fake.url, 2, classes=CLASSES).poll())


def test_a_title_must_match_exactly_one_project(fake, folder):
    fake.project(title="Moles of Anna", label_config="<View></View>")
    oracle(fake, folder).ask(QUERIES)
    assert [project["title"] for project in fake.projects.values()] == ["Moles of Anna", "Moles"]
    fake.project(title="Moles", label_config="<View></View>")
    with pytest.raises(
        OracleError, match=r"2 projects have the title 'Moles': got the numbers 2, 3. Try: give the number"
    ):
        oracle(fake, folder).ask(QUERIES)


def test_a_project_of_another_campaign_is_refused(fake, folder):
    oracle(fake, folder).ask(QUERIES[:1])
    with pytest.raises(OracleError, match=r"campaign: got r00-0000-ward_0 of image 'ward/0', expected 'ward 0'"):
        oracle(fake, folder).ask([Query("ward 0", 0, 0, (SIZE,))])


def test_tasks_without_our_keys_are_ignored(fake, folder):
    oracle(fake, folder).ask(QUERIES[:1])
    for data in ({"image": "x"}, {"alkit_id": "ward/1"}, {"alkit_query": "q", "alkit_id": 3}, None, []):
        task = fake.task(1, data=data)
        fake.annotate(task["id"], [])
    assert list(oracle(fake).poll()) == []


def test_drafts_and_predictions_are_not_answers(fake, folder):
    oracle(fake, folder, prelabels={"ward/0": mask((0, 0))}).ask(QUERIES)
    fake.tasks[1]["drafts"] = [{"result": regions_of(mask((0, 0)), SPEC, "bitmask"), "user": "anna@example.org"}]
    assert list(oracle(fake).poll()) == []


def test_an_answer_states_its_annotator_revision_and_duration(fake, folder):
    answer = answer_of(fake, folder, regions_of(mask((2, 3)), SPEC, "bitmask"))
    np.testing.assert_array_equal(answer.label, mask((2, 3)))
    assert (answer.id, answer.annotator, answer.seconds) == ("ward/0", "user-1", 7.5)
    assert answer.revision == nanoseconds("2026-01-02T03:04:05.000006Z")
    assert answer.confirmed


def test_an_empty_annotation_is_a_mask_of_the_image_s_size_without_a_lesion(fake, folder):
    answer = answer_of(fake, folder, [])
    np.testing.assert_array_equal(answer.label, mask())


def choice(*names, kind="choices"):
    return {"type": kind, "from_name": "quality", "to_name": "image", "value": {kind: list(names)}}


def label_of(result):
    annotation = {"updated_at": "2026-01-02T03:04:05Z", "completed_by": 7, "lead_time": 4.5, "result": result}
    return annotations.answer_of(annotation, {"alkit_id": "a", "alkit_size": [12, 10]}, SPEC).label


@pytest.mark.parametrize(
    "result",
    [
        [choice("Unusable")],
        [choice("blurred", "unusable")],
        [choice(["quality", "skip"], kind="taxonomy")],
        [{"type": "rectanglelabels", "value": {"rectanglelabels": ["unusable"], "x": 1}}],
        [{"type": "bitmask", "value": {"bitmasklabels": ["skipped"]}}],
    ],
)
def test_a_tag_or_label_that_says_so_is_a_skip(result):
    found = label_of(result)
    assert isinstance(found, Skip)
    assert found.reason.startswith("marked '")
    both = label_of([*result, *regions_of(mask((2, 3)), SPEC, "bitmask")])
    assert "and has regions: delete one or the other" in both.reason


def test_an_unknown_tag_does_not_become_background():
    assert "has no region, and the tag 'blurred'" in label_of([choice("blurred")]).reason
    assert not label_of([choice(SPEC.classes[0])]).any()
    drawn = label_of([choice("blurred"), *regions_of(mask((2, 3)), SPEC, "bitmask")])
    np.testing.assert_array_equal(drawn, mask((2, 3)))


def test_an_annotation_copied_in_bulk_is_not_confirmed(fake, folder):
    regions = regions_of(mask((2, 3)), SPEC, "bitmask")
    assert not answer_of(fake, folder, regions, lead_time=None).confirmed


def test_an_annotation_marked_as_copied_in_bulk_is_not_confirmed_even_with_a_duration(fake, folder):
    assert not answer_of(fake, folder, [], bulk_created=True).confirmed


@pytest.mark.parametrize("time", [-1, float("nan"), float("inf"), "12", None])
def test_an_impossible_duration_is_unknown(fake, folder, time):
    assert answer_of(fake, folder, [], lead_time=time).seconds is None


def test_a_skip_with_regions_is_a_skip_and_earlier_answers_are_yielded_too(fake, folder):
    one = oracle(fake, folder)
    one.ask(QUERIES[:1])
    fake.annotate(1, regions_of(mask((0, 0)), SPEC, "brush"))
    fake.annotate(1, regions_of(mask((0, 0)), SPEC, "brush"), was_cancelled=True, updated_at="2026-01-03T00:00:00Z")
    label, skip = one.poll()
    assert skip.label == Skip()
    assert skip.revision > label.revision


def test_an_unreadable_annotation_is_invalid_with_the_reason(fake, folder):
    regions = regions_of(mask((0, 0)), SPEC, "bitmask")
    answer = answer_of(fake, folder, [{**regions[0], "image_rotation": 90}])
    assert isinstance(answer.label, Invalid)
    assert answer.label.reason.startswith("the image was rotated while it was labelled: got 90 degrees")


def test_a_task_that_lost_its_size_makes_its_empty_answer_invalid(fake, folder):
    oracle(fake, folder).ask(QUERIES[:1])
    del fake.tasks[0]["data"]["alkit_size"]
    fake.annotate(1, [])
    (answer,) = oracle(fake).poll()
    assert "must state the size of its image" in answer.label.reason


@pytest.mark.parametrize(
    ("by", "name"), [(2, "user-2"), ({"id": 1, "email": "anna@example.org"}, "user-1"), (None, "")]
)
def test_an_annotator_is_named_by_a_number_that_everybody_sees(fake, folder, by, name):
    assert answer_of(fake, folder, [], completed_by=by).annotator == name
    assert not any("users" in asked["path"] for asked in fake.asked)


def test_an_annotation_without_a_time_is_invalid_and_the_others_are_answers(fake, folder):
    oracle(fake, folder).ask(QUERIES[:2])
    fake.annotate(1, [], updated_at=None, completed_by=7)
    fake.annotate(1, [], id=2, completed_by=8)
    fake.annotate(2, [], id=3)
    bad, *good = oracle(fake).poll()
    assert "must state when it was last changed: got" in bad.label.reason
    assert (bad.id, bad.annotator) == (QUERIES[0].id, "user-7")
    assert [(one.id, one.annotator) for one in good] == [(QUERIES[0].id, "user-8"), (QUERIES[1].id, "user-1")]
    assert not any(isinstance(one.label, Invalid) for one in good)


@pytest.mark.parametrize("said", [None, [], "done", {}, {"task_count": 0}, {"task_count": 10**9}, {"import": 7}])
def test_an_import_that_created_nothing_is_an_error_and_can_be_repeated(fake, folder, monkeypatch, said):
    def ignore(asked, content, do=fake.do):
        ignored = asked["method"] == "POST" and asked["path"].endswith("/import") and asked["body"] is not None
        return (201, said) if ignored else do(asked, content)

    with monkeypatch.context() as ignoring:
        ignoring.setattr(fake, "do", ignore)
        with pytest.raises(OracleError, match=r"did not create 2 of 2 tasks.* Try: read its log, then ask again"):
            oracle(fake, folder).ask(QUERIES[:2])
    oracle(fake, folder).ask(QUERIES[:2])
    assert [task["data"]["alkit_query"] for task in fake.tasks] == [query.key for query in QUERIES[:2]]


def test_an_import_that_created_the_tasks_may_say_anything(fake, folder, monkeypatch):
    def strange(asked, content, do=fake.do):
        status, said = do(asked, content)
        return status, [said] if isinstance(said, dict) and "task_count" in said else said

    monkeypatch.setattr(fake, "do", strange)
    oracle(fake, folder).ask(QUERIES[:2])
    assert len(fake.tasks) == 2


def test_poll_reports_a_missing_project_and_creates_none(fake):
    with pytest.raises(OracleError, match=r"has no project 'Moles'.* Try: ask creates it"):
        list(oracle(fake).poll())
    assert fake.projects == {}


def rotated_regions(*pixels):
    """Return regions of a rotated image, which cannot be read."""
    return [{**region, "image_rotation": 90} for region in regions_of(mask(*pixels), SPEC, "bitmask")]


def tell(one):
    """Refuse invalid answers, as an experiment does."""
    for answer in one.poll():
        if isinstance(answer.label, Invalid):
            one.refused(answer, answer.label.reason)


def patches(fake):
    return sum(asked["method"] == "PATCH" for asked in fake.asked)


def test_each_reason_is_written_once_and_removed_when_its_answer_is_corrected(fake, folder):
    oracle(fake, folder).ask(QUERIES)
    fake.annotate(2, rotated_regions((0, 0)), completed_by=1)
    fake.annotate(2, rotated_regions((1, 1)), completed_by=2, updated_at="2026-01-03T00:00:00Z")
    tell(oracle(fake))
    first, second = fake.tasks[1]["data"]["alkit_note"].splitlines()
    assert first.startswith("The answer of 2026-01-02 03:04:05 UTC by user-1 was not accepted: the image was rotated")
    assert second.startswith("The answer of 2026-01-03 00:00:00 UTC by user-2 was not accepted: the image was rotated")
    assert [task["data"]["alkit_note"] for task in (fake.tasks[0], fake.tasks[2])] == ["", ""]
    before = patches(fake)
    tell(oracle(fake))
    assert patches(fake) == before, "nothing has changed"
    good = {"result": regions_of(mask((0, 0)), SPEC, "bitmask"), "updated_at": "2026-01-04T00:00:00Z"}
    fake.tasks[1]["annotations"][0] |= good
    tell(oracle(fake))
    assert fake.tasks[1]["data"]["alkit_note"] == second
    fake.tasks[1]["annotations"][1] |= good
    tell(oracle(fake))
    assert fake.tasks[1]["data"]["alkit_note"] == ""


def test_tasks_are_listed_once_for_any_number_of_refused_answers(fake, folder):
    oracle(fake, folder).ask(QUERIES)
    for n in range(3):
        fake.annotate(n + 1, rotated_regions((0, 0)))
    fake.asked.clear()
    tell(oracle(fake))
    assert sum(asked["path"] == "/api/tasks" for asked in fake.asked) == 1
    assert patches(fake) == 3


def test_a_reason_that_cannot_be_written_is_logged(fake, folder, caplog):
    oracle(fake, folder).ask(QUERIES)
    fake.annotate(1, [])
    one = oracle(fake)
    (answer,) = one.poll()
    fake.failing = {("PATCH", "/api/tasks"): 1}
    one.refused(answer, "too\nlarge")
    assert "too large" in caplog.text


def test_a_withdrawn_query_keeps_its_note_before_and_after_an_answer(fake, folder):
    oracle(fake, folder).ask(QUERIES)
    oracle(fake).cancelled(QUERIES[:1])
    oracle(fake).cancelled(QUERIES[:1])
    assert [task["data"]["alkit_note"] for task in fake.tasks] == [WITHDRAWN, "", ""]
    assert patches(fake) == 1
    fake.annotate(1, rotated_regions((0, 0)))
    tell(oracle(fake))
    assert len(fake.tasks[0]["data"]["alkit_note"].splitlines()) == 2


def test_what_a_review_found_stays_above_the_image(fake, folder):
    oracle(fake, folder).ask(QUERIES)
    fake.annotate(1, rotated_regions((0, 0)))
    for _ in range(2):
        one = oracle(fake)
        list(one.poll())
        one.reviewed(QUERIES[0], "user-1", "Your label was looked at again.\n")
    assert fake.tasks[0]["data"]["alkit_note"].splitlines() == [
        "Reviewed: the label of user-1. Your label was looked at again."
    ]
    assert patches(fake) == 1


def test_a_project_that_another_campaign_uses_is_refused(fake, folder):
    oracle(fake, folder, campaign="one").ask(QUERIES[:1])
    assert fake.tasks[0]["data"]["alkit_campaign"] == "one"
    other = oracle(fake, folder, campaign="other")
    for step in (lambda: other.ask(QUERIES), lambda: list(other.poll())):
        with pytest.raises(OracleError, match=r"another campaign: got task 1 of campaign 'one', expected 'other'"):
            step()
    assert len(fake.tasks) == 1
    oracle(fake, folder, campaign="one").ask(QUERIES)
    assert list(oracle(fake).poll()) == []


def test_missing_images_are_named(fake, folder):
    with pytest.raises(ConfigurationError, match="images must be a pool: got None"):
        oracle(fake).ask(QUERIES)
    with pytest.raises(DataError, match="the pool has no image with this id: got 'ward/9'"):
        oracle(fake, folder).ask([Query("ward/9", 0, 0, (SIZE,))])
    pool = alkit.ImagePool(folder, size=4)
    (folder / "ward/0.png").unlink()
    with pytest.raises(DataError, match=r"0\.png cannot be read"):
        oracle(fake, pool).ask(QUERIES)
    assert fake.tasks == []


@pytest.mark.parametrize("wrong", [np.zeros((4, 4), np.uint8), np.full(SIZE, 9, np.uint8)])
def test_a_prelabel_of_another_size_or_with_unknown_classes_is_refused(fake, folder, wrong):
    with pytest.raises(LabelError, match="ward/0"):
        oracle(fake, folder, prelabels={"ward/0": wrong}).ask(QUERIES)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"control": "lasso"}, "control must be bitmask or brush or polygon: got 'lasso'"),
        ({"project": "ab"}, "must have 3 to 50 characters"),
        ({"project": 1.5}, "must be a title or a number"),
        ({"project": True}, "must be a title or a number"),
        ({"classes": ("skin",)}, "classes must be at least two names"),
        ({"classes": "skin"}, "classes must be a sequence of names"),
        ({"classes": LabelSpec(("skin", "ignored"), ignore=255)}, "must not have the name 'ignored'"),
        ({"since": datetime(2026, 1, 1)}, "since must have a time zone"),
        ({"url": "studio"}, "url must be an http or https address"),
    ],
)
def test_unusable_arguments_are_refused_at_once(arguments, message):
    with pytest.raises(ConfigurationError, match=message):
        LabelStudioOracle(**{"url": "http://127.0.0.1:9", "project": "Moles", "classes": CLASSES, **arguments})


def test_no_token_is_in_an_oracle_its_pickle_or_its_requests_apart_from_the_header(fake, folder, caplog):
    one = oracle(fake, folder, prelabels={"ward/0": mask((0, 0))})
    one.ask(QUERIES)
    assert SECRET not in repr(one) + repr(vars(one)) + caplog.text
    assert SECRET.encode() not in pickle.dumps(one)
    assert SECRET not in json.dumps([[asked["path"], asked["query"], asked["body"]] for asked in fake.asked])
    assert {asked["authorization"] for asked in fake.asked} == {f"Token {SECRET}"}


@pytest.mark.parametrize(
    ("request_of", "message"),
    [
        (("POST", "/api/projects/"), "must have an id"),
        (("GET", "/api/projects/1/file-uploads"), "must be a list"),
        (("POST", "/api/projects/1/import"), "did not store an image"),
        (("GET", "/api/import/file-upload/1"), "must have an id"),
    ],
)
def test_no_token_is_in_an_error_about_an_unexpected_answer(folder, request_of, message):
    class Unexpected(Fake):
        def do(self, asked, content):
            if (asked["method"], asked["path"]) == request_of:
                return 200, {"token": SECRET}
            return super().do(asked, content)

    with serve(Unexpected()) as server, pytest.raises(OracleError, match=message) as failed:
        oracle(server, folder).ask(QUERIES)
    assert "got {'token': '...'}" in str(failed.value)


def test_no_token_is_in_the_record_of_a_campaign(fake, folder, tmp_path, world):
    store = tmp_path / "record" / "c.db"
    pool = alkit.ImagePool(folder / "ward")
    experiment = alkit.Experiment(pool, world.learner, alkit.strategy("random"), store=store, classes=CLASSES)
    experiment.ask(2)
    one = oracle(fake, pool)
    experiment.send(one)
    fake.annotate(1, [])
    fake.annotate(2, [], was_cancelled=True)
    receipt = experiment.collect(one)
    assert len(receipt.taken) == 2
    assert len(experiment.collect(one).unchanged) == 2
    for file in store.parent.rglob("*"):
        assert file.is_dir() or SECRET.encode() not in file.read_bytes(), file


def test_the_oracle_satisfies_the_protocol():
    assert isinstance(LabelStudioOracle("http://127.0.0.1:9", "Moles", classes=CLASSES), alkit.protocols.Oracle)
