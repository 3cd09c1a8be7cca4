import json
import subprocess
import sys
import time

import numpy as np
import pytest
from commandline import alkit
from PIL import Image

FAST = "--size 16 --widths 2,4 --epochs 1,1 --pretext-epochs 1 --start 4 --batch 2 --rounds 2 --grayscale".split()


@pytest.fixture
def run(folders):
    def run(*more, store="r.db"):
        places = "--images", folders / "images", "--masks", folders / "masks", "--store", folders / store
        return alkit("run", *places, *FAST, *more)

    return run


@pytest.mark.parametrize("strategy", ["random", "ssl-cluster"])
def test_a_run_can_be_looked_at_and_repeated(run, folders, capfd, strategy):
    more = ["--param", "clusters=3"] if strategy == "ssl-cluster" else []
    assert run("--strategy", strategy, "--json", *more) == 0
    first = json.loads(capfd.readouterr().out)
    assert [entry["labels"] for entry in first["rounds"]] == [4, 6, 8]
    assert all(0 <= entry["metrics"]["dice"] <= 1 for entry in first["rounds"])
    assert len({id for entry in first["rounds"] for id in entry["ids"]}) == 8
    if strategy == "ssl-cluster":
        assert "cluster" in first["rounds"][0]["stands_for"][first["rounds"][0]["ids"][0]]
    assert alkit("status", folders / "r.db", "--json") == 0
    assert json.loads(capfd.readouterr().out) == first
    assert run("--strategy", strategy, "--json", *more) == 0
    said = capfd.readouterr()
    assert json.loads(said.out) == first
    assert "is finished" in said.err


ALIKE = [pytest.param(name, marks=pytest.mark.slow) for name in ("ensemble-js", "dsal")]  # as ensemble-s and ceal


@pytest.mark.parametrize("strategy", ["mc-dropout", "ensemble-s", "ceal", *ALIKE])
def test_every_strategy_that_needs_a_model_runs_by_its_name(run, folders, capfd, strategy):
    trust = ["--param", "pseudo_from=2", "--param", "pseudo_step=3"] if strategy in ("ceal", "dsal") else []
    members = ["--members", "2"] if strategy.startswith("ensemble") else []
    plain = "--recipe", "paper", "--widths", "2,4,4,4"
    assert run("--strategy", strategy, *plain, "--json", *members, *trust) == 0
    rounds = json.loads(capfd.readouterr().out)["rounds"]
    assert [entry["labels"] for entry in rounds] == [4, 6, 8]
    assert [entry["pseudo_labels"] for entry in rounds][:2] == [0, 0]
    assert (rounds[2]["pseudo_labels"] > 0) == bool(trust)
    assert alkit("status", folders / "r.db") == 0
    assert ("pseudo-labels" in capfd.readouterr().out) == bool(trust)
    assert run("--strategy", "random", *plain, "--json", store="other.db") == 0
    assert json.loads(capfd.readouterr().out)["rounds"][0]["ids"] == rounds[0]["ids"]  # the start set is shared


def test_more_rounds_continue_a_run(run, capfd):
    assert run("--strategy", "random", "--json", "--rounds", "1") == 0
    first = json.loads(capfd.readouterr().out)
    assert run("--strategy", "random", "--json") == 0
    said = capfd.readouterr()
    assert json.loads(said.out)["rounds"][:2] == first["rounds"]
    assert "Resumed" in said.err


def test_metrics_are_named_by_an_option_and_kept_for_later_commands(run, capfd):
    assert run("--rounds", "0", "--metrics", "hd95, dice") == 0
    assert "hd95" in capfd.readouterr().out
    assert run("--rounds", "1", "--json") == 0
    first, second = json.loads(capfd.readouterr().out)["rounds"]
    assert list(first["metrics"]) == list(second["metrics"]) == ["hd95", "dice"]


def test_initial_names_the_strategy_of_the_start_set(run, capfd):
    assert run("--strategy", "ssl-cluster", "--initial", "random", "--json", "--rounds", "0") == 0
    mixed = json.loads(capfd.readouterr().out)
    assert run("--strategy", "random", "--json", "--rounds", "0", store="other.db") == 0
    assert mixed["rounds"][0]["ids"] == json.loads(capfd.readouterr().out)["rounds"][0]["ids"]


@pytest.mark.parametrize(
    ("more", "words"),
    [
        (["--strategy", "randm"], "'random'"),
        (["--batch", "0"], "--batch must be an integer >= 1: got 0"),
        (["--batch", "-3"], "--batch must be an integer >= 1: got -3"),
        (["--start", "400"], "labels, but the pool has"),
        (["--epochs", "many"], "--epochs must be two integers >= 1 with a comma between them"),
        (["--strategy", "ssl-cluster", "--param", "clusters"], "key=value"),
        (["--strategy", "ssl-cluster", "--param", "cluster=3"], "'clusters'"),
        (
            ["--strategy", "ssl-cluster", "--param", "clusters={[1]: 2}"],
            "--param clusters of strategy 'ssl-cluster' must be of type int: got",
        ),
        (["--classes", "one"], "classes"),
        (["--mask-pattern", "{id}_segmentation.png"], "--mask-pattern '{id}.png' (it is '{id}_segmentation.png')"),
        (["--pattern", "{id}_x.png"], "--pattern is for the names of images: got '{id}_x.png'. Try: --mask-pattern"),
        (["--threshold", "128", "--values", "0,255"], "--threshold must not be used with values"),
        (["--threshold", "128", "--ignore", "255"], "--threshold must not be used with an ignore value"),
        (["--values", "0,1,2"], "--values must be one for each class"),
        (["--values", "0=background,255=objekt"], "--values must name classes: got 'objekt'"),
        (["--values", "0;255"], "--values 0,255, or --values 0=background,255=object"),
        (["--test-fraction", "1.5"], "--test-fraction must be a number of images from 1 to 23"),
        (["--size", "17"], "divisible by 2: got 17 x 17 pixels. Try: --size 16 for the pool, or fewer --widths."),
        (["--device", "abacus"], "abacus"),
        (["--strategy", "dsal"], "1/2"),
        (["--strategy", "mc-dropout", "--param", "score=entrpy"], "'entropy'"),
        (["--strategy", "random", "--initial", "ceal"], "Try: --initial random or --initial maxherding."),
        (["--strategy", "mc-dropout", "--param", "draws=3", "--param", "draws=4"], "gives draws twice"),
        (["--strategy", "ensemble-s", "--members", "1"], "members must be an integer >= 2: got 1"),
    ],
)
def test_an_error_is_one_line_and_the_exit_code_is_not_0(run, capfd, more, words):
    assert run(*more) == 1
    (line,) = capfd.readouterr().err.splitlines()
    assert line.startswith("alkit: ")
    assert words in line


def test_missing_masks_are_all_found_before_any_work_and_leave_no_record(run, folders, capfd):
    for name in ("003", "011"):
        (folders / "masks" / f"{name}.png").unlink()
    assert run("--strategy", "random") == 1
    said = capfd.readouterr().err
    assert "2 images have no mask: got 003, 011" in said
    assert not (folders / "r.db").exists()


def test_masks_of_several_files_and_gray_levels_give_the_same_run_as_class_ids(run, folders, capfd):
    assert run("--rounds", "0", "--json") == 0
    (plain,) = json.loads(capfd.readouterr().out)["rounds"]
    for path in list((folders / "masks").iterdir()):
        mask = np.asarray(Image.open(path)) > 0
        left = np.arange(mask.shape[1]) < mask.shape[1] // 2
        for number, part in enumerate((mask & left, mask & ~left)):
            Image.fromarray(np.where(part, 200, 30).astype(np.uint8)).save(path.with_name(f"{path.stem}_{number}.png"))
        path.unlink()
    options = "--mask-pattern", "{id}_*.png", "--threshold", "128"
    assert run("--rounds", "0", "--json", *options, store="parts.db") == 0
    (parts,) = json.loads(capfd.readouterr().out)["rounds"]
    assert all(parts[name] == plain[name] for name in ("ids", "metrics"))
    assert run("--rounds", "0", *options[:3], "100", store="parts.db") == 1
    said = "parts.db was created with other settings: --threshold: recorded 128.0, now 100.0"
    assert said in capfd.readouterr().err
    assert run("--rounds", "0", *options, store="parts.db") == 0
    assert run("--rounds", "0", "--mask-pattern", "{id}.png", store="other.db") == 1
    assert "Try: --mask-pattern '{id}_1.png' (it is '{id}.png')" in capfd.readouterr().err


def test_no_image_is_read_before_the_names_of_the_masks_match(run, folders, capfd):
    (folders / "masks" / "003.png").unlink()
    for path in (folders / "images").iterdir():
        path.write_bytes(b"not read")
    assert run("--strategy", "random") == 1
    assert "image '003' has no mask" in capfd.readouterr().err


def test_a_bad_mask_is_found_before_any_work_and_leaves_no_record(run, folders, capfd):
    Image.fromarray(np.full((9, 9), 1, np.uint8)).save(folders / "masks" / "011.png")
    assert run("--strategy", "random") == 1
    assert "011.png has another size than its image: got 9 x 9" in capfd.readouterr().err
    assert not (folders / "r.db").exists()


def test_ctrl_c_says_that_the_same_command_continues(run, capfd, monkeypatch):
    from alkit import SegmentationLearner

    def interrupted(*_):
        raise KeyboardInterrupt

    monkeypatch.setattr(SegmentationLearner, "fit", interrupted)
    assert run("--strategy", "random") == 130
    assert "the same command continues" in capfd.readouterr().err


def test_other_settings_for_the_same_record_are_an_error_with_the_difference(run, capfd):
    assert run("--strategy", "random", "--rounds", "0") == 0
    capfd.readouterr()
    assert run("--strategy", "random", "--rounds", "0", "--seed", "1", "--lr", "0.5") == 1
    said = capfd.readouterr().err
    assert "--lr: recorded 0.001, now 0.5" in said
    assert run("--strategy", "ssl-cluster", "--rounds", "0", "--size", "8") == 1
    (line,) = capfd.readouterr().err.splitlines()
    assert "--strategy: recorded Random, now SSLCluster" in line
    assert "--size: recorded 16, now 8" in line


def test_debug_shows_the_traceback(run):
    from alkit.errors import UnknownNameError

    with pytest.raises(UnknownNameError):
        run("--strategy", "randm", "--debug")


@pytest.mark.parametrize(
    ("store", "words"), [("missing.db", "does not exist"), ("images", "must be a file: got a folder")]
)
def test_status_of_no_record_is_an_error(folders, capfd, store, words):
    assert alkit("status", folders / store) == 1
    assert words in capfd.readouterr().err


def test_strategies_are_listed_as_a_table_and_as_json(capfd):
    assert alkit("strategies") == 0
    assert "ssl-cluster" in capfd.readouterr().out
    assert alkit("strategies", "--json") == 0
    rows = json.loads(capfd.readouterr().out)
    assert {"random", "ssl-cluster"} <= {row["name"] for row in rows}
    assert {row["distribution"] for row in rows} == {"alkit"}


@pytest.mark.parametrize("command", [[], ["demo"], ["run"], ["status"], ["strategies"]])
def test_help_shows_an_example_and_succeeds(capfd, command):
    assert alkit(*command, "--help") == 0
    said = capfd.readouterr().out
    assert not command or f"alkit {command[0]}" in said.split("Example")[1]


def test_an_unknown_command_fails(capfd):
    assert alkit("frobnicate") != 0


def test_the_module_can_be_run_and_help_is_quick():
    def seconds():
        begun = time.perf_counter()
        done = subprocess.run([sys.executable, "-m", "alkit", "--help"], capture_output=True, text=True, check=True)
        assert "strategies" in done.stdout
        return time.perf_counter() - begun

    seconds()
    # Half a second on an idle machine; the margin is for a busy one. What it may import is tested elsewhere, exactly.
    assert min(seconds() for _ in range(3)) < 2


def test_a_strategy_can_be_a_file(run, folders, capfd):
    (folders / "s.toml").write_text(
        'name = "then"\nafter = 6\ncold = { name = "random" }\n[warm]\nname = "mc-dropout"\n'
    )
    assert run("--strategy", folders / "s.toml", "--json") == 0
    assert [entry["labels"] for entry in json.loads(capfd.readouterr().out)["rounds"]] == [4, 6, 8]
    assert run("--strategy", folders / "s.toml", "--param", "after=3") == 1
    assert "a strategy file holds the parameters" in capfd.readouterr().err


def test_several_seeds_have_a_record_each(run, folders, capfd):
    assert run("--strategy", "random", "--rounds", "0", "--seeds", "3,5-6", store="r-{seed}.db") == 0
    said = capfd.readouterr().out
    assert said.count("finished") == 3
    assert "alkit compare" in said
    assert sorted(path.name for path in folders.glob("r-*.db")) == ["r-3.db", "r-5.db", "r-6.db"]
    assert run("--strategy", "random", "--rounds", "0", "--seed", "5", store="r-5.db") == 0
    assert "is finished after 1 rounds" in capfd.readouterr().err
    assert run("--seeds", "0", store="r.db") == 1
    assert "--store must contain {seed}" in capfd.readouterr().err
    assert run("--seeds", "0..3", store="{seed}.db") == 1
    assert run("--workers", "0") == 1
    assert "--workers must be an integer >= 1, or -1" in capfd.readouterr().err
