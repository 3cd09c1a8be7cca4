import subprocess
import sys
from pathlib import Path

import pytest

import alkit
from benchmarks.isic2017 import command, protocol

ROOT = Path(__file__).parents[2]


def asked_for(*arguments):
    return set(command.runs_of(command.parse([str(argument) for argument in arguments])))


def test_tables_and_figures_have_the_arms_of_the_paper():
    one, two = asked_for("--table", 1, "--seeds", 0), asked_for("--table", 2, "--seeds", 0)
    assert {(run.method, run.weights) for run in one} == {
        (m, w) for m in ("random", "ssl-cluster") for w in protocol.WEIGHTS
    }
    assert {(run.method, run.variant) for run in two} == {
        ("random", ""),
        *(("ssl-cluster", v) for v in ("", "k5-1x1", "k5-2x2", "k10-1x1")),
    }
    assert len(asked_for("--figure", 2, "--seeds", 0, 1)) == 7 * 2 * 2
    assert one | two | asked_for("--figure", 2, "--seeds", 0) < asked_for("--all", "--seeds", 0)
    assert {run.method for run in asked_for("--methods", "random", "power-bald")} == {"random", "power-bald"}


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--report", "--map"], "--map needs the images: add --data DIR"),
        (["--dry-run", "--jobs", "0"], "argument --jobs: must be an integer >= 1: got 0"),
        (["--seeds", "0", "-1"], "argument --seeds: must be an integer >= 0: got -1"),
        (["--methods", "ceal", "--table", "1"], "no run matches --methods and --weights"),
    ],
)
def test_wrong_options_are_refused_before_any_work(arguments, said, capsys):
    with pytest.raises(SystemExit):
        command.main(arguments)
    assert said in capsys.readouterr().err


def test_a_dry_run_downloads_nothing(monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(command, "fetch", lambda *_, **__: pytest.fail("it downloads"))
    with pytest.raises(alkit.errors.ConfigurationError, match="--dry-run downloads nothing"):
        command.main(["--dry-run"])


@pytest.mark.parametrize(
    ("arguments", "said"), [(["--report"], "has no rows of results"), (["--data", "nowhere", "--dry-run"], "nowhere")]
)
def test_errors_end_with_a_message_and_without_a_traceback(arguments, said, tmp_path):
    command = [sys.executable, ROOT / "benchmarks" / "isic2017.py", "--out", tmp_path, *arguments]
    done = subprocess.run(list(map(str, command)), cwd=tmp_path, capture_output=True, text=True, check=False)
    assert done.returncode == 1
    assert said in done.stderr
    assert "Traceback" not in done.stderr
