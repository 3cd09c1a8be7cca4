"""A rehearsal of the measurements of a GPU on the CPU, in tiny sizes, and the bundle that they travel with."""

import argparse
import json
import os
import subprocess
import sys
import time
from functools import partial
from pathlib import Path
from types import SimpleNamespace

import pytest

from benchmarks import rows
from benchmarks.gpu import bundle, command, speed, tests
from benchmarks.gpu.protocol import add_summary, run_protocol
from benchmarks.gpu.usage import Usage


def test_each_measurement_of_speed_writes_its_row_and_is_not_repeated(tmp_path, monkeypatch):
    monkeypatch.setenv("ALKIT_COMMIT", "abc")
    file = tmp_path / "speed.csv"
    speed.measure(file, "cpu", speed.TINY, lambda: 60.0)
    measured = rows.read(file)
    assert {row["commit"] for row in measured} == {"abc"}
    assert {row["work"] for row in measured} >= {"training 32-true", "bare loop 32-true", "features"}
    assert all(float(row["seconds"]) > 0 for row in measured)
    monkeypatch.setattr(speed, "seconds_of", lambda *_: pytest.fail("it measures again"))
    speed.measure(file, "cpu", speed.TINY, lambda: 60.0)
    assert rows.read(file) == measured


def test_what_was_never_measured_on_the_machine_comes_first(tmp_path, monkeypatch):
    for commit, names in (("abc", ["old"]), ("def", ["old", "new"])):
        monkeypatch.setenv("ALKIT_COMMIT", commit)
        monkeypatch.setattr(speed, "works", lambda *_, names=names: iter([(name, 1, int) for name in names]))
        speed.measure(tmp_path / "speed.csv", "cpu", speed.TINY, lambda: 60.0)
    found = [(row["work"], row["commit"]) for row in rows.read(tmp_path / "speed.csv")]
    assert found == [("old", "abc"), ("new", "def"), ("old", "def")]


def test_without_time_nothing_is_measured(tmp_path):
    speed.measure(tmp_path / "speed.csv", "cpu", speed.TINY, lambda: 0.0)
    assert not list(tmp_path.iterdir())


def test_the_bare_loop_takes_the_steps_of_the_learner():
    works = {name: work for name, _, work in speed.works("cpu", speed.TINY)}
    model, loss = works["training 32-true"](), works["bare loop 32-true"]()
    assert model.in_channels == 1
    assert 0 < loss < 10


def test_the_tests_of_a_device_leave_one_row_each(tmp_path, monkeypatch):
    _, environment = tests.command("cpu", tmp_path / "tests.csv")
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    about = {"nodeid": "tests/gpu/test_scores.py::test_it", "duration": 1.0, "user_properties": [("bit for bit", True)]}
    report = partial(SimpleNamespace, **about)
    failure = "def test_it():\n>   assert 1 > 2\nE   assert 1 > 2\n\ntest_scores.py:3: AssertionError"
    for when, outcome, text in (
        ("setup", "passed", None),
        ("call", "failed", failure),
        ("teardown", "passed", None),
    ):
        tests.pytest_runtest_logreport(report(when=when, outcome=outcome, longrepr=text, skipped=False))
    (row,) = rows.read(tmp_path / "tests.csv")
    assert row["test"] == "test_scores.py::test_it"
    assert row["outcome"] == "failed"
    assert row["detail"].startswith("bit for bit: True. assert 1 > 2")
    tests.pytest_runtest_logreport(report(when="call", outcome="passed", longrepr=None, skipped=False))
    assert [row["outcome"] for row in rows.read(tmp_path / "tests.csv")] == ["passed"]


def test_the_protocol_runs_from_an_archive_and_continues(data, tmp_path, monkeypatch):
    monkeypatch.setenv("ALKIT_CACHE", str(tmp_path / "cache"))
    bundle.pack_images(data, tmp_path / "data.tar")
    options = argparse.Namespace(
        data=tmp_path / "data.tar", work=tmp_path / "work", out=tmp_path / "out", profile="smoke", methods=["random"],
        seeds=[0], processes=1, device="cpu",
    )  # fmt: skip
    run_protocol(options)
    file = tmp_path / "out" / "isic2017-smoke" / "rows.csv"
    assert [row["round"] for row in rows.read(file)] == ["0", "1", "2"]
    before = file.read_bytes()
    run_protocol(options)
    assert file.read_bytes() == before
    file.unlink()  # as if the run had been stopped before its last round
    add_summary(options, 1.0, Usage())
    known = rows.read(file.with_name("rounds.csv"))
    assert [(row["method"], row["seed"], row["round"], row["labels"]) for row in known] == [
        ("random", "0", "0", "12"), ("random", "0", "1", "18"), ("random", "0", "2", "24"),
    ]  # fmt: skip
    assert all(0 <= float(row["dice"]) <= 1 for row in known)
    (summary,) = rows.read(tmp_path / "out" / "protocol.csv")
    assert (summary["runs"], summary["rounds"]) == ("0", "3")


def test_a_part_without_end_is_stopped_and_the_machine_is_described(tmp_path, monkeypatch, capsys):
    endless = tmp_path / "endless"
    endless.write_text("#!/bin/sh\nexec sleep 60\n")
    endless.chmod(0o700)
    monkeypatch.setattr(sys, "executable", str(endless))
    monkeypatch.setattr(command.signal, "signal", lambda *_: None)
    begun = time.monotonic()
    limits = ["--limit", "60", "--speed-limit", "1"]  # to describe a busy machine takes seconds
    command.main(["--parts", "speed", "--device", "cpu", *limits, "--out", str(tmp_path), "--work", str(tmp_path)])
    assert time.monotonic() - begun < 50
    assert "speed: stopped, its time is up" in capsys.readouterr().out
    assert json.loads((tmp_path / "machine.json").read_text())["cores"] > 0


def test_a_call_that_is_stopped_stops_its_part(tmp_path):
    started = tmp_path / "started"
    endless = tmp_path / "endless"
    endless.write_text(f"#!/bin/sh\necho $$ > {started}.part && mv {started}.part {started}\nexec sleep 60\n")
    endless.chmod(0o700)
    code = (
        "import sys; from benchmarks.gpu import command; sys.executable = sys.argv[1];"
        "command.describe = lambda _: None; command.main(sys.argv[2:])"
    )
    call = subprocess.Popen(
        [sys.executable, "-c", code, str(endless), "--parts", "speed", "--device", "cpu", "--out", str(tmp_path)],
        cwd=Path(__file__).parents[2],
    )
    while not started.exists():
        assert call.poll() is None
        time.sleep(0.1)
    call.terminate()
    assert call.wait(30) == 143
    with pytest.raises(ProcessLookupError):
        os.kill(int(started.read_text()), 0)


def test_the_protocol_needs_images(capsys):
    with pytest.raises(SystemExit):
        command.main(["--parts", "protocol"])
    assert "the protocol needs the images: --data DIR" in capsys.readouterr().err


def test_the_bundle_has_what_the_machine_lacks():
    lacking = bundle.missing(bundle.read_present(), "3.12")
    assert {"sqlalchemy", "pydantic-core", "faiss-cpu", "httpx2", "httpcore2"} <= lacking.keys()
    assert not {"torch", "numpy", "typer", "rich"} & lacking.keys()
    everything = bundle.missing(bundle.read_present() | {"alkit", *lacking}, "3.12")
    assert everything == {}


def test_usage_without_a_gpu_reports_nothing(monkeypatch):
    monkeypatch.setattr("shutil.which", lambda _: None)
    with Usage() as usage:
        pass
    assert usage.utilisation is None
