import importlib
import logging
import os
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field

import joblib
import numpy as np
import pytest
import torch

from alkit.configuration import start
from alkit.configuration.code import files_of
from alkit.errors import ConfigurationError, ImageError, SelectionError, StoreError
from alkit.sharing import loaded_code
from alkit.sharing.kept import kept_results, read_result, result_file, write_result
from alkit.sharing.share import share
from alkit.sharing.workers import check_workers, crew, working
from tests.support.shared import Number, Squares

NUMBERS = [Number(value) for value in range(6)]


@pytest.fixture(autouse=True)
def cache(tmp_path, monkeypatch):
    monkeypatch.setenv("ALKIT_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(loaded_code, "_seen", {})  # other tests may have written and imported modules
    monkeypatch.setattr(start, "STARTED", time.time() + 3600)
    return tmp_path / "cache"


@pytest.fixture
def folder(tmp_path):
    tmp_path.joinpath("calls").mkdir()
    return tmp_path / "calls"


def squares(work, ticks=None, **how):
    found = list(share(work, NUMBERS, (lambda done: None) if ticks is None else ticks.append, **how))
    assert [result["square"].tolist() for result in found] == [[value**2] for value in range(6)]
    return {int(result["process"][0]) for result in found}


@pytest.mark.parametrize("key", [None, "a question"])
def test_one_process_computes_each_shard_once_and_in_order(folder, cache, key):
    ticks = []
    assert squares(work := Squares(folder), ticks, key=key) == {os.getpid()}
    assert work.calls() == dict.fromkeys(range(6), 1)
    assert sum(ticks) == 6
    assert not cache.exists() or not list(cache.glob("shards/*"))


@pytest.mark.parametrize("stream", [False, True])
def test_processes_give_the_results_in_order_and_leave_nothing(folder, cache, stream):
    ticks = []
    assert os.getpid() not in squares(work := Squares(folder), ticks, workers=2, stream=stream)
    assert work.calls() == dict.fromkeys(range(6), 1)
    assert sum(ticks) == 6
    assert not list(cache.glob("shards/*"))


def test_workers_import_nothing_from_the_current_folder(folder, tmp_path):
    (stranger := tmp_path / "stranger").mkdir()
    for name in ("joblib", "pickle", "multiprocessing", "signal"):
        (stranger / f"{name}.py").write_text(f"open({str(tmp_path / 'imported')!r}, 'a').write({name!r} + ' ')")
    program = tmp_path / "program.py"
    program.write_text(
        f"import os, sys; from pathlib import Path; sys.path.append({os.getcwd()!r})\n"
        "from alkit.sharing.share import share; from tests.support.shared import Number, Squares\n"
        "if __name__ == '__main__':\n"
        f"    work = Squares(Path({str(folder)!r}))\n"
        "    print(*(str(found['square']) for found in share(work, [Number(2), Number(3)], bool, workers=2)))\n"
        "    assert 'PYTHONSAFEPATH' not in os.environ\n"
    )
    done = subprocess.run([sys.executable, program], cwd=stranger, capture_output=True, text=True, check=False)
    assert (done.stderr, done.stdout.splitlines()[-1:]) == ("", ["[4] [9]"])
    assert not (tmp_path / "imported").exists()


def test_threads_of_joblib_are_used(folder):
    with joblib.parallel_config("threading", n_jobs=2):
        assert squares(Squares(folder)) == {os.getpid()}
        assert crew().size == 2


def test_one_worker_is_this_process_whatever_the_configuration(folder):
    with joblib.parallel_config("loky", n_jobs=2):
        assert squares(Squares(folder), workers=1) == {os.getpid()}


def test_a_killed_worker_costs_its_shard_only(folder, caplog):
    squares(work := Squares(folder, "killed"), workers=2)
    calls = work.calls()
    assert calls[2] == 2
    assert sum(calls.values()) <= 8
    assert "computed again" in caplog.text


@pytest.mark.slow
def test_workers_that_are_killed_again_and_again_are_an_error(folder, monkeypatch):
    monkeypatch.setattr("time.sleep", lambda seconds: None)
    with pytest.raises(ConfigurationError, match="the workers ended 5 times without a result"):
        squares(Squares(folder, "killed", 99), workers=2)


def test_a_shard_that_fails_is_tried_again(folder, caplog):
    squares(work := Squares(folder, "image", 2), workers=2)
    assert work.calls()[2] == 3
    assert caplog.text.count("tried again elsewhere") == 2


def test_a_shard_that_fails_three_times_raises_its_error(folder):
    with pytest.raises(ImageError, match=r"^a file cannot be read$"):
        squares(work := Squares(folder, "image", 9), workers=2)
    assert work.calls()[2] == 3


def test_an_error_of_another_kind_has_the_calls_that_led_to_it(folder):
    with pytest.raises(RuntimeError, match=r"KeyError: 'x' \(in process \d+ on ") as error:
        squares(Squares(folder, "other", 9), workers=2)
    assert "shared.py" in "".join(error.value.__notes__)


def test_an_error_of_the_images_or_the_model_is_raised_at_once(folder):
    with pytest.raises(SelectionError, match="'x' is not finite"):
        squares(work := Squares(folder, "selection", 9), workers=2)
    assert work.calls()[2] == 1


def test_a_run_that_was_killed_finds_its_finished_shards(folder, cache):
    for workers, harm in ((1, "selection"), (2, "selection")):
        work = Squares(folder, harm)
        for path in folder.iterdir():
            path.unlink()
        with pytest.raises(SelectionError):
            squares(work, key="a question", workers=workers)
        before = work.calls()
        finished = {int(path.stem) for path in cache.glob("shards/*/*.shard")}
        assert len(finished) >= 2
        assert len(list(cache.glob("shards/*"))) == 1
        ticks = []
        squares(work, ticks, key="a question", workers=3 - workers)
        assert {value: count for value, count in work.calls().items() if value in finished} == {
            value: before[value] for value in finished
        }
        assert sum(ticks) == 6
        assert not list(cache.glob("shards/*"))


class Lazy:
    """Work whose function is imported when it is needed; it fails for the number 2, once."""

    def __init__(self):
        self.fails = True

    def __call__(self, shard, tick):
        from my_lazy_helper import factor

        if shard.value == 2 and self.fails:
            self.fails = False
            raise SelectionError("the score of 'x' is not finite")
        return {"square": np.array([factor * shard.value**2]), "process": np.array([0])}


def interrupted(change):
    """Return the results of a question that was interrupted, and asked again after a change."""
    work = Lazy()
    with pytest.raises(SelectionError):
        list(share(work, NUMBERS, bool, key="a question"))
    sys.modules.pop("my_lazy_helper", None)
    change()
    return [int(found["square"][0]) for found in share(work, NUMBERS, bool, key="a question")]


@pytest.fixture
def helper(tmp_path, monkeypatch):
    monkeypatch.syspath_prepend(tmp_path)
    (tmp_path / "my_lazy_helper.py").write_text("factor = 1")
    yield tmp_path / "my_lazy_helper.py"
    sys.modules.pop("my_lazy_helper", None)


def test_a_result_of_a_module_that_was_imported_late_and_edited_is_computed_again(helper):
    assert interrupted(lambda: helper.write_text("factor = 10")) == [0, 10, 40, 90, 160, 250]


def test_another_module_that_is_loaded_or_edited_costs_nothing(helper, tmp_path, monkeypatch):
    (tmp_path / "my_other_module.py").write_text("")
    monkeypatch.setattr(Lazy, "__call__", counted := Counting(Lazy.__call__))
    interrupted(lambda: importlib.import_module("my_other_module"))
    sys.modules.pop("my_other_module")
    assert counted.values == [0, 1, 2, 2, 3, 4, 5]


class Counting:
    """A method that notes the values of the shards."""

    def __init__(self, method):
        self.method, self.values = method, []

    def __get__(self, owner, kind=None):
        def call(shard, tick):
            self.values.append(shard.value)
            return self.method(owner, shard, tick)

        return call


@pytest.mark.parametrize("other", ["precision", "packages", "package of the same version", "threads", "constant"])
def test_a_result_of_another_arithmetic_or_installation_is_computed_again(helper, tmp_path, monkeypatch, other):
    monkeypatch.setattr(Lazy, "__call__", counted := Counting(Lazy.__call__))
    site = tmp_path / "site-packages"
    (site / "mine-1.0.dist-info").mkdir(parents=True)
    monkeypatch.syspath_prepend(site)
    changes = {
        "precision": lambda: monkeypatch.setattr(torch, "get_float32_matmul_precision", lambda: "medium"),
        "packages": lambda: (site / "mine-1.0.dist-info").rename(site / "mine-1.1.dist-info"),
        "package of the same version": lambda: os.utime(site / "mine-1.0.dist-info", ns=(1, 1)),
        "threads": lambda: monkeypatch.setattr(torch, "get_num_threads", lambda: 7),
        "constant": lambda: setattr(importlib.import_module("my_lazy_helper"), "factor", 5),
    }
    interrupted(changes[other])
    assert counted.values == [0, 1, 2, 0, 1, 2, 3, 4, 5]


def test_a_file_that_an_argument_names_is_a_part_of_the_question(helper, tmp_path):
    (weights := tmp_path / "weights.pt").write_bytes(b"1")
    key = ["q", {"partial": {"named": "math:sqrt"}, "args": [], "with": {"path": str(weights)}}, str(tmp_path / "r.db")]
    (tmp_path / "r.db").write_bytes(b"1")
    before = files_of(key)
    assert [found[0] for found in before] == [str(weights)]
    weights.write_bytes(b"2")
    assert files_of(key) != before


def test_a_damaged_result_is_computed_again(folder, cache):
    with pytest.raises(SelectionError):
        squares(work := Squares(folder, "selection"), key="a question")
    (path,) = cache.glob("shards/*/0.shard")
    path.write_bytes(path.read_bytes()[:-1] + b"?")
    squares(work, key="a question")
    assert work.calls()[0] == 2


def test_without_a_cache_that_can_be_written_one_process_computes_and_workers_are_an_error(folder, cache):
    cache.write_text("a file in the place of the folder")
    squares(Squares(folder), key="a question")
    with pytest.raises(StoreError, match="cannot create the folder"):
        squares(Squares(folder), workers=2)


def test_two_processes_that_ask_the_same_do_not_disturb_each_other(cache):
    with kept_results("q") as one, kept_results("q") as other:
        assert one != other
        write_result(result_file(one, 0), {"a": np.zeros(0)})
    assert not one.exists()
    assert not other.exists()
    assert read_result(result_file(one, 0)) is None


def test_what_a_worker_logs_is_logged_here(folder, caplog):
    with caplog.at_level(logging.WARNING, "alkit"):
        squares(Squares(folder, "log"), workers=2)
    assert "alkit.pools" in {record.name for record in caplog.records}
    assert "the cached copy is damaged" in caplog.text


class Locked(Squares):
    def packed(self, folder):
        return Holding(threading.Lock())


class Holding(Squares):
    pass


def test_what_cannot_be_sent_is_named_before_anything_is_computed(folder):
    with pytest.raises(ConfigurationError, match=r"folder cannot be sent to another process .*lock"):
        squares(Locked(folder), workers=2)
    assert not list(folder.iterdir())


@pytest.mark.parametrize("wrong", [0, -2, 1.5, "2", [], ["cpu", 3], True])
def test_wrong_workers_are_refused(wrong):
    with pytest.raises(ConfigurationError, match=r"^workers must be"):
        check_workers(wrong)


def test_workers_are_those_of_joblib_unless_they_are_given():
    assert crew().is_here
    with joblib.parallel_config(n_jobs=2), working(None) as found:
        assert found.size == 2
        assert not found.is_here
    with working(["cpu", "cpu"]) as found:
        assert found.size == 2
        assert found.devices == ("cpu", "cpu")


@dataclass(frozen=True)
class Announced(Number):
    """A number that says when a thread should begin to read it, and when the thread must have ended."""

    said: list = field(default_factory=list)
    readable: bool = True

    def expect(self):
        raise AssertionError("only shards that travel are announced to the system")

    def ahead(self, thread):
        self.said.append(("begin", self.value))
        return self

    def arrived(self):
        self.said.append(("end", self.value))
        return self.readable


def announced(readable):
    said = []
    shards = [Announced(value, said=said, readable=readable) for value in range(3)]
    for _ in share(lambda shard, tick: said.append(("now", shard.value)) or {}, shards, lambda done: None):
        said.append("result")
    return said


def test_each_shard_is_read_while_the_one_ahead_of_it_is_computed():
    assert announced(readable=True) == [
        ("begin", 0), ("end", 0),
        ("begin", 1), ("now", 0), ("end", 1), "result",
        ("begin", 2), ("now", 1), ("end", 2), "result",
        ("now", 2), "result",
    ]  # fmt: skip


def test_a_thread_that_cannot_read_is_not_asked_again():
    assert announced(readable=False) == [
        ("begin", 0), ("end", 0), ("now", 0), "result", ("now", 1), "result", ("now", 2), "result"
    ]  # fmt: skip


@dataclass(frozen=True)
class Slow(Announced):
    """A number that takes some seconds to read, by a clock of its own."""

    wait: Callable[[float], None] = field(kw_only=True)
    seconds: float = field(kw_only=True)

    def arrived(self):
        self.wait(self.seconds)
        return super().arrived()


def test_a_thread_reads_ahead_only_if_reading_takes_a_share_of_the_time(monkeypatch):
    passed = []
    monkeypatch.setattr("alkit.sharing.share.time.perf_counter", lambda: sum(passed))
    for seconds, begun in (0.0, [0, 1, 2]), (0.02, [0, 1, 2, 3]):
        said = []
        shards = [Slow(value, said=said, wait=passed.append, seconds=seconds) for value in range(4)]
        for _ in share(lambda shard, tick: passed.append(0.02) or {}, shards, lambda done: None):
            pass
        assert [value for what, value in said if what == "begin"] == begun
