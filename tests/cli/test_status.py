"""``alkit status`` on real records: of campaigns under way and of simulations, beside another process, and quickly."""

import json
import subprocess
import sys
import threading

import numpy as np
import pytest
from PIL import Image

import alkit
from alkit.cli import main
from alkit.values import Invalid, Skip


def told(capfd, *arguments):
    """Return what the command line prints."""
    with pytest.raises(SystemExit) as end:
        main(["status", *map(str, arguments)])
    said = capfd.readouterr()
    assert not end.value.code, said.err
    return said.out


@pytest.fixture
def campaign(world, tmp_path):
    """Return the record of a campaign with one trained round, and a second round with queries in every state."""
    store = tmp_path / "c.db"
    experiment = world.experiment(
        store, classes=("skin", "lesion"), annotators=2, join="majority", hold_out=0.3, stop_set=5
    )
    first = experiment.ask(10)
    experiment.receive(
        alkit.Answer(id, world.masks[id], name, seconds=seconds)
        for id in first
        for name, seconds in (("ann", 20.0), ("bob", 40.0))
    )
    experiment.fit()
    ids = experiment.ask(5)
    experiment.send(alkit.MaskOracle(world.masks, classes=("skin", "lesion")))
    experiment.receive(
        [
            alkit.Answer(ids[0], world.masks[ids[0]], "ann"),
            *(alkit.Answer(ids[1], Skip("blurred"), name) for name in ("ann", "bob")),
            alkit.Answer(ids[2], Invalid("the file is cut off"), "bob"),
            *(alkit.Answer(ids[3], world.masks[ids[3]], name) for name in ("ann", "bob")),
        ]
    )
    experiment.reject(ids[3], "the border is missing", "bob")
    return store, first, ids


def test_status_as_json_holds_everything_about_a_campaign(campaign, capfd, world):
    store, first, ids = campaign
    facts = json.loads(told(capfd, store, "--json"))
    assert (facts["store"], facts["labels"], facts["skipped"]) == (str(store), 12, [ids[1]])
    assert facts["open"] == [ids[0], ids[2], ids[3], ids[4]]
    assert facts["left"] == len(world.pool.ids) - 15
    assert facts["states"] == {"asked": 2, "partial": 1, "consumed": 10, "skipped": 1, "rejected": 1}
    assert {who["name"]: who["labels"] for who in facts["annotators"]} == {"ann": 12, "bob": 10}
    assert facts["annotators_agree"]["mean"] == 1
    assert facts["annotators_agree"]["disputed"] == []
    assert {tuple(pair["annotators"]): pair["images"] for pair in facts["annotators_agree"]["pairs"]} == {
        ("ann", "bob"): 10
    }
    assert facts["seconds_per_label"] == {"median": 30.0, "n": 20}
    assert {query["id"]: query["state"] for query in facts["open_queries"]} == {
        ids[0]: "partial",
        ids[2]: "asked",
        ids[3]: "rejected",
        ids[4]: "asked",
    }
    assert facts["open_queries"][0]["answered_by"] == ["ann"]
    assert "the file is cut off" in facts["open_queries"][1]["problems"][0]["reason"]
    assert facts["open_queries"][2]["problems"][0]["reason"] == "the border is missing"
    assert (facts["metric"], facts["measured_on"]) == ("dice", "hold-out")
    (round,) = facts["rounds"]
    assert round["ids"] == list(first)
    assert round["held_out"] + round["labels"] == 10
    assert set(facts["advice"]) >= {"expected-gain", "stabilising-predictions"}
    assert facts["advice"]["expected-gain"]["stop"] is None
    assert (facts["worth"], facts["next_batch"]) == (None, 5)
    assert facts["next"]["command"] == f"alkit tell {store} --from FOLDER"


@pytest.mark.parametrize("columns", [80, 120])
def test_status_shows_everything_about_a_campaign(campaign, capfd, monkeypatch, columns):
    monkeypatch.chdir(campaign[0].parent)
    store = campaign[0].name  # a long path would be broken
    monkeypatch.setenv("COLUMNS", str(columns))
    text = told(capfd, store)
    said = " ".join(text.split())
    assert "12 labels, 1 skipped, 4 open, 25 of the pool left" in said
    for line in (
        "partial 1 some of the wanted annotators have answered",
        "ann 12 1 0 0 20 s (n = 10)",
        "bob 10 1 1 1 40 s (n = 10)",
        "ann and bob 10 1.000",
        "partial 1 0 min 1 more, after ann",
        "bob sent back the border is missing",
        "Median time for a label: 30 s (n = 20).",
        "not a random sample of the pool",
        "the rule needs 3 agreements, and there are 0",
        "Are 5 more labels worth it? No stopping rule can tell yet.",
        f"Next: 4 images wait for an answer; alkit withdraw {store} takes the queries back, and alkit ask {store} -n 5 "
        "does not wait for them.",
    ):
        assert line in said, line
    assert text.rstrip().endswith(f"alkit tell {store} --from FOLDER")


def test_the_next_command_follows_the_campaign_to_its_end(world, tmp_path, capfd):
    store = tmp_path / "c.db"

    def follows():
        return json.loads(told(capfd, store, "--json"))["next"]["command"].replace(str(store), "S")

    experiment = world.experiment(store, classes=("skin", "lesion"))
    assert follows() == "alkit ask S -n 30 --out FOLDER"
    ids = experiment.ask(20)
    assert follows() == "alkit ask S --out FOLDER"
    experiment.send(world.oracle)
    assert follows() == "alkit tell S --from FOLDER"
    experiment.receive(alkit.Answer(id, world.masks[id]) for id in ids)
    assert follows() == "alkit fit S"
    experiment.fit()
    assert follows() == "alkit ask S -n 20 --out FOLDER"
    assert json.loads(told(capfd, store, "--json", "-n", "4"))["next"]["command"].endswith("-n 4 --out FOLDER")
    rest = experiment.ask(20)
    experiment.receive(alkit.Answer(id, world.masks[id]) for id in rest)
    experiment.fit()
    assert follows() == "alkit predict S --images FOLDER --out FOLDER"


def test_a_simulation_is_measured_on_its_test_set_and_continued_by_alkit_run(world, tmp_path, capfd):
    store = tmp_path / "r.db"
    experiment = world.experiment(store, hold_out=0.3)
    experiment.run(world.oracle, test=world.test, start=8, batch=4, rounds=1)
    facts = json.loads(told(capfd, store, "--json"))
    assert (facts["measured_on"], facts["next_batch"]) == ("test set", 4)
    assert facts["next"]["command"] == f"alkit run ... --store {store} --rounds 2"
    assert "dice is measured on a test set" in told(capfd, store)


def test_status_does_not_wait_for_a_training_process_and_does_not_import_torch(campaign):
    from alkit.record import Store

    store, _, _ = campaign
    record = Store(store)
    trains, over = threading.Event(), threading.Event()

    def train():
        with record.exclusive():
            trains.set()
            over.wait(60)

    other = threading.Thread(target=train)
    other.start()
    try:
        assert trains.wait(10)
        script = (
            "import sys\nfrom alkit.cli import main\n"
            f"try:\n    main(['status', {str(store)!r}])\nexcept SystemExit as end:\n    assert not end.code\n"
            "print('torch' in sys.modules, 'sklearn' in sys.modules, 'matplotlib' in sys.modules)"
        )
        done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, timeout=25, check=True)
    finally:
        over.set()
        other.join()
    assert "Next:" in done.stdout
    assert done.stdout.splitlines()[-1] == "False False False"


def test_status_changes_nothing(campaign, capfd):
    store, _, _ = campaign

    def content():
        from alkit.record import Store

        record = Store(store)
        return record.asked(), record.answers(), record.rounds(), record.snapshot().consumed

    before = content()
    told(capfd, store)
    assert content() == before


def test_an_empty_batch_is_an_error(campaign, capfd):
    with pytest.raises(SystemExit) as end:
        main(["status", str(campaign[0]), "-n", "0"])
    assert end.value.code
    assert capfd.readouterr().err.splitlines() == ["alkit: --batch must be an integer >= 1: got 0"]


def test_the_next_step_names_images_that_are_gone(tmp_path, capfd):
    folder, store = tmp_path / "images", tmp_path / "c.db"
    folder.mkdir()
    for name in "abcd":
        Image.fromarray(np.full((8, 8), ord(name), np.uint8)).save(folder / f"{name}.png")
    pool = alkit.ImagePool(folder, 8, cache=tmp_path / "cache")
    experiment = alkit.Experiment(
        pool, alkit.testing.Brightness(), alkit.strategy("random"), store, classes=("skin", "lesion"), hold_out=0.0
    )
    experiment.tell(dict.fromkeys(experiment.ask(2), np.zeros((8, 8), np.uint8)))
    assert "alkit fit" in told(capfd, store)
    assert "--images" not in told(capfd, store)
    folder.rename(tmp_path / "moved")
    said = " ".join(told(capfd, store).split())
    assert "the folder of images" in said
    assert "does not exist any more" in said
    assert said.endswith(f"alkit fit {store} --images FOLDER")
    folder.write_text("a file in its place")
    assert told(capfd, store).strip().endswith("--images FOLDER")


def test_an_image_whose_late_answer_was_sent_back_can_still_be_queried(world, tmp_path, capfd):
    store = tmp_path / "c.db"
    experiment = world.experiment(store, classes=("skin", "lesion"))
    late, other = experiment.ask(2)
    experiment.tell({other: world.masks[other]})
    experiment.withdraw()
    experiment.tell({late: world.masks[late]})
    experiment.fit()
    experiment.reject(late, "it is blurred")
    assert late in experiment.candidates
    assert json.loads(told(capfd, store, "--json"))["left"] == len(experiment.candidates) == 39


def test_a_label_that_cannot_be_read_is_named_and_all_else_is_shown(campaign, capfd):
    store, _, ids = campaign
    file = next(answer.label for answer in alkit.record.Store(store).answers() if answer.id == ids[0])
    (store.with_name("c.db.files") / file).unlink()
    said = " ".join(told(capfd, store).split())
    assert "Labels are not compared: " in said
    assert "is missing" in said
    assert "12 labels, 1 skipped, 4 open" in said
    assert file in json.loads(told(capfd, store, "--json"))["not_compared"]
