"""Groups and rules on the command line: given, kept, shown and changed."""

from __future__ import annotations

import json
from contextlib import closing
from pathlib import Path

import pytest
from commandline import alkit
from PIL import Image

from alkit.record import Store

FAST = "--size 16 --widths 2,4 --epochs 1,1 --grayscale --strategy random".split()


@pytest.fixture
def place(folders, monkeypatch):
    """Enter a folder with images of patients with two images each, at two sites; return their ids."""
    monkeypatch.chdir(folders)
    ids = sorted(path.stem for path in (folders / "images").iterdir())
    rows = [f"{id};p{row // 2};{'AB'[row % 4 // 2]};{'common' if row % 4 else 'rare'}" for row, id in enumerate(ids)]
    (folders / "groups.csv").write_text("\n".join(["id;patient;site;kind", *rows]))
    return ids


def run(*more, groups=("--groups", "groups.csv"), store="r.db"):
    schedule = "--start", "4", "--batch", "2", "--rounds", "1"
    return alkit("run", "--images", "images", "--masks", "masks", "--store", store, *FAST, *schedule, *groups, *more)


def start(*more):
    options = [*FAST, "--classes", "skin,lesion", "--hold-out", "0.4"]
    return alkit("start", "c.db", "--images", "images", *options, *more)


def read(capfd, *arguments):
    assert alkit(*arguments) == 0
    return json.loads(capfd.readouterr().out)


def patient(ids, id):
    return ids.index(id) // 2


def site(ids, id):
    return "AB"[ids.index(id) % 4 // 2]


def test_a_run_keeps_patients_out_of_the_test_set_and_resumes_without_the_file(place, capfd):
    assert run("--max-per-group", "1", "--kinds", "kind", "--json") == 0
    first = json.loads(capfd.readouterr().out)
    assert {"dice", "dice_over_groups", "dice_worst_group", "dice@common"} <= set(first["rounds"][0]["metrics"])
    for entry in first["rounds"]:
        assert len({patient(place, id) for id in entry["ids"]}) == len(entry["ids"])
    pool = set(Store("r.db").fact("images"))
    assert not {patient(place, id) for id in pool} & {patient(place, id) for id in place if id not in pool}
    assert run("--json", "--kinds", "kind", groups=()) == 0
    said = capfd.readouterr()
    assert json.loads(said.out) == first
    assert "is finished" in said.err


@pytest.mark.parametrize(
    ("text", "more", "words"),
    [
        ("image,group\na,b", (), "groups.csv must begin with a line of column names: id, then the group"),
        ("id,group\na,", (), "line 2 of groups.csv has no group"),
        ("id,group\na,x\na,y", (), "line 3 of groups.csv contradicts line 2 about 'a'"),
        (None, ("--groups", "none.csv"), "--groups must be a CSV file that can be read: got none.csv"),
        (None, ("--groups", "{group}-*"), "does not fit"),
        (None, ("--kinds", "age"), "--kinds must be a column of the CSV file of --groups: got 'age', expected one of"),
        (None, ("--never", "site=C"), "--never must name images of the pool: got 'site=C', which matches none of"),
        (None, ("--max-per-group", "-1"), "--max-per-group"),
    ],
    ids=range(8),
)
def test_wrong_groups_and_rules_are_errors_in_the_words_of_the_command_line(place, capfd, text, more, words):
    if text is not None:
        Path("groups.csv").write_text(text)
    assert run(*more) != 0
    assert words in " ".join(capfd.readouterr().err.split())


def test_kinds_need_groups(place, capfd):
    assert run("--kinds", "kind", groups=()) == 1
    assert "Try: --groups FILE with the columns id, the group and the kind." in capfd.readouterr().err


def test_a_campaign_shows_its_groups_and_rules_and_changes_them_at_any_time(place, capfd):
    assert start("--groups", "groups.csv", "--never", "site=B", "--max-per-group", "1") == 0
    said = capfd.readouterr().out
    assert f"{len(place)} images of {len(place) // 2} groups; known of each: kind, patient, site." in said
    assert "Rules of selection: never site=B; at most 1 of a group in a round." in said
    site_a = [id for id in place if site(place, id) == "A"]
    assert f"{len(site_a)} can be selected" in said
    facts = read(capfd, "status", "c.db", "--json")
    assert facts["rules"] == {"only": [], "never": ["site=B"], "first": [], "max_per_group": 1, "max_per_parent": None}
    assert facts["left"] == len(site_a)
    assert alkit("ask", "c.db", "-n", "3", "--out", "exchange") == 0
    capfd.readouterr()
    asked = [query["id"] for query in read(capfd, "status", "c.db", "--json")["open_queries"]]
    assert {site(place, id) for id in asked} == {"A"}
    assert len({patient(place, id) for id in asked}) == 3
    # Another day: the other site, one image first, no limit. The table is not needed any more.
    Path("groups.csv").unlink()
    first = next(id for id in reversed(place) if site(place, id) == "B")
    changes = "--never", "", "--only", "site=B", "--first", first, "--max-per-group", "0"
    assert alkit("change", "c.db", *changes) == 0
    said = capfd.readouterr().out
    assert "changed: --only: recorded none, now site=B" in said
    assert "changed: --never: recorded site=B, now none" in said
    assert "changed: --max-per-group: recorded 1, now none" in said
    assert alkit("withdraw", "c.db") == 0
    assert alkit("ask", "c.db", "-n", "2") == 0
    capfd.readouterr()
    facts = read(capfd, "status", "c.db", "--json")
    asked = [query["id"] for query in facts["open_queries"]]
    assert asked[0] == first
    assert site(place, asked[1]) == "B"
    assert len(facts["changes"]) == 1
    assert alkit("status", "c.db") == 0
    said = " ".join(capfd.readouterr().out.split())
    assert f"Rules of selection: only site=B; first {first}." in said
    assert "Settings changed on 20" in said
    assert alkit("change", "c.db", "--only", "site=B") == 0
    assert "Nothing is different." in capfd.readouterr().out


def test_a_demand_that_the_rules_do_not_leave_names_the_command_to_change_them(place, capfd):
    assert start("--groups", "groups.csv", "--only", f"{place[0]},{place[1]},{place[2]}", "--max-per-group", "1") == 0
    assert alkit("ask", "c.db", "-n", "5", "--out", "exchange") == 1
    said = " ".join(capfd.readouterr().err.split())
    assert "must be at most 2, because the rules leave no more in this round" in said
    assert "alkit change STORE with other --only, --never or --max-per-group" in said


def test_groups_can_be_added_later(place, capfd):
    assert start() == 0
    assert alkit("change", "c.db", "--groups", "groups.csv", "--never", "site=B") == 0
    said = capfd.readouterr().out
    assert f"changed: --groups: other ones of {len(place)} images, such as '{place[0]}'" in said
    assert "changed: --never: recorded none, now site=B" in said
    assert read(capfd, "status", "c.db", "--json")["left"] == sum(site(place, id) == "A" for id in place)


def test_a_test_set_in_folders_of_its_own_has_groups_too(place, capfd):
    for kind in ("images", "masks"):
        Path(f"test-{kind}").mkdir()
        for id in place[-5:]:  # the first of them is of the patient of another image
            Path(kind, f"{id}.png").rename(f"test-{kind}/{id}.png")
    options = (
        "--groups",
        "groups.csv",
        "--test-images",
        "test-images",
        "--test-masks",
        "test-masks",
        "--threshold",
        "128",
    )
    assert start(*options) == 1
    assert "shares 1 group with the pool: got 'p9', with " in " ".join(capfd.readouterr().err.split())
    Path("images", f"{place[-6]}.png").unlink()
    assert start(*options) == 0
    assert set(Store("c.db").fact("test_set")["groups"]) == set(place[-5:])


def test_metrics_over_kinds_follow_groups_that_are_corrected_or_added(place, capfd):
    def kinds():
        with closing(Store("c.db")) as record:
            (over,) = [metric for metric in record.fact("metrics") if isinstance(metric, dict)]
            return dict(over["with"]["groups"]["items"])

    assert start("--groups", "groups.csv", "--kinds", "kind") == 0
    assert kinds()[place[0]] == "rare"
    Path("groups.csv").write_text(Path("groups.csv").read_text().replace(";rare", ";seldom"))
    capfd.readouterr()
    assert alkit("change", "c.db", "--groups", "groups.csv") == 0
    said = capfd.readouterr().out
    assert f"changed: --kinds: kind of {len(place[::4])} images, such as {place[0]!r}" in " ".join(said.split())
    assert (kinds()[place[0]], kinds()[place[1]]) == ("seldom", "common")
    Path("week").mkdir()
    Image.open(f"images/{place[0]}.png").rotate(90).save("week/new.png")
    Path("week.csv").write_text("id;patient;site;kind\nweek/new;p99;A;common")
    assert alkit("add", "c.db", "--images", "week", "--groups", "week.csv") == 0
    assert (kinds()["week/new"], len(kinds())) == ("common", len(place) + 1)
