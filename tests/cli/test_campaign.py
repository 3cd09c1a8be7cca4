"""A campaign from the command line: start, ask, tell, correct, train, and what a stranger sees next."""

import json
import os
import re
import shlex
import subprocess
import sys
from contextlib import closing
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from commandline import alkit
from PIL import Image

from alkit import Experiment, LabelSpec, synthetic
from alkit.cli.places import FolderPlace, LabelStudioPlace, choose_place
from alkit.configuration import written_form
from alkit.labels import resize_mask
from alkit.oracles.formats.registry import FORMATS
from alkit.record import Store

SMALL = "--size 16 --widths 2,4 --epochs 1,1 --pretext-epochs 1 --grayscale --hold-out 0.3 --stop-set 4".split()
LONG_AGO = 1_700_000_000


@pytest.fixture
def place(tmp_path, monkeypatch):
    """Return a folder with images at 24 pixels; the masks are what people will paint."""
    images, masks = synthetic.lesions(24, size=24)
    for name in ("images", "truth"):
        (tmp_path / name).mkdir()
    for number, (image, mask) in enumerate(zip(images, masks, strict=True)):
        Image.fromarray(image[0]).save(tmp_path / f"images/case {number:02}.png")
        Image.fromarray(mask * 255).save(tmp_path / f"truth/case {number:02}.png")
    monkeypatch.chdir(tmp_path)
    return tmp_path


def start(*more):
    return alkit("start", "c.db", "--images", "images", "--classes", "skin,lesion", *SMALL, *more)


def asked(exchange=Path("exchange")):
    """Return what the query.json files say, by rank."""
    return [json.loads(path.read_text()) for path in sorted(exchange.glob("r*/query.json"))]


def paint(query, by="ann", content=None, ending=".png", at=LONG_AGO):
    path = Path("exchange") / by / f"{query['query']}{ending}"
    path.parent.mkdir(exist_ok=True)
    if ending == ".png":
        Image.fromarray(content if content is not None else truth(query)).save(path)
    else:
        path.write_text(content or "")
    os.utime(path, (at, at))
    return path


def truth(query):
    return np.asarray(Image.open(f"truth/{query['image']}.png"))


def printed(capfd, *arguments, code=0):
    capfd.readouterr()
    assert alkit(*arguments) == code
    return capfd.readouterr().out


def as_json(capfd, *arguments, code=0):
    return json.loads(printed(capfd, *arguments, "--json", code=code))


def test_from_a_folder_of_images_to_a_model_with_skips_mistakes_and_corrections(place, capfd):
    assert start("--strategy", "random") == 0
    assert "24 images, read at 16 x 16 pixels" in capfd.readouterr().out
    said = printed(capfd, "ask", "c.db", "-n", 6, "--out", "exchange")
    assert "Selected and sent: 6 images, 0 with a pre-label" in said
    queries = asked()
    assert [query["rank"] for query in queries] == list(range(6))
    assert {query["stands_for"] for query in queries} == {"chosen by Random"}
    assert all(Path("exchange", query["query"], "image.png").exists() for query in queries)
    assert Path("exchange/contact-sheet-r00.png").exists()

    for query in queries[:4]:
        paint(query)
    paint(queries[4], content="hair in front", ending=".skip")
    small = paint(queries[5], content=truth(queries[5])[:7])
    told = as_json(capfd, "tell", "c.db", code=3)  # it knows where the queries went
    assert [answer["kind"] for answer in told["taken"]].count("label") == 4
    assert told["open"] == 1
    (refused,) = told["refused"]
    assert refused["kind"] == "label"
    assert [(one["query"], one["kind"]) for one in as_json(capfd, "status", "c.db")["problems"]] == [
        (queries[5]["query"], "invalid")
    ]
    assert (refused["id"], "another size" in refused["reason"]) == (queries[5]["image"], True)
    assert "another size" in small.with_suffix(".refused.txt").read_text()
    assert small.exists()

    content = small.read_bytes()
    small.write_bytes(content[:40])
    os.utime(small, (LONG_AGO + 30, LONG_AGO + 30))
    assert as_json(capfd, "tell", "c.db", code=3)["refused"][0]["kind"] == "invalid"
    again = as_json(capfd, "tell", "c.db", "--from", "exchange", code=3)
    assert (again["taken"], len(again["unchanged"])) == ([], 5)
    assert printed(capfd, "status", "c.db").rstrip().endswith("alkit tell c.db")
    paint(queries[5], at=LONG_AGO + 60)
    assert "New answers: 1" in printed(capfd, "tell", "c.db")
    assert not small.with_suffix(".refused.txt").exists()

    said = printed(capfd, "ask", "c.db", "-n", 3)
    assert re.search(r"Round 0: trained on [1-5] labels?", said)
    assert "3 images, 3 with a pre-label" in said
    later = [query for query in asked() if query["round"] == 1]
    untouched = Path("exchange", later[0]["query"], "prelabel.png")
    paint(later[0], content=np.asarray(Image.open(untouched)))
    for query in later[1:]:
        paint(query)
    said = printed(capfd, "tell", "c.db", code=3)
    assert "pre-label, untouched" in said
    Path("exchange", "ann", f"{later[0]['query']}.confirmed").touch()
    os.utime(Path("exchange", "ann", f"{later[0]['query']}.confirmed"), (LONG_AGO + 60,) * 2)
    assert "images still open: 0" in printed(capfd, "tell", "c.db")

    revised = np.roll(truth(queries[0]), 3)
    paint(queries[0], content=revised, at=LONG_AGO + 120)
    assert "New answers: 1" in printed(capfd, "tell", "c.db")
    assert as_json(capfd, "status", "c.db")["states"]["stale"] == 1
    assert "Round 1: trained on" in printed(capfd, "fit", "c.db")
    assert "No new labels to train on" in printed(capfd, "fit", "c.db")
    assert as_json(capfd, "status", "c.db")["states"] == {"consumed": 8, "skipped": 1}


def test_images_that_change_before_the_first_query_leave_all_choices_as_they_are(place, capfd):
    assert start("--audit", 3, "--people", "ann=1") == 0
    before = {name: Store("c.db").fact(name) for name in ("campaign", "classes", "options", "people")}
    Image.new("L", (24, 24), 90).save("images/new.png")
    capfd.readouterr()
    assert alkit("ask", "c.db", "-n", 4, "--out", "exchange") == 0
    assert {name: Store("c.db").fact(name) for name in before} == before
    assert len(Store("c.db").fact("images")) == 25
    assert len(Store("c.db").fact("audit")["draws"][0]["ids"]) == 3


def test_the_next_steps_of_status_lead_through_a_campaign(place, capfd):
    assert start("--strategy", "random") == 0
    for _ in range(20):
        command = as_json(capfd, "status", "c.db")["next"]["command"]
        words = shlex.split(command.replace("--out FOLDER", "--out exchange").replace("-n 24", "-n 5"))
        assert words[0] == "alkit"
        if words[1] == "predict":
            break
        assert alkit(*words[1:]) == 0, command
        for query in asked():
            if not Path("exchange", "ann", f"{query['query']}.png").exists():
                paint(query)
    else:
        pytest.fail(f"it never came to an end: {command}")
    assert as_json(capfd, "status", "c.db")["labels"] >= 15  # until a rule would stop, or nothing is left


def test_the_first_labels_are_trained_on_whatever_the_hold_out(place, capfd):
    start("--strategy", "random", "--hold-out", "0.99")
    printed(capfd, "ask", "c.db", "-n", 1, "--out", "exchange")
    paint(asked()[0])
    printed(capfd, "tell", "c.db")
    step = as_json(capfd, "status", "c.db")["next"]
    assert step["command"] == "alkit fit c.db"
    assert "trained on 1 label" in printed(capfd, *shlex.split(step["command"])[1:])


def test_while_a_query_is_open_ask_sends_the_same_again(place, capfd):
    start("--strategy", "random")
    printed(capfd, "ask", "c.db", "-n", 4, "--out", "exchange")
    first = asked()
    assert "Still open, and sent again: 4 images" in printed(capfd, "ask", "c.db")
    assert asked() == first
    said = printed(capfd, "ask", "c.db", "--out", "elsewhere")
    paint(first[0])  # by somebody who has the first folder
    (told,) = [line for line in said.replace("\n", " ").split(". ") if "alkit tell c.db --from" in line]
    command = told.partition(": ")[2].partition(" Next")[0]
    assert "New answers: 0" in printed(capfd, "tell", "c.db")
    assert "New answers: 1" in printed(capfd, *shlex.split(command)[1:])
    printed(capfd, "withdraw", "c.db")
    printed(capfd, "ask", "c.db", "-n", 4, "--out", "exchange")
    first = asked()
    assert "as well" not in printed(capfd, "ask", "c.db", "--out", "./exchange/")
    printed(capfd, "ask", "c.db", "--out", "elsewhere")
    assert [query["query"] for query in asked(Path("elsewhere"))] == [query["query"] for query in first]
    assert "Still open, and sent again: 4 images" in printed(capfd, "ask", "c.db", "-n", 3)


def test_ask_tops_up_to_the_number_and_fit_trains_on_what_there_is(place, capfd):
    start("--strategy", "random", "--hold-out", "0")
    printed(capfd, "ask", "c.db", "-n", 4, "--out", "exchange")
    first = asked()
    for query in first[:3]:
        paint(query)
    printed(capfd, "tell", "c.db")
    said = printed(capfd, "fit", "c.db")
    assert "trained on 3 labels" in said
    assert "1 image waits for an answer" in said
    assert alkit("fit", "c.db", "--wait") == 1
    assert "1 image of the open query lacks an answer" in capfd.readouterr().err
    said = printed(capfd, "ask", "c.db", "-n", 4)
    assert "Selected and sent: 3 images. Still open, and sent again: 1 image" in said
    for query in asked():
        if query["query"] != first[3]["query"] and query not in first:
            paint(query)
    printed(capfd, "tell", "c.db")
    paint(first[3])  # an answer to a query of an earlier round
    printed(capfd, "tell", "c.db")
    printed(capfd, "fit", "c.db")
    rounds = as_json(capfd, "status", "c.db")["rounds"]
    assert [(found["labels"], len(found["ids"])) for found in rounds] == [(3, 4), (7, 3)]


def test_an_answer_that_is_sent_back_is_open_until_it_is_corrected(place, capfd):
    start("--strategy", "random")
    printed(capfd, "ask", "c.db", "-n", 2, "--out", "exchange")
    queries = asked()
    for query in queries:
        paint(query)
    printed(capfd, "tell", "c.db")
    said = printed(capfd, "reject", "c.db", queries[0]["query"], "--reason", "the border is missing")
    assert "open again" in said
    assert "the border is missing" in printed(capfd, "status", "c.db")
    note = Path("exchange/ann", f"{queries[0]['query']}.refused.txt")
    for _ in range(2):
        assert "images still open: 1" in printed(capfd, "tell", "c.db", code=3)
        assert "was sent back: the border is missing" in note.read_text()
    paint(queries[0], content=np.roll(truth(queries[0]), 1), at=LONG_AGO + 60)
    assert "images still open: 0" in printed(capfd, "tell", "c.db")
    assert not note.exists()


def test_an_outdated_mask_is_reported(place, capfd):
    start("--strategy", "random")
    printed(capfd, "ask", "c.db", "-n", 1, "--out", "exchange")
    (query,) = asked()
    paint(query, at=LONG_AGO)
    printed(capfd, "tell", "c.db")
    paint(query, content=np.roll(truth(query), 1), at=LONG_AGO - 60)  # as a program does that keeps the time of a file
    assert f"outdated: {query['query']} by ann: " in printed(capfd, "tell", "c.db")
    paint(query, content=np.roll(truth(query), 1), at=LONG_AGO + 60)
    assert "New answers: 1" in printed(capfd, "tell", "c.db")


def test_queries_without_an_answer_can_be_withdrawn(place, capfd):
    start("--strategy", "random")
    printed(capfd, "ask", "c.db", "-n", 2, "--out", "exchange")
    first, second = asked()
    paint(first)
    printed(capfd, "tell", "c.db")
    assert printed(capfd, "withdraw", "c.db").startswith(f"Withdrawn: {second['image']}.")
    assert printed(capfd, "withdraw", "c.db").startswith("No query is open.")
    assert as_json(capfd, "status", "c.db")["states"] == {"answered": 1, "cancelled": 1}
    assert "This query was withdrawn" in Path("exchange", second["query"], "withdrawn.txt").read_text()
    assert not Path("exchange", first["query"], "withdrawn.txt").exists()
    assert as_json(capfd, "tell", "c.db")["unread"] == {}


def test_one_query_can_be_withdrawn_by_its_name_or_its_image(place, capfd):
    start("--strategy", "random")
    printed(capfd, "ask", "c.db", "-n", 3, "--out", "exchange")
    first, second, third = asked()
    assert printed(capfd, "withdraw", "c.db", first["query"]).startswith(f"Withdrawn: {first['image']}.")
    assert printed(capfd, "withdraw", "c.db", second["image"]).startswith(f"Withdrawn: {second['image']}.")
    assert as_json(capfd, "status", "c.db")["open"] == [third["image"]]
    assert alkit("withdraw", "c.db", first["query"]) == 1
    assert "has no open query" in capfd.readouterr().err
    assert Path("exchange", first["query"], "withdrawn.txt").exists()
    assert not Path("exchange", third["query"], "withdrawn.txt").exists()


def test_tell_reject_and_withdraw_need_no_images(place, capfd):
    start("--strategy", "random")
    printed(capfd, "ask", "c.db", "-n", 2, "--out", "exchange")
    first, second = asked()
    paint(first)
    Path("images").rename("pictures")
    assert "New answers: 1" in printed(capfd, "tell", "c.db")
    assert "open again" in printed(capfd, "reject", "c.db", first["query"], "--reason", "the border is missing")
    assert second["image"] in printed(capfd, "withdraw", "c.db")


def test_tell_status_reject_and_withdraw_do_not_import_torch(place, capfd):
    start("--strategy", "random")
    printed(capfd, "ask", "c.db", "-n", 2, "--out", "exchange", "--as", "coco")
    first, _ = asked()
    paint(first)
    file = "exchange/r00-coco/annotations.json"
    commands = ["tell c.db", f"tell c.db --from {file} --annotator ann", "status c.db"]
    for command in [*commands, f"reject c.db {first['query']} --reason border", "withdraw c.db"]:
        code = f"import sys; sys.modules['torch'] = None; from alkit.cli import main; main({command.split()})"
        done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
        assert done.returncode == 0, (command, done.stderr)
    assert as_json(capfd, "status", "c.db")["states"] == {"cancelled": 2}


def test_starting_a_campaign_again_reports_changed_settings(place, capfd):
    start("--strategy", "random")
    capfd.readouterr()
    start("--strategy", "random")
    assert "changed" not in capfd.readouterr().out
    start("--strategy", "random", "--lr", "0.25", "--ignore", "255")
    said = changes(capfd)
    assert said == ["changed: --lr: recorded 0.001, now 0.25", "changed: --ignore: recorded None, now 255"]
    start("--strategy", "random", "--lr", "0.25", "--ignore", "255", "--size", "24")
    assert changes(capfd) == ["changed: --size: recorded 16, now 24"]


def test_a_start_that_fails_on_the_images_changes_nothing(place, capfd):
    small = ["--strategy", "random", "--widths", "4,8,16"]
    assert start(*small) == 0
    assert start(*small, "--size", "15") == 1
    assert "divisible by 4: got 15 x 15" in capfd.readouterr().err
    assert alkit("ask", "c.db", "-n", 2, "--out", "exchange") == 0  # the images are still those that the user named
    capfd.readouterr()
    start(*small)
    assert changes(capfd) == []


def test_a_first_start_that_fails_on_the_images_records_no_settings(place, capfd):
    assert start("--strategy", "random", "--widths", "4,8,16", "--size", "15") == 1
    assert as_json(capfd, "status", "c.db")["next"]["command"] == "alkit start c.db --images FOLDER --classes NAMES"
    assert start("--strategy", "random") == 0
    assert changes(capfd) == []


def test_the_next_command_quotes_the_record(place, capfd):
    assert alkit("start", "my c.db", "--images", "images", "--classes", "skin,lesion", *SMALL) == 0
    assert "Next: alkit ask 'my c.db' -n 24 --out FOLDER" in capfd.readouterr().out
    assert alkit("ask", "my c.db", "-n", 2, "--out", "exchange") == 0
    assert "alkit tell 'my c.db'" in capfd.readouterr().out
    assert alkit("tell", "my c.db") == 0
    assert "Next: alkit status 'my c.db'" in capfd.readouterr().out


def test_an_interrupted_start_can_be_repeated_with_other_settings(place, capfd):
    Store(Path("c.db")).close()
    start("--strategy", "random")
    assert changes(capfd) == []


def changes(capfd):
    return [line for line in capfd.readouterr().out.splitlines() if line.startswith("changed: ")]


def test_moved_images_are_found_after_images_was_given_once(place, capfd):
    start("--strategy", "random")
    printed(capfd, "ask", "c.db", "-n", 2, "--out", "exchange")
    for query in asked():
        paint(query)
    printed(capfd, "tell", "c.db")
    Path("images").rename("pictures")
    for command in ("fit", "ask"):
        assert alkit(command, "c.db") == 1
        assert "Try: --images FOLDER" in capfd.readouterr().err
    printed(capfd, "fit", "c.db", "--images", "pictures")
    printed(capfd, "fit", "c.db")
    Path("pictures").rename("again")
    printed(capfd, "ask", "c.db", "-n", 2, "--images", "again", "--no-prelabels")
    assert len(asked()) == 4


def test_two_campaigns_do_not_share_a_folder(place, capfd):
    start("--strategy", "random")
    printed(capfd, "ask", "c.db", "-n", 2, "--out", "exchange")
    before = asked()
    assert alkit("start", "d.db", "--images", "images", "--classes", "skin,lesion", *SMALL, "--strategy", "random") == 0
    for command in (["ask", "d.db", "-n", "2", "--out", "exchange"], ["tell", "d.db", "--from", "exchange"]):
        capfd.readouterr()
        assert alkit(*command) == 1
        assert "exchange belongs to another campaign" in capfd.readouterr().err
    assert asked() == before


def test_a_place_is_changed_option_by_option(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    studio = LabelStudioPlace("http://127.0.0.1:9", "Moles", "polygon")
    assert choose_place(Path("c.db"), studio, service="label-studio") == studio
    assert choose_place(Path("c.db"), studio, project="Other") == LabelStudioPlace(studio.url, "Other", "polygon")
    folder = FolderPlace(str(tmp_path / "a"), "cvat")
    assert choose_place(Path("c.db"), folder, folder="b") == FolderPlace(str(tmp_path / "b"), "cvat")
    assert choose_place(Path("c.db"), folder, form="files") == FolderPlace(folder.folder)
    assert choose_place(Path("c.db"), folder) == folder


def test_spaces_between_classes_are_ignored(place):
    assert start("--strategy", "random", "--classes", "skin, lesion") == 0
    assert Experiment.open("c.db").spec.classes == ("skin", "lesion")


@pytest.mark.parametrize("join", ["one", "majority"])
def test_tell_says_whose_label_counts_if_annotators_disagree(place, capfd, join):
    start("--strategy", "random", "--join", join)
    printed(capfd, "ask", "c.db", "-n", 3, "--out", "exchange")
    first, second, third = asked()
    for query in (first, second, third):
        paint(query)
    paint(first, by="bob")
    paint(second, by="bob", content=255 - truth(second), at=LONG_AGO - 9)
    small = resize_mask((truth(third) > 0).astype(np.uint8), (16, 16), LabelSpec(("skin", "lesion")))
    paint(third, by="bob", content=small * 255)  # the same, at the working size
    told = printed(capfd, "tell", "c.db")
    said = f"annotators disagree, and the latest label counts: {second['query']} by ann\n"
    assert (said in told) == (join == "one")
    assert ("annotators disagree" in told) == (join == "one")
    assert as_json(capfd, "tell", "c.db")["disputed"] == {}  # nothing new


def test_a_record_without_a_campaign_is_an_error(place, capfd):
    Store(Path("bare.db")).close()
    assert alkit("tell", "bare.db", "--from", "exchange") == 1
    assert "bare.db has no campaign yet" in capfd.readouterr().err


def test_two_annotators_are_waited_for(place, capfd):
    start("--strategy", "random", "--annotators", 2, "--join", "majority")
    printed(capfd, "ask", "c.db", "-n", 2, "--out", "exchange")
    for query in asked():
        paint(query, by="ann")
    assert "images still open: 2" in printed(capfd, "tell", "c.db")
    for query in asked():
        paint(query, by="bob", content=np.roll(truth(query), 1))
    assert "images still open: 0" in printed(capfd, "tell", "c.db")
    assert {one["name"]: one["labels"] for one in as_json(capfd, "status", "c.db")["annotators"]} == {
        "ann": 2,
        "bob": 2,
    }


@pytest.mark.parametrize(("form", "ending"), [("coco", "json"), ("cvat", "xml")])
def test_a_tool_that_reads_and_writes_files_of_annotations_can_be_used(place, capfd, form, ending):
    start("--strategy", "random")
    printed(capfd, "ask", "c.db", "-n", 3, "--out", "exchange", "--as", form)
    experiment = Experiment.open("c.db")
    queries = experiment.queries()
    painted = {query.id: (truth({"image": query.id}) > 0).astype(np.uint8) for query in queries[:2]}
    FORMATS[form].write("tool", queries[:2], experiment.pool, experiment.spec, painted)  # as the tool would
    (file,) = Path("tool").glob(f"*/*.{ending}")
    told = as_json(capfd, "tell", "c.db", "--from", file, "--annotator", "ann")
    assert {(answer["id"], answer["annotator"]) for answer in told["taken"]} == {(id, "ann") for id in painted}
    assert as_json(capfd, "tell", "c.db", "--from", file, "--annotator", "ann")["taken"] == []
    for standing in experiment.standings()[:2]:
        np.testing.assert_array_equal(experiment.label(standing.answers[0]), painted[standing.query.id])


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["ask", "c.db"], "the number of images is missing"),
        (["ask", "c.db", "-n", "3"], "--out FOLDER"),
        (["ask", "c.db", "-n", "3", "--out", "a", "--to", "label-studio"], "--out and --to cannot be used together"),
        (["ask", "c.db", "-n", "3", "--to", "cvat-server"], "--to must be label-studio: got cvat-server"),
        (["ask", "c.db", "-n", "3", "--to", "label-studio"], "the address of Label Studio is missing"),
        (["ask", "c.db", "-n", "99", "--out", "a"], "alkit: -n must be an integer from 1 to 24"),
        (["ask", "other.db", "-n", "3", "--out", "a"], "the record other.db does not exist"),
        (["ask", "c.db", "-n", "3", "--url", "http://127.0.0.1:9"], "--url can be used only with label-studio"),
        (["ask", "c.db", "-n", "3", "--as", "cvat"], "--as can be used only with --out FOLDER"),
        (["ask", "c.db", "-n", "3", "--out", "a", "--control", "brush", "--project", "x"], "--project and --control"),
        (["ask", "c.db", "-n", "3", "--to", "label-studio", "--url", "http://127.0.0.1:9"], "Try: --project"),
        (["ask", "c.db", "-n", "3", "--to", "label-studio", "--as", "cvat"], "--as can be used only with --out FOLDER"),
        (["tell", "c.db", "--from", "images", "--annotator", "ann"], "--annotator can be used only with --from FILE"),
        (["tell", "c.db", "--from", "images", "--confirmed"], "--confirmed can be used only with --from FILE"),
        (["tell", "c.db", "--from", "images", "--project", "x"], "--project can be used only with label-studio"),
        (["tell", "c.db", "--from", "a.json", "--url", "http://127.0.0.1:9"], "--url can be used only with --from"),
        (["tell", "other.db"], "Try: create it with alkit start or alkit run"),
        (["fit", "other.db"], "Try: create it with alkit start or alkit run"),
        (["reject", "other.db", "x", "--reason", "y"], "Try: create it with alkit start or alkit run"),
        (["withdraw", "other.db"], "Try: create it with alkit start or alkit run"),
        (["tell", "c.db"], "the place of the answers is missing"),
        (["ask", "c.db", "-n", "3", "--out", "a", "--as", "coc"], "'coco'"),
        (["tell", "c.db", "--from", "nothing.json"], "nothing.json"),
        (["tell", "c.db", "--from", "nowhere"], "nowhere must be an existing folder"),
        (
            ["tell", "c.db", "--from", "c.db"],
            "--from must be a folder, or a file that ends in .json (COCO, LabelMe), .xml (CVAT), .csv (classes), .zip "
            "or .nii.gz: got c.db. Try: put masks into a folder",
        ),
        (["reject", "c.db", "case 01", "--reason", ""], "--reason must say what is wrong with the answer"),
        (["status", "images"], "the record images must be a file: got a folder"),
        (["ask", "images", "-n", "3", "--out", "a"], "the record images must be a file: got a folder"),
        (["fit", "c.db"], "no label to train on"),
        (["reject", "c.db", "case 01", "--reason", "x"], "no answer"),
        (["start", "d.db", "--images", "nowhere", "--classes", "a,b"], "nowhere"),
        (["start", "d.db", "--images", "images", "--classes", "a"], "--classes must be at least two names: got 'a'"),
    ],
)
def test_an_error_is_one_line(place, capfd, arguments, message):
    start("--strategy", "random")
    capfd.readouterr()
    assert alkit(*arguments) == 1
    said = capfd.readouterr().err
    assert message in said
    assert "bug in alkit" not in said
    assert len(said.strip().splitlines()) == 1
    assert as_json(capfd, "status", "c.db")["open"] == []
    assert not Path("d.db").exists()


def test_a_file_whose_name_is_not_unicode_is_reported_like_any_other(place, capfd):
    start("--strategy", "random")
    printed(capfd, "ask", "c.db", "-n", 2, "--out", "exchange")
    paint(asked()[0])
    Path(os.fsdecode(b"exchange/ann/\xff.png")).touch()
    said = printed(capfd, "tell", "c.db", code=3)
    assert "New answers: 1" in said
    assert "\\udcff.png: " in said
    assert "has no query '\\udcff'" in said


def test_status_lists_what_was_not_taken_until_it_is_resolved(place, capfd):
    start("--strategy", "random")
    printed(capfd, "ask", "c.db", "-n", 2, "--out", "exchange")
    query = asked()[0]
    wrong = paint(query).rename(Path("exchange/ann", f"{query['query']}_lesion.png"))
    Path("foreign.json").write_text(
        json.dumps(
            {
                "images": [{"id": 1, "file_name": "nobody.png", "width": 24, "height": 24}],
                "categories": [{"id": 1, "name": "lesion"}],
                "annotations": [{"id": 1, "image_id": 1, "category_id": 1, "segmentation": [[1, 1, 5, 1, 5, 5]]}],
            }
        )
    )
    assert alkit("tell", "c.db") == 3
    assert "Not taken: 1 not read. The exit code is 3." in capfd.readouterr().err
    assert alkit("tell", "c.db", "--from", "foreign.json") == 3
    assert "Not taken: 1 refused. The exit code is 3." in capfd.readouterr().err
    found = {one["what"]: one["reason"] for one in as_json(capfd, "status", "c.db")["unread"]}
    assert found.keys() == {str(wrong.absolute()), "foreign.json"}
    assert found[str(wrong.absolute())] == f"the name must be {query['query']}.png"
    said = printed(capfd, "status", "c.db")
    assert "Not taken" in said
    assert "the name must be" in said
    wrong.rename(wrong.with_name(f"{query['query']}.png"))
    Path("foreign.json").unlink()
    assert "New answers: 1" in printed(capfd, "tell", "c.db")
    assert as_json(capfd, "status", "c.db")["unread"] == []
    assert "Not taken" not in printed(capfd, "status", "c.db")


def test_start_can_change_settings_until_the_first_answer(place, capfd):
    assert start("--strategy", "random") == 0
    assert start("--strategy", "ssl-cluster") == 0
    printed(capfd, "ask", "c.db", "-n", 3, "--out", "exchange")
    assert "cluster" in asked()[0]["stands_for"]
    assert start("--strategy", "random", "--lr", "0.5") == 0
    assert Experiment.open("c.db").open_ids == tuple(query["image"] for query in asked()), "they were sent already"
    paint(asked()[0])
    printed(capfd, "tell", "c.db")
    assert start("--strategy", "ssl-cluster") == 1
    said = capfd.readouterr().err
    assert "was created with other settings" in said
    assert "Try: the recorded settings, or another store, or alkit change, which keeps the labels" in said


def test_a_record_from_before_the_recipes_keeps_the_learner_that_it_had(place):
    start("--strategy", "random", "--recipe", "paper")
    with closing(Store(Path("c.db"))) as record:
        record.revise(
            "options", lambda before: {key: value for key, value in before.items() if key not in ("recipe", "steps")}
        )
    before = Experiment.open("c.db").learner
    assert alkit("change", "c.db", "--lr", "0.25") == 0
    assert written_form(Experiment.open("c.db").learner) == written_form(replace(before, lr=0.25))
    assert alkit("change", "c.db", "--recipe", "strong", "--steps", "3,2") == 0
    after = Experiment.open("c.db").learner
    assert (after.steps, after.epochs, after.optimizer, after.lr) == ((3, 2), None, "adamw", 0.25)


def test_change_keeps_the_labels_until_a_round_is_committed(place, capfd):
    start("--strategy", "random")
    printed(capfd, "ask", "c.db", "-n", 5, "--out", "exchange")
    for query in asked():
        paint(query)
    printed(capfd, "tell", "c.db")
    capfd.readouterr()
    assert alkit("change", "c.db", "--size", "36", "--widths", "2,4,8,16") == 1
    assert "sides divisible by 8: got 36 x 36 pixels. Try: --size 32" in capfd.readouterr().err
    said = printed(capfd, "change", "c.db", "--size", 12, "--widths", "4,8", "--strategy", "mc-dropout")
    assert "changed: --widths: recorded [2, 4], now [4, 8]" in said
    assert "changed: --strategy: recorded Random, now MCDropout" in said
    assert "changed: --size: recorded 16, now 12" in said
    assert "5 labels are kept; images are read at 12 x 12 pixels" in said
    assert as_json(capfd, "status", "c.db")["labels"] == 5
    (change,) = as_json(capfd, "status", "c.db")["changes"]
    assert "learner.network.widths: recorded [2, 4], now [4, 8]" in change["changed"]
    assert f"Settings changed on {change['at'][:10]}: " in printed(capfd, "status", "c.db")
    assert "Round 0: trained on 4 labels" in printed(capfd, "fit", "c.db")
    experiment = Experiment.open("c.db")
    assert experiment.learner.epochs == (1, 1), "options that were not given stay"
    assert experiment.learner.network.keywords["widths"] == (4, 8)
    assert experiment.pool.shape[1:] == (12, 12)
    assert alkit("change", "c.db", "--size", "16") == 1
    assert "has a committed round, so its settings cannot change any more: --size: recorded 12, now 16" in (
        capfd.readouterr().err
    )


def test_change_without_an_option_says_how(place, capfd):
    start("--strategy", "random")
    assert alkit("change", "c.db") == 1
    assert "no option to change is given. Try: alkit change c.db --size 128" in capfd.readouterr().err


def test_a_tool_s_file_in_an_annotator_s_folder_is_read_like_masks(place, capfd):
    start("--strategy", "random")
    printed(capfd, "ask", "c.db", "-n", 2, "--out", "exchange", "--as", "cvat")
    experiment = Experiment.open("c.db")
    queries = experiment.queries()
    painted = {query.id: (truth({"image": query.id}) > 0).astype(np.uint8) for query in queries[:1]}
    (file,) = FORMATS["cvat"].write("tool", queries, experiment.pool, experiment.spec, painted)
    Path("exchange/ann").mkdir()
    file.rename("exchange/ann/annotations.xml")
    os.utime("exchange/ann/annotations.xml", (LONG_AGO, LONG_AGO))
    assert {answer["annotator"] for answer in as_json(capfd, "tell", "c.db")["taken"]} == {"ann"}
    assert experiment.open_ids == (queries[1].id,)
    assert len(as_json(capfd, "tell", "c.db", "--empty-is-background")["taken"]) == 1
    assert experiment.open_ids == ()


def test_change_before_the_first_query_keeps_what_no_option_names(place, capfd):
    start("--strategy", "random", "--metrics", "hd95,dice", "--threads", "2")
    with closing(Store(Path("c.db"))) as record:
        before = {name: record.fact(name) for name in ("campaign", "classes", "metrics", "threads")}
    assert alkit("change", "c.db", "--size", "8", "--lr", "0.25") == 0
    with closing(Store(Path("c.db"))) as record:
        assert {name: record.fact(name) for name in before} == before
    printed(capfd, "ask", "c.db", "-n", 3, "--out", "exchange")  # in the folder of images that was named at the start
    assert Experiment.open("c.db").learner.lr == 0.25


def test_metrics_and_kinds_change_at_any_time_and_what_no_option_names_stays(place, capfd):
    ids = [path.stem for path in sorted((place / "images").iterdir())]
    rows = [f"{id},p{number},{'ab'[number % 2]}" for number, id in enumerate(ids)]
    (place / "groups.csv").write_text("\n".join(["id,patient,site", *rows]))
    start("--strategy", "random", "--groups", "groups.csv", "--hold-out", "0.5")
    assert "changed: --metrics: recorded dice, iou, now hd95" in printed(capfd, "change", "c.db", "--metrics", "hd95")
    said = printed(capfd, "change", "c.db", "--kinds", "site")
    assert "changed: --metrics: recorded hd95, now hd95, hd95 by kind" in said
    assert alkit("change", "c.db", "--kinds", "ward") == 1
    assert "--kinds must be a column of the CSV file of --groups: got 'ward'" in capfd.readouterr().err
    assert alkit("change", "c.db", "--metrics", "auroc") == 1
    assert "auroc" in capfd.readouterr().err
    printed(capfd, "ask", "c.db", "-n", 8, "--out", "exchange")
    for query in asked():
        paint(query)
    printed(capfd, "tell", "c.db")
    assert "Round 0" in printed(capfd, "fit", "c.db", "--metrics", "dice")
    (result,) = Experiment.open("c.db").history
    assert {"dice", "dice_over_groups", "dice_worst_group"} <= set(result.metrics)
    assert "hd95" not in result.metrics
    assert "now dice" in printed(capfd, "change", "c.db", "--kinds", "")
    assert "Nothing is different" in printed(capfd, "change", "c.db", "--metrics", "dice")


def test_hours_of_work_are_turned_into_images_by_the_times_of_files(place, capfd):
    assert start("--strategy", "random") == 0
    assert alkit("ask", "c.db", "--hours", 1, "--out", "exchange") == 1
    assert "--hours needs labels whose time is known" in capfd.readouterr().err
    printed(capfd, "ask", "c.db", "-n", 8, "--out", "exchange", "--no-prelabels")
    for number, query in enumerate(asked()):
        paint(query, at=LONG_AGO + 60 * number)
    printed(capfd, "tell", "c.db")
    assert alkit("ask", "c.db", "--hours", 1, "-n", 3) == 1
    assert "-n and --hours cannot be combined" in capfd.readouterr().err
    said = printed(capfd, "ask", "c.db", "--hours", 0.1)
    assert "Selected and sent: 6 images" in said
    assert "They are expected to take 6 minutes" in said
    assert "for 6 answers, by estimates from the times of 7 files" in said
