import subprocess
import sys
from pathlib import Path

import pytest

import alkit
from benchmarks.isic2017 import command, protocol

ROOT = Path(__file__).parents[2]


def runs_for(*arguments):
    return set(command.runs_of(command.parse([str(argument) for argument in arguments])))


def test_tables_and_figures_have_the_arms_of_the_paper():
    one, two = runs_for("--table", 1, "--seeds", 0), runs_for("--table", 2, "--seeds", 0)
    assert {(run.method, run.weights) for run in one} == {
        (m, w) for m in ("random", "ssl-cluster") for w in protocol.WEIGHTS
    }
    assert {(run.method, run.variant) for run in two} == {
        ("random", ""),
        *(("ssl-cluster", v) for v in ("", "k5-1x1", "k5-2x2", "k10-1x1")),
    }
    assert len(runs_for("--figure", 2, "--seeds", 0, 1)) == 7 * 2 * 2
    assert one | two | runs_for("--figure", 2, "--seeds", 0) < runs_for("--all", "--seeds", 0)
    assert {run.method for run in runs_for("--methods", "random", "power-bald")} == {"random", "power-bald"}


@pytest.mark.parametrize(
    ("arguments", "text"),
    [
        (["--report", "--map"], "--map needs the images: add --data DIR"),
        (["--dry-run", "--jobs", "0"], "argument --jobs: must be an integer >= 1: got 0"),
        (["--seeds", "0", "-1"], "argument --seeds: must be an integer >= 0: got -1"),
        (["--methods", "ceal", "--table", "1"], "no run matches --methods and --weights"),
    ],
)
def test_wrong_options_are_refused_before_any_work(arguments, text, capsys):
    with pytest.raises(SystemExit):
        command.main(arguments)
    assert text in capsys.readouterr().err


def test_a_dry_run_downloads_nothing(monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(command, "fetch", lambda *_, **__: pytest.fail("it downloads"))
    with pytest.raises(alkit.errors.ConfigurationError, match="--dry-run downloads nothing"):
        command.main(["--dry-run"])


def test_a_dry_run_uses_images_that_were_downloaded_before(data, monkeypatch, tmp_path, capsys):
    monkeypatch.chdir(tmp_path)
    done = command.DOWNLOADS / str(protocol.PROFILES["smoke"].size)
    done.mkdir(parents=True)
    for folder in ("images", "masks"):
        (data / folder).rename(done / folder)
    command.main(["--dry-run", "--profile", "smoke", "--seeds", "0", "--out", "out"])
    assert "14 runs, 14 left" in capsys.readouterr().out


def test_the_first_path_starts_the_package_with_all_options(tmp_path, capsys):
    starter = [sys.executable, ROOT / "benchmarks" / "isic2017.py", "--help"]
    shown = subprocess.run(starter, cwd=tmp_path, capture_output=True, text=True, check=True).stdout
    with pytest.raises(SystemExit):
        command.main(["--help"])
    assert shown == capsys.readouterr().out
    assert "--sensitivity" in shown


@pytest.mark.parametrize(
    ("arguments", "text"), [(["--report"], "has no rows of results"), (["--data", "nowhere", "--dry-run"], "nowhere")]
)
def test_errors_end_with_a_message_and_without_a_traceback(arguments, text, tmp_path):
    command = [sys.executable, ROOT / "benchmarks" / "isic2017.py", "--out", tmp_path, *arguments]
    done = subprocess.run(list(map(str, command)), cwd=tmp_path, capture_output=True, text=True, check=False)
    assert done.returncode == 1
    assert text in done.stderr
    assert "Traceback" not in done.stderr
